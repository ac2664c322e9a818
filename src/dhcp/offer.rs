//! An offer, as a client of some kind reads it.
//!
//! **Invariant**: no socket, no clock; what a client does with offers is [`super::selection`].

use std::net::Ipv4Addr;

use serde::Serialize;

use super::client::{HTTP_CLIENT, PXE_CLIENT};
use super::packet::{Message, MessageType, code, suboptions};
use super::pxe::VendorOptions;

/// What kind of client chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taker {
    /// A PC BIOS with a PXE ROM.
    Bios,
    /// UEFI PXE, as EDK2 has it.
    Uefi,
    /// UEFI HTTP Boot, as EDK2 has it.
    Http,
    /// iPXE.
    Ipxe,
    /// The boot ROM of a Raspberry Pi.
    RaspberryPi,
}

impl Taker {
    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Taker::Bios => "bios",
            Taker::Uefi => "uefi",
            Taker::Http => "http",
            Taker::Ipxe => "ipxe",
            Taker::RaspberryPi => "raspberry-pi",
        }
    }
}

/// What a Raspberry Pi looks for in option 43.
pub(super) const RASPBERRY_PI_TEXT: &[u8] = b"Raspberry Pi Boot";

/// A server's packet, as it arrived.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The address that it came from.
    pub sender: Ipv4Addr,
    /// What it says.
    pub message: Message,
}

impl Offer {
    /// Whose offer it is: option 54, else `siaddr`, else the sender, as iPXE has it.
    pub fn server(&self) -> Ipv4Addr {
        self.message.address(code::SERVER_IDENTIFIER).or_else(|| self.next_server()).unwrap_or(self.sender)
    }

    /// `siaddr`, when it is set.
    pub fn next_server(&self) -> Option<Ipv4Addr> {
        Some(self.message.header.siaddr).filter(|address| !address.is_unspecified())
    }

    /// Whether it offers an address. EDK2 looks at the first octet of `yiaddr` only.
    pub fn leases(&self) -> bool {
        self.message.header.yiaddr.octets()[0] != 0
    }

    /// Whether option 60 begins with `PXEClient`.
    pub fn is_pxe(&self) -> bool {
        self.is_of(PXE_CLIENT)
    }

    /// Whether option 60 begins with `HTTPClient`.
    pub fn is_http(&self) -> bool {
        self.is_of(HTTP_CLIENT)
    }

    fn is_of(&self, class: &[u8]) -> bool {
        self.message.option(code::VENDOR_CLASS).is_some_and(|value| value.starts_with(class))
    }

    /// Option 43, read as PXE's.
    pub fn vendor_options(&self) -> VendorOptions {
        VendorOptions::decode(self.message.option(code::VENDOR_OPTIONS).unwrap_or_default())
    }

    /// The boot file as this client reads it: EDK2 believes option 67 first, ROMs and iPXE the header.
    pub fn file(&self, taker: Taker) -> String {
        let option = text(self.message.option(code::BOOT_FILE).unwrap_or_default());
        let header = text(self.message.file());
        let (first, second) = match taker {
            Taker::Uefi | Taker::Http => (option, header),
            Taker::Bios | Taker::Ipxe | Taker::RaspberryPi => (header, option),
        };
        if first.is_empty() { second } else { first }
    }

    /// What iPXE ranks settings by (option 175.1).
    pub fn priority(&self) -> i8 {
        let value = self.message.option(code::IPXE).unwrap_or_default();
        let found = suboptions(value).find_map(|(tag, value)| if tag == 1 { value.first() } else { None });
        found.map_or(0, |octet| i8::from_be_bytes([*octet]))
    }

    pub(super) fn is_dhcp(&self) -> bool {
        self.message.message_type() == Some(MessageType::Offer)
    }

    /// From where this client loads the file by TFTP.
    pub fn file_server(&self, taker: Taker) -> Option<Ipv4Addr> {
        let vendor = self.vendor_options();
        let listed = vendor.boot_servers.iter().find_map(|servers| servers.addresses.first().copied());
        let uses_list =
            taker == Taker::Uefi && vendor.discovery_control.is_some_and(|control| control.uses_boot_file());
        let fallback = || self.message.address(code::SERVER_IDENTIFIER);
        listed.filter(|_| uses_list).or_else(|| self.next_server()).or_else(fallback)
    }

    /// Whether option 43 has something of PXE discovery: sub-options 6 to 10.
    pub(super) fn pxe_tags(&self) -> bool {
        suboptions(self.message.option(code::VENDOR_OPTIONS).unwrap_or_default())
            .any(|(tag, _)| (6..=10).contains(&tag))
    }

    /// Sub-options 1 to 5, all of them: multicast TFTP.
    pub(super) fn mtftp_tags(&self) -> bool {
        let value = self.message.option(code::VENDOR_OPTIONS).unwrap_or_default();
        (1..=5).all(|wanted| suboptions(value).any(|(tag, _)| tag == wanted))
    }
}

/// Printable text up to a NUL.
fn text(octets: &[u8]) -> String {
    let octets = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    octets.iter().map(|octet| if matches!(octet, b' '..=b'~') { char::from(*octet) } else { '?' }).collect()
}
