//! What identifies a machine: UUIDs, serial numbers and MAC addresses as machines and databases write them, and the
//! values that only look like one.
//!
//! **Invariant**: a value that leaves this file identifies one machine, as far as the value itself can tell. What
//! vendors leave unset, and adapters that the site says are shared, do not get past it.

use uuid::Uuid;

use super::{BootRequest, HardwareAddress, KeyTrust, Line, MachineId};

/// What a machine says of itself that may identify it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Claims {
    /// Option 97, else the fact.
    pub(crate) uuid: Option<Uuid>,
    /// The serial number with its manufacturer, once iPXE reported them.
    pub(crate) serial: Option<Serial>,
    /// The asset tag, once iPXE reported it.
    pub(crate) asset: Option<String>,
    /// The system's own MAC address, which it passes through to adapters.
    pub(crate) sysmac: Option<HardwareAddress>,
    /// The NIC as DHCP knows it.
    pub(crate) mac: Option<HardwareAddress>,
    /// The NIC as iPXE knows it, which need not be the same behind an adapter.
    pub(crate) mac_ipxe: Option<HardwareAddress>,
}

impl Claims {
    /// The claims of a request.
    pub(crate) fn of(request: &BootRequest, shared: &SharedMacs) -> Claims {
        let fact = |name| request.machine.get(name);
        let identity = &request.identity;
        let is_identity = |mac: &HardwareAddress| is_mac(mac) && !shared.covers(mac);
        let is_own = |_: &HardwareAddress| identity.mac_trust != KeyTrust::Shared;
        let is_good = |_: &Uuid| !matches!(identity.uuid_trust, KeyTrust::Placeholder | KeyTrust::Shared);
        let mac = |text: &str| text.parse().ok().filter(is_identity);
        let uuid = request.client.machine_id.map(MachineId::uuid).filter(is_uuid);
        Claims {
            uuid: uuid.or_else(|| fact("uuid").and_then(read_uuid)).filter(is_good),
            serial: fact("serial").and_then(|serial| Serial::read(serial, fact("manufacturer"))),
            asset: fact("asset").and_then(read_asset),
            sysmac: fact("sysmac").and_then(mac),
            mac: Some(request.client.hardware).filter(is_identity).filter(is_own),
            mac_ipxe: fact("mac").and_then(mac).filter(is_own),
        }
    }

    /// The addresses of the NIC.
    pub(crate) fn macs(&self) -> impl Iterator<Item = &HardwareAddress> {
        self.mac.iter().chain(&self.mac_ipxe)
    }
}

/// A serial number; unique for its manufacturer only.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Serial {
    number: String,
    maker: Option<String>,
}

impl Serial {
    /// Reads a serial number and the manufacturer; none for what vendors leave in its place.
    pub(crate) fn read(number: &str, maker: Option<&str>) -> Option<Serial> {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let number = words(number);
        let maker = maker.map(words).filter(|maker| !is_unset_serial(maker)).map(|maker| squash(&maker));
        (!is_unset_serial(&number)).then_some(Serial { number, maker })
    }

    /// The number alone.
    pub(crate) fn number(&self) -> &str {
        &self.number
    }

    /// Whether the numbers are the same.
    pub(crate) fn has_number_of(&self, other: &Serial) -> bool {
        self.number == other.number
    }

    /// Whether both may be of one manufacturer. Databases write `Dell` where the machine says `Dell Inc.`: the shorter
    /// one must be the beginning of the longer one. One that is not known can be any.
    pub(crate) fn may_have_maker_of(&self, other: &Serial) -> bool {
        match (&self.maker, &other.maker) {
            (Some(one), Some(other)) => one.starts_with(other.as_str()) || other.starts_with(one.as_str()),
            _ => true,
        }
    }
}

/// A manufacturer in lower case, without spaces and punctuation.
fn squash(maker: &str) -> String {
    let squashed: String = maker.chars().filter(|c| c.is_alphanumeric()).collect();
    match squashed.strip_prefix("hewlettpackard") {
        Some(rest) => format!("hp{rest}"),
        None => squashed,
    }
}

/// What vendors write where no serial number was set; in lower case.
const UNSET_SERIALS: &[&str] = &[
    "to be filled by o.e.m.",
    "to be filled by oem",
    "default string",
    "default",
    "system serial number",
    "system serial",
    "serial number",
    "base board serial number",
    "chassis serial number",
    "not specified",
    "not applicable",
    "not available",
    "not set",
    "n/a",
    "na",
    "none",
    "null",
    "nil",
    "unknown",
    "undefined",
    "invalid",
    "empty",
    "o.e.m.",
    "oem",
    "sernum",
    "no serial number",
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "0123456789",
    "0123456789abcdef",
];

/// Whether a text in lower case is no serial number: one of the words above, or one character over and over.
fn is_unset_serial(text: &str) -> bool {
    let mut characters = text.chars().filter(|c| c.is_alphanumeric());
    let Some(first) = characters.next() else { return true };
    UNSET_SERIALS.contains(&text) || characters.all(|c| c == first)
}

/// What vendors write where no asset tag was set, beside the words for serial numbers; in lower case.
const UNSET_ASSETS: &[&str] =
    &["no asset tag", "no asset information", "asset-1234567890", "asset tag", "chassis asset tag", "asset"];

/// Reads an asset tag, in the form in which they are compared; none for what vendors leave in its place.
pub(crate) fn read_asset(text: &str) -> Option<String> {
    let asset = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    (!is_unset_serial(&asset) && !UNSET_ASSETS.contains(&asset.as_str())).then_some(asset)
}

/// UUIDs that board makers ship on many boards.
const SHARED_UUIDS: &[Uuid] = &[
    Uuid::from_u128(0x03000200_0400_0500_0006_000700080009),
    Uuid::from_u128(0x00010203_0405_0607_0809_0a0b0c0d0e0f),
    Uuid::from_u128(0x01020304_0506_0708_090a_0b0c0d0e0f10),
    Uuid::from_u128(0x07090201_0103_0301_0807_060504030201),
    Uuid::from_u128(0x12345678_1234_5678_90ab_cddeefaabbcc),
    Uuid::from_u128(0xdc698397_fa54_4cf2_82c8_b1b5307a6a7f),
    Uuid::from_u128(0x8e275844_178f_44a8_aceb_a7d7e5178c63),
    Uuid::from_u128(0x890e2d14_cacd_45d1_ae66_bc80e8bfeb0f),
    // Dell's form of a service tag that is all spaces.
    Uuid::from_u128(0x4c4c4544_0000_2010_8020_80c04f202020),
];

/// Whether a UUID is one machine's: no vendor's placeholder, in either byte order.
pub(crate) fn is_uuid(uuid: &Uuid) -> bool {
    let octets = uuid.as_bytes();
    let is_unset = |octets: &[u8]| octets.iter().all(|octet| Some(octet) == octets.first());
    // Some vendors set four octets of sixteen, and leave the others at 255.
    let is_half_set = octets.iter().skip(4).all(|octet| *octet == 0xff);
    let is_shared = SHARED_UUIDS.contains(uuid) || SHARED_UUIDS.contains(&swapped(uuid));
    !is_unset(octets) && !is_half_set && !is_shared
}

/// The UUID with its first three fields in the other byte order: some databases keep SMBIOS's octets as they are.
pub(crate) fn swapped(uuid: &Uuid) -> Uuid {
    Uuid::from_bytes_le(*uuid.as_bytes())
}

/// Reads a UUID in any of its spellings; none for what is no machine's own.
pub(crate) fn read_uuid(text: &str) -> Option<Uuid> {
    let text = text.trim();
    let digits = ["0x", "0X", "\\x"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    digits.parse().ok().filter(is_uuid)
}

/// Reads a MAC address in any of its spellings; none for what is no interface's own.
pub(crate) fn read_mac(text: &str) -> Option<HardwareAddress> {
    text.trim().parse().ok().filter(is_mac)
}

/// Six to eight octets, not all equal, and not the address of a group.
pub(crate) fn is_mac(mac: &HardwareAddress) -> bool {
    let octets = mac.octets();
    let is_group = octets.first().is_some_and(|first| first & 1 == 1);
    (6..=8).contains(&octets.len()) && !is_group && octets.iter().any(|octet| Some(octet) != octets.first())
}

/// Adapters that several machines share: MAC addresses, or beginnings of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SharedMacs(Vec<String>);

impl SharedMacs {
    /// Reads the list of a configuration.
    ///
    /// # Errors
    /// For a text that is no beginning of a MAC address.
    pub(crate) fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<SharedMacs, String> {
        let mut starts = Vec::new();
        for text in texts {
            let digits = hex_digits(text);
            if !(2..=12).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let shown = Line::clean(text);
                return Err(format!(
                    "`{shown}` is no MAC address and no beginning of one; write it like 00:e0:4c:68:01:7a or 00:e0:4c"
                ));
            }
            starts.push(digits);
        }
        Ok(SharedMacs(starts))
    }

    /// Whether an adapter is shared.
    pub(crate) fn covers(&self, mac: &HardwareAddress) -> bool {
        let digits = hex_digits(&mac.to_string());
        self.0.iter().any(|start| digits.starts_with(start.as_str()))
    }
}

fn hex_digits(text: &str) -> String {
    text.trim().chars().filter(|c| !matches!(c, ':' | '-' | '.')).flat_map(char::to_lowercase).collect()
}

/// The values of a column that may hold several.
pub(crate) fn values(text: &str) -> impl Iterator<Item = &str> {
    let is_between = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|' | '[' | ']' | '"');
    text.split(is_between).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn identifiers_are_read_as_databases_write_them() {
        let uuid = |text: &str| read_uuid(text).map(|uuid| uuid.to_string());
        let expect = Some("4c4c4544-0057-5810-804a-c3c04f463732".to_owned());
        for text in [
            "4c4c4544-0057-5810-804a-c3c04f463732",
            " {4C4C4544-0057-5810-804A-C3C04F463732} ",
            "4C4C454400575810804AC3C04F463732",
            "0x4C4C454400575810804AC3C04F463732",
            "\\x4c4c454400575810804ac3c04f463732",
        ] {
            assert_eq!(uuid(text), expect, "{text}");
        }
        let text = "{52:54:00:AB:CD:56, 525400abcd57;\n\"5254.00ab.cd58\" 52-54-00-ab-cd-59}";
        let macs: Vec<_> =
            values(&text.replace(['{', '}'], " ")).filter_map(read_mac).map(|mac| mac.to_string()).collect();
        let expect = ["52:54:00:ab:cd:56", "52:54:00:ab:cd:57", "52:54:00:ab:cd:58", "52:54:00:ab:cd:59"];
        assert_eq!(macs, expect);
    }

    #[test]
    fn what_vendors_leave_unset_identifies_nobody() {
        for text in [
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "FEFEFEFE-FEFE-FEFE-FEFE-FEFEFEFEFEFE",
            "03000200-0400-0500-0006-000700080009",
            "00020003-0004-0005-0006-000700080009",
            "12345678-1234-5678-90AB-CDDEEFAABBCC",
            "no uuid",
        ] {
            assert_eq!(read_uuid(text), None, "{text}");
        }
        for text in [
            "",
            " ",
            "0",
            "00000000",
            "XXXXXX",
            "To Be Filled By O.E.M.",
            "Default string",
            "System Serial Number",
            "None",
            "Not Specified",
            " N/A",
            "not  applicable",
            "123456789",
            "-",
            "........",
        ] {
            assert_eq!(Serial::read(text, None), None, "{text}");
        }
        for text in ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "52:54:00", "", "lab-07"] {
            assert_eq!(read_mac(text), None, "{text}");
        }
        assert_eq!(read_mac(&"ab".repeat(16)), None, "EDK2's GUID in place of an address");
    }

    #[test]
    fn a_serial_number_is_its_manufacturers() {
        let check = |one: (&str, Option<&str>), other: (&str, Option<&str>), expect: (bool, bool)| {
            let [one, other] = [one, other].map(|(number, maker)| Serial::read(number, maker).unwrap());
            assert_eq!((one.has_number_of(&other), one.may_have_maker_of(&other)), expect, "{one:?} {other:?}");
        };
        check(("7XK3N22", Some("Dell Inc.")), (" 7xk3n22 ", Some("DELL")), (true, true));
        check(("S1 A", Some("Hewlett-Packard")), ("S1  a", Some("HP Inc.")), (true, true));
        check(("S1A", Some("LENOVO")), ("S1A", Some("HP")), (true, false));
        check(("S1A", Some("To be filled by O.E.M.")), ("S1A", Some("HP")), (true, true));
        check(("S1A", None), ("S1B", Some("HP")), (false, true));
    }

    #[test]
    fn shared_adapters_are_named_whole_or_by_their_beginning() {
        let shared = SharedMacs::read(["00:E0:4C", "8c-1c-da-0", "525400abcd56"]).unwrap();
        let covers = |text: &str| shared.covers(&text.parse().unwrap());
        assert!(covers("00:e0:4c:68:01:7a") && covers("8c:1c:da:01:02:03") && covers("52:54:00:ab:cd:56"));
        assert!(!covers("52:54:00:ab:cd:57") && !covers("8c:1c:da:11:02:03"));
        for text in ["", "0", "00:e0:4c:68:01:7a:00", "dongle"] {
            assert!(SharedMacs::read([text]).unwrap_err().contains("write it like"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text in "\\PC{0,40}") {
            let _ = (read_uuid(&text), read_mac(&text), Serial::read(&text, Some(&text)), SharedMacs::read([&*text]));
            prop_assert!(values(&text).all(|value| !value.is_empty()));
        }
    }
}
