//! The streams of a server, each with its socket and task.
//!
//! OACKs and blocks of a stream leave from one port, since clients take what comes from elsewhere for another's.
//!
//! **Invariant**: decides nothing about files or clients; at most [`STREAMS_MAX`] streams, each with as many machines as
//! a [`Session`] takes.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use ipnet::Ipv4Net;
use tokio::sync::mpsc;

use super::super::packet::{self, ErrorCode, Packet};
use super::super::registry::Permit;
use super::super::server::Shared;
use super::super::source::ReadRequest;
use super::option::{NAME, Offer};
use super::pace::Rate;
use super::session::{Flavor, Outgoing, Session};
use crate::files::Content;
use crate::net::udp::{BindOptions, RecvBatch, SendBatch, Source, UdpSocket};

/// Streams at a time.
pub const STREAMS_MAX: usize = 64;
/// Datagrams taken by one system call.
const BATCH: usize = 32;
/// Longest packet of a client: an ACK, or an ERROR with its text.
const DATAGRAM_MAX: usize = 600;
/// Octets of the file that are read at a time.
const PIECE: u64 = 128 * 1024;

/// How multicast is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MulticastConfig {
    /// Addresses of the streams' groups.
    pub groups: Ipv4Net,
    /// Port of the groups.
    pub port: u16,
    /// Routers that a stream may pass, and one more.
    pub hops: u32,
    /// Octets in a second that all streams together may send.
    pub rate: u64,
    /// MTFTP, where it is served too.
    pub mtftp: Option<MtftpConfig>,
}

/// How MTFTP is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtftpConfig {
    /// Port of requests; 1759.
    pub port: u16,
    /// The group that clients listen to, and its port there.
    pub group: (Ipv4Addr, u16),
}

/// What must be the same for machines to share a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    flavor: Flavor,
    /// What the source calls the file.
    name: String,
    tag: String,
    size: u64,
    blksize: u16,
    /// The address of ours, which is that of an interface.
    local: Ipv4Addr,
}

#[derive(Debug)]
struct Stream {
    group: Ipv4Addr,
    joins: mpsc::UnboundedSender<Join>,
}

/// A machine on its way into a stream.
#[derive(Debug)]
struct Join {
    request: ReadRequest,
    permit: Permit,
    /// Its OACK, but for the option `multicast`.
    option_ack: Vec<u8>,
}

/// A request that could be served by a stream.
pub(in super::super) struct Wish {
    pub(in super::super) flavor: Flavor,
    pub(in super::super) request: ReadRequest,
    pub(in super::super) permit: Permit,
    pub(in super::super) content: Content,
    pub(in super::super) blksize: u16,
    pub(in super::super) option_ack: Vec<u8>,
}

/// The streams of a server.
pub(in super::super) struct Casts {
    pub(in super::super) config: MulticastConfig,
    rate: Rate,
    streams: Mutex<HashMap<Key, Stream>>,
}

impl Casts {
    pub(in super::super) fn new(config: MulticastConfig) -> Arc<Casts> {
        Arc::new(Casts { rate: Rate::new(config.rate), streams: Mutex::default(), config })
    }

    /// Takes a machine into the stream of this file, which begins where there is none.
    ///
    /// # Errors
    /// Gives the wish back where no stream can serve it.
    pub(in super::super) fn take_up(self: &Arc<Self>, shared: &Arc<Shared>, wish: Wish) -> Result<(), Box<Wish>> {
        let (IpAddr::V4(local), Some(name)) = (wish.request.local, shared.source.shared_name(&wish.request)) else {
            return Err(Box::new(wish));
        };
        let key = Key {
            flavor: wish.flavor,
            name,
            tag: if wish.content.as_memory().is_some() { String::new() } else { wish.content.etag() },
            size: wish.content.len(),
            blksize: wish.blksize,
            local,
        };
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|_, stream| !stream.joins.is_closed());
        if !streams.contains_key(&key) {
            let Some(stream) = self.begin(shared, &key, &wish.content, &streams) else { return Err(Box::new(wish)) };
            streams.insert(key.clone(), stream);
        }
        let Some(stream) = streams.get(&key) else { return Err(Box::new(wish)) };
        let Wish { flavor, request, permit, content, blksize, option_ack } = wish;
        // The same request again is a question of the stream's own: who is master?
        permit.mark_heard();
        stream.joins.send(Join { request, permit, option_ack }).map_err(|mpsc::error::SendError(join)| {
            let Join { request, permit, option_ack } = join;
            Box::new(Wish { flavor, request, permit, content, blksize, option_ack })
        })
    }

    fn begin(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        key: &Key,
        content: &Content,
        streams: &HashMap<Key, Stream>,
    ) -> Option<Stream> {
        let session = Session::new(key.flavor, key.size, key.blksize, Instant::now())?;
        let is_free = |group: &Ipv4Addr| !streams.values().any(|stream| stream.group == *group);
        let (group, port) = match (key.flavor, &self.config.mtftp) {
            (Flavor::Option, _) => {
                let group = self.config.groups.hosts().take(STREAMS_MAX).find(is_free)?;
                (group, self.config.port)
            }
            // The clients know one group: one file at a time.
            (Flavor::Mtftp, Some(mtftp)) => (Some(mtftp.group.0).filter(is_free)?, mtftp.group.1),
            (Flavor::Mtftp, None) => return None,
        };
        let socket = match bind(key.local, shared.config.port_range.clone(), self.config.hops) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, address = %key.local, "no socket for a multicast stream: the file goes by unicast");
                return None;
            }
        };
        let (joins, joining) = mpsc::unbounded_channel();
        let to_group = SocketAddr::from((group, port));
        tracing::debug!(group = %to_group, size = key.size, blksize = key.blksize, "multicast stream begins");
        let task = StreamTask {
            shared: Arc::downgrade(shared),
            casts: Arc::clone(self),
            content: content.clone(),
            blksize: key.blksize,
            group: to_group,
            source: Source { address: key.local.into(), ifindex: 0 },
            session,
            machines: HashMap::new(),
            piece: (0, Bytes::new()),
        };
        shared.runtime.spawn(task.run(socket, joining));
        Some(Stream { group, joins })
    }
}

fn bind(local: Ipv4Addr, ports: Option<RangeInclusive<u16>>, hops: u32) -> io::Result<UdpSocket> {
    let mut result = Err(io::Error::other("no port"));
    for port in ports.unwrap_or(0..=0) {
        result = UdpSocket::bind(&BindOptions::new(SocketAddr::from((local, port)))).map_err(io::Error::other);
        if result.is_ok() {
            break;
        }
    }
    let socket = result?;
    socket.send_to_groups_from(local, hops)?;
    Ok(socket)
}

/// A machine of a stream.
struct Machine {
    request: ReadRequest,
    option_ack: Vec<u8>,
    _permit: Permit,
}

struct StreamTask {
    shared: Weak<Shared>,
    casts: Arc<Casts>,
    content: Content,
    blksize: u16,
    group: SocketAddr,
    source: Source,
    session: Session,
    machines: HashMap<SocketAddr, Machine>,
    /// Octets of the file, from this offset on.
    piece: (u64, Bytes),
}

impl StreamTask {
    async fn run(mut self, socket: UdpSocket, mut joins: mpsc::UnboundedReceiver<Join>) {
        let mut batch = RecvBatch::new(BATCH, DATAGRAM_MAX);
        let mut is_open = true;
        loop {
            let deadline = self.session.deadline();
            let outgoing = tokio::select! {
                biased;
                received = socket.recv_batch(&mut batch) => match received {
                    Ok(()) => self.received(&batch),
                    Err(error) => {
                        tracing::warn!(%error, "multicast receive failed");
                        break;
                    }
                },
                join = joins.recv(), if is_open => match join {
                    Some(join) => self.join(join),
                    None => {
                        is_open = false;
                        Vec::new()
                    }
                },
                () = sleep_until(deadline), if deadline.is_some() => self.session.timeout(Instant::now()),
            };
            let sent = self.send(outgoing, &socket).await;
            self.tell_ended();
            if let Err(error) = sent {
                tracing::warn!(%error, "the file of a multicast stream cannot be read");
                break;
            }
            if self.session.deadline().is_none() {
                // Whoever comes now begins another stream; who came in this moment is still served.
                joins.close();
                if !is_open {
                    break;
                }
            }
        }
        self.give_up(&socket).await;
    }

    fn received(&mut self, batch: &RecvBatch) -> Vec<Outgoing> {
        let now = Instant::now();
        let mut outgoing = Vec::new();
        for datagram in batch.iter() {
            if let Ok(packet) = Packet::parse(datagram.payload) {
                outgoing.extend(self.session.packet(datagram.peer, &packet, now));
            }
        }
        // Of two blocks that one batch of acknowledgements asks for the later one counts.
        let last_block = outgoing.iter().rposition(|one| matches!(one, Outgoing::Block(_)));
        let mut at = 0;
        outgoing.retain(|one| {
            let is_kept = !matches!(one, Outgoing::Block(_)) || Some(at) == last_block;
            at += 1;
            is_kept
        });
        outgoing
    }

    fn join(&mut self, join: Join) -> Vec<Outgoing> {
        let Join { request, permit, option_ack } = join;
        let peer = request.peer;
        if !self.session.has_room() && !self.machines.contains_key(&peer) {
            return Vec::new();
        }
        self.machines.insert(peer, Machine { request, option_ack, _permit: permit });
        self.session.join(peer, Instant::now())
    }

    async fn send(&mut self, outgoing: Vec<Outgoing>, socket: &UdpSocket) -> io::Result<()> {
        let group = match self.group {
            SocketAddr::V4(group) => Some((*group.ip(), group.port())),
            SocketAddr::V6(_) => None,
        };
        for one in outgoing {
            let (packet, to) = match one {
                Outgoing::Accept { to, is_master } => {
                    let head = self.machines.get(&to).map(|machine| machine.option_ack.clone()).unwrap_or_default();
                    (option_ack(head, Offer { group, is_master }), to)
                }
                // RFC 2090 lets address and port be left out here, which atftp takes for a mistake.
                Outgoing::HandOver { to } => (option_ack(packet::option_ack([]), Offer { group, is_master: true }), to),
                Outgoing::Block(block) => (self.block(block).await?, self.group),
                Outgoing::BlockTo { to, block } => (self.block(block).await?, to),
            };
            self.casts.rate.take(packet.len()).await;
            let mut out = SendBatch::default();
            out.push(&packet, to, Some(self.source));
            let report = socket.send_batch(&mut out).await;
            if let (Some(error), Some(shared)) = (report.last_error, self.shared.upgrade()) {
                shared.counters.send_failed(report.failed, &error);
            }
            self.session.restart_timer(Instant::now());
        }
        Ok(())
    }

    /// The DATA packet of a block.
    async fn block(&mut self, block: u64) -> io::Result<Vec<u8>> {
        let blksize = u64::from(self.blksize);
        let offset = (block.saturating_sub(1)) * blksize;
        let length = blksize.min(self.content.len().saturating_sub(offset));
        let end = self.piece.0 + self.piece.1.len() as u64;
        if offset < self.piece.0 || offset + length > end {
            let length = (PIECE / blksize).max(1) * blksize;
            self.piece = (offset, self.content.read_at(offset, usize::try_from(length).unwrap_or(0)).await?);
        }
        let from = usize::try_from(offset - self.piece.0).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let bytes = self.piece.1.get(from..to).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok([&packet::data_header((block & 0xFFFF) as u16)[..], bytes].concat())
    }

    fn tell_ended(&mut self) {
        for (peer, outcome) in self.session.take_ended() {
            let (Some(machine), Some(shared)) = (self.machines.remove(&peer), self.shared.upgrade()) else { continue };
            shared.counters.finished(&outcome);
            shared.source.finished(&machine.request, &outcome);
        }
    }

    /// Tells those who are still there that nothing more will come.
    async fn give_up(mut self, socket: &UdpSocket) {
        let error = packet::error(ErrorCode::NotDefined, "the multicast transfer has ended");
        for peer in self.session.fail(Instant::now()) {
            let _ = socket.send(&error, peer, Some(self.source)).await;
        }
        self.tell_ended();
    }
}

fn option_ack(mut packet: Vec<u8>, offer: Offer) -> Vec<u8> {
    packet.extend(NAME.bytes());
    packet.push(0);
    packet.extend(offer.to_string().bytes());
    packet.push(0);
    packet
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
