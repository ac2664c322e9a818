//! Files that clients may fetch: the one place where a name from the network becomes a path.
//!
//! * [`FileRoot`] opens a [`FileName`] beneath one directory: the kernel resolves it with
//!   `RESOLVE_BENEATH`, so that no `..`, no absolute name and no symbolic link leads out, whoever changes
//!   the directory meanwhile. Only regular files are opened.
//! * A name that does not exist as written is looked up again without regard to case, part by part:
//!   Windows boot code asks for `\Boot\BCD`, `/boot/bcd` and `BOOT\bcd` and means one file.
//! * [`Content`] is what is sent, from memory or from a file, also from one that is still arriving.
//! * Small files are kept in memory, once for all clients; every open compares size, time and inode, so
//!   that a file that was replaced is read anew.
//!
//! **Invariant**: nothing outside the root is ever opened, and no runtime thread waits for a disk.

mod cache;
mod content;
mod lookup;
mod send;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use cache::FileCache;
pub use content::{Arrival, Content};

use crate::boot::FileName;
use lookup::Directory;

/// A directory whose files clients may read.
#[derive(Debug, Clone)]
pub struct FileRoot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    directory: Directory,
    cache: FileCache,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no file of that name.
    #[error("no such file")]
    NotFound,
    /// There is something, but not for clients: no regular file, outside the root, or not readable by us.
    #[error("not a file that is served (it must be a regular file beneath the root, readable by the server)")]
    Denied,
    /// The system failed.
    #[error("cannot read the file")]
    Io(#[source] io::Error),
    /// It comes from another server, and cannot be had at present; asking again may help.
    #[error("cannot be had at present: {0}")]
    NotNow(String),
    /// It comes from another server, and cannot be had until somebody does something.
    #[error("cannot be had: {0}")]
    NotGiven(String),
}

impl OpenError {
    /// What a client is told: nothing of where a file comes from, and why it does not.
    pub fn in_public(&self) -> String {
        match self {
            OpenError::NotNow(_) => "its origin does not give it at present; ask again".into(),
            OpenError::NotGiven(_) => "its origin does not give it".into(),
            error => error.to_string(),
        }
    }
}

impl FileRoot {
    /// Serves the files beneath `directory`, which must exist.
    pub fn new(directory: impl AsRef<Path>) -> io::Result<Self> {
        let path = directory.as_ref().canonicalize()?;
        Ok(Self(Arc::new(Inner { directory: Directory::open(&path)?, path, cache: FileCache::new() })))
    }

    /// The directory, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Opens the file of this name.
    pub async fn open(&self, name: &FileName) -> Result<Content, OpenError> {
        let (inner, name) = (Arc::clone(&self.0), name.clone());
        tokio::task::spawn_blocking(move || {
            let file = inner.directory.find(&name)?;
            inner.cache.content_of(file).map_err(OpenError::from)
        })
        .await
        .unwrap_or_else(|stopped| Err(OpenError::Io(io::Error::other(stopped))))
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        use nix::libc;
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG) => Self::NotFound,
            // EXDEV: the name leads out of the root. ELOOP: too many symbolic links.
            Some(libc::EXDEV | libc::ELOOP | libc::EACCES | libc::EPERM | libc::EISDIR) => Self::Denied,
            // ENXIO: a socket, or a pipe without reader.
            Some(libc::ENXIO | libc::ENODEV) => Self::Denied,
            _ => Self::Io(error),
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "arrival_tests.rs"]
pub(crate) mod arrival_tests;
