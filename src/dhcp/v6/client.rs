//! Who asks by DHCPv6: a message's options as a [`Client`], the vocabulary that rules know from IPv4.
//!
//! DHCPv6 has no hardware address of its own. It is taken, in this order, from what the relay agent saw (RFC 6939), from
//! the client's own address where that is made of it (RFC 4291 appendix A; firmware and iPXE make theirs so), from what
//! was remembered of this client's DUID, and from the DUID itself. The DUID comes last since a machine with two network
//! cards has one.
//!
//! **Invariant**: no socket, no decision; text from the packet becomes printable ASCII here and stays so.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use super::super::client::{Caller, HTTP_CLIENT, NotACaller, PXE_CLIENT, Speaker, architecture, printable, undi};
use super::packet::{Options, Packet, code, texts};
use crate::boot::{Client, HardwareAddress, IpxeBuild, MachineId};

/// Intel's enterprise number, which PXE uses (RFC 5970 section 3.3 leaves it to the vendor; EDK2 and iPXE send this one).
pub const ENTERPRISE: u32 = 343;

/// Octets of a DUID (RFC 8415 section 11.1).
const DUID_LEN: RangeInclusive<usize> = 3..=130;

/// DUID types (RFC 8415 section 11, RFC 6355).
mod duid {
    pub(super) const LINK_LAYER_TIME: u16 = 1;
    pub(super) const LINK_LAYER: u16 = 3;
    pub(super) const UUID: u16 = 4;
}

/// Reads who asks. `peer` is where the packet came from; `remembered` is what is known of a DUID.
pub(crate) fn caller(
    packet: &Packet,
    peer: Ipv6Addr,
    remembered: impl FnOnce(&[u8]) -> Option<HardwareAddress>,
) -> Result<Caller, NotACaller> {
    let options = &packet.message.options;
    let vendor_class = vendor_class(options);
    let user_class = user_class(options.get(code::USER_CLASS).unwrap_or_default());
    let is_ipxe = matches!(user_class, b"iPXE" | b"gPXE");
    let is_http = vendor_class.starts_with(HTTP_CLIENT);
    let speaker = match (is_ipxe, is_http) {
        (true, _) => Speaker::Ipxe,
        (false, true) => Speaker::HttpBoot,
        (false, false) if vendor_class.starts_with(PXE_CLIENT) => Speaker::Firmware,
        (false, false) => return Err(NotACaller::VendorClass),
    };
    let duid =
        options.get(code::CLIENT_ID).filter(|duid| DUID_LEN.contains(&duid.len())).ok_or(NotACaller::Identity)?;
    let hardware = hardware(packet, peer, duid, remembered).ok_or(NotACaller::Identity)?;
    let client = Client {
        hardware,
        machine_id: machine_id(duid, speaker),
        architecture: architecture(options.get(code::ARCHITECTURE), vendor_class),
        vendor_class: printable(vendor_class),
        user_class: printable(user_class),
        undi: undi(options.get(code::NETWORK_INTERFACE)),
        // There is no option 175 here: which features the build has is not known before its script reports them.
        ipxe: is_ipxe.then(IpxeBuild::default),
        hostname: String::new(),
    };
    Ok(Caller { speaker, client })
}

/// The first text of Intel's vendor class (option 16).
fn vendor_class(options: &Options) -> &[u8] {
    let Some((enterprise, list)) = options.get(code::VENDOR_CLASS).and_then(<[u8]>::split_first_chunk) else {
        return &[];
    };
    match u32::from_be_bytes(*enterprise) {
        ENTERPRISE => texts(list).next().unwrap_or_default(),
        _ => &[],
    }
}

/// The first text of the list; old builds of iPXE sent it without its length.
fn user_class(list: &[u8]) -> &[u8] {
    texts(list).next().unwrap_or(list)
}

fn hardware(
    packet: &Packet,
    peer: Ipv6Addr,
    duid: &[u8],
    remembered: impl FnOnce(&[u8]) -> Option<HardwareAddress>,
) -> Option<HardwareAddress> {
    let nearest = packet.relays.last();
    let seen_by_relay = nearest.and_then(|hop| match hop.options.get(code::CLIENT_LINK_LAYER_ADDRESS)? {
        [_, _, address @ ..] => HardwareAddress::new(address).ok(),
        _ => None,
    });
    let address = nearest.map_or(peer, |hop| hop.peer);
    seen_by_relay
        .or_else(|| of_interface_identifier(address))
        .or_else(|| remembered(duid))
        .or_else(|| of_duid(duid))
        // As for InfiniBand in IPv4: the end of the identifier, where it differs.
        .or_else(|| HardwareAddress::new(duid.get(duid.len().saturating_sub(16)..)?).ok())
}

/// The MAC address in a modified EUI-64 interface identifier.
fn of_interface_identifier(address: Ipv6Addr) -> Option<HardwareAddress> {
    match address.octets() {
        [.., a, b, c, 0xff, 0xfe, d, e, f] if !address.is_multicast() => Some([a ^ 2, b, c, d, e, f].into()),
        _ => None,
    }
}

fn of_duid(duid: &[u8]) -> Option<HardwareAddress> {
    let (kind, rest) = duid.split_first_chunk()?;
    let address = match (u16::from_be_bytes(*kind), rest) {
        (duid::LINK_LAYER_TIME, [_, _, _, _, _, _, address @ ..]) => address,
        (duid::LINK_LAYER, [_, _, address @ ..]) => address,
        _ => return None,
    };
    HardwareAddress::new(address).ok()
}

/// The UUID in the DUID. EDK2 copies it as SMBIOS has it, iPXE writes it in its canonical order.
fn machine_id(duid: &[u8], speaker: Speaker) -> Option<MachineId> {
    let (kind, rest) = duid.split_first_chunk()?;
    let octets: [u8; 16] = rest.try_into().ok().filter(|_| u16::from_be_bytes(*kind) == duid::UUID)?;
    Some(match speaker {
        Speaker::Ipxe => MachineId::from_uuid(uuid::Uuid::from_bytes(octets)),
        Speaker::Firmware | Speaker::HttpBoot => MachineId::from_wire(octets),
    })
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
