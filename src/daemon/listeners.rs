//! Binds every socket of a site; all that cannot be bound is told at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::bail;
use tokio::net::TcpListener;
use tracing::warn;

use crate::config::{Config, MulticastSection, SharedPort, UefiStyle};
use crate::dhcp::counters::Counters;
use crate::dhcp::listen::{Listen, Sharing};
use crate::dhcp::reply::{Style, Styles};
use crate::dhcp::server::{DhcpServer, ServerOptions};
use crate::net::interfaces::Interfaces;
use crate::net::port_holder::find_udp_port_holder;
use crate::net::tcp::listen;
use crate::tftp::multicast::{MtftpConfig, MulticastConfig};
use crate::tftp::{TftpConfig, TftpServer};

use super::dhcp::DhcpAnswers;
use super::shared::Shared;
use super::tftp::TftpAnswers;

/// What could not be bound, by configuration key.
#[derive(Default)]
pub(super) struct BindProblems(Vec<String>);

impl BindProblems {
    /// Keeps the value, or notes the error under the key that it comes from.
    pub(super) fn take<T>(&mut self, key: &str, result: Result<T, impl std::fmt::Display>) -> Option<T> {
        result.map_err(|error| self.0.push(format!("{key}: {error}"))).ok()
    }

    /// # Errors
    /// All of them, when there are any.
    pub(super) fn check(self) -> anyhow::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        bail!("the server cannot listen\n  {}", self.0.join("\n  "))
    }
}

/// The addresses of TFTP and HTTP: the one configured, those of the interfaces, or all.
///
/// # Errors
/// When this host does not have the address or an interface, or the interface has no address.
pub fn addresses(config: &Config) -> anyhow::Result<Vec<IpAddr>> {
    if let Some(address) = config.server.address {
        if Interfaces::read()?.with_address(address).is_none() && !address.is_loopback() {
            bail!("server.address: {address} is not an address of this host; `ip address` lists those it has");
        }
        return Ok(vec![address]);
    }
    if config.server.interfaces.is_empty() {
        return Ok(vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]);
    }
    let known = Interfaces::read()?;
    let mut addresses = Vec::new();
    for name in &config.server.interfaces {
        let Some(interface) = known.by_name(name) else {
            let names: Vec<_> = known.list.iter().map(|interface| interface.name.as_str()).collect();
            bail!("server.interfaces: there is no interface `{name}`; this host has {}", names.join(", "));
        };
        let global = interface.addresses.iter().map(ipnet::IpNet::addr).filter(|address| !is_link_local(*address));
        let before = addresses.len();
        addresses.extend(global);
        if addresses.len() == before {
            bail!("server.interfaces: `{name}` has no address; give it one before the server starts");
        }
    }
    Ok(addresses)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Listeners of a TCP service; with port 0 all get the port that the kernel chose for the first.
pub(super) fn web(key: &str, addresses: &[IpAddr], port: u16, problems: &mut BindProblems) -> Vec<TcpListener> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    for address in addresses {
        let chosen = listeners.first().and_then(|first| first.local_addr().ok()).map_or(port, |first| first.port());
        match listen(SocketAddr::new(*address, chosen)) {
            // A host without IPv6 serves IPv4.
            Err(_) if *address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !listeners.is_empty() => {}
            result => listeners.extend(problems.take(key, result)),
        }
    }
    listeners
}

/// Proxy DHCP and the PXE boot server.
pub(super) fn dhcp(
    config: &Config,
    shared: &Arc<Shared>,
    counters: &Arc<Counters>,
    problems: &mut BindProblems,
) -> Option<DhcpServer> {
    if !config.dhcp.enabled {
        return None;
    }
    let listen = match (config.server.address, config.server.interfaces.as_slice()) {
        (Some(IpAddr::V4(address)), _) => Listen::Address(address),
        (_, []) => Listen::All,
        (_, interfaces) => Listen::Interfaces(interfaces.to_vec()),
    };
    let boot_server_port = Some(config.dhcp.boot_server_port).filter(|_| config.dhcp.boot_server);
    if let Some(port) = boot_server_port.filter(|port| *port != 0)
        && let Some(holder) = find_udp_port_holder(port)
    {
        warn!(port, %holder, "another program has this UDP port too: what machines ask there reaches only one of them");
    }
    let uefi = match config.dhcp.uefi_style {
        UefiStyle::Binl => Style::Binl,
        UefiStyle::Pxe10 => Style::Pxe10,
    };
    let options = ServerOptions {
        listen,
        sharing: sharing(config.dhcp.shared_port),
        port: config.dhcp.port,
        boot_server_port,
        styles: Styles { uefi, ..Styles::default() },
        advertise: config.server.advertised(),
    };
    let answers = Arc::new(DhcpAnswers::new(Arc::clone(shared), options.styles.clone(), &config.dhcp));
    problems.take("dhcp", DhcpServer::bind(&options, answers, Arc::clone(counters)))
}

/// What `dhcp.shared_port` asks for, of IPv4 and IPv6.
pub(super) fn sharing(shared_port: SharedPort) -> Sharing {
    match shared_port {
        SharedPort::Auto => Sharing::Auto,
        SharedPort::Socket => Sharing::Socket,
        SharedPort::Packet => Sharing::Packet,
        SharedPort::Never => Sharing::Never,
    }
}

fn multicast(section: &MulticastSection) -> MulticastConfig {
    let mtftp = MtftpConfig { port: section.mtftp_port, group: (section.mtftp_group, section.mtftp_client_port) };
    MulticastConfig {
        groups: section.groups,
        port: section.port,
        hops: section.hops.into(),
        rate: section.rate.unwrap_or(u64::MAX),
        mtftp: section.mtftp.then_some(mtftp),
    }
}

/// TFTP.
pub(super) fn tftp(
    config: &Config,
    addresses: &[IpAddr],
    shared: &Arc<Shared>,
    problems: &mut BindProblems,
) -> Option<TftpServer> {
    let section = &config.tftp;
    if !section.enabled {
        return None;
    }
    let options = TftpConfig {
        bind: addresses.to_vec(),
        port: section.port,
        port_range: section.port_range.clone(),
        single_port: section.single_port,
        blksize_max: section.blksize_max,
        windowsize_max: section.windowsize_max,
        transfers_max: section.transfers_max,
        multicast: section.multicast.enabled.then(|| multicast(&section.multicast)),
        ..TftpConfig::default()
    };
    problems.take("tftp", TftpServer::bind(options, Arc::new(TftpAnswers(Arc::clone(shared)))))
}
