//! `/readyz`: whether everything that decisions and history need can be reached.
//!
//! It says what an administrator should look at. A balancer that takes a server out because of it takes out all servers
//! that share the database: for that there is `/healthz`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;

use super::HttpState;
use crate::boot::Line;

/// A database that a handler, a script or the store needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it answers.
    #[serde(flatten)]
    pub state: DependencyState,
}

/// Whether a database answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum DependencyState {
    /// Nobody asked it yet.
    Untried,
    /// It answered last.
    Up,
    /// It did not.
    Down {
        /// Since when.
        since: Timestamp,
        /// What it said, or what reaching it came to.
        error: String,
    },
}

/// What the page says.
#[derive(Serialize)]
struct Page {
    ready: bool,
    databases: Vec<Dependency>,
}

impl Page {
    fn text(&self) -> String {
        let mut text = String::from(if self.ready { "ready\n" } else { "not ready\n" });
        for Dependency { name, state } in &self.databases {
            let state = match state {
                DependencyState::Untried => "untried".to_owned(),
                DependencyState::Up => "up".to_owned(),
                DependencyState::Down { since, error } => format!("down since {since:.0}: {}", Line::clean(error)),
            };
            text.push_str(&format!("{name}: {state}\n"));
        }
        text
    }
}

/// `/readyz`, as text, or as JSON where the client asks for that.
pub(super) async fn ready(State(state): State<Arc<HttpState>>, headers: HeaderMap) -> Response {
    let databases = state.site.dependencies();
    let ready = !databases.iter().any(|database| matches!(database.state, DependencyState::Down { .. }));
    let page = Page { ready, databases };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let (kind, body) = match serde_json::to_string(&page) {
        Ok(json) if wants_json(&headers) => ("application/json", json + "\n"),
        _ => ("text/plain", page.text()),
    };
    (status, [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], body).into_response()
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).map(HeaderValue::to_str);
    accepted.is_some_and(|kinds| kinds.is_ok_and(|kinds| kinds.contains("application/json")))
}
