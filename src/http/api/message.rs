//! A message as it comes: who sends it, how long it is, whether it is new, and which boot it is about.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::{Json, http::header::CACHE_CONTROL};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::places::Place;
use super::refusal::Refusal;
use super::stamps::Stamped;
use super::{ApiState, Connection};
use crate::api::{MESSAGE_LEN_MAX, Question, Stamp};
use crate::boot::{Client, Machine, Network};
use crate::decision::Session;

/// How long a message may take to come.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(10);

/// A message of a site, with the place that it takes.
pub(super) struct Message<T> {
    pub(super) site: Arc<str>,
    pub(super) content: T,
    pub(super) now: Timestamp,
    _place: Place,
}

/// A boot at a site.
pub(super) struct Boot {
    pub(super) session: Arc<Session>,
    pub(super) network: Network,
    pub(super) machine: Machine,
}

/// How long a site's word of who is at a machine counts: as long as its question may take.
const PERSON_TIME: Duration = Duration::from_secs(60);

impl ApiState {
    /// The next message of a site: known, whole, sensible and new.
    pub(super) async fn message<T: DeserializeOwned>(
        &self,
        via: &Connection,
        request: Request,
        on: Stamped,
        stamp: impl FnOnce(&T) -> Stamp,
    ) -> Result<Message<T>, Refusal> {
        let site = self.visitors.who(via, request.headers()).await?;
        let place = self.questions.take(&site).await?;
        let content = read(request.into_body(), MESSAGE_LEN_MAX).await?;
        let now = Timestamp::now();
        self.stamps.take(&site, stamp(&content), on, now)?;
        Ok(Message { site, content, now, _place: place })
    }

    /// The boot that a question is about, with what the machine reported by now.
    pub(super) fn boot(&self, site: &Arc<str>, question: &Question, now: Timestamp) -> Boot {
        let client = Client::from(&question.client);
        let session = self.engine.sessions().for_site(site, question.session, &client, now);
        // The site's word, as that of the machine's facts is; for this one question.
        match &question.person {
            None => session.forget_person(),
            Some(person) => {
                let granted = self.engine.sessions().grant(&session, person, PERSON_TIME, now);
                granted.map(drop).unwrap_or_else(|error| {
                    session.forget_person();
                    tracing::warn!(%site, session = %session.id(), %error, "who is at the machine is not believed");
                });
            }
        }
        let mut machine = Machine::default();
        for (name, value) in &question.machine {
            machine.insert(name, value);
        }
        if machine.is_empty() {
            machine = (*session.machine()).clone();
        }
        Boot { session, network: question.network.of_site(site), machine }
    }
}

/// Reads a message to its end.
pub(super) async fn read<T: DeserializeOwned>(body: Body, len_max: usize) -> Result<T, Refusal> {
    let octets = timeout(MESSAGE_TIME_MAX, octets(body, len_max)).await.map_err(|_| Refusal::TooSlow)??;
    parse(&octets)
}

async fn octets(body: Body, len_max: usize) -> Result<Bytes, Refusal> {
    // What was announced as longer is not read.
    let announced = http_body::Body::size_hint(&body).lower();
    if usize::try_from(announced).is_ok_and(|announced| announced > len_max) {
        return Err(Refusal::TooLong);
    }
    to_bytes(body, len_max).await.map_err(|error| {
        // It is too long, or it broke off: then nobody reads the answer.
        let is_cut = std::error::Error::source(&error).is_some_and(|source| source.is::<hyper::Error>());
        if is_cut { Refusal::Malformed("it broke off".into()) } else { Refusal::TooLong }
    })
}

pub(super) fn parse<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(octets).map_err(|error| Refusal::Malformed(error.to_string()))
}

/// A message as an answer.
pub(super) fn answer(message: &impl serde::Serialize) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(message)).into_response()
}
