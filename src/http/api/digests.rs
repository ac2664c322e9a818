//! Digests of files, computed once for all who ask.
//!
//! **Invariant**: a digest is that of the version with the tag that was asked for: the file is looked at again when all
//! of it was read.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::header::IF_MATCH;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::super::files::matches;
use super::message::answer;
use super::refusal::Refusal;
use super::{ApiState, Connection, files};
use crate::api::Digest;
use crate::boot::FileName;
use crate::cache::Sha256;
use crate::files::Content;

/// Files that are read at a time: each keeps a processor busy.
const AT_A_TIME_MAX: usize = 2;
/// Files that wait for it or arrive; each is open. They go on without who asked, so that connections do not bound them.
const WAITING_MAX: usize = 256;
/// How much is read at once, in octets.
const PIECE_LEN: usize = 4 * 1024 * 1024;
/// Digests that are remembered.
const REMEMBERED_MAX: u64 = 10_000;
/// For so long, when nobody asks for one.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

type Computation = Shared<BoxFuture<'static, Result<Digest, Refusal>>>;

/// The digests that were asked for, done and under way. One under way goes on when who asked goes away.
pub(super) struct Digests {
    known: moka::sync::Cache<(FileName, String), Computation>,
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Digests {
    fn default() -> Self {
        let known = moka::sync::Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(REMEMBERED_FOR).build();
        let [places, waiting] = [AT_A_TIME_MAX, WAITING_MAX].map(|max| Arc::new(Semaphore::new(max)));
        Digests { known, places, waiting }
    }
}

/// The digest of the version with the tag in `If-Match`.
pub(super) async fn digest(
    State(state): State<Arc<ApiState>>,
    Extension(via): Extension<Connection>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let site = state.visitors.who(&via, request.headers()).await?;
    let _place = state.transfers.take(&site).await?;
    let name = files::named(&name)?;
    let wanted = request.headers().get(IF_MATCH).ok_or(Refusal::WhichVersion)?;
    let content = state.open(&name).await?;
    let tag = content.etag();
    if !matches(wanted.to_str().unwrap_or_default(), &tag, false) {
        return Err(Refusal::Changed);
    }
    let key = (name, tag);
    let (of, (name, tag)) = (Arc::downgrade(&state), key.clone());
    let still = async move {
        let state = of.upgrade().ok_or(Refusal::Changed)?;
        if state.open(&name).await?.etag() == tag { Ok(()) } else { Err(Refusal::Changed) }
    };
    let computed = state.digests.computed(key.clone(), content, still).await;
    if computed.is_err() {
        state.digests.known.invalidate(&key);
    }
    Ok(answer(&computed?))
}

impl Digests {
    /// The digest of this content, whose version is the one asked for as long as `still` says so once it was read.
    fn computed(
        &self,
        key: (FileName, String),
        content: Content,
        still: impl Future<Output = Result<(), Refusal>> + Send + 'static,
    ) -> Computation {
        self.known.get_with(key.clone(), || match Arc::clone(&self.waiting).try_acquire_owned() {
            Ok(waiting) => begin((waiting, Arc::clone(&self.places)), key.0, content, still),
            Err(_) => std::future::ready(Err(Refusal::Busy)).boxed().shared(),
        })
    }
}

/// Begins to compute a digest, in a task of its own: it ends with the one who keeps the computation.
fn begin(
    (waiting, places): (OwnedSemaphorePermit, Arc<Semaphore>),
    name: FileName,
    content: Content,
    still: impl Future<Output = Result<(), Refusal>> + Send + 'static,
) -> Computation {
    let broken = Refusal::Unreadable(name.to_string());
    let task = tokio::spawn(async move {
        let _waiting = waiting;
        let unreadable = || Refusal::Unreadable(name.to_string());
        arrived(&content).await.map_err(|_| unreadable())?;
        let _place = places.acquire_owned().await.map_err(|_| unreadable())?;
        let digest = read(&content).await.map_err(|_| unreadable())?;
        still.await?;
        Ok(Digest { sha256: digest.to_string(), length: content.len() })
    });
    AbortOnDropHandle::new(task).map(move |ended| ended.unwrap_or(Err(broken))).boxed().shared()
}

/// Waits, without a place, for what is still arriving; piece by piece, as each has its limit.
async fn arrived(content: &Content) -> std::io::Result<()> {
    let mut offset = 0;
    while offset < content.len() {
        content.ready(offset, PIECE_LEN).await?;
        offset += PIECE_LEN as u64;
    }
    Ok(())
}

/// Reads all of a file.
async fn read(content: &Content) -> std::io::Result<Sha256> {
    let mut context = Context::new(&SHA256);
    let mut offset = 0;
    while offset < content.len() {
        let piece = content.read_at(offset, PIECE_LEN).await?;
        if piece.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        offset += piece.len() as u64;
        let update = move || {
            context.update(&piece);
            context
        };
        context = tokio::task::spawn_blocking(update).await.map_err(std::io::Error::other)?;
    }
    let digest = context.finish();
    digest.as_ref().try_into().map(Sha256).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::io;

    use async_trait::async_trait;
    use tokio::sync::Semaphore as Gate;

    use super::*;
    use crate::files::Arrival;

    /// A file that arrives when the test opens the gate.
    #[derive(Debug)]
    struct Gated {
        length: u64,
        gate: Gate,
    }

    #[async_trait]
    impl Arrival for Gated {
        async fn reach(&self, _: u64) -> io::Result<u64> {
            let _ = self.gate.acquire().await.map_err(io::Error::other)?;
            Ok(self.length)
        }
    }

    fn key() -> (FileName, String) {
        ("linux".parse().unwrap(), "\"1\"".into())
    }

    #[tokio::test]
    async fn a_computation_goes_on_when_who_asked_goes_away_and_is_done_once() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"kernel").unwrap();
        let arrival = Arc::new(Gated { length: 6, gate: Gate::new(0) });
        let content = Content::of_arriving(Arc::new(file), 6, Arc::clone(&arrival) as _);
        let digests = Digests::default();
        let (done, is_done) = tokio::sync::oneshot::channel();
        let still = async move {
            let _ = done.send(());
            Ok(())
        };
        let first = digests.computed(key(), content, still);
        assert!(first.clone().now_or_never().is_none());
        drop(first);
        arrival.gate.add_permits(1);
        // It comes to its end though nobody waits for it.
        assert_eq!(is_done.await, Ok(()));
        let other = Content::from_bytes("another");
        let again = digests.computed(key(), other, async { Err(Refusal::Changed) }).await.unwrap();
        let expect = aws_lc_rs::digest::digest(&SHA256, b"kernel");
        let digits: String = expect.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!((again.sha256, again.length), (digits, 6));
    }

    #[tokio::test]
    async fn a_version_that_is_gone_when_all_was_read_has_no_digest() {
        let computation = Digests::default().computed(key(), Content::from_bytes("x"), async { Err(Refusal::Changed) });
        assert_eq!(computation.await, Err(Refusal::Changed));
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let digests = Digests::default();
        let arrival = Arc::new(Gated { length: 6, gate: Gate::new(0) });
        let mut asked = Vec::new();
        for number in 0..=WAITING_MAX {
            let file = Arc::new(tempfile::tempfile().unwrap());
            file.set_len(6).unwrap();
            let content = Content::of_arriving(file, 6, Arc::clone(&arrival) as _);
            let key = (format!("file{number}").parse().unwrap(), "\"1\"".into());
            asked.push(digests.computed(key, content, async { Ok(()) }));
        }
        assert_eq!(asked.pop().unwrap().await, Err(Refusal::Busy));
        arrival.gate.add_permits(1);
        for digest in asked {
            assert_eq!(digest.await.map(|digest| digest.length), Ok(6));
        }
        assert_eq!(digests.waiting.available_permits(), WAITING_MAX);
    }
}
