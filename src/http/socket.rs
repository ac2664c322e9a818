//! A connection's socket: writes that must make progress, and files that never pass through this process.
//!
//! hyper speaks HTTP, but knows bytes only. A body that is a file gives it slices of a *placeholder*: memory that
//! nobody reads or writes, of the length that is to be sent. It also puts the piece of the file into the connection's
//! [`FileQueue`]. hyper frames the slices as any others, and hands them down in vectored writes without looking into
//! them; here, where a slice lies within the placeholder, the next piece of the queue is sent in its place by
//! sendfile(2). So the head, keep-alive, pipelining and the length stay hyper's work.
//!
//! **Invariant**: pieces are sent in the order of their slices. If hyper ever copied a slice instead of handing it
//! down, a piece would be left over when it flushes: that ends the connection, and a test compares every byte.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::files::Content;

/// The memory that stands for file content; one for all connections, and never resident.
#[derive(Clone)]
pub(super) struct Placeholder(Bytes);

impl Placeholder {
    /// The longest piece of a file, in bytes. Each waits for the disk once, where it is not cached.
    pub(super) const LEN: usize = 2 * 1024 * 1024;

    pub(super) fn new() -> Placeholder {
        // Zeroed memory of this size is mapped, not written.
        Placeholder(Bytes::from(vec![0; Self::LEN]))
    }

    fn holds(&self, slice: &[u8]) -> bool {
        self.0.as_ptr_range().contains(&slice.as_ptr())
    }
}

/// A piece of a file that is to be sent next.
struct Piece {
    content: Content,
    offset: u64,
    left: usize,
}

/// The pieces of files that one connection has still to send.
#[derive(Clone)]
pub(super) struct FileQueue {
    placeholder: Placeholder,
    pieces: Arc<Mutex<VecDeque<Piece>>>,
}

impl FileQueue {
    fn new(placeholder: Placeholder) -> FileQueue {
        FileQueue { placeholder, pieces: Arc::default() }
    }

    /// Has this part of a file sent where the returned bytes are written. At most [`Placeholder::LEN`] bytes.
    pub(super) fn push(&self, content: Content, offset: u64, length: usize) -> Bytes {
        let slice = self.placeholder.0.slice(..length.min(Placeholder::LEN));
        self.lock().push_back(Piece { content, offset, left: slice.len() });
        slice
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Piece>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, stream: &TcpStream, length: usize) -> io::Result<usize> {
        let mut pieces = self.lock();
        let piece = pieces.front_mut().ok_or_else(|| io::Error::other("no file content is queued"))?;
        let sent = piece.content.send_to(stream, piece.offset, length.min(piece.left))?;
        if sent == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.offset += sent as u64;
        piece.left -= sent.min(piece.left);
        if piece.left == 0 {
            pieces.pop_front();
        }
        Ok(sent)
    }
}

/// A TCP connection whose peer must keep taking what is written to it.
pub(super) struct Socket {
    stream: TcpStream,
    files: FileQueue,
    stall_max: Duration,
    stall: Pin<Box<Sleep>>,
    stalled: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, placeholder: Placeholder, stall_max: Duration) -> Socket {
        let stall = Box::pin(tokio::time::sleep(stall_max));
        Socket { stream, files: FileQueue::new(placeholder), stall_max, stall, stalled: false }
    }

    pub(super) fn files(&self) -> FileQueue {
        self.files.clone()
    }

    /// Passes on what a write came to; one that makes no progress for too long is an error.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        if !self.stalled {
            self.stalled = true;
            self.stall.as_mut().reset(Instant::now() + self.stall_max);
        }
        ready!(self.stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_send(&self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_io(Interest::WRITABLE, || self.files.send(&self.stream, length)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self.files.placeholder.holds(bytes) {
            true => self.poll_send(cx, bytes.len()),
            false => Pin::new(&mut self.stream).poll_write(cx, bytes),
        };
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = slices.split_at(slices.iter().take_while(|slice| slice.is_empty()).count()).1;
        let plain = slices.iter().take_while(|slice| !self.files.placeholder.holds(slice)).count();
        let written = match (slices.get(..plain), slices.first()) {
            (Some(bytes @ [_, ..]), _) => Pin::new(&mut self.stream).poll_write_vectored(cx, bytes),
            (_, Some(file)) => self.poll_send(cx, file.len()),
            (_, None) => Poll::Ready(Ok(0)),
        };
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes when all it had is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.files.lock().is_empty() {
            return Poll::Ready(Err(io::Error::other("file content was left behind")));
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
