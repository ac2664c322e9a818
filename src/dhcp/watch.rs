//! Listens to what other DHCP servers broadcast to clients, to warn of those that keep clients from us.
//!
//! On a network without relay agents their offers go to port 68, which a server does not see. A socket that is bound to
//! the broadcast address hears them, and takes nothing from a DHCP client on this host, whose answers are unicast or come
//! to both.
//!
//! **Invariant**: sends nothing. Where the port cannot be had, the server does without.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::counters::Counters;
use super::host::Host;
use super::neighbors::Neighbors;
use super::packet::{Message, PACKET_LEN_MAX};
use crate::net::udp::{BindOptions, RecvBatch, UdpSocket};

const BATCH_LEN: usize = 16;
/// Servers' packets come in bursts, of which a few are enough: the pause keeps a busy network from costing anything.
const PAUSE: Duration = Duration::from_millis(50);

/// The socket, if it can be had.
pub(super) fn watching_socket(port: u16) -> Option<UdpSocket> {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), port);
    let options = BindOptions { reuse_address: true, ..BindOptions::new(address) };
    UdpSocket::bind(&options).inspect_err(|error| debug!(%error, "other DHCP servers are not watched")).ok()
}

/// Watches until `stop` is cancelled.
pub(super) async fn watch(socket: UdpSocket, counters: Arc<Counters>, stop: CancellationToken) {
    let (mut host, mut neighbors) = (Host::new(Instant::now()), Neighbors::default());
    let mut received = RecvBatch::new(BATCH_LEN, PACKET_LEN_MAX);
    while let Some(result) = stop.run_until_cancelled(socket.recv_batch(&mut received)).await {
        let now = Instant::now();
        host.refresh(now);
        let datagrams = received.iter().filter(|_| result.is_ok());
        for datagram in datagrams {
            let IpAddr::V4(sender) = datagram.peer.ip() else { continue };
            // Our own broadcasts come back to us.
            if host.has(sender) {
                continue;
            }
            if let Ok(message) = Message::parse(datagram.payload) {
                counters.conflicts.add(neighbors.look_at(&message, sender, now, |address| host.has(address)));
            }
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
}
