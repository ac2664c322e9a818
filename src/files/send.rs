//! Sending a file from the page cache to a socket without copying it through this process (sendfile), and reading one
//! without leaving the thread where the page cache has it.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::sendfile::sendfile64;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

use super::Content;
use super::content::Body;

impl Content {
    /// Whether it is an open file, so that [`Content::send_to`] can send it.
    pub fn is_file(&self) -> bool {
        matches!(self.body, Body::File(_) | Body::Arriving(..))
    }

    /// Has the disk bring this part of the file into the page cache, and waits until it is there. Content in memory is.
    /// What is still arriving must be [ready](Content::ready).
    ///
    /// # Errors
    /// When the file cannot be read, or has shrunk.
    pub async fn warm(&self, offset: u64, length: usize) -> io::Result<()> {
        match &self.body {
            Body::Memory(_) => Ok(()),
            // Nearly always: a boot image is read by many machines.
            Body::File(file) | Body::Arriving(file, _) if is_cached(file, offset, length) => Ok(()),
            Body::File(file) | Body::Arriving(file, _) => {
                let file = Arc::clone(file);
                tokio::task::spawn_blocking(move || warm(&file, offset, length))
                    .await
                    .unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
            }
        }
    }

    /// Exactly `length` bytes from `offset` on, without leaving the thread when they are in memory.
    ///
    /// # Errors
    /// When the file cannot be read, or has shrunk.
    pub async fn read_exact_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let bytes = match &self.body {
            Body::File(file) if is_cached(file, offset, length) => {
                let bytes = read(file, offset, length)?;
                self.count(bytes.len());
                bytes
            }
            Body::Memory(_) | Body::File(_) | Body::Arriving(..) => self.read_at(offset, length).await?,
        };
        if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Sends up to `length` bytes from `offset` on to a socket; 0 where the file has shrunk. Waits for the disk unless the
    /// part was [warmed](Content::warm) before.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the socket takes nothing now, [`io::ErrorKind::Unsupported`] when the content is
    /// in memory, and what the system says otherwise.
    pub fn send_to(&self, socket: impl AsFd, offset: u64, length: usize) -> io::Result<usize> {
        let (Body::File(file) | Body::Arriving(file, _)) = &self.body else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut offset = i64::try_from(offset).map_err(io::Error::other)?;
        let sent = sendfile64(socket, file, Some(&mut offset), length)?;
        self.count(sent);
        Ok(sent)
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

/// Whether the page cache has both ends of this part; what is between them was mostly read with them.
fn is_cached(file: &File, offset: u64, length: usize) -> bool {
    let Some(last) = (offset + length as u64).checked_sub(1) else { return true };
    [offset, last].into_iter().all(|at| {
        let mut octet = [0];
        preadv2(file, &mut [IoSliceMut::new(&mut octet)], at, ReadWriteFlags::NOWAIT) == Ok(1)
    })
}

fn read(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut octets = Vec::with_capacity(length);
    while octets.len() < length {
        let at = offset + octets.len() as u64;
        match pread(file, spare_capacity(&mut octets), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    octets.truncate(length);
    Ok(octets.into())
}
