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

/// A piece that is being read, and its length.
type Reading = BoxFuture<'static, io::Result<(Bytes, usize)>>;

/// A part of a file, or all of it.
pub(super) struct FileBody {
    content: Content,
    /// Where the next piece begins.
    next: u64,
    /// What the client has still to get, in bytes.
    left: u64,
    /// The next piece, with its length; that of a file that is still arriving is known when it is there.
    ahead: Option<MaybeDone<Reading>>,
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
        FileBody { content, next: offset, left: length, ahead: None, queue, sent, finished }
    }

    /// Begins to read the next piece, if there is one.
    fn begin(&mut self) {
        let piece_max = if self.queue.is_some() { Placeholder::LEN } else { READ_LEN };
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece_max);
        if length == 0 {
            return;
        }
        let (content, offset, sent_by_kernel) = (self.content.clone(), self.next, self.queue.is_some());
        let work = async move {
            let length = content.ready(offset, length).await?;
            if sent_by_kernel {
                content.warm(offset, length).await?;
                // Stands for the length only; replaced when it is sent.
                return Ok((Bytes::new(), length));
            }
            Ok((content.read_exact_at(offset, length).await?, length))
        };
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
            this.begin();
        }
        let Some(ahead) = &mut this.ahead else { return Poll::Ready(None) };
        ready!(ahead.poll_unpin(cx));
        let Some(read) = Pin::new(ahead).take_output() else {
            return Poll::Ready(Some(Err(io::Error::other("a piece was read twice"))));
        };
        let (bytes, length) = match read {
            Ok((bytes, length)) => (bytes, length),
            Err(error) => {
                this.left = 0;
                return Poll::Ready(Some(Err(error)));
            }
        };
        let bytes = match &this.queue {
            Some(queue) => queue.push(this.content.clone(), this.next, length),
            None => bytes,
        };
        let length = length as u64;
        this.next += length;
        this.left -= length.min(this.left);
        this.sent.inc_by(length);
        this.ahead = None;
        this.begin();
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
