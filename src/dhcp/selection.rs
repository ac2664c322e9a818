//! Which of several offers a boot client takes, and what it does then: the rules of firmware, as a function.
//!
//! A segment may have a DHCP server with boot options of its own, a proxy, and a second proxy that somebody forgot. Each
//! kind of client picks by rules of its own, and none says on its screen why:
//!
//! | client | rules from |
//! |---|---|
//! | PC BIOS | PXE 2.1 sections 2.2 and 2.4, and what ROMs are known to do |
//! | UEFI PXE | EDK2, `PxeBcDhcp4.c`: offers fall into classes, and the classes have an order |
//! | UEFI HTTP Boot | EDK2, `HttpBootDhcp4.c` |
//! | iPXE | `net/udp/dhcp.c`: the first moment with all that it needs, then settings by priority (option 175.1) |
//! | Raspberry Pi | the text in option 43 |
//!
//! What is wrong with an offer, whoever takes it, is [`super::faults`].
//!
//! **Invariant**: offers in, a choice out: no socket, no clock. The order of the offers is that of their arrival.

use std::net::Ipv4Addr;

use serde::Serialize;

use super::offer::RASPBERRY_PI_TEXT;
pub use super::offer::{Offer, Taker};
use super::packet::code;
use super::pxe::says_no_pxedhcp;

/// What a client does with the offers that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The offer whose address it takes, by its place in the list.
    pub lease: Option<usize>,
    /// The offer that it boots by.
    pub boot: Option<usize>,
    /// What it does next.
    pub step: Step,
}

/// What a client does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "does")]
pub enum Step {
    /// It loads this file; `server` is none where the file is a URL.
    Load {
        /// The path or URL.
        file: String,
        /// The TFTP server.
        server: Option<Ipv4Addr>,
    },
    /// It asks this server on port 4011 for the file.
    AskBootServer {
        /// The server.
        server: Ipv4Addr,
    },
    /// It shows the menu of option 43.
    Menu,
    /// It stops, or goes on to the next device, with this on its screen.
    Fail {
        /// The code, for `pointsman explain`.
        code: &'static str,
    },
}

impl Step {
    fn fail(code: &'static str) -> Step {
        Step::Fail { code }
    }
}

/// What the client does with these offers, in the order in which they came.
pub fn select(taker: Taker, offers: &[Offer]) -> Choice {
    match taker {
        Taker::Bios => bios(offers),
        Taker::Uefi => uefi(offers),
        Taker::Http => http(offers),
        Taker::Ipxe => ipxe(offers),
        Taker::RaspberryPi => raspberry_pi(offers),
    }
}

/// What the client does once it asked on port 4011, with the answer if one came.
pub fn after_boot_server(taker: Taker, asked: Ipv4Addr, answer: Option<&Offer>) -> Step {
    let loads = |answer: &Offer| {
        let file = answer.file(taker);
        let server = answer.file_server(taker).or(Some(asked));
        (!file.is_empty()).then(|| load(file, server))
    };
    match (answer.map(loads), taker) {
        (Some(Some(step)), _) => step,
        // The answer has no file.
        (Some(None), Taker::Bios) => Step::fail("PXE-E53"),
        (_, Taker::Uefi) => Step::fail("PXE-E18"),
        (_, Taker::Ipxe) => Step::fail("2d03e1"),
        (_, _) => Step::fail("PXE-E55"),
    }
}

fn load(file: String, server: Option<Ipv4Addr>) -> Step {
    let is_url = file.contains("://");
    Step::Load { file, server: server.filter(|_| !is_url) }
}

fn first(offers: &[Offer], is_it: impl Fn(&Offer) -> bool) -> Option<usize> {
    offers.iter().position(is_it)
}

fn bios(offers: &[Offer]) -> Choice {
    let proxy = |offer: &Offer| !offer.leases() && offer.is_pxe();
    // An offer that is both spares the ROM a proxy.
    let lease = first(offers, |offer| offer.leases() && offer.is_pxe()).or_else(|| first(offers, Offer::leases));
    let Some(lease_offer) = lease.and_then(|at| offers.get(at)) else {
        let boot = first(offers, proxy);
        return Choice { lease: None, boot, step: Step::fail(if boot.is_some() { "PXE-E52" } else { "PXE-E51" }) };
    };
    let ready = |offer: &Offer| {
        let uses_file = offer.vendor_options().discovery_control.is_some_and(|control| control.uses_boot_file());
        proxy(offer) && uses_file && !offer.file(Taker::Bios).is_empty()
    };
    let by_proxy = first(offers, ready).or_else(|| first(offers, proxy)).filter(|_| !lease_offer.is_pxe());
    let boot = by_proxy.or(lease);
    let Some(offer) = boot.and_then(|at| offers.get(at)) else { return Choice { lease, boot, step: Step::Menu } };
    Choice { lease, boot, step: bios_step(offer) }
}

fn bios_step(offer: &Offer) -> Step {
    let file = offer.file(Taker::Bios);
    let vendor = offer.vendor_options();
    if let Some(control) = vendor.discovery_control {
        return match () {
            () if control.uses_boot_file() && !file.is_empty() => load(file, offer.file_server(Taker::Bios)),
            () if control.only_listed_servers() && vendor.boot_servers.is_empty() => Step::fail("PXE-E77"),
            () if vendor.menu.is_empty() => Step::fail("PXE-E74"),
            () => Step::Menu,
        };
    }
    match (offer.is_pxe(), file.is_empty()) {
        // A plain DHCP server with next-server and file name.
        (false, false) => load(file, offer.file_server(Taker::Bios)),
        (false, true) => Step::fail("PXE-E53"),
        (true, _) => Step::AskBootServer { server: offer.next_server().unwrap_or_else(|| offer.server()) },
    }
}

/// How EDK2 files an offer away, in the order in which it looks for a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UefiClass {
    DhcpPxe10,
    DhcpWfm11a,
    DhcpBinl,
    DhcpOnly,
    ProxyPxe10,
    ProxyWfm11a,
    ProxyBinl,
    Bootp,
    Discarded,
}

fn uefi_class(offer: &Offer) -> UefiClass {
    if offer.message.message_type().is_none() {
        return UefiClass::Bootp;
    }
    match (offer.leases(), offer.is_pxe(), offer.pxe_tags(), offer.mtftp_tags()) {
        (true, false, ..) => UefiClass::DhcpOnly,
        (true, true, true, _) => UefiClass::DhcpPxe10,
        (true, true, false, true) => UefiClass::DhcpWfm11a,
        (true, true, false, false) => UefiClass::DhcpBinl,
        (false, false, ..) => UefiClass::Discarded,
        (false, true, true, _) => UefiClass::ProxyPxe10,
        (false, true, false, true) => UefiClass::ProxyWfm11a,
        (false, true, false, false) => UefiClass::ProxyBinl,
    }
}

fn uefi(offers: &[Offer]) -> Choice {
    let of = |class| first(offers, |offer| uefi_class(offer) == class);
    let lease = of(UefiClass::DhcpOnly);
    let alone = |class| of(class).map(|at| (Some(at), at));
    let beside = |class| lease.and(of(class)).map(|at| (lease, at));
    let with_file = |class| first(offers, |offer| uefi_class(offer) == class && !offer.file(Taker::Uefi).is_empty());
    let chosen = alone(UefiClass::DhcpPxe10)
        .or_else(|| alone(UefiClass::DhcpWfm11a))
        .or_else(|| beside(UefiClass::ProxyPxe10))
        .or_else(|| beside(UefiClass::ProxyWfm11a))
        .or_else(|| alone(UefiClass::DhcpBinl))
        .or_else(|| beside(UefiClass::ProxyBinl))
        .or_else(|| with_file(UefiClass::DhcpOnly).map(|at| (Some(at), at)))
        .or_else(|| with_file(UefiClass::Bootp).map(|at| (Some(at), at)));
    let Some((lease, boot)) = chosen else { return Choice { lease, boot: None, step: Step::fail("PXE-E16") } };
    let step = offers.get(boot).map_or(Step::fail("PXE-E16"), uefi_step);
    Choice { lease, boot: Some(boot), step }
}

fn uefi_step(offer: &Offer) -> Step {
    let file = offer.file(Taker::Uefi);
    let vendor = offer.vendor_options();
    match uefi_class(offer) {
        // Always, also when the offer has a file.
        UefiClass::DhcpBinl | UefiClass::ProxyBinl => {
            Step::AskBootServer { server: offer.next_server().unwrap_or_else(|| offer.server()) }
        }
        UefiClass::DhcpPxe10 | UefiClass::ProxyPxe10 => {
            let uses_file = vendor.discovery_control.is_some_and(|control| control.uses_boot_file());
            match () {
                () if uses_file && !file.is_empty() => load(file, offer.file_server(Taker::Uefi)),
                () if vendor.menu.is_empty() => Step::fail("PXE-E21"),
                () => Step::Menu,
            }
        }
        _ => load(file, offer.file_server(Taker::Uefi)),
    }
}

/// HTTP Boot: whether an offer's URL has a host name, which takes a DNS server of the DHCP server.
fn http(offers: &[Offer]) -> Choice {
    let has_dns = |offer: &Offer| offer.message.option(DNS_SERVERS).is_some_and(|servers| servers.len() >= 4);
    let url = |offer: &Offer| Some(offer.file(Taker::Http)).filter(|url| offer.is_http() && !url.is_empty());
    let by_address = |offer: &Offer| url(offer).is_some_and(|url| host_is_address(&url));
    let by_name = |offer: &Offer| url(offer).is_some_and(|url| !host_is_address(&url));
    let plain = |offer: &Offer| offer.leases() && !offer.is_http();
    let alone = |is_it: &dyn Fn(&Offer) -> bool| first(offers, |offer| offer.leases() && is_it(offer));
    let proxy = |is_it: &dyn Fn(&Offer) -> bool| first(offers, |offer| !offer.leases() && is_it(offer));
    let (without, with) =
        (first(offers, |offer| plain(offer) && !has_dns(offer)), first(offers, |offer| plain(offer) && has_dns(offer)));
    let chosen = alone(&|offer| by_address(offer) && !has_dns(offer))
        .or_else(|| alone(&by_address))
        .or_else(|| alone(&|offer| by_name(offer) && has_dns(offer)))
        .map(|at| (Some(at), at))
        .or_else(|| without.and(proxy(&by_address)).map(|at| (without, at)))
        .or_else(|| with.and(proxy(&by_address)).map(|at| (with, at)))
        .or_else(|| with.and(proxy(&by_name)).map(|at| (with, at)));
    let lease = without.or(with);
    let Some((lease, boot)) = chosen else { return Choice { lease, boot: None, step: Step::fail("PXE-E16") } };
    let file = offers.get(boot).map(|offer| offer.file(Taker::Http)).unwrap_or_default();
    Choice { lease, boot: Some(boot), step: load(file, None) }
}

/// Option 6 (RFC 2132 section 3.8).
const DNS_SERVERS: u8 = 6;

/// Whether the host of a URL is an address.
pub(super) fn host_is_address(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    authority.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

/// An offer that iPXE holds, with its place in the list.
type Held<'a> = Option<(usize, &'a Offer)>;

fn ipxe(offers: &[Offer]) -> Choice {
    let (mut lease, mut proxy): (Held<'_>, Held<'_>) = (None, None);
    for (at, offer) in offers.iter().enumerate() {
        // Of equal priority the later one stays.
        let wins = |held: Held<'_>| held.is_none_or(|(_, held)| offer.priority() >= held.priority());
        let is_lease = offer.leases() && (offer.is_dhcp() || offer.message.message_type().is_none());
        if is_lease && wins(lease) {
            lease = Some((at, offer));
        }
        if offer.is_pxe() && wins(proxy) {
            proxy = Some((at, offer));
        }
        let ignores_proxies = lease.is_some_and(|(_, offer)| no_pxedhcp(offer));
        if lease.is_some() && (ignores_proxies || proxy.is_some()) {
            break;
        }
    }
    let Some((lease_at, lease_offer)) = lease else {
        return Choice { lease: None, boot: None, step: Step::fail("4c1060") };
    };
    let lease = Some(lease_at);
    let proxy = proxy.filter(|(at, _)| *at != lease_at && !no_pxedhcp(lease_offer));
    let own = lease_offer.file(Taker::Ipxe);
    let by_lease = || load(own.clone(), lease_offer.file_server(Taker::Ipxe));
    let Some((at, offer)) = proxy else {
        return match own.is_empty() {
            true => Choice { lease, boot: None, step: Step::fail("2d03e1") },
            false => Choice { lease, boot: lease, step: by_lease() },
        };
    };
    // Settings of equal priority: those of the lease come first.
    if !own.is_empty() && offer.priority() <= lease_offer.priority() {
        return Choice { lease, boot: lease, step: by_lease() };
    }
    let file = offer.file(Taker::Ipxe);
    let step = match (file.is_empty(), offer.next_server()) {
        (false, Some(_)) => load(file, offer.file_server(Taker::Ipxe)),
        _ if !offer.vendor_options().menu.is_empty() => Step::Menu,
        _ => Step::AskBootServer { server: offer.server() },
    };
    Choice { lease, boot: Some(at), step }
}

fn no_pxedhcp(offer: &Offer) -> bool {
    offer.message.option(code::IPXE).is_some_and(says_no_pxedhcp)
}

fn raspberry_pi(offers: &[Offer]) -> Choice {
    let says_it = |offer: &Offer| {
        let vendor = offer.message.option(code::VENDOR_OPTIONS).unwrap_or_default();
        offer.is_pxe() && vendor.windows(RASPBERRY_PI_TEXT.len()).any(|part| part == RASPBERRY_PI_TEXT)
    };
    let lease = first(offers, Offer::leases);
    let boot = first(offers, says_it);
    // The files are built in; the server is all that it needs.
    let step = match (lease, boot.and_then(|at| offers.get(at))) {
        (Some(_), Some(offer)) => load("bootcode.bin".into(), offer.file_server(Taker::RaspberryPi)),
        _ => Step::fail("the boot ROM asks again, and then goes on to its next device"),
    };
    Choice { lease, boot, step }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
