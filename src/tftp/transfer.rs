//! One read transfer as a state machine: packets in, what to send out, the next deadline.
//!
//! The rules are those that real firmware taught (`super` tells them in prose):
//!
//! 1. An ACK inside the window is progress: a whole new window goes out behind it (RFC 7440 section 4).
//! 2. An ACK that repeats the last one never sends anything at once. With windows it arms a short timer,
//!    once; any progress disarms it. Otherwise EDK2, which acknowledges every packet out of order, and a
//!    server that answers every ACK would multiply packets without end.
//!    An ACK in the middle of a window that was sent *before* is doubtful: it may tell of a gap, or only of
//!    the copies. Then only blocks that were never sent complete the window, and the same timer is armed:
//!    were the whole window sent, every later one would be sent twice as well, to the end of the file.
//! 3. Any other ACK is ignored.
//! 4. Without windows repeated ACKs are ignored altogether (the "Sorcerer's Apprentice").
//! 5. All packets of a transfer are counted against a limit.
//!
//! **Invariant**: no socket, no file, no clock: `now` is an argument. Blocks are counted in 64 bits and
//! wrap to 0 on the wire only.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::options::Agreed;
use super::packet::{ErrorCode, Packet};

/// When to send again and when to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryLimits {
    /// Waiting time for an ACK before anything was measured.
    pub initial: Duration,
    /// Shortest waiting time, however fast the client was.
    pub shortest: Duration,
    /// Longest waiting time, however often it was doubled.
    pub longest: Duration,
    /// Retransmissions without progress before giving up, once the client has been heard ...
    pub tries: u32,
    /// ... and the time without progress that must have passed as well. The disk is given as long.
    pub patience: Duration,
    /// Retransmissions to a peer that was never heard: its address may be forged.
    pub tries_unheard: u32,
}

impl Default for RetryLimits {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            shortest: Duration::from_millis(200),
            longest: Duration::from_secs(4),
            tries: 6,
            patience: Duration::from_secs(30),
            tries_unheard: 5,
        }
    }
}

/// Bounds of the waiting time after a repeated ACK.
const REPEATED_ACK_DELAY: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(50);
/// The same before anything was measured.
const REPEATED_ACK_DELAY_DEFAULT: Duration = Duration::from_millis(30);
/// Packets of a transfer: this many times its blocks, and some.
const PACKETS_PER_BLOCK_MAX: u64 = 8;
const PACKETS_EXTRA_MAX: u64 = 1_000;

/// What is to be transferred, on which terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferPlan {
    /// Octets of the content.
    pub size: u64,
    /// The negotiated terms.
    pub agreed: Agreed,
    /// Options were acknowledged: the transfer starts with an OACK instead of DATA 1.
    pub has_option_ack: bool,
}

/// What is to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// The OACK packet.
    OptionAck,
    /// These blocks, counted from 1 without wrapping.
    Data(RangeInclusive<u64>),
    /// An ERROR packet; the transfer is over.
    Error(ErrorCode, &'static str),
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferResult {
    /// The last block was acknowledged.
    Complete,
    /// All was sent, the last ACK never came: GRUB and some ROMs send none. No error.
    Unconfirmed,
    /// The client asked for the size, and ended the transfer as soon as it knew it: EDK2 and BIOS ROMs
    /// always do. No error.
    SizeProbe,
    /// The client sent an ERROR with this code.
    Aborted(u16),
    /// The client fell silent, or asked for the same again and again.
    TimedOut,
    /// The content could not be read.
    Failed,
}

/// What a finished transfer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferOutcome {
    /// How it ended.
    pub result: TransferResult,
    /// Octets of content that the client acknowledged.
    pub bytes: u64,
    /// Blocks that the client acknowledged.
    pub blocks: u64,
    /// DATA and OACK packets sent more than once.
    pub retransmissions: u64,
    /// From the first packet to the end.
    pub duration: Duration,
}

/// A transfer.
#[derive(Debug)]
pub struct Transfer {
    plan: TransferPlan,
    limits: RetryLimits,
    last_block: u64,
    /// The OACK is not yet acknowledged.
    is_negotiating: bool,
    /// The client has answered at least once: its address is real.
    is_heard: bool,
    /// Highest block acknowledged.
    base: u64,
    /// Highest block of the present window, and the highest ever sent.
    window_end: u64,
    highest_sent: u64,
    /// The present window holds blocks that were sent before.
    is_repeated: bool,
    /// Packets sent, and those of them that were sent before.
    packets: u64,
    retransmissions: u64,
    /// When the present window was sent for the first time; none once it was sent again (Karn's rule).
    sent_once_at: Option<Instant>,
    smoothed_round_trip: Option<Duration>,
    /// Retransmissions since the last progress.
    tries: u32,
    progress_at: Instant,
    started_at: Instant,
    retransmit_at: Instant,
    /// Armed by a repeated ACK.
    repeat: RepeatTimer,
    result: Option<(TransferResult, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RepeatTimer {
    Unused,
    Armed(Instant),
    /// It has fired for the present window: only the ordinary timer is left.
    Spent,
}

impl Transfer {
    /// Begins a transfer; the action is its first packet.
    pub fn start(plan: TransferPlan, limits: RetryLimits, now: Instant) -> (Self, Action) {
        let blksize = u64::from(plan.agreed.blksize.max(1));
        let mut transfer = Self {
            last_block: plan.size / blksize + 1,
            plan,
            limits,
            is_negotiating: plan.has_option_ack,
            is_heard: false,
            base: 0,
            window_end: 0,
            highest_sent: 0,
            is_repeated: false,
            packets: 0,
            retransmissions: 0,
            sent_once_at: None,
            smoothed_round_trip: None,
            tries: 0,
            progress_at: now,
            started_at: now,
            retransmit_at: now,
            repeat: RepeatTimer::Unused,
            result: None,
        };
        let action = transfer.send_window(now);
        (transfer, action)
    }

    /// When [`Self::handle_timeout`] is to be called next; none once the transfer is over.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.result, self.repeat) {
            (Some(_), _) => None,
            (None, RepeatTimer::Armed(at)) => Some(at.min(self.retransmit_at)),
            (None, _) => Some(self.retransmit_at),
        }
    }

    /// The terms of the transfer.
    pub fn agreed(&self) -> &Agreed {
        &self.plan.agreed
    }

    /// The first block that the client has not acknowledged: no earlier one is ever sent again.
    pub(super) fn first_unacknowledged(&self) -> u64 {
        self.base + 1
    }

    /// What the transfer did, once it is over.
    pub fn outcome(&self) -> Option<TransferOutcome> {
        let (result, at) = self.result?;
        let bytes = self.base.saturating_mul(u64::from(self.plan.agreed.blksize));
        Some(TransferOutcome {
            result,
            bytes: bytes.min(self.plan.size),
            blocks: self.base,
            retransmissions: self.retransmissions,
            duration: at.saturating_duration_since(self.started_at),
        })
    }

    /// Takes a packet of this transfer's client.
    pub fn handle_packet(&mut self, packet: &Packet<'_>, now: Instant) -> Action {
        if self.result.is_some() {
            return Action::Nothing;
        }
        match packet {
            Packet::Ack { block } => self.handle_ack(*block, now),
            Packet::Error { code, .. } => {
                self.handle_error(*code, now);
                Action::Nothing
            }
            // The same request again: our first packet was lost, if the client has not answered it yet.
            Packet::Read(_) if !self.is_heard => self.send_again(now),
            Packet::Read(_) => Action::Nothing,
            Packet::Write(_) | Packet::Data { .. } | Packet::OptionAck(_) => {
                self.finish(TransferResult::Aborted(ErrorCode::IllegalOperation as u16), now);
                Action::Error(ErrorCode::IllegalOperation, "only an ACK is expected here")
            }
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Action {
        if self.result.is_some() {
            return Action::Nothing;
        }
        if matches!(self.repeat, RepeatTimer::Armed(at) if at <= now) {
            self.repeat = RepeatTimer::Spent;
            return self.send_again(now);
        }
        if self.retransmit_at > now {
            return Action::Nothing;
        }
        if self.is_hopeless(now) {
            let all_sent = self.highest_sent >= self.last_block && self.is_heard;
            self.finish(if all_sent { TransferResult::Unconfirmed } else { TransferResult::TimedOut }, now);
            return Action::Nothing;
        }
        self.tries = self.tries.saturating_add(1);
        self.send_again(now)
    }

    /// The content came late (from a slow disk): the client's time starts now.
    pub fn restart_timer(&mut self, now: Instant) {
        self.sent_once_at = None;
        self.retransmit_at = now + self.waiting_time();
    }

    /// The content cannot be read; the action tells the client.
    pub fn fail(&mut self, now: Instant) -> Action {
        self.finish(TransferResult::Failed, now);
        Action::Error(ErrorCode::NotDefined, "the server cannot read the file")
    }

    fn handle_ack(&mut self, block: u16, now: Instant) -> Action {
        // Distance from the last acknowledged block, on the circle of 65,536.
        let distance = u64::from(block.wrapping_sub(wire_number(self.base)));
        if self.is_negotiating {
            if distance == 0 {
                self.is_negotiating = false;
                return self.progress(now);
            }
            return Action::Nothing;
        }
        if distance == 0 {
            self.arm_repeat_timer(now);
            return Action::Nothing;
        }
        if distance > self.window_end - self.base {
            return Action::Nothing;
        }
        self.base += distance;
        self.progress(now)
    }

    fn progress(&mut self, now: Instant) -> Action {
        self.is_heard = true;
        if let Some(sent) = self.sent_once_at {
            self.measure(now.saturating_duration_since(sent));
        }
        self.tries = 0;
        self.progress_at = now;
        self.repeat = RepeatTimer::Unused;
        if self.base >= self.last_block {
            self.finish(TransferResult::Complete, now);
            return Action::Nothing;
        }
        if self.is_repeated && self.base < self.window_end {
            return self.complete_window(now);
        }
        self.send_window(now)
    }

    fn arm_repeat_timer(&mut self, now: Instant) {
        let windows = self.plan.agreed.windowsize > 1;
        if windows && self.is_heard && self.repeat == RepeatTimer::Unused {
            self.repeat = RepeatTimer::Armed(now + self.repeat_delay());
        }
    }

    fn repeat_delay(&self) -> Duration {
        let (shortest, longest) = REPEATED_ACK_DELAY.into_inner();
        self.smoothed_round_trip
            .map_or(REPEATED_ACK_DELAY_DEFAULT, |round_trip| (round_trip * 2).clamp(shortest, longest))
    }

    fn handle_error(&mut self, code: u16, now: Instant) {
        let probe = self.is_negotiating && self.plan.agreed.size_asked;
        let result = if probe { TransferResult::SizeProbe } else { TransferResult::Aborted(code) };
        self.finish(result, now);
    }

    /// Sends what is outstanding once more.
    fn send_again(&mut self, now: Instant) -> Action {
        let action = self.send_window(now);
        self.sent_once_at = None;
        action
    }

    /// Sends the OACK, or the whole window behind `base`.
    fn send_window(&mut self, now: Instant) -> Action {
        if self.is_negotiating {
            let repeated = u64::from(self.packets > 0);
            return self.send(Action::OptionAck, 1, repeated, now);
        }
        let (first, end) = (self.base + 1, self.end_of_window());
        let repeated = (self.highest_sent.min(end) + 1).saturating_sub(first);
        self.window_end = end;
        self.highest_sent = self.highest_sent.max(end);
        self.is_repeated = repeated > 0;
        self.send(Action::Data(first..=end), end + 1 - first, repeated, now)
    }

    /// Sends what the window lacks besides the blocks that are under way already.
    fn complete_window(&mut self, now: Instant) -> Action {
        self.window_end = self.end_of_window();
        let (first, end) = (self.highest_sent + 1, self.window_end);
        self.highest_sent = self.highest_sent.max(end);
        self.repeat = RepeatTimer::Armed(now + self.repeat_delay());
        let count = (end + 1).saturating_sub(first);
        let action = if count == 0 { Action::Nothing } else { Action::Data(first..=end) };
        let action = self.send(action, count, 0, now);
        self.sent_once_at = None;
        action
    }

    fn end_of_window(&self) -> u64 {
        let window = u64::from(self.plan.agreed.windowsize.max(1));
        (self.base + window).min(self.last_block)
    }

    /// Counts `action` against the limit and arms the ordinary timer.
    fn send(&mut self, action: Action, count: u64, repeated: u64, now: Instant) -> Action {
        let limit = self.last_block.saturating_mul(PACKETS_PER_BLOCK_MAX) + PACKETS_EXTRA_MAX;
        if self.packets + count > limit {
            self.finish(TransferResult::TimedOut, now);
            return Action::Error(ErrorCode::NotDefined, "too many retransmissions");
        }
        self.packets += count;
        self.retransmissions += repeated;
        self.sent_once_at = Some(now);
        self.retransmit_at = now + self.waiting_time();
        action
    }

    /// The client's own timeout if it asked for one (RFC 2349), else three round trips; doubled with each try.
    ///
    /// A peer that was never heard may be forged: its timeout, of up to 255 s, must not hold a place.
    fn waiting_time(&self) -> Duration {
        if let (Some(timeout), true) = (self.plan.agreed.timeout, self.is_heard) {
            return timeout;
        }
        let limits = &self.limits;
        let measured = self.smoothed_round_trip.map_or(limits.initial, |round_trip| round_trip * 3);
        let doubled = measured.max(limits.shortest) * 2_u32.saturating_pow(self.tries.min(10));
        doubled.min(limits.longest.max(limits.shortest))
    }

    fn is_hopeless(&self, now: Instant) -> bool {
        if !self.is_heard {
            return self.tries >= self.limits.tries_unheard;
        }
        let silent = now.saturating_duration_since(self.progress_at);
        self.tries >= self.limits.tries && silent >= self.limits.patience
    }

    fn measure(&mut self, round_trip: Duration) {
        // RFC 6298's weight for a new sample.
        self.smoothed_round_trip = Some(match self.smoothed_round_trip {
            Some(smoothed) => (smoothed * 7 + round_trip) / 8,
            None => round_trip,
        });
    }

    fn finish(&mut self, result: TransferResult, now: Instant) {
        self.result = Some((result, now));
    }
}

/// The number of a block on the wire: after 65,535 comes 0, as EDK2, iPXE, U-Boot, GRUB and Windows expect.
pub fn wire_number(block: u64) -> u16 {
    (block & 0xFFFF) as u16
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
