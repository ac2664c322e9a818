//! The site's databases: SQLite, PostgreSQL, MySQL and MariaDB behind one type.
//!
//! Microsoft SQL Server is behind the feature `mssql`; it was never run against a real server.
//!
//! A [`Database`] is asked with a [`Query`], whose `:name` parameters are bound from a [`Record`], and answers with
//! records. The pieces, from the outside in: `ask` (time limits, attempts, the last answer), `health` (up or down),
//! `memory` (last answers), `pool` (connections), `driver` (what is different for each kind), and one file or folder for
//! each kind.
//!
//! # What a caller can rely on
//!
//! * No call takes longer than its limit, whatever the server does.
//! * A read that meets a broken connection is asked again over another one. **So is a change**: it may have been done
//!   already when the connection broke, so that every statement that changes something must be safe to run twice - ours
//!   have the expected state in their `where`, and a site's own (`offered`, `started`, `done`, `failed`) must too.
//! * When the database cannot be reached, calls fail at once, without waiting; it is tried again in the background every
//!   100 ms to 5 s. Only in the first ten seconds of an outage, calls that have nothing to fall back on wait for its end
//!   within their limit, so that a restart costs nobody a boot. A query that is wrong takes no database down.
//! * A query that ran into its limit leaves nothing behind: its connection is closed.
//!
//! # Values
//!
//! A parameter that the record lacks is null. Columns become text, numbers, truth values or null: times as RFC 3339 in
//! UTC (a time without a zone is taken for UTC), decimals, UUIDs, addresses and JSON as text, octets as hexadecimal
//! digits, arrays as their elements with a space between them. What is too long or of another type is null and counted.
//!
//! **Invariant**: values are bound, never part of a statement; no password is in a message.

mod all;
mod ask;
mod column;
mod counts;
mod driver;
mod error;
mod health;
mod memory;
#[cfg_attr(not(feature = "mssql"), path = "mssql_absent.rs")]
mod mssql;
mod mysql;
mod named;
mod password;
mod pool;
mod postgres;
mod query;
mod sqlite;
mod transaction;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::boot::Record;
use crate::config::DatabaseSection;

pub use all::Databases;
pub use error::DatabaseError;
pub use health::Health;
pub use named::{NamedQueries, NamedQuery, UnknownQuery};
pub use query::{Query, QueryError};
pub use transaction::Transaction;

use counts::Counts;
use driver::{Driver, Mistake};
use error::Failure;
use health::Monitor;
use memory::Memory;
use pool::Pool;

/// The most rows that a query may find.
pub const ROWS_MAX: usize = 1000;

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The rows, in the query's order.
    pub records: Vec<Record>,
    /// How old the rows are, when the database failed and its last answer stands in.
    pub age: Option<Duration>,
}

/// The kinds of databases, which differ in their SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// Microsoft SQL Server.
    MsSql,
}

/// A database. A clone is the same one, with the same connections.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    pool: Pool,
    monitor: Monitor,
    /// Shared with the one that takes this one's place when its password changes.
    memory: Arc<Memory>,
    counts: Counts,
}

impl Database {
    /// A database of the site's configuration. Nothing is connected yet; SQLite files are below `folder` unless their
    /// path is absolute, and are opened for reading unless the URL ends in `?mode=rw`.
    ///
    /// # Errors
    /// When the URL is none, or the password cannot be read.
    pub fn open(name: &str, section: &DatabaseSection, folder: &Path) -> Result<Database, DatabaseError> {
        let memory = Memory::new(section.stale_while_error, section.answers_max);
        Self::with_memory(name, section, folder, Arc::new(memory))
    }

    /// The same database, connected to anew, as with another password. It keeps what it remembers.
    fn reopened(&self, section: &DatabaseSection, folder: &Path) -> Result<Database, DatabaseError> {
        Self::with_memory(self.name(), section, folder, Arc::clone(&self.inner.memory))
    }

    fn with_memory(
        name: &str,
        section: &DatabaseSection,
        folder: &Path,
        memory: Arc<Memory>,
    ) -> Result<Database, DatabaseError> {
        let driver = Driver::open(section, folder).map_err(|mistake| match mistake {
            Mistake::Url(problem) => DatabaseError::Url { name: name.to_owned(), problem },
            Mistake::Password(problem) => DatabaseError::Password { name: name.to_owned(), problem },
        })?;
        Ok(Self::new(name, driver, section.connections_max, memory))
    }

    /// The embedded database: a SQLite file of our own, created when it is not there. What was committed survives a
    /// power cut.
    pub fn sqlite(name: &str, file: &Path) -> Database {
        let section = DatabaseSection::default();
        let driver = Driver::Sqlite(sqlite::Driver::new(file, sqlite::Mode::Create).into());
        let memory = Memory::new(section.stale_while_error, section.answers_max);
        Self::new(name, driver, section.connections_max, Arc::new(memory))
    }

    fn new(name: &str, driver: Driver, connections_max: u32, memory: Arc<Memory>) -> Database {
        let pool = Pool::new(driver, connections_max);
        let (name, monitor) = (name.to_owned(), Monitor::new(name));
        Database { inner: Arc::new(Inner { name, pool, monitor, memory, counts: Counts::default() }) }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether this is the same one as another: with the same connections.
    pub fn is_same(&self, other: &Database) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Its kind.
    pub fn dialect(&self) -> Dialect {
        self.inner.pool.driver().dialect()
    }

    /// Whether it answers.
    pub fn health(&self) -> Health {
        self.inner.monitor.health()
    }

    /// What happened to the questions so far, by name, for metrics.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.inner.counts.all()
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.name()).field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

/// The statement of a query for a kind of database.
fn statement(query: &Query, dialect: Dialect) -> Result<sqlx::SqlStr, Failure> {
    query.sql(dialect).ok_or_else(|| Failure::Refused("the query has a `?`; write `:name` for a parameter".into()))
}

#[cfg(test)]
mod tests;
