//! The content of one transfer, block by block: from memory at once, from a file by reading ahead.
//!
//! **Invariant**: never waits; what is not there yet is fetched by a task, and the transfer goes on when
//! it has come. Pieces are cut at block boundaries, so a window spans two pieces at most.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::server::Shared;
use super::socket_task::Command;
use crate::files::Content;

/// Size of a piece of a file in octets, when few files are being read ...
const PIECE_MAX: usize = 256 * 1024;
/// ... and when many are.
const PIECE_MIN: usize = 32 * 1024;
/// ... and of a file that is still arriving: a client gives up sooner than a large piece may need.
const PIECE_ARRIVING: usize = 16 * 1024;
/// What all pieces together should not exceed by much.
const PIECES_TOTAL: usize = 64 * 1024 * 1024;

/// Octets from an offset on.
#[derive(Debug, Clone)]
struct Piece {
    offset: u64,
    bytes: Bytes,
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// A piece that a task has read.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) client: SocketAddr,
    pub(super) transfer: u64,
    offset: u64,
    result: io::Result<Bytes>,
}

/// Reads for one transfer.
#[derive(Debug)]
pub(super) struct Reader {
    content: Content,
    blksize: u64,
    /// Octets to fetch at once: a multiple of the block size, and no less than a window.
    piece_size: usize,
    /// In order, without gaps; at most two.
    pieces: Vec<Piece>,
    /// Offset of the piece that is being fetched.
    fetching: Option<u64>,
    /// Blocks that the transfer asked for and that are not there yet.
    waiting: Option<RangeInclusive<u64>>,
    _counted: Option<CountedReader>,
}

/// Counts readers of files, to share memory among them.
#[derive(Debug)]
struct CountedReader(Arc<AtomicUsize>);

impl Drop for CountedReader {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reader {
    pub(super) fn new(content: Content, blksize: u16, windowsize: u16, file_readers: &Arc<AtomicUsize>) -> Self {
        let blksize = usize::from(blksize.max(1));
        let counted = content.as_memory().is_none().then(|| {
            file_readers.fetch_add(1, Ordering::Relaxed);
            CountedReader(Arc::clone(file_readers))
        });
        let readers = file_readers.load(Ordering::Relaxed).max(1);
        let share = match content.is_arriving() {
            true => PIECE_ARRIVING,
            false => (PIECES_TOTAL / 2 / readers).clamp(PIECE_MIN, PIECE_MAX),
        };
        Self {
            content,
            blksize: blksize as u64,
            piece_size: (share / blksize).max(usize::from(windowsize)).max(1) * blksize,
            pieces: Vec::new(),
            fetching: None,
            waiting: None,
            _counted: counted,
        }
    }

    /// The transfer waits for content.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// The octets of these blocks in one or two runs; none if they are not there yet, then
    /// [`Self::take`] gives the blocks back when they are.
    ///
    /// `unacknowledged` is the transfer's first such block: all from there on may be asked for again, also
    /// where `blocks` begin later; what lies before it is forgotten.
    pub(super) fn blocks(
        &mut self,
        blocks: &RangeInclusive<u64>,
        unacknowledged: u64,
    ) -> impl Iterator<Item = (RangeInclusive<u64>, Bytes)> + use<> {
        self.waiting = None;
        let (first, last) = (*blocks.start(), *blocks.end());
        let from = (first.saturating_sub(1)) * self.blksize;
        let to = (last * self.blksize).min(self.content.len());
        let mut runs = [None, None];
        if let Some(bytes) = self.content.as_memory() {
            runs[0] = Some((blocks.clone(), slice(bytes, from, to)));
            return runs.into_iter().flatten();
        }
        let needed = unacknowledged.min(first).saturating_sub(1) * self.blksize;
        self.pieces.retain(|piece| piece.end() > needed);
        let have_from = self.pieces.first().map_or(u64::MAX, |piece| piece.offset);
        let have_to = self.pieces.last().map_or(0, Piece::end);
        if from >= to {
            runs[0] = Some((blocks.clone(), Bytes::new()));
        } else if have_from <= from && to <= have_to {
            let mut first = first;
            for (run, piece) in runs.iter_mut().zip(&self.pieces) {
                let (start, end) = (from.max(piece.offset), to.min(piece.end()));
                if start < end {
                    // The final block is empty where the size is a multiple of the block size.
                    let run_last = if end == to { last } else { end / self.blksize };
                    let bytes = slice(&piece.bytes, start - piece.offset, end - piece.offset);
                    *run = Some((first..=run_last, bytes));
                    first = run_last + 1;
                }
            }
        } else {
            self.waiting = Some(blocks.clone());
        }
        runs.into_iter().flatten()
    }

    /// Fetches the next piece if there is room for it.
    pub(super) fn read_ahead(
        &mut self,
        shared: &Shared,
        transfer: u64,
        client: SocketAddr,
        done: &mpsc::WeakUnboundedSender<Command>,
    ) {
        let Some(done) = done.upgrade() else {
            return;
        };
        let Some(offset) = self.next_fetch() else {
            return;
        };
        let (content, size) = (self.content.clone(), self.piece_size);
        shared.runtime.spawn(async move {
            let result = content.read_at(offset, size).await;
            let _ = done.send(Command::Fetched(Fetched { client, transfer, offset, result }));
        });
    }

    /// The offset of the piece that is to be fetched now.
    fn next_fetch(&mut self) -> Option<u64> {
        if self.content.as_memory().is_some() || self.fetching.is_some() {
            return None;
        }
        let wanted = self.waiting.as_ref().map(|blocks| blocks.start().saturating_sub(1) * self.blksize);
        if wanted.is_some_and(|offset| !self.leads_to(offset)) {
            self.pieces.clear();
        }
        if self.pieces.len() >= 2 {
            return None;
        }
        let offset = self.pieces.last().map(Piece::end).or(wanted).unwrap_or(0);
        self.fetching = Some(offset).filter(|offset| *offset < self.content.len());
        self.fetching
    }

    /// The piece behind those that are there completes a window that begins at `offset`.
    fn leads_to(&self, offset: u64) -> bool {
        match self.pieces.as_slice() {
            [] => true,
            [piece] => (piece.offset..=piece.end()).contains(&offset),
            _ => false,
        }
    }

    /// Takes a fetched piece; gives back the blocks that the transfer waits for.
    pub(super) fn take(&mut self, fetched: Fetched) -> io::Result<Option<RangeInclusive<u64>>> {
        if self.fetching != Some(fetched.offset) {
            return Ok(None);
        }
        self.fetching = None;
        let bytes = fetched.result?;
        let wanted = (self.content.len() - fetched.offset).min(self.piece_size as u64);
        if (bytes.len() as u64) < wanted {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file has become shorter while it was being sent",
            ));
        }
        self.pieces.push(Piece { offset: fetched.offset, bytes });
        Ok(self.waiting.clone())
    }
}

fn slice(bytes: &Bytes, from: u64, to: u64) -> Bytes {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(from).min(at(to))..at(to))
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
