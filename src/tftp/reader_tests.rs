//! Reader and transfer together, over a file: whatever is acknowledged and lost, they never wait for nothing.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::super::options::Agreed;
use super::super::packet::Packet;
use super::super::transfer::{Action, RetryLimits, Transfer, TransferPlan, wire_number};
use super::*;
use crate::files::FileRoot;

/// So many readers of files that pieces are small, and their boundaries many.
const READERS: usize = 10_000;
/// Steps in which a transfer must get on once its client is sound again.
const STEPS_MAX: usize = 200;

struct Disk {
    runtime: Runtime,
    content: Content,
    bytes: Vec<u8>,
}

/// A file large enough not to be held in memory.
static DISK: LazyLock<Disk> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..9_000_000_usize).map(|i| (i / 3 + i % 253) as u8).collect();
    std::fs::write(directory.path().join("big.wim"), &bytes).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let root = FileRoot::new(directory.path()).unwrap();
    let content = runtime.block_on(root.open(&"big.wim".parse().unwrap())).unwrap();
    assert!(content.as_memory().is_none());
    // A static is never dropped; the open file does not need its directory.
    directory.close().unwrap();
    Disk { runtime, content, bytes }
});

#[derive(Debug, Clone)]
enum Event {
    /// ACK so far behind the last one.
    Ack(u16),
    /// The next deadline comes.
    Timeout,
    /// What is being read arrives.
    Read,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u16..=64).prop_map(Event::Ack),
        3 => Just(Event::Timeout),
        3 => Just(Event::Read),
    ]
}

/// What a socket's task does with one transfer, without the socket.
struct Served {
    transfer: Transfer,
    reader: Reader,
    now: Instant,
    /// Highest block that was put on the wire.
    sent: u64,
}

impl Served {
    fn new(blksize: u16, windowsize: u16) -> Self {
        let agreed = Agreed { blksize, windowsize, timeout: None, size_asked: false };
        let plan = TransferPlan { size: DISK.content.len(), agreed, has_option_ack: true };
        let now = Instant::now();
        let (transfer, _) = Transfer::start(plan, RetryLimits::default(), now);
        let readers = Arc::new(AtomicUsize::new(READERS));
        let reader = Reader::new(DISK.content.clone(), blksize, windowsize, &readers);
        let mut served = Self { transfer, reader, now, sent: 0 };
        served.acknowledge(0);
        served
    }

    fn acknowledge(&mut self, distance: u16) {
        if !self.reader.is_waiting() {
            let block = wire_number(self.transfer.first_unacknowledged() - 1).wrapping_add(distance);
            let action = self.transfer.handle_packet(&Packet::Ack { block }, self.now);
            self.act(&action);
        }
    }

    fn time_out(&mut self) {
        if let Some(deadline) = self.transfer.deadline().filter(|_| !self.reader.is_waiting()) {
            self.now = deadline.max(self.now);
            let action = self.transfer.handle_timeout(self.now);
            self.act(&action);
        }
    }

    fn read(&mut self) {
        let Some(offset) = self.reader.fetching else {
            return;
        };
        let result = DISK.runtime.block_on(DISK.content.read_at(offset, self.reader.piece_size));
        let fetched = Fetched { client: SocketAddr::from(([192, 0, 2, 7], 7)), transfer: 1, offset, result };
        if let Some(blocks) = self.reader.take(fetched).unwrap() {
            self.transfer.restart_timer(self.now);
            self.act(&Action::Data(blocks));
        }
    }

    fn act(&mut self, action: &Action) {
        let Action::Data(blocks) = action else {
            return;
        };
        let mut next = *blocks.start();
        for (run, bytes) in self.reader.blocks(blocks, self.transfer.first_unacknowledged()) {
            assert_eq!(*run.start(), next);
            let at = |block: u64| DISK.bytes.len().min(block as usize * self.reader.blksize as usize);
            assert!(bytes == DISK.bytes[at(run.start() - 1)..at(*run.end())], "{run:?}");
            next = run.end() + 1;
        }
        assert!(next == blocks.end() + 1 || (self.reader.is_waiting() && next == *blocks.start()), "{blocks:?}");
        self.sent = self.sent.max(next - 1);
        self.reader.next_fetch();
        assert!(self.reader.pieces.len() <= 2);
    }

    fn is_stuck(&self) -> bool {
        self.reader.is_waiting() && self.reader.fetching.is_none()
    }
}

#[test]
fn what_lies_before_the_first_piece_is_fetched_again() {
    let mut served = Served::new(1_468, 16);
    served.read();
    let offset = 50 * 1_468;
    served.reader.pieces.iter_mut().for_each(|piece| piece.offset = offset);
    assert_eq!(served.reader.blocks(&(1..=16), 1).count(), 0);
    assert_eq!(served.reader.next_fetch(), None, "one piece is under way");
    served.reader.fetching = None;
    assert_eq!(served.reader.next_fetch(), Some(0));
    served.read();
    assert!(!served.reader.is_waiting());
}

proptest! {
    #[test]
    fn whatever_is_acknowledged_and_lost_the_transfer_gets_on_or_ends(
        blksize in prop_oneof![Just(512_u16), Just(1_468), Just(9_000)],
        windowsize in 2_u16..=64,
        events in proptest::collection::vec(event(), 0..300),
    ) {
        let mut served = Served::new(blksize, windowsize);
        for event in events {
            match event {
                Event::Ack(distance) => served.acknowledge(distance % (windowsize + 1)),
                Event::Timeout => served.time_out(),
                Event::Read => served.read(),
            }
            prop_assert!(!served.is_stuck(), "waits for nothing: {:?}", served.reader.waiting);
        }
        let before = served.transfer.first_unacknowledged();
        for _ in 0..STEPS_MAX {
            if served.transfer.outcome().is_some() || served.transfer.first_unacknowledged() > before {
                return Ok(());
            }
            served.read();
            let arrived = served.sent + 1 - served.transfer.first_unacknowledged();
            served.acknowledge(u16::try_from(arrived).unwrap());
            served.now += Duration::from_millis(1);
            prop_assert!(!served.is_stuck(), "waits for nothing: {:?}", served.reader.waiting);
        }
        prop_assert!(false, "no progress");
    }
}
