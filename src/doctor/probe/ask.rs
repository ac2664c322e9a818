//! The packets of the probe: as BIOS ROMs, EDK2, iPXE and the Raspberry Pi write theirs.
//!
//! **Invariant**: DISCOVER to DHCP servers, and REQUEST to boot servers on port 4011 only: nothing that takes an address.

use std::net::Ipv4Addr;

use super::Probe;
use crate::boot::Platform;
use crate::dhcp::offer::Taker;
use crate::dhcp::packet::{Header, MessageType, Operation, Writer, code};

/// What clients ask for (option 55): boot data and little else, so that nothing depends on it.
const WANTED: [u8; 14] = [1, 3, 6, 12, 15, 17, 43, 54, 60, 66, 67, 97, 150, 175];

/// The DISCOVER.
pub(super) fn discover(probe: &Probe, xid: u32, secs: u16) -> Vec<u8> {
    write(probe, MessageType::Discover, xid, secs, None).finish()
}

/// The DISCOVER as a relay agent at this address passes it on.
pub(super) fn relayed_discover(probe: &Probe, xid: u32, giaddr: Ipv4Addr) -> Vec<u8> {
    const GIADDR: std::ops::Range<usize> = 24..28;
    let mut writer = write(probe, MessageType::Discover, xid, 0, None);
    // Where it came from (RFC 3046), and that the answer goes to the port of the question (RFC 8357).
    writer.option(code::RELAY_INFORMATION, b"\x01\x06doctor\x13\x02\x00\x00");
    let mut octets = writer.finish();
    octets.get_mut(GIADDR).into_iter().for_each(|field| field.copy_from_slice(&giaddr.octets()));
    octets
}

/// The question to a boot server, from a machine that has its address already; for an item of its menu, where it has one
/// (option 43.71).
pub(super) fn boot_server_request(
    probe: &Probe,
    xid: u32,
    own: Ipv4Addr,
    server: Ipv4Addr,
    item: Option<u16>,
) -> Vec<u8> {
    let mut writer = write(probe, MessageType::Request, xid, 0, Some((own, server)));
    if let Some([high, low]) = item.map(u16::to_be_bytes) {
        writer.option(code::VENDOR_OPTIONS, &[71, 4, high, low, 0, 0, code::END]);
    }
    writer.finish()
}

fn write(
    probe: &Probe,
    message_type: MessageType,
    xid: u32,
    secs: u16,
    boot_server: Option<(Ipv4Addr, Ipv4Addr)>,
) -> Writer {
    let mut chaddr = [0; 16];
    let octets = probe.mac.octets();
    let hlen = octets.len().min(chaddr.len());
    chaddr.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    let zero = Ipv4Addr::UNSPECIFIED;
    let header = Header {
        op: Operation::Request,
        htype: 1,
        hlen: hlen as u8,
        hops: 0,
        xid,
        secs,
        // Answers are to be broadcasts: a DHCP client of this host has the same port.
        flags: if boot_server.is_some() { 0 } else { Header::BROADCAST },
        ciaddr: boot_server.map_or(zero, |(own, _)| own),
        yiaddr: zero,
        siaddr: zero,
        giaddr: zero,
        chaddr,
    };
    let mut writer = Writer::new(&header, &[]);
    writer.option(code::MESSAGE_TYPE, &[message_type.code()]);
    // EDK2 names no server on port 4011; iPXE does.
    if let Some((_, server)) = boot_server.filter(|_| probe.taker == Taker::Ipxe) {
        writer.option(code::SERVER_IDENTIFIER, &server.octets());
    }
    writer.option(55, &WANTED);
    writer.option(code::MAXIMUM_MESSAGE_SIZE, &1472_u16.to_be_bytes());
    let architecture = probe.architecture.code();
    let class = if probe.taker == Taker::Http { "HTTPClient" } else { "PXEClient" };
    let undi = if probe.architecture.platform() == Platform::Efi { [1, 3, 0] } else { [1, 2, 1] };
    let class = format!("{class}:Arch:{architecture:05}:UNDI:{:03}{:03}", undi[1], undi[2]);
    writer.option(code::VENDOR_CLASS, class.as_bytes());
    writer.option(code::ARCHITECTURE, &architecture.to_be_bytes());
    writer.option(code::NETWORK_INTERFACE, &undi);
    writer.option(code::MACHINE_ID, &[&[0][..], &probe.uuid.to_bytes_le()].concat());
    if probe.taker == Taker::Ipxe {
        let efi: &[u8] = if probe.architecture.platform() == Platform::Efi { &[0x24, 1, 1] } else { &[] };
        let build: &[u8] = &[0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0, 0xeb, 3, 2, 0, 0, 0x13, 1, 1, 0x15, 1, 1, 0x27, 1, 1];
        writer.option(code::USER_CLASS, b"iPXE");
        writer.option(code::IPXE, &[build, efi].concat());
    }
    writer
}

#[cfg(test)]
mod tests {
    use super::super::tests::probe_as;
    use super::*;
    use crate::dhcp::packet::Message;

    #[test]
    fn each_client_asks_in_its_own_words_and_never_for_an_address() {
        for (taker, class, user) in [
            (Taker::Bios, "PXEClient:Arch:00000:UNDI:002001", None),
            (Taker::Uefi, "PXEClient:Arch:00007:UNDI:003000", None),
            (Taker::Http, "HTTPClient:Arch:00016:UNDI:003000", None),
            (Taker::Ipxe, "PXEClient:Arch:00007:UNDI:003000", Some(&b"iPXE"[..])),
            (Taker::RaspberryPi, "PXEClient:Arch:00000:UNDI:002001", None),
        ] {
            let message = Message::parse(&discover(&probe_as(taker), 7, 0)).unwrap();
            assert_eq!(message.option(60), Some(class.as_bytes()));
            assert_eq!((message.option(77), message.message_type()), (user, Some(MessageType::Discover)));
            assert_eq!(message.header.flags, Header::BROADCAST);
            assert_eq!(message.option(50), None, "no address is asked for");
            assert!(message.option(97).is_some_and(|value| value.len() == 17));
        }
    }

    #[test]
    fn port_4011_is_asked_from_the_address_that_this_host_has() {
        let (own, server) = (Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 2));
        let ask = |taker| Message::parse(&boot_server_request(&probe_as(taker), 7, own, server, None)).unwrap();
        assert_eq!((ask(Taker::Uefi).header.ciaddr, ask(Taker::Uefi).address(54)), (own, None));
        assert_eq!((ask(Taker::Ipxe).address(54), ask(Taker::Ipxe).option(43)), (Some(server), None));
        let chosen = boot_server_request(&probe_as(Taker::Bios), 7, own, server, Some(0x8001));
        assert_eq!(Message::parse(&chosen).unwrap().option(43), Some(&[71, 4, 0x80, 1, 0, 0, 255][..]));
        let relayed = Message::parse(&relayed_discover(&probe_as(Taker::Ipxe), 7, own)).unwrap();
        assert_eq!((relayed.header.giaddr, relayed.option(82).map(<[u8]>::len)), (own, Some(12)));
    }
}
