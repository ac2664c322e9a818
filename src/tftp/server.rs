//! The server: listening sockets, the threads and sockets of transfers, and their limits.
//!
//! **Invariant**: decides nothing about files or clients; asks the [`TftpSource`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::counters::TftpCounters;
use super::intake::MtuMemory;
use super::multicast::{self, Casts, MulticastConfig};
use super::pool::{Pool, start_socket_task};
use super::registry::Registry;
use super::shard::Shard;
use super::source::TftpSource;
use super::transfer::RetryLimits;
use crate::net::udp::{BindError, BindOptions, RecvBatch, UdpSocket};

/// Requests that the kernel may queue, in octets: a whole site that is switched on at once.
const LISTEN_BUFFER: usize = 4 * 1024 * 1024;
/// Requests taken by one system call.
const LISTEN_BATCH: usize = 64;
/// Longest request, in octets: RFC 2347 says 512, a frame may hold more.
const REQUEST_MAX: usize = 1_536;
/// More threads than this gain nothing: the kernel's network code is the limit.
const THREADS_MAX: usize = 8;
/// How often the end of the last transfers is looked for while draining.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// How the server listens, and what it allows.
#[derive(Debug, Clone)]
pub struct TftpConfig {
    /// Addresses to listen on; `0.0.0.0` and `::` stand for all of their family.
    pub bind: Vec<IpAddr>,
    /// Port of requests: 69.
    pub port: u16,
    /// Ports of transfers, for firewalls; any when absent.
    pub port_range: Option<RangeInclusive<u16>>,
    /// Send everything from the request port (NAT, containers).
    pub single_port: bool,
    /// Largest block size, in octets; the path's MTU may lower it.
    pub blksize_max: u16,
    /// Largest window, in blocks.
    pub windowsize_max: u16,
    /// Transfers at once; more requests are dropped, clients ask again.
    pub transfers_max: usize,
    /// Transfers at once from one client address.
    pub transfers_per_client_max: usize,
    /// When to send again and when to give up.
    pub retry: RetryLimits,
    /// Threads that serve transfers; 0 for one per processor.
    pub threads: usize,
    /// How long transfers may go on after the server was told to stop.
    pub drain: Duration,
    /// Multicast, where it is served.
    pub multicast: Option<MulticastConfig>,
}

impl Default for TftpConfig {
    fn default() -> Self {
        Self {
            bind: vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
            port: 69,
            port_range: None,
            single_port: false,
            blksize_max: 1_468,
            windowsize_max: 64,
            transfers_max: 4_096,
            transfers_per_client_max: 1_024,
            retry: RetryLimits::default(),
            threads: 0,
            drain: Duration::from_secs(10),
            multicast: None,
        }
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum TftpError {
    /// A socket could not be bound.
    #[error("{0}")]
    Bind(#[from] BindError),
    /// A thread could not be started.
    #[error("cannot start a thread for transfers")]
    Thread(#[source] std::io::Error),
    /// No address was given.
    #[error("no address to listen on; name at least one, 0.0.0.0 stands for all")]
    NoAddress,
}

/// What listeners, sockets and questions share.
pub(super) struct Shared {
    pub(super) config: TftpConfig,
    pub(super) source: Arc<dyn TftpSource>,
    pub(super) registry: Arc<Registry>,
    pub(super) counters: Arc<TftpCounters>,
    /// By listener; set once all sockets are bound.
    pub(super) pools: OnceLock<Vec<Pool>>,
    pub(super) mtus: MtuMemory,
    /// Transfers that read from a file rather than from memory.
    pub(super) file_readers: Arc<AtomicUsize>,
    /// Streams to groups, where they are served.
    pub(super) casts: Option<Arc<Casts>>,
    /// The daemon's runtime: questions and file reading happen there.
    pub(super) runtime: Handle,
}

/// A bound TFTP server; [`TftpServer::run`] serves.
pub struct TftpServer {
    shared: Arc<Shared>,
    listeners: Vec<Arc<UdpSocket>>,
    /// For MTFTP.
    mtftp: Vec<Arc<UdpSocket>>,
    shards: Vec<Shard>,
}

impl TftpServer {
    /// Binds all sockets and starts the threads for transfers; call it inside a Tokio runtime.
    pub fn bind(config: TftpConfig, source: Arc<dyn TftpSource>) -> Result<Self, TftpError> {
        if config.bind.is_empty() {
            return Err(TftpError::NoAddress);
        }
        let shards = start_shards(config.threads)?;
        let shared = Arc::new(Shared {
            registry: Registry::new(config.transfers_max, config.transfers_per_client_max),
            source,
            counters: Arc::default(),
            pools: OnceLock::new(),
            mtus: MtuMemory::default(),
            file_readers: Arc::default(),
            runtime: Handle::current(),
            casts: config.multicast.clone().map(Casts::new),
            config,
        });
        let mut server = Self { shared, listeners: Vec::new(), mtftp: Vec::new(), shards };
        server.open_sockets()?;
        Ok(server)
    }

    /// The addresses and ports that requests are taken on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|l| l.local_addr()).collect()
    }

    /// The addresses and ports that MTFTP requests are taken on.
    pub fn mtftp_addrs(&self) -> Vec<SocketAddr> {
        self.mtftp.iter().map(|socket| socket.local_addr()).collect()
    }

    /// What the server has done so far.
    pub fn counters(&self) -> Arc<TftpCounters> {
        Arc::clone(&self.shared.counters)
    }

    /// Serves until `stop`, then lets transfers go on for the configured time.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks = tokio::task::JoinSet::new();
        if !self.shared.config.single_port {
            for (number, socket) in self.listeners.iter().enumerate() {
                let (shared, socket) = (Arc::clone(&self.shared), Arc::clone(socket));
                tasks.spawn(listen(number, socket, shared));
            }
        }
        if let Some(casts) = &self.shared.casts {
            for socket in self.mtftp {
                tasks.spawn(multicast::listen(socket, Arc::clone(casts), Arc::clone(&self.shared)));
            }
        }
        stop.cancelled().await;
        tasks.abort_all();
        let until = tokio::time::Instant::now() + self.shared.config.drain;
        while self.shared.registry.total() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        // Joining the threads may wait for the packet in hand: not on a runtime thread.
        let shards = self.shards;
        let _ = tokio::task::spawn_blocking(move || drop(shards)).await;
    }

    fn open_sockets(&mut self) -> Result<(), TftpError> {
        let runtimes: Vec<Handle> = self.shards.iter().map(|s| s.runtime.clone()).collect();
        let config = &self.shared.config;
        let mut pools = Vec::new();
        for (number, address) in config.bind.iter().enumerate() {
            let options = BindOptions {
                receive_buffer: LISTEN_BUFFER,
                send_buffer: LISTEN_BUFFER,
                ..BindOptions::new(SocketAddr::new(*address, config.port))
            };
            if config.single_port {
                let runtime = runtimes.get(number % runtimes.len().max(1));
                let runtime = runtime.unwrap_or(&self.shared.runtime);
                let _inside = runtime.enter();
                let socket = Arc::new(UdpSocket::bind(&options)?);
                self.listeners.push(Arc::clone(&socket));
                let task = start_socket_task(0, socket, Some(number), &self.shared, runtime);
                pools.push(Pool::of_single_socket(task));
            } else {
                self.listeners.push(Arc::new(UdpSocket::bind(&options)?));
                let pool = Pool::new(*address, config.port_range.clone(), runtimes.clone());
                pool.open_first(&self.shared)?;
                pools.push(pool);
            }
        }
        let _ = self.shared.pools.set(pools);
        if let Some(mtftp) = config.multicast.as_ref().and_then(|multicast| multicast.mtftp.as_ref()) {
            for address in multicast::addresses(&config.bind, mtftp.port) {
                self.mtftp.push(Arc::new(UdpSocket::bind(&BindOptions::new(address))?));
            }
        }
        Ok(())
    }
}

fn start_shards(threads: usize) -> Result<Vec<Shard>, TftpError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { processors } else { threads };
    (0..threads.min(THREADS_MAX)).map(|number| Shard::start(number).map_err(TftpError::Thread)).collect()
}

async fn listen(number: usize, socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut batch = RecvBatch::new(LISTEN_BATCH, REQUEST_MAX);
    loop {
        if let Err(error) = socket.recv_batch(&mut batch).await {
            tracing::warn!(%error, local = %socket.local_addr(), "tftp receive failed");
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        for datagram in batch.iter() {
            shared.accept(number, &datagram);
        }
    }
}
