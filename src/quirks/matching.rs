//! Which clients an entry is about.

use serde::{Deserialize, Deserializer};

use crate::boot::{Architecture, Client, Machine};

/// Which clients an entry is about: every condition that is there must be met, and each list by one of its elements.
/// Texts may have `*` for any characters; case does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Client system architectures, by name.
    pub arch: Vec<Architecture>,
    /// Beginnings of hardware addresses: `b8:27:eb`.
    #[serde(deserialize_with = "beginnings")]
    pub oui: Vec<Vec<u8>>,
    /// Vendor classes (option 60).
    pub vendor_class: Vec<String>,
    /// User classes (option 77).
    pub user_class: Vec<String>,
    /// UNDI versions (option 94), as in `2.1`.
    pub undi: Vec<String>,
    /// NICs by the bus location that iPXE tells: `pci:14e4:*`.
    pub nic: Vec<String>,
    /// SMBIOS manufacturers, once iPXE has reported them.
    pub manufacturer: Vec<String>,
    /// SMBIOS products.
    pub product: Vec<String>,
    /// Whether iPXE asks, rather than the firmware; either when absent.
    pub ipxe: Option<bool>,
}

impl Match {
    /// Whether the client, and what its machine has reported, is meant.
    pub(super) fn is_met_by(&self, client: &Client, machine: &Machine) -> bool {
        let fact = |name| machine.get(name).unwrap_or_default();
        (self.arch.is_empty() || self.arch.contains(&client.architecture))
            && (self.oui.is_empty() || self.oui.iter().any(|start| client.hardware.octets().starts_with(start)))
            && self.ipxe.is_none_or(|ipxe| ipxe == client.is_ipxe())
            && fits(&self.vendor_class, || client.vendor_class.as_str())
            && fits(&self.user_class, || client.user_class.as_str())
            && fits(&self.undi, || client.undi.map(|(major, minor)| format!("{major}.{minor}")).unwrap_or_default())
            && fits(&self.nic, || {
                client.ipxe.as_ref().and_then(|build| build.nic).map(|nic| nic.to_string()).unwrap_or_default()
            })
            && fits(&self.manufacturer, || fact("manufacturer"))
            && fits(&self.product, || fact("product"))
    }

    /// Whether it has no condition, and so means every client.
    pub fn is_everybody(&self) -> bool {
        *self == Match::default()
    }
}

/// Whether there is no condition, or one of the patterns fits.
fn fits<T: AsRef<str>>(patterns: &[String], value: impl FnOnce() -> T) -> bool {
    if patterns.is_empty() {
        return true;
    }
    let value = value();
    patterns.iter().any(|pattern| pattern_fits(pattern, value.as_ref()))
}

/// Whether a text fits a pattern, in which `*` stands for any characters. Every DISCOVER is asked about, so that nothing
/// is copied.
fn pattern_fits(pattern: &str, text: &str) -> bool {
    let (pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    let mut parts = pattern.split(|octet| *octet == b'*');
    let start = parts.next().unwrap_or_default();
    if start.len() == pattern.len() {
        return pattern.eq_ignore_ascii_case(text);
    }
    match text.split_at_checked(start.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(start) => text = rest,
        _ => return false,
    }
    let end = parts.next_back().unwrap_or_default();
    for part in parts.filter(|part| !part.is_empty()) {
        match text.windows(part.len()).position(|window| window.eq_ignore_ascii_case(part)) {
            Some(at) => text = text.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    let tail = text.len().checked_sub(end.len()).and_then(|at| text.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

fn beginnings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| beginning(text).map_err(serde::de::Error::custom))
        .collect()
}

fn beginning(text: &str) -> Result<Vec<u8>, String> {
    let octets: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|pair| {
            Some(pair)
                .filter(|pair| pair.len() == 2 && pair.bytes().all(|c| c.is_ascii_hexdigit()))
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect();
    octets.filter(|octets| octets.len() <= 16).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        format!("`{shown}` is no beginning of a hardware address; write it like \"b8:27:eb\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, fit) in [
            ("pxeclient:arch:00000*", "PXEClient:Arch:00000:UNDI:002001", true),
            ("PXEClient", "pxeclient", true),
            ("a**b", "ab", true),
            ("*ü", "Süü", true),
            ("*optiplex*", "dell optiplex 7010", true),
            ("*optiplex*7010", "optiplex 7010", true),
            ("*optiplex*7010", "optiplex 7020", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("", "", true),
            ("*", "", true),
            ("x", "y", false),
        ] {
            assert_eq!(pattern_fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn beginnings_of_addresses() {
        assert_eq!(beginning("b8:27:EB"), Ok(vec![0xb8, 0x27, 0xeb]));
        assert_eq!(beginning("b8-27-eb-01"), Ok(vec![0xb8, 0x27, 0xeb, 1]));
        for wrong in ["", "b8:2", "b8:27:+1", "x8", &"00:".repeat(40)] {
            assert!(beginning(wrong).is_err(), "{wrong}");
        }
    }
}
