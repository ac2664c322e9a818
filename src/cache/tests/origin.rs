//! An origin in memory that fails as it is told.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::super::*;

/// What becomes of one reading.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing is wrong with it.
    None,
    /// The stream fails after so many octets.
    Break(u64),
    /// The stream ends after so many octets, as if that were all.
    End(u64),
    /// More octets come than there are.
    Long,
    /// The octet at this offset is another.
    Wrong(u64),
    /// Nothing comes any more after so many octets.
    Hang(u64),
    /// The version is not there any more after so many octets.
    Changed(u64),
    /// Reading fails with this.
    Refuse(OriginError),
}

/// One file.
#[derive(Clone)]
pub(super) struct File {
    pub(super) octets: Bytes,
    pub(super) tag: String,
    pub(super) digest: Option<Sha256>,
}

#[derive(Default)]
pub(super) struct Memory {
    pub(super) files: Mutex<HashMap<String, File>>,
    /// Of the readings to come.
    pub(super) faults: Mutex<VecDeque<Fault>>,
    /// All asking fails with this.
    pub(super) down: Mutex<Option<OriginError>>,
    /// Waiting before each piece, and before each description.
    pub(super) delay: Duration,
    pub(super) piece: usize,
    pub(super) describes: AtomicU64,
    pub(super) reads: AtomicU64,
    /// Octets that were sent.
    pub(super) octets: Arc<AtomicU64>,
    /// Readings at the same time, and the most there were.
    pub(super) at_once: Arc<(AtomicU64, AtomicU64)>,
}

/// Octets of which no two pieces are alike.
pub(super) fn octets(length: usize, seed: u8) -> Bytes {
    (0..length).map(|index| (index / 251 + index % 253) as u8 ^ seed).collect::<Vec<u8>>().into()
}

impl Memory {
    pub(super) fn of(files: &[(&str, Bytes)]) -> Memory {
        let origin = Memory { piece: 10_000, ..Memory::default() };
        for (name, octets) in files {
            origin.put(name, octets.clone());
        }
        origin
    }

    /// Puts a version there, with its digest.
    pub(super) fn put(&self, name: &str, octets: Bytes) {
        let digest = Sha256::of(&octets);
        let file = File { octets, tag: format!("tag {digest}"), digest: Some(digest) };
        self.files.lock().unwrap().insert(name.to_owned(), file);
    }

    /// From now on it tells this digest.
    pub(super) fn tell_digest(&self, name: &str, digest: Option<Sha256>) {
        self.files.lock().unwrap().get_mut(name).unwrap().digest = digest;
    }

    pub(super) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    pub(super) fn is_down(&self, error: Option<OriginError>) {
        *self.down.lock().unwrap() = error;
    }

    pub(super) fn sent(&self) -> u64 {
        self.octets.load(Ordering::SeqCst)
    }

    pub(super) fn described(&self) -> u64 {
        self.describes.load(Ordering::SeqCst)
    }

    fn get(&self, name: &FileName, tag: Option<&str>) -> Result<File, OriginError> {
        if let Some(error) = self.down.lock().unwrap().clone() {
            return Err(error);
        }
        let files = self.files.lock().unwrap();
        let file = files.get(name.as_str()).ok_or(OriginError::NotFound)?;
        if tag.is_some_and(|tag| tag != file.tag) { Err(OriginError::Changed) } else { Ok(file.clone()) }
    }
}

/// Counts one reading while it lasts.
struct AtOnce(Arc<(AtomicU64, AtomicU64)>);

impl AtOnce {
    fn begin(count: &Arc<(AtomicU64, AtomicU64)>) -> AtOnce {
        let now = count.0.fetch_add(1, Ordering::SeqCst) + 1;
        count.1.fetch_max(now, Ordering::SeqCst);
        AtOnce(Arc::clone(count))
    }
}

impl Drop for AtOnce {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Origin for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn describe(&self, file: &FileName) -> Result<RemoteFile, OriginError> {
        self.describes.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.delay).await;
        let file = self.get(file, None)?;
        Ok(RemoteFile { length: file.octets.len() as u64, tag: file.tag })
    }

    async fn read(&self, file: &FileName, tag: &str, from: u64) -> Result<Octets, OriginError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        if let Fault::Refuse(error) = fault {
            return Err(error);
        }
        let file = self.get(file, Some(tag))?;
        let mut octets = file.octets.slice(usize::try_from(from).unwrap()..).to_vec();
        let cut = |at: u64| usize::try_from(at.saturating_sub(from)).unwrap();
        let mut end = None;
        match fault {
            Fault::None | Fault::Refuse(_) => {}
            Fault::Break(at) => {
                octets.truncate(cut(at));
                end = Some(Err(OriginError::Unreachable("broken".into())));
            }
            Fault::End(at) => octets.truncate(cut(at)),
            Fault::Long => octets.extend([7; 5]),
            Fault::Wrong(at) => octets.iter_mut().skip(cut(at)).take(1).for_each(|octet| *octet ^= 1),
            Fault::Hang(at) => octets.truncate(cut(at)),
            Fault::Changed(at) => {
                octets.truncate(cut(at));
                end = Some(Err(OriginError::Changed));
            }
        }
        let (delay, sent) = (self.delay, Arc::clone(&self.octets));
        let guard = AtOnce::begin(&self.at_once);
        let pieces: Vec<Bytes> = octets.chunks(self.piece).map(Bytes::copy_from_slice).collect();
        let body = stream::iter(pieces).then(move |piece| {
            sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
            let _ = &guard;
            async move {
                tokio::time::sleep(delay).await;
                Ok(piece)
            }
        });
        let body = body.chain(stream::iter(end));
        Ok(if matches!(fault, Fault::Hang(_)) { body.chain(stream::pending()).boxed() } else { body.boxed() })
    }

    async fn digest(&self, file: &FileName, tag: &str) -> Result<Option<Sha256>, OriginError> {
        Ok(self.get(file, Some(tag))?.digest)
    }
}
