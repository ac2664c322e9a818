//! What became of the packets of DHCPv6, in numbers.
//!
//! **Invariant**: counters only; nothing here is read by the server itself.

use super::super::counters::Counter;
use super::question::Dropped;

/// The counters of both ports.
#[derive(Debug, Default)]
pub struct Counters {
    /// Datagrams that came.
    pub received: Counter,
    /// Datagrams that were no DHCPv6 messages.
    pub malformed: Counter,
    /// Messages that were no question to us, in the order of [`Dropped::ALL`].
    pub dropped: [Counter; Dropped::ALL.len()],
    /// Questions of clients behind a relay agent.
    pub relayed: Counter,
    /// ADVERTISEs sent.
    pub advertised: Counter,
    /// REPLYs sent.
    pub replied: Counter,
    /// Questions that the decision left without an answer.
    pub ignored: Counter,
    /// Answers that this client could not have used; warned of.
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
        let named = [
            ("received", &self.received),
            ("malformed", &self.malformed),
            ("relayed", &self.relayed),
            ("advertise", &self.advertised),
            ("reply", &self.replied),
            ("ignored", &self.ignored),
            ("unusable", &self.unusable),
            ("late", &self.late),
            ("overloaded", &self.overloaded),
            ("panicked", &self.panicked),
            ("unsent", &self.unsent),
        ];
        let dropped = Dropped::ALL.into_iter().map(|reason| (reason.name(), self.dropped(reason)));
        named.into_iter().chain(dropped).map(|(name, counter)| (name, counter.value()))
    }
}
