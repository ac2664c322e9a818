//! One socket's task: takes what has come in one call, polls each decision once, and sends all replies in one call.
//!
//! A decision that is not ready at once goes on in a task of its own and replies later, so that it delays nobody else; a
//! reply that would leave more than [`REPLY_TIME_MAX`] after its packet is not sent, since the client has gone on.
//!
//! **Invariant**: nothing that arrives, and no decision that panics, ends the task.

use std::mem::{Discriminant, discriminant};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::counters::Counters;
use super::host::Host;
use super::neighbors::{Hourly, Neighbors};
use super::packet::{Message, MessageType, Operation, PACKET_LEN_MAX};
use super::question::{Asked, Port, ask};
use super::reply::{NoReply, Reply, ReplyContext, Told, reply};
use super::server::{DhcpAnswer, DhcpQuestion, REPLY_TIME_MAX, Shared, WAITING_MAX};
use super::socket::Socket;
use crate::boot::Network;
use crate::net::udp::{Datagram, RecvBatch, SendBatch, Source};

/// Packets taken in one call.
const BATCH_LEN: usize = 64;

/// One socket and what its task remembers.
pub(super) struct Listener {
    port: Port,
    socket: Arc<Socket>,
    shared: Arc<Shared>,
    host: Host,
    neighbors: Neighbors,
    mistakes: Hourly<Discriminant<NoReply>>,
}

impl Listener {
    pub(super) fn new(port: Port, socket: Arc<Socket>, shared: Arc<Shared>) -> Listener {
        let (neighbors, mistakes) = (Neighbors::default(), Hourly::default());
        Listener { port, socket, shared, host: Host::new(std::time::Instant::now()), neighbors, mistakes }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let socket = Arc::clone(&self.socket);
        let mut received = RecvBatch::new(BATCH_LEN, PACKET_LEN_MAX);
        let mut replies = SendBatch::default();
        loop {
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                result = socket.recv_batch(&mut received) => result,
            };
            if let Err(error) = result {
                // An interface that went away. The pause keeps an error that stays from using a whole core.
                warn!(%error, local = %socket.local_addr(), "cannot receive DHCP packets");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            let now = Instant::now();
            self.host.refresh(now.into_std());
            for datagram in received.iter() {
                self.handle(datagram, now, &mut replies);
            }
            if !replies.is_empty() {
                let report = socket.send_batch(&mut replies).await;
                if let Some(error) = report.last_error {
                    self.shared.counters.unsent.add(report.failed as u64);
                    debug!(%error, failed = report.failed, "DHCP replies not sent");
                }
            }
        }
    }

    fn handle(&mut self, datagram: Datagram<'_>, now: Instant, replies: &mut SendBatch) {
        let counters = Arc::clone(&self.shared.counters);
        let (SocketAddr::V4(peer), IpAddr::V4(local)) = (datagram.peer, datagram.local) else { return };
        self.host.know(datagram.ifindex, now.into_std());
        // On its way through this host to another server.
        if self.socket.hears_others() && !local.is_unspecified() && !self.host.has(local) {
            return;
        }
        counters.received.increment();
        let message = match Message::parse(datagram.payload) {
            Ok(message) => message,
            Err(error) => {
                counters.malformed.increment();
                debug!(%peer, %error, "no DHCP packet");
                return;
            }
        };
        if message.header.op == Operation::Reply {
            let news = self.neighbors.look_at(&message, *peer.ip(), now.into_std(), |address| self.host.has(address));
            counters.conflicts.add(news);
        }
        let is_ours = |address| address == local || self.host.has(address);
        let asked = match ask(message, self.port, peer, is_ours) {
            Ok(asked) => asked,
            Err(reason) => {
                counters.dropped(reason).increment();
                return;
            }
        };
        counters.relayed.add(u64::from(asked.relay.is_some()));
        let Some(server) = self.server_address(&asked, local, datagram.ifindex) else {
            counters.unsent.increment();
            debug!(ifindex = datagram.ifindex, "a question came in on an interface without IPv4 address: no answer");
            return;
        };
        let question = self.question(&asked, server, datagram.ifindex);
        self.answer(Seen { asked, server, ifindex: datagram.ifindex }, question, now, replies);
    }

    /// The address that the reply will leave from: the one that the question came to.
    fn server_address(&self, asked: &Asked, local: Ipv4Addr, ifindex: u32) -> Option<Ipv4Addr> {
        let arrived_at = Some(local).filter(|address| !address.is_unspecified());
        let on_subnet = asked.relay.as_ref().map(|relay| relay.link_selection.unwrap_or(relay.giaddr));
        self.shared.server.or(arrived_at).or_else(|| self.host.server_address(ifindex, on_subnet))
    }

    fn question(&self, asked: &Asked, server: Ipv4Addr, ifindex: u32) -> DhcpQuestion {
        let header = &asked.message.header;
        // On 67 the source is nobody's, or the relay's.
        let source = if asked.port == Port::BootServer { *asked.peer.ip() } else { Ipv4Addr::UNSPECIFIED };
        let client = [header.ciaddr, source].into_iter().find(|address| !address.is_unspecified());
        let network = Network {
            interface: self.host.name(ifindex),
            server: Some(server.into()),
            client: client.map(IpAddr::V4),
            relay: asked.relay.clone(),
            ..Network::default()
        };
        DhcpQuestion { client: asked.caller.client.clone(), network, stage: asked.port.stage(), xid: header.xid }
    }

    /// Polls the decision once; what is not ready goes on elsewhere.
    fn answer(&mut self, seen: Seen, question: DhcpQuestion, now: Instant, replies: &mut SendBatch) {
        let answers = Arc::clone(&self.shared.answers);
        // A panic ends this one question, not the port.
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut answer = answers.answer(question);
            match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(ready) => Ok(ready),
                Poll::Pending => Err(answer),
            }
        }));
        let counters = &self.shared.counters;
        match polled {
            Ok(Ok(answer)) => match seen.write(&answer, &self.shared) {
                Ok(Some(reply)) => {
                    count(counters, &reply);
                    replies.push(&reply.octets, reply.destination.into(), Some(seen.source(&reply)));
                }
                Ok(None) => counters.ignored.increment(),
                Err(mistake) => {
                    counters.unusable.increment();
                    if self.mistakes.may_say(discriminant(&mistake), now.into_std()) {
                        warn!(mac = %seen.asked.caller.client.hardware, "{mistake}");
                    }
                }
            },
            Ok(Err(answer)) => self.answer_later(seen, answer, now),
            Err(_) => seen.panicked(counters),
        }
    }

    fn answer_later(&self, seen: Seen, answer: BoxFuture<'static, DhcpAnswer>, now: Instant) {
        let Ok(permit) = Arc::clone(&self.shared.waiting).try_acquire_owned() else {
            self.shared.counters.overloaded.increment();
            debug!(waiting = WAITING_MAX, "too many questions wait for their decision; one more is dropped");
            return;
        };
        let (socket, shared) = (Arc::clone(&self.socket), Arc::clone(&self.shared));
        let deadline = now + REPLY_TIME_MAX;
        self.shared.tasks.spawn(async move {
            seen.answer_later(answer, &socket, &shared, deadline).await;
            drop(permit);
        });
    }
}

/// A question, and where it came in.
struct Seen {
    asked: Asked,
    server: Ipv4Addr,
    ifindex: u32,
}

impl Seen {
    fn write(&self, answer: &DhcpAnswer, shared: &Shared) -> Result<Option<Reply>, NoReply> {
        let (told, next_server) = match answer {
            DhcpAnswer::Silent => return Ok(None),
            DhcpAnswer::Boot { file, next_server } => (Told::File(file), *next_server),
            DhcpAnswer::BootServers { servers, title } => (Told::BootServers(servers, title), None),
        };
        let style = shared.styles.of(self.asked.caller.client.architecture);
        let context = ReplyContext { server: self.server, next_server, told, style };
        reply(&self.asked, &context).map(Some)
    }

    /// A broadcast leaves by the interface that the question came in on; for the rest the routing table knows the way,
    /// which on a host with several interfaces may be another.
    fn source(&self, reply: &Reply) -> Source {
        let is_broadcast = reply.destination.ip().is_broadcast();
        Source { address: self.server.into(), ifindex: if is_broadcast { self.ifindex } else { 0 } }
    }

    fn panicked(&self, counters: &Counters) {
        counters.panicked.increment();
        error!(mac = %self.asked.caller.client.hardware, "a decision panicked; the client gets no answer");
    }

    async fn answer_later(
        self,
        answer: BoxFuture<'static, DhcpAnswer>,
        socket: &Socket,
        shared: &Shared,
        deadline: Instant,
    ) {
        let counters = &shared.counters;
        let mac = self.asked.caller.client.hardware;
        let answer = match tokio::time::timeout_at(deadline, AssertUnwindSafe(answer).catch_unwind()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return self.panicked(counters),
            Err(_) => {
                counters.late.increment();
                let limit_ms = REPLY_TIME_MAX.as_millis() as u64;
                warn!(%mac, limit_ms, "late answer: not sent, the client has gone on");
                return;
            }
        };
        let reply = match self.write(&answer, shared) {
            Ok(Some(reply)) => reply,
            Ok(None) => return counters.ignored.increment(),
            Err(mistake) => {
                counters.unusable.increment();
                warn!(%mac, "{mistake}");
                return;
            }
        };
        let source = Some(self.source(&reply));
        match socket.send(&reply.octets, reply.destination.into(), source).await {
            Ok(()) => count(counters, &reply),
            Err(error) => {
                counters.unsent.increment();
                debug!(%mac, %error, "DHCP reply not sent");
            }
        }
    }
}

fn count(counters: &Counters, reply: &Reply) {
    match reply.message_type {
        MessageType::Offer => counters.offers.increment(),
        _ => counters.acks.increment(),
    }
    counters.without_relay_information.add(u64::from(reply.lacks_relay_information));
}
