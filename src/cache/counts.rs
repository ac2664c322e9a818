//! What the cache did since it was opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers for metrics; each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files that were asked for and here.
    pub hits: u64,
    /// Those of the hits whose origin did not say that they are still the present version.
    pub stale: u64,
    /// Files that were asked for and began to be fetched.
    pub misses: u64,
    /// Files that were asked for while they were arriving.
    pub joined: u64,
    /// Octets that came from origins.
    pub fetched: u64,
    /// Octets that went to clients.
    pub served: u64,
    /// Files that were removed to make room.
    pub evicted: u64,
    /// Downloads that were dropped because their digest was wrong.
    pub failed_digests: u64,
}

/// The numbers while they grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) joined: AtomicU64,
    pub(super) fetched: AtomicU64,
    pub(super) served: Arc<AtomicU64>,
    pub(super) evicted: AtomicU64,
    pub(super) failed_digests: AtomicU64,
}

/// One more of these.
pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// So many more of these.
pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            hits: read(&self.hits),
            stale: read(&self.stale),
            misses: read(&self.misses),
            joined: read(&self.joined),
            fetched: read(&self.fetched),
            served: read(&self.served),
            evicted: read(&self.evicted),
            failed_digests: read(&self.failed_digests),
        }
    }
}
