//! A file that arrives, as those see it who read it meanwhile.
//!
//! **Invariant**: the end of the file is given out after the download ended well, and never before.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{CacheError, RemoteFile};
use crate::files::Arrival;

/// So many octets at the end wait for the digest.
pub(super) const HELD_BACK: u64 = 64 * 1024;
/// The longest that a reader waits for a piece, also one far ahead of what is there.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// How far a download is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// So many octets are in the file.
    pub(super) written: u64,
    /// How it ended.
    pub(super) end: Option<Result<(), CacheError>>,
}

/// A download that others read from.
pub(super) struct Download {
    pub(super) version: RemoteFile,
    pub(super) file: Arc<File>,
    /// How many downloads of the file were wrong before this one.
    pub(super) wrong_before: u32,
    progress: watch::Receiver<Progress>,
}

impl Download {
    /// A download into this file, and where its progress is told.
    pub(super) fn new(
        version: RemoteFile,
        file: Arc<File>,
        written: u64,
        wrong_before: u32,
    ) -> (Download, watch::Sender<Progress>) {
        let (sender, progress) = watch::channel(Progress { written, end: None });
        (Download { version, file, wrong_before, progress }, sender)
    }

    /// Whether it may still come to its end: it was not told, and somebody is there to tell it.
    pub(super) fn is_running(&self) -> bool {
        self.progress.borrow().end.is_none() && self.progress.has_changed().is_ok()
    }

    /// So many octets are there.
    pub(super) fn written(&self) -> u64 {
        self.progress.borrow().written
    }

    /// Waits for the end.
    pub(super) async fn ended(&self, progress: super::OnProgress<'_>) -> Result<(), CacheError> {
        let mut watched = self.progress.clone();
        loop {
            let now = watched.borrow_and_update().clone();
            progress(now.written, self.version.length);
            if let Some(end) = now.end {
                return end;
            }
            watched.changed().await.map_err(|_| CacheError::Interrupted)?;
        }
    }

    /// Up to where octets may be given out.
    fn free(&self, progress: &Progress) -> u64 {
        match progress.end {
            Some(_) => self.version.length,
            None => progress.written.min(self.version.length.saturating_sub(HELD_BACK)),
        }
    }
}

#[async_trait]
impl Arrival for Download {
    async fn reach(&self, end: u64) -> io::Result<u64> {
        let mut watched = self.progress.clone();
        let arrived = watched.wait_for(|now| now.end.is_some() || self.free(now) >= end);
        let now = tokio::time::timeout(WAIT_MAX, arrived)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the file arrives too slowly"))?
            .map_err(|_| io::Error::other(CacheError::Interrupted))?
            .clone();
        match &now.end {
            Some(Err(error)) => Err(io::Error::other(error.clone())),
            Some(Ok(())) | None => Ok(self.free(&now)),
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("version", &self.version).field("written", &self.written()).finish()
    }
}
