//! The tables, and how they came to be: migrations that only go forward.
//!
//! **Invariant**: a migration that was released never changes. A new one goes to the end of [`MIGRATIONS`], as a file
//! for each kind of database, and leaves what an older program of a running server reads and writes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::change::Change;
use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{Store, StoreError};
use crate::boot::{Record, Value};
use crate::database::Dialect;

/// The version of the tables that this program knows: the number of its migrations.
const VERSION: i64 = MIGRATIONS.len() as i64;

/// For SQLite, PostgreSQL and MySQL; the first makes version 1.
const MIGRATIONS: &[[&str; 3]] = &[
    [
        include_str!("migrations/sqlite/0001_machines.sql"),
        include_str!("migrations/postgres/0001_machines.sql"),
        include_str!("migrations/mysql/0001_machines.sql"),
    ],
    [
        include_str!("migrations/sqlite/0002_history.sql"),
        include_str!("migrations/postgres/0002_history.sql"),
        include_str!("migrations/mysql/0002_history.sql"),
    ],
    [
        include_str!("migrations/sqlite/0003_sites.sql"),
        include_str!("migrations/postgres/0003_sites.sql"),
        include_str!("migrations/mysql/0003_sites.sql"),
    ],
    [
        include_str!("migrations/sqlite/0004_scripts.sql"),
        include_str!("migrations/postgres/0004_scripts.sql"),
        include_str!("migrations/mysql/0004_scripts.sql"),
    ],
];

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY, \
                        applied BIGINT NOT NULL)";

static HAS_VERSIONS: Statement = Statement::each([
    "SELECT name AS found FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'",
    "SELECT CAST(to_regclass('schema_version') AS TEXT) AS found",
    "SELECT table_name AS found FROM information_schema.tables \
     WHERE table_schema = DATABASE() AND table_name = 'schema_version'",
]);

static VERSION_FOUND: Statement = Statement::new("SELECT MAX(version) AS version FROM schema_version");

static NOTE_VERSION: Statement =
    Statement::new("INSERT INTO schema_version (version, applied) VALUES (:version, :applied)");

/// One program at a time; SQLite's transaction has the whole file. MySQL's lock is that of the connection, because a
/// transaction ends there with the first table that is made.
static LOCK: Statement = Statement::each([
    "SELECT 1 AS locked",
    "SELECT CASE WHEN CAST(pg_advisory_xact_lock(4886718345) AS TEXT) IS NULL THEN 0 ELSE 1 END AS locked",
    "SELECT GET_LOCK('pointsman.schema', 30) AS locked",
]);

static UNLOCK: Statement =
    Statement::each(["SELECT 1 AS locked", "SELECT 1 AS locked", "SELECT RELEASE_LOCK('pointsman.schema') AS locked"]);

impl Store {
    /// Makes the tables, or brings them up to date; asked of the database once, then known. Several programs may do it
    /// at the same time.
    ///
    /// # Errors
    /// When the tables are those of a later program, or the database fails.
    pub async fn prepare(&self, limit: Duration) -> Result<(), StoreError> {
        if self.is_prepared.load(Ordering::Acquire) {
            return Ok(());
        }
        // Those who come while it is being done wait, but not longer than for any other answer.
        let late = |_| StoreError::Unprepared { limit };
        let _turn = tokio::time::timeout(limit, self.preparing.lock()).await.map_err(late)?;
        if self.is_prepared.load(Ordering::Acquire) {
            return Ok(());
        }
        if self.version(limit).await? < VERSION {
            self.migrate(limit.max(Store::PATIENCE)).await?;
        }
        self.is_prepared.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether its tables are there and of this program's version. Makes nothing, other than the first use of the store.
    ///
    /// # Errors
    /// When the database fails, or its tables are those of a later program.
    pub async fn has_tables(&self, limit: Duration) -> Result<bool, StoreError> {
        Ok(self.version(limit).await? == VERSION)
    }

    async fn version(&self, limit: Duration) -> Result<i64, StoreError> {
        let dialect = self.database.dialect();
        let nothing = Record::default();
        let found = self.database.fresh_rows(HAS_VERSIONS.of(dialect), &nothing, limit).await?;
        if !is_there(&found) {
            return Ok(0);
        }
        read_version(&self.database.fresh_rows(VERSION_FOUND.of(dialect), &nothing, limit).await?)
    }

    async fn migrate(&self, limit: Duration) -> Result<(), StoreError> {
        let mut change = Change::new(self.database.dialect(), self.database.begin(limit).await?);
        let nothing = Record::default();
        let locked = change.row(&LOCK, &nothing).await?;
        if locked.and_then(|row| Row(&row).number("locked")) != Some(1) {
            return Err(StoreError::Unprepared { limit });
        }
        // Whatever fails here ends the connection, and MySQL's lock with it.
        steps(&mut change).await?;
        change.row(&UNLOCK, &nothing).await?;
        change.commit().await
    }
}

async fn steps(change: &mut Change<'_>) -> Result<(), StoreError> {
    change.script(VERSIONS).await?;
    let found = read_version(&change.rows(&VERSION_FOUND, &Record::default()).await?)?;
    for (number, texts) in (1..).zip(MIGRATIONS).skip(found as usize) {
        let [sqlite, postgres, mysql] = texts;
        change
            .script(match change.dialect() {
                Dialect::Postgres => postgres,
                Dialect::MySql => mysql,
                Dialect::Sqlite | Dialect::MsSql => sqlite,
            })
            .await?;
        let applied = millis(Timestamp::now());
        change.execute(&NOTE_VERSION, &parameters([("version", Value::Integer(number)), ("applied", applied)])).await?;
    }
    Ok(())
}

fn is_there(rows: &[Record]) -> bool {
    rows.iter().any(|row| row.text("found").is_some())
}

/// The version of the tables; between none and the newest that is known.
fn read_version(rows: &[Record]) -> Result<i64, StoreError> {
    let found = rows.first().and_then(|row| Row(row).number("version")).unwrap_or(0);
    match found {
        0..=VERSION => Ok(found),
        found => Err(StoreError::Newer { found, known: VERSION }),
    }
}
