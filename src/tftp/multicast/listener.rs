//! Requests of MTFTP clients, on a port of their own.
//!
//! **Invariant**: taking a request up never waits. What cannot be served gets silence: the client then asks by plain TFTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::options::BLKSIZE_DEFAULT;
use super::super::packet::{Mode, Packet};
use super::super::registry::Admission;
use super::super::server::Shared;
use super::super::source::ReadRequest;
use super::casts::{Casts, Wish};
use super::session::Flavor;
use crate::boot::FileName;
use crate::net::udp::{Datagram, RecvBatch, UdpSocket};

const BATCH: usize = 32;
const REQUEST_MAX: usize = 1_536;

/// Takes requests until the server ends.
pub(in super::super) async fn listen(socket: Arc<UdpSocket>, casts: Arc<Casts>, shared: Arc<Shared>) {
    let mut batch = RecvBatch::new(BATCH, REQUEST_MAX);
    loop {
        if let Err(error) = socket.recv_batch(&mut batch).await {
            tracing::warn!(%error, local = %socket.local_addr(), "MTFTP receive failed");
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        for datagram in batch.iter() {
            accept(&datagram, &casts, &shared);
        }
    }
}

fn accept(datagram: &Datagram<'_>, casts: &Arc<Casts>, shared: &Arc<Shared>) {
    let Ok(Packet::Read(request)) = Packet::parse(datagram.payload) else { return shared.counters.malformed() };
    shared.counters.request();
    let (Ok(file_name), true) = (FileName::parse(request.file_name), request.mode != Mode::Other) else {
        return shared.counters.refused();
    };
    let Datagram { peer, local, ifindex, .. } = *datagram;
    let Admission::New(permit) = shared.registry.admit(peer, datagram.payload) else { return };
    let request = ReadRequest { peer, local, ifindex, file_name };
    let (casts, shared) = (Arc::clone(casts), Arc::clone(shared));
    let runtime = shared.runtime.clone();
    runtime.spawn(async move {
        let Ok(content) = shared.source.open(&request).await else { return shared.counters.refused() };
        let option_ack = Vec::new();
        let wish = Wish { flavor: Flavor::Mtftp, request, permit, content, blksize: BLKSIZE_DEFAULT, option_ack };
        if casts.take_up(&shared, wish).is_err() {
            shared.counters.dropped_busy();
        }
    });
}

/// The addresses that are listened on: those of TFTP that are of IPv4.
pub(in super::super) fn addresses(bind: &[std::net::IpAddr], port: u16) -> impl Iterator<Item = SocketAddr> {
    bind.iter().filter(|address| address.is_ipv4()).map(move |address| SocketAddr::new(*address, port))
}
