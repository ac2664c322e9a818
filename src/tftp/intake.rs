//! From a request to a transfer: admission, the question to the source, negotiation, a socket.
//!
//! **Invariant**: taking a request up never waits; the question runs in a task of its own, one for each
//! permit, so the number of tasks is bounded by the number of transfers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::multicast::session::Flavor;
use super::multicast::{self, Wish};
use super::options::{BLKSIZE_DEFAULT, Limits, negotiate};
use super::packet::{self, ErrorCode, Mode, Packet, Request, RequestOption};
use super::pool::Pool;
use super::reader::Reader;
use super::registry::{Admission, Permit};
use super::server::Shared;
use super::socket_task::{Command, Job, Repetition};
use super::source::{ReadRequest, Refusal};
use super::transfer::TransferPlan;
use crate::boot::FileName;
use crate::files::Content;
use crate::net::interfaces::mtu_of_index;
use crate::net::udp::{Datagram, Source};

/// IPv4 or IPv6 header, UDP header, TFTP header: what a packet needs beside the block.
const OVERHEAD_IPV4: u32 = 20 + 8 + 4;
const OVERHEAD_IPV6: u32 = 40 + 8 + 4;
/// How long an interface's MTU is believed.
const MTU_BELIEVED: Duration = Duration::from_secs(10);

/// MTUs by interface index, asked for again from time to time.
#[derive(Debug, Default)]
pub(super) struct MtuMemory(Mutex<HashMap<u32, (u32, Instant)>>);

impl MtuMemory {
    fn of(&self, ifindex: u32) -> u32 {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((mtu, at)) = memory.get(&ifindex)
            && now.saturating_duration_since(*at) < MTU_BELIEVED
        {
            return *mtu;
        }
        let mtu = mtu_of_index(ifindex);
        memory.insert(ifindex, (mtu, now));
        mtu
    }
}

/// A request on its way to becoming a transfer.
struct Incoming {
    listener: usize,
    /// The bytes after the check that they are a read request.
    bytes: Bytes,
    request: ReadRequest,
    permit: Permit,
}

impl Shared {
    /// Takes up a datagram of a listening socket.
    pub(super) fn accept(self: &Arc<Self>, listener: usize, datagram: &Datagram<'_>) {
        let request = match Packet::parse(datagram.payload) {
            Ok(Packet::Read(request)) => request,
            Ok(Packet::Write(_)) => {
                self.counters.request();
                let text = "this server is read-only";
                return self.refuse(listener, datagram, ErrorCode::IllegalOperation, text);
            }
            // Late packets of clients that believe port 69 to be their transfer's: no answer, no harm.
            Ok(_) | Err(_) => return self.counters.malformed(),
        };
        self.counters.request();
        if request.mode == Mode::Other {
            let text = "only octet and netascii modes are served";
            return self.refuse(listener, datagram, ErrorCode::IllegalOperation, text);
        }
        if request.mode == Mode::NetAscii {
            tracing::debug!(peer = %datagram.peer, "netascii request served as octet");
        }
        let file_name = match FileName::parse(request.file_name) {
            Ok(name) => name,
            Err(error) => {
                let text = error.to_string();
                return self.refuse(listener, datagram, ErrorCode::AccessViolation, &text);
            }
        };
        match self.registry.admit(datagram.peer, datagram.payload) {
            Admission::New(permit) => self.serve(Incoming {
                listener,
                bytes: Bytes::copy_from_slice(datagram.payload),
                request: ReadRequest {
                    peer: datagram.peer,
                    local: datagram.local,
                    ifindex: datagram.ifindex,
                    file_name,
                },
                permit,
            }),
            Admission::Opening => {}
            Admission::Repeated(socket) => {
                if let Some(socket) = self.pool(listener).and_then(|pool| pool.get(socket)) {
                    let _ = socket.commands.send(Command::Repeat(Box::new(Repetition {
                        listener,
                        payload: Bytes::copy_from_slice(datagram.payload),
                        peer: datagram.peer,
                        local: datagram.local,
                        ifindex: datagram.ifindex,
                    })));
                }
            }
            // No answer: the client asks again, and a forged one gains nothing.
            Admission::Full => self.counters.dropped_busy(),
        }
    }

    fn pool(&self, listener: usize) -> Option<&Pool> {
        self.pools.get().and_then(|pools| pools.get(listener))
    }

    fn refuse(self: &Arc<Self>, listener: usize, datagram: &Datagram<'_>, code: ErrorCode, text: &str) {
        self.counters.refused();
        tracing::debug!(peer = %datagram.peer, text, "tftp request refused");
        let packet = packet::error(code, text);
        self.send_error(listener, packet, datagram.peer, datagram.local);
    }

    fn send_error(self: &Arc<Self>, listener: usize, packet: Vec<u8>, peer: SocketAddr, local: IpAddr) {
        let Some(socket) = self.pool(listener).and_then(|pool| pool.pick(None, self)) else {
            return;
        };
        let source = Source { address: local, ifindex: 0 };
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            if let Err(error) = socket.socket.send(&packet, peer, Some(source)).await {
                shared.counters.send_failed(1, &error);
            }
        });
    }

    fn serve(self: &Arc<Self>, incoming: Incoming) {
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            let answer = shared.source.open(&incoming.request).await;
            let (listener, peer, local) = (incoming.listener, incoming.request.peer, incoming.request.local);
            let (code, text) = match answer {
                Ok(content) => return shared.begin(incoming, content),
                Err(Refusal::NotFound) => (ErrorCode::NotFound, "file not found".to_owned()),
                Err(Refusal::Denied(reason)) => (ErrorCode::AccessViolation, reason),
                Err(Refusal::Busy) => return shared.counters.dropped_busy(),
            };
            shared.counters.refused();
            let packet = packet::error(code, &text);
            shared.send_error(listener, packet, peer, local);
        });
    }

    /// Negotiates, and hands the transfer to a socket.
    fn begin(self: &Arc<Self>, incoming: Incoming, content: Content) {
        let Incoming { listener, bytes, request, permit } = incoming;
        let options = requested_options(&bytes);
        let Some((request, permit)) = self.unless_by_multicast(&options, request, permit, &content) else { return };
        let negotiation = negotiate(&options, content.len(), self.limits_for(&request));
        let agreed = negotiation.agreed;
        let Some(socket) = self.pool(listener).and_then(|pool| pool.pick(permit.avoid, self)) else {
            return;
        };
        let job = Job {
            plan: TransferPlan { size: content.len(), agreed, has_option_ack: negotiation.option_ack.is_some() },
            option_ack: negotiation.option_ack.unwrap_or_default().into(),
            reader: Reader::new(content, agreed.blksize, agreed.windowsize, &self.file_readers),
            request,
            permit,
        };
        job.permit.served_from(socket.id);
        socket.load.fetch_add(1, Ordering::Relaxed);
        let _ = socket.commands.send(Command::Start(Box::new(job)));
    }

    /// Takes the request into a stream where that is asked for and served; gives it back elsewhere.
    fn unless_by_multicast(
        self: &Arc<Self>,
        options: &[RequestOption<'_>],
        request: ReadRequest,
        permit: Permit,
        content: &Content,
    ) -> Option<(ReadRequest, Permit)> {
        let asks = |option: &RequestOption<'_>| option.name.eq_ignore_ascii_case(multicast::option::NAME.as_bytes());
        let Some(casts) = self.casts.as_ref().filter(|_| options.iter().any(asks)) else {
            return Some((request, permit));
        };
        // The master's acknowledgement of each block is the window.
        let is_kept = |option: &&RequestOption<'_>| !option.name.eq_ignore_ascii_case(b"windowsize") && !asks(option);
        let kept: Vec<RequestOption<'_>> = options.iter().filter(is_kept).copied().collect();
        let negotiation = negotiate(&kept, content.len(), self.limits_for(&request));
        let option_ack = negotiation.option_ack.unwrap_or_else(|| packet::option_ack([]));
        let (flavor, blksize) = (Flavor::Option, negotiation.agreed.blksize);
        let wish = Wish { flavor, request, permit, content: content.clone(), blksize, option_ack };
        casts.take_up(self, wish).err().map(|back| (back.request, back.permit))
    }

    /// The block size that the path back to the client carries in one piece, within the configured one.
    fn limits_for(&self, request: &ReadRequest) -> Limits {
        let overhead = if is_ipv4(request.peer.ip()) { OVERHEAD_IPV4 } else { OVERHEAD_IPV6 };
        let fits = self.mtus.of(request.ifindex).saturating_sub(overhead);
        let configured = self
            .config
            .blksize_max
            .min(self.source.blksize_max(request).map_or(u16::MAX, |octets| octets.max(BLKSIZE_DEFAULT)));
        Limits {
            blksize_max: u16::try_from(fits).unwrap_or(u16::MAX).min(configured),
            windowsize_max: self.config.windowsize_max,
        }
    }
}

fn requested_options(bytes: &[u8]) -> Vec<RequestOption<'_>> {
    match Packet::parse(bytes) {
        Ok(Packet::Read(Request { options, .. })) => options,
        _ => Vec::new(),
    }
}

fn is_ipv4(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(_))
}
