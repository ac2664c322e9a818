//! Where the server listens: which sockets that takes, so that it hears broadcasts and takes no other server's packets.
//!
//! **Invariant**: binds sockets; reads and sends nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::question::Port;
use crate::net::interfaces::Interfaces;
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
    /// Beside a DHCP server on this same host: broadcasts only, so that its clients' unicast renewals stay with it. That
    /// server must share its port (`SO_REUSEADDR`; dnsmasq does with `bind-interfaces`). Relay agents are not heard.
    BesideDhcpServer,
}

impl Listen {
    /// The address that every client is to know us by, if one was chosen.
    pub(super) fn server_address(&self) -> Option<Ipv4Addr> {
        match self {
            Listen::Address(address) => Some(*address),
            Listen::All | Listen::Interfaces(_) | Listen::BesideDhcpServer => None,
        }
    }
}

/// The sockets of one port.
pub(super) fn listening_sockets(
    listen: &Listen,
    port: Port,
    number: u16,
    receive_buffer: usize,
) -> Result<Vec<UdpSocket>, BindError> {
    let bind = |address: Ipv4Addr, device: Option<&str>| {
        UdpSocket::bind(&BindOptions {
            device: device.map(str::to_owned),
            broadcast: true,
            // Another DHCP server may be on this host; broadcasts reach both.
            reuse_address: true,
            receive_buffer,
            ..BindOptions::new(SocketAddr::new(IpAddr::V4(address), number))
        })
    };
    let every = Ipv4Addr::UNSPECIFIED;
    match (listen, port) {
        (Listen::All, _) | (Listen::BesideDhcpServer, Port::BootServer) => Ok(vec![bind(every, None)?]),
        (Listen::BesideDhcpServer, Port::Dhcp) => Ok(vec![bind(Ipv4Addr::BROADCAST, None)?]),
        (Listen::Interfaces(names), _) => names.iter().map(|name| bind(every, Some(name))).collect(),
        // A socket that is bound to a unicast address hears no broadcast: the interface is chosen instead. Where there are
        // no broadcasts (loopback), or the address is not there, the plain bind works or says what is wrong.
        (Listen::Address(address), Port::Dhcp) => match interface_of(*address) {
            Some(name) => Ok(vec![bind(every, Some(&name))?]),
            None => Ok(vec![bind(*address, None)?]),
        },
        (Listen::Address(address), Port::BootServer) => Ok(vec![bind(*address, None)?]),
    }
}

fn interface_of(address: Ipv4Addr) -> Option<String> {
    let interfaces = Interfaces::read().ok()?;
    let interface = interfaces.with_address(IpAddr::V4(address))?;
    (!interface.is_loopback).then(|| interface.name.clone())
}
