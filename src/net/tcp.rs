//! A listening TCP socket, or an error that an administrator can act on.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::port_holder::find_tcp_port_holder;

/// Connections that the kernel keeps for us while we are busy: a classroom that is switched on at once.
const BACKLOG: i32 = 4096;

/// Why a port cannot be listened on; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("TCP port {port} on {ip}: {why}", port = address.port(), ip = address.ip())]
pub struct ListenError {
    /// What was to be bound.
    pub address: SocketAddr,
    /// What is wrong, and the remedy.
    pub why: String,
}

/// Listens on an address; port 0 lets the kernel choose. An IPv6 address takes no IPv4 connections. Must be called
/// inside a Tokio runtime.
///
/// # Errors
/// When the port is taken (the error names who has it), needs a privilege, or the address is not ours.
pub fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    try_listen(address).map_err(|error| ListenError { address, why: explain(address, &error) })
}

fn try_listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn explain(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            let holder = find_tcp_port_holder(address.port()).map(|holder| format!(" by {holder}")).unwrap_or_default();
            format!("already in use{holder}; stop that service or choose another port or address")
        }
        ErrorKind::PermissionDenied => "no permission; run as root, or give the program CAP_NET_BIND_SERVICE \
                                        (AmbientCapabilities= in systemd), or choose a port of 1024 or above"
            .into(),
        ErrorKind::AddrNotAvailable => "not an address of this host; `ip address` lists those it has".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_told_with_its_holder() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = listen(first.local_addr().unwrap()).unwrap_err().to_string();
        assert!(error.contains("already in use by ") && error.contains(&std::process::id().to_string()), "{error}");
        let error = listen("192.0.2.1:0".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("not an address of this host"), "{error}");
    }
}
