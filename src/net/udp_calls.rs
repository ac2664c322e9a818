//! The system calls of [`super::udp`]: `recvmmsg`, `sendmsg` and `sendmmsg` with their control messages.
//!
//! **Invariant**: the only file that builds message headers for the kernel; it does so through nix's
//! safe wrappers.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use nix::libc::{self, in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg,
    sendmmsg, sendmsg,
};

use super::udp::UdpSocket;
use super::udp_batch::{Message, Received, RecvBatch, SendBatch, SendReport, Source};

impl UdpSocket {
    /// One `recvmmsg`; returns how many datagrams the kernel gave, fewer than asked when it has no more.
    pub(super) fn receive_now(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.received.clear();
        let count = if self.is_ipv6 {
            let space = nix::cmsg_space!(in6_pktinfo);
            self.receive_family::<SockaddrIn6>(batch, space, |a| SocketAddr::V6((*a).into()))?
        } else {
            let space = nix::cmsg_space!(in_pktinfo);
            self.receive_family::<SockaddrIn>(batch, space, |a| SocketAddr::V4((*a).into()))?
        };
        batch.adapt(count);
        Ok(count)
    }

    fn receive_family<S: SockaddrLike + Copy>(
        &self,
        batch: &mut RecvBatch,
        control_space: Vec<u8>,
        to_address: impl Fn(&S) -> SocketAddr,
    ) -> io::Result<usize> {
        let datagram_size = batch.datagram_size;
        let mut headers = MultiHeaders::<S>::preallocate(batch.asked, Some(control_space));
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = batch
            .buffer
            .chunks_exact_mut(datagram_size)
            .take(batch.asked)
            .map(|chunk| [IoSliceMut::new(chunk)])
            .collect();
        let results = recvmmsg(self.raw(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let mut count = 0;
        for message in results {
            count += 1;
            let truncated = message.flags.contains(MsgFlags::MSG_TRUNC);
            batch.oversized += u64::from(truncated);
            let peer = message.address.as_ref().map(&to_address);
            let (local, destination, ifindex) = packet_info(message.cmsgs().ok());
            batch.received.push(Received {
                // An oversized datagram keeps its place in the buffers, empty: no parser takes it.
                length: if truncated { 0 } else { message.bytes },
                peer: peer.unwrap_or(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))),
                local,
                destination,
                ifindex,
            });
        }
        Ok(count)
    }

    /// One `sendmmsg` for the next run of `batch`; what the kernel took is marked as sent.
    pub(super) fn send_now(&self, batch: &mut SendBatch, report: &mut SendReport) -> io::Result<()> {
        let run = batch.next_run();
        let sent = if self.is_ipv6 {
            self.send_family(batch, run, |peer| match peer {
                SocketAddr::V6(address) => Some(SockaddrIn6::from(address)),
                SocketAddr::V4(_) => None,
            })
        } else {
            self.send_family(batch, run, |peer| match peer {
                SocketAddr::V4(address) => Some(SockaddrIn::from(address)),
                SocketAddr::V6(_) => None,
            })
        }?;
        batch.next += sent;
        report.sent += sent;
        Ok(())
    }

    fn send_family<S: SockaddrLike + Copy>(
        &self,
        batch: &SendBatch,
        run: &[Message],
        to_raw: impl Fn(SocketAddr) -> Option<S>,
    ) -> io::Result<usize> {
        let Some(first) = run.first() else {
            return Ok(0);
        };
        let (addresses, slices, ends) = gather(batch, run, to_raw)?;
        let info = batch.items.get(first.item).and_then(|item| item.source).map(PacketInfo::new);
        let mut control = Vec::with_capacity(2);
        control.extend(info.as_ref().map(PacketInfo::message));
        if first.cut > 0 {
            control.push(ControlMessage::UdpGsoSegments(&first.cut));
        }
        if let [Some(peer)] = addresses.as_slice() {
            sendmsg(self.raw(), &slices, &control, MsgFlags::MSG_DONTWAIT, Some(peer))?;
            return Ok(1);
        }
        let mut start = 0;
        let parts: Vec<&[IoSlice<'_>]> = ends
            .iter()
            .map(|&end| {
                let part = slices.get(start..end).unwrap_or_default();
                start = end;
                part
            })
            .collect();
        let space = control_space(info.as_ref(), first.cut);
        let mut headers = MultiHeaders::<S>::preallocate(parts.len(), space);
        let flags = MsgFlags::MSG_DONTWAIT;
        let results = sendmmsg(self.raw(), &mut headers, parts.iter(), &addresses, &control, flags)?;
        Ok(results.count())
    }
}

/// The addresses of a run's messages, the slices of all of them, and where each message's slices end.
type Gathered<'a, S> = (Vec<Option<S>>, Vec<IoSlice<'a>>, Vec<usize>);

/// Stops at a peer of the other address family; an error if it is the first.
fn gather<'a, S>(
    batch: &'a SendBatch,
    run: &[Message],
    to_raw: impl Fn(SocketAddr) -> Option<S>,
) -> io::Result<Gathered<'a, S>> {
    let mut addresses = Vec::with_capacity(run.len());
    let mut slices = Vec::with_capacity(run.iter().map(|message| message.segments * 2).sum());
    let mut ends = Vec::with_capacity(run.len());
    for message in run {
        let peer = batch.items.get(message.item).and_then(|item| to_raw(item.peer));
        let Some(peer) = peer else {
            if addresses.is_empty() {
                return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
            }
            break;
        };
        addresses.push(Some(peer));
        batch.slices_of(message, &mut slices);
        ends.push(slices.len());
    }
    Ok((addresses, slices, ends))
}

/// Exactly the room that the control messages take: the kernel refuses slack as a malformed message.
fn control_space(info: Option<&PacketInfo>, cut: u16) -> Option<Vec<u8>> {
    match (info, cut) {
        (None, 0) => None,
        (None, _) => Some(nix::cmsg_space!(u16)),
        (Some(PacketInfo::V4(_)), 0) => Some(nix::cmsg_space!(in_pktinfo)),
        (Some(PacketInfo::V4(_)), _) => Some(nix::cmsg_space!(in_pktinfo, u16)),
        (Some(PacketInfo::V6(_)), 0) => Some(nix::cmsg_space!(in6_pktinfo)),
        (Some(PacketInfo::V6(_)), _) => Some(nix::cmsg_space!(in6_pktinfo, u16)),
    }
}

/// The control message that chooses source address and interface.
enum PacketInfo {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl PacketInfo {
    fn new(source: Source) -> Self {
        match source.address {
            IpAddr::V4(address) => Self::V4(in_pktinfo {
                ipi_ifindex: libc::c_int::try_from(source.ifindex).unwrap_or(0),
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            IpAddr::V6(address) => Self::V6(in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: source.ifindex,
            }),
        }
    }

    fn message(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

/// Local address, destination address and interface, from the control messages of a datagram.
fn packet_info(messages: Option<impl Iterator<Item = ControlMessageOwned>>) -> (IpAddr, IpAddr, u32) {
    for message in messages.into_iter().flatten() {
        match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let local = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                let destination = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
                let ifindex = u32::try_from(info.ipi_ifindex).unwrap_or(0);
                return (local.into(), destination.into(), ifindex);
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let local = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                return (local.into(), local.into(), info.ipi6_ifindex);
            }
            _ => {}
        }
    }
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    (unknown, unknown, 0)
}
