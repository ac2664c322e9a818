//! What the cache has and did, on the metrics page.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cache::Library;
use crate::observe::{Kind, Metrics};

use super::shared::Shared;

/// The files are counted again when they were counted so long ago: that reads every record on the disk.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// How many files there are, and their octets, as they were last counted.
#[derive(Default)]
struct Census {
    counted: Mutex<Option<(Instant, u64, u64)>>,
    is_counting: AtomicBool,
}

/// Shows how full the cache is, and what became of requests for files of other servers. Must be called inside a Tokio
/// runtime.
pub(super) fn show(metrics: &Metrics, shared: &Arc<Shared>) {
    // The metrics are shown by what is shared: held strongly both ways, neither would ever end.
    let of = Arc::downgrade(shared);
    let library = move || of.upgrade().map(|shared| shared.site.load().images.clone());
    let census = Arc::new(Census::default());
    census.look(library());
    let gauge = |name, help, of_census: fn((u64, u64)) -> u64| {
        let (census, library) = (Arc::clone(&census), library.clone());
        let read = move || vec![(Vec::new(), of_census(census.look(library())))];
        metrics.watch_labelled(Kind::Gauge, name, help, Box::new(read));
    };
    gauge("cache_files", "Files of upstreams and object storage that are kept here", |(files, _)| files);
    gauge("cache_octets", "Octets of those files", |(_, octets)| octets);
    let of = library.clone();
    metrics.watch(
        "cache_requests",
        "Requests for files of upstreams and object storage, by what became of them",
        Box::new(move || of().map(|library| library.numbers().requests).unwrap_or_default()),
    );
    let read = move || {
        let fetched = library().map(|library| library.numbers().fetched).unwrap_or_default();
        fetched.into_iter().map(|(origin, octets)| (vec![("origin", origin)], octets)).collect()
    };
    metrics.watch_labelled(Kind::Counter, "cache_fetched_bytes", "Octets that were fetched, by origin", Box::new(read));
}

impl Census {
    /// What was last counted; where that is long ago, it is counted again meanwhile.
    fn look(self: &Arc<Self>, library: Option<Library>) -> (u64, u64) {
        let known = *self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = known.is_none_or(|(at, ..)| at.elapsed() >= COUNT_EVERY);
        if is_old
            && let Some(cache) = library.and_then(|library| library.cache().cloned())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.is_counting.swap(true, Ordering::AcqRel)
        {
            let census = Arc::clone(self);
            runtime.spawn_blocking(move || {
                let entries = cache.entries();
                let octets = entries.iter().map(|entry| entry.present).fold(0, u64::saturating_add);
                let counted = (Instant::now(), entries.len() as u64, octets);
                *census.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
                census.is_counting.store(false, Ordering::Release);
            });
        }
        known.map_or((0, 0), |(_, files, octets)| (files, octets))
    }
}
