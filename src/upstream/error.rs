//! Why an upstream gave no answer.

use std::time::Duration;

use jiff::Timestamp;

use crate::tls::ServerFailure;

/// Why an upstream gave no answer. The texts are for the administrator and name the upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It is known to be down and was not asked.
    #[error("upstream `{name}` is down since {since:.0}: {error}")]
    Down {
        /// The upstream.
        name: String,
        /// Since when.
        since: Timestamp,
        /// What was last seen of it.
        error: String,
    },
    /// It took too long.
    #[error("upstream `{name}` did not answer within {} ms", limit.as_millis())]
    TimedOut {
        /// The upstream.
        name: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// There is no connection, or it broke off.
    #[error("upstream `{name}` cannot be reached: {why}")]
    Unreachable {
        /// The upstream.
        name: String,
        /// What the network or TLS says.
        why: String,
        /// What was wrong with TLS, where it was that.
        failure: Option<ServerFailure>,
    },
    /// It says that it failed (HTTP 5xx).
    #[error("upstream `{name}` failed (HTTP {status}): {problem}")]
    Failed {
        /// The upstream.
        name: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        problem: String,
    },
    /// It has no answer yet, or too much to do (HTTP 503 with `Retry-After`).
    #[error("upstream `{name}` has no answer at present: {problem}")]
    Busy {
        /// The upstream.
        name: String,
        /// What it says.
        problem: String,
    },
    /// It does not know this site, or has revoked it (HTTP 401, 403).
    #[error(
        "upstream `{name}` refuses this site: {problem}; for a new certificate run `pointsman site add` there, and \
         `pointsman site enroll --force` here"
    )]
    Denied {
        /// The upstream.
        name: String,
        /// What it says.
        problem: String,
    },
    /// It says that what was reported must not happen (HTTP 409).
    #[error("upstream `{name}` says no: {problem}")]
    Refused {
        /// The upstream.
        name: String,
        /// Why.
        problem: String,
    },
    /// It did not take the message (any other HTTP status).
    #[error("upstream `{name}` did not take the message (HTTP {status}): {problem}")]
    Rejected {
        /// The upstream.
        name: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        problem: String,
    },
    /// Its answer is none of the API's.
    #[error("the answer of upstream `{name}` makes no sense: {what}")]
    Nonsense {
        /// The upstream.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The clocks are so far apart that it takes no message.
    #[error("the clock of upstream `{name}` is {apart_s} s from ours; set both by NTP")]
    Clock {
        /// The upstream.
        name: String,
        /// By how many seconds it is ahead.
        apart_s: i64,
    },
    /// It has no `url`.
    #[error("upstream `{name}` cannot be asked: add `url` to [upstream.{name}], or use style = \"redirect\"")]
    NoUrl {
        /// The upstream.
        name: String,
    },
}

/// What an error says of the upstream's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It answered; what was asked was wrong.
    Alive,
    /// Nothing: it answered, but not as it should.
    Nothing,
    /// One of several that take it down.
    Failure,
    /// It is of no use at all until somebody does something.
    Down,
}

impl UpstreamError {
    /// What it says of the upstream's state.
    pub(super) fn meaning(&self) -> Meaning {
        match self {
            UpstreamError::TimedOut { .. } | UpstreamError::Unreachable { .. } | UpstreamError::Failed { .. } => {
                Meaning::Failure
            }
            UpstreamError::Denied { .. } | UpstreamError::Clock { .. } => Meaning::Down,
            UpstreamError::Busy { .. } | UpstreamError::Refused { .. } | UpstreamError::Rejected { .. } => {
                Meaning::Alive
            }
            UpstreamError::Down { .. } | UpstreamError::Nonsense { .. } | UpstreamError::NoUrl { .. } => {
                Meaning::Nothing
            }
        }
    }

    /// The word in metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            UpstreamError::Down { .. } => "held_back",
            UpstreamError::TimedOut { .. } => "timed_out",
            UpstreamError::Unreachable { .. } => "unreachable",
            UpstreamError::Failed { .. } => "failed",
            UpstreamError::Busy { .. } => "busy",
            UpstreamError::Denied { .. }
            | UpstreamError::Refused { .. }
            | UpstreamError::Rejected { .. }
            | UpstreamError::Clock { .. } => "refused",
            UpstreamError::Nonsense { .. } => "nonsense",
            UpstreamError::NoUrl { .. } => "other",
        }
    }

    /// What is wrong, without the upstream's name, for a state that is shown beside the name.
    pub(super) fn what(&self) -> String {
        match self {
            UpstreamError::Down { error, .. } => error.clone(),
            UpstreamError::TimedOut { limit, .. } => format!("no answer within {} ms", limit.as_millis()),
            UpstreamError::Unreachable { why, .. } => why.clone(),
            UpstreamError::Failed { status, problem, .. } => format!("HTTP {status}: {problem}"),
            UpstreamError::Denied { problem, .. } => format!("it refuses this site: {problem}"),
            UpstreamError::Busy { problem, .. } | UpstreamError::Refused { problem, .. } => problem.clone(),
            UpstreamError::Rejected { status, problem, .. } => format!("HTTP {status}: {problem}"),
            UpstreamError::Nonsense { what, .. } => what.clone(),
            UpstreamError::Clock { apart_s, .. } => format!("its clock is {apart_s} s from ours"),
            UpstreamError::NoUrl { .. } => "it has no url".into(),
        }
    }
}
