//! Who asks: a packet's options as a [`Client`], and a relay's as a [`Relay`].
//!
//! What the client is decides what it can use: firmware loads a boot loader by TFTP, UEFI HTTP Boot by URL, and iPXE
//! is past that and wants a script. Everything here is the client's own claim.
//!
//! **Invariant**: no socket, no decision; text from the packet becomes printable ASCII here and stays so.

use std::net::Ipv4Addr;

use super::packet::{Message, code, suboptions};
use super::pxe::decode_ipxe_build;
use crate::boot::{Architecture, Client, HardwareAddress, IpxeBuild, MachineId, Relay};

/// What speaks: it decides which reply the client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Speaker {
    /// A PXE ROM or UEFI PXE (option 60 `PXEClient`).
    Firmware,
    /// UEFI HTTP Boot (option 60 `HTTPClient`).
    HttpBoot,
    /// iPXE or gPXE (option 77 or 175), whatever option 60 and 93 say.
    Ipxe,
}

impl Speaker {
    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Speaker::Firmware => "firmware",
            Speaker::HttpBoot => "http-boot",
            Speaker::Ipxe => "ipxe",
        }
    }
}

/// A boot client, as one packet shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What speaks.
    pub speaker: Speaker,
    /// The machine.
    pub client: Client,
}

/// Option 60 of boot clients starts with this...
pub(crate) const PXE_CLIENT: &[u8] = b"PXEClient";
/// ...or, for UEFI HTTP Boot, with this.
pub(crate) const HTTP_CLIENT: &[u8] = b"HTTPClient";

/// Why a packet is not of a client that we serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotACaller {
    /// No option 60, or that of something else: operating systems, phones, Apple's BSDP.
    VendorClass,
    /// Neither hardware address nor client identifier.
    Identity,
}

/// Reads who asks.
pub(crate) fn caller(message: &Message) -> Result<Caller, NotACaller> {
    let vendor_class = message.option(code::VENDOR_CLASS).unwrap_or_default();
    let is_http = vendor_class.starts_with(HTTP_CLIENT);
    // `PXEClient` alone will do: iPXE, chained from UEFI, sends what was in our own offer. Nor may anything be asked of
    // what follows: EDK2 compares the first nine octets only.
    if !is_http && !vendor_class.starts_with(PXE_CLIENT) {
        return Err(NotACaller::VendorClass);
    }
    let hardware = hardware(message).ok_or(NotACaller::Identity)?;
    let user_class = user_class(message.option(code::USER_CLASS).unwrap_or_default());
    let ipxe = ipxe_build(message, user_class);
    // iPXE comes first: loaded by HTTP Boot it still says `HTTPClient`, and a loader given to it would load itself
    // for ever.
    let speaker = match (&ipxe, is_http) {
        (Some(_), _) => Speaker::Ipxe,
        (None, true) => Speaker::HttpBoot,
        (None, false) => Speaker::Firmware,
    };
    let architecture = architecture(message.option(code::ARCHITECTURE), vendor_class);
    let is_pi = speaker == Speaker::Firmware && architecture == Architecture::X86_BIOS && hardware.is_raspberry_pi();
    let client = Client {
        hardware,
        machine_id: machine_id(message.option(code::MACHINE_ID)),
        architecture: if is_pi { Architecture::ARM_RPIBOOT } else { architecture },
        vendor_class: printable(vendor_class),
        user_class: printable(user_class),
        undi: undi(message.option(code::NETWORK_INTERFACE)),
        ipxe,
        hostname: printable(message.option(code::HOST_NAME).unwrap_or_default()),
    };
    Ok(Caller { speaker, client })
}

/// What a relay agent said; `None` when none relayed the packet.
pub(crate) fn relay(message: &Message) -> Option<Relay> {
    if message.header.giaddr.is_unspecified() {
        return None;
    }
    let mut relay =
        Relay { giaddr: message.header.giaddr, circuit_id: Vec::new(), remote_id: Vec::new(), link_selection: None };
    for (tag, value) in suboptions(message.option(code::RELAY_INFORMATION).unwrap_or_default()) {
        match (tag, value) {
            (1, value) => relay.circuit_id = value.to_vec(),
            (2, value) => relay.remote_id = value.to_vec(),
            (5, &[a, b, c, d]) => relay.link_selection = Some(Ipv4Addr::new(a, b, c, d)),
            _ => {}
        }
    }
    Some(relay)
}

/// Whether the relay wants its answer at the port that it sent from (RFC 8357: option 82 with sub-option 19).
pub(crate) fn relay_names_its_port(message: &Message) -> bool {
    let information = message.option(code::RELAY_INFORMATION).unwrap_or_default();
    suboptions(information).any(|(tag, _)| tag == 19)
}

/// `chaddr`; where there is none (InfiniBand, RFC 4390) the client identifier without its type octet, of which the
/// last 16 octets hold the port's address.
fn hardware(message: &Message) -> Option<HardwareAddress> {
    let chaddr = message.header.chaddr.get(..usize::from(message.header.hlen))?;
    if let Ok(address) = HardwareAddress::new(chaddr) {
        return Some(address);
    }
    let (_type, identifier) = message.option(code::CLIENT_IDENTIFIER)?.split_first()?;
    HardwareAddress::new(identifier.get(identifier.len().saturating_sub(16)..)?).ok()
}

/// The first type of the list: the most preferred one (RFC 5970 section 3.3), else that of the vendor class. A list of odd
/// length is no list.
pub(super) fn architecture(list: Option<&[u8]>, vendor_class: &[u8]) -> Architecture {
    let first = match list {
        Some(list @ [high, low, ..]) if list.len().is_multiple_of(2) => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    };
    let in_vendor_class = || {
        let text = str::from_utf8(vendor_class).ok()?;
        text.split_once(":Arch:")?.1.split(':').next()?.parse().ok()
    };
    first.or_else(in_vendor_class).map_or(Architecture::X86_BIOS, Architecture::from_code)
}

/// Type 0 and 16 octets (RFC 4578 section 2.3); ROMs that send less have no identity.
fn machine_id(value: Option<&[u8]>) -> Option<MachineId> {
    let [0, raw @ ..] = value? else { return None };
    Some(MachineId::from_wire(raw.try_into().ok()?))
}

/// Type 1, major and minor version (RFC 4578 section 2.2; DHCPv6: RFC 5970 section 3.4).
pub(super) fn undi(value: Option<&[u8]>) -> Option<(u8, u8)> {
    match value? {
        [1, major, minor] => Some((*major, *minor)),
        _ => None,
    }
}

/// The user class without its length octet. RFC 3004 has a list of them; iPXE and some Microsoft clients send plain
/// text. Where the lengths do not come out even, it is plain text.
fn user_class(value: &[u8]) -> &[u8] {
    let mut rest = value;
    while let Some((length, behind)) = rest.split_first() {
        match behind.split_at_checked(usize::from(*length)) {
            Some((_, next)) if *length > 0 => rest = next,
            _ => return value,
        }
    }
    let Some((length, behind)) = value.split_first() else { return value };
    behind.get(..usize::from(*length)).unwrap_or(value)
}

/// The build, when iPXE asks. gPXE, its ancestor, and builds without option 175 have an empty one.
fn ipxe_build(message: &Message, user_class: &[u8]) -> Option<IpxeBuild> {
    let build = message.option(code::IPXE).and_then(decode_ipxe_build);
    build.or_else(|| matches!(user_class, b"iPXE" | b"gPXE").then(IpxeBuild::default))
}

pub(super) fn printable(octets: &[u8]) -> String {
    const TEXT_LEN_MAX: usize = 255;
    let visible = octets.iter().filter(|octet| matches!(octet, b' '..=b'~'));
    visible.take(TEXT_LEN_MAX).map(|octet| char::from(*octet)).collect()
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
