//! One transfer socket: receives for many transfers in batches, and sends for them in batches.
//!
//! A packet belongs to the transfer of its sender's address and port; the socket's own port is the other
//! half of the pair (RFC 1350 section 4).
//!
//! **Invariant**: decides nothing; it carries packets to [`Transfer`]s, and what they want sent out.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::packet::{self, ErrorCode, Packet};
use super::reader::{Fetched, Reader};
use super::registry::Permit;
use super::server::Shared;
use super::source::ReadRequest;
use super::transfer::{Action, Transfer, TransferPlan, wire_number};
use crate::net::udp::{Datagram, RecvBatch, SendBatch, Source, UdpSocket};

/// Datagrams taken by one system call.
const BATCH: usize = 64;
/// Longest datagram of interest, in octets: requests may use a whole Ethernet frame.
const DATAGRAM_MAX: usize = 1_536;
/// How long packets of a finished transfer are ignored instead of answered with ERROR 5.
const LINGER: Duration = Duration::from_secs(5);
/// Finished transfers remembered for that.
const LINGERING_MAX: usize = 1_024;
/// Waiting time of a socket without transfers.
const IDLE: Duration = Duration::from_secs(3_600);

/// A transfer to be served.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) permit: Permit,
    pub(super) request: ReadRequest,
    pub(super) plan: TransferPlan,
    pub(super) option_ack: Bytes,
    pub(super) reader: Reader,
}

/// A request that came again, as it came.
#[derive(Debug)]
pub(super) struct Repetition {
    pub(super) listener: usize,
    pub(super) payload: Bytes,
    pub(super) peer: SocketAddr,
    pub(super) local: IpAddr,
    pub(super) ifindex: u32,
}

/// What a socket's task is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Serve this transfer.
    Start(Box<Job>),
    /// A client repeats its request.
    Repeat(Box<Repetition>),
    /// Content that a transfer waited for.
    Fetched(Fetched),
}

#[derive(Debug)]
struct Slot {
    transfer: Transfer,
    request: ReadRequest,
    option_ack: Bytes,
    reader: Reader,
    permit: Permit,
    is_heard: bool,
    /// The disk must have answered by then; none while nothing is awaited from it.
    disk_deadline: Option<Instant>,
}

impl Slot {
    /// When the slot is to be looked at next; none once the transfer is over.
    fn deadline(&self) -> Option<Instant> {
        let deadline = self.transfer.deadline()?;
        // While the disk is slow, the client's silence means nothing.
        Some(self.disk_deadline.unwrap_or(deadline))
    }
}

/// The task's state.
pub(super) struct SocketTask {
    pub(super) shared: Arc<Shared>,
    /// The listener whose requests this socket takes as well (single port).
    pub(super) listener: Option<usize>,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) load: Arc<AtomicUsize>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) sender: mpsc::WeakUnboundedSender<Command>,
    transfers: HashMap<SocketAddr, Slot>,
    lingering: HashMap<SocketAddr, Instant>,
    out: SendBatch,
    wake_at: Instant,
}

impl SocketTask {
    pub(super) fn new(
        shared: Arc<Shared>,
        listener: Option<usize>,
        socket: Arc<UdpSocket>,
        load: Arc<AtomicUsize>,
        commands: mpsc::UnboundedReceiver<Command>,
        sender: mpsc::WeakUnboundedSender<Command>,
    ) -> Self {
        Self {
            shared,
            listener,
            socket,
            load,
            commands,
            sender,
            transfers: HashMap::new(),
            lingering: HashMap::new(),
            out: SendBatch::default(),
            wake_at: Instant::now() + IDLE,
        }
    }

    /// Serves until all senders of commands are gone.
    pub(super) async fn run(mut self) {
        let socket = Arc::clone(&self.socket);
        let mut batch = RecvBatch::new(BATCH, DATAGRAM_MAX);
        let sleep = tokio::time::sleep_until(self.wake_at.into());
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                received = socket.recv_batch(&mut batch) => match received {
                    Ok(()) => self.receive(&batch),
                    Err(error) => {
                        tracing::warn!(%error, local = %socket.local_addr(), "tftp receive failed");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                () = &mut sleep => self.wake(),
            }
            if !self.out.is_empty() {
                let report = socket.send_batch(&mut self.out).await;
                if let Some(error) = report.last_error {
                    self.shared.counters.send_failed(report.failed, &error);
                }
            }
            if sleep.deadline().into_std() != self.wake_at {
                sleep.as_mut().reset(self.wake_at.into());
            }
        }
    }

    fn receive(&mut self, batch: &RecvBatch) {
        let now = Instant::now();
        for datagram in batch.iter() {
            match Packet::parse(datagram.payload) {
                Ok(packet) => self.take(&datagram, &packet, now),
                Err(_) => self.shared.counters.malformed(),
            }
        }
    }

    fn take(&mut self, datagram: &Datagram<'_>, packet: &Packet<'_>, now: Instant) {
        let client = datagram.peer;
        let is_request = matches!(packet, Packet::Read(_) | Packet::Write(_));
        if let (Some(listener), true) = (self.listener, is_request) {
            self.shared.accept(listener, datagram);
            return;
        }
        let Some(slot) = self.transfers.get_mut(&client) else {
            self.answer_foreign(datagram, packet, now);
            return;
        };
        if !slot.is_heard {
            slot.is_heard = true;
            slot.permit.mark_heard();
        }
        if slot.reader.is_waiting() && matches!(packet, Packet::Ack { .. }) {
            // The window that this ACK asks for is being read already.
            return;
        }
        let action = slot.transfer.handle_packet(packet, now);
        self.act(client, action, now);
    }

    /// RFC 1350 section 4: a packet from an unknown port is answered with ERROR 5, transfers go on. Never
    /// for an ERROR (two servers would talk forever), nor for what comes late from a finished transfer.
    fn answer_foreign(&mut self, datagram: &Datagram<'_>, packet: &Packet<'_>, now: Instant) {
        let lingers = self.lingering.get(&datagram.peer).is_some_and(|until| *until > now);
        if lingers || matches!(packet, Packet::Error { .. }) {
            return;
        }
        self.shared.counters.foreign();
        let error = packet::error(ErrorCode::UnknownTransferId, "unknown transfer id");
        let source = Source { address: datagram.local, ifindex: 0 };
        self.out.push(&error, datagram.peer, Some(source));
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Start(job) => self.start(*job, now),
            Command::Repeat(repetition) => self.repeat(&repetition, now),
            Command::Fetched(fetched) => self.continue_with(fetched, now),
        }
    }

    /// The transfer may have ended while the repetition was on its way to us: then it is a new request.
    fn repeat(&mut self, repetition: &Repetition, now: Instant) {
        let client = repetition.peer;
        let Some(slot) = self.transfers.get_mut(&client) else {
            let datagram = Datagram {
                payload: &repetition.payload,
                peer: client,
                local: repetition.local,
                destination: repetition.local,
                ifindex: repetition.ifindex,
            };
            self.shared.accept(repetition.listener, &datagram);
            return;
        };
        if let Ok(packet) = Packet::parse(&repetition.payload) {
            let action = slot.transfer.handle_packet(&packet, now);
            self.act(client, action, now);
        }
    }

    fn start(&mut self, job: Job, now: Instant) {
        let client = job.request.peer;
        let (transfer, action) = Transfer::start(job.plan, self.shared.config.retry, now);
        let slot = Slot {
            transfer,
            request: job.request,
            option_ack: job.option_ack,
            reader: job.reader,
            permit: job.permit,
            is_heard: false,
            disk_deadline: None,
        };
        self.lingering.remove(&client);
        if self.transfers.insert(client, slot).is_some() {
            self.load.fetch_sub(1, Ordering::Relaxed);
        }
        self.act(client, action, now);
    }

    fn continue_with(&mut self, fetched: Fetched, now: Instant) {
        let client = fetched.client;
        let Some(slot) = self.transfers.get_mut(&client) else {
            return;
        };
        if slot.permit.id != fetched.transfer {
            return;
        }
        match slot.reader.take(fetched) {
            Ok(Some(blocks)) => {
                slot.transfer.restart_timer(now);
                self.act(client, Action::Data(blocks), now);
            }
            Ok(None) => {}
            Err(error) => {
                warn_unreadable(&slot.request, &error);
                let action = slot.transfer.fail(now);
                self.act(client, action, now);
            }
        }
    }

    /// Puts into the batch what a transfer wants sent, and ends it if it is over.
    fn act(&mut self, client: SocketAddr, action: Action, now: Instant) {
        let Some(slot) = self.transfers.get_mut(&client) else {
            return;
        };
        let source = Some(Source { address: slot.request.local, ifindex: 0 });
        match action {
            Action::Nothing => {}
            Action::OptionAck => self.out.push(&slot.option_ack, client, source),
            Action::Error(code, text) => {
                self.out.push(&packet::error(code, text), client, source);
            }
            Action::Data(blocks) => {
                let blksize = usize::from(slot.transfer.agreed().blksize);
                for (blocks, bytes) in slot.reader.blocks(&blocks, slot.transfer.first_unacknowledged()) {
                    let headers = blocks.map(|block| packet::data_header(wire_number(block)));
                    self.out.push_segments(headers, bytes, blksize, client, source);
                }
                slot.reader.read_ahead(&self.shared, slot.permit.id, client, &self.sender);
                let patience = self.shared.config.retry.patience;
                let awaited = slot.reader.is_waiting();
                slot.disk_deadline = awaited.then(|| slot.disk_deadline.unwrap_or(now + patience));
            }
        }
        match slot.deadline() {
            Some(deadline) => self.wake_at = self.wake_at.min(deadline),
            None => self.end(client, now),
        }
    }

    fn end(&mut self, client: SocketAddr, now: Instant) {
        let Some(slot) = self.transfers.remove(&client) else {
            return;
        };
        self.load.fetch_sub(1, Ordering::Relaxed);
        if self.lingering.len() >= LINGERING_MAX {
            self.lingering.retain(|_, until| *until > now);
        }
        if self.lingering.len() < LINGERING_MAX {
            self.lingering.insert(client, now + LINGER);
        }
        let Slot { transfer, request, permit, .. } = slot;
        drop(permit);
        if let Some(outcome) = transfer.outcome() {
            self.shared.counters.finished(&outcome);
            self.shared.source.finished(&request, &outcome);
        }
    }

    /// Looks at all transfers: deadlines only ever move later between two looks, so one timer is enough.
    fn wake(&mut self) {
        let now = Instant::now();
        self.wake_at = now + IDLE;
        let mut due = Vec::new();
        for (client, slot) in &self.transfers {
            match slot.deadline() {
                Some(deadline) if deadline > now => self.wake_at = self.wake_at.min(deadline),
                _ => due.push(*client),
            }
        }
        for client in due {
            if let Some(slot) = self.transfers.get_mut(&client) {
                let action = if slot.disk_deadline.is_some() {
                    warn_unreadable(&slot.request, &io::ErrorKind::TimedOut.into());
                    slot.transfer.fail(now)
                } else {
                    slot.transfer.handle_timeout(now)
                };
                self.act(client, action, now);
            }
        }
        self.lingering.retain(|_, until| *until > now);
    }
}

/// The last part of the name only: the path holds the session's token, which is a secret.
fn warn_unreadable(request: &ReadRequest, error: &io::Error) {
    tracing::warn!(%error, peer = %request.peer, file = request.file_name.last(), "tftp content cannot be read");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn an_unreadable_file_is_logged_without_the_token_in_its_path() {
        let request = ReadRequest {
            peer: SocketAddr::from(([192, 0, 2, 7], 2_070)),
            local: IpAddr::from([192, 0, 2, 1]),
            ifindex: 0,
            file_name: "b/SECRET/f/big.wim".parse().unwrap(),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let writer = Mutex::new(file.reopen().unwrap());
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        let error = io::Error::from(io::ErrorKind::UnexpectedEof);
        tracing::subscriber::with_default(subscriber, || warn_unreadable(&request, &error));
        let line = std::fs::read_to_string(file.path()).unwrap();
        assert!(line.contains("big.wim") && line.contains("192.0.2.7:2070"), "{line}");
        assert!(!line.contains("SECRET"), "{line}");
        let debug = format!("{request:?}");
        assert!(debug.contains("big.wim") && !debug.contains("SECRET"), "{debug}");
    }
}
