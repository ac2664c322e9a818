//! What became of the packets of DHCPv6, in numbers.
//!
//! **Invariant**: counters only; nothing here is read by the server itself.

use std::ops::Deref;

use super::super::counters::{Common, Counter};
use super::question::Dropped;

/// The counters of both ports of DHCPv6.
#[derive(Debug, Default)]
pub struct Counters {
    common: Common,
    /// Messages that were no question to us, in the order of [`Dropped::ALL`].
    pub dropped: [Counter; Dropped::ALL.len()],
    /// ADVERTISEs sent.
    pub advertised: Counter,
    /// REPLYs sent.
    pub replied: Counter,
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
        let [message_type, invalid, vendor_class, identity, other_server] = &self.dropped;
        match reason {
            Dropped::MessageType => message_type,
            Dropped::Invalid => invalid,
            Dropped::VendorClass => vendor_class,
            Dropped::Identity => identity,
            Dropped::OtherServer => other_server,
        }
    }

    /// What became of the packets: every name with its number.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let own = [("advertise", &self.advertised), ("reply", &self.replied)];
        let dropped = Dropped::ALL.into_iter().map(|reason| (reason.name(), self.dropped(reason)));
        self.common.named().into_iter().chain(own).chain(dropped).map(|(name, counter)| (name, counter.value()))
    }
}
