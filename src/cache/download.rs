//! One download: from what is there to the end, through breaks, and verified.
//!
//! **Invariant**: octets are only ever added behind those that are there, in one version's order, so that readers may
//! have what is written while the rest comes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::arriving::Progress;
use super::counts::{add, count};
use super::record::{IndexRecord, PartialRecord};
use super::serve::Source;
use super::slot::Slot;
use super::{CacheError, Inner, Octets, OriginError, Sha256, blocking, partial, room};

/// A download breaks off after so many attempts one after the other that brought next to nothing ...
const FAILURES_MAX: u32 = 6;
/// ... where so many octets are more than that, ...
const PROGRESS_MIN: u64 = 64 * 1024;
/// ... and after so many in all.
const ATTEMPTS_MAX: u32 = 500;
/// Waiting before the second attempt; doubled each time.
const BACKOFF: Duration = Duration::from_millis(500);
/// An origin that sends nothing for so long is asked anew.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// An origin that needs longer than this for [`PROGRESS_MIN`] octets is asked anew: it must not keep a turn, and those who
/// wait for the file, with one octet now and then.
const TRICKLE_MAX: Duration = Duration::from_secs(300);
/// The longest that an origin may need for a digest after all octets came.
const DIGEST_MAX: Duration = Duration::from_secs(600);
/// Octets that are written at once.
const BLOCK_LEN: usize = 256 * 1024;
/// The longest that octets wait for others to be written with.
const BLOCK_AGE_MAX: Duration = Duration::from_millis(200);
/// How much of a download a power cut costs at most.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How often is looked how far another process is.
const POLL: Duration = Duration::from_millis(100);

/// What a download needs to know.
pub(super) struct Job {
    pub(super) inner: Arc<Inner>,
    pub(super) source: Source,
    pub(super) slot: Arc<Slot>,
    pub(super) file: Arc<File>,
    pub(super) record: PartialRecord,
    /// So many octets are there already.
    pub(super) good: u64,
    pub(super) is_ours: bool,
    pub(super) progress: watch::Sender<Progress>,
}

/// The octets that were written, and what their digest is so far.
struct Written {
    position: u64,
    digest: Context,
}

impl Job {
    /// Brings the file to its end. What is there when it breaks off can be resumed, unless the error is that it is wrong.
    /// Gives no record where a newer version arrives meanwhile: then this one is for its readers only.
    pub(super) async fn run(&mut self) -> Result<Option<IndexRecord>, CacheError> {
        if !self.is_ours
            && let Some(entry) = self.follow().await?
        {
            return Ok(Some(entry));
        }
        let result = self.fetch().await;
        let is_of_use = match &result {
            Ok(Some(_)) => return result,
            Ok(None) => false,
            Err(error) => !error.is_wrong() && !matches!(error, CacheError::DiskFull),
        };
        let (inner, file, record) = (Arc::clone(&self.inner), Arc::clone(&self.file), self.record.clone());
        let let_go = move || match is_of_use {
            true => file.unlock(),
            false => partial::discard(&inner.disk, &file, &record),
        };
        if let Err(error) = blocking(let_go).await {
            warn!(origin = self.record.origin, file = %self.record.name, %error, "cannot clean up a download");
        }
        result
    }

    async fn fetch(&mut self) -> Result<Option<IndexRecord>, CacheError> {
        let queue = self.inner.queue_of(&self.record.origin);
        let _turn = queue.acquire().await.map_err(|_| CacheError::Interrupted)?;
        let (origin, file, length) = (&self.record.origin, &self.record.name, self.record.length);
        info!(%origin, %file, octets = length, present = self.good, "download begins");
        let began = Instant::now();
        let expected = self.ask_digest();
        let mut written = self.read_again().await?;
        self.read_all(&mut written).await?;
        let found = Sha256::from_digest(&written.digest.finish());
        let expected = timeout(DIGEST_MAX, expected)
            .await
            .unwrap_or_else(|_| Ok(Err(OriginError::Unreachable("it does not tell the digest in time".into()))));
        let expected = expected.map_err(|_| CacheError::Interrupted)?.map_err(|error| self.said(error))?;
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            count(&self.inner.counters.failed_digests);
            let error = CacheError::Digest { origin: self.record.origin.clone(), expected, found };
            tracing::error!(origin = self.record.origin, file = %self.record.name, %error, "download is dropped");
            return Err(error);
        }
        let current = self.slot.state.lock().await.download.as_ref().map(|download| download.version.clone());
        if current.is_some_and(|current| current != self.record.version()) {
            return Ok(None);
        }
        let (inner, file, record) = (Arc::clone(&self.inner), Arc::clone(&self.file), self.record.clone());
        let publish = move || partial::publish(&inner.disk, &file, &record, found, expected.is_some());
        let entry = blocking(publish).await.map_err(|error| room::failed(&self.inner.disk, error))?;
        let seconds = began.elapsed().as_secs_f64();
        info!(
            origin = entry.origin, file = %entry.name, octets = entry.length, seconds, verified = entry.verified,
            "download is complete"
        );
        Ok(Some(entry))
    }

    /// Asks for the digest while the octets come; again where the origin was not there.
    fn ask_digest(&self) -> AbortOnDropHandle<Result<Option<Sha256>, OriginError>> {
        let (origin, name, tag) = (Arc::clone(&self.source.origin), self.record.name.clone(), self.record.tag.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut failures = 0;
            loop {
                match origin.digest(&name, &tag).await {
                    Err(OriginError::Unreachable(_)) if failures + 1 < FAILURES_MAX => {
                        tokio::time::sleep(BACKOFF * 2_u32.pow(failures)).await;
                        failures += 1;
                    }
                    told => return told,
                }
            }
        }))
    }

    /// Computes the digest of what is there from an earlier time.
    async fn read_again(&self) -> Result<Written, CacheError> {
        let mut written = Written { position: 0, digest: Context::new(&SHA256) };
        while written.position < self.good {
            let (file, from) = (Arc::clone(&self.file), written.position);
            let length = usize::try_from(self.good - from).unwrap_or(usize::MAX).min(4 * BLOCK_LEN);
            let read = move || {
                let mut octets = BytesMut::zeroed(length);
                file.read_exact_at(&mut octets, from).map(|()| octets)
            };
            let octets = blocking(read).await.map_err(|error| room::failed(&self.inner.disk, error))?;
            written.digest.update(&octets);
            written.position += octets.len() as u64;
        }
        Ok(written)
    }

    /// Reads from the origin to the end, and goes on after breaks.
    async fn read_all(&mut self, written: &mut Written) -> Result<(), CacheError> {
        let (mut failures, mut attempts) = (0, 0);
        while written.position < self.record.length {
            let before = written.position;
            let error = match self.read_on(written).await {
                Ok(()) => break,
                Err(CacheError::Origin { error: OriginError::Unreachable(reason), .. }) => reason,
                Err(error) => return Err(error),
            };
            failures = if written.position - before < PROGRESS_MIN { failures + 1 } else { 1 };
            attempts += 1;
            debug!(origin = self.record.origin, file = %self.record.name, position = written.position, error, "download broke off");
            if failures >= FAILURES_MAX || attempts >= ATTEMPTS_MAX {
                return Err(self.said(OriginError::Unreachable(error)));
            }
            tokio::time::sleep(BACKOFF * 2_u32.pow(failures - 1)).await;
        }
        Ok(())
    }

    /// Reads from where the file ends until the stream does.
    async fn read_on(&mut self, written: &mut Written) -> Result<(), CacheError> {
        let (name, tag, length) = (&self.record.name, &self.record.tag, self.record.length);
        let asked = timeout(SILENCE_MAX, self.source.origin.read(name, tag, written.position)).await;
        let mut stream = asked.unwrap_or_else(|_| Err(silent())).map_err(|error| self.said(error))?;
        let (mut block, mut since, mut kept) = (BytesMut::new(), Instant::now(), Instant::now());
        // When so many octets were there, and how long they waited here since.
        let (mut mark, mut marked, mut held_back) = (written.position, Instant::now(), Duration::ZERO);
        let end = loop {
            let is_all = written.position + block.len() as u64 == length;
            let octets = match next(&mut stream, block.is_empty() && !is_all).await {
                Some(Some(Ok(octets))) => octets,
                Some(Some(Err(error))) => break Err(error),
                Some(None) => break Ok(()),
                None if is_all => break Ok(()),
                // Nothing comes at present: what came is written.
                None => {
                    self.write(written, &mut block).await?;
                    continue;
                }
            };
            add(&self.inner.counters.fetched, octets.len() as u64);
            if written.position + (block.len() + octets.len()) as u64 > length {
                return Err(CacheError::Length { origin: self.record.origin.clone(), length });
            }
            if block.is_empty() {
                since = Instant::now();
            }
            block.extend_from_slice(&octets);
            if block.len() >= BLOCK_LEN || since.elapsed() >= BLOCK_AGE_MAX {
                self.write(written, &mut block).await?;
                if kept.elapsed() >= KEEP_EVERY {
                    self.keep(written.position).await?;
                    kept = Instant::now();
                }
            }
            let before = Instant::now();
            self.source.pace.take(octets.len() as u64).await;
            held_back += before.elapsed();
            let position = written.position + block.len() as u64;
            if position - mark >= PROGRESS_MIN {
                (mark, marked, held_back) = (position, Instant::now(), Duration::ZERO);
            } else if marked.elapsed().saturating_sub(held_back) > TRICKLE_MAX && position < length {
                break Err(trickle());
            }
        };
        self.write(written, &mut block).await?;
        match end {
            // All is there, whatever became of the connection.
            _ if written.position == length => Ok(()),
            Err(error) => Err(self.said(error)),
            Ok(()) => {
                let text = format!("the connection ended after {} of {length} octets", written.position);
                Err(self.said(OriginError::Unreachable(text)))
            }
        }
    }

    /// Puts a block behind what is there, and tells the readers. Where the disk is full room is made once.
    async fn write(&self, written: &mut Written, block: &mut BytesMut) -> Result<(), CacheError> {
        if block.is_empty() {
            return Ok(());
        }
        let (octets, from) = (block.split().freeze(), written.position);
        let mut digest = std::mem::replace(&mut written.digest, Context::new(&SHA256));
        let (inner, file, left) = (Arc::clone(&self.inner), Arc::clone(&self.file), self.record.length - from);
        let write = move || -> io::Result<(Context, Bytes)> {
            if let Err(error) = file.write_all_at(&octets, from) {
                if error.kind() != io::ErrorKind::StorageFull || !inner.free_disk(left)? {
                    return Err(error);
                }
                file.write_all_at(&octets, from)?;
            }
            digest.update(&octets);
            Ok((digest, octets))
        };
        let (digest, octets) = blocking(write).await.map_err(|error| room::failed(&self.inner.disk, error))?;
        written.digest = digest;
        written.position += octets.len() as u64;
        self.progress.send_modify(|now| now.written = written.position);
        Ok(())
    }

    async fn keep(&mut self, position: u64) -> Result<(), CacheError> {
        let (inner, file, mut record) = (Arc::clone(&self.inner), Arc::clone(&self.file), self.record.clone());
        let keep = move || partial::keep(&inner.disk, &file, &mut record, position).map(|()| record);
        self.record = blocking(keep).await.map_err(|error| room::failed(&self.inner.disk, error))?;
        Ok(())
    }

    /// Watches how far another process is; gives none when it gave up, and this one goes on.
    async fn follow(&mut self) -> Result<Option<IndexRecord>, CacheError> {
        debug!(origin = self.record.origin, file = %self.record.name, "another process fetches the file");
        loop {
            let (inner, file, record) = (Arc::clone(&self.inner), Arc::clone(&self.file), self.record.clone());
            let look = move || partial::look(&inner.disk, &file, &record);
            match blocking(look).await.map_err(|error| room::failed(&self.inner.disk, error))? {
                partial::Followed::Arriving(written) => self.progress.send_modify(|now| now.written = written),
                partial::Followed::Complete(entry) => return Ok(Some(entry)),
                partial::Followed::Gone => return Err(CacheError::Interrupted),
                partial::Followed::Ours(record, good) => {
                    (self.record, self.good, self.is_ours) = (record, good, true);
                    self.progress.send_modify(|now| now.written = now.written.max(good));
                    return Ok(None);
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn said(&self, error: OriginError) -> CacheError {
        CacheError::Origin { origin: self.record.origin.clone(), error }
    }
}

/// What the stream brings next; none when octets wait to be written and nothing comes at present.
async fn next(stream: &mut Octets, is_idle: bool) -> Option<Option<Result<Bytes, OriginError>>> {
    match is_idle {
        true => Some(timeout(SILENCE_MAX, stream.next()).await.unwrap_or_else(|_| Some(Err(silent())))),
        false => timeout(BLOCK_AGE_MAX, stream.next()).await.ok(),
    }
}

fn trickle() -> OriginError {
    let (octets, seconds) = (PROGRESS_MIN, TRICKLE_MAX.as_secs());
    OriginError::Unreachable(format!("it sent less than {octets} octets in {seconds} seconds"))
}

fn silent() -> OriginError {
    OriginError::Unreachable(format!("it sent nothing for {} seconds", SILENCE_MAX.as_secs()))
}
