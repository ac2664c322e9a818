//! What a probe found, for people and for programs.
//!
//! **Invariant**: tokens of boot sessions are not shown.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;

use super::words::option_in_words;
use super::{Arrived, BootServer, Heard, Probe};
use crate::dhcp::faults::{faults, quarrels};
use crate::dhcp::offer::{Offer, Taker};
use crate::dhcp::packet::code;
use crate::dhcp::selection::{Choice, Step, after_boot_server, select};
use crate::simulate::hidden;

/// What a probe found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The interface that was asked on.
    pub interface: String,
    /// As what was asked.
    pub asked_as: Taker,
    /// The architecture that was named.
    pub architecture: String,
    /// The MAC address that was named.
    pub mac: String,
    /// Every offer, in the order in which they came.
    pub offers: Vec<OfferReport>,
    /// What such a client does with them.
    pub choice: Choice,
    /// What it does once it asked on port 4011; absent when it asks nobody.
    pub then: Option<Step>,
    /// How servers are in each other's way.
    pub conflicts: Vec<String>,
}

/// One offer.
#[derive(Debug, Clone, Serialize)]
pub struct OfferReport {
    /// Whose it is.
    pub server: Ipv4Addr,
    /// Where it came from.
    pub sender: Ipv4Addr,
    /// Milliseconds after the question.
    pub after_ms: u64,
    /// The address that it offers; none for a proxy.
    pub address: Option<Ipv4Addr>,
    /// `siaddr`.
    pub next_server: Option<Ipv4Addr>,
    /// The boot file, as this client reads it; none when there is none.
    pub file: Option<String>,
    /// Options 43, 60, 66, 67, 97 and 175 in words, those that are there.
    pub options: BTreeMap<u8, String>,
    /// The boot file that it names on port 4011: none when it was not asked; empty when it does not answer, or without one.
    pub boot_server_file: Option<String>,
    /// What is wrong with it for this client.
    pub faults: Vec<String>,
}

const SHOWN_OPTIONS: [u8; 6] =
    [code::VENDOR_OPTIONS, code::VENDOR_CLASS, 66, code::BOOT_FILE, code::MACHINE_ID, code::IPXE];

pub(super) fn report(probe: &Probe, heard: &Heard) -> Report {
    let offers: Vec<Offer> = heard.offers.iter().map(|arrived| arrived.offer.clone()).collect();
    let choice = select(probe.taker, &offers);
    let then = match &choice.step {
        Step::AskBootServer { server } => match heard.boot_servers.iter().find(|(asked, _)| asked == server) {
            Some((_, BootServer::Answered(answer))) => Some(after_boot_server(probe.taker, *server, Some(answer))),
            Some((_, BootServer::Silent)) => Some(after_boot_server(probe.taker, *server, None)),
            _ => None,
        },
        _ => None,
    };
    Report {
        interface: probe.interface.clone(),
        asked_as: probe.taker,
        architecture: probe.architecture.to_string(),
        mac: probe.mac.to_string(),
        offers: (0..offers.len()).filter_map(|at| offer_report(probe, heard, &offers, at)).collect(),
        choice: Choice { step: without_token(choice.step), ..choice },
        then: then.map(without_token),
        conflicts: quarrels(probe.taker, &offers).iter().map(ToString::to_string).collect(),
    }
}

fn without_token(step: Step) -> Step {
    match step {
        Step::Load { file, server } => Step::Load { file: hidden(&file), server },
        other => other,
    }
}

fn offer_report(probe: &Probe, heard: &Heard, offers: &[Offer], at: usize) -> Option<OfferReport> {
    let Arrived { offer, after } = heard.offers.get(at)?;
    let told = |number: u8| Some((number, hidden(&option_in_words(number, offer.message.option(number)?, probe.uuid))));
    let file = offer.file(probe.taker);
    let asked = offer.next_server().unwrap_or_else(|| offer.server());
    let boot_server = heard.boot_servers.iter().find(|(server, _)| *server == asked && offer.is_pxe());
    Some(OfferReport {
        server: offer.server(),
        sender: offer.sender,
        after_ms: after.as_millis() as u64,
        address: Some(offer.message.header.yiaddr).filter(|_| offer.leases()),
        next_server: offer.next_server(),
        file: (!file.is_empty()).then(|| hidden(&file)),
        options: SHOWN_OPTIONS.into_iter().filter_map(told).collect(),
        boot_server_file: boot_server.and_then(|(_, answer)| match answer {
            BootServer::Answered(answer) => Some(hidden(&answer.file(probe.taker))),
            BootServer::Silent => Some(String::new()),
            BootServer::NotAsked => None,
        }),
        faults: faults(probe.taker, offers, at).iter().map(ToString::to_string).collect(),
    })
}

impl Report {
    /// What the client does in the end.
    pub fn end(&self) -> &Step {
        self.then.as_ref().unwrap_or(&self.choice.step)
    }

    /// Whether such a client boots, and nobody is in its way. Where port 4011 could not be asked, an offer is enough.
    pub fn is_good(&self) -> bool {
        let boots = !matches!(self.end(), Step::Fail { .. });
        boots && self.choice.boot.is_some() && self.conflicts.is_empty()
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let Report { interface, architecture, mac, .. } = self;
        let who = self.asked_as.name();
        let mut lines = vec![format!("DISCOVER as {who} ({architecture}, {mac}) on {interface}; no address is taken")];
        for (at, offer) in self.offers.iter().enumerate() {
            lines.push(String::new());
            lines.extend(offer.lines(at + 1));
        }
        lines.push(String::new());
        if self.offers.is_empty() {
            lines.push("Nobody answered: no DHCP server and no boot server hears this interface's broadcasts.".into());
        } else {
            lines.push(self.sentence());
        }
        lines.extend(self.conflicts.iter().map(|conflict| format!("conflict: {conflict}")));
        lines
    }

    fn sentence(&self) -> String {
        let of = |at: Option<usize>| at.and_then(|at| Some((at + 1, self.offers.get(at)?.server)));
        let lease =
            of(self.choice.lease).map_or("no address".into(), |(_, server)| format!("an address from {server}"));
        let boot =
            of(self.choice.boot).map_or("nobody's boot data".into(), |(at, server)| format!("offer {at} of {server}"));
        let step = match &self.choice.step {
            Step::AskBootServer { server } => format!(", asks {server} on port 4011, {}", self.after_4011()),
            step => format!(", and {}", in_words(step)),
        };
        format!("Such a client takes {lease} and {boot}{step}.")
    }

    fn after_4011(&self) -> String {
        match &self.then {
            Some(step) => format!("and {}", in_words(step)),
            None => "which was not asked: the interface has no address".into(),
        }
    }
}

fn in_words(step: &Step) -> String {
    match step {
        Step::Load { file, server: Some(server) } => format!("loads {file} from {server}"),
        Step::Load { file, server: None } => format!("loads {file}"),
        Step::AskBootServer { server } => format!("asks {server} on port 4011"),
        Step::Menu => "shows the menu of option 43".into(),
        Step::Fail { code } if code.contains(' ') => format!("does not boot: {code}"),
        Step::Fail { code } => format!("does not boot: {code} (`pointsman explain {code}`)"),
    }
}

impl OfferReport {
    fn lines(&self, number: usize) -> Vec<String> {
        let kind = if self.address.is_some() { "DHCP server" } else { "proxy" };
        let from = if self.sender == self.server { String::new() } else { format!(", from {}", self.sender) };
        let mut lines = vec![format!("offer {number}: {kind} {}{from}, after {} ms", self.server, self.after_ms)];
        let mut line = |name: &str, value: &str| lines.push(format!("    {name:<12}{value}"));
        if let Some(address) = self.address {
            line("address", &address.to_string());
        }
        if let Some(server) = self.next_server {
            line("next server", &server.to_string());
        }
        line("boot file", self.file.as_deref().unwrap_or("none"));
        for (number, words) in &self.options {
            line(&format!("option {number}"), words);
        }
        match self.boot_server_file.as_deref() {
            Some("") => line("port 4011", "no answer, or one without a boot file"),
            Some(file) => line("port 4011", file),
            None => {}
        }
        self.faults.iter().for_each(|fault| line("fault", fault));
        lines
    }
}
