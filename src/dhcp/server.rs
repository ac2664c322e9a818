//! The sockets of UDP 67 and 4011: receive, ask, answer.
//!
//! **Invariant**: knows who asks and how to answer, and nothing of why: that is behind [`BootAnswers`]. Nothing that
//! arrives ends a task, and what waits is bounded by [`WAITING_MAX`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::counters::Counters;
use super::listen::{Listen, ListenError, Sharing, listening_sockets};
use super::listener::Listener;
use super::pxe::BootItem;
use super::question::{BOOT_SERVER_PORT, CLIENT_PORT, Port, SERVER_PORT};
use super::reply::{Styles, Treatment};
use super::socket::Socket;
use super::watch::{watch, watching_socket};
use crate::boot::{BootMenu, Client, Network, Stage};
use crate::net::advertise::Advertise;
use crate::net::udp::UdpSocket;

/// iPXE waits this long for a proxy; EDK2 half of it on 4011.
pub const REPLY_TIME_MAX: Duration = Duration::from_secs(2);
/// Questions that may wait for their decision at a time.
pub const WAITING_MAX: usize = 1024;
/// Answers that may be held back at a time.
pub const DELAYED_MAX: usize = 4096;
/// The longest that an answer is held back: a client that waited longer has asked again.
pub const DELAY_MAX: Duration = Duration::from_secs(10);
/// Octets that the kernel may queue while we are busy: a classroom that is switched on at once.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A question of a client by DHCP.
#[derive(Debug, Clone)]
pub struct DhcpQuestion {
    /// Who asks.
    pub client: Client,
    /// Where it was seen; `server` is the address that the reply will leave from.
    pub network: Network,
    /// The address that it is to know us by: that one, or another that the configuration advertises.
    pub server: IpAddr,
    /// [`Stage::Discover`] or [`Stage::BootServer`].
    pub stage: Stage,
    /// The packet's transaction id.
    pub xid: u32,
    /// Seconds that it has been trying for, as a DISCOVER on port 67 says (`secs`). iPXE counts its tries there, in steps
    /// of four.
    pub secs: Option<u16>,
    /// The line of our menu that was chosen.
    pub chosen: Option<BootItem>,
}

/// The answer to a [`DhcpQuestion`]. [`super::reply::answers`] tells which verdicts mean silence for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DhcpAnswer {
    /// No packet.
    Silent,
    /// Boot this.
    Boot {
        /// TFTP path for firmware, URL for HTTP Boot and iPXE.
        file: String,
        /// The TFTP server, when it is another host.
        next_server: Option<Ipv4Addr>,
    },
    /// Ask these boot servers on their port 4011; for PXE firmware only.
    BootServers {
        /// Their addresses.
        servers: Vec<Ipv4Addr>,
        /// What the screen calls them.
        title: String,
    },
    /// Show this menu; for PXE firmware only.
    Menu(Box<BootMenu>),
}

/// An answer, and how this client takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpDecision {
    /// What it is told.
    pub answer: DhcpAnswer,
    /// Where it is treated apart from the usual.
    pub treatment: Treatment,
}

impl From<DhcpAnswer> for DhcpDecision {
    fn from(answer: DhcpAnswer) -> DhcpDecision {
        DhcpDecision { answer, treatment: Treatment::default() }
    }
}

/// Somebody who knows what a client boots.
pub trait BootAnswers: Send + Sync + 'static {
    /// Answers one question. What is ready at the first poll costs least; what is not delays nobody but this client.
    fn answer(self: Arc<Self>, question: DhcpQuestion) -> BoxFuture<'static, DhcpDecision>;
}

/// How the server listens and answers.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where.
    pub listen: Listen,
    /// What is done where a DHCP server on this host has the port of proxyDHCP.
    pub sharing: Sharing,
    /// Port of proxyDHCP; 0 lets the kernel choose.
    pub port: u16,
    /// Port of the PXE boot server; 0 lets the kernel choose, and none leaves it to others.
    pub boot_server_port: Option<u16>,
    /// How firmware is told its boot file.
    pub styles: Styles,
    /// The addresses that clients are to know us by, where they are not those of this host.
    pub advertise: Advertise,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            listen: Listen::All,
            sharing: Sharing::Auto,
            port: SERVER_PORT,
            boot_server_port: Some(BOOT_SERVER_PORT),
            styles: Styles::default(),
            advertise: Advertise::default(),
        }
    }
}

/// The bound sockets of both ports.
pub struct DhcpServer {
    sockets: Vec<(Port, Arc<Socket>)>,
    /// Hears other servers.
    watching: Option<UdpSocket>,
    shared: Arc<Shared>,
}

/// What all sockets use.
pub(super) struct Shared {
    pub(super) answers: Arc<dyn BootAnswers>,
    pub(super) counters: Arc<Counters>,
    pub(super) styles: Styles,
    /// The one address that clients are to know us by, if the configuration chose one.
    pub(super) server: Option<Ipv4Addr>,
    /// A permit for each question that waits.
    pub(super) waiting: Arc<Semaphore>,
    /// A permit for each answer that is held back.
    pub(super) delayed: Arc<Semaphore>,
    /// Cancelled when the server ends: what is held back is then not sent.
    pub(super) stopping: CancellationToken,
    pub(super) advertise: Advertise,
    pub(super) tasks: TaskTracker,
}

impl DhcpServer {
    /// Binds the sockets; must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be bound; the error names the port, who has it, and what to do.
    pub fn bind(
        options: &ServerOptions,
        answers: Arc<dyn BootAnswers>,
        counters: Arc<Counters>,
    ) -> Result<DhcpServer, ListenError> {
        let mut sockets = Vec::new();
        let boot_server = options.boot_server_port.map(|number| (Port::BootServer, number));
        for (port, number) in std::iter::once((Port::Dhcp, options.port)).chain(boot_server) {
            let bound = listening_sockets(&options.listen, options.sharing, port, number, RECEIVE_BUFFER)?;
            sockets.extend(bound.into_iter().map(|socket| (port, Arc::new(socket))));
        }
        let shared = Shared {
            answers,
            counters,
            styles: options.styles.clone(),
            server: options.listen.server_address(),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            delayed: Arc::new(Semaphore::new(DELAYED_MAX)),
            stopping: CancellationToken::new(),
            advertise: options.advertise.clone(),
            tasks: TaskTracker::new(),
        };
        // On another port than 67 this is a test or an experiment, with no neighbors.
        let watching = if options.port == SERVER_PORT { watching_socket(CLIENT_PORT) } else { None };
        Ok(DhcpServer { sockets, watching, shared: Arc::new(shared) })
    }

    /// Addresses and ports that the sockets of a port are bound to.
    pub fn local_addresses(&self, port: Port) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().filter(move |(of, _)| *of == port).map(|(_, socket)| socket.local_addr())
    }

    /// Answers until `stop` is cancelled; then waits for the decisions that are under way, at most [`REPLY_TIME_MAX`].
    pub async fn run(self, stop: CancellationToken) {
        let listeners = TaskTracker::new();
        for (port, socket) in self.sockets {
            let listener = Listener::new(port, socket, Arc::clone(&self.shared));
            listeners.spawn(listener.run(stop.clone()));
        }
        if let Some(socket) = self.watching {
            listeners.spawn(watch(socket, Arc::clone(&self.shared.counters), stop));
        }
        listeners.close();
        listeners.wait().await;
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
