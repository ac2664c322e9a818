//! What other DHCP servers do that keeps clients from us: seen in their packets, said once an hour.
//!
//! Such a site boots for some machines and not for others, and nothing in our own packets shows why.
//!
//! **Invariant**: time and packets are arguments; a bounded memory, whatever addresses packets claim.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tracing::warn;

use super::client::PXE_CLIENT;
use super::packet::{Message, MessageType, Operation, code};
use super::pxe::says_no_pxedhcp;

/// Something that an administrator should know of another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Conflict {
    /// A DHCP server that gives addresses and says that it is the boot server too.
    #[error(
        "DHCP server {0} sends option 60 PXEClient: UEFI machines take it for their boot server and do not ask this one; \
         remove that option there"
    )]
    PxeClient(Ipv4Addr),
    /// Another proxyDHCP.
    #[error("another proxyDHCP answers at {0}: machines take whichever they prefer; switch one of the two off")]
    RivalProxy(Ipv4Addr),
    /// A DHCP server that tells iPXE not to wait for a proxy.
    #[error(
        "DHCP server {0} sets no-pxedhcp (option 175, sub-option 176): iPXE will not listen to this server; remove that \
         option there"
    )]
    NoPxeDhcp(Ipv4Addr),
}

/// What a server's packet shows. `sender` is the address that it came from.
pub fn conflicts(message: &Message, sender: Ipv4Addr) -> impl Iterator<Item = Conflict> {
    let header = &message.header;
    let is_answer =
        header.op == Operation::Reply && matches!(message.message_type(), Some(MessageType::Offer | MessageType::Ack));
    let server = message.address(code::SERVER_IDENTIFIER).unwrap_or(sender);
    let is_pxe = message.option(code::VENDOR_CLASS).is_some_and(|class| class.starts_with(PXE_CLIENT));
    let gives_address = !header.yiaddr.is_unspecified();
    let pxe = match (is_pxe, gives_address) {
        (true, true) => Some(Conflict::PxeClient(server)),
        (true, false) => Some(Conflict::RivalProxy(server)),
        (false, _) => None,
    };
    let no_proxy = gives_address && message.option(code::IPXE).is_some_and(says_no_pxedhcp);
    let no_proxy = no_proxy.then_some(Conflict::NoPxeDhcp(server));
    pxe.into_iter().chain(no_proxy).filter(move |_| is_answer)
}

impl Conflict {
    /// The other server.
    pub fn server(self) -> Ipv4Addr {
        match self {
            Conflict::PxeClient(server) | Conflict::RivalProxy(server) | Conflict::NoPxeDhcp(server) => server,
        }
    }
}

/// What is known of other servers.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    said: Hourly<Conflict>,
}

impl Neighbors {
    /// Says what a server's packet shows; the number of things said.
    pub(super) fn look_at(
        &mut self,
        message: &Message,
        sender: Ipv4Addr,
        now: Instant,
        is_ours: impl Fn(Ipv4Addr) -> bool,
    ) -> u64 {
        let others = conflicts(message, sender).filter(|conflict| !is_ours(conflict.server()));
        let news = others.filter(|conflict| self.said.may_say(*conflict, now));
        news.map(|conflict| warn!(server = %conflict.server(), "{conflict}")).count() as u64
    }
}

/// Lets each thing be said once an hour.
#[derive(Debug)]
pub(super) struct Hourly<K> {
    said: HashMap<K, Instant>,
}

impl<K> Default for Hourly<K> {
    fn default() -> Self {
        Hourly { said: HashMap::new() }
    }
}

impl<K: Eq + Hash> Hourly<K> {
    const PAUSE: Duration = Duration::from_secs(3600);
    /// Things remembered. When there are more, new ones are not said: a flood of invented servers says nothing more.
    const REMEMBERED_MAX: usize = 64;

    /// Whether this is to be said now.
    pub(super) fn may_say(&mut self, what: K, now: Instant) -> bool {
        if self.said.get(&what).is_some_and(|at| now.duration_since(*at) < Self::PAUSE) {
            return false;
        }
        if self.said.len() >= Self::REMEMBERED_MAX {
            self.said.retain(|_, at| now.duration_since(*at) < Self::PAUSE);
        }
        if self.said.len() >= Self::REMEMBERED_MAX {
            return false;
        }
        self.said.insert(what, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{SERVER, Sample, sample};
    use super::*;

    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const SENDER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

    fn offer(yiaddr: Ipv4Addr) -> Sample {
        let reply = sample(MessageType::Offer).with(54, &OTHER.octets());
        reply.header(|header| (header.op, header.yiaddr) = (Operation::Reply, yiaddr))
    }

    fn seen(packet: &Sample) -> Vec<Conflict> {
        conflicts(&packet.message(), SENDER).collect()
    }

    #[test]
    fn a_dhcp_server_that_sends_option_60_pxeclient_is_warned_of() {
        let packet = offer(Ipv4Addr::new(10, 0, 0, 50)).with(60, b"PXEClient");
        assert_eq!(seen(&packet), [Conflict::PxeClient(OTHER)]);
        assert_eq!(seen(&packet.without(54)), [Conflict::PxeClient(SENDER)]);
    }

    #[test]
    fn a_rival_proxy_is_warned_of_with_its_address() {
        assert_eq!(seen(&offer(Ipv4Addr::UNSPECIFIED).with(60, b"PXEClient")), [Conflict::RivalProxy(OTHER)]);
    }

    #[test]
    fn no_pxedhcp_in_a_dhcp_offer_is_warned_of() {
        let packet = offer(Ipv4Addr::new(10, 0, 0, 50)).with(175, &[176, 1, 1]);
        assert_eq!(seen(&packet), [Conflict::NoPxeDhcp(OTHER)]);
        assert!(seen(&packet).iter().all(|conflict| conflict.to_string().contains("10.0.0.1")));
    }

    #[test]
    fn a_plain_offer_and_clients_packets_say_nothing() {
        assert_eq!(seen(&offer(SERVER)), []);
        assert_eq!(seen(&sample(MessageType::Discover).with(60, b"PXEClient")), []);
        assert_eq!(seen(&offer(SERVER).with(53, &[6]).with(60, b"PXEClient")), []);
    }

    #[test]
    fn our_own_packets_are_not_looked_at_and_others_once() {
        let mut neighbors = Neighbors::default();
        let now = Instant::now();
        let message = offer(Ipv4Addr::UNSPECIFIED).with(60, b"PXEClient").message();
        assert_eq!(neighbors.look_at(&message, SENDER, now, |server| server == OTHER), 0);
        assert_eq!(neighbors.look_at(&message, SENDER, now, |_| false), 1);
        assert_eq!(neighbors.look_at(&message, SENDER, now, |_| false), 0);
    }

    #[test]
    fn each_is_said_once_an_hour_and_a_flood_is_not() {
        let mut hourly = Hourly::default();
        let start = Instant::now();
        assert!(hourly.may_say(OTHER, start));
        assert!(!hourly.may_say(OTHER, start + Duration::from_secs(3599)));
        assert!(hourly.may_say(OTHER, start + Duration::from_secs(3600)));
        let flood = (0..100_000u32).filter(|n| hourly.may_say(Ipv4Addr::from(*n), start + Hourly::<Ipv4Addr>::PAUSE));
        assert_eq!(flood.count(), Hourly::<Ipv4Addr>::REMEMBERED_MAX - 1);
        assert!(hourly.may_say(SERVER, start + Duration::from_secs(7300)));
    }
}
