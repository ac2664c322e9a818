//! The transfer sockets of one listening address: few sockets, many transfers each.
//!
//! One socket per transfer would cost a system call per packet in each direction; with many transfers on
//! a socket one call carries the packets of many. More sockets are opened as transfers grow, so that no
//! receive buffer overflows.
//!
//! **Invariant**: a client port is not served twice in a row from one socket while another exists.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::registry::SocketId;
use super::server::Shared;
use super::socket_task::{Command, SocketTask};
use crate::net::udp::{BindError, BindOptions, UdpSocket};

/// Transfers on a socket before the next is used: the more there are, the more packets one system call
/// carries; the receive buffer holds the ACKs of many more.
const TRANSFERS_PER_SOCKET: usize = 128;
/// Sockets of a pool at the start.
const SOCKETS_MIN: usize = 2;
/// Most sockets of a pool.
const SOCKETS_MAX: usize = 64;
/// Octets that the kernel may queue in each direction on a transfer socket: the ACKs of hundreds of
/// clients, and the windows of some dozens.
const BUFFER: usize = 4 * 1024 * 1024;

/// A transfer socket as others see it.
#[derive(Debug, Clone)]
pub(super) struct TransferSocket {
    pub(super) id: SocketId,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    /// Transfers on it.
    pub(super) load: Arc<AtomicUsize>,
}

/// The sockets.
#[derive(Debug)]
pub(super) struct Pool {
    address: IpAddr,
    port_range: Option<RangeInclusive<u16>>,
    sockets: Mutex<Vec<TransferSocket>>,
    sockets_max: usize,
    runtimes: Vec<Handle>,
}

impl Pool {
    /// Sockets on `address`, with ports of `port_range` if given, served on `runtimes` in turn.
    pub(super) fn new(address: IpAddr, port_range: Option<RangeInclusive<u16>>, runtimes: Vec<Handle>) -> Self {
        Self { address, port_range, sockets: Mutex::default(), sockets_max: SOCKETS_MAX, runtimes }
    }

    /// A pool whose only socket is the listener's.
    pub(super) fn of_single_socket(socket: TransferSocket) -> Self {
        Self {
            address: socket.socket.local_addr().ip(),
            port_range: None,
            sockets: Mutex::new(vec![socket]),
            sockets_max: 1,
            runtimes: Vec::new(),
        }
    }

    /// Opens the first sockets, so that a port range that does not work is seen at the start.
    pub(super) fn open_first(&self, shared: &Arc<Shared>) -> Result<(), BindError> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = SOCKETS_MIN.max(self.runtimes.len()).min(self.sockets_max);
        while sockets.len() < wanted {
            match self.open(sockets.len(), shared) {
                Ok(socket) => sockets.push(socket),
                Err(_) if !sockets.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The socket of this number.
    pub(super) fn get(&self, id: SocketId) -> Option<TransferSocket> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.get(id).cloned()
    }

    /// The first socket with room, preferably not `avoid`; opens another where all are well loaded.
    pub(super) fn pick(&self, avoid: Option<SocketId>, shared: &Arc<Shared>) -> Option<TransferSocket> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |socket: &TransferSocket| socket.load.load(Ordering::Relaxed);
        let mut others = sockets.iter().filter(|socket| Some(socket.id) != avoid);
        if let Some(roomy) = others.find(|socket| load(socket) < TRANSFERS_PER_SOCKET) {
            return Some(roomy.clone());
        }
        let others = sockets.iter().filter(|socket| Some(socket.id) != avoid);
        let least = others.min_by_key(|socket| load(socket)).or(sockets.first());
        let best = least.cloned()?;
        if sockets.len() >= self.sockets_max {
            return Some(best);
        }
        match self.open(sockets.len(), shared) {
            Ok(socket) => {
                sockets.push(socket.clone());
                Some(socket)
            }
            Err(error) => {
                tracing::debug!(%error, "no further transfer socket");
                Some(best)
            }
        }
    }

    fn open(&self, id: SocketId, shared: &Arc<Shared>) -> Result<TransferSocket, BindError> {
        let runtime = self.runtimes.get(id % self.runtimes.len().max(1));
        let runtime = runtime.unwrap_or(&shared.runtime);
        // The socket belongs to the runtime that serves it.
        let _inside = runtime.enter();
        let socket = Arc::new(self.bind()?);
        Ok(start_socket_task(id, socket, None, shared, runtime))
    }

    fn bind(&self) -> Result<UdpSocket, BindError> {
        let options = |port| BindOptions {
            receive_buffer: BUFFER,
            send_buffer: BUFFER,
            ..BindOptions::new(SocketAddr::new(self.address, port))
        };
        let Some(range) = &self.port_range else {
            return UdpSocket::bind(&options(0));
        };
        let mut last = None;
        for port in range.clone() {
            match UdpSocket::bind(&options(port)) {
                Err(error @ BindError::InUse { .. }) => last = Some(error),
                other => return other,
            }
        }
        // An empty range is refused by the configuration; port 0 then is as good as any.
        last.map_or_else(|| UdpSocket::bind(&options(0)), Err)
    }
}

/// Starts the task of a socket; `listener` is the number of the listener whose requests it takes as well.
pub(super) fn start_socket_task(
    id: SocketId,
    socket: Arc<UdpSocket>,
    listener: Option<usize>,
    shared: &Arc<Shared>,
    runtime: &Handle,
) -> TransferSocket {
    let (commands, receiver) = mpsc::unbounded_channel();
    let load = Arc::new(AtomicUsize::new(0));
    let task = SocketTask::new(
        Arc::clone(shared),
        listener,
        Arc::clone(&socket),
        Arc::clone(&load),
        receiver,
        commands.downgrade(),
    );
    runtime.spawn(task.run());
    TransferSocket { id, socket, commands, load }
}
