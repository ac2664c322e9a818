//! A site gets its certificate.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use jiff::Timestamp;
use tracing::info;

use super::message::{answer, read};
use super::refusal::Refusal;
use super::{ApiState, Connection};
use crate::api::Enrollment;

/// The longest message with a request for a certificate, in octets: one for an RSA key of 4096 bits has 2 kB.
const ENROLLMENT_LEN_MAX: usize = 16 * 1024;

/// Why a site gets no certificate. The texts are for the administrator of the site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrollError {
    /// The token lets nobody in: why, as the end of a sentence that begins with *the token*.
    #[error("the token {0}")]
    Token(String),
    /// The request is none, or its key is of another kind than we take.
    #[error("the certificate request is not taken: {0}")]
    Request(String),
    /// The store cannot be asked, or the CA cannot sign.
    #[error("no certificate can be issued at present: {0}")]
    Unavailable(String),
}

impl From<EnrollError> for Refusal {
    fn from(error: EnrollError) -> Refusal {
        match error {
            EnrollError::Token(why) => Refusal::NoToken(why),
            EnrollError::Request(why) => Refusal::NoRequest(why),
            EnrollError::Unavailable(why) => Refusal::NotIssued(why),
        }
    }
}

/// Gives a site its certificate for a token that is good once.
pub(super) async fn enroll(
    State(state): State<Arc<ApiState>>,
    Extension(via): Extension<Connection>,
    request: Request,
) -> Result<Response, Refusal> {
    if !state.enrollments.take(via.peer.ip()) {
        return Err(Refusal::TooManyAttempts);
    }
    let wanted: Enrollment = read(request.into_body(), ENROLLMENT_LEN_MAX).await?;
    let enrolled = state.visitors.sites().enroll(&wanted.token, &wanted.request, Timestamp::now()).await?;
    info!(site = %enrolled.site, peer = %via.peer, "a site server got its certificate");
    Ok(answer(&enrolled))
}
