//! IPv6 for [`super::packet`]: which packets are heard, and a raw socket that answers from a port that it does not have.
//!
//! Boot clients and relay agents send UDP directly behind the IPv6 header; what has extension headers is not heard, nor are
//! fragments.
//!
//! **Invariant**: any octets give a datagram that is whole, or none.

use std::io::{self, IoSlice};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::libc::{self, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn6, sendmsg, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::packet::{UDP, UDP_HEADER_LEN, bpf};

const IP_HEADER_LEN: usize = 40;
/// Where the checksum is in UDP's header.
const CHECKSUM_AT: libc::c_int = 6;

sockopt_impl!(
    /// Lets the kernel write the checksum at this place (RFC 3542 section 3.1).
    Checksum,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_CHECKSUM,
    libc::c_int
);

/// A UDP datagram in an IPv6 packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpWithin {
    /// Who sent it.
    pub source: SocketAddrV6,
    /// To whom.
    pub destination: SocketAddrV6,
    /// Where in the packet its octets are.
    pub payload: Range<usize>,
}

impl UdpWithin {
    /// Who sent it, as an answer can go to: an address of the link says nothing without the interface.
    pub(super) fn peer(&self, ifindex: u32) -> SocketAddrV6 {
        let mut peer = self.source;
        if peer.ip().is_unicast_link_local() {
            peer.set_scope_id(ifindex);
        }
        peer
    }
}

/// Classic BPF: "UDP is the next header, this destination port, this interface".
pub(super) fn filter(port: u16, ifindex: u32) -> Vec<SockFilter> {
    let of_interface = match ifindex {
        0 => SockFilter::new(bpf::IF_EQUAL, 0, 0, 0),
        index => SockFilter::new(bpf::IF_EQUAL, 0, 4, index),
    };
    vec![
        SockFilter::new(bpf::LOAD_WORD, 0, 0, bpf::INTERFACE),
        of_interface,
        SockFilter::new(bpf::LOAD_OCTET, 0, 0, 6),
        SockFilter::new(bpf::IF_EQUAL, 0, 2, u32::from(UDP)),
        SockFilter::new(bpf::LOAD_SHORT, 0, 0, 42),
        SockFilter::new(bpf::IF_EQUAL, 1, 0, u32::from(port)),
        SockFilter::new(bpf::RETURN, 0, 0, 0),
        SockFilter::new(bpf::RETURN, 0, 0, 0xffff),
    ]
}

/// The UDP datagram in an IPv6 packet (RFC 8200, RFC 768), if it holds a whole one and nothing else. Checksums are not
/// looked at: within a host, and where the card does it, they are not there.
pub fn udp_within(packet: &[u8]) -> Option<UdpWithin> {
    let short = |octets: &[u8], at: usize| {
        let &[high, low] = octets.get(at..at + 2)? else { return None };
        Some(u16::from_be_bytes([high, low]))
    };
    let address = |at: usize| Some(Ipv6Addr::from(*packet.get(at..)?.first_chunk::<16>()?));
    if packet.first()? >> 4 != 6 || *packet.get(6)? != UDP {
        return None;
    }
    // Behind the packet may be octets that fill an Ethernet frame.
    let datagram = packet.get(IP_HEADER_LEN..IP_HEADER_LEN + usize::from(short(packet, 4)?))?;
    let length = usize::from(short(datagram, 4)?);
    if length < UDP_HEADER_LEN || length > datagram.len() {
        return None;
    }
    Some(UdpWithin {
        source: SocketAddrV6::new(address(8)?, short(datagram, 0)?, 0, 0),
        destination: SocketAddrV6::new(address(24)?, short(datagram, 2)?, 0, 0),
        payload: IP_HEADER_LEN + UDP_HEADER_LEN..IP_HEADER_LEN + length,
    })
}

/// A socket that sends UDP with headers of our own, and receives nothing.
pub(super) fn sender() -> io::Result<Socket> {
    let sender = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::UDP))?;
    // Else it would get a copy of every datagram of this host.
    sender.attach_filter(&[SockFilter::new(bpf::RETURN, 0, 0, 0)])?;
    sender.set_nonblocking(true)?;
    setsockopt(&sender, Checksum, &CHECKSUM_AT)?;
    Ok(sender)
}

/// Sends a datagram. From `::` the system chooses the address; by interface 0, the way.
pub(super) fn send(
    sender: &Socket,
    (address, port): (Ipv6Addr, u16),
    peer: SocketAddrV6,
    ifindex: u32,
    payload: &[u8],
) -> io::Result<()> {
    let length = u16::try_from(UDP_HEADER_LEN + payload.len()).map_err(io::Error::other)?;
    let header = [port, peer.port(), length, 0].map(u16::to_be_bytes).concat();
    let info = in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: address.octets() }, ipi6_ifindex: ifindex };
    let to = SockaddrIn6::from(SocketAddrV6::new(*peer.ip(), 0, 0, peer.scope_id()));
    let pieces = [IoSlice::new(&header), IoSlice::new(payload)];
    let control = [ControlMessage::Ipv6PacketInfo(&info)];
    sendmsg(sender.as_raw_fd(), &pieces, &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let length = (UDP_HEADER_LEN + payload.len()) as u16;
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([UDP, 64]);
        packet.extend("fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("ff02::1:2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend([546_u16, 547, length, 0].map(u16::to_be_bytes).concat());
        packet.extend(payload);
        packet
    }

    #[test]
    fn a_whole_datagram_is_read_and_nothing_else() {
        let octets = packet(b"hello");
        let found = udp_within(&octets).unwrap();
        assert_eq!(&octets[found.payload.clone()], b"hello");
        assert_eq!(found.peer(7), "[fe80::1%7]:546".parse().unwrap());
        assert_eq!(found.destination, "[ff02::1:2]:547".parse().unwrap());
        assert_eq!(udp_within(&[&octets[..], &[0; 20]].concat()), Some(found), "a frame that was filled");
        let cases = [("version 4", 0, 0x45), ("extension header", 6, 0), ("longer", 5, 200), ("UDP longer", 45, 99)];
        for (what, at, to) in cases.into_iter().chain([("UDP of 7", 45, 7)]) {
            let mut changed = octets.clone();
            changed[at] = to;
            assert_eq!(udp_within(&changed), None, "{what}");
        }
        assert_eq!(udp_within(&octets[..50]), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_not(mut octets in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let [first, _, _, _, high, _, next, ..] = octets.as_mut_slice() {
                (*first, *high, *next) = (0x60, 0, UDP);
            }
            if let Some(found) = udp_within(&octets) {
                prop_assert!(octets.get(found.payload).is_some());
            }
        }
    }
}
