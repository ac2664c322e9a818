//! Who has the ports of this configuration.
//!
//! **Invariant**: read from the kernel's tables; nothing is bound.

use super::{Found, Patient};
use crate::config::{Config, Dhcp6Section};
use crate::net::port_holder::{Holders, packet_socket_holders, tcp_holders, udp_holders, udp6_holders};

/// A port that the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    protocol: &'static str,
    number: u16,
    service: &'static str,
    key: &'static str,
    /// Another program may have it as well: a DHCP server on this host.
    may_be_shared: bool,
}

/// The name of the server's process.
const OWN_NAME: &str = "pointsman";
const BY_IPV6: &str = "UDP over IPv6,";

pub(super) fn ports(patient: &Patient) -> Found {
    let mut found = Found::default();
    for port in wanted(&patient.config) {
        let mut holders = match port.protocol {
            "UDP" => udp_holders(port.number),
            BY_IPV6 => udp6_holders(port.number),
            _ => tcp_holders(port.number),
        };
        // Beside a DHCP server that does not share its port, the server hears it by a packet socket.
        let has_own = holders.processes.iter().any(|holder| holder.name == OWN_NAME);
        if port.may_be_shared && !has_own {
            let own = packet_socket_holders().into_iter().find(|holder| holder.name == OWN_NAME);
            holders.processes.extend(own);
        }
        judge(port, &holders, &mut found);
    }
    found
}

fn wanted(config: &Config) -> Vec<Wanted> {
    let port = |protocol, number, service, key, may_be_shared| Wanted { protocol, number, service, key, may_be_shared };
    let mut wanted = Vec::new();
    if config.dhcp.enabled {
        wanted.push(port("UDP", config.dhcp.port, "proxyDHCP", "dhcp.port", true));
    }
    if config.dhcp.enabled && config.dhcp.boot_server {
        wanted.push(port("UDP", config.dhcp.boot_server_port, "PXE boot server", "dhcp.boot_server_port", false));
    }
    if config.tftp.enabled {
        wanted.push(port("UDP", config.tftp.port, "TFTP", "tftp.port", false));
    }
    if config.dhcp6.enabled {
        let Dhcp6Section { port: number, boot_server_port, .. } = config.dhcp6;
        wanted.push(port(BY_IPV6, number, "DHCPv6", "dhcp6.port", true));
        wanted.push(port(BY_IPV6, boot_server_port, "PXE boot server", "dhcp6.boot_server_port", false));
    }
    if config.dhcp6.enabled && config.tftp.enabled {
        wanted.push(port(BY_IPV6, config.tftp.port, "TFTP", "tftp.port", false));
    }
    wanted.push(port("TCP", config.http.port, "HTTP", "http.port", false));
    if config.https.enabled {
        wanted.push(port("TCP", config.https.port, "HTTPS", "https.port", false));
    }
    // Port 0 is another one at each start.
    wanted.retain(|port| port.number != 0);
    wanted
}

fn judge(port: Wanted, holders: &Holders, found: &mut Found) {
    let Wanted { protocol, number, service, key, .. } = port;
    let name = format!("{protocol} {number} ({service})");
    let others: Vec<String> =
        holders.processes.iter().filter(|holder| holder.name != OWN_NAME).map(ToString::to_string).collect();
    let is_own = holders.processes.iter().any(|holder| holder.name == OWN_NAME);
    match (is_own, others.is_empty()) {
        (true, true) => found.ok(format!("{name} is this server's")),
        (true, false) if port.may_be_shared => found.ok(format!(
            "{name} is this server's, and {} has it too: as it must be with a DHCP server on this host",
            others.join(", ")
        )),
        (true, false) => found.warn(
            format!("{name} is this server's, and {} has it too", others.join(", ")),
            "what machines ask there reaches only one of them: stop the other",
        ),
        (false, false) if port.may_be_shared => found.fail(
            format!("{name} is not this server's, but {} has it", others.join(", ")),
            "start the server (`pointsman serve`); beside a DHCP server on the same host, `[dhcp] shared_port` says how it \
             listens",
        ),
        (false, false) => found.fail(
            format!("{name} belongs to {}", others.join(", ")),
            format!("stop that service, or choose another port with {key}"),
        ),
        (false, true) if holders.is_bound => found.warn(
            format!("{name} is bound by a program that this user may not see"),
            "run `pointsman doctor` as root to see which",
        ),
        (false, true) => found.fail(
            format!("nothing listens on {name}"),
            match protocol {
                BY_IPV6 => "start the server: `pointsman serve`; where server.address names an IPv4 address, only IPv4 is served",
                _ => "start the server: `pointsman serve`; its log says what it cannot bind",
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::tests::patient;
    use super::*;
    use crate::net::port_holder::PortHolder;

    fn judged(names: &[&str], is_bound: bool, may_be_shared: bool) -> Found {
        let port = Wanted { protocol: "UDP", number: 4011, service: "PXE boot server", key: "k", may_be_shared };
        let processes = names.iter().map(|name| PortHolder { pid: 7, name: (*name).to_owned() }).collect();
        let mut found = Found::default();
        judge(port, &Holders { is_bound, processes }, &mut found);
        found
    }

    #[test]
    fn each_holder_is_judged() {
        assert_eq!(judged(&["pointsman"], true, false).states(), [State::Ok]);
        let wds = judged(&["WDSServer"], true, false);
        assert!(
            wds.words().starts_with("Fail UDP 4011 (PXE boot server) belongs to WDSServer (pid 7)"),
            "{}",
            wds.words()
        );
        assert_eq!(judged(&["dnsmasq", "pointsman"], true, true).states(), [State::Ok]);
        assert_eq!(judged(&["dnsmasq", "pointsman"], true, false).states(), [State::Warn]);
        assert!(judged(&["dnsmasq"], true, true).words().contains("shared_port"));
        assert_eq!(judged(&[], true, false).states(), [State::Warn]);
        assert!(judged(&[], false, false).words().contains("nothing listens"));
    }

    #[test]
    fn only_what_is_switched_on_is_looked_at() {
        let (_folder, all) = patient("");
        assert_eq!(wanted(&all.config).iter().map(|port| port.number).collect::<Vec<_>>(), [67, 4011, 69, 80, 443]);
        let (_folder, few) = patient("[dhcp]\nenabled = false\n[tftp]\nport = 0\n[https]\nenabled = false");
        assert_eq!(wanted(&few.config).iter().map(|port| port.number).collect::<Vec<_>>(), [80]);
        let (_folder, six) = patient("[dhcp]\nenabled = false\n[dhcp6]\nenabled = true\n[https]\nenabled = false");
        let numbers: Vec<_> = wanted(&six.config).iter().map(|port| (port.protocol == BY_IPV6, port.number)).collect();
        assert_eq!(numbers, [(false, 69), (true, 547), (true, 4011), (true, 69), (false, 80)]);
    }
}
