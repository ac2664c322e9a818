//! Where the rows come from: what the handler asks, whoever answers it.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::boot::{BootRequest, Record};
use crate::database::Rows;
use crate::decision::{BootEvent, HandlerError};

use super::build::Checked;
use super::parameters::Facts;
use crate::boot::keys::Claims;
use crate::handlers::identity::Candidate;

/// Between the name of a handler with queries and the id of one of its assignments; an assignment of the store has none.
pub(super) const BETWEEN: char = '~';

/// A question, and until when it is to be answered.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) request: &'a BootRequest,
    pub(super) claims: &'a Claims,
    until: Instant,
}

impl<'a> Asked<'a> {
    /// A question that begins now.
    pub(super) fn new(request: &'a BootRequest, claims: &'a Claims, limit: Duration) -> Asked<'a> {
        Asked { request, claims, until: Instant::now() + limit }
    }

    /// How long its next query may take.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What a query that finds the machine asks with.
    pub(super) fn search(&self) -> Facts<'a> {
        Facts { request: self.request, claims: self.claims, is_search: true }
    }

    /// What every other query asks with.
    pub(super) fn facts(&self) -> Facts<'a> {
        Facts { is_search: false, ..self.search() }
    }
}

/// A site's queries, or the store. Rows have the columns that `docs/connect-a-database.md` names.
#[async_trait]
pub(super) trait Source: Send + Sync {
    /// The rows of machines that may be the one that asks.
    async fn machines(&self, asked: &Asked<'_>) -> Result<Rows, HandlerError>;

    /// The rows of images for a machine; for one that is not known when absent.
    async fn images(&self, asked: &Asked<'_>, machine: Option<&Candidate>) -> Result<Rows, HandlerError>;

    /// The row of an image that is described in the store; none when there is no such image.
    async fn described(&self, image: &str, asked: &Asked<'_>) -> Result<Option<Record>, HandlerError>;

    /// Notes what happened in a boot.
    async fn happened(&self, asked: &Asked<'_>, event: &BootEvent) -> Result<(), HandlerError>;

    /// What the database says of the queries.
    async fn check(&self, limit: Duration) -> Checked;

    /// What an assignment of a row is called in events, unless it could not be spent: then what is missing.
    fn assignment(&self, id: &str) -> Result<String, String>;
}
