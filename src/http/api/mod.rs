//! The upstream's side of the decision API: site servers ask here. Its messages are those of [`crate::api`], and
//! `openapi.json` beside this file describes it to others.
//!
//! Who asks is known by the certificate of the connection, or by a bearer token. Every question and report has a stamp;
//! what is old, or came before, is refused. A refusal is a status with a [`Problem`](crate::api::Problem).
//!
//! | limit | against |
//! |---|---|
//! | length of a message, time to send it | a site that fills our memory |
//! | requests at a time, of one site and in all | a site that takes all places |
//! | unknown tokens, and enrollments, of one address in a minute | guessing |
//! | stamps remembered for one site | a site that fills our memory with them |
//!
//! **Invariant**: nothing but `enroll`, `health` and the description is answered before it is known which site asks, and
//! a site acts on boots of its own only.

mod digests;
mod enroll;
mod events;
mod files;
mod message;
mod places;
mod questions;
mod refusal;
mod stamps;
mod who;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use tracing::{debug, warn};

use super::{Connection, Site};
use crate::api::Health;
use crate::boot::Line;
use crate::decision::DecisionEngine;
use crate::observe::{Metrics, OutcomeLabel};
use crate::pace::Pace;

pub use enroll::EnrollError;
pub use who::{Credential, Sites, Standing, Unavailable};

use digests::Digests;
use places::Places;
use refusal::{Refusal, Refused};
use stamps::Stamps;
use who::Visitors;

/// What the routes of the decision API need.
pub struct ApiState {
    engine: Arc<DecisionEngine>,
    site: Arc<dyn Site>,
    visitors: Visitors,
    enrollments: places::Attempts,
    stamps: Stamps,
    questions: Places,
    /// Files and digests, which may take long.
    transfers: Places,
    digests: Digests,
    metrics: Arc<Metrics>,
    warnings: Pace,
}

/// The description of the API.
const OPENAPI: &str = include_str!("openapi.json");
/// The versions of the API that this server speaks.
const VERSIONS: [u32; 1] = [1];
/// Warnings in one second.
const WARNINGS_PER_SECOND_MAX: u64 = 10;

impl ApiState {
    /// The state of a server. The files are those of the site.
    pub fn new(
        engine: Arc<DecisionEngine>,
        site: Arc<dyn Site>,
        sites: Arc<dyn Sites>,
        metrics: Arc<Metrics>,
    ) -> ApiState {
        ApiState {
            engine,
            site,
            visitors: Visitors::new(sites),
            enrollments: places::Attempts::default(),
            stamps: Stamps::default(),
            questions: Places::default(),
            transfers: Places::default(),
            digests: Digests::default(),
            metrics,
            warnings: Pace::default(),
        }
    }

    pub(super) fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }
}

/// The routes, all of them.
pub(super) fn router(state: Arc<ApiState>) -> Router {
    Router::new()
        .route("/api/v1/allow-boot", post(questions::allow_boot))
        .route("/api/v1/boot-images", post(questions::boot_images))
        .route("/api/v1/events", post(events::happened))
        .route("/api/v1/files/{*name}", get(files::file))
        .route("/api/v1/digests/{*name}", get(digests::digest))
        .route("/api/v1/health", get(health))
        .route("/api/v1/enroll", post(enroll::enroll))
        .route("/api/v1/openapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], OPENAPI) }))
        .fallback(|| async { Refusal::NoPath })
        .method_not_allowed_fallback(|| async { Refusal::NoMethod })
        .layer(from_fn_with_state(Arc::clone(&state), counted))
        .with_state(state)
}

/// That this server is there. Who cannot be told apart learns so, and nothing else.
async fn health(
    State(state): State<Arc<ApiState>>,
    Extension(via): Extension<Connection>,
    request: Request,
) -> impl IntoResponse {
    let site = state.visitors.who(&via, request.headers()).await.ok().map(|site| Line::clean(&site));
    let health = Health { versions: VERSIONS.to_vec(), site, now: Timestamp::now() };
    ([(CACHE_CONTROL, "no-store")], Json(health))
}

/// Counts what became of a request, and logs what an administrator should see to.
async fn counted(
    State(state): State<Arc<ApiState>>,
    Extension(via): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let refused = response.extensions().get::<Refused>();
    let outcome = match refused {
        Some(refused) => refused.outcome,
        None if response.status().is_client_error() || response.status().is_server_error() => "refused",
        None => "answered",
    };
    state.metrics.api_requests.get_or_create(&OutcomeLabel { outcome }).inc();
    if let Some(Refused { outcome, problem, is_worth_a_warning }) = refused {
        let may_warn = || state.warnings.take(Timestamp::now().as_second(), WARNINGS_PER_SECOND_MAX).is_free;
        if *is_worth_a_warning && may_warn() {
            warn!(peer = %via.peer, path, outcome, %problem, "a site server was refused");
        } else {
            debug!(peer = %via.peer, path, outcome, %problem, "refused");
        }
    }
    response
}
