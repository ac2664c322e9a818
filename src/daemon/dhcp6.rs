//! DHCPv6, bound and counted. Its questions are those of [`super::dhcp`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::dhcp::reply::Styles;
use crate::dhcp::v6::question::Port;
use crate::dhcp::v6::{Counters, Dhcp6Options, Dhcp6Server};
use crate::observe::Metrics;

use super::dhcp::DhcpAnswers;
use super::listeners::{BindProblems, sharing};
use super::shared::Shared;

/// Binds DHCPv6, where the site wants it.
pub(super) fn bind(
    config: &Config,
    shared: &Arc<Shared>,
    metrics: &Metrics,
    problems: &mut BindProblems,
) -> Option<Dhcp6Server> {
    let section = &config.dhcp6;
    if !section.enabled {
        return None;
    }
    let counters = Arc::new(Counters::default());
    let of = Arc::clone(&counters);
    let read = move || of.outcomes().collect();
    metrics.watch("dhcp6_packets", "DHCPv6 packets, by what became of them", Box::new(read));
    let options = Dhcp6Options {
        interfaces: config.server.interfaces.clone(),
        port: section.port,
        boot_server_port: section.boot_server_port,
        sharing: sharing(config.dhcp.shared_port),
        address: config.server.address.and_then(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        }),
    };
    let answers = Arc::new(DhcpAnswers::new(Arc::clone(shared), Styles::default(), &config.dhcp));
    problems.take("dhcp6", Dhcp6Server::bind(options, answers, counters))
}

/// The ports of DHCPv6 and of its boot server, as bound.
pub(super) fn ports(server: Option<&Dhcp6Server>) -> Option<(u16, u16)> {
    let port = |port| server?.local_addresses(port).next().map(|at: SocketAddr| at.port());
    port(Port::Dhcp).zip(port(Port::BootServer))
}

/// Serves, where there is something to serve.
pub(super) fn serve(server: Option<Dhcp6Server>, tasks: &TaskTracker, stop: &CancellationToken) {
    if let Some(server) = server {
        tasks.spawn(server.run(stop.clone()));
    }
}
