//! A transfer and a simulated client, with a network between them that loses, doubles and reorders, in
//! simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::options::Agreed;
use super::packet::Packet;
use super::transfer::{Action, RetryLimits, Transfer, TransferPlan, TransferResult, wire_number};

/// One way through the network.
const DELAY: Duration = Duration::from_micros(200);
/// A packet that is overtaken comes this much later.
const DETOUR: Duration = Duration::from_millis(1);

/// How a client acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// RFC 1350: each block, and each repeated block again; repeats its ACK after 0.25 s like iPXE.
    LockStep,
    /// RFC 7440: each window, and once for each gap.
    Rfc7440,
    /// EDK2: each window, and every packet that is out of order; repeats its ACK after 4 s.
    Edk2,
}

/// What the network does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    pub(super) loss_per_mille: u64,
    pub(super) duplication_per_mille: u64,
    pub(super) reordering_per_mille: u64,
    /// Only this DATA packet is lost, counted from 1.
    pub(super) lose_data_packet: Option<u64>,
    pub(super) seed: u64,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self { loss_per_mille: 0, duplication_per_mille: 0, reordering_per_mille: 0, lose_data_packet: None, seed: 1 }
    }

    pub(super) fn lose_once(data_packet: u64) -> Self {
        Self { lose_data_packet: Some(data_packet), ..Self::none() }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) is_complete: bool,
    pub(super) data_packets: u64,
    pub(super) duration: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Flying {
    OptionAck,
    /// `block` is the true number; the client looks at its lower 16 bits only.
    Data {
        block: u64,
    },
    Ack {
        block: u16,
    },
}

struct Client {
    style: Style,
    window: u64,
    last_block: u64,
    next: u64,
    unacknowledged: u64,
    has_acknowledged_gap: bool,
    repeat_at: Instant,
    repeat_after: Duration,
    is_done: bool,
}

/// Transfer and client.
pub(super) struct Pair {
    transfer: Transfer,
    client: Client,
    flying: BinaryHeap<Reverse<(Instant, u64, Flying)>>,
    faults: Faults,
    random: u64,
    order: u64,
    data_packets: u64,
    now: Instant,
    started: Instant,
}

impl Pair {
    pub(super) fn new(style: Style, size: u64, blksize: u16, windowsize: u16, faults: Faults) -> Self {
        let now = Instant::now();
        let plan = TransferPlan {
            size,
            agreed: Agreed { blksize, windowsize, timeout: None, size_asked: false },
            has_option_ack: true,
        };
        let (transfer, action) = Transfer::start(plan, RetryLimits::default(), now);
        let repeat_after = match style {
            Style::Edk2 => Duration::from_secs(4),
            Style::LockStep | Style::Rfc7440 => Duration::from_millis(250),
        };
        let mut pair = Self {
            transfer,
            client: Client {
                style,
                window: u64::from(windowsize),
                last_block: size / u64::from(blksize) + 1,
                next: 1,
                unacknowledged: 0,
                has_acknowledged_gap: false,
                repeat_at: now + repeat_after,
                repeat_after,
                is_done: false,
            },
            flying: BinaryHeap::new(),
            random: faults.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            faults,
            order: 0,
            data_packets: 0,
            now,
            started: now,
        };
        pair.act(action);
        pair
    }

    /// Runs until the transfer is over.
    pub(super) fn run(&mut self) -> Report {
        while self.transfer.outcome().is_none() {
            let packet_at = self.flying.peek().map(|Reverse((at, ..))| *at);
            let client_at = (!self.client.is_done).then_some(self.client.repeat_at);
            let times = [packet_at, client_at, self.transfer.deadline()];
            let Some(next) = times.into_iter().flatten().min() else {
                break;
            };
            self.now = next;
            if packet_at == Some(next) {
                if let Some(Reverse((_, _, packet))) = self.flying.pop() {
                    self.deliver(packet);
                }
            } else if client_at == Some(next) {
                self.client.repeat_at = self.now + self.client.repeat_after;
                self.acknowledge();
            } else {
                let action = self.transfer.handle_timeout(self.now);
                self.act(action);
            }
        }
        let result = self.transfer.outcome().map(|outcome| outcome.result);
        let is_confirmed = matches!(result, Some(TransferResult::Complete | TransferResult::Unconfirmed));
        Report {
            is_complete: is_confirmed && self.client.is_done,
            data_packets: self.data_packets,
            duration: self.now - self.started,
        }
    }

    fn deliver(&mut self, packet: Flying) {
        match packet {
            Flying::Ack { block } => {
                let action = self.transfer.handle_packet(&Packet::Ack { block }, self.now);
                self.act(action);
            }
            Flying::OptionAck => {
                if self.client.next == 1 {
                    self.acknowledge();
                }
            }
            Flying::Data { block } => self.take_block(block),
        }
    }

    fn take_block(&mut self, block: u64) {
        let client = &mut self.client;
        if wire_number(block) == wire_number(client.next) && !client.is_done {
            assert_eq!(block, client.next, "a block was taken for another 65,536 away");
            client.next += 1;
            client.unacknowledged += 1;
            client.has_acknowledged_gap = false;
            client.repeat_at = self.now + client.repeat_after;
            client.is_done = block == client.last_block;
            if client.is_done || client.unacknowledged >= client.window {
                self.acknowledge();
            }
            return;
        }
        let is_ahead = wire_number(block).wrapping_sub(wire_number(client.next)) < 0x8000;
        let answers = match client.style {
            Style::Edk2 => true,
            Style::LockStep => block + 1 == client.next,
            Style::Rfc7440 => (is_ahead && !client.has_acknowledged_gap) || block + 1 == client.next,
        };
        if answers {
            client.has_acknowledged_gap = is_ahead;
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        self.client.unacknowledged = 0;
        let block = wire_number(self.client.next - 1);
        self.fly(Flying::Ack { block });
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Nothing | Action::Error(..) => {}
            Action::OptionAck => self.fly(Flying::OptionAck),
            Action::Data(blocks) => {
                for block in blocks {
                    self.data_packets += 1;
                    if self.faults.lose_data_packet != Some(self.data_packets) {
                        self.fly(Flying::Data { block });
                    }
                }
            }
        }
    }

    fn fly(&mut self, packet: Flying) {
        if self.chance(self.faults.loss_per_mille) {
            return;
        }
        let copies = 1 + u64::from(self.chance(self.faults.duplication_per_mille));
        for _ in 0..copies {
            let detour = if self.chance(self.faults.reordering_per_mille) { DETOUR } else { Duration::ZERO };
            self.order += 1;
            let at = self.now + DELAY + detour;
            self.flying.push(Reverse((at, self.order, packet)));
        }
    }

    /// Xorshift: the same faults in every run.
    fn chance(&mut self, per_mille: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1_000 < per_mille
    }
}
