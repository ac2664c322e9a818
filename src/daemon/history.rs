//! The history of boots: what was decided and what happened, written to the store in the background.
//!
//! ```text
//! engine -> Observing -> HistorySender -> queue -> Writer -> Store::write
//! ```
//!
//! While the store is gone the queue fills, and what does not fit any more is counted. Anybody on the network can make up
//! machines: boots that only asked by DHCP have a budget, and so has each boot.
//!
//! **Invariant**: who tells the history something never waits for it.

mod budget;
mod entries;
#[cfg(test)]
mod tests;
mod upkeep;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::boot::{BootDecision, BootRequest, SessionId, Stage};
use crate::decision::{BootEvent, Exchange, Question, Session, Transport};
use crate::observe::{Kind, Metrics};
use crate::store::{BootEntry, Store};

use budget::{Newcomers, PerBoot};
use writer::Writer;

/// Entries that wait to be written; an entry has one to six kilobytes.
const QUEUE_LEN: usize = 16_384;
/// How long the entries that are left may take at the end.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(5);

/// How long boots are kept, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    /// How long.
    pub(super) keep: Duration,
    /// The most boots.
    pub(super) boots_max: u64,
    /// The most questions that are kept whole; none are written where it is 0.
    pub(super) questions_max: u64,
}

/// The store that is written to; a reload may put another in its place, as when its password changed.
pub(super) type Destination = Arc<ArcSwap<Store>>;

/// The history while it is written.
pub(super) struct History {
    destination: Destination,
    sender: HistorySender,
    writer: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    stop: CancellationToken,
}

/// Takes what is to be written down.
#[derive(Clone)]
pub(super) struct HistorySender {
    queue: mpsc::Sender<BootEntry>,
    counts: Arc<Counts>,
    newcomers: Arc<Newcomers>,
    per_boot: Arc<PerBoot>,
    /// Whether questions are kept whole.
    keeps_questions: bool,
}

/// What became of entries.
#[derive(Default)]
struct Counts {
    /// Put into the queue.
    queued: AtomicU64,
    written: AtomicU64,
    /// The queue was full.
    full: AtomicU64,
    /// Too many boots that only asked, or too many events of one boot.
    excess: AtomicU64,
    /// The store takes others, but not this one.
    refused: AtomicU64,
    /// Not written when the server stopped.
    left: AtomicU64,
}

impl Counts {
    fn all(&self) -> Vec<(&'static str, u64)> {
        [
            ("written", &self.written),
            ("dropped_queue_full", &self.full),
            ("dropped_excess", &self.excess),
            ("dropped_refused", &self.refused),
            ("dropped_at_stop", &self.left),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
        .into()
    }
}

fn add(count: &AtomicU64, number: usize) {
    count.fetch_add(number as u64, Ordering::Relaxed);
}

impl History {
    /// Begins to write to this store, and shows on the metrics page how that goes. Must be called inside a Tokio runtime.
    pub(super) fn start(store: Store, retention: Retention, metrics: &Metrics) -> History {
        Self::with_queue(store, retention, metrics, QUEUE_LEN)
    }

    fn with_queue(store: Store, retention: Retention, metrics: &Metrics, queue_len: usize) -> History {
        let (queue, entries) = mpsc::channel(queue_len);
        let (counts, stop) = (Arc::new(Counts::default()), CancellationToken::new());
        let destination: Destination = Arc::new(ArcSwap::from_pointee(store));
        let upkeep = tokio::spawn(upkeep::run(Arc::clone(&destination), retention));
        let writer = Writer::new(Arc::clone(&destination), entries, Arc::clone(&counts), stop.clone());
        let shown = Arc::clone(&counts);
        metrics.watch(
            "history_records",
            "Entries of the boot history, by what became of them",
            Box::new(move || shown.all()),
        );
        let waiting = queue.clone();
        let read = move || vec![(Vec::new(), (waiting.max_capacity() - waiting.capacity()) as u64)];
        metrics.watch_labelled(Kind::Gauge, "history_queue", "Entries that wait to be written", Box::new(read));
        let (newcomers, per_boot) = (Arc::default(), Arc::default());
        let sender = HistorySender { queue, counts, newcomers, per_boot, keeps_questions: retention.questions_max > 0 };
        History { destination, sender, writer: tokio::spawn(writer.run()), upkeep, stop }
    }

    /// Where it writes to.
    pub(super) fn destination(&self) -> Destination {
        Arc::clone(&self.destination)
    }

    /// Takes entries from now on.
    pub(super) fn sender(&self) -> HistorySender {
        self.sender.clone()
    }

    /// Writes what is left, for a few seconds at most. Call it when nothing is told any more.
    pub(super) async fn finish(self) {
        self.upkeep.abort();
        self.stop.cancel();
        let abort = self.writer.abort_handle();
        if tokio::time::timeout(FLUSH_TIME_MAX, self.writer).await.is_err() {
            abort.abort();
        }
        let counts = &self.sender.counts;
        let [queued, written, refused] =
            [&counts.queued, &counts.written, &counts.refused].map(|count| count.load(Ordering::Relaxed));
        let left = queued.saturating_sub(written + refused);
        if left > 0 {
            counts.left.fetch_add(left, Ordering::Relaxed);
            warn!(entries = left, "the store is not there: what happened last is not in the history");
        }
    }
}

impl HistorySender {
    /// A decision was evaluated.
    pub(super) fn decided(&self, question: Question, request: &BootRequest, decision: &BootDecision) {
        // A boot that goes on is seen again at its next step, with everything that is known of it.
        let is_newcomer = request.stage == Stage::Discover;
        let admit = || self.newcomers.take(request.now);
        let Some(has_room) = self.per_boot.take_question(request.session, is_newcomer, admit) else {
            add(&self.counts.excess, 1);
            return;
        };
        self.put(entries::decided(question, request, decision, has_room && self.keeps_questions));
    }

    /// Whether one more packet or request of this boot is written.
    pub(super) fn wants(&self, session: SessionId, by: Transport, now: Timestamp) -> bool {
        let is_wanted = self.per_boot.take_packet(session, by, now, || self.newcomers.take(now));
        add(&self.counts.excess, usize::from(!is_wanted));
        is_wanted
    }

    /// A packet or request came at a moment.
    pub(super) fn exchanged(&self, session: &Session, exchange: &Exchange, at: Timestamp) {
        self.put(entries::exchanged(session, exchange, at));
    }

    /// Something happened in a boot.
    pub(super) fn happened(&self, request: &BootRequest, event: &BootEvent) {
        if !self.per_boot.take(request.session, event) {
            add(&self.counts.excess, 1);
            return;
        }
        self.put(entries::happened(request, event));
    }

    /// Scripts that are not live yet would have said something else.
    pub(super) fn compared(&self, question: Question, request: &BootRequest, would: &str) {
        let is_new = request.stage == Stage::Discover;
        if is_new && !self.newcomers.take(request.now) || !self.per_boot.take_one(request.session) {
            add(&self.counts.excess, 1);
            return;
        }
        self.put(entries::compared(question, request, would));
    }

    fn put(&self, entry: BootEntry) {
        match self.queue.try_send(entry) {
            Ok(()) => add(&self.counts.queued, 1),
            Err(TrySendError::Full(_)) => add(&self.counts.full, 1),
            Err(TrySendError::Closed(_)) => add(&self.counts.left, 1),
        }
    }
}
