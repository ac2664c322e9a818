//! The hardware address of a client: `chaddr` with its length.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `chaddr` of a DHCP packet (RFC 2131 section 2): 1 to 16 octets. Six of them on Ethernet, where it is the MAC
/// address; EDK2 may send the system's GUID (16 octets) on port 4011.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HardwareAddress {
    len: u8,
    octets: [u8; 16],
}

/// Why a text or octet string is not a hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HardwareAddressError {
    /// No octet, or more than 16.
    #[error("a hardware address has 1 to 16 octets, not {0}")]
    Length(usize),
    /// Not pairs of hexadecimal digits.
    #[error("`{0}` is not a MAC address; write it like 52:54:00:12:34:56")]
    Text(String),
}

impl HardwareAddress {
    /// How the addresses of Raspberry Pis begin. Their boot ROM says that it is a PC BIOS.
    pub const RASPBERRY_PI: [[u8; 3]; 6] = [
        [0xb8, 0x27, 0xeb],
        [0xdc, 0xa6, 0x32],
        [0xe4, 0x5f, 0x01],
        [0x28, 0xcd, 0xc1],
        [0xd8, 0x3a, 0xdd],
        [0x2c, 0xcf, 0x67],
    ];

    /// Whether it is the address of a Raspberry Pi.
    pub fn is_raspberry_pi(&self) -> bool {
        self.octets().len() == 6 && Self::RASPBERRY_PI.iter().any(|start| self.octets().starts_with(start))
    }

    /// The address with these octets.
    ///
    /// # Errors
    /// When there are none, or more than 16.
    pub fn new(octets: &[u8]) -> Result<HardwareAddress, HardwareAddressError> {
        if octets.is_empty() || octets.len() > 16 {
            return Err(HardwareAddressError::Length(octets.len()));
        }
        let mut all = [0; 16];
        all[..octets.len()].copy_from_slice(octets);
        Ok(HardwareAddress { len: octets.len() as u8, octets: all })
    }

    /// The octets, as many as `hlen` said.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

impl From<[u8; 6]> for HardwareAddress {
    fn from(mac: [u8; 6]) -> Self {
        let mut octets = [0; 16];
        octets[..6].copy_from_slice(&mac);
        HardwareAddress { len: 6, octets }
    }
}

impl FromStr for HardwareAddress {
    type Err = HardwareAddressError;

    /// Reads `52:54:00:12:34:56`, `52-54-00-12-34-56`, `5254.0012.3456` and `525400123456`, in either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || HardwareAddressError::Text(text.chars().take(64).collect());
        let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b':' | b'-' | b'.')).take(33).collect();
        if digits.is_empty() || !digits.len().is_multiple_of(2) || digits.len() > 32 {
            return Err(wrong());
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        let octets: Option<Vec<u8>> =
            digits.chunks_exact(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect();
        HardwareAddress::new(&octets.ok_or_else(wrong)?)
    }
}

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.octets().iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            write!(f, "{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HardwareAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HardwareAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_spellings_in_one_out() {
        for text in ["52:54:00:AB:cd:56", "52-54-00-ab-cd-56", "5254.00ab.cd56", "525400abcd56"] {
            assert_eq!(text.parse::<HardwareAddress>().unwrap().to_string(), "52:54:00:ab:cd:56");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", ":", "5", "52:54:00:12:34:5g", "zz", &"00".repeat(17), &"0".repeat(10_000)] {
            assert!(text.parse::<HardwareAddress>().is_err(), "{text}");
        }
        assert_eq!(HardwareAddress::new(&[0; 17]), Err(HardwareAddressError::Length(17)));
    }
}
