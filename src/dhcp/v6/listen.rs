//! Where DHCPv6 listens, alone or beside a DHCPv6 server on this same host.
//!
//! | way | hears | needs |
//! |---|---|---|
//! | a socket for every address | everything | that nobody else has the port |
//! | sockets bound to the group `ff02::1:2`, one for each interface | clients of the link; relay agents' packets and the rest stay with the DHCPv6 server | that the other shares the port (`SO_REUSEADDR`), or bound it to an address |
//! | a packet socket | everything; the DHCPv6 server hears it as well | `CAP_NET_RAW` |
//!
//! Kea and ISC dhcpd share the port; dnsmasq does with `bind-interfaces` or `bind-dynamic`. A socket of our own for every
//! address beside theirs would take what relay agents send them.
//!
//! **Invariant**: binds sockets; reads and sends nothing.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use super::super::listen::{ListenError, Sharing, beside};
use super::super::socket::Socket;
use super::question::{ALL_SERVERS, Port};
use crate::net::interfaces::Interfaces;
use crate::net::packet::PacketSocket;
use crate::net::port_holder::is_udp_port_held;
use crate::net::udp::{BindError, BindOptions, UdpSocket};

/// Octets that the kernel may queue while we are busy.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The sockets of one port. `interfaces` are those that are served; all when empty.
pub(super) fn listening_sockets(
    interfaces: &[String],
    sharing: Sharing,
    port: Port,
    number: u16,
) -> Result<Vec<Socket>, ListenError> {
    // What is sent to port 4011 is sent to one server.
    if port == Port::BootServer {
        return Ok(own(interfaces, number, number != 0)?);
    }
    match sharing {
        Sharing::Never => own(interfaces, number, false).map_err(|error| match error {
            BindError::InUse { .. } => ListenError::MayNotShare(error),
            other => other.into(),
        }),
        Sharing::Socket => Ok(for_clients(interfaces, number)?),
        Sharing::Packet => Ok(packets(interfaces, number)?),
        Sharing::Auto if number == 0 || !is_udp_port_held(number) => Ok(own(interfaces, number, number != 0)?),
        Sharing::Auto => beside(number, || packets(interfaces, number), || for_clients(interfaces, number)),
    }
}

fn own(interfaces: &[String], number: u16, shares: bool) -> Result<Vec<Socket>, BindError> {
    let at = SocketAddr::from((Ipv6Addr::UNSPECIFIED, number));
    devices(interfaces).map(|device| bind(at, device, shares)).collect()
}

fn packets(interfaces: &[String], number: u16) -> Result<Vec<Socket>, BindError> {
    let open = |device: Option<&str>| PacketSocket::open_v6(number, device, RECEIVE_BUFFER).map(Socket::Packet);
    devices(interfaces).map(open).collect()
}

/// One socket for each interface that is there: a group of the link is nothing without it.
fn for_clients(interfaces: &[String], number: u16) -> Result<Vec<Socket>, BindError> {
    let of_host = Interfaces::read().unwrap_or_default();
    let at = |ifindex| SocketAddr::from(SocketAddrV6::new(ALL_SERVERS, number, 0, ifindex));
    if let Some(device) = interfaces.iter().find(|name| of_host.by_name(name).is_none()) {
        return Err(BindError::NoSuchDevice { address: at(0), device: device.clone() });
    }
    let is_served = |name: &String| interfaces.is_empty() || interfaces.contains(name);
    let served = of_host.list.iter().filter(|one| one.is_up && !one.is_loopback && is_served(&one.name));
    served.map(|one| bind(at(one.index), None, true)).collect()
}

fn bind(address: SocketAddr, device: Option<&str>, shares: bool) -> Result<Socket, BindError> {
    let options = BindOptions {
        device: device.map(str::to_owned),
        reuse_address: shares,
        receive_buffer: RECEIVE_BUFFER,
        ..BindOptions::new(address)
    };
    UdpSocket::bind(&options).map(Socket::Udp)
}

/// The interfaces to bind to; `None` for all of them.
fn devices(interfaces: &[String]) -> impl Iterator<Item = Option<&str>> {
    let all = interfaces.is_empty().then_some(None);
    all.into_iter().chain(interfaces.iter().map(|name| Some(name.as_str())))
}
