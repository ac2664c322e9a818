//! What happened to the questions, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Counts {
    /// Questions and changes that were answered.
    pub(super) answered: AtomicU64,
    /// That the server refused, or whose values did not fit.
    pub(super) refused: AtomicU64,
    /// That were not answered in time.
    pub(super) timed_out: AtomicU64,
    /// That failed because the database was down or broke the connection.
    pub(super) unreachable: AtomicU64,
    /// That got the last answer instead.
    pub(super) stale: AtomicU64,
    /// That were asked again, over another connection or after a deadlock.
    pub(super) repeated: AtomicU64,
    /// Connections that were made.
    pub(super) connected: AtomicU64,
    /// Values that could not be read.
    pub(super) unreadable: AtomicU64,
}

pub(super) fn one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        [
            ("answered", &self.answered),
            ("refused", &self.refused),
            ("timed_out", &self.timed_out),
            ("unreachable", &self.unreachable),
            ("stale", &self.stale),
            ("repeated", &self.repeated),
            ("connected", &self.connected),
            ("unreadable", &self.unreadable),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
        .into()
    }
}
