//! SQLite: a file, opened by a thread of its own for each connection.
//!
//! **Invariant**: a site's file is opened for reading only unless its URL says otherwise, and is never created; a file
//! that was replaced by another one is opened anew. A statement whose caller went away is interrupted.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
    SqliteValueRef,
};
use sqlx::{Arguments, Column, ConnectOptions, Decode, Executor, Row, Sqlite, Statement, TypeInfo, ValueRef};

use super::column::{self, Reader};
use super::error::{Failure, failure, one_line};
use super::{Dialect, Query, statement};
use crate::boot::{Record, Value};

/// How long a connection waits for another one's change.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// After this many steps SQLite asks whether the statement is still wanted.
const STEPS_PER_QUESTION: i32 = 10_000;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Read,
    Write,
    /// Our own: created when it is not there.
    Create,
}

pub(super) struct Driver {
    options: SqliteConnectOptions,
    file: PathBuf,
    mode: Mode,
}

pub(super) struct Connection {
    raw: SqliteConnection,
    is_unwanted: Arc<AtomicBool>,
    stamp: Option<Stamp>,
}

/// Which file it is, and for a file of the site's also whether it was written to: somebody may have changed its tables,
/// which the driver's prepared statements do not survive.
type Stamp = (u64, u64, Option<(i64, i64, u64)>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }
}

impl Driver {
    /// Reads `sqlite:FILE` and `sqlite:FILE?mode=MODE`; relative paths are below `folder`.
    pub(super) fn parse(rest: &str, folder: &Path) -> Result<Driver, String> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (file, mode) = match rest.split_once('?') {
            None | Some((_, "mode=ro")) => (rest.split('?').next().unwrap_or_default(), Mode::Read),
            Some((file, "mode=rw")) => (file, Mode::Write),
            Some((file, "mode=rwc")) => (file, Mode::Create),
            Some(_) => return Err("write `sqlite:FILE`, or `sqlite:FILE?mode=rw` when queries change it".into()),
        };
        if file.is_empty() || file.starts_with(':') {
            return Err("write `sqlite:FILE` with the name of a file".into());
        }
        Ok(Driver::new(&folder.join(file), mode))
    }

    pub(super) fn new(file: &Path, mode: Mode) -> Driver {
        let mut options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(mode == Mode::Read)
            .create_if_missing(mode == Mode::Create)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        if mode == Mode::Create {
            // FULL: a change that was acknowledged is there after a power cut, or a machine could be installed twice.
            options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        }
        Driver { options, file: file.to_owned(), mode }
    }

    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        if self.mode == Mode::Create && !self.file.exists() {
            make(&self.file).map_err(|error| Failure::Refused(format!("{}: {error}", self.file.display())))?;
        }
        let stamp = self.stamp();
        let opened = self.options.connect().await;
        let mut raw = opened.map_err(|error| match refused(error) {
            // Waiting a moment makes no file.
            Failure::Broken(error) | Failure::Refused(error) => {
                Failure::Refused(format!("{}: {error}", self.file.display()))
            }
            failure => failure,
        })?;
        let is_unwanted = Arc::new(AtomicBool::new(false));
        let question = is_unwanted.clone();
        raw.lock_handle()
            .await
            .map_err(refused)?
            .set_progress_handler(STEPS_PER_QUESTION, move || !question.load(Ordering::Relaxed));
        Ok(Connection { raw, is_unwanted, stamp })
    }

    /// Whether the connection still has the file that is there now.
    pub(super) fn is_current(&self, connection: &Connection) -> bool {
        connection.stamp == self.stamp()
    }

    fn stamp(&self) -> Option<Stamp> {
        let metadata = std::fs::metadata(&self.file).ok()?;
        let written = (metadata.mtime(), metadata.mtime_nsec(), metadata.size());
        Some((metadata.dev(), metadata.ino(), (self.mode != Mode::Create).then_some(written)))
    }
}

/// Makes our own file, for its owner's eyes only: command lines of images may hold secrets. What root makes by a command
/// belongs to whoever the folder belongs to, or the server could not write to it.
///
/// A file that is there is never opened here: closing it would drop the locks of other connections.
fn make(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    match File::options().write(true).create_new(true).mode(0o600).open(file) {
        Ok(made) => {
            let (owner, new) = (folder.metadata()?, made.metadata()?);
            if new.uid() == 0 && owner.uid() != 0 {
                // Not by its name: the folder's owner could have put a link to a file of root's in its place.
                std::os::unix::fs::fchown(&made, Some(owner.uid()), Some(owner.gid()))?;
            }
            Ok(())
        }
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

impl Connection {
    pub(super) async fn rows(
        &mut self,
        query: &Query,
        values: &[&Value],
        unreadable: &AtomicU64,
    ) -> Result<Vec<Record>, Failure> {
        let sql = statement(query, Dialect::Sqlite)?;
        let mut rows = sqlx::query_with::<Sqlite, _>(sql, arguments(values)?).fetch(&mut self.raw);
        let mut reader = Reader::new(unreadable);
        while let Some(row) = rows.try_next().await.map_err(refused)? {
            let columns = row.columns().iter().enumerate();
            reader.row(columns.map(|(at, column)| (column.name(), value(&row, at, column.type_info().name()))))?;
        }
        Ok(reader.records())
    }

    pub(super) async fn execute(&mut self, query: &Query, values: &[&Value]) -> Result<u64, Failure> {
        let sql = statement(query, Dialect::Sqlite)?;
        let query = sqlx::query_with::<Sqlite, _>(sql, arguments(values)?);
        Ok(query.execute(&mut self.raw).await.map_err(refused)?.rows_affected())
    }

    pub(super) async fn columns(&mut self, query: &Query) -> Result<Vec<String>, Failure> {
        let statement = (&mut self.raw).prepare(statement(query, Dialect::Sqlite)?).await.map_err(refused)?;
        Ok(statement.columns().iter().map(|column| column.name().to_ascii_lowercase()).collect())
    }

    pub(super) async fn script(&mut self, script: &'static str) -> Result<(), Failure> {
        self.raw.execute(sqlx::raw_sql(script)).await.map_err(refused).map(drop)
    }

    pub(super) async fn ping(&mut self) -> Result<(), Failure> {
        // Reads the file, which the driver's own ping does not.
        self.script("select count(*) from sqlite_schema").await
    }
}

fn arguments(values: &[&Value]) -> Result<SqliteArguments, Failure> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Bool(value) => arguments.add(*value),
            Value::Integer(value) => arguments.add(*value),
            Value::Float(value) => arguments.add(*value),
            Value::Text(text) => arguments.add(text.as_str()),
        };
        added.map_err(|error| Failure::Refused(one_line(&error.to_string())))?;
    }
    Ok(arguments)
}

fn value(row: &SqliteRow, at: usize, declared: &str) -> Option<Value> {
    let raw: SqliteValueRef<'_> = row.try_get_raw(at).ok()?;
    if raw.is_null() {
        return Some(Value::Null);
    }
    let stored = raw.type_info().into_owned();
    match stored.name() {
        "INTEGER" | "BOOLEAN" => match <i64 as Decode<Sqlite>>::decode(raw).ok()? {
            truth @ (0 | 1) if declared == "BOOLEAN" => Some(Value::Bool(truth == 1)),
            number => Some(Value::Integer(number)),
        },
        "REAL" => Some(Value::Float(<f64 as Decode<Sqlite>>::decode(raw).ok()?)),
        "BLOB" => column::hex(<&[u8] as Decode<Sqlite>>::decode(raw).ok()?),
        _ => column::text(<&str as Decode<Sqlite>>::decode(raw).ok()?),
    }
}

fn refused(error: sqlx::Error) -> Failure {
    failure(error, |error| {
        let message = one_line(error.message());
        // The low octet is the primary code.
        let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
        match code & 0xff {
            // BUSY, LOCKED
            5 | 6 => Failure::Again(message),
            // INTERRUPT, IOERR, CORRUPT, CANTOPEN, NOTADB, and the file was moved away
            9 | 10 | 11 | 14 | 26 => Failure::Broken(message),
            _ if code == 1032 => Failure::Broken(message),
            _ => Failure::Refused(message),
        }
    })
}
