//! Which version of a file is served: the one that is here, the one that arrives, or none.
//!
//! **Invariant**: an origin is asked once for all who ask meanwhile, and not again for a while where it did not answer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::arriving::Download;
use super::counts::{add, count};
use super::download::Job;
use super::partial::{self, Limits};
use super::record::{IndexRecord, TAG_MAX, index_file};
use super::slot::{Slot, State};
use super::{CacheError, Inner, Origin, OriginError, Pacer, RemoteFile, blocking, key, object, room};

/// The longest that an origin may need to say what a file is, whatever its own limits are.
const DESCRIBE_MAX: Duration = Duration::from_secs(30);
/// That a version is old is said once in this time.
const WARN_EVERY: Duration = Duration::from_secs(3600);
/// What is known of a file is written when it is so much newer than what was written.
const NOTE_EVERY: i64 = 3600;

/// Where a file comes from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) origin: Arc<dyn Origin>,
    pub(super) pace: Arc<Pacer>,
}

/// What is served.
pub(super) enum Found {
    /// It is here.
    Whole(Arc<IndexRecord>),
    /// It arrives.
    Arriving(Arc<Download>),
}

impl Inner {
    /// The version to serve, by what the origin says; asked for at `came`.
    pub(super) async fn find(
        self: &Arc<Self>,
        source: &Source,
        slot: &Arc<Slot>,
        came: Instant,
    ) -> Result<Found, CacheError> {
        let mut state = slot.state.lock().await;
        slot.touch();
        if !state.is_read {
            state.entry = self.read_entry(slot).await?;
            state.is_read = true;
        }
        let version = match state.fresh_version(came, self.section.fresh_for) {
            Some(version) => version,
            None => match self.ask(source, slot, &mut state, came).await {
                Ok(version) => version,
                Err(error) => return self.without_origin(slot, &mut state, error).await,
            },
        };
        if let Some(entry) = state.entry_of(&version) {
            count(&self.counters.hits);
            self.note(&mut state, &entry);
            return Ok(Found::Whole(entry));
        }
        if let Some(download) = state.running(Some(&version)) {
            count(&self.counters.joined);
            return Ok(Found::Arriving(download));
        }
        // Another process may have it by now.
        state.entry = self.read_entry(slot).await?;
        if let Some(entry) = state.entry_of(&version) {
            count(&self.counters.hits);
            return Ok(Found::Whole(entry));
        }
        if let Some(error) = state.fresh_failure(&version) {
            return self.instead(slot, &mut state, error);
        }
        count(&self.counters.misses);
        match self.begin(source, slot, &mut state, version.clone()).await {
            Ok(download) => Ok(Found::Arriving(download)),
            Err(error) => {
                warn!(origin = slot.origin, file = %slot.name, %error, "cannot fetch a file");
                state.failed = Some((Instant::now(), version, error.clone()));
                self.instead(slot, &mut state, error)
            }
        }
    }

    /// Asks the origin what the file is at present.
    async fn ask(
        &self,
        source: &Source,
        slot: &Slot,
        state: &mut State,
        came: Instant,
    ) -> Result<RemoteFile, OriginError> {
        if let Some(error) = state.fresh_silence(came) {
            return Err(error);
        }
        let asked = timeout(DESCRIBE_MAX, source.origin.describe(&slot.name)).await;
        let answer = asked.unwrap_or_else(|_| Err(OriginError::Unreachable("no answer in time".into())));
        let answer = answer.and_then(|version| match version.tag.len() <= TAG_MAX {
            true => Ok(version),
            false => Err(OriginError::Unreachable(format!("its tag has more than {TAG_MAX} octets"))),
        });
        match &answer {
            Ok(version) => {
                state.described = Some((Instant::now(), version.clone()));
                (state.silent, state.warned) = (None, None);
                if state.entry_of(version).is_some() {
                    state.confirmed = Some(Timestamp::now());
                }
            }
            Err(error) => {
                state.described = None;
                state.silent = Some((Instant::now(), error.clone()));
            }
        }
        answer
    }

    /// The origin gave no version: what is here stands in for it, unless the file is gone there.
    async fn without_origin(&self, slot: &Slot, state: &mut State, error: OriginError) -> Result<Found, CacheError> {
        let error = CacheError::Origin { origin: slot.origin.clone(), error };
        if error.is_not_found() {
            if state.entry.take().is_some() {
                info!(origin = slot.origin, file = %slot.name, "removed, as its origin has it no more");
                self.forget(slot).await?;
            }
            return Err(error);
        }
        if let Some(download) = state.running(None) {
            count(&self.counters.joined);
            return Ok(Found::Arriving(download));
        }
        self.instead(slot, state, error)
    }

    /// What is here, in place of what cannot be had; the error where nothing is, or what is here is too old.
    fn instead(&self, slot: &Slot, state: &mut State, error: CacheError) -> Result<Found, CacheError> {
        let Some(entry) = state.entry.clone() else { return Err(error) };
        let confirmed = state.confirmed.unwrap_or(entry.confirmed).max(entry.confirmed);
        let age = Timestamp::now().duration_since(confirmed).unsigned_abs();
        let keep = self.section.keep;
        if age > keep {
            warn!(origin = slot.origin, file = %slot.name, ?age, ?keep, %error, "what is kept is too old to be served");
            return Err(error);
        }
        if state.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            state.warned = Some(Instant::now());
            let age = Duration::from_secs(age.as_secs());
            warn!(origin = slot.origin, file = %slot.name, ?age, %error, "served as it was last fetched");
        }
        count(&self.counters.hits);
        count(&self.counters.stale);
        Ok(Found::Whole(entry))
    }

    /// Begins a download, whose end is waited for by nobody in particular.
    async fn begin(
        self: &Arc<Self>,
        source: &Source,
        slot: &Arc<Slot>,
        state: &mut State,
        version: RemoteFile,
    ) -> Result<Arc<Download>, CacheError> {
        let (download, job) = self.prepare(source, slot, state, version).await?;
        let (inner, source, slot) = (Arc::clone(self), source.clone(), Arc::clone(slot));
        tokio::spawn(async move { inner.see_through(source, slot, job).await });
        Ok(download)
    }

    /// Makes the file for a download, and room for it.
    async fn prepare(
        self: &Arc<Self>,
        source: &Source,
        slot: &Arc<Slot>,
        state: &mut State,
        version: RemoteFile,
    ) -> Result<(Arc<Download>, Job), CacheError> {
        let (inner, file_of, wanted) = (Arc::clone(self), Arc::clone(slot), version.clone());
        let begin = move || {
            let last_use = |key: &_| inner.last_use(key);
            let limits = Limits { size_max: inner.section.size_max, last_use: &last_use };
            Ok(partial::begin(&inner.disk, &file_of.origin, &file_of.name, &wanted, &limits))
        };
        let begun = blocking(begin).await.map_err(|error| room::failed(&self.disk, error))??;
        add(&self.counters.evicted, begun.evicted);
        let (download, progress) = Download::new(version, Arc::clone(&begun.file), begun.good, slot.wrong());
        let download = Arc::new(download);
        state.download = Some(Arc::clone(&download));
        let job = Job {
            inner: Arc::clone(self),
            source: source.clone(),
            slot: Arc::clone(slot),
            file: begun.file,
            record: begun.record,
            good: begun.good,
            is_ours: begun.is_ours,
            progress,
        };
        Ok((download, job))
    }

    /// Runs a download, and another where what came was not what the origin announced.
    async fn see_through(self: Arc<Self>, source: Source, slot: Arc<Slot>, mut job: Job) {
        for is_last in [false, true] {
            let version = job.record.version();
            let result = job.run().await;
            let progress = job.progress;
            let mut state = slot.state.lock().await;
            if state.download.as_ref().is_some_and(|download| download.version == version) {
                state.download = None;
            }
            let error = match result {
                Ok(entry) => {
                    if let Some(entry) = entry {
                        (state.entry, state.failed, state.confirmed) = (Some(Arc::new(entry)), None, None);
                    }
                    progress.send_modify(|now| now.end = Some(Ok(())));
                    return;
                }
                Err(error) => error,
            };
            warn!(origin = slot.origin, file = %slot.name, %error, "download failed");
            if matches!(error, CacheError::Digest { .. } | CacheError::Length { .. }) {
                slot.note_wrong();
            }
            let next = match error.calls_for_another() && !is_last && state.running(None).is_none() {
                true => self.anew(&source, &slot, &mut state).await,
                false => None,
            };
            if next.is_none() {
                state.failed = Some((Instant::now(), version, error.clone()));
            }
            // After the state: who is told finds what follows.
            progress.send_modify(|now| now.end = Some(Err(error)));
            let Some(next) = next else { return };
            job = next;
        }
    }

    /// A second download, of what the origin has by now; none where it has nothing else to say.
    async fn anew(self: &Arc<Self>, source: &Source, slot: &Arc<Slot>, state: &mut State) -> Option<Job> {
        state.described = None;
        let version = self.ask(source, slot, state, Instant::now()).await.ok()?;
        if state.entry_of(&version).is_some() {
            return None;
        }
        let prepared = self.prepare(source, slot, state, version).await;
        let prepared =
            prepared.inspect_err(|error| warn!(origin = slot.origin, file = %slot.name, %error, "cannot fetch a file"));
        prepared.ok().map(|(_, job)| job)
    }

    /// Writes when the file was used and confirmed, where what is written is old.
    fn note(self: &Arc<Self>, state: &mut State, entry: &Arc<IndexRecord>) {
        let now = Timestamp::now();
        if now.as_second().saturating_sub(entry.used.as_second()) < NOTE_EVERY {
            return;
        }
        let mut noted = IndexRecord::clone(entry);
        noted.used = now;
        noted.confirmed = state.confirmed.unwrap_or(noted.confirmed).max(noted.confirmed);
        state.entry = Some(Arc::new(noted.clone()));
        let inner = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = object::note(&inner.disk, &noted) {
                warn!(origin = noted.origin, file = %noted.name, %error, "cannot note that a file was used");
            }
        });
    }

    async fn read_entry(&self, slot: &Slot) -> Result<Option<Arc<IndexRecord>>, CacheError> {
        let (disk, file) = (Arc::clone(&self.disk), index_file(&key::of_file(&slot.origin, &slot.name)));
        let read = blocking(move || object::entry(&disk, &file)).await;
        Ok(read.map_err(|error| room::failed(&self.disk, error))?.map(Arc::new))
    }

    async fn forget(&self, slot: &Slot) -> Result<(), CacheError> {
        let (disk, file) = (Arc::clone(&self.disk), index_file(&key::of_file(&slot.origin, &slot.name)));
        blocking(move || object::forget(&disk, &file)).await.map_err(|error| room::failed(&self.disk, error))
    }

    /// The object of an entry was not there, or not as it should be.
    pub(super) async fn lost(&self, slot: &Slot, entry: &Arc<IndexRecord>) -> Result<(), CacheError> {
        let mut state = slot.state.lock().await;
        if state.entry.as_ref().is_some_and(|known| known.object == entry.object) {
            state.entry = None;
        }
        let (disk, entry) = (Arc::clone(&self.disk), Arc::clone(entry));
        blocking(move || object::drop_unsound(&disk, &entry)).await.map_err(|error| room::failed(&self.disk, error))
    }
}
