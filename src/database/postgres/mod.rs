//! PostgreSQL.
//!
//! The server is asked once which type each parameter has, and the values are converted to it: `where mac = :mac` works
//! for columns of type `text`, `macaddr`, `uuid`, `inet`, `integer` and so on, without a cast in the site's query.
//!
//! **Invariant**: a value that cannot be of the parameter's type finds nothing: it is null in a query that reads, and
//! an error in one that changes something.

mod encode;
mod numeric;
mod read;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::TryStreamExt;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgTypeInfo};
use sqlx::{
    Arguments, Column, ConnectOptions, Connection as _, Either, Executor, Postgres, Row, SqlStr, Statement, TypeInfo,
};

use super::column::Reader;
use super::error::{Failure, failure, one_line, unconnected};
use super::{Dialect, Query, statement};
use crate::boot::{Record, Value};

use encode::{Argument, Encoded};

/// Lets the server say which type a parameter has.
const UNSPECIFIED: PgTypeInfo = PgTypeInfo::with_oid(Oid(0));
const TEXT: PgTypeInfo = PgTypeInfo::with_oid(Oid(25));

/// A backend whose client is gone ends its query; servers before 14 do not know the setting and refuse it.
const NOTICE_LOST_CLIENTS: &str = "set client_connection_check_interval = '1s'";

type Types = Arc<[PgTypeInfo]>;

/// The types of the parameters of each statement; there are as many as the site and Pointsman have queries.
type Known = HashMap<Arc<str>, Types>;

pub(super) struct Driver {
    options: PgConnectOptions,
    /// What the server said last, so that not every connection has to ask.
    learned: Arc<RwLock<Known>>,
}

pub(super) struct Connection {
    raw: PgConnection,
    learned: Arc<RwLock<Known>>,
    /// How the statements of this connection were prepared: what is bound must be of these types, even after another
    /// connection learned that a table changed.
    prepared: Known,
    pub(super) is_in_transaction: bool,
}

impl Driver {
    pub(super) fn parse(url: &str, password: Option<&str>) -> Result<Driver, String> {
        let mut options: PgConnectOptions =
            url.parse().map_err(|_| "write `postgres://USER@HOST/NAME`; the URL cannot be read".to_owned())?;
        if let Some(password) = password {
            options = options.password(password);
        }
        if options.get_application_name().is_none() {
            options = options.application_name("pointsman");
        }
        Ok(Driver { options: options.disable_statement_logging(), learned: Arc::default() })
    }

    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let mut raw = self.options.connect().await.map_err(|error| unconnected(error, of_server))?;
        if raw.server_version_num().is_some_and(|version| version >= 140_000) {
            raw.execute(sqlx::raw_sql(NOTICE_LOST_CLIENTS)).await.map_err(refused)?;
        }
        Ok(Connection { raw, learned: self.learned.clone(), prepared: Known::new(), is_in_transaction: false })
    }
}

impl Connection {
    pub(super) async fn rows(
        &mut self,
        query: &Query,
        values: &[&Value],
        unreadable: &AtomicU64,
    ) -> Result<Vec<Record>, Failure> {
        match self.try_rows(query, values, unreadable).await {
            Err(Failure::Outdated(_)) if self.forget(query).await? => self.try_rows(query, values, unreadable).await,
            result => result,
        }
    }

    pub(super) async fn execute(&mut self, query: &Query, values: &[&Value]) -> Result<u64, Failure> {
        match self.try_execute(query, values).await {
            Err(Failure::Outdated(_)) if self.forget(query).await? => self.try_execute(query, values).await,
            result => result,
        }
    }

    async fn try_rows(
        &mut self,
        query: &Query,
        values: &[&Value],
        unreadable: &AtomicU64,
    ) -> Result<Vec<Record>, Failure> {
        let sql = statement(query, Dialect::Postgres)?;
        let arguments = self.arguments(&sql, query, values, false).await?;
        let mut rows = sqlx::query_with::<Postgres, _>(sql, arguments).fetch(&mut self.raw);
        let mut reader = Reader::new(unreadable);
        while let Some(row) = rows.try_next().await.map_err(refused)? {
            let columns = row.columns().iter().enumerate();
            reader.row(columns.map(|(at, column)| (column.name(), read::value(&row, at))))?;
        }
        Ok(reader.records())
    }

    async fn try_execute(&mut self, query: &Query, values: &[&Value]) -> Result<u64, Failure> {
        let sql = statement(query, Dialect::Postgres)?;
        let arguments = self.arguments(&sql, query, values, true).await?;
        let query = sqlx::query_with::<Postgres, _>(sql, arguments);
        Ok(query.execute(&mut self.raw).await.map_err(refused)?.rows_affected())
    }

    pub(super) async fn columns(&mut self, query: &Query) -> Result<Vec<String>, Failure> {
        let sql = statement(query, Dialect::Postgres)?;
        let types = self.types(&sql, query).await?;
        let statement = self.raw.prepare_with(sql, &types).await.map_err(refused)?;
        Ok(statement.columns().iter().map(|column| column.name().to_ascii_lowercase()).collect())
    }

    pub(super) async fn script(&mut self, script: &'static str) -> Result<(), Failure> {
        self.raw.execute(sqlx::raw_sql(script)).await.map_err(refused).map(drop)
    }

    pub(super) async fn ping(&mut self) -> Result<(), Failure> {
        self.raw.ping().await.map_err(refused)
    }

    async fn arguments(
        &mut self,
        sql: &SqlStr,
        query: &Query,
        values: &[&Value],
        is_change: bool,
    ) -> Result<PgArguments, Failure> {
        let types = self.types(sql, query).await?;
        let mut arguments = PgArguments::default();
        for ((value, kind), name) in values.iter().zip(types.iter()).zip(query.parameters()) {
            let octets = match encode::encode(value, kind) {
                Encoded::Octets(octets) => Some(octets),
                Encoded::Null => None,
                Encoded::Unfit if !is_change => None,
                Encoded::Unfit => {
                    return Err(Failure::Unfit { parameter: name.to_owned(), kind: kind.name().to_ascii_lowercase() });
                }
                Encoded::Unknown => {
                    let kind = kind.name().to_ascii_lowercase();
                    return Err(Failure::Refused(format!(
                        "`:{name}` is of type {kind} there; write `cast(cast(:{name} as text) as {kind})`"
                    )));
                }
            };
            let added = arguments.add(Argument { octets, kind: kind.clone() });
            added.map_err(|error| Failure::Refused(one_line(&error.to_string())))?;
        }
        Ok(arguments)
    }

    /// Which types the parameters have: remembered, or asked for.
    async fn types(&mut self, sql: &SqlStr, query: &Query) -> Result<Types, Failure> {
        if let Some(types) = self.prepared.get(sql.as_str()) {
            return Ok(types.clone());
        }
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner).get(sql.as_str()).cloned();
        let types = match learned {
            Some(types) => types,
            None => {
                let types = self.ask_types(sql, query.parameters().count()).await?;
                self.learned.write().unwrap_or_else(PoisonError::into_inner).insert(sql.as_str().into(), types.clone());
                types
            }
        };
        self.prepared.insert(sql.as_str().into(), types.clone());
        Ok(types)
    }

    async fn ask_types(&mut self, sql: &SqlStr, count: usize) -> Result<Types, Failure> {
        let mut asked = vec![UNSPECIFIED; count];
        loop {
            match self.raw.prepare_with(sql.clone(), &asked).await {
                Ok(statement) => {
                    return match statement.parameters() {
                        Some(Either::Left(types)) if types.len() == count => Ok(types.into()),
                        _ => Err(Failure::Refused("the server counts the parameters differently".into())),
                    };
                }
                // Nothing says which type it has, as in `:mac is null`: text will do.
                Err(sqlx::Error::Database(error))
                    if error.code().as_deref() == Some("42P18")
                        && parameter_number(error.message()).is_some_and(|number| settle(&mut asked, number)) => {}
                Err(error) => return Err(refused(error)),
            }
        }
    }

    /// After the server refused a query that it took before: somebody may have changed the tables. `true` when it is
    /// worth another attempt.
    async fn forget(&mut self, query: &Query) -> Result<bool, Failure> {
        let sql = statement(query, Dialect::Postgres)?;
        self.learned.write().unwrap_or_else(PoisonError::into_inner).remove(sql.as_str());
        // In a transaction, nothing can follow a statement that failed.
        if self.is_in_transaction || !self.prepared.contains_key(sql.as_str()) {
            return Ok(false);
        }
        self.prepared.clear();
        self.raw.clear_cached_statements().await.map_err(refused)?;
        Ok(true)
    }
}

/// Takes a parameter for text. `false` when it was taken so before, or there is none.
fn settle(asked: &mut [PgTypeInfo], number: usize) -> bool {
    match number.checked_sub(1).and_then(|at| asked.get_mut(at)) {
        Some(kind) if kind.oid() == UNSPECIFIED.oid() => {
            *kind = TEXT;
            true
        }
        _ => false,
    }
}

/// The `1` of `$1` in a message of any language.
fn parameter_number(message: &str) -> Option<usize> {
    let digits = &message[message.rfind('$')? + 1..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

fn refused(error: sqlx::Error) -> Failure {
    failure(error, of_server)
}

fn of_server(error: &dyn sqlx::error::DatabaseError) -> Failure {
    let message = one_line(error.message());
    match error.code().as_deref() {
        // A deadlock, a transaction that could not be put in order with another one, or too many connections.
        Some("40001" | "40P01" | "53300") => Failure::Again(message),
        // The server goes away, starts, or ended this connection.
        Some("57P01" | "57P02" | "57P03" | "57P05" | "25P03") => Failure::Broken(message),
        Some(code) if code.starts_with("08") => Failure::Broken(message),
        // A column that is gone or of another type, or a result with other columns.
        Some("0A000") => Failure::Outdated(message),
        Some(code) if code.starts_with("42") => Failure::Outdated(message),
        _ => Failure::Refused(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_parameter_that_has_no_type() {
        assert_eq!(parameter_number("could not determine data type of parameter $12"), Some(12));
        assert_eq!(parameter_number("konnte Datentyp von Parameter $1 nicht ermitteln"), Some(1));
        assert_eq!((parameter_number("no number"), parameter_number("$"), parameter_number("$x")), (None, None, None));
        let mut asked = vec![UNSPECIFIED; 2];
        assert!(settle(&mut asked, 2));
        assert!(!settle(&mut asked, 2) && !settle(&mut asked, 0) && !settle(&mut asked, 3));
    }
}
