//! What is known in memory of one file: its version here, the one at its origin, and the download between them.
//!
//! **Invariant**: the disk is the truth; what is remembered here is looked at again where it turns out to be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::arriving::Download;
use super::record::IndexRecord;
use super::{CacheError, OriginError, RemoteFile};
use crate::boot::FileName;

/// After a failure nobody else tries for so long.
pub(super) const REST: Duration = Duration::from_secs(5);

/// One file of an origin.
pub(super) struct Slot {
    pub(super) origin: String,
    pub(super) name: FileName,
    /// When it was last asked for, in Unix seconds.
    used: AtomicI64,
    /// Downloads that turned out to be wrong after readers had some of them.
    wrong: AtomicU32,
    pub(super) state: tokio::sync::Mutex<State>,
}

/// What is known of it.
#[derive(Default)]
pub(super) struct State {
    /// Whether the disk was looked at.
    pub(super) is_read: bool,
    /// What is here.
    pub(super) entry: Option<Arc<IndexRecord>>,
    /// What the origin said last, and when.
    pub(super) described: Option<(Instant, RemoteFile)>,
    /// That it did not answer, and when.
    pub(super) silent: Option<(Instant, OriginError)>,
    /// When it last said that what is here is the present version.
    pub(super) confirmed: Option<Timestamp>,
    pub(super) download: Option<Arc<Download>>,
    /// The version that could not be had, and when.
    pub(super) failed: Option<(Instant, RemoteFile, CacheError)>,
    /// When it was said that an old version is served.
    pub(super) warned: Option<Instant>,
}

impl Slot {
    pub(super) fn new(origin: &str, name: &FileName) -> Slot {
        let (used, wrong) = (AtomicI64::new(0), AtomicU32::new(0));
        Slot { origin: origin.to_owned(), name: name.clone(), used, wrong, state: Default::default() }
    }

    pub(super) fn touch(&self) {
        self.used.store(Timestamp::now().as_second(), Ordering::Relaxed);
    }

    /// Takes note that a download was wrong.
    pub(super) fn note_wrong(&self) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
    }

    /// How many downloads were wrong so far.
    pub(super) fn wrong(&self) -> u32 {
        self.wrong.load(Ordering::Relaxed)
    }

    /// When it was last asked for; none where it never was.
    pub(super) fn used(&self) -> Option<Timestamp> {
        match self.used.load(Ordering::Relaxed) {
            0 => None,
            second => Timestamp::from_second(second).ok(),
        }
    }
}

impl State {
    /// What the origin said, where that is new enough: said after `came`, or less than `fresh_for` ago.
    pub(super) fn fresh_version(&self, came: Instant, fresh_for: Duration) -> Option<RemoteFile> {
        let (at, version) = self.described.as_ref()?;
        (*at >= came || at.elapsed() < fresh_for).then(|| version.clone())
    }

    /// That the origin was silent, where that is new enough.
    pub(super) fn fresh_silence(&self, came: Instant) -> Option<OriginError> {
        let (at, error) = self.silent.as_ref()?;
        (*at >= came || at.elapsed() < REST).then(|| error.clone())
    }

    /// Why this version cannot be had, where that is new enough.
    pub(super) fn fresh_failure(&self, version: &RemoteFile) -> Option<CacheError> {
        let (at, failed, error) = self.failed.as_ref()?;
        (failed == version && at.elapsed() < REST).then(|| error.clone())
    }

    /// The version that is here, where it is this one.
    pub(super) fn entry_of(&self, version: &RemoteFile) -> Option<Arc<IndexRecord>> {
        self.entry.as_ref().filter(|entry| entry.version() == *version).cloned()
    }

    /// The download that goes on, of this version or of any.
    pub(super) fn running(&self, version: Option<&RemoteFile>) -> Option<Arc<Download>> {
        let is_it = |download: &&Arc<Download>| version.is_none_or(|version| download.version == *version);
        self.download.as_ref().filter(is_it).filter(|download| download.is_running()).cloned()
    }

    /// Whether nothing in it is worth being remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.entry.is_none() && self.running(None).is_none()
    }
}
