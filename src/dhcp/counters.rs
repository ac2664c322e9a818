//! What became of the packets, in numbers. Whoever runs the server turns them into metrics.
//!
//! **Invariant**: counters only; nothing here is read by the server itself.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use super::question::Dropped;

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn increment(&self) {
        self.add(1);
    }
}

/// What is counted of DHCP and of DHCPv6.
#[derive(Debug, Default)]
pub struct Common {
    /// Datagrams that came.
    pub received: Counter,
    /// Datagrams that were no DHCP packets.
    pub malformed: Counter,
    /// Questions of clients behind a relay agent.
    pub relayed: Counter,
    /// Questions that the decision left without an answer.
    pub ignored: Counter,
    /// Answers that this client could not have used; each was warned of.
    pub unusable: Counter,
    /// Answers that came too late to be sent.
    pub late: Counter,
    /// Questions dropped because too many were waiting for their decision.
    pub overloaded: Counter,
    /// Questions whose decision panicked.
    pub panicked: Counter,
    /// Replies that the system did not send, and questions from interfaces that have no address to answer from.
    pub unsent: Counter,
}

impl Common {
    /// Every name with its counter.
    pub(super) fn named(&self) -> [(&'static str, &Counter); 9] {
        [
            ("received", &self.received),
            ("malformed", &self.malformed),
            ("relayed", &self.relayed),
            ("ignored", &self.ignored),
            ("unusable", &self.unusable),
            ("late", &self.late),
            ("overloaded", &self.overloaded),
            ("panicked", &self.panicked),
            ("unsent", &self.unsent),
        ]
    }
}

/// The counters of both ports of DHCP.
#[derive(Debug, Default)]
pub struct Counters {
    common: Common,
    /// Packets that were no question to us, in the order of [`Dropped::ALL`].
    pub dropped: [Counter; Dropped::ALL.len()],
    /// OFFERs written.
    pub offers: Counter,
    /// ACKs written.
    pub acks: Counter,
    /// Replies sent without option 82, for want of room.
    pub without_relay_information: Counter,
    /// Warnings of other servers that keep clients from us; no packets of ours.
    pub conflicts: Counter,
}

/// Whoever counts needs not know which are common.
impl Deref for Counters {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
}

impl Counters {
    /// The counter of a reason.
    pub fn dropped(&self, reason: Dropped) -> &Counter {
        let [from_server, message_type, vendor_class, identity, other_server, boot_item, wds, relay] = &self.dropped;
        match reason {
            Dropped::FromServer => from_server,
            Dropped::MessageType => message_type,
            Dropped::VendorClass => vendor_class,
            Dropped::Identity => identity,
            Dropped::OtherServer => other_server,
            Dropped::BootItem => boot_item,
            Dropped::Wds => wds,
            Dropped::Relay => relay,
        }
    }

    /// What became of the packets: every name with its number. But for `received`, `relayed`, `unsent` and
    /// `without-relay-information`, which say more of some, each packet is in one of them.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let own = [
            ("offer", &self.offers),
            ("ack", &self.acks),
            ("without-relay-information", &self.without_relay_information),
        ];
        let dropped = Dropped::ALL.into_iter().map(|reason| (reason.name(), self.dropped(reason)));
        self.common.named().into_iter().chain(own).chain(dropped).map(|(name, counter)| (name, counter.value()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_name_of_its_own() {
        let counters = Counters::default();
        Dropped::ALL.into_iter().for_each(|reason| counters.dropped(reason).increment());
        assert!(counters.dropped.iter().all(|counter| counter.value() == 1));
        let mut names: Vec<_> = counters.outcomes().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
