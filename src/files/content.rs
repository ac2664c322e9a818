//! What a client receives: bytes in memory or an open file, with length, time and tag.
//!
//! **Invariant**: the length never changes; a file that shrinks under us gives short reads. Of a file that is still
//! arriving nothing is read before its [`Arrival`] gives it free.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

/// How far a file is that somebody is still writing.
#[async_trait]
pub trait Arrival: Debug + Send + Sync {
    /// Waits until all octets before `end` may be given out, and tells up to where they may be by then.
    ///
    /// # Errors
    /// When they never will be, or not within the time that a client may be kept waiting.
    async fn reach(&self, end: u64) -> io::Result<u64>;
}

/// Something to send; cheap to clone, all clones share the bytes or the open file.
#[derive(Debug, Clone)]
pub struct Content {
    pub(super) body: Body,
    length: u64,
    modified: Option<SystemTime>,
    /// Of a file; content made in memory is tagged by its digest when asked.
    tag: Option<Arc<str>>,
    /// Counts the octets that are read and sent.
    meter: Option<Arc<AtomicU64>>,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Memory(Bytes),
    File(Arc<File>),
    Arriving(Arc<File>, Arc<dyn Arrival>),
}

impl Content {
    /// Content made by ourselves.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { length: bytes.len() as u64, body: Body::Memory(bytes), modified: None, tag: None, meter: None }
    }

    pub(super) fn of_file(file: File, length: u64, modified: Option<SystemTime>, tag: String) -> Self {
        Self { body: Body::File(Arc::new(file)), length, modified, tag: Some(tag.into()), meter: None }
    }

    /// The first `length` octets of a file that is still being written.
    pub fn of_arriving(file: Arc<File>, length: u64, arrival: Arc<dyn Arrival>) -> Self {
        Self { body: Body::Arriving(file, arrival), length, modified: None, tag: None, meter: None }
    }

    /// The same under a tag that names the version wherever its octets lie, and without the time of a file: for what
    /// was fetched from elsewhere.
    pub fn tagged(self, tag: impl Into<Arc<str>>) -> Self {
        Self { tag: Some(tag.into()), modified: None, ..self }
    }

    /// The same; what is read and sent of it is counted.
    pub fn metered(self, meter: Arc<AtomicU64>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    pub(super) fn count(&self, octets: usize) {
        if let Some(meter) = &self.meter {
            meter.fetch_add(octets as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn of_cached(bytes: Bytes, modified: Option<SystemTime>, tag: String) -> Self {
        Self { modified, tag: Some(tag.into()), ..Self::from_bytes(bytes) }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// When the file was last changed; none for content made by ourselves.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// A strong HTTP entity tag (RFC 9110 section 8.8.3) with its quotes.
    ///
    /// A file's is made of size, time in nanoseconds and inode; ours of a digest.
    pub fn etag(&self) -> String {
        match (&self.tag, &self.body) {
            (Some(tag), _) => format!("\"{tag}\""),
            (None, Body::Memory(bytes)) => {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
                let hex: String = digest.as_ref().iter().take(16).map(|b| format!("{b:02x}")).collect();
                format!("\"{hex}\"")
            }
            (None, Body::File(_) | Body::Arriving(..)) => format!("\"{:x}\"", self.length),
        }
    }

    /// The whole content, where it is in memory.
    pub fn as_memory(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Memory(bytes) => Some(bytes),
            Body::File(_) | Body::Arriving(..) => None,
        }
    }

    /// Whether somebody may still be writing it.
    pub fn is_arriving(&self) -> bool {
        matches!(self.body, Body::Arriving(..))
    }

    /// The same; while it arrives nothing of it is given out before all of it may be. For who takes a part that does not
    /// reach the end: its last octets are not held back, so that nothing else would tell it that the file is wrong.
    pub fn when_complete(self) -> Self {
        let body = match self.body {
            Body::Arriving(file, arrival) => Body::Arriving(file, Arc::new(Complete { arrival, length: self.length })),
            body @ (Body::Memory(_) | Body::File(_)) => body,
        };
        Self { body, ..self }
    }

    /// How many of the `length` bytes from `offset` on are there; waits for the first of them while the file arrives.
    ///
    /// # Errors
    /// When it does not arrive.
    pub async fn ready(&self, offset: u64, length: usize) -> io::Result<usize> {
        match &self.body {
            Body::Arriving(_, arrival) if length > 0 => {
                let there = arrival.reach(offset + 1).await?.saturating_sub(offset);
                Ok(length.min(usize::try_from(there).unwrap_or(usize::MAX)))
            }
            Body::Memory(_) | Body::File(_) | Body::Arriving(..) => Ok(length),
        }
    }

    /// Up to `length` bytes from `offset` on; fewer only at the end, or where a file has shrunk. Waits for all of them
    /// while the file arrives.
    ///
    /// # Errors
    /// When the file cannot be read, or the bytes do not arrive.
    pub async fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(left);
        if let Body::Arriving(_, arrival) = &self.body
            && length > 0
        {
            arrival.reach(offset + length as u64).await?;
        }
        let bytes = match &self.body {
            Body::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                bytes.slice(from..from + length)
            }
            Body::File(file) | Body::Arriving(file, _) => {
                let file = Arc::clone(file);
                tokio::task::spawn_blocking(move || read_fully(&file, offset, length))
                    .await
                    .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))?
            }
        };
        self.count(bytes.len());
        Ok(bytes)
    }
}

/// A file that arrives, for those who want to be sure of it.
#[derive(Debug)]
struct Complete {
    arrival: Arc<dyn Arrival>,
    length: u64,
}

#[async_trait]
impl Arrival for Complete {
    async fn reach(&self, _: u64) -> io::Result<u64> {
        self.arrival.reach(self.length).await
    }
}

pub(super) fn read_fully(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = BytesMut::zeroed(length);
    let mut filled = 0;
    while filled < length {
        let rest = buffer.get_mut(filled..).unwrap_or_default();
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(buffer.freeze())
}
