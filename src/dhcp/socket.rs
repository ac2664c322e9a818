//! One socket of port 67, 547 or 4011: the port's own, or one that hears what another program's socket gets.
//!
//! **Invariant**: both ways look the same to the server.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use crate::net::packet::PacketSocket;
use crate::net::udp::{RecvBatch, SendBatch, SendReport, Source, UdpSocket};

/// See the module.
#[derive(Debug)]
pub(super) enum Socket {
    Udp(UdpSocket),
    Packet(PacketSocket),
}

impl Socket {
    /// Whether what it hears may be for another host.
    pub(super) fn hears_others(&self) -> bool {
        matches!(self, Socket::Packet(_))
    }

    /// Hears `group` of IPv6 on the interface with this index.
    pub(super) fn join_v6(&self, group: Ipv6Addr, ifindex: u32) -> io::Result<()> {
        match self {
            Socket::Udp(socket) => socket.join_v6(group, ifindex),
            Socket::Packet(socket) => socket.join_v6(group, ifindex),
        }
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        match self {
            Socket::Udp(socket) => socket.local_addr(),
            Socket::Packet(socket) => socket.local_addr(),
        }
    }

    pub(super) async fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<()> {
        match self {
            Socket::Udp(socket) => socket.recv_batch(batch).await,
            Socket::Packet(socket) => socket.recv_batch(batch).await,
        }
    }

    pub(super) async fn send_batch(&self, batch: &mut SendBatch) -> SendReport {
        match self {
            Socket::Udp(socket) => socket.send_batch(batch).await,
            Socket::Packet(socket) => socket.send_batch(batch).await,
        }
    }

    pub(super) async fn send(&self, payload: &[u8], peer: SocketAddr, source: Option<Source>) -> io::Result<()> {
        let mut batch = SendBatch::default();
        batch.push(payload, peer, source);
        match self.send_batch(&mut batch).await.last_error {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
