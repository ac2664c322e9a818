//! What is wrong with an offer, and with several at once: for those who ask why a machine does not boot.
//!
//! **Invariant**: offers in, sentences out: no socket, no clock.

use std::net::Ipv4Addr;

use super::client::{HTTP_CLIENT, PXE_CLIENT};
use super::neighbors::{Conflict, conflicts};
use super::offer::{Offer, RASPBERRY_PI_TEXT, Taker};
use super::packet::code;
use super::pxe::{VendorOptionsError, VendorOptionsWarning};
use super::selection::host_is_address;

/// Something in an offer that this client will not like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Option 43 on which firmware stops.
    #[error(transparent)]
    VendorOptions(#[from] VendorOptionsError),
    /// Option 43 that does something else than it seems to.
    #[error(transparent)]
    VendorOptionsWarning(#[from] VendorOptionsWarning),
    /// Neither `siaddr` nor option 54.
    #[error("neither siaddr nor option 54 names a server: nobody knows where the file is")]
    NoServer,
    /// Option 54 and the sender differ.
    #[error(
        "option 54 says {said}, but the packet came from {sender}: clients differ in which of the two they ask; let the \
         server answer from the address that it names"
    )]
    OtherSender {
        /// Option 54.
        said: Ipv4Addr,
        /// Where it came from.
        sender: Ipv4Addr,
    },
    /// Boot data that says to take the file, without a file.
    #[error("option 43 says to take the boot file of this packet, and there is none (PXE-E53)")]
    NoFile,
    /// More in option 60 than the class.
    #[error(
        "option 60 is longer than `PXEClient`: iPXE shows no PXE menu then, and some ROMs take no such offer; send the \
         bare word"
    )]
    LongClass,
    /// Option 97 is not repeated.
    #[error("option 97 is not repeated: some ROMs take no answer without their machine id (RFC 4578 section 2.3)")]
    NoMachineId,
    /// A BIOS ROM may read on behind option 67.
    #[error(
        "the file name is in option 67 only, without a NUL behind it: old ROMs read on and ask for a name with rubbish at \
         its end; put the name into the header"
    )]
    OpenEndedName,
    /// HTTP Boot takes URLs.
    #[error("`{0}` is no http or https URL: HTTP Boot loads nothing else")]
    NoUrl(String),
    /// HTTP Boot with a host name needs DNS.
    #[error("the URL has a host name: HTTP Boot takes it only where the DHCP server gives a DNS server (option 6)")]
    HostName,
    /// iPXE takes the file of the lease.
    #[error(
        "no priority (option 175.1) above that of the DHCP server, which names a boot file too: iPXE loads that one; let \
         the proxy send 175 = 01 01 01, or take options 66 and 67 from the DHCP server"
    )]
    NoPriority,
    /// Option 175 as text.
    #[error("option 175 is a plain URL, which only 2Pint's builds read; iPXE takes it for a list of sub-options")]
    PlainUrl175,
    /// Raspberry Pi's text.
    #[error("option 43 lacks `Raspberry Pi Boot`: the boot ROM passes over this offer")]
    NoRaspberryPi,
}

/// What is wrong with the offer at this place, for this client.
pub fn faults(taker: Taker, offers: &[Offer], at: usize) -> Vec<Fault> {
    let Some(offer) = offers.get(at) else { return Vec::new() };
    let mut found = Vec::new();
    let is_boot_data = offer.is_pxe() || offer.is_http();
    if !is_boot_data && taker != Taker::Ipxe {
        return found;
    }
    server_faults(offer, &mut found);
    match taker {
        Taker::Http => http_faults(offer, offers, &mut found),
        Taker::Ipxe => ipxe_faults(offer, offers, &mut found),
        Taker::Bios | Taker::Uefi | Taker::RaspberryPi => pxe_faults(taker, offer, &mut found),
    }
    found
}

fn server_faults(offer: &Offer, found: &mut Vec<Fault>) {
    let said = offer.message.address(code::SERVER_IDENTIFIER);
    if said.is_none() && offer.next_server().is_none() {
        found.push(Fault::NoServer);
    }
    // What a relay agent brought comes from the relay agent.
    let is_direct = offer.message.header.giaddr.is_unspecified();
    if let Some(said) = said.filter(|said| *said != offer.sender && is_direct && !offer.leases()) {
        found.push(Fault::OtherSender { said, sender: offer.sender });
    }
    let class = offer.message.option(code::VENDOR_CLASS).unwrap_or_default();
    if class.starts_with(PXE_CLIENT) && class != PXE_CLIENT {
        found.push(Fault::LongClass);
    }
    if class.starts_with(HTTP_CLIENT) && class != HTTP_CLIENT {
        found.push(Fault::LongClass);
    }
}

fn pxe_faults(taker: Taker, offer: &Offer, found: &mut Vec<Fault>) {
    if !offer.is_pxe() {
        return;
    }
    let vendor = offer.vendor_options();
    let is_pi = taker == Taker::RaspberryPi;
    match vendor.lint() {
        // The text for the Pi is no menu that anybody shows.
        Err(_) if is_pi => {}
        Err(error) => found.push(error.into()),
        Ok(warnings) => found.extend(warnings.into_iter().map(Fault::from)),
    }
    let uses_file = vendor.discovery_control.is_some_and(|control| control.uses_boot_file());
    if uses_file && offer.file(taker).is_empty() {
        found.push(Fault::NoFile);
    }
    if offer.message.option(code::MACHINE_ID).is_none() {
        found.push(Fault::NoMachineId);
    }
    let option = offer.message.option(code::BOOT_FILE).unwrap_or_default();
    if taker == Taker::Bios && offer.message.file().is_empty() && !option.is_empty() && !option.ends_with(&[0]) {
        found.push(Fault::OpenEndedName);
    }
    let raw = offer.message.option(code::VENDOR_OPTIONS).unwrap_or_default();
    if is_pi && !raw.windows(RASPBERRY_PI_TEXT.len()).any(|part| part == RASPBERRY_PI_TEXT) {
        found.push(Fault::NoRaspberryPi);
    }
}

fn http_faults(offer: &Offer, offers: &[Offer], found: &mut Vec<Fault>) {
    if !offer.is_http() {
        return;
    }
    let url = offer.file(Taker::Http);
    let has_dns = |offer: &Offer| offer.leases() && offer.message.option(6).is_some();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        found.push(Fault::NoUrl(url));
    } else if !host_is_address(&url) && !offers.iter().any(has_dns) {
        found.push(Fault::HostName);
    }
}

fn ipxe_faults(offer: &Offer, offers: &[Offer], found: &mut Vec<Fault>) {
    let value = offer.message.option(code::IPXE).unwrap_or_default();
    if value.starts_with(b"http") {
        found.push(Fault::PlainUrl175);
    }
    let loses =
        |lease: &Offer| lease.leases() && !lease.file(Taker::Ipxe).is_empty() && lease.priority() >= offer.priority();
    if offer.is_pxe() && !offer.leases() && offers.iter().any(loses) {
        found.push(Fault::NoPriority);
    }
}

/// What several servers do to each other, for this client. A proxy alone is no conflict, nor is a DHCP server that is the
/// boot server too and has no proxy beside it.
pub fn quarrels(taker: Taker, offers: &[Offer]) -> Vec<Conflict> {
    let boots = |offer: &Offer| match taker {
        Taker::Http => offer.is_http(),
        _ => offer.is_pxe(),
    };
    let mut servers: Vec<Ipv4Addr> = offers.iter().filter(|offer| boots(offer)).map(Offer::server).collect();
    servers.sort_unstable();
    servers.dedup();
    let has_proxy = offers.iter().any(|offer| boots(offer) && !offer.leases());
    let mut found: Vec<Conflict> = Vec::new();
    for conflict in offers.iter().flat_map(|offer| conflicts(&offer.message, offer.sender)) {
        let counts = match conflict {
            Conflict::PxeClient(_) | Conflict::RivalProxy(_) => servers.len() > 1,
            Conflict::NoPxeDhcp(_) => has_proxy && taker == Taker::Ipxe,
        };
        if counts && !found.contains(&conflict) {
            found.push(conflict);
        }
    }
    if taker == Taker::Http && servers.len() > 1 {
        found.extend(servers.into_iter().map(Conflict::RivalProxy));
    }
    found
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
