//! The upstreams of a site: other boot servers that it asks, and fetches files from.
//!
//! An [`Upstream`] is asked with a [`BootRequest`](crate::boot::BootRequest) and answers with the types of
//! [`crate::api`]. The pieces, from the outside in: `all` (those of a configuration, and what is remembered of boots),
//! `ask` (the questions, by kind), `breaker` (up or down), `watch` (asks in the background whether it is there), `client`
//! (HTTP), `identity` (who we are to it), `files` (its images folder as an [`Origin`](crate::cache::Origin)), `pixiecore`
//! (another one's API), `web` (services of the site that scripts ask), `webhook` (one that is told), `storage` (object storage, which is an origin of files only), `enroll` and `enrolled` (get this
//! site's certificate and store it).
//!
//! # What a caller can rely on
//!
//! * No call takes longer than its limit, whatever the server does; and none is asked anything while it is down, but
//!   for one question every `retry_after`, which finds out whether it still is.
//! * However many machines ask, few questions are under way to it at a time; the others wait within their limit.
//! * Questions only read: one that met a connection which the server had closed is asked again, once. Reports are never
//!   sent twice by themselves: whoever reports is told, and may report again, which upstream is the same as reporting
//!   once - each step of an assignment belongs to a boot.
//! * Each message has a stamp of its own, also one that is sent again.
//! * Nothing is trusted but the CA of the section; no redirect is followed and no proxy used; an answer is read to its
//!   limit, and becomes typed data or an error.
//!
//! **Invariant**: reqwest is named in this folder only (and in `simulate`); no key and no token is in a message.

mod all;
mod ask;
mod breaker;
mod client;
mod counts;
mod enroll;
#[cfg(test)]
mod enroll_tests;
mod enrolled;
mod error;
mod files;
mod identity;
mod pixiecore;
mod storage;
#[cfg(test)]
pub(crate) mod tests;
mod watch;
mod web;
mod webhook;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::config::{UpstreamKind, UpstreamSection};

pub use all::{Boots, Owner, Upstreams};
pub use enroll::{Enroll, EnrollError, EnrollToken, EnrollTokenError, Enrollee, enroll};
pub use error::UpstreamError;
pub use pixiecore::read_pixiecore;
pub use storage::{Storage, Storages};
pub use web::{WebAnswer, WebQuestion, WebService, WebServices};
pub use webhook::{Webhook, WebhookError};

use breaker::Breaker;
use client::Client;
use counts::Counts;
use pixiecore::Remembered;

/// Another boot server that this one leans on. A clone is the same one, with the same connections.
#[derive(Clone)]
pub struct Upstream {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    section: UpstreamSection,
    /// Absent where the section has no `url`: machines are only handed over to it.
    client: Option<Client>,
    breaker: Breaker,
    counts: Counts,
    /// Bounds the questions that are under way: machines that somebody makes up open no connection each.
    questions: Semaphore,
    /// Bounds how many files are asked for at a time, for names that somebody makes up.
    descriptions: Semaphore,
    /// Answers of Pixiecore's API, which has one question where we have two.
    remembered: Remembered,
    /// Whether something asks in the background whether it is there.
    is_watched: AtomicBool,
}

/// Whether an upstream answers, as far as known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamState {
    /// It was not asked yet.
    Untried,
    /// It answered when it was last asked.
    Up,
    /// It does not answer, or refuses this site.
    Down {
        /// Since when.
        since: Timestamp,
        /// Why, as it was last seen.
        error: String,
    },
}

impl Upstream {
    /// What the configuration calls it.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its section of the configuration.
    pub fn section(&self) -> &UpstreamSection {
        &self.inner.section
    }

    /// Whether it answers, as far as known.
    pub fn state(&self) -> UpstreamState {
        self.inner.breaker.state()
    }

    /// Whether it is known not to answer.
    pub fn is_down(&self) -> bool {
        matches!(self.state(), UpstreamState::Down { .. })
    }

    /// Whether it can be asked, and its files fetched, by Pointsman's API.
    pub fn has_files(&self) -> bool {
        self.inner.section.kind == UpstreamKind::Pointsman && self.inner.client.is_some()
    }

    /// Whether this is the same one as another: with the same connections.
    pub fn is_same(&self, other: &Upstream) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// What happened to the requests so far, by name, for metrics.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.inner.counts.all()
    }

    /// Counts a report that was dropped because too many were waiting.
    pub fn count_dropped(&self) {
        self.inner.counts.count("dropped");
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("name", &self.name()).finish_non_exhaustive()
    }
}
