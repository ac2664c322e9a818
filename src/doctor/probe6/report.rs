//! What a probe found by DHCPv6, for people and for programs.
//!
//! **Invariant**: tokens of boot sessions are not shown.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use serde::Serialize;

use super::{Arrived, BootServer, Heard, Probe6};
use crate::dhcp::offer::Taker;
use crate::dhcp::v6::packet::{MessageType, code};
use crate::dhcp::v6::selection::{Choice6, Offer6, Step6, after_boot_server, host_of, printable};
use crate::net::router::Advertisement;
use crate::simulate::hidden;

/// What a probe found.
#[derive(Debug, Clone, Serialize)]
pub struct Report6 {
    /// The interface that was asked on.
    pub interface: String,
    /// As what was asked.
    pub asked_as: Taker,
    /// The architecture that was named.
    pub architecture: String,
    /// `SOLICIT` or `INFORMATION-REQUEST`.
    pub question: &'static str,
    /// The address of this host there that is more than link-local.
    pub own_address: Option<Ipv6Addr>,
    /// What routers say; none where they could not be heard.
    pub routers: Option<Vec<RouterReport>>,
    /// Every answer, in the order in which they came.
    pub answers: Vec<AnswerReport>,
    /// What such a client does with them.
    pub choice: Choice6,
    /// What it does once it asked on port 4011; absent when it asks nobody.
    pub then: Option<Step6>,
    /// How servers are in each other's way.
    pub conflicts: Vec<String>,
}

/// What a router says.
#[derive(Debug, Clone, Serialize)]
pub struct RouterReport {
    /// Its address of the link.
    pub router: Ipv6Addr,
    /// Flag M: addresses come by DHCPv6.
    pub managed: bool,
    /// Flag O: the rest comes by DHCPv6.
    pub other: bool,
    /// Seconds for which it is a way out of the link; 0 when it is none.
    pub lifetime_s: u16,
    /// The networks of the link.
    pub prefixes: Vec<String>,
}

/// One answer.
#[derive(Debug, Clone, Serialize)]
pub struct AnswerReport {
    /// The server's DUID in hexadecimal digits.
    pub server_id: String,
    /// Where it came from.
    pub sender: Ipv6Addr,
    /// Milliseconds after the question.
    pub after_ms: u64,
    /// Option 7; at 255 clients stop to listen.
    pub preference: u8,
    /// The address that it offers; none for a proxy.
    pub address: Option<Ipv6Addr>,
    /// Why it offers none, in its own words.
    pub refusal: Option<String>,
    /// The boot file (option 59); none when there is none.
    pub url: Option<String>,
    /// Options 16, 23, 59 and 60 in words, those that are there.
    pub options: BTreeMap<u16, String>,
    /// The URL that it names on port 4011: none when it was not asked; empty when it does not answer, or without one.
    pub boot_server_url: Option<String>,
    /// What is wrong with it for this client.
    pub faults: Vec<String>,
}

pub(super) fn report(probe: &Probe6, heard: &Heard) -> Report6 {
    let then = match &heard.boot_server {
        Some(BootServer::Answered(answer)) => Some(after_boot_server(Some(answer))),
        Some(BootServer::Silent) => Some(after_boot_server(None)),
        Some(BootServer::NotAsked) | None => None,
    };
    let Choice6 { lease, boot, step } = heard.choice.clone();
    Report6 {
        interface: probe.interface.clone(),
        asked_as: probe.taker,
        architecture: probe.architecture.to_string(),
        question: if heard.question == MessageType::Solicit { "SOLICIT" } else { "INFORMATION-REQUEST" },
        own_address: heard.own,
        routers: heard.routers.as_ref().ok().map(|routers| routers.iter().map(router).collect()),
        answers: (0..heard.arrived.len()).filter_map(|at| answer(probe, heard, at)).collect(),
        choice: Choice6 { lease, boot, step: without_token(step) },
        then: then.map(without_token),
        conflicts: conflicts(heard),
    }
}

fn router(said: &Advertisement) -> RouterReport {
    RouterReport {
        router: said.router,
        managed: said.is_managed,
        other: said.has_other,
        lifetime_s: said.lifetime_s,
        prefixes: said
            .prefixes
            .iter()
            .filter(|prefix| prefix.is_on_link)
            .map(|prefix| prefix.net.to_string())
            .collect(),
    }
}

fn without_token(step: Step6) -> Step6 {
    match step {
        Step6::Load { url } => Step6::Load { url: hidden(&url) },
        other => other,
    }
}

fn answer(probe: &Probe6, heard: &Heard, at: usize) -> Option<AnswerReport> {
    let Arrived { offer, after } = heard.arrived.get(at)?;
    let boot_server = heard.boot_server.as_ref().filter(|_| heard.choice.boot == Some(at));
    Some(AnswerReport {
        server_id: crate::hex::digits(offer.server_id()),
        sender: offer.sender,
        after_ms: after.as_millis() as u64,
        preference: offer.preference(),
        address: offer.address(),
        refusal: offer.refusal().map(|(number, words)| format!("status {number} {words}").trim_end().to_owned()),
        url: offer.url().map(|url| hidden(&url)),
        options: options(offer),
        boot_server_url: boot_server.and_then(|answer| match answer {
            BootServer::Answered(answer) => Some(hidden(&answer.url().unwrap_or_default())),
            BootServer::Silent => Some(String::new()),
            BootServer::NotAsked => None,
        }),
        faults: faults(probe.taker, offer),
    })
}

fn options(offer: &Offer6) -> BTreeMap<u16, String> {
    let shown = [code::VENDOR_CLASS, code::DNS_SERVERS, code::BOOT_FILE_URL, code::BOOT_FILE_PARAMETERS];
    let words = |number: u16, value: &[u8]| match number {
        // Enterprise number and length come before the text.
        code::VENDOR_CLASS => printable(value.get(6..).unwrap_or_default()),
        code::DNS_SERVERS => {
            let addresses = value.as_chunks::<16>().0.iter().map(|address| Ipv6Addr::from(*address).to_string());
            addresses.collect::<Vec<_>>().join(" ")
        }
        _ => hidden(&printable(value)),
    };
    shown.into_iter().filter_map(|number| Some((number, words(number, offer.message.options.get(number)?)))).collect()
}

/// What is wrong with an answer for this client.
fn faults(taker: Taker, offer: &Offer6) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(url) = offer.url() else { return faults };
    let host = host_of(&url);
    if host.is_some_and(|host| host.is_unicast_link_local()) {
        faults.push("the URL has a link-local address, which says nothing without its link".to_owned());
    }
    if taker == Taker::Uefi && host.is_none() {
        faults.push("UEFI PXE takes an IPv6 address in brackets as the URL's host, nothing else".to_owned());
    }
    if taker == Taker::Uefi && !url.starts_with("tftp://") {
        faults.push("UEFI PXE loads tftp:// URLs only".to_owned());
    }
    if taker == Taker::Http && !url.starts_with("http://") && !url.starts_with("https://") {
        faults.push("HTTP Boot loads http:// and https:// URLs only".to_owned());
    }
    let is_said = if taker == Taker::Http { offer.is_http() } else { offer.is_pxe() };
    if taker != Taker::Ipxe && !is_said && (offer.address().is_none() || taker == Taker::Http) {
        faults.push("a boot file without option 16 of the client's kind: this client passes it by".to_owned());
    }
    if taker == Taker::Uefi && offer.message.options.has(code::BOOT_FILE_PARAMETERS) {
        faults
            .push("option 60: EDK2 reads the size of the file from it, and refuses what it cannot read so".to_owned());
    }
    faults
}

fn conflicts(heard: &Heard) -> Vec<String> {
    let mut conflicts = Vec::new();
    let offers = || heard.arrived.iter().map(|arrived| &arrived.offer);
    let boots = offers().filter(|offer| offer.address().is_none() && offer.url().is_some()).count();
    if let Some(hasty) = offers().find(|offer| offer.preference() == u8::MAX && offer.url().is_none())
        && heard.question == MessageType::Solicit
    {
        conflicts.push(format!(
            "DHCPv6 server {} sends preference 255: clients stop to listen at once, and miss who names the boot file; take that \
             out there (dnsmasq: dhcp-authoritative)",
            hasty.sender
        ));
    }
    if boots > 1 {
        conflicts.push(format!("{boots} servers name a boot file without an address: clients take the first to come"));
    }
    conflicts
}

impl Report6 {
    /// What the client does in the end.
    pub fn end(&self) -> &Step6 {
        self.then.as_ref().unwrap_or(&self.choice.step)
    }

    /// Whether such a client boots, and nobody is in its way. Where port 4011 could not be asked, an answer is enough.
    pub fn is_good(&self) -> bool {
        let boots = !matches!(self.end(), Step6::Fail { .. });
        boots && self.choice.boot.is_some() && self.conflicts.is_empty()
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let Report6 { interface, architecture, question, .. } = self;
        let who = self.asked_as.name();
        let mut lines =
            vec![format!("{question} as {who} ({architecture}) on {interface}; no address is taken"), String::new()];
        lines.extend(self.router_lines());
        for (at, answer) in self.answers.iter().enumerate() {
            lines.push(String::new());
            lines.extend(answer.lines(at + 1));
        }
        lines.push(String::new());
        match self.answers.is_empty() {
            true => lines
                .push("Nobody answered: no DHCPv6 server and no boot server hears ff02::1:2 on this interface.".into()),
            false => lines.push(self.sentence()),
        }
        lines.extend(self.conflicts.iter().map(|conflict| format!("conflict: {conflict}")));
        lines
    }

    fn router_lines(&self) -> Vec<String> {
        let Some(routers) = &self.routers else {
            return vec!["routers: not heard, which needs root (or CAP_NET_RAW)".into()];
        };
        if routers.is_empty() {
            return vec!["routers: none answers; without one machines know neither their network nor a way out".into()];
        }
        routers.iter().map(RouterReport::line).collect()
    }

    fn sentence(&self) -> String {
        let of = |at: Option<usize>| at.and_then(|at| Some((at + 1, self.answers.get(at)?.sender)));
        let lease =
            of(self.choice.lease).map_or("no address".into(), |(_, server)| format!("an address from {server}"));
        let boot =
            of(self.choice.boot).map_or("nobody's boot data".into(), |(at, server)| format!("answer {at} of {server}"));
        let step = match (&self.choice.step, &self.then) {
            (Step6::AskBootServer { server }, Some(step)) => {
                format!(", asks {server} on port 4011, and {}", in_words(step))
            }
            (Step6::AskBootServer { server }, None) => {
                format!(
                    ", and asks {server} on port 4011, which was not asked: the interface has a link-local address only"
                )
            }
            (step, _) => format!(", and {}", in_words(step)),
        };
        format!("Such a client takes {lease} and {boot}{step}.")
    }
}

fn in_words(step: &Step6) -> String {
    match step {
        Step6::Load { url } => format!("loads {url}"),
        Step6::AskBootServer { server } => format!("asks {server} on port 4011"),
        Step6::Fail { code } if code.contains(' ') => format!("does not boot: {code}"),
        Step6::Fail { code } => format!("does not boot: {code} (`pointsman explain {code}`)"),
    }
}

impl RouterReport {
    fn line(&self) -> String {
        let RouterReport { router, managed, other, lifetime_s, prefixes } = self;
        let flags = match (managed, other) {
            (true, _) => "addresses come by DHCPv6 (M)",
            (false, true) => "addresses are made by hosts, the rest comes by DHCPv6 (O)",
            (false, false) => "nothing comes by DHCPv6 (neither M nor O): iPXE does not ask, firmware does",
        };
        let way = if *lifetime_s == 0 { ", no way out" } else { "" };
        let nets = if prefixes.is_empty() { "no network".to_owned() } else { prefixes.join(", ") };
        format!("router {router}: {nets}; {flags}{way}")
    }
}

impl AnswerReport {
    fn lines(&self, number: usize) -> Vec<String> {
        let kind = if self.address.is_some() { "DHCPv6 server" } else { "server without addresses" };
        let mut lines = vec![format!("answer {number}: {kind} {}, after {} ms", self.sender, self.after_ms)];
        let mut line = |name: &str, value: &str| lines.push(format!("    {name:<12}{value}"));
        line("server id", &self.server_id);
        if self.preference > 0 {
            line("preference", &self.preference.to_string());
        }
        if let Some(address) = self.address {
            line("address", &address.to_string());
        }
        if let Some(refusal) = &self.refusal {
            line("refuses", refusal);
        }
        line("boot file", self.url.as_deref().unwrap_or("none"));
        for (number, words) in self.options.iter().filter(|(number, _)| **number != code::BOOT_FILE_URL) {
            line(&format!("option {number}"), words);
        }
        match self.boot_server_url.as_deref() {
            Some("") => line("port 4011", "no answer, or one without a boot file"),
            Some(url) => line("port 4011", url),
            None => {}
        }
        self.faults.iter().for_each(|fault| line("fault", fault));
        lines
    }
}
