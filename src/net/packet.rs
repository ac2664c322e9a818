//! Hearing a UDP port that another program has, and answering from it: packet sockets (`packet(7)`).
//!
//! A packet socket gets a copy of what arrives, whoever owns the port and whatever a firewall says behind it; the owner
//! gets its own all the same. What is sent goes by a raw socket with headers of our own making, so that no port is
//! needed; the kernel's routes and neighbors lead it.
//!
//! Packets are seen where IP takes them: once, on the bridge and not on its ports, on the VLAN and not on its trunk.
//!
//! IPv4 is here, IPv6 in `packet_v6`.
//!
//! **Invariant**: nothing here takes a packet from anybody. Fragments are not put together.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc::{self, in_pktinfo};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{ControlMessage, LinkAddr, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmsg};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::packet_v6;
use super::udp::{BindError, register};
use super::udp_batch::{Received, RecvBatch, SendBatch, SendReport, Source};

/// What arrives at a UDP port of this host, on the current Tokio runtime.
#[derive(Debug)]
pub struct PacketSocket {
    heard: AsyncFd<OwnedFd>,
    sender: Socket,
    port: u16,
    /// Zero for every interface.
    ifindex: u32,
    is_ipv6: bool,
}

pub(super) const UDP: u8 = 17;
const IP_HEADER_LEN: usize = 20;
pub(super) const UDP_HEADER_LEN: usize = 8;
/// Routers on the way to a relay agent.
const TIME_TO_LIVE: u8 = 64;

impl PacketSocket {
    /// Opens a socket that hears UDP `port` of IPv4, on one interface or on all; needs `CAP_NET_RAW`. `receive_buffer`
    /// octets may be queued.
    ///
    /// # Errors
    /// When the privilege or the interface is not there, or the system has no packet sockets.
    pub fn open(port: u16, device: Option<&str>, receive_buffer: usize) -> Result<PacketSocket, BindError> {
        Self::open_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), device, receive_buffer)
    }

    /// The same for IPv6.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_v6(port: u16, device: Option<&str>, receive_buffer: usize) -> Result<PacketSocket, BindError> {
        Self::open_at(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), device, receive_buffer)
    }

    fn open_at(address: SocketAddr, device: Option<&str>, receive_buffer: usize) -> Result<PacketSocket, BindError> {
        let ifindex = match device {
            None => 0,
            Some(name) => {
                if_nametoindex(name).map_err(|_| BindError::NoSuchDevice { address, device: name.to_owned() })?
            }
        };
        Self::try_open(address, ifindex, receive_buffer).map_err(|source| match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => BindError::NotPermitted { address, device: device.map(str::to_owned) },
            _ => BindError::Other { address, source },
        })
    }

    fn try_open(address: SocketAddr, ifindex: u32, receive_buffer: usize) -> io::Result<PacketSocket> {
        let (port, is_ipv6) = (address.port(), address.is_ipv6());
        // What comes before the filter is there is sorted out by `receive_now` as well.
        let (kind, filter) = match is_ipv6 {
            true => (libc::ETH_P_IPV6, packet_v6::filter(port, ifindex)),
            false => (libc::ETH_P_IP, filter(port, ifindex)),
        };
        let heard = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from((kind as u16).to_be()))))?;
        heard.attach_filter(&filter)?;
        heard.set_nonblocking(true)?;
        let _ = heard.set_recv_buffer_size(receive_buffer);
        let sender = if is_ipv6 { packet_v6::sender()? } else { sender()? };
        Ok(PacketSocket { heard: register(heard.into(), Interest::READABLE)?, sender, port, ifindex, is_ipv6 })
    }

    /// Hears `group` on the interface with this index: switches and the card let pass what somebody wants. Hearing it
    /// already is fine.
    ///
    /// # Errors
    /// When there is no such interface, or it knows no groups.
    pub fn join_v6(&self, group: Ipv6Addr, ifindex: u32) -> io::Result<()> {
        super::multicast::accept_again(self.sender.join_multicast_v6(&group, ifindex))
    }

    /// The port, at every address.
    pub fn local_addr(&self) -> SocketAddr {
        let any: IpAddr = if self.is_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        SocketAddr::new(any, self.port)
    }

    /// Waits for datagrams and replaces what `batch` held by those that have come.
    ///
    /// A datagram's `local` is where it was sent to, a group included, and nothing (`0.0.0.0`) for a broadcast. Whether that address is one
    /// of this host is for the caller to say: a router gets packets of others too.
    pub async fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<()> {
        loop {
            let mut guard = self.heard.readable().await?;
            match self.receive_now(batch) {
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The interface was switched off; it may come again.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends all of `batch` and empties it. What the system refuses is counted and does not stop the others.
    pub async fn send_batch(&self, batch: &mut SendBatch) -> SendReport {
        let mut report = SendReport::default();
        for (payload, peer, source) in batch.whole_datagrams() {
            match self.send_now(payload, peer, source) {
                Ok(()) => report.sent += 1,
                Err(error) => {
                    report.failed += 1;
                    report.last_error = Some(error);
                }
            }
        }
        batch.clear();
        report
    }

    fn receive_now(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.received.clear();
        let size = batch.datagram_size;
        let mut headers = MultiHeaders::<LinkAddr>::preallocate(batch.asked, None);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            batch.buffer.chunks_exact_mut(size).take(batch.asked).map(|chunk| [IoSliceMut::new(chunk)]).collect();
        let descriptor = self.heard.get_ref().as_raw_fd();
        let results = recvmmsg(descriptor, &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let seen: Vec<_> = results.map(|message| (message.bytes, message.flags, message.address)).collect();
        for (index, (length, flags, from)) in seen.iter().enumerate() {
            if flags.contains(MsgFlags::MSG_TRUNC) {
                batch.oversized += 1;
                continue;
            }
            let start = index * size;
            let Some((received, payload)) =
                from.as_ref().and_then(|from| self.datagram(batch.buffer.get(start..start + length)?, from))
            else {
                continue;
            };
            // To the first free place: what is nobody's leaves none.
            let place = batch.received.len() * size;
            batch.buffer.copy_within(start + payload.start..start + payload.end, place);
            batch.received.push(received);
        }
        batch.adapt(seen.len());
        Ok(batch.received.len())
    }

    fn datagram(&self, packet: &[u8], from: &LinkAddr) -> Option<(Received, Range<usize>)> {
        let is_broadcast = match from.pkttype() {
            libc::PACKET_HOST => false,
            libc::PACKET_MULTICAST if self.is_ipv6 => false,
            libc::PACKET_BROADCAST => true,
            // To other hosts: the card is promiscuous. Or from this one.
            _ => return None,
        };
        let ifindex = u32::try_from(from.ifindex()).ok()?;
        if self.ifindex != 0 && ifindex != self.ifindex {
            return None;
        }
        let (peer, to, payload): (SocketAddr, SocketAddr, _) = if self.is_ipv6 {
            let found = packet_v6::udp_within(packet)?;
            (found.peer(ifindex).into(), found.destination.into(), found.payload)
        } else {
            let found = udp_within(packet)?;
            (found.source.into(), found.destination.into(), found.payload)
        };
        if to.port() != self.port {
            return None;
        }
        let destination = to.ip();
        let is_broadcast = is_broadcast || destination == IpAddr::V4(Ipv4Addr::BROADCAST);
        let local = if is_broadcast { Ipv4Addr::UNSPECIFIED.into() } else { destination };
        let received = Received { length: payload.len(), peer, local, destination, ifindex };
        Some((received, payload))
    }

    fn send_now(&self, payload: &[u8], peer: SocketAddr, source: Option<Source>) -> io::Result<()> {
        let refused = || io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
        let (peer, address, ifindex) = match (peer, source) {
            (SocketAddr::V4(peer), Some(Source { address: IpAddr::V4(address), ifindex })) if !self.is_ipv6 => {
                (peer, address, ifindex)
            }
            (SocketAddr::V6(peer), Some(Source { address: IpAddr::V6(address), ifindex })) if self.is_ipv6 => {
                return packet_v6::send(&self.sender, (address, self.port), peer, ifindex, payload);
            }
            _ => return Err(refused()),
        };
        let packet = ip_packet(SocketAddrV4::new(address, self.port), peer, payload);
        let info = in_pktinfo {
            ipi_ifindex: i32::try_from(ifindex).map_err(|_| refused())?,
            ipi_spec_dst: libc::in_addr { s_addr: u32::from(address).to_be() },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let to = SockaddrIn::from(SocketAddrV4::new(*peer.ip(), 0));
        let descriptor = self.sender.as_raw_fd();
        sendmsg(descriptor, &[IoSlice::new(&packet)], &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
        Ok(())
    }
}

/// Sends packets with headers of our own. Receives nothing: that would be a copy of every packet of this host.
fn sender() -> io::Result<Socket> {
    let sender = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    sender.set_nonblocking(true)?;
    sender.set_broadcast(true)?;
    Ok(sender)
}

/// Instructions of linux/bpf_common.h.
pub(super) mod bpf {
    pub(crate) const LOAD_OCTET: u16 = 0x30;
    pub(crate) const LOAD_SHORT: u16 = 0x28;
    pub(crate) const LOAD_WORD: u16 = 0x20;
    pub(super) const LOAD_HEADER_LEN: u16 = 0xb1;
    pub(super) const LOAD_SHORT_BEHIND: u16 = 0x48;
    pub(crate) const IF_EQUAL: u16 = 0x15;
    pub(super) const IF_ANY_BIT: u16 = 0x45;
    pub(crate) const RETURN: u16 = 0x06;
    /// The interface's index is at a place of its own outside of the packet.
    pub(crate) const INTERFACE: u32 = 0xffff_f000 + 8;
}

/// Classic BPF: "IPv4, UDP, no later fragment, this destination port, this interface".
fn filter(port: u16, ifindex: u32) -> Vec<SockFilter> {
    use bpf::*;
    let of_interface = match ifindex {
        0 => SockFilter::new(IF_EQUAL, 0, 0, 0),
        index => SockFilter::new(IF_EQUAL, 0, 7, index),
    };
    vec![
        SockFilter::new(LOAD_WORD, 0, 0, INTERFACE),
        of_interface,
        SockFilter::new(LOAD_OCTET, 0, 0, 9),
        SockFilter::new(IF_EQUAL, 0, 5, u32::from(UDP)),
        SockFilter::new(LOAD_SHORT, 0, 0, 6),
        SockFilter::new(IF_ANY_BIT, 3, 0, 0x1fff),
        SockFilter::new(LOAD_HEADER_LEN, 0, 0, 0),
        SockFilter::new(LOAD_SHORT_BEHIND, 0, 0, 2),
        SockFilter::new(IF_EQUAL, 1, 0, u32::from(port)),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, 0xffff),
    ]
}

/// A UDP datagram in a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpWithin {
    /// Who sent it.
    pub source: SocketAddrV4,
    /// To whom.
    pub destination: SocketAddrV4,
    /// Where in the packet its octets are.
    pub payload: Range<usize>,
}

/// The UDP datagram in an IPv4 packet (RFC 791, RFC 768), if it holds a whole one. Checksums are not looked at: within a
/// host, and where the card does it, they are not there.
pub fn udp_within(packet: &[u8]) -> Option<UdpWithin> {
    let short = |octets: &[u8], at: usize| {
        let &[high, low] = octets.get(at..at + 2)? else { return None };
        Some(u16::from_be_bytes([high, low]))
    };
    let address = |at: usize| {
        let &[a, b, c, d] = packet.get(at..at + 4)? else { return None };
        Some(Ipv4Addr::new(a, b, c, d))
    };
    let first = *packet.first()?;
    let header_len = usize::from(first & 0x0f) * 4;
    // More fragments, or not the first one.
    let is_fragment = short(packet, 6)? & 0x3fff != 0;
    if first >> 4 != 4 || header_len < IP_HEADER_LEN || is_fragment || *packet.get(9)? != UDP {
        return None;
    }
    // Behind the packet may be octets that fill an Ethernet frame.
    let datagram = packet.get(header_len..usize::from(short(packet, 2)?))?;
    let length = usize::from(short(datagram, 4)?);
    if length < UDP_HEADER_LEN || length > datagram.len() {
        return None;
    }
    Some(UdpWithin {
        source: SocketAddrV4::new(address(12)?, short(datagram, 0)?),
        destination: SocketAddrV4::new(address(16)?, short(datagram, 2)?),
        payload: header_len + UDP_HEADER_LEN..header_len + length,
    })
}

/// An IPv4 packet with a UDP datagram. The kernel fills in the identification and the header's checksum.
fn ip_packet(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(UDP_HEADER_LEN + payload.len()).unwrap_or(u16::MAX);
    let addresses = [source.ip().octets(), destination.ip().octets()].concat();
    let mut udp = [source.port(), destination.port(), udp_len, 0].map(u16::to_be_bytes).concat();
    udp.extend_from_slice(payload);
    let pseudo = [&addresses[..], &[0, UDP], &udp_len.to_be_bytes()].concat();
    let checksum = !fold(sum(&pseudo) + sum(&udp));
    // Zero says that there is none.
    let checksum = if checksum == 0 { u16::MAX } else { checksum };
    let total = udp_len.saturating_add(IP_HEADER_LEN as u16);
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0, 0, TIME_TO_LIVE, UDP, 0, 0]);
    packet.extend(addresses);
    packet.extend(udp.iter().take(6));
    packet.extend(checksum.to_be_bytes());
    packet.extend(udp.iter().skip(UDP_HEADER_LEN));
    packet
}

/// The sum of 16-bit words (RFC 1071), not yet folded.
fn sum(octets: &[u8]) -> u64 {
    let word = |pair: &[u8]| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    };
    octets.chunks(2).map(word).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
