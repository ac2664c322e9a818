//! A server's answer by DHCPv6 as boot clients read it, and which of several they take.
//!
//! | client | rules from |
//! |---|---|
//! | UEFI PXE | EDK2, `PxeBcDhcp6.c` |
//! | UEFI HTTP Boot | EDK2, `HttpBootDhcp6.c` |
//! | iPXE | `net/udp/dhcpv6.c`: everything from the first server |
//!
//! A preference of 255 ends the listening (RFC 8415 section 18.2.1): what comes behind it is not seen.
//!
//! **Invariant**: offers in, a choice out: no socket, no clock. The order of the offers is that of their arrival.

use std::net::Ipv6Addr;

use serde::Serialize;

use super::super::client::{HTTP_CLIENT, PXE_CLIENT};
use super::super::offer::Taker;
use super::client::ENTERPRISE;
use super::packet::{Message, Options, code, texts};

/// A server's message, as it arrived.
#[derive(Debug, Clone)]
pub struct Offer6 {
    /// The address that it came from.
    pub sender: Ipv6Addr,
    /// What it says.
    pub message: Message,
}

/// What a client does with the answers that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice6 {
    /// The answer whose address it takes, by its place in the list.
    pub lease: Option<usize>,
    /// The answer that it boots by.
    pub boot: Option<usize>,
    /// What it does next.
    pub step: Step6,
}

/// What a client does next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "does")]
pub enum Step6 {
    /// It loads this URL.
    Load {
        /// The URL.
        url: String,
    },
    /// It asks this server on port 4011 for the URL.
    AskBootServer {
        /// The host of the URL that it has.
        server: Ipv6Addr,
    },
    /// It stops, or goes on to the next device.
    Fail {
        /// A code for `pointsman explain`, or words.
        code: &'static str,
    },
}

/// EDK2's word for "nobody".
const NO_OFFER: &str = "PXE-E16";

impl Offer6 {
    /// The server's DUID.
    pub fn server_id(&self) -> &[u8] {
        self.message.options.get(code::SERVER_ID).unwrap_or_default()
    }

    /// The address that it gives (RFC 8415 section 21.4), if it gives one.
    pub fn address(&self) -> Option<Ipv6Addr> {
        let within = Options::parse(self.message.options.get(code::IA_NA)?.get(12..)?).ok()?;
        let address = within.get(code::IAADDR)?.first_chunk::<16>()?;
        status(&within).is_none_or(|status| status.0 == 0).then(|| (*address).into())
    }

    /// Why it gives none, in its own words: the status of the message or of the address (option 13).
    pub fn refusal(&self) -> Option<(u16, String)> {
        let options = &self.message.options;
        let within = options.get(code::IA_NA).and_then(|ia| Options::parse(ia.get(12..)?).ok());
        status(options).or_else(|| status(&within?)).filter(|(code, _)| *code != 0)
    }

    /// The URL of the boot file (option 59), as printable text.
    pub fn url(&self) -> Option<String> {
        let value = self.message.options.get(code::BOOT_FILE_URL).filter(|value| !value.is_empty())?;
        Some(printable(value))
    }

    /// Whether Intel's vendor class begins with `PXEClient`.
    pub fn is_pxe(&self) -> bool {
        self.class().starts_with(PXE_CLIENT)
    }

    /// Whether Intel's vendor class begins with `HTTPClient`.
    pub fn is_http(&self) -> bool {
        self.class().starts_with(HTTP_CLIENT)
    }

    fn class(&self) -> &[u8] {
        match self.message.options.get(code::VENDOR_CLASS).and_then(<[u8]>::split_first_chunk) {
            Some((enterprise, list)) if u32::from_be_bytes(*enterprise) == ENTERPRISE => {
                texts(list).next().unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// How much it wants to be taken (option 7).
    pub fn preference(&self) -> u8 {
        self.message.options.get(code::PREFERENCE).and_then(|value| value.first()).copied().unwrap_or(0)
    }

    fn has_dns(&self) -> bool {
        self.message.options.get(code::DNS_SERVERS).is_some_and(|servers| servers.len() >= 16)
    }
}

fn status(options: &Options) -> Option<(u16, String)> {
    let (number, text) = options.get(code::STATUS_CODE)?.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), printable(text)))
}

/// Printable ASCII; what is not is a `?`.
pub fn printable(octets: &[u8]) -> String {
    octets.iter().map(|octet| if matches!(octet, b' '..=b'~') { char::from(*octet) } else { '?' }).collect()
}

/// The IPv6 address that is the host of a URL, if it is one.
pub fn host_of(url: &str) -> Option<Ipv6Addr> {
    let (_, rest) = url.split_once("://[")?;
    rest.split_once(']')?.0.parse().ok()
}

/// What the client does with these answers, in the order in which they came.
pub fn select(taker: Taker, offers: &[Offer6]) -> Choice6 {
    let end = offers.iter().position(|offer| offer.preference() == u8::MAX).map_or(offers.len(), |at| at + 1);
    let seen = offers.get(..end).unwrap_or(offers);
    match taker {
        Taker::Http => http(seen),
        Taker::Ipxe => ipxe(seen),
        Taker::Uefi | Taker::Bios | Taker::RaspberryPi => uefi(seen),
    }
}

/// What UEFI PXE does once it asked on port 4011.
pub fn after_boot_server(answer: Option<&Offer6>) -> Step6 {
    match answer.and_then(Offer6::url) {
        Some(url) => Step6::Load { url },
        None => Step6::Fail { code: "PXE-E18" },
    }
}

fn first(offers: &[Offer6], is_it: impl Fn(&Offer6) -> bool) -> Option<usize> {
    offers.iter().position(is_it)
}

fn nothing(lease: Option<usize>) -> Choice6 {
    Choice6 { lease, boot: None, step: Step6::Fail { code: NO_OFFER } }
}

fn uefi(offers: &[Offer6]) -> Choice6 {
    let gives = |offer: &Offer6| offer.address().is_some();
    let whole = first(offers, |offer| gives(offer) && offer.is_pxe());
    let plain = first(offers, |offer| gives(offer) && !offer.is_pxe());
    let proxy = first(offers, |offer| !gives(offer) && offer.is_pxe() && offer.url().is_some());
    let alone = || first(offers, |offer| gives(offer) && offer.url().is_some());
    let (lease, boot) = match (whole, plain, proxy) {
        (Some(at), _, _) => (Some(at), Some(at)),
        (None, Some(lease), Some(proxy)) => (Some(lease), Some(proxy)),
        (None, lease, _) => alone().map_or((lease, None), |at| (Some(at), Some(at))),
    };
    let Some(offer) = boot.and_then(|at| offers.get(at)) else { return nothing(lease) };
    let url = offer.url().unwrap_or_default();
    // Always, where the answer says `PXEClient`: the URL that it has names the server only.
    let step = match (offer.is_pxe(), host_of(&url)) {
        (true, Some(server)) => Step6::AskBootServer { server },
        (true, None) => Step6::Fail { code: "the URL has no IPv6 address in brackets" },
        (false, _) => Step6::Load { url },
    };
    Choice6 { lease, boot, step }
}

fn http(offers: &[Offer6]) -> Choice6 {
    let gives = |offer: &Offer6| offer.address().is_some();
    let url = |offer: &Offer6| offer.url().filter(|_| offer.is_http());
    let by_address = |offer: &Offer6| url(offer).is_some_and(|url| host_of(&url).is_some());
    let by_name = |offer: &Offer6| url(offer).is_some_and(|url| host_of(&url).is_none());
    let alone = |is_it: &dyn Fn(&Offer6) -> bool| first(offers, |offer| gives(offer) && is_it(offer));
    let proxy = |is_it: &dyn Fn(&Offer6) -> bool| first(offers, |offer| !gives(offer) && is_it(offer));
    let plain = |has_dns: bool| first(offers, |offer| gives(offer) && !offer.is_http() && offer.has_dns() == has_dns);
    let (without, with) = (plain(false), plain(true));
    let chosen = alone(&|offer| by_address(offer) && !offer.has_dns())
        .or_else(|| alone(&by_address))
        .or_else(|| alone(&|offer| by_name(offer) && offer.has_dns()))
        .map(|at| (Some(at), at))
        .or_else(|| without.and(proxy(&by_address)).map(|at| (without, at)))
        .or_else(|| with.and(proxy(&by_address)).map(|at| (with, at)))
        .or_else(|| with.and(proxy(&by_name)).map(|at| (with, at)));
    let Some((lease, boot)) = chosen else { return nothing(without.or(with)) };
    let url = offers.get(boot).and_then(Offer6::url).unwrap_or_default();
    Choice6 { lease, boot: Some(boot), step: Step6::Load { url } }
}

/// iPXE asks one server for everything: where it has an address of it, the first that gives one; else the first at all.
fn ipxe(offers: &[Offer6]) -> Choice6 {
    let is_stateless = offers.iter().all(|offer| !offer.message.options.has(code::IA_NA));
    let taken = first(offers, |offer| is_stateless || offer.address().is_some());
    let url = taken.and_then(|at| offers.get(at)?.url());
    let lease = taken.filter(|_| !is_stateless);
    match (taken, url) {
        (boot @ Some(_), Some(url)) => Choice6 { lease, boot, step: Step6::Load { url } },
        (Some(_), None) => {
            Choice6 { lease, boot: None, step: Step6::Fail { code: "the one server that it takes names no URL" } }
        }
        (None, _) => Choice6 { lease: None, boot: None, step: Step6::Fail { code: "no DHCPv6 server answered" } },
    }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
