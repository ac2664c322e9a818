//! The kinds of databases, behind one type for how to connect and one for a connection.
//!
//! **Invariant**: everything above this file is the same for every kind.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::error::Failure;
use super::{Dialect, Query, mssql, mysql, password, postgres, sqlite};
use crate::boot::{Line, Record, Value};
use crate::config::DatabaseSection;
use crate::nearest::cut;

/// How to connect.
pub(super) enum Driver {
    Sqlite(Box<sqlite::Driver>),
    Postgres(Box<postgres::Driver>),
    MySql(Box<mysql::Driver>),
    MsSql(Box<mssql::Driver>),
}

/// One connection.
pub(super) enum Connection {
    Sqlite(sqlite::Connection),
    Postgres(postgres::Connection),
    MySql(mysql::Connection),
    MsSql(Box<mssql::Connection>),
}

/// Why a section of the configuration names no database.
pub(super) enum Mistake {
    Url(String),
    Password(String),
}

impl Driver {
    pub(super) fn open(section: &DatabaseSection, folder: &Path) -> Result<Driver, Mistake> {
        let password = password::password(section).map_err(Mistake::Password)?;
        let url = section.url.trim();
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(Mistake::Url(KINDS.into()));
        };
        if password.is_some() && has_password(rest) {
            return Err(Mistake::Password("the URL has a password too; leave it out there".into()));
        }
        // Drivers go on without what they do not know, as without a `sslmod=verify-full`, and one logs its value.
        if let Some(name) = unknown_parameter(scheme, rest) {
            return Err(Mistake::Url(format!("the URL has a parameter `{}`, which is none", Line::clean(cut(name)))));
        }
        let password = password.as_deref();
        match scheme.to_ascii_lowercase().as_str() {
            "sqlite" => sqlite::Driver::parse(rest, folder).map(|it| Driver::Sqlite(it.into())),
            "postgres" | "postgresql" => postgres::Driver::parse(url, password).map(|it| Driver::Postgres(it.into())),
            "mysql" | "mariadb" => mysql::Driver::parse(url, password).map(|it| Driver::MySql(it.into())),
            "mssql" | "sqlserver" => mssql::Driver::parse(rest, password).map(|it| Driver::MsSql(it.into())),
            _ => Err(KINDS.into()),
        }
        .map_err(Mistake::Url)
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Driver::Sqlite(_) => Dialect::Sqlite,
            Driver::Postgres(_) => Dialect::Postgres,
            Driver::MySql(_) => Dialect::MySql,
            Driver::MsSql(_) => Dialect::MsSql,
        }
    }

    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        match self {
            Driver::Sqlite(driver) => driver.connect().await.map(Connection::Sqlite),
            Driver::Postgres(driver) => driver.connect().await.map(Connection::Postgres),
            Driver::MySql(driver) => driver.connect().await.map(Connection::MySql),
            Driver::MsSql(driver) => driver.connect().await.map(|it| Connection::MsSql(it.into())),
        }
    }

    /// Whether a connection that was not used for a while is still one to this database.
    pub(super) fn is_current(&self, connection: &Connection) -> bool {
        match (self, connection) {
            (Driver::Sqlite(driver), Connection::Sqlite(connection)) => driver.is_current(connection),
            _ => true,
        }
    }
}

const KINDS: &str = "`url` begins with `sqlite:`, `postgres:`, `mariadb:`, `mysql:` or `mssql:`";

/// What may stand after the `?` of a URL. SQLite and Microsoft SQL Server read theirs themselves.
const OF_POSTGRES: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];
const OF_MYSQL: &[&str] = &[
    "charset",
    "collation",
    "socket",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "sslca",
    "sslcert",
    "sslkey",
    "sslmode",
    "statement-cache-capacity",
    "time-zone",
    "timezone",
];

/// The first parameter of a URL that its driver does not know.
fn unknown_parameter<'a>(scheme: &str, rest: &'a str) -> Option<&'a str> {
    let known = match scheme.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => OF_POSTGRES,
        "mysql" | "mariadb" => OF_MYSQL,
        _ => return None,
    };
    let query = rest.split_once('?')?.1.split('#').next().unwrap_or_default();
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let is_known = |name: &str| name.is_empty() || known.contains(&name) || name.starts_with("options[");
    names.into_iter().find(|name| !is_known(name))
}

/// Whether the authority of a URL has a password, `//user:password@host`.
fn has_password(rest: &str) -> bool {
    let authority = rest.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

impl Connection {
    pub(super) async fn rows(
        &mut self,
        query: &Query,
        values: &[&Value],
        unreadable: &AtomicU64,
    ) -> Result<Vec<Record>, Failure> {
        match self {
            Connection::Sqlite(connection) => connection.rows(query, values, unreadable).await,
            Connection::Postgres(connection) => connection.rows(query, values, unreadable).await,
            Connection::MySql(connection) => connection.rows(query, values, unreadable).await,
            Connection::MsSql(connection) => connection.rows(query, values, unreadable).await,
        }
    }

    /// How many rows it changed.
    pub(super) async fn execute(&mut self, query: &Query, values: &[&Value]) -> Result<u64, Failure> {
        match self {
            Connection::Sqlite(connection) => connection.execute(query, values).await,
            Connection::Postgres(connection) => connection.execute(query, values).await,
            Connection::MySql(connection) => connection.execute(query, values).await,
            Connection::MsSql(connection) => connection.execute(query, values).await,
        }
    }

    /// The names of the result's columns, in lower case; the query is prepared, not run.
    pub(super) async fn columns(&mut self, query: &Query) -> Result<Vec<String>, Failure> {
        match self {
            Connection::Sqlite(connection) => connection.columns(query).await,
            Connection::Postgres(connection) => connection.columns(query).await,
            Connection::MySql(connection) => connection.columns(query).await,
            Connection::MsSql(connection) => connection.columns(query).await,
        }
    }

    /// Statements of our own, without parameters.
    pub(super) async fn script(&mut self, script: &'static str) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => connection.script(script).await,
            Connection::Postgres(connection) => connection.script(script).await,
            Connection::MySql(connection) => connection.script(script).await,
            Connection::MsSql(connection) => connection.script(script).await,
        }
    }

    pub(super) async fn ping(&mut self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => connection.ping().await,
            Connection::Postgres(connection) => connection.ping().await,
            Connection::MySql(connection) => connection.ping().await,
            Connection::MsSql(connection) => connection.ping().await,
        }
    }

    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        let script = match self {
            // At once the only writer: a transaction that reads first could otherwise fail when it comes to write.
            Connection::Sqlite(_) => "begin immediate",
            Connection::Postgres(_) => "begin",
            Connection::MySql(_) => "start transaction",
            Connection::MsSql(_) => "begin transaction",
        };
        self.script(script).await?;
        self.set_in_transaction(true);
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.set_in_transaction(false);
        self.script("commit").await
    }

    fn set_in_transaction(&mut self, is_in_transaction: bool) {
        if let Connection::Postgres(connection) = self {
            connection.is_in_transaction = is_in_transaction;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_a_driver_would_not_heed_is_told_without_its_value() {
        let of = |url: &str| {
            let section = DatabaseSection { url: url.into(), ..DatabaseSection::default() };
            match Driver::open(&section, Path::new("/")) {
                Err(Mistake::Url(problem)) => problem,
                _ => String::new(),
            }
        };
        let none = "the URL has a parameter `pasword`, which is none";
        assert_eq!(of("postgres://u@h/db?sslmode=require&pasword=s3cret"), none);
        assert_eq!(of("mariadb://u@h/db?pasword=s3cret"), none);
        assert_eq!(of("postgres://u@h/db?sslmode=verify-full&options[statement_timeout]=5s"), "");
        assert_eq!(of("mysql://u@h/db?ssl-mode=VERIFY_CA&ssl-ca=/etc/ca.pem&"), "");
    }

    #[test]
    fn sees_a_password_in_a_url() {
        assert!(has_password("//user:secret@host/db"));
        assert!(has_password("//user:se@cret@host:5432"));
        assert!(!has_password("//user@host:5432/db?x=a:b@c"));
        assert!(!has_password("//host:5432/db"));
        assert!(!has_password("/var/lib/a:b@c.db"));
    }
}
