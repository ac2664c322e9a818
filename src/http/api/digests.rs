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
use tokio::sync::Semaphore;
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
}

impl Default for Digests {
    fn default() -> Self {
        let known = moka::sync::Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(REMEMBERED_FOR).build();
        Digests { known, places: Arc::new(Semaphore::new(AT_A_TIME_MAX)) }
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
    let computation = state.digests.known.get_with(key.clone(), || compute(&state, &key, content));
    let computed = computation.await;
    if computed.is_err() {
        state.digests.known.invalidate(&key);
    }
    Ok(answer(&computed?))
}

/// Begins to compute a digest, in a task of its own: it ends with the one who keeps the computation.
fn compute(state: &Arc<ApiState>, (name, tag): &(FileName, String), content: Content) -> Computation {
    let (of, name, tag) = (Arc::downgrade(state), name.clone(), tag.clone());
    let places = Arc::clone(&state.digests.places);
    let task = tokio::spawn(async move {
        let unreadable = || Refusal::Unreadable(name.to_string());
        let _place = places.acquire_owned().await.map_err(|_| unreadable())?;
        let digest = read(&content).await.map_err(|_| unreadable())?;
        let state = of.upgrade().ok_or_else(unreadable)?;
        if state.open(&name).await?.etag() != tag {
            return Err(Refusal::Changed);
        }
        Ok(Digest { sha256: digest.to_string(), length: content.len() })
    });
    let broken = || Refusal::NotNoted("the digest was not computed to its end".into());
    AbortOnDropHandle::new(task).map(move |ended| ended.unwrap_or_else(|_| Err(broken()))).boxed().shared()
}

/// Reads all of a file. What is still arriving is waited for, so that no thread is held meanwhile.
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
