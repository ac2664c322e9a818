//! What goes wrong with a database, as its callers see it and as the drivers report it.
//!
//! **Invariant**: no message has a URL or a password in it; what a server says is one line of bounded length.

use std::time::Duration;

use jiff::Timestamp;

use crate::boot::Line;

/// Why a database gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// `url` is not one of a database.
    #[error("database `{name}`: {problem}")]
    Url {
        /// The database.
        name: String,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// The password could not be read.
    #[error("database `{name}`: {problem}")]
    Password {
        /// The database.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// It cannot be reached; it is tried again in the background.
    #[error("database `{name}` is down since {since:.0}: {error}")]
    Down {
        /// The database.
        name: String,
        /// When that was found.
        since: Timestamp,
        /// What happened at the last attempt.
        error: String,
    },
    /// It did not answer in time. Whether a change was made is not known.
    #[error("database `{name}` did not answer within {limit:?}")]
    Limit {
        /// The database.
        name: String,
        /// The time that it had.
        limit: Duration,
    },
    /// The connection broke, more than once. Whether a change was made is not known.
    #[error("the connection to database `{name}` broke: {error}")]
    Lost {
        /// The database.
        name: String,
        /// What happened.
        error: String,
    },
    /// The server takes the query for wrong, or does not permit it.
    #[error("database `{name}` refused the query: {error}")]
    Refused {
        /// The database.
        name: String,
        /// In the server's words.
        error: String,
    },
    /// A value does not fit where a change would put it.
    #[error("database `{name}`: the value of `:{parameter}` is no {kind}")]
    Unfit {
        /// The database.
        name: String,
        /// The parameter.
        parameter: String,
        /// What the server takes.
        kind: String,
    },
    /// More rows than are read.
    #[error("database `{name}` has more than {} rows for the query; give it a `where` or a `limit`", super::ROWS_MAX)]
    TooManyRows {
        /// The database.
        name: String,
    },
}

impl DatabaseError {
    /// Whether the database is at fault, not the question: it is down, too slow, or broke the connection.
    pub fn is_outage(&self) -> bool {
        matches!(self, DatabaseError::Down { .. } | DatabaseError::Limit { .. } | DatabaseError::Lost { .. })
    }
}

/// What a driver reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection is gone or cannot be trusted; another one may do.
    Broken(String),
    /// The statement was rolled back for the sake of another one, or waited for a lock in vain: nothing was done.
    Again(String),
    /// The server refuses this statement, and will again.
    Refused(String),
    /// The server refuses this statement, which it may have taken before the tables changed.
    Outdated(String),
    /// A value does not fit, and the statement changes something.
    Unfit {
        /// The parameter.
        parameter: String,
        /// What the server takes.
        kind: String,
    },
    /// More than [`ROWS_MAX`](super::ROWS_MAX).
    TooManyRows,
}

impl Failure {
    /// Whether only the statement failed, so that the connection is as good as before.
    pub(super) fn is_of_statement(&self) -> bool {
        !matches!(self, Failure::Broken(_) | Failure::TooManyRows)
    }

    /// In the words of the driver or the server.
    pub(super) fn message(self) -> String {
        match self {
            Failure::Broken(error) | Failure::Again(error) | Failure::Refused(error) | Failure::Outdated(error) => {
                error
            }
            Failure::Unfit { parameter, kind } => format!("the value of `:{parameter}` is no {kind}"),
            Failure::TooManyRows => "too many rows".to_owned(),
        }
    }

    /// For the callers of a database, when it is not tried again.
    pub(super) fn into_error(self, name: &str) -> DatabaseError {
        let name = name.to_owned();
        match self {
            Failure::Broken(error) => DatabaseError::Lost { name, error },
            Failure::Again(error) | Failure::Refused(error) | Failure::Outdated(error) => {
                DatabaseError::Refused { name, error }
            }
            Failure::Unfit { parameter, kind } => DatabaseError::Unfit { name, parameter, kind },
            Failure::TooManyRows => DatabaseError::TooManyRows { name },
        }
    }
}

/// A driver's or server's message as one line of bounded length.
pub(super) fn one_line(message: &str) -> String {
    const LEN_MAX: usize = 400;
    let line = Line::clean(message.trim());
    let line = line.as_str();
    let end = line.char_indices().map(|(at, _)| at).find(|at| *at > LEN_MAX).unwrap_or(line.len());
    line[..end].to_owned()
}

/// An error of `sqlx` while it connects: what will not become right by itself is refused.
pub(super) fn unconnected(
    error: sqlx::Error,
    of_server: impl FnOnce(&dyn sqlx::error::DatabaseError) -> Failure,
) -> Failure {
    match &error {
        // So TLS reports a certificate that it does not accept.
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            Failure::Refused(one_line(&io.to_string()))
        }
        _ => failure(error, of_server),
    }
}

/// An error of `sqlx`, where the driver's own error codes do not say more.
pub(super) fn failure(
    error: sqlx::Error,
    of_server: impl FnOnce(&dyn sqlx::error::DatabaseError) -> Failure,
) -> Failure {
    match error {
        sqlx::Error::Database(error) => of_server(&*error),
        // The server was understood and the statement is at fault.
        sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::InvalidArgument(_)
        // A certificate or a setting does not become right by itself.
        | sqlx::Error::Tls(_)
        | sqlx::Error::Configuration(_) => Failure::Refused(one_line(&error.to_string())),
        error => Failure::Broken(one_line(&error.to_string())),
    }
}
