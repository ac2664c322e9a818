//! The body of a file: read ahead piece by piece, or sent by the kernel.
//!
//! **Invariant**: exactly as many bytes as the head announced, else the connection ends: a client never takes a part
//! for the whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use http_body::{Body, Frame, SizeHint};

use super::socket::{FileQueue, Placeholder};
use crate::files::Content;
use crate::observe::Counter;

/// How much is read at once where the bytes pass through this process (TLS, and files kept in memory).
const READ_LEN: usize = 256 * 1024;

/// Called when the last byte was handed to the connection.
pub(super) type Finished = Box<dyn FnOnce() + Send>;

/// A part of a file, or all of it.
pub(super) struct FileBody {
    content: Content,
    /// Where the next piece begins that nobody reads yet.
    next: u64,
    /// What the client has still to get, in bytes.
    left: u64,
    ahead: Option<MaybeDone<BoxFuture<'static, io::Result<Bytes>>>>,
    ahead_from: u64,
    queue: Option<FileQueue>,
    sent: Counter,
    finished: Option<Finished>,
}

impl FileBody {
    /// `length` bytes of the content from `offset` on. With a queue the kernel sends a file that is not in memory.
    pub(super) fn new(
        content: Content,
        offset: u64,
        length: u64,
        queue: Option<FileQueue>,
        sent: Counter,
        finished: Option<Finished>,
    ) -> FileBody {
        let queue = queue.filter(|_| content.is_file());
        FileBody { content, next: offset, left: length, ahead: None, ahead_from: offset, queue, sent, finished }
    }

    /// Begins to read the next piece, if there is one.
    fn begin(&mut self, length: u64) {
        let piece_max = if self.queue.is_some() { Placeholder::LEN } else { READ_LEN };
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(piece_max);
        if length == 0 {
            return;
        }
        let (content, offset, sent_by_kernel) = (self.content.clone(), self.next, self.queue.is_some());
        let work = async move {
            if sent_by_kernel {
                content.warm(offset, length).await?;
                // Stands for the length only; replaced when it is sent.
                return Ok(Bytes::new());
            }
            content.read_exact_at(offset, length).await
        };
        self.ahead_from = offset;
        self.next += length as u64;
        self.ahead = Some(maybe_done(work.boxed()));
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        if this.ahead.is_none() {
            this.begin(this.left);
        }
        let Some(ahead) = &mut this.ahead else { return Poll::Ready(None) };
        ready!(ahead.poll_unpin(cx));
        let Some(read) = Pin::new(ahead).take_output() else {
            return Poll::Ready(Some(Err(io::Error::other("a piece was read twice"))));
        };
        let (offset, length) = (this.ahead_from, this.next - this.ahead_from);
        let bytes = match (read, &this.queue) {
            (Err(error), _) => {
                this.left = 0;
                return Poll::Ready(Some(Err(error)));
            }
            (Ok(_), Some(queue)) => {
                queue.push(this.content.clone(), offset, usize::try_from(length).unwrap_or(usize::MAX))
            }
            (Ok(bytes), None) => bytes,
        };
        this.left -= length.min(this.left);
        this.sent.inc_by(length);
        this.ahead = None;
        this.begin(this.left);
        if let Some(ahead) = &mut this.ahead {
            // Starts the reading; what it comes to is asked for with the next frame.
            let _ = ahead.poll_unpin(cx);
        }
        if this.left == 0
            && let Some(finished) = this.finished.take()
        {
            finished();
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
