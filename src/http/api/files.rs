//! Files of our images, for the sites that keep copies of them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use jiff::Timestamp;
use tracing::info;

use super::super::files::{self, FileRequest};
use super::places::Placed;
use super::refusal::Refusal;
use super::{ApiState, Connection};
use crate::boot::FileName;
use crate::files::{Content, OpenError};

/// A file, or a range of it.
pub(super) async fn file(
    State(state): State<Arc<ApiState>>,
    Extension(via): Extension<Connection>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let site = state.visitors.who(&via, request.headers()).await?;
    let place = state.transfers.take(&site).await?;
    let name = named(&name)?;
    let content = state.open(&name).await?;
    let (octets, started, file) = (content.len(), Timestamp::now(), name.clone());
    let finished = Box::new(move || {
        let elapsed_ms = Timestamp::now().duration_since(started).as_millis() as u64;
        info!(%site, %file, octets, elapsed_ms, "file sent to a site server");
    });
    let response = files::respond(
        content,
        FileRequest {
            name: name.as_str(),
            method: request.method(),
            headers: request.headers(),
            queue: via.files.clone(),
            sent: state.metrics.http_sent.clone(),
            finished: Some(finished),
        },
    );
    Ok(response.map(|body| Body::new(Placed { body, _place: place })))
}

impl ApiState {
    /// Opens a file of our images.
    pub(super) async fn open(&self, name: &FileName) -> Result<Content, Refusal> {
        self.site.images().open(name).await.map_err(|error| match error {
            OpenError::NotFound => Refusal::NoFile(name.to_string()),
            OpenError::Denied => Refusal::NotServed(name.to_string()),
            OpenError::Io(_) => Refusal::Unreadable(name.to_string()),
            OpenError::NotNow(_) => Refusal::NotHereYet(name.to_string()),
            OpenError::NotGiven(_) => Refusal::NotGiven(name.to_string()),
        })
    }
}

pub(super) fn named(path: &str) -> Result<FileName, Refusal> {
    FileName::parse(path.as_bytes()).map_err(|error| Refusal::Malformed(error.to_string()))
}
