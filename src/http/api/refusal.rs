//! Why a request is not answered, as a status and a message.

use axum::Json;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::api::{AGE_MAX_S, MESSAGE_LEN_MAX, Problem};
use crate::boot::Line;

/// How long who is told to come again should wait, in seconds.
const AGAIN_S: u64 = 2;
const AGAIN_IN_A_MINUTE_S: u64 = 60;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no certificate and no token; `pointsman site enroll` gets this server's certificate for a site")]
    Anonymous,
    #[error("no site that this server knows has this certificate or token; add it with `pointsman site add`")]
    Unknown,
    #[error("the site `{0}` was revoked; `pointsman site add` lets it in again")]
    Revoked(String),
    #[error("it cannot be found out at present which site asks")]
    Unsure,
    #[error("too many attempts from this address; wait a minute")]
    TooManyAttempts,
    #[error("too many requests at a time; ask again")]
    Busy,
    #[error("the message is longer than {MESSAGE_LEN_MAX} octets")]
    TooLong,
    #[error("the message did not come in time")]
    TooSlow,
    #[error("the message makes no sense: {0}")]
    Malformed(String),
    #[error(
        "the clock of the site server is {} this one's, or the message was under way for so long; at most {AGE_MAX_S} s \
         are taken: set its clock (here it is {now})",
        apart(*.difference_s)
    )]
    Stale { difference_s: i64, now: String },
    #[error("this message came before, and each has an id of its own; the site server's clock is {} this one's", apart(*.difference_s))]
    Repeated { difference_s: i64 },
    #[error("more messages within four minutes than can be remembered; ask again")]
    TooManyMessages,
    #[error("the decision is pending; ask again")]
    Pending,
    #[error("this must not happen: {0}")]
    Forbidden(String),
    #[error("this could not be noted: {0}")]
    NotNoted(String),
    #[error("{0}: no such file")]
    NoFile(String),
    #[error("{0}: not a file that is served")]
    NotServed(String),
    #[error("{0}: the file cannot be read")]
    Unreadable(String),
    #[error("{0}: where this server has the file from does not give it at present")]
    NotHereYet(String),
    #[error("{0}: where this server has the file from does not give it")]
    NotGiven(String),
    #[error("the file is another by now; ask for it anew")]
    Changed,
    #[error("of which version? name its tag in `If-Match`")]
    WhichVersion,
    #[error("the token {0}")]
    NoToken(String),
    #[error("the certificate request is not taken: {0}")]
    NoRequest(String),
    #[error("no certificate can be issued at present: {0}")]
    NotIssued(String),
    #[error("there is no such path; `/api/v1/openapi.json` tells those there are")]
    NoPath,
    #[error("not by this method; `/api/v1/openapi.json` tells the right one")]
    NoMethod,
}

/// How another clock stands to ours.
fn apart(difference_s: i64) -> String {
    match difference_s {
        ..0 => format!("{} s ahead of", difference_s.unsigned_abs()),
        0 => "the same as".into(),
        1.. => format!("{difference_s} s behind"),
    }
}

/// Left in the response, for metrics and the log.
#[derive(Clone)]
pub(super) struct Refused {
    pub(super) outcome: &'static str,
    pub(super) problem: Line,
    /// Whether an administrator should see to it.
    pub(super) is_worth_a_warning: bool,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::Anonymous => StatusCode::UNAUTHORIZED,
            Refusal::Unknown | Refusal::Revoked(_) | Refusal::NoToken(_) => StatusCode::FORBIDDEN,
            Refusal::TooManyAttempts | Refusal::TooManyMessages => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Unsure | Refusal::Busy | Refusal::Pending | Refusal::NotNoted(_) | Refusal::NotIssued(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::Malformed(_) | Refusal::Stale { .. } | Refusal::NoRequest(_) => StatusCode::BAD_REQUEST,
            Refusal::Repeated { .. } | Refusal::Forbidden(_) => StatusCode::CONFLICT,
            // 403 would say that it is the site which may not.
            Refusal::NoFile(_) | Refusal::NotServed(_) | Refusal::NoPath => StatusCode::NOT_FOUND,
            Refusal::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
            // Not 503: it is not this server that is of no use.
            Refusal::NotHereYet(_) => StatusCode::GATEWAY_TIMEOUT,
            Refusal::NotGiven(_) => StatusCode::BAD_GATEWAY,
            Refusal::Changed => StatusCode::PRECONDITION_FAILED,
            Refusal::WhichVersion => StatusCode::PRECONDITION_REQUIRED,
            Refusal::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The word in metrics and the log.
    fn outcome(&self) -> &'static str {
        match self {
            Refusal::Anonymous => "anonymous",
            Refusal::Unknown => "unknown site",
            Refusal::Revoked(_) => "revoked",
            Refusal::Unsure => "unsure",
            Refusal::TooManyAttempts => "too many attempts",
            Refusal::Busy | Refusal::TooManyMessages => "busy",
            Refusal::TooLong | Refusal::TooSlow | Refusal::Malformed(_) => "malformed",
            Refusal::Stale { .. } => "stale",
            Refusal::Repeated { .. } => "repeated",
            Refusal::Pending => "pending",
            Refusal::Forbidden(_) => "forbidden",
            Refusal::NotNoted(_) => "not noted",
            Refusal::NoFile(_) | Refusal::NotServed(_) | Refusal::Unreadable(_) => "no file",
            Refusal::NotHereYet(_) | Refusal::NotGiven(_) => "no file from its origin",
            Refusal::Changed | Refusal::WhichVersion => "changed",
            Refusal::NoToken(_) | Refusal::NoRequest(_) | Refusal::NotIssued(_) => "not enrolled",
            Refusal::NoPath | Refusal::NoMethod => "no path",
        }
    }

    fn again_s(&self) -> Option<u64> {
        match self {
            Refusal::TooManyAttempts => Some(AGAIN_IN_A_MINUTE_S),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(AGAIN_S),
            Refusal::TooManyMessages => Some(AGAIN_S),
            _ => None,
        }
    }

    fn is_worth_a_warning(&self) -> bool {
        !matches!(
            self,
            Refusal::Pending
                | Refusal::Forbidden(_)
                | Refusal::NotNoted(_)
                | Refusal::Changed
                | Refusal::WhichVersion
                | Refusal::NoPath
                | Refusal::NoMethod
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Line::clean(&self.to_string());
        let mut response = (self.status(), Json(Problem { problem: problem.clone() })).into_response();
        let fields = response.headers_mut();
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self == Refusal::Anonymous {
            fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.again_s() {
            fields.insert(RETRY_AFTER, seconds.into());
        }
        let is_worth_a_warning = self.is_worth_a_warning();
        response.extensions_mut().insert(Refused { outcome: self.outcome(), problem, is_worth_a_warning });
        response
    }
}
