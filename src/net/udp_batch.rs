//! The batches of [`super::udp`]: buffers that one system call fills or empties.
//!
//! **Invariant**: no system call here; `udp_calls` makes them.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use nix::libc;

use super::udp::UdpSocket;

/// The kernel cuts at most this many segments from one datagram (`UDP_MAX_SEGMENTS` of older kernels).
const SEGMENTS_MAX: usize = 64;
/// What fits one IPv4 UDP datagram.
const DATAGRAM_MAX: usize = 65_507;
/// Messages given to one `sendmmsg`.
const MESSAGES_PER_CALL: usize = 64;

/// One datagram as it came in; borrowed from a [`RecvBatch`].
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The bytes.
    pub payload: &'a [u8],
    /// Who sent it.
    pub peer: SocketAddr,
    /// The address of ours to answer from: where it was sent to, or, for a broadcast, an address of
    /// the interface it came in on.
    pub local: IpAddr,
    /// The destination address in its header: ours, or a broadcast or multicast address.
    pub destination: IpAddr,
    /// Index of the interface that it came in on; 0 when the kernel did not say.
    pub ifindex: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) peer: SocketAddr,
    pub(super) local: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ifindex: u32,
}

/// Room for a batch of datagrams, and those of the last receive.
#[derive(Debug)]
pub struct RecvBatch {
    pub(super) buffer: Vec<u8>,
    pub(super) datagram_size: usize,
    /// Datagrams asked for by the next call: grows with the load, so that a quiet socket does little.
    pub(super) asked: usize,
    pub(super) received: Vec<Received>,
    /// Datagrams longer than the room for one, dropped so far.
    pub oversized: u64,
}

impl RecvBatch {
    /// Room for `capacity` datagrams of up to `datagram_size` bytes; longer ones are dropped and counted.
    pub fn new(capacity: usize, datagram_size: usize) -> Self {
        let (capacity, datagram_size) = (capacity.max(1), datagram_size.max(1));
        Self {
            buffer: vec![0; capacity * datagram_size],
            datagram_size,
            asked: capacity.min(ASKED_AT_FIRST),
            received: Vec::with_capacity(capacity),
            oversized: 0,
        }
    }

    /// The datagrams of the last receive.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.buffer.chunks_exact(self.datagram_size).zip(&self.received).filter_map(|(bytes, meta)| {
            Some(Datagram {
                payload: bytes.get(..meta.length)?,
                peer: meta.peer,
                local: meta.local,
                destination: meta.destination,
                ifindex: meta.ifindex,
            })
        })
    }

    /// How many datagrams the next call asks for.
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    pub(super) fn adapt(&mut self, received: usize) {
        let capacity = self.buffer.len() / self.datagram_size;
        self.asked = if received >= self.asked {
            (self.asked * 4).min(capacity)
        } else {
            self.asked.min((received * 2).max(ASKED_AT_FIRST)).min(capacity)
        };
    }
}

const ASKED_AT_FIRST: usize = 4;

/// Where a datagram is to leave from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Our address in its header.
    pub address: IpAddr,
    /// The interface it must leave by; 0 lets the routing table choose.
    pub ifindex: u32,
}

/// What happened to the datagrams of a [`SendBatch`].
#[derive(Debug, Default)]
pub struct SendReport {
    /// Datagrams that the kernel took (a segmented one counts once).
    pub sent: usize,
    /// Datagrams that it refused.
    pub failed: usize,
    /// The last refusal.
    pub last_error: Option<io::Error>,
}

/// One datagram, or a run of segments to one peer.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) peer: SocketAddr,
    pub(super) source: Option<Source>,
    /// Offset in `scratch` of the first prefix, and the length of each.
    prefix: (usize, usize),
    payload: Bytes,
    payload_per_segment: usize,
    segments: usize,
}

/// One message for the kernel: `segments` of item `item` from `first` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) item: usize,
    first: usize,
    pub(super) segments: usize,
    /// Bytes per segment when the kernel is to cut, else 0.
    pub(super) cut: u16,
}

/// Datagrams to be sent together.
#[derive(Debug, Default)]
pub struct SendBatch {
    scratch: Vec<u8>,
    pub(super) items: Vec<Item>,
    messages: Vec<Message>,
    pub(super) next: usize,
}

impl SendBatch {
    /// Adds one datagram; its bytes are copied.
    pub fn push(&mut self, payload: &[u8], peer: SocketAddr, source: Option<Source>) {
        let start = self.scratch.len();
        self.scratch.extend_from_slice(payload);
        self.items.push(Item {
            peer,
            source,
            prefix: (start, payload.len()),
            payload: Bytes::new(),
            payload_per_segment: 0,
            segments: 1,
        });
    }

    /// Adds a run of datagrams to one peer: `prefixes` holds one prefix of `P` bytes for each, `payload` is
    /// cut into `payload_per_segment` bytes for each (the last may be shorter or empty) and is not copied.
    pub fn push_segments<const P: usize>(
        &mut self,
        prefixes: impl Iterator<Item = [u8; P]>,
        payload: Bytes,
        payload_per_segment: usize,
        peer: SocketAddr,
        source: Option<Source>,
    ) {
        let start = self.scratch.len();
        let mut segments = 0;
        for prefix in prefixes {
            self.scratch.extend_from_slice(&prefix);
            segments += 1;
        }
        if segments > 0 {
            self.items.push(Item { peer, source, prefix: (start, P), payload, payload_per_segment, segments });
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What was pushed as one datagram each, for a socket that has no use for runs.
    pub(super) fn whole_datagrams(&self) -> impl Iterator<Item = (&[u8], SocketAddr, Option<Source>)> {
        let octets = |(start, length): (usize, usize)| self.scratch.get(start..start + length);
        self.items.iter().filter_map(move |item| Some((octets(item.prefix)?, item.peer, item.source)))
    }

    pub(super) fn clear(&mut self) {
        self.scratch.clear();
        self.items.clear();
        self.messages.clear();
        self.next = 0;
    }

    pub(super) fn is_sent(&self) -> bool {
        self.next >= self.messages.len()
    }

    /// Makes the list of messages: long runs in as few as possible, messages of one kind side by side.
    pub(super) fn prepare(&mut self, may_cut: bool) {
        self.messages.clear();
        self.next = 0;
        let mut run: Option<(SocketAddr, u16)> = None;
        for (index, item) in self.items.iter().enumerate() {
            let size = item.prefix.1 + item.payload_per_segment;
            // A remainder of one segment keeps the mark (the kernel ignores it there), so that sorting
            // leaves the run in its order.
            let cut_size = u16::try_from(size).unwrap_or(0);
            let cuts = may_cut && item.segments > 1 && cut_size > 0;
            let (per_message, cut) =
                if cuts { ((DATAGRAM_MAX / size).clamp(1, SEGMENTS_MAX), cut_size) } else { (1, 0) };
            // So does a single segment that goes on a run to the same peer: it must not overtake it.
            let cut = match run {
                Some((peer, mark)) if cut == 0 && peer == item.peer && size <= usize::from(mark) => mark,
                _ => cut,
            };
            run = (cut > 0).then_some((item.peer, cut));
            let mut first = 0;
            while first < item.segments {
                let segments = per_message.min(item.segments - first);
                self.messages.push(Message { item: index, first, segments, cut });
                first += segments;
            }
        }
        if self.messages.len() > 1 {
            let items = &self.items;
            self.messages.sort_by_key(|m| (items.get(m.item).and_then(|i| i.source), m.cut));
        }
    }

    /// Drops the message that the kernel refused, or cuts it ourselves if cutting was the trouble.
    pub(super) fn skip_failed(&mut self, error: io::Error, socket: &UdpSocket, report: &mut SendReport) {
        let Some(&refused) = self.messages.get(self.next) else {
            return;
        };
        if error.kind() == io::ErrorKind::Interrupted {
            return;
        }
        self.next += 1;
        let about_cutting =
            matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP));
        if refused.cut == 0 || !about_cutting {
            report.failed += 1;
            report.last_error = Some(error);
            return;
        }
        if error.raw_os_error() != Some(libc::EINVAL) {
            // EINVAL speaks of this path's MTU only; the others of the driver.
            socket.offload_works.store(false, Ordering::Relaxed);
        }
        let singles = (0..refused.segments).map(|offset| Message {
            item: refused.item,
            first: refused.first + offset,
            segments: 1,
            cut: 0,
        });
        self.messages.splice(self.next..self.next, singles);
    }

    /// The messages from the next on that share one source and one way of cutting.
    pub(super) fn next_run(&self) -> &[Message] {
        let rest = self.messages.get(self.next..).unwrap_or_default();
        let key = |m: &Message| (self.items.get(m.item).and_then(|i| i.source), m.cut);
        let Some(first) = rest.first().map(key) else {
            return rest;
        };
        let length = rest.iter().take(MESSAGES_PER_CALL).take_while(|m| key(m) == first).count();
        rest.get(..length).unwrap_or_default()
    }

    pub(super) fn slices_of<'a>(&'a self, message: &Message, into: &mut Vec<IoSlice<'a>>) {
        let Some(item) = self.items.get(message.item) else {
            return;
        };
        let (start, prefix) = item.prefix;
        for segment in message.first..message.first + message.segments {
            let at = start + segment * prefix;
            into.push(IoSlice::new(self.scratch.get(at..at + prefix).unwrap_or_default()));
            let from = (segment * item.payload_per_segment).min(item.payload.len());
            let to = (from + item.payload_per_segment).min(item.payload.len());
            if to > from {
                into.push(IoSlice::new(item.payload.get(from..to).unwrap_or_default()));
            }
        }
    }
}
