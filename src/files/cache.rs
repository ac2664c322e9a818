//! Small files in memory, once for all clients.
//!
//! **Invariant**: the key is what the file *is* (device, inode, size, times), so a changed file is never
//! served from here; the total is bounded.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use moka::sync::Cache;

use super::content::{Content, read_fully};

/// Larger files are read piece by piece.
const FILE_MAX: u64 = 8 * 1024 * 1024;
/// All files together.
const TOTAL_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn tag(&self) -> String {
        let nanoseconds = i128::from(self.modified.0) * 1_000_000_000 + i128::from(self.modified.1);
        format!("{:x}-{:x}-{:x}", self.size, nanoseconds, self.inode)
    }
}

/// Small files that were read once.
#[derive(Debug)]
pub struct FileCache(Cache<Identity, Bytes>);

impl Default for FileCache {
    fn default() -> Self {
        Self::new()
    }
}

impl FileCache {
    /// Nothing is in it yet.
    pub fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(TOTAL_MAX)
                // An entry costs at least a block, so that a million tiny files are bounded too.
                .weigher(|_, bytes: &Bytes| u32::try_from(bytes.len().max(4096)).unwrap_or(u32::MAX))
                .build(),
        )
    }

    /// The content of an open file; small ones come from memory. Blocks; of many at once only one reads.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn content_of(&self, file: File) -> io::Result<Content> {
        let metadata = file.metadata()?;
        let identity = Identity::of(&metadata);
        let modified = metadata.modified().ok();
        if identity.size > FILE_MAX {
            return Ok(Content::of_file(file, identity.size, modified, identity.tag()));
        }
        let read = self.0.try_get_with(identity, || read_whole(&file, identity));
        match read {
            Ok(bytes) => Ok(Content::of_cached(bytes, modified, identity.tag())),
            // Being written to just now: served as it is, remembered when it has settled.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                let length = usize::try_from(file.metadata()?.size().min(FILE_MAX)).unwrap_or(0);
                Ok(Content::from_bytes(read_fully(&file, 0, length)?))
            }
            Err(error) => Err(io::Error::new(error.kind(), error)),
        }
    }
}

fn read_whole(file: &File, identity: Identity) -> io::Result<Bytes> {
    let bytes = read_fully(file, 0, usize::try_from(identity.size).unwrap_or(0))?;
    let after = Identity::of(&file.metadata()?);
    if after != identity || bytes.len() as u64 != identity.size {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    Ok(bytes)
}
