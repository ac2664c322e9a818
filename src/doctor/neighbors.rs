//! Other servers on the network, from what probes heard: a DHCP server that is missing, one too many boot servers, and
//! boot options that somebody left on the DHCP server.
//!
//! **Invariant**: reports in, findings out; nothing is sent here.

use std::net::{IpAddr, Ipv4Addr};

use super::probe::{OfferReport, Report};
use super::{Found, Patient};
use crate::net::interfaces::Interfaces;

/// The addresses of this host: whose offers are this server's own.
pub(super) fn own_addresses(patient: &Patient) -> Vec<Ipv4Addr> {
    let interfaces = Interfaces::read().unwrap_or_default();
    let own = interfaces.list.iter().flat_map(|interface| &interface.addresses).map(ipnet::IpNet::addr);
    let v4 = |address: IpAddr| if let IpAddr::V4(address) = address { Some(address) } else { None };
    own.chain(patient.config.server.address).filter_map(v4).collect()
}

/// Says of each interface that was not heard why, and hands over those that were.
fn each(patient: &Patient, mut judge: impl FnMut(&str, &Report, &mut Found)) -> Found {
    let mut found = Found::default();
    for (interface, report) in &patient.probes {
        match report {
            Ok(report) => judge(interface, report, &mut found),
            Err(why) => found.skipped(format!("{interface}: {why}")),
        }
    }
    if patient.probes.is_empty() {
        found.skipped(
            "there is no interface to probe: none of those that the server listens on is up and has an address",
        );
    }
    found
}

pub(super) fn lease(patient: &Patient) -> Found {
    each(patient, judge_lease)
}

fn judge_lease(interface: &str, report: &Report, found: &mut Found) {
    let servers: Vec<String> =
        report.offers.iter().filter(|offer| offer.address.is_some()).map(|offer| offer.server.to_string()).collect();
    match servers.as_slice() {
        [] => found.warn(
            format!("{interface}: no DHCP server offered an address"),
            "machines without a lease do not boot (PXE-E51, PXE-E52): look at the DHCP server and its pool; where it is \
             behind a relay agent that does not serve this host's own segment, this is as it should be",
        ),
        servers => found.ok(format!("{interface}: addresses come from {}", servers.join(", "))),
    }
}

pub(super) fn neighbors(patient: &Patient) -> Found {
    let own = own_addresses(patient);
    let is_expected = patient.config.dhcp.enabled;
    each(patient, |interface, report, found| judge_neighbors(interface, report, &own, is_expected, found))
}

fn judge_neighbors(interface: &str, report: &Report, own: &[Ipv4Addr], is_expected: bool, found: &mut Found) {
    let boots = |offer: &&OfferReport| {
        offer.options.get(&60).is_some_and(|class| class.starts_with("PXEClient") || class.starts_with("HTTPClient"))
    };
    let is_own = |offer: &OfferReport| own.contains(&offer.server) || own.contains(&offer.sender);
    let offers: Vec<&OfferReport> = report.offers.iter().filter(boots).collect();
    let others: Vec<&&OfferReport> = offers.iter().filter(|offer| !is_own(offer)).collect();
    let answers = offers.iter().any(|offer| is_own(offer));
    let file_of = |offer: &OfferReport| offer.file.clone().unwrap_or_else(|| "no file".into());
    for offer in &others {
        let text = format!("{interface}: {} answers boot clients too: {}", offer.server, file_of(offer));
        let remedy =
            "machines take whichever they prefer: switch one of the two off; `pointsman probe` shows which wins";
        if answers || !is_expected { found.fail(text, remedy) } else { found.warn(text, remedy) }
    }
    for fault in offers.iter().filter(|offer| is_own(offer)).flat_map(|offer| &offer.faults) {
        found.warn(format!("{interface}: this server's own offer: {fault}"), "");
    }
    match (answers, is_expected) {
        (true, _) if others.is_empty() => found.ok(format!("{interface}: this server is the only one that answers boot clients")),
        (true, _) => {}
        (false, true) => found.warn(
            format!("{interface}: this server did not answer the probe"),
            "it does not run, or a rule is silent for the probe's MAC address: `pointsman decide --stage discover` tells",
        ),
        (false, false) => found.ok(format!("{interface}: [dhcp] is off here, and this server is silent")),
    }
    for conflict in report.conflicts.iter().filter(|conflict| conflict.contains("no-pxedhcp")) {
        found.fail(format!("{interface}: {conflict}"), "");
    }
}

pub(super) fn dhcp_options(patient: &Patient) -> Found {
    let own = own_addresses(patient);
    let is_proxy = patient.config.dhcp.enabled;
    each(patient, |interface, report, found| judge_options(interface, report, &own, is_proxy, found))
}

/// Boot options of servers that give addresses. Where this server is no proxy, they are what machines boot by.
fn judge_options(interface: &str, report: &Report, own: &[Ipv4Addr], is_proxy: bool, found: &mut Found) {
    let mut leases = 0;
    for offer in report.offers.iter().filter(|offer| offer.address.is_some()) {
        leases += 1;
        let mut left = Vec::new();
        let mut note = |number: u8| left.extend(offer.options.get(&number).map(|value| format!("{number} = {value}")));
        [60, 66, 67].into_iter().for_each(&mut note);
        let ipxe =
            offer.options.get(&175).filter(|value| value.contains("no-pxedhcp") || value.starts_with("plain URL"));
        left.extend(ipxe.map(|value| format!("175 = {value}")));
        if let Some(file) = offer.file.as_ref().filter(|_| !offer.options.contains_key(&67)) {
            left.push(format!("boot file {file} in the header"));
        }
        let server = offer.server;
        match (left.is_empty(), is_proxy) {
            (true, true) => found.ok(format!("{interface}: DHCP server {server} has no boot options")),
            (true, false) => found.warn(
                format!("{interface}: [dhcp] is off, and DHCP server {server} names no boot file"),
                "nobody tells machines what to load: switch [dhcp] on, or let the DHCP server name this server's loaders",
            ),
            (false, false) => found.ok(format!("{interface}: DHCP server {server} sends option {}", left.join(", "))),
            (false, true) if offer.options.contains_key(&60) && !own.contains(&server) => found.fail(
                format!("{interface}: DHCP server {server} sends option {}", left.join(", ")),
                "remove option 60 there: machines take the DHCP server for their boot server, and do not ask this one",
            ),
            (false, true) => found.warn(
                format!("{interface}: DHCP server {server} sends option {}", left.join(", ")),
                "remove options 66 and 67 (next-server, filename) there: clients differ in whether they win over this \
                 server's offer",
            ),
        }
    }
    if leases == 0 {
        found.skipped(format!("{interface}: no DHCP server was heard"));
    }
}

#[cfg(test)]
#[path = "neighbors_tests.rs"]
mod tests;
