//! What a client receives: bytes in memory or an open file, with length, time and tag.
//!
//! **Invariant**: the length never changes; a file that shrinks under us gives short reads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};

/// Something to send; cheap to clone, all clones share the bytes or the open file.
#[derive(Debug, Clone)]
pub struct Content {
    pub(super) body: Body,
    length: u64,
    modified: Option<SystemTime>,
    /// Of a file; content made in memory is tagged by its digest when asked.
    tag: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Memory(Bytes),
    File(Arc<File>),
}

impl Content {
    /// Content made by ourselves.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { length: bytes.len() as u64, body: Body::Memory(bytes), modified: None, tag: None }
    }

    pub(super) fn of_file(file: File, length: u64, modified: Option<SystemTime>, tag: String) -> Self {
        Self { body: Body::File(Arc::new(file)), length, modified, tag: Some(tag.into()) }
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
            (None, Body::File(_)) => format!("\"{:x}\"", self.length),
        }
    }

    /// The whole content, where it is in memory.
    pub fn as_memory(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Memory(bytes) => Some(bytes),
            Body::File(_) => None,
        }
    }

    /// Up to `length` bytes from `offset` on; fewer only at the end, or where a file has shrunk.
    pub async fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(left);
        match &self.body {
            Body::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(from..from + length))
            }
            Body::File(file) => {
                let file = Arc::clone(file);
                tokio::task::spawn_blocking(move || read_fully(&file, offset, length))
                    .await
                    .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
            }
        }
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
