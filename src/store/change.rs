//! Several changes that happen together or not at all.

use crate::boot::Record;
use crate::database::{Dialect, Transaction};

use super::StoreError;
use super::sql::{ROWS, Statement};

/// A transaction with our statements; rolled back when it is dropped before [`Change::commit`].
pub(super) struct Change<'a> {
    dialect: Dialect,
    transaction: Transaction<'a>,
}

impl<'a> Change<'a> {
    pub(super) fn new(dialect: Dialect, transaction: Transaction<'a>) -> Change<'a> {
        Change { dialect, transaction }
    }

    pub(super) async fn rows(&mut self, statement: &Statement, values: &Record) -> Result<Vec<Record>, StoreError> {
        Ok(self.transaction.rows(statement.of(self.dialect), values).await?)
    }

    /// The first row, where there is one.
    pub(super) async fn row(&mut self, statement: &Statement, values: &Record) -> Result<Option<Record>, StoreError> {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    /// Changes rows; how many.
    pub(super) async fn execute(&mut self, statement: &Statement, values: &Record) -> Result<u64, StoreError> {
        Ok(self.transaction.execute(statement.of(self.dialect), values).await?)
    }

    /// The same change with each of these values.
    pub(super) async fn batch(&mut self, statement: &Statement, values: &[Record]) -> Result<(), StoreError> {
        if !values.is_empty() {
            self.transaction.batch(statement.of(self.dialect), values).await?;
        }
        Ok(())
    }

    /// Inserts these rows, many by each statement: see [`Statement::of_rows`]. Where the statement changes what is there,
    /// no two of them may be the same row.
    pub(super) async fn insert(&mut self, statement: &Statement, rows: &[Record]) -> Result<(), StoreError> {
        let (many, rest) = rows.split_at(rows.len() - rows.len() % ROWS);
        for rows in many.chunks(ROWS) {
            self.transaction.insert(statement.of_rows(self.dialect), rows).await?;
        }
        self.batch(statement, rest).await
    }

    /// Runs a migration.
    pub(super) async fn script(&mut self, text: &'static str) -> Result<(), StoreError> {
        Ok(self.transaction.script(text).await?)
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }
}
