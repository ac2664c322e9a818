//! Where the server listens: which sockets that takes, so that it hears broadcasts and takes no other server's packets.
//!
//! A DHCP server on this same host has port 67 already. Then (Linux):
//!
//! | way | hears | needs |
//! |---|---|---|
//! | a socket bound to 255.255.255.255 | broadcasts; the rest stays with the DHCP server | that the other shares the port (`SO_REUSEADDR`), or bound it to an address |
//! | a packet socket | everything, relay agents too; the DHCP server hears it as well | `CAP_NET_RAW` |
//!
//! A socket of our own for every address would take the other's unicast: renewals of leases.
//!
//! **Invariant**: binds sockets; reads and sends nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tracing::{info, warn};

use super::question::Port;
use super::socket::Socket;
use crate::net::interfaces::Interfaces;
use crate::net::packet::PacketSocket;
use crate::net::port_holder::{PortHolder, find_udp_port_holder, is_udp_port_held};
use crate::net::udp::{BindError, BindOptions, UdpSocket};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Listen {
    /// On every interface.
    #[default]
    All,
    /// On the interface that has this address, and every client is to know us by it.
    Address(Ipv4Addr),
    /// On these interfaces.
    Interfaces(Vec<String>),
}

/// What is done where another program of this host has the port of proxyDHCP: `dhcp.shared_port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// A socket of our own where the port is free; else a packet socket; else one for broadcasts.
    #[default]
    Auto,
    /// A socket for broadcasts only.
    Socket,
    /// A packet socket.
    Packet,
    /// The port must be free.
    Never,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A socket cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The port is another's, and is not to be shared.
    #[error("{0}; dhcp.shared_port = \"auto\" would share it")]
    MayNotShare(BindError),
    /// The port is another's, who does not share it, and there is no way around.
    #[error(
        "UDP port {port} is held by {}, which does not share it, and it cannot be heard beside it either: {packet}. Give \
         this program CAP_NET_RAW, let the other share the port (dnsmasq: bind-interfaces), or stop it; dhcp.shared_port \
         says which way is taken",
        name_of(holder.as_ref())
    )]
    NotShared {
        /// The port.
        port: u16,
        /// Who has it, if that can be seen.
        holder: Option<PortHolder>,
        /// Why there is no packet socket.
        packet: BindError,
    },
}

fn name_of(holder: Option<&PortHolder>) -> String {
    holder.map_or_else(|| "another program".to_owned(), ToString::to_string)
}

impl Listen {
    /// The address that every client is to know us by, if one was chosen.
    pub(super) fn server_address(&self) -> Option<Ipv4Addr> {
        match self {
            Listen::Address(address) => Some(*address),
            Listen::All | Listen::Interfaces(_) => None,
        }
    }

    /// The interfaces that broadcasts are heard on; `None` in it for all of them. Nothing where there are no broadcasts
    /// (loopback), or where the address is not there.
    fn devices(&self) -> Vec<Option<String>> {
        match self {
            Listen::All => vec![None],
            Listen::Interfaces(names) => names.iter().cloned().map(Some).collect(),
            Listen::Address(address) => interface_of(*address).into_iter().map(Some).collect(),
        }
    }
}

/// How one port is to be bound.
struct Wanted {
    number: u16,
    receive_buffer: usize,
    /// Beside a socket of another that says the same.
    shares: bool,
}

impl Wanted {
    fn bind(&self, address: Ipv4Addr, device: Option<&str>) -> Result<Socket, BindError> {
        let options = BindOptions {
            device: device.map(str::to_owned),
            broadcast: true,
            reuse_address: self.shares,
            receive_buffer: self.receive_buffer,
            ..BindOptions::new(SocketAddr::new(IpAddr::V4(address), self.number))
        };
        UdpSocket::bind(&options).map(Socket::Udp)
    }

    /// Sockets that get everything that is sent to the port.
    fn own(&self, listen: &Listen, port: Port) -> Result<Vec<Socket>, BindError> {
        match (listen, port) {
            (Listen::Address(address), Port::BootServer) => Ok(vec![self.bind(*address, None)?]),
            // A socket that is bound to a unicast address hears no broadcast: the interface is chosen instead. Where there
            // are no broadcasts, the plain bind works or says what is wrong.
            (Listen::Address(address), Port::Dhcp) => match interface_of(*address) {
                Some(name) => Ok(vec![self.bind(Ipv4Addr::UNSPECIFIED, Some(&name))?]),
                None => Ok(vec![self.bind(*address, None)?]),
            },
            _ => listen.devices().iter().map(|name| self.bind(Ipv4Addr::UNSPECIFIED, name.as_deref())).collect(),
        }
    }

    /// Sockets that get broadcasts and leave the rest.
    fn for_broadcasts(&self, devices: &[Option<String>]) -> Result<Vec<Socket>, BindError> {
        devices.iter().map(|name| self.bind(Ipv4Addr::BROADCAST, name.as_deref())).collect()
    }

    /// Sockets that hear what others get.
    fn packets(&self, devices: &[Option<String>]) -> Result<Vec<Socket>, BindError> {
        let open = |name: &Option<String>| {
            PacketSocket::open(self.number, name.as_deref(), self.receive_buffer).map(Socket::Packet)
        };
        devices.iter().map(open).collect()
    }
}

/// The sockets of one port.
pub(super) fn listening_sockets(
    listen: &Listen,
    sharing: Sharing,
    port: Port,
    number: u16,
    receive_buffer: usize,
) -> Result<Vec<Socket>, ListenError> {
    let wanted = Wanted { number, receive_buffer, shares: sharing != Sharing::Never };
    let devices = listen.devices();
    // What is sent to port 4011 is sent to one server. And without broadcasts there is nothing to share.
    if port == Port::BootServer || devices.is_empty() {
        return Ok(Wanted { shares: true, ..wanted }.own(listen, port)?);
    }
    match sharing {
        Sharing::Never => wanted.own(listen, port).map_err(|error| match error {
            BindError::InUse { .. } => ListenError::MayNotShare(error),
            other => other.into(),
        }),
        Sharing::Socket => Ok(wanted.for_broadcasts(&devices)?),
        Sharing::Packet => Ok(wanted.packets(&devices)?),
        Sharing::Auto if number == 0 || !is_udp_port_held(number) => Ok(wanted.own(listen, port)?),
        Sharing::Auto => beside(number, || wanted.packets(&devices), || wanted.for_broadcasts(&devices)),
    }
}

/// Beside a program that has the port: hearing everything where that is allowed, else what is sent to all.
pub(super) fn beside(
    port: u16,
    packets: impl FnOnce() -> Result<Vec<Socket>, BindError>,
    to_all: impl FnOnce() -> Result<Vec<Socket>, BindError>,
) -> Result<Vec<Socket>, ListenError> {
    let holder = find_udp_port_holder(port);
    let of = name_of(holder.as_ref());
    let packet = match packets() {
        Ok(sockets) => {
            info!(port, holder = of, mode = "packet", "another program has the UDP port: heard beside it");
            return Ok(sockets);
        }
        Err(error @ BindError::NoSuchDevice { .. }) => return Err(error.into()),
        Err(packet) => packet,
    };
    match to_all() {
        Ok(sockets) => {
            let why = packet.to_string();
            warn!(
                port,
                holder = of,
                mode = "socket",
                why,
                "another program has the UDP port and shares it: machines of the link are heard, relay agents are not"
            );
            Ok(sockets)
        }
        Err(BindError::InUse { .. }) => Err(ListenError::NotShared { port, holder, packet }),
        Err(other) => Err(other.into()),
    }
}

fn interface_of(address: Ipv4Addr) -> Option<String> {
    let interfaces = Interfaces::read().ok()?;
    let interface = interfaces.with_address(IpAddr::V4(address))?;
    (!interface.is_loopback).then(|| interface.name.clone())
}
