//! `/readyz`: whether everything that decisions and history need can be reached.
//!
//! It says what an administrator should look at. An upstream is shown, and makes nobody unready: its handler says what
//! stands in for it. A balancer that takes a server out because of it takes out all servers
//! that share the database: for that there is `/healthz`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::HttpState;
use crate::boot::Line;
use crate::database::Health;

/// A database that a handler, a script or the store needs, or an upstream that a handler leans on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it answers.
    pub health: Health,
}

impl Dependency {
    fn is_down(&self) -> bool {
        matches!(self.health, Health::Down { .. })
    }

    fn line(&self) -> String {
        let state = match &self.health {
            Health::Untried => "untried".to_owned(),
            Health::Up => "up".to_owned(),
            Health::Down { since, error } => format!("down since {since:.0}: {}", Line::clean(error)),
        };
        format!("{}: {state}\n", self.name)
    }

    fn json(&self) -> Value {
        let name = &self.name;
        match &self.health {
            Health::Untried => json!({ "name": name, "state": "untried" }),
            Health::Up => json!({ "name": name, "state": "up" }),
            Health::Down { since, error } => json!({ "name": name, "state": "down", "since": since, "error": error }),
        }
    }
}

/// `/readyz`, as text, or as JSON where the client asks for that.
pub(super) async fn ready(State(state): State<Arc<HttpState>>, headers: HeaderMap) -> Response {
    let (databases, upstreams) = (state.site.dependencies(), state.site.upstreams());
    let is_ready = !databases.iter().any(Dependency::is_down);
    let (status, word) =
        if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    let (kind, body) = if wants_json(&headers) {
        let shown = |all: &[Dependency]| all.iter().map(Dependency::json).collect::<Vec<_>>();
        let (databases, upstreams) = (shown(&databases), shown(&upstreams));
        let page = json!({ "ready": is_ready, "databases": databases, "upstreams": upstreams });
        ("application/json", format!("{page}\n"))
    } else {
        let upstreams = upstreams.iter().map(|upstream| format!("upstream {}", upstream.line()));
        let lines = databases.iter().map(Dependency::line).chain(upstreams);
        ("text/plain", std::iter::once(format!("{word}\n")).chain(lines).collect())
    };
    (status, [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], body).into_response()
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).map(HeaderValue::to_str);
    accepted.is_some_and(|kinds| kinds.is_ok_and(|kinds| kinds.contains("application/json")))
}
