//! One stream to a group and the machines that listen to it.
//!
//! At any time one machine is the master. It is asked to acknowledge what it has, is sent the block behind that, and so
//! on until it has all; then another becomes master. What the others missed they get when their turn comes.
//!
//! * An acknowledgement that repeats the last one is not answered: iPXE sends one for each packet that it hears, and each
//!   answer would be another packet to all (RFC 1123 section 4.2.3.1).
//! * A master that falls silent is left behind after `SILENCE_MAX` tries, and the next is asked.
//! * A master that does not hear the group is sent its blocks directly as well: where a switch holds groups back, and
//!   for builds of iPXE that bind their socket for `tftm://` to an address with garbage behind it.
//! * A machine that had all as a listener may be gone without a word, as iPXE is. It is asked a few times when its turn
//!   comes, those first that asked again or came late.
//!
//! **Invariant**: no socket and no clock; at most [`MEMBERS_MAX`] machines.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::packet::Packet;
use super::super::transfer::{TransferOutcome, TransferResult};

/// Machines of one stream.
pub const MEMBERS_MAX: usize = 1_024;
/// The highest number of blocks that the wire can tell apart.
pub const BLOCKS_MAX: u64 = 65_534;
/// Times that a new master is asked for what it has.
const ASKED_MAX: u32 = 4;
/// Times that a block is sent to a master that does not acknowledge it.
const SILENCE_MAX: u32 = 8;
/// From this try on a block is sent to the master itself too.
const DIRECT_FROM: u32 = 2;
/// Waiting time for a master's first answer to something; doubled with each try up to the longest.
const PATIENCE: Duration = Duration::from_millis(250);
const PATIENCE_LONGEST: Duration = Duration::from_secs(1);

/// How machines of a stream are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// By OACK (RFC 2090).
    Option,
    /// By a packet of its own (MTFTP of PXE).
    Mtftp,
}

/// A packet to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outgoing {
    /// The answer to a machine's request: OACK with group, port and whether it is master.
    Accept {
        /// The machine.
        to: SocketAddr,
        /// Whether it is the master.
        is_master: bool,
    },
    /// It is the master from now on: OACK with that alone.
    HandOver {
        /// The machine.
        to: SocketAddr,
    },
    /// A block to the group.
    Block(u64),
    /// A block to one machine: it makes it the master (MTFTP), or does not hear the group.
    BlockTo {
        /// The machine.
        to: SocketAddr,
        /// The block.
        block: u64,
    },
}

#[derive(Debug, Clone, Copy)]
struct Member {
    peer: SocketAddr,
    since: Instant,
    /// Blocks that had been sent when it came.
    missed: u64,
    /// The last block that it acknowledged.
    acknowledged: u64,
    /// It asked again: it is there, and lacks something.
    asks: bool,
    /// It acknowledged a block only once it was sent to itself.
    is_deaf: bool,
    /// Packets sent again because of it.
    repeated: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody is left.
    Over,
    /// The master was asked what it has.
    Asking,
    /// The master was sent this block.
    Sending(u64),
}

/// A stream and its machines.
#[derive(Debug)]
pub struct Session {
    flavor: Flavor,
    size: u64,
    blksize: u16,
    last_block: u64,
    /// The master is the first.
    members: Vec<Member>,
    state: State,
    highest_sent: u64,
    tries: u32,
    due: Instant,
    ended: Vec<(SocketAddr, TransferOutcome)>,
}

impl Session {
    /// A stream of `size` octets that nobody listens to yet. `None` when it has more blocks than [`BLOCKS_MAX`].
    pub fn new(flavor: Flavor, size: u64, blksize: u16, now: Instant) -> Option<Session> {
        let last_block = size / u64::from(blksize.max(1)) + 1;
        (last_block <= BLOCKS_MAX).then(|| Session {
            flavor,
            size,
            blksize,
            last_block,
            members: Vec::new(),
            state: State::Over,
            highest_sent: 0,
            tries: 0,
            due: now,
            ended: Vec::new(),
        })
    }

    /// Whether another machine finds a place.
    pub fn has_room(&self) -> bool {
        self.members.len() < MEMBERS_MAX
    }

    /// A machine asks for the file, perhaps again.
    pub fn join(&mut self, peer: SocketAddr, now: Instant) -> Vec<Outgoing> {
        if self.flavor == Flavor::Mtftp {
            // Whoever opens again does so from another port.
            let is_old = |member: &Member| member.peer.ip() == peer.ip() && member.peer != peer;
            let was_master = self.members.first().is_some_and(is_old);
            self.leave(is_old, TransferResult::TimedOut, now);
            if was_master && !self.members.is_empty() {
                // The one that is asked next may be gone; this one is here.
                self.state = State::Asking;
                self.due = now;
            }
        }
        let has_room = self.has_room();
        match self.members.iter_mut().find(|member| member.peer == peer) {
            Some(member) => member.asks = true,
            None if has_room => self.members.push(Member {
                peer,
                since: now,
                missed: self.highest_sent,
                acknowledged: 0,
                asks: false,
                is_deaf: false,
                repeated: 0,
            }),
            None => return Vec::new(),
        }
        let is_master = self.master() == Some(peer);
        if !is_master {
            return match self.flavor {
                Flavor::Option => vec![Outgoing::Accept { to: peer, is_master: false }],
                Flavor::Mtftp => Vec::new(),
            };
        }
        if self.state != State::Asking {
            // The first of all; or it asks again although it had acknowledged something, and has begun anew.
            self.tries = 0;
        }
        self.state = State::Asking;
        self.due = now + PATIENCE;
        match self.flavor {
            Flavor::Option => vec![Outgoing::Accept { to: peer, is_master: true }],
            Flavor::Mtftp => self.begin_with(peer),
        }
    }

    /// A packet of a machine.
    pub fn packet(&mut self, peer: SocketAddr, packet: &Packet<'_>, now: Instant) -> Vec<Outgoing> {
        let Some(member) = self.members.iter_mut().find(|member| member.peer == peer) else { return Vec::new() };
        match packet {
            Packet::Ack { block } => {
                let block = u64::from(*block);
                member.acknowledged = member.acknowledged.max(block.min(self.last_block));
                if block >= self.last_block {
                    return self.end(peer, TransferResult::Complete, now);
                }
                if self.master() != Some(peer) || self.state == State::Sending(block + 1) {
                    return Vec::new();
                }
                let only_directly = self.tries >= DIRECT_FROM && matches!(self.state, State::Sending(_));
                if let Some(master) = self.members.first_mut().filter(|_| only_directly) {
                    master.is_deaf = true;
                }
                self.tries = 0;
                self.send(block + 1, now)
            }
            Packet::Error { code, .. } => self.end(peer, TransferResult::Aborted(*code), now),
            Packet::Read(_) | Packet::Write(_) | Packet::Data { .. } | Packet::OptionAck(_) => Vec::new(),
        }
    }

    /// When [`Self::timeout`] is to be called; none once nobody is left.
    pub fn deadline(&self) -> Option<Instant> {
        (self.state != State::Over).then_some(self.due)
    }

    /// What was sent has left only now: the master's time begins.
    pub fn restart_timer(&mut self, now: Instant) {
        self.due = self.due.max(now + self.patience());
    }

    /// Does what is due at `now`.
    pub fn timeout(&mut self, now: Instant) -> Vec<Outgoing> {
        let Some(master) = self.members.first_mut().filter(|_| self.state != State::Over && self.due <= now) else {
            return Vec::new();
        };
        let peer = master.peer;
        self.tries += 1;
        let tries_max = if self.state == State::Asking { ASKED_MAX } else { SILENCE_MAX };
        if self.tries >= tries_max {
            // Who listened from the beginning, and is gone when asked, most likely has all and said nothing.
            let has_all = self.state == State::Asking && master.missed == 0 && self.highest_sent == self.last_block;
            let result = if has_all { TransferResult::Unconfirmed } else { TransferResult::TimedOut };
            return self.end(peer, result, now);
        }
        master.repeated += 1;
        self.due = now + self.patience();
        match (self.state, self.flavor) {
            (State::Sending(block), _) if self.tries >= DIRECT_FROM => {
                vec![Outgoing::Block(block), Outgoing::BlockTo { to: peer, block }]
            }
            (State::Sending(block), _) => vec![Outgoing::Block(block)],
            (_, Flavor::Option) if self.highest_sent == 0 => vec![Outgoing::Accept { to: peer, is_master: true }],
            (_, Flavor::Option) => vec![Outgoing::HandOver { to: peer }],
            (_, Flavor::Mtftp) => self.begin_with(peer),
        }
    }

    /// Gives up: the file cannot be read, or the server stops. Whoever was there.
    pub fn fail(&mut self, now: Instant) -> Vec<SocketAddr> {
        let peers = self.members.iter().map(|member| member.peer).collect();
        self.leave(|_| true, TransferResult::Failed, now);
        self.state = State::Over;
        peers
    }

    /// The machines that ended since the last call, and how.
    pub fn take_ended(&mut self) -> Vec<(SocketAddr, TransferOutcome)> {
        std::mem::take(&mut self.ended)
    }

    fn master(&self) -> Option<SocketAddr> {
        self.members.first().map(|member| member.peer)
    }

    fn patience(&self) -> Duration {
        (PATIENCE * 2_u32.saturating_pow(self.tries.min(4))).min(PATIENCE_LONGEST)
    }

    fn send(&mut self, block: u64, now: Instant) -> Vec<Outgoing> {
        self.state = State::Sending(block);
        self.highest_sent = self.highest_sent.max(block);
        self.due = now + self.patience();
        let deaf = self.members.first().filter(|master| master.is_deaf);
        let direct = deaf.map(|master| Outgoing::BlockTo { to: master.peer, block });
        [Outgoing::Block(block)].into_iter().chain(direct).collect()
    }

    /// MTFTP: the first block makes its receiver the master. The first time, all others need it too.
    fn begin_with(&mut self, peer: SocketAddr) -> Vec<Outgoing> {
        let to_all = (self.highest_sent == 0).then_some(Outgoing::Block(1));
        self.highest_sent = self.highest_sent.max(1);
        [Outgoing::BlockTo { to: peer, block: 1 }].into_iter().chain(to_all).collect()
    }

    /// A machine is done, or gone. Where it was the master the next one is asked.
    fn end(&mut self, peer: SocketAddr, result: TransferResult, now: Instant) -> Vec<Outgoing> {
        let was_master = self.master() == Some(peer);
        self.leave(|member| member.peer == peer, result, now);
        if !was_master {
            return Vec::new();
        }
        self.appoint(now)
    }

    fn appoint(&mut self, now: Instant) -> Vec<Outgoing> {
        self.tries = 0;
        // Those that are surely there and lack something come first.
        let next = (0..self.members.len()).max_by_key(|at| {
            let member = self.members.get(*at);
            (member.map(|member| (member.asks, member.missed)), std::cmp::Reverse(*at))
        });
        let Some(next) = next else {
            self.state = State::Over;
            return Vec::new();
        };
        self.members.swap(0, next);
        let Some(peer) = self.master() else { return Vec::new() };
        self.state = State::Asking;
        self.due = now + PATIENCE;
        match self.flavor {
            Flavor::Option => vec![Outgoing::HandOver { to: peer }],
            Flavor::Mtftp => self.begin_with(peer),
        }
    }

    fn leave(&mut self, who: impl Fn(&Member) -> bool, result: TransferResult, now: Instant) {
        let (size, blksize, last_block) = (self.size, u64::from(self.blksize), self.last_block);
        let ended = &mut self.ended;
        self.members.retain(|member| {
            if who(member) {
                let is_whole = matches!(result, TransferResult::Complete | TransferResult::Unconfirmed);
                let blocks = if is_whole { last_block } else { member.acknowledged };
                let outcome = TransferOutcome {
                    result,
                    bytes: blocks.saturating_mul(blksize).min(size),
                    blocks,
                    retransmissions: member.repeated,
                    duration: now.saturating_duration_since(member.since),
                };
                ended.push((member.peer, outcome));
            }
            !who(member)
        });
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
