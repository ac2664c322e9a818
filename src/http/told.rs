//! A request of a boot session, told to whoever wants to explain the boot.
//!
//! **Invariant**: a path is told without its token, and a query not at all.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, RANGE};
use axum::response::Response;
use jiff::Timestamp;

use super::Connection;
use crate::decision::{DecisionEngine, Exchange, Session, Transport};

/// What is told of a request once it is answered.
pub(super) struct Told {
    session: Arc<Session>,
    by: Transport,
    /// Method, and the path behind the token.
    asked: String,
    range: String,
    began: Instant,
}

impl Told {
    /// Notes what is asked, before that is answered.
    pub(super) fn of(request: &Request, path: &str, session: &Arc<Session>, via: &Connection) -> Told {
        let rest = path.split_once('/').map_or("", |(_, rest)| rest);
        let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
        Told {
            session: Arc::clone(session),
            by: if via.secure { Transport::Https } else { Transport::Http },
            asked: format!("{} {}", request.method(), rest.strip_prefix("f/").unwrap_or(rest)),
            range: range.chars().take(64).collect(),
            began: Instant::now(),
        }
    }

    /// Tells what was answered.
    pub(super) fn note(self, engine: &DecisionEngine, response: &Response, at: Timestamp) {
        let Told { session, by, mut asked, range, began } = self;
        engine.exchanged(&session, by, at, || {
            let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            let length = length.map_or_else(String::new, |length| format!(", {length} octets"));
            if !range.is_empty() {
                asked = format!("{asked} ({range})");
            }
            Exchange { by, asked, told: format!("{}{length}", response.status().as_u16()), elapsed: began.elapsed() }
        });
    }
}
