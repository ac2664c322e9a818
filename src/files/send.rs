//! Sending a file from the page cache to a socket without copying it through this process (sendfile).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::sendfile::sendfile64;

use super::Content;
use super::content::Body;

impl Content {
    /// Whether it is an open file, so that [`Content::send_to`] can send it.
    pub fn is_file(&self) -> bool {
        matches!(self.body, Body::File(_))
    }

    /// Has the disk bring this part of the file into the page cache, and waits until it is there. Content in memory is.
    ///
    /// # Errors
    /// When the file cannot be read, or has shrunk.
    pub async fn warm(&self, offset: u64, length: usize) -> io::Result<()> {
        match &self.body {
            Body::Memory(_) => Ok(()),
            Body::File(file) => {
                let file = Arc::clone(file);
                tokio::task::spawn_blocking(move || warm(&file, offset, length))
                    .await
                    .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
            }
        }
    }

    /// Sends up to `length` bytes from `offset` on to a socket; 0 where the file has shrunk. Waits for the disk unless the
    /// part was [warmed](Content::warm) before.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the socket takes nothing now, [`io::ErrorKind::Unsupported`] when the content is
    /// in memory, and what the system says otherwise.
    pub fn send_to(&self, socket: impl AsFd, offset: u64, length: usize) -> io::Result<usize> {
        let Body::File(file) = &self.body else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut offset = i64::try_from(offset).map_err(io::Error::other)?;
        Ok(sendfile64(socket, file, Some(&mut offset), length)?)
    }
}

fn warm(file: &File, offset: u64, length: usize) -> io::Result<()> {
    let Some(last) = (offset + length as u64).checked_sub(1) else { return Ok(()) };
    let (from, span) = (i64::try_from(offset).unwrap_or(i64::MAX), i64::try_from(length).unwrap_or(i64::MAX));
    // A hint; file systems that do not know it are none the worse.
    let _ = posix_fadvise(file, from, span, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
    match file.read_at(&mut [0], last)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
