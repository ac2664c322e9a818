//! What can be wrong with what the store was asked for.

use std::fmt;
use std::time::Duration;

use super::TokenProblem;
use crate::database::DatabaseError;

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such thing.
    #[error("there is no {what} `{name}`; {remedy}")]
    NotFound {
        /// What was looked for.
        what: Thing,
        /// Its name, as it was given.
        name: String,
        /// The name that was probably meant, or what to do.
        remedy: String,
    },
    /// There is one already.
    #[error("{what} `{name}` is there already; {remedy}")]
    Exists {
        /// What.
        what: Thing,
        /// Its name.
        name: String,
        /// What to do.
        remedy: String,
    },
    /// Something else needs it.
    #[error("{what} `{name}` is in use: {by}; {remedy}")]
    InUse {
        /// What.
        what: Thing,
        /// Its name.
        name: String,
        /// What needs it.
        by: String,
        /// What to do.
        remedy: String,
    },
    /// It makes no sense as it was given.
    #[error("{0}")]
    Invalid(String),
    /// An assignment is not given out: it was done, or is being done, or its time is over.
    #[error("assignment {id} is not given out: {why}")]
    Spent {
        /// The assignment.
        id: String,
        /// Why.
        why: String,
    },
    /// An assignment was offered too often, and has now failed.
    #[error("assignment {id} is held back: {reason}")]
    Held {
        /// The assignment.
        id: String,
        /// Why.
        reason: String,
    },
    /// An enrollment token that lets nobody in.
    #[error("the enrollment token {0}")]
    Token(TokenProblem),
    /// Somebody else changed the same thing at the same time.
    #[error("{what} `{name}` was changed by somebody else at the same moment; try again")]
    Conflict {
        /// What.
        what: Thing,
        /// Its name.
        name: String,
    },
    /// The tables are those of a later program.
    #[error(
        "the store has schema {found}, this program knows {known}; use a program of the version that wrote it, or a later one"
    )]
    Newer {
        /// The version found.
        found: i64,
        /// The version that this program knows.
        known: i64,
    },
    /// The tables are being made by somebody else, and it takes long.
    #[error("the tables of the store were not ready within {limit:?}; is another program making them?")]
    Unprepared {
        /// How long they were waited for.
        limit: Duration,
    },
    /// A store cannot be kept there.
    #[error("the store cannot be kept in {0}; use SQLite, PostgreSQL, MySQL or MariaDB")]
    Unsuitable(String),
    /// A row that this program would not have written.
    #[error("a row of the store has no good `{column}`; was the table edited by hand?")]
    Row {
        /// The column.
        column: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A kind of thing that the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An assignment.
    Assignment,
    /// A group of machines.
    Group,
    /// An image.
    Image,
    /// A machine.
    Machine,
    /// A site server.
    Site,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Thing::Assignment => "assignment",
            Thing::Group => "group",
            Thing::Image => "image",
            Thing::Machine => "machine",
            Thing::Site => "site",
        })
    }
}
