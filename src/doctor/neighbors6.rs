//! DHCPv6 servers and routers of the network, from what probes heard: what is missing for a boot by IPv6, one too many boot
//! servers, and boot options that somebody left on the DHCPv6 server.
//!
//! **Invariant**: reports in, findings out; nothing is sent here.

use std::net::{IpAddr, Ipv6Addr};

use super::probe6::{AnswerReport, Report6};
use super::{Found, Patient};
use crate::dhcp::v6::selection::host_of;
use crate::net::interfaces::Interfaces;

pub(super) fn dhcp6(patient: &Patient) -> Found {
    let mut found = Found::default();
    if !patient.config.dhcp6.enabled {
        found.skipped("[dhcp6] is off");
        return found;
    }
    let interfaces = Interfaces::read().unwrap_or_default();
    let of_host = interfaces.list.iter().flat_map(|interface| &interface.addresses).map(ipnet::IpNet::addr);
    let v6 = |address: IpAddr| if let IpAddr::V6(address) = address { Some(address) } else { None };
    let own: Vec<Ipv6Addr> = of_host.chain(patient.config.server.address).filter_map(v6).collect();
    for (interface, report) in &patient.probes6 {
        match report {
            Ok(report) => judge(interface, report, &own, &mut found),
            Err(why) => found.skipped(format!("{interface}: {why}")),
        }
    }
    if patient.probes6.is_empty() {
        found.skipped(
            "there is no interface to probe: none of those that the server listens on is up and has an address",
        );
    }
    found
}

fn judge(interface: &str, report: &Report6, own: &[Ipv6Addr], found: &mut Found) {
    if report.own_address.is_none() {
        found.fail(
            format!("{interface}: this host has a link-local IPv6 address only"),
            "boot files have no address then that machines can load from: give the interface a global or unique local one (fd..)",
        );
    }
    let gives: Vec<&AnswerReport> = report.answers.iter().filter(|answer| answer.address.is_some()).collect();
    judge_routers(interface, report, !gives.is_empty(), found);
    judge_boot_servers(interface, report, own, found);
    for server in &gives {
        judge_server(interface, server, found);
    }
    for conflict in report.conflicts.iter().filter(|conflict| conflict.contains("preference 255")) {
        found.fail(format!("{interface}: {conflict}"), "");
    }
}

/// Routers and DHCPv6 servers: what gives machines an address and a network.
fn judge_routers(interface: &str, report: &Report6, has_addresses: bool, found: &mut Found) {
    let routers = report.routers.as_deref();
    if let Some([]) = routers
        && !has_addresses
    {
        return found.fail(
            format!("{interface}: neither a router nor a DHCPv6 server answers"),
            "machines do not boot by IPv6 here: they need addresses by DHCPv6 (dnsmasq, Kea, ISC), and a router (radvd, \
             dnsmasq: enable-ra) that announces the network with the flag M",
        );
    }
    match routers {
        None => found.skipped(format!("{interface}: routers cannot be heard without root (or CAP_NET_RAW)")),
        Some([]) => found.warn(
            format!("{interface}: no router announces a network"),
            "machines have an address and do not know what else is on their link, nor a way out: let a router announce it \
             (radvd, dnsmasq: enable-ra)",
        ),
        Some(routers) if routers.iter().any(|router| router.managed || router.other) => {
            let names: Vec<_> = routers.iter().map(|router| router.router.to_string()).collect();
            found.ok(format!("{interface}: {} announces the network, with DHCPv6", names.join(", ")));
        }
        Some(_) => found.warn(
            format!("{interface}: routers announce the network without the flags M and O"),
            "iPXE asks no DHCPv6 server then, and finds no script: set M where DHCPv6 gives the addresses, O where it does not",
        ),
    }
    if !has_addresses {
        found.warn(
            format!("{interface}: no DHCPv6 server offered an address"),
            "UEFI does not boot without one (PXE-E16): look at the DHCPv6 server and its pool",
        );
    }
}

fn judge_boot_servers(interface: &str, report: &Report6, own: &[Ipv6Addr], found: &mut Found) {
    let is_own = |answer: &&AnswerReport| {
        let host = answer.url.as_deref().and_then(host_of);
        own.contains(&answer.sender) || host.is_some_and(|host| own.contains(&host))
    };
    let proxies = || report.answers.iter().filter(|answer| answer.address.is_none() && answer.url.is_some());
    for other in proxies().filter(|answer| !is_own(answer)) {
        let url = other.url.clone().unwrap_or_default();
        found.fail(
            format!("{interface}: {} answers boot clients too: {url}", other.sender),
            "machines take whichever is first: switch one of the two off; `pointsman probe --ipv6` shows which wins",
        );
    }
    match proxies().find(is_own) {
        Some(answer) => {
            found.ok(format!("{interface}: this server answers boot clients by DHCPv6"));
            for fault in &answer.faults {
                found.warn(format!("{interface}: this server's own answer: {fault}"), "");
            }
        }
        None => found.warn(
            format!("{interface}: this server did not answer the probe by DHCPv6"),
            "it does not run, a rule is silent for this host's MAC address (`pointsman decide --stage discover`), or it listens \
             by a packet socket beside a DHCPv6 server on this host, which does not hear this host itself: then run \
             `pointsman probe --ipv6` on another host",
        ),
    }
}

fn judge_server(interface: &str, server: &AnswerReport, found: &mut Found) {
    let sender = server.sender;
    match (&server.url, server.options.get(&16)) {
        (_, Some(class)) => found.fail(
            format!("{interface}: DHCPv6 server {sender} sends option 16 `{class}`"),
            "remove option 16 there: machines take the DHCPv6 server for their boot server, and do not ask this one",
        ),
        (Some(url), None) => found.warn(
            format!("{interface}: DHCPv6 server {sender} names a boot file to firmware: {url}"),
            "remove option 59 there but for the user class iPXE: where this server is late, machines load that file",
        ),
        (None, None) => {
            found.ok(format!("{interface}: DHCPv6 server {sender} gives addresses, and no boot file to firmware"))
        }
    }
}

#[cfg(test)]
#[path = "neighbors6_tests.rs"]
mod tests;
