//! UDP sockets for boot services: a datagram tells which address and interface it came in on, a reply
//! leaves from an address and interface of our choice, and both go in batches.
//!
//! * Receiving: one `recvmmsg` fills a [`RecvBatch`]; `IP_PKTINFO`/`IPV6_PKTINFO` gives the rest.
//! * Sending: a [`SendBatch`] goes out with one `sendmmsg` per source; a run of equal segments to one
//!   peer goes as one datagram that the kernel cuts (UDP GSO), with a fall back where it refuses.
//! * Datagrams above the path's MTU are fragmented (`IP_PMTUDISC_DONT`): block sizes of 4 to 16 KiB,
//!   which Windows boot code asks for, rely on it.
//!
//! **Invariant**: no protocol here, and no decision about who is answered.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{setsockopt, sockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::port_holder::{PortHolder, find_udp_port_holder};
pub use super::udp_batch::{Datagram, RecvBatch, SendBatch, SendReport, Source};

/// How a socket is to be bound.
#[derive(Debug, Clone)]
pub struct BindOptions {
    /// Address and port; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// Only packets of this interface (`SO_BINDTODEVICE`, needs `CAP_NET_RAW`).
    pub device: Option<String>,
    /// May send to broadcast addresses.
    pub broadcast: bool,
    /// May share the port with another socket that says the same (`SO_REUSEADDR`).
    pub reuse_address: bool,
    /// Bytes that the kernel may queue for us; 0 leaves the system's default.
    pub receive_buffer: usize,
    /// Bytes that the kernel may queue from us; 0 leaves the system's default.
    pub send_buffer: usize,
}

impl BindOptions {
    /// A plain socket on `address` with the system's buffer sizes.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, device: None, broadcast: false, reuse_address: false, receive_buffer: 0, send_buffer: 0 }
    }
}

/// Why a UDP port could not be bound, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket has the port.
    #[error(
        "UDP port {} on {} is already in use{}; stop that service or choose another port or address",
        address.port(), address.ip(), held_by(holder.as_ref())
    )]
    InUse {
        /// What was to be bound.
        address: SocketAddr,
        /// Who has it, if that can be seen.
        holder: Option<PortHolder>,
    },
    /// Ports below 1024 and binding to a device need a privilege.
    #[error(
        "no permission for UDP port {} on {}{}; run as root, or give the program CAP_NET_BIND_SERVICE and CAP_NET_RAW \
         (AmbientCapabilities= in systemd), or choose a port of 1024 or above",
        address.port(), address.ip(), on_device(device.as_deref())
    )]
    NotPermitted {
        /// What was to be bound.
        address: SocketAddr,
        /// The interface, if one was asked for.
        device: Option<String>,
    },
    /// No interface of this host has the address.
    #[error(
        "cannot bind UDP port {}: {} is not an address of this host; `ip address` lists those it has",
        address.port(), address.ip()
    )]
    NoSuchAddress {
        /// What was to be bound.
        address: SocketAddr,
    },
    /// The interface does not exist.
    #[error("cannot bind UDP port {} to interface {device}: there is none of that name; `ip link` lists them", address.port())]
    NoSuchDevice {
        /// What was to be bound.
        address: SocketAddr,
        /// The interface's name as it was given.
        device: String,
    },
    /// Anything else the system said.
    #[error("cannot bind UDP port {} on {}", address.port(), address.ip())]
    Other {
        /// What was to be bound.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

fn held_by(holder: Option<&PortHolder>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {holder}"))
}

fn on_device(device: Option<&str>) -> String {
    device.map_or_else(String::new, |device| format!(" (interface {device})"))
}

/// A bound UDP socket of one address family on the current Tokio runtime.
#[derive(Debug)]
pub struct UdpSocket {
    io: AsyncFd<OwnedFd>,
    pub(super) is_ipv6: bool,
    /// Cleared when the kernel or a driver refuses segmentation offload for good.
    pub(super) offload_works: AtomicBool,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds a socket; must be called inside a Tokio runtime with I/O enabled.
    pub fn bind(options: &BindOptions) -> Result<Self, BindError> {
        Self::try_bind(options).map_err(|error| explain(options, error))
    }

    fn try_bind(options: &BindOptions) -> io::Result<Self> {
        let is_ipv6 = options.address.is_ipv6();
        let domain = if is_ipv6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(options.reuse_address)?;
        socket.set_broadcast(options.broadcast)?;
        if is_ipv6 {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        if let Some(device) = &options.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        fragment_rather_than_fail(&socket, is_ipv6);
        set_buffers(&socket, options);
        socket.bind(&options.address.into())?;
        let local = socket.local_addr()?.as_socket().unwrap_or(options.address);
        Ok(Self {
            io: register(socket.into(), Interest::READABLE)?,
            is_ipv6,
            offload_works: AtomicBool::new(true),
            local,
        })
    }

    /// The address and port that the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits for datagrams and replaces what `batch` held by those that have come.
    ///
    /// Cancel safe. An error is the system's for this socket (an earlier ICMP error is swallowed).
    pub async fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<()> {
        loop {
            let mut guard = self.io.readable().await?;
            let asked = batch.asked();
            match self.receive_now(batch) {
                Ok(count) => {
                    // Fewer than asked for: the queue was empty then, and what comes later raises the
                    // readiness anew. So the empty read that would end it otherwise is saved.
                    if count < asked {
                        guard.clear_ready();
                    }
                    if count > 0 {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if is_about_an_earlier_send(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends all of `batch` and empties it; waits while the kernel's queue is full.
    ///
    /// A datagram that the system refuses (no route, no such source address) is counted in the report
    /// and does not stop the others.
    pub async fn send_batch(&self, batch: &mut SendBatch) -> SendReport {
        let mut report = SendReport::default();
        batch.prepare(self.offload_works.load(Ordering::Relaxed));
        while !batch.is_sent() {
            let Err(error) = self.send_now(batch, &mut report) else {
                continue;
            };
            if error.kind() != io::ErrorKind::WouldBlock {
                batch.skip_failed(error, self, &mut report);
                continue;
            }
            if let Err(error) = self.wait_for_room().await {
                report.last_error = Some(error);
                break;
            }
        }
        batch.clear();
        report
    }

    /// Waits until the kernel takes datagrams again.
    ///
    /// The socket itself is registered for reading only: registered for writing too, it would wake its
    /// thread for each packet that the network card has finished with.
    async fn wait_for_room(&self) -> io::Result<()> {
        let twin = self.io.get_ref().try_clone()?;
        let _ready = register(twin, Interest::WRITABLE)?.writable().await?;
        Ok(())
    }

    /// Sends one datagram to `peer`, from `source` if given (else the system chooses).
    pub async fn send(&self, payload: &[u8], peer: SocketAddr, source: Option<Source>) -> io::Result<()> {
        let mut batch = SendBatch::default();
        batch.push(payload, peer, source);
        match self.send_batch(&mut batch).await.last_error {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub(super) fn borrowed(&self) -> BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }

    pub(super) fn raw(&self) -> RawFd {
        self.io.get_ref().as_raw_fd()
    }
}

sockopt_impl!(
    /// Whether datagrams carry "don't fragment" (`IP_MTU_DISCOVER`).
    Ipv4MtuDiscover,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int
);
sockopt_impl!(
    /// The same for IPv6.
    Ipv6MtuDiscover,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU_DISCOVER,
    libc::c_int
);

#[expect(
    deprecated,
    reason = "what replaces it is an unsafe function; an OwnedFd is not closed while it is registered"
)]
pub(super) fn register(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// Not fatal when refused: the system's default fragments too, unless it has learnt a smaller MTU wrongly.
fn fragment_rather_than_fail(socket: &Socket, is_ipv6: bool) {
    let done = if is_ipv6 {
        setsockopt(socket, Ipv6MtuDiscover, &libc::IPV6_PMTUDISC_DONT)
    } else {
        setsockopt(socket, Ipv4MtuDiscover, &libc::IP_PMTUDISC_DONT)
    };
    if let Err(error) = done {
        tracing::debug!(%error, "the system keeps path MTU discovery on");
    }
}

/// Asks for buffers beyond the system's limit, and for as much as the limit allows where that is refused.
fn set_buffers(socket: &Socket, options: &BindOptions) {
    let (receive, send) = (options.receive_buffer, options.send_buffer);
    if receive > 0 && setsockopt(socket, sockopt::RcvBufForce, &receive).is_err() {
        let _ = socket.set_recv_buffer_size(receive);
    }
    if send > 0 && setsockopt(socket, sockopt::SndBufForce, &send).is_err() {
        let _ = socket.set_send_buffer_size(send);
    }
}

fn explain(options: &BindOptions, error: io::Error) -> BindError {
    let address = options.address;
    match (error.raw_os_error(), options.device.clone()) {
        (Some(libc::EADDRINUSE), _) => BindError::InUse { address, holder: find_udp_port_holder(address.port()) },
        (Some(libc::EACCES | libc::EPERM), device) => BindError::NotPermitted { address, device },
        (Some(libc::EADDRNOTAVAIL), _) => BindError::NoSuchAddress { address },
        (Some(libc::ENODEV), Some(device)) => BindError::NoSuchDevice { address, device },
        _ => BindError::Other { address, source: error },
    }
}

/// Errors that a read reports although they belong to a datagram sent before (ICMP answers).
fn is_about_an_earlier_send(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EINTR))
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
