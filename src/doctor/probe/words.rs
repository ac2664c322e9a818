//! Options in words: what 43, 97 and 175 of an offer say.
//!
//! **Invariant**: octets in, printable text out, whatever the octets.

use uuid::Uuid;

use crate::dhcp::packet::{code, suboptions};
use crate::dhcp::pxe::VendorOptions;

/// An option of an offer, in words.
pub(super) fn option_in_words(number: u8, value: &[u8], own_uuid: Uuid) -> String {
    match number {
        code::VENDOR_OPTIONS => vendor_options(value),
        code::MACHINE_ID => machine_id(value, own_uuid),
        code::IPXE => ipxe(value),
        _ => text(value),
    }
}

fn vendor_options(value: &[u8]) -> String {
    let read = VendorOptions::decode(value);
    let mut words = Vec::new();
    if let Some(control) = read.discovery_control {
        let bits = [
            (1, "no broadcast"),
            (2, "no multicast"),
            (4, "listed servers only"),
            (8, "take the boot file of this packet"),
        ];
        let set: Vec<_> = bits.iter().filter(|(bit, _)| control.0 & bit != 0).map(|(_, word)| *word).collect();
        words.push(format!("discovery control {:#04x} ({})", control.0, set.join(", ")));
    }
    words.extend(read.multicast_address.map(|address| format!("multicast {address}")));
    for servers in &read.boot_servers {
        let addresses: Vec<_> = servers.addresses.iter().map(ToString::to_string).collect();
        words.push(format!("boot servers of type {:#06x}: {}", servers.kind, addresses.join(" ")));
    }
    words.extend(read.menu.iter().map(|item| format!("menu {:#06x} `{}`", item.kind, text(item.text.as_bytes()))));
    words.extend(
        read.prompt.map(|prompt| format!("prompt `{}` for {} s", text(prompt.text.as_bytes()), prompt.timeout_s)),
    );
    words.extend(read.boot_item.map(|item| format!("item {:#06x} layer {}", item.kind, item.layer)));
    words.extend(unread(value, |tag| matches!(tag, 6..=10 | 71)));
    if words.is_empty() { "empty".into() } else { words.join("; ") }
}

/// Sub-options that have no words here.
fn unread(value: &[u8], is_read: impl Fn(u8) -> bool) -> Vec<String> {
    let others = suboptions(value).filter(|(tag, _)| !is_read(*tag));
    others.map(|(tag, value)| format!("sub-option {tag} = {}", digits(value))).collect()
}

fn machine_id(value: &[u8], own: Uuid) -> String {
    let read = match value {
        [0, raw @ ..] => <[u8; 16]>::try_from(raw).ok().map(Uuid::from_bytes_le),
        _ => None,
    };
    match read {
        Some(uuid) if uuid == own => format!("{uuid}, repeated as it should be"),
        Some(uuid) => format!("{uuid}, which is not the one that was sent ({own})"),
        None => digits(value),
    }
}

fn ipxe(value: &[u8]) -> String {
    if value.starts_with(b"http") {
        return format!("plain URL {}", text(value));
    }
    let mut words: Vec<String> = suboptions(value)
        .map(|(tag, value)| match (tag, value) {
            (1, [priority]) => format!("priority {}", i8::from_be_bytes([*priority])),
            (8, [on]) => format!("keep-san {on}"),
            (9, [on]) => format!("skip-san-boot {on}"),
            (0x51, script) => format!("scriptlet `{}`", text(script)),
            (0x5d, url) => format!("crosscert {}", text(url)),
            (176, [on]) => format!("no-pxedhcp {on}"),
            (0xbe | 0xbf, _) => "credentials (not shown)".into(),
            (tag, value) => format!("sub-option {tag:#04x} = {}", digits(value)),
        })
        .collect();
    if words.is_empty() {
        words.push(digits(value));
    }
    words.join("; ")
}

/// Printable text; what is not is a `?`, and a NUL at the end is left out.
pub(super) fn text(value: &[u8]) -> String {
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    value.iter().map(|octet| if matches!(octet, b' '..=b'~') { char::from(*octet) } else { '?' }).collect()
}

fn digits(value: &[u8]) -> String {
    let shown = value.get(..SHOWN_MAX).unwrap_or(value);
    let end = if shown.len() < value.len() { "..." } else { "" };
    format!("{}{end}", crate::hex::digits(shown))
}

/// Octets of an unknown value that are shown.
const SHOWN_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(number: u8, value: &[u8]) -> String {
        option_in_words(number, value, Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff))
    }

    #[test]
    fn options_are_told_in_words() {
        assert_eq!(words(43, &[6, 1, 8, 255]), "discovery control 0x08 (take the boot file of this packet)");
        let menu = [6, 1, 3, 8, 7, 0x80, 0, 1, 10, 0, 0, 9, 9, 5, 0x80, 0, 2, b'a', 27, 10, 2, 0, b'P', 12, 1, 7, 255];
        let told = words(43, &menu);
        assert!(
            told.starts_with(
                "discovery control 0x03 (no broadcast, no multicast); boot servers of type 0x8000: 10.0.0.9"
            )
        );
        assert!(told.contains("menu 0x8000 `a?`; prompt `P` for 0 s; sub-option 12 = 07"), "{told}");
        assert_eq!(words(175, &[1, 1, 1, 176, 1, 1]), "priority 1; no-pxedhcp 1");
        assert_eq!(words(175, b"https://boot.example/"), "plain URL https://boot.example/");
        assert_eq!(words(60, b"PXEClient"), "PXEClient");
        assert!(!words(175, &[0xbf, 2, b'p', b'w']).contains("pw"), "no password is shown");
        let own = [0, 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        assert!(words(97, &own).ends_with("repeated as it should be"));
        assert!(words(97, &[0; 17]).contains("not the one that was sent"));
    }

    proptest::proptest! {
        #[test]
        fn any_octets_are_printable(number in 0u8..=255, value in proptest::collection::vec(0u8..=255, 0..256)) {
            proptest::prop_assert!(words(number, &value).chars().all(|c| (' '..='~').contains(&c)));
        }
    }
}
