//! Several statements that are done together or not at all.
//!
//! **Invariant**: without [`Transaction::commit`] nothing of it remains: the connection is closed, and the database
//! undoes what was begun.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::Failure;
use super::pool::Lease;
use super::{Database, DatabaseError, Query};
use crate::boot::{Record, Value};

/// Several statements that are done together or not at all; dropped, it is undone.
///
/// On SQLite it is the only writer from its beginning on. Elsewhere it has the isolation that the server has by default,
/// so that a change that depends on what is there says so in its own `where`. MySQL and MariaDB commit before and after
/// each statement that changes the schema.
pub struct Transaction<'a> {
    pub(super) database: &'a Database,
    pub(super) lease: Lease<'a>,
    pub(super) deadline: Instant,
    pub(super) limit: Duration,
    /// Something failed, so that it cannot be committed.
    pub(super) is_spoiled: bool,
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("database", &self.database.name()).finish_non_exhaustive()
    }
}

impl Transaction<'_> {
    /// What a query finds, the transaction's own changes included.
    ///
    /// # Errors
    /// Any [`DatabaseError`]; the transaction can only be dropped then.
    pub async fn rows(&mut self, query: &Query, parameters: &Record) -> Result<Vec<Record>, DatabaseError> {
        let values = query.values(parameters);
        let done =
            timeout_at(self.deadline, self.lease.connection.rows(query, &values, self.database.unreadable())).await;
        self.checked(done)
    }

    /// Runs a statement; returns how many rows it changed.
    ///
    /// # Errors
    /// Any [`DatabaseError`]; the transaction can only be dropped then.
    pub async fn execute(&mut self, query: &Query, parameters: &Record) -> Result<u64, DatabaseError> {
        let values = query.values(parameters);
        let done = timeout_at(self.deadline, self.lease.connection.execute(query, &values)).await;
        self.checked(done)
    }

    /// Runs a statement for each of several sets of parameters; returns how many rows were changed in all.
    ///
    /// # Errors
    /// Any [`DatabaseError`]; the transaction can only be dropped then.
    pub async fn batch(&mut self, query: &Query, parameters: &[Record]) -> Result<u64, DatabaseError> {
        let mut changed = 0;
        for parameters in parameters {
            let values: Vec<&Value> = query.values(parameters);
            let done = timeout_at(self.deadline, self.lease.connection.execute(query, &values)).await;
            changed += self.checked(done)?;
        }
        Ok(changed)
    }

    /// Runs an INSERT of as many rows as these; returns how many were changed.
    ///
    /// # Errors
    /// Any [`DatabaseError`]; the transaction can only be dropped then.
    pub async fn insert(&mut self, query: &Query, rows: &[Record]) -> Result<u64, DatabaseError> {
        let values = query.values_of_rows(rows);
        let done = timeout_at(self.deadline, self.lease.connection.execute(query, &values)).await;
        self.checked(done)
    }

    /// Runs statements of our own with `;` between them, as migrations are.
    ///
    /// # Errors
    /// Any [`DatabaseError`]; the transaction can only be dropped then.
    pub async fn script(&mut self, script: &'static str) -> Result<(), DatabaseError> {
        let done = timeout_at(self.deadline, self.lease.connection.script(script)).await;
        self.checked(done)
    }

    /// Makes it all last.
    ///
    /// # Errors
    /// When something before failed, nothing is committed. When the connection breaks here or the limit is over, it is
    /// not known whether it was.
    pub async fn commit(mut self) -> Result<(), DatabaseError> {
        if self.is_spoiled {
            let name = self.database.name().to_owned();
            return Err(DatabaseError::Refused { name, error: "a statement of this transaction failed".into() });
        }
        let done = timeout_at(self.deadline, self.lease.connection.commit()).await;
        self.checked(done)?;
        self.lease.give_back();
        Ok(())
    }

    fn checked<T>(
        &mut self,
        done: Result<Result<T, Failure>, tokio::time::error::Elapsed>,
    ) -> Result<T, DatabaseError> {
        self.is_spoiled |= !matches!(done, Ok(Ok(_)));
        match done {
            Ok(Ok(done)) => {
                self.database.answered();
                Ok(done)
            }
            Ok(Err(failure)) => Err(self.database.failed(failure)),
            Err(_) => Err(self.database.timed_out(self.limit)),
        }
    }
}
