//! The sockets of DHCPv6: receive, ask, answer.
//!
//! **Invariant**: knows who asks and how to answer, and nothing of why. Nothing that arrives ends a task, and what waits
//! is bounded by [`WAITING_MAX`].

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::super::host::Host;
use super::super::listen::{ListenError, Sharing};
use super::super::neighbors::Hourly;
use super::super::server::{BootAnswers, DELAYED_MAX, DhcpQuestion, WAITING_MAX};
use super::super::socket::Socket;
use super::answer::Seen;
use super::counters::Counters;
use super::listen::listening_sockets;
use super::packet::{PACKET_LEN_MAX, Packet, code};
use super::question::{ALL_SERVERS, ALL_SERVERS_OF_SITE, Arrived, Asked, Port, ask};
use super::remembered::Remembered;
use crate::boot::Network;
use crate::net::interfaces::{Interfaces, first_hardware_address};
use crate::net::udp::{Datagram, RecvBatch};

/// Packets taken in one call.
const BATCH_LEN: usize = 32;
/// How often new interfaces are looked for, whose clients are not heard before.
const JOIN_AGAIN: Duration = Duration::from_secs(15);

/// How the server listens.
#[derive(Debug, Clone, Default)]
pub struct Dhcp6Options {
    /// The interfaces to serve; all when empty.
    pub interfaces: Vec<String>,
    /// Port of DHCPv6; 0 lets the kernel choose.
    pub port: u16,
    /// Port of the PXE boot server; 0 lets the kernel choose.
    pub boot_server_port: u16,
    /// The one address that clients are to know us by.
    pub address: Option<Ipv6Addr>,
    /// What is done where another program has the port of DHCPv6.
    pub sharing: Sharing,
}

/// The bound sockets of both ports.
pub struct Dhcp6Server {
    sockets: Vec<(Port, Arc<Socket>)>,
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) answers: Arc<dyn BootAnswers>,
    pub(super) counters: Arc<Counters>,
    /// Our DUID.
    pub(super) server_id: Vec<u8>,
    options: Dhcp6Options,
    remembered: Mutex<Remembered>,
    mistakes: Mutex<Hourly<String>>,
    waiting: Arc<Semaphore>,
    pub(super) delayed: Arc<Semaphore>,
    tasks: TaskTracker,
    /// The server ends: what is held back is not sent any more.
    pub(super) ends: CancellationToken,
}

impl Dhcp6Server {
    /// Binds the sockets; must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be bound; the error names the port, who has it, and what to do.
    pub fn bind(
        options: Dhcp6Options,
        answers: Arc<dyn BootAnswers>,
        counters: Arc<Counters>,
    ) -> Result<Dhcp6Server, ListenError> {
        let mut sockets = Vec::new();
        for (port, number) in [(Port::Dhcp, options.port), (Port::BootServer, options.boot_server_port)] {
            let bound = listening_sockets(&options.interfaces, options.sharing, port, number)?;
            sockets.extend(bound.into_iter().map(|socket| (port, Arc::new(socket))));
        }
        let shared = Arc::new(Shared {
            answers,
            counters,
            server_id: server_id(),
            options,
            remembered: Mutex::default(),
            mistakes: Mutex::default(),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            delayed: Arc::new(Semaphore::new(DELAYED_MAX)),
            tasks: TaskTracker::new(),
            ends: CancellationToken::new(),
        });
        let interfaces = Interfaces::read().unwrap_or_default();
        for (port, socket) in &sockets {
            shared.join(*port, socket, &interfaces);
        }
        Ok(Dhcp6Server { sockets, shared })
    }

    /// Addresses and ports that the sockets of a port are bound to.
    pub fn local_addresses(&self, port: Port) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().filter(move |(of, _)| *of == port).map(|(_, socket)| socket.local_addr())
    }

    /// Answers until `stop` is cancelled; then waits for the decisions that are under way, at most
    /// [`REPLY_TIME_MAX`](super::super::server::REPLY_TIME_MAX).
    pub async fn run(self, stop: CancellationToken) {
        let listeners = TaskTracker::new();
        for (port, socket) in self.sockets {
            let host = Host::new(Instant::now());
            let listener = Listener { port, socket, shared: Arc::clone(&self.shared), host };
            listeners.spawn(listener.run(stop.clone()));
        }
        listeners.close();
        listeners.wait().await;
        self.shared.ends.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

/// A DUID of this host's first MAC address (RFC 8415 section 11.4); of chance where there is none.
fn server_id() -> Vec<u8> {
    match first_hardware_address() {
        Some(address) => [&[0, 3, 0, 1][..], &address].concat(),
        None => [&[0, 4][..], uuid::Uuid::new_v4().as_bytes()].concat(),
    }
}

impl Shared {
    /// Hears the servers' groups on every interface that is served. One that knows no groups has no clients either.
    fn join(&self, port: Port, socket: &Socket, interfaces: &Interfaces) {
        if port != Port::Dhcp {
            return;
        }
        let named = &self.options.interfaces;
        let is_served = |name: &String| named.is_empty() || named.contains(name);
        for interface in interfaces.list.iter().filter(|one| one.is_up && is_served(&one.name)) {
            if let Err(error) = socket.join_v6(ALL_SERVERS, interface.index) {
                debug!(%error, interface = interface.name, "DHCPv6 clients of this interface are not heard");
            }
            // Relay agents that were given no address of a server send there.
            let _ = socket.join_v6(ALL_SERVERS_OF_SITE, interface.index);
        }
    }

    /// Warns of an answer that a client cannot use, each once an hour.
    pub(super) fn mistake(&self, mac: &dyn std::fmt::Display, text: String) {
        self.counters.unusable.increment();
        let mut mistakes = self.mistakes.lock().unwrap_or_else(PoisonError::into_inner);
        if mistakes.may_say(text.clone(), Instant::now()) {
            warn!(%mac, "{text}");
        }
    }
}

/// One socket and what its task remembers.
struct Listener {
    port: Port,
    socket: Arc<Socket>,
    shared: Arc<Shared>,
    host: Host,
}

impl Listener {
    async fn run(mut self, stop: CancellationToken) {
        let socket = Arc::clone(&self.socket);
        let mut received = RecvBatch::new(BATCH_LEN, PACKET_LEN_MAX);
        let mut join_again = tokio::time::interval(JOIN_AGAIN);
        join_again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                result = socket.recv_batch(&mut received) => result,
                _ = join_again.tick() => {
                    self.host.refresh(Instant::now());
                    self.shared.join(self.port, &socket, self.host.interfaces());
                    continue;
                }
            };
            if let Err(error) = result {
                warn!(%error, local = %socket.local_addr(), "cannot receive DHCPv6 packets");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            let now = Instant::now();
            self.host.refresh(now);
            for datagram in received.iter() {
                self.handle(datagram, now);
            }
        }
    }

    fn handle(&mut self, datagram: Datagram<'_>, now: Instant) {
        let counters = &self.shared.counters;
        counters.received.increment();
        let (SocketAddr::V6(peer), IpAddr::V6(local)) = (datagram.peer, datagram.local) else { return };
        let is_ours = || local.is_multicast() || self.host.interfaces().with_address(local.into()).is_some();
        if self.socket.hears_others() && !is_ours() {
            return;
        }
        let packet = match Packet::parse(datagram.payload) {
            Ok(packet) => packet,
            Err(error) => {
                counters.malformed.increment();
                debug!(%peer, %error, "no DHCPv6 packet");
                return;
            }
        };
        let arrived = Arrived { packet, port: self.port, peer, to_group: local.is_multicast() };
        let mut remembered = self.shared.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = match ask(arrived, &self.shared.server_id, |duid| remembered.of(duid, now)) {
            Ok(asked) => asked,
            Err(reason) => return counters.dropped(reason).increment(),
        };
        if let (Port::Dhcp, Some(duid)) = (self.port, asked.arrived.packet.message.options.get(code::CLIENT_ID)) {
            remembered.note(duid, asked.caller.client.hardware, now);
        }
        drop(remembered);
        counters.relayed.add(u64::from(!asked.arrived.packet.relays.is_empty()));
        self.host.know(datagram.ifindex, now);
        let Some(server) = self.server_address(&asked, local, datagram.ifindex) else {
            self.shared.counters.unsent.increment();
            debug!(
                ifindex = datagram.ifindex,
                "a question came in, and this host has no IPv6 address to name: no answer"
            );
            return;
        };
        let question = self.question(&asked, server, datagram.ifindex);
        self.answer(Seen { asked, server, local, ifindex: datagram.ifindex }, question);
    }

    /// The address that the URLs name: the one configured, the one that was asked, or one that the client can reach.
    fn server_address(&self, asked: &Asked, local: Ipv6Addr, ifindex: u32) -> Option<Ipv6Addr> {
        let is_usable = |address: &Ipv6Addr| !address.is_multicast() && !address.is_unicast_link_local();
        let asked_at = Some(local).filter(|local| self.port == Port::BootServer && is_usable(local));
        let near = link(asked).or(Some(*asked.arrived.peer.ip()));
        let found = || self.host.interfaces().server_address_v6(ifindex, near);
        let loopback = Some(local).filter(Ipv6Addr::is_loopback);
        self.shared.options.address.or(asked_at).or_else(found).or(loopback)
    }

    fn question(&self, asked: &Asked, server: Ipv6Addr, ifindex: u32) -> DhcpQuestion {
        let peer = Some(*asked.arrived.peer.ip());
        let own = peer.filter(|address| self.port == Port::BootServer && !address.is_unicast_link_local());
        // Rules that look up a client's subnet find it by an address of its link where it has none yet.
        let client = own.or_else(|| link(asked)).map(IpAddr::V6);
        let network =
            Network { interface: self.host.name(ifindex), server: Some(server.into()), client, ..Network::default() };
        let xid = asked.arrived.packet.message.xid;
        let (client, stage) = (asked.caller.client.clone(), self.port.stage());
        let secs = Some(asked).filter(|_| self.port == Port::Dhcp).and_then(elapsed);
        DhcpQuestion { client, network, server: server.into(), stage, xid, secs, chosen: None }
    }

    fn answer(&self, seen: Seen, question: DhcpQuestion) {
        let Ok(permit) = Arc::clone(&self.shared.waiting).try_acquire_owned() else {
            self.shared.counters.overloaded.increment();
            debug!(waiting = WAITING_MAX, "too many questions wait for their decision; one more is dropped");
            return;
        };
        let (socket, shared) = (Arc::clone(&self.socket), Arc::clone(&self.shared));
        self.shared.tasks.spawn(async move {
            let reply = seen.decided(question, &shared).await;
            drop(permit);
            if let Some((reply, delay)) = reply {
                seen.send_later(&reply, delay, &socket, &shared).await;
            }
        });
    }
}

/// An address of the client's link, as the relay agent nearest to the client names it.
fn link(asked: &Asked) -> Option<Ipv6Addr> {
    let named = asked.arrived.packet.relays.iter().rev().map(|hop| hop.link);
    named.into_iter().find(|link| !link.is_unspecified() && !link.is_unicast_link_local())
}

/// Seconds since the client began (option 8, in hundredths).
fn elapsed(asked: &Asked) -> Option<u16> {
    let value = asked.arrived.packet.message.options.get(code::ELAPSED_TIME)?;
    Some(u16::from_be_bytes(value.try_into().ok()?) / 100)
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
