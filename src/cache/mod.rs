//! Files of other servers: fetched once, kept, and served as if they were in the images folder.
//!
//! * A file is asked for by its [`Origin`] and its name. Within `cache.fresh_for` of the last answer the origin is not asked
//!   again; later it is asked once for all who wait, and what is here is served where it does not answer, up to
//!   `cache.keep`.
//! * A version that is not here is downloaded once, however many ask, and to its end, whoever leaves. Its readers get what
//!   is written; a break is resumed where it was, also by the next start of the server.
//! * A complete file is a plain [`Content`]: the kernel sends it as it does one of the images folder.
//!
//! On the disk: `objects/` has whole files by their digest, `index/` says which file of which origin each is, `partial/` has
//! what is arriving. Names of origins never become paths. Files in use are locked (flock), so that a command beside the
//! daemon neither evicts what the daemon reads nor writes what it writes.
//!
//! **Invariant**: nobody gets the end of a file before its digest was found to be right, where its origin tells one; and
//! nobody gets octets of two versions. So a file that is whole is right. Who takes a part without the end of it asks for
//! it with [`Content::when_complete`], and gets it when the whole is known to be right.

mod arriving;
mod counts;
mod disk;
mod download;
mod error;
mod key;
mod library;
mod object;
mod origin;
mod pacer;
mod partial;
mod record;
mod report;
mod room;
mod serve;
mod slot;
mod upkeep;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use counts::Counts;
pub use error::CacheError;
pub use library::{Library, NotFound, Numbers};
pub use origin::{Octets, Origin, OriginError, RemoteFile, Sha256, Sha256Error};
pub use pacer::Pacer;
pub use report::{Collected, Damage, Entry, Warmed};

use crate::boot::FileName;
use crate::config::CacheSection;
use crate::files::{Content, FileCache};
use counts::Counters;
use disk::Disk;
use room::Shelves;
use serve::{Found, Source};
use slot::Slot;

/// Downloads from one origin at a time; others wait for their turn.
const DOWNLOADS_MAX: usize = 4;
/// Files that are remembered without being here, before those are forgotten.
const SLOTS_MAX: usize = 10_000;
/// How often a file is looked for that others remove at the same time.
const LOOKS_MAX: usize = 3;

/// How far something is: octets that are done, and all of them.
pub type OnProgress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The files that are kept; clones share them.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    section: CacheSection,
    disk: Arc<Disk>,
    counters: Counters,
    /// Small files, in memory.
    small: Arc<FileCache>,
    slots: Mutex<HashMap<Sha256, Arc<Slot>>>,
    queues: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// What was found to be too short when this was opened.
    shortened: Mutex<Vec<Damage>>,
}

impl Cache {
    /// The cache in the section's folder, which is made when something is to be kept. What an interruption left there is
    /// removed. Other processes may use the same folder at the same time. Blocks on the disk.
    ///
    /// # Errors
    /// When the folder is there and cannot be used.
    pub fn open(section: &CacheSection) -> Result<Cache, CacheError> {
        let disk = Arc::new(Disk::new(&section.folder));
        let mut shortened = Vec::new();
        match std::fs::metadata(&section.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(room::failed(&disk, error)),
            Ok(_) => {
                let swept = Shelves::lock(&disk).and_then(|shelves| shelves.sweep());
                let (files, octets, damages) = swept.map_err(|error| room::failed(&disk, error))?;
                shortened = damages;
                if files > 0 {
                    tracing::info!(files, octets, "leftovers of the cache are removed");
                }
            }
        }
        Ok(Cache(Arc::new(Inner {
            section: section.clone(),
            disk,
            counters: Counters::default(),
            small: Arc::default(),
            slots: Mutex::default(),
            queues: Mutex::default(),
            shortened: shortened.into(),
        })))
    }

    /// A file of an origin: from here when it is here, else while it arrives. Its entity tag names the version: it is the
    /// same while it arrives, when it is here, and after a restart; another one after a download of it was wrong, so that
    /// nobody who had some of that goes on with what is right.
    ///
    /// # Errors
    /// When it is not here and the origin does not give it, and when there is no room for it.
    pub async fn open_file(
        &self,
        origin: &Arc<dyn Origin>,
        pace: &Arc<Pacer>,
        name: &FileName,
    ) -> Result<Content, CacheError> {
        let (came, slot) = (Instant::now(), self.0.slot(origin.name(), name));
        let source = Source { origin: Arc::clone(origin), pace: Arc::clone(pace) };
        for _ in 0..LOOKS_MAX {
            match self.0.find(&source, &slot, came).await? {
                Found::Whole(entry) => match self.0.content_of(&entry).await? {
                    Some(content) => return Ok(content.tagged(key::after_wrong(entry.entity_tag(), slot.wrong()))),
                    None => self.0.lost(&slot, &entry).await?,
                },
                Found::Arriving(download) => {
                    let tag = key::entity_tag(origin.name(), name, &download.version);
                    let tag = key::after_wrong(tag, download.wrong_before);
                    let (file, length) = (Arc::clone(&download.file), download.version.length);
                    let content = Content::of_arriving(file, length, download).tagged(tag);
                    return Ok(content.metered(Arc::clone(&self.0.counters.served)));
                }
            }
        }
        Err(CacheError::Interrupted)
    }

    /// Fetches a file to its end, where it is not here.
    ///
    /// # Errors
    /// As [`Cache::open_file`], and when the download breaks off for good.
    pub async fn warm(
        &self,
        origin: &Arc<dyn Origin>,
        pace: &Arc<Pacer>,
        name: &FileName,
        progress: OnProgress<'_>,
    ) -> Result<Warmed, CacheError> {
        let (came, slot) = (Instant::now(), self.0.slot(origin.name(), name));
        let source = Source { origin: Arc::clone(origin), pace: Arc::clone(pace) };
        let (mut fetched, mut last) = (0, CacheError::Interrupted);
        for _ in 0..LOOKS_MAX {
            match self.0.find(&source, &slot, came).await? {
                Found::Whole(entry) => match self.0.content_of(&entry).await? {
                    Some(content) => {
                        progress(content.len(), content.len());
                        let digest = entry.verified.then_some(entry.object);
                        return Ok(Warmed { length: content.len(), fetched, digest });
                    }
                    None => self.0.lost(&slot, &entry).await?,
                },
                Found::Arriving(download) => {
                    fetched += download.version.length.saturating_sub(download.written());
                    match download.ended(progress).await {
                        Err(error) if !error.calls_for_another() => return Err(error),
                        Err(error) => last = error,
                        Ok(()) => {}
                    }
                }
            }
        }
        Err(last)
    }

    /// All files that are kept, and those that are arriving, in the order of their names. Blocks on the disk.
    pub fn entries(&self) -> Vec<Entry> {
        upkeep::entries(&self.0).unwrap_or_else(|error| {
            tracing::warn!(folder = %self.0.disk.root().display(), %error, "cannot read the cache");
            Vec::new()
        })
    }

    /// Reads all files again, and removes those that are damaged.
    pub async fn verify(&self, progress: OnProgress<'_>) -> Vec<Damage> {
        upkeep::verify(&self.0, progress).await.unwrap_or_else(|error| {
            tracing::warn!(folder = %self.0.disk.root().display(), %error, "cannot read the cache");
            Vec::new()
        })
    }

    /// Removes leftovers, files of origins that are not among these, files that were not confirmed for too long, and what
    /// the cache has too much.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub async fn gc(&self, origins: &[&str]) -> Result<Collected, CacheError> {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let inner = Arc::clone(&self.0);
        let collected = blocking(move || upkeep::collect(&inner, &origins)).await;
        collected.map_err(|error| room::failed(&self.0.disk, error))
    }

    /// The section of the configuration that it was opened with.
    pub fn section(&self) -> &CacheSection {
        &self.0.section
    }

    /// What was done since the cache was opened.
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }
}

impl Inner {
    /// What is known of a file.
    fn slot(&self, origin: &str, name: &FileName) -> Arc<Slot> {
        let (mut slots, key) = (self.slots(), key::of_file(origin, name));
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        if slots.len() >= SLOTS_MAX {
            let is_empty = |slot: &Slot| slot.state.try_lock().is_ok_and(|state| state.is_empty());
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !is_empty(slot));
        }
        let slot = slots.entry(key).or_insert_with(|| Arc::new(Slot::new(origin, name)));
        Arc::clone(slot)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Sha256, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a file was last asked for here, by its key.
    fn last_use(&self, key: &Sha256) -> Option<Timestamp> {
        self.slots().get(key).and_then(|slot| slot.used())
    }

    /// The turns of an origin's downloads.
    fn queue_of(&self, origin: &str) -> Arc<Semaphore> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(origin.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(DOWNLOADS_MAX)));
        Arc::clone(queue)
    }

    /// The content of a file that is here; none where it turns out not to be. Small ones come from memory.
    async fn content_of(&self, entry: &Arc<record::IndexRecord>) -> Result<Option<Content>, CacheError> {
        let (disk, small, wanted) = (Arc::clone(&self.disk), Arc::clone(&self.small), Arc::clone(entry));
        let opened = blocking(move || object::open(&disk, &small, &wanted)).await;
        let content = opened.map_err(|error| room::failed(&self.disk, error))?;
        Ok(content.map(|content| content.tagged(entry.entity_tag()).metered(Arc::clone(&self.counters.served))))
    }

    /// Removes files until so many octets of the disk are free again. Blocks.
    fn free_disk(&self, octets: u64) -> io::Result<bool> {
        let freed = Shelves::lock(&self.disk)?.free(room::cost(octets), &|key| self.last_use(key))?;
        counts::add(&self.counters.evicted, freed.unwrap_or(0));
        Ok(freed.is_some())
    }
}

/// Does what waits for the disk where that holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}

#[cfg(test)]
mod tests;
