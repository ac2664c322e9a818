//! Microsoft SQL Server, behind the feature `mssql`.
//!
//! **It was never run against a real server.** It compiles and follows the protocol library's documentation; whoever
//! uses it is the first.
//!
//! **Invariant**: one connection at a time, closed after any error and made anew; it is encrypted unless the URL says
//! `encrypt=no`, which sends even the password in clear.

use std::sync::atomic::AtomicU64;

use futures_util::{StreamExt, TryStreamExt};
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Span};
use tiberius::{AuthMethod, Client, ColumnData, Config, EncryptionLevel, ToSql};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::column::{self, Reader};
use super::error::{Failure, one_line};
use super::{Dialect, Query, statement};
use crate::boot::{Record, Value};

const FORM: &str = "write `mssql://USER@HOST/NAME`, with `:PORT` and `?encrypt=no` or `?ca=FILE` where needed";

/// Asks for the names of a statement's columns; the statement and its parameters are values.
const DESCRIBE: &str = "select name from sys.dm_exec_describe_first_result_set(@P1, @P2, 0) order by column_ordinal";

pub(super) struct Driver {
    config: Config,
}

pub(super) struct Connection {
    client: Client<Compat<TcpStream>>,
}

impl Driver {
    /// Reads `//USER@HOST:PORT/NAME?encrypt=no`.
    pub(super) fn parse(rest: &str, password: Option<&str>) -> Result<Driver, String> {
        let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
        let address = address.strip_prefix("//").ok_or(FORM)?;
        let (authority, database) = address.split_once('/').ok_or(FORM)?;
        let (user, host) = authority.rsplit_once('@').ok_or(FORM)?;
        let (user, of_url) = user.split_once(':').map_or((user, None), |(user, password)| (user, Some(password)));
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| FORM)?),
            None => (host, 1433),
        };
        if host.is_empty() || database.is_empty() {
            return Err(FORM.into());
        }
        let mut config = Config::new();
        config.host(host);
        config.port(port);
        config.database(database);
        config.application_name("pointsman");
        config.encryption(EncryptionLevel::Required);
        config.authentication(AuthMethod::sql_server(user, password.or(of_url).unwrap_or_default()));
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("encrypt", "no")) => config.encryption(EncryptionLevel::NotSupported),
                Some(("ca", file)) => config.trust_cert_ca(file),
                _ => return Err(FORM.into()),
            }
        }
        Ok(Driver { config })
    }

    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let broken = |error: std::io::Error| Failure::Broken(one_line(&error.to_string()));
        let tcp = TcpStream::connect(self.config.get_addr()).await.map_err(broken)?;
        tcp.set_nodelay(true).map_err(broken)?;
        let client = Client::connect(self.config.clone(), tcp.compat_write()).await.map_err(refused)?;
        Ok(Connection { client })
    }
}

impl Connection {
    pub(super) async fn rows(
        &mut self,
        query: &Query,
        values: &[&Value],
        unreadable: &AtomicU64,
    ) -> Result<Vec<Record>, Failure> {
        let sql = statement(query, Dialect::MsSql)?;
        let bound: Vec<Bound<'_>> = values.iter().map(|value| Bound(value)).collect();
        let bound: Vec<&dyn ToSql> = bound.iter().map(|value| value as &dyn ToSql).collect();
        let mut rows = self.client.query(sql.as_str(), &bound).await.map_err(refused)?.into_row_stream();
        let mut reader = Reader::new(unreadable);
        while let Some(row) = rows.try_next().await.map_err(refused)? {
            reader.row(row.cells().map(|(column, data)| (column.name(), value(data))))?;
        }
        Ok(reader.records())
    }

    pub(super) async fn execute(&mut self, query: &Query, values: &[&Value]) -> Result<u64, Failure> {
        let sql = statement(query, Dialect::MsSql)?;
        let bound: Vec<Bound<'_>> = values.iter().map(|value| Bound(value)).collect();
        let bound: Vec<&dyn ToSql> = bound.iter().map(|value| value as &dyn ToSql).collect();
        Ok(self.client.execute(sql.as_str(), &bound).await.map_err(refused)?.total())
    }

    pub(super) async fn columns(&mut self, query: &Query) -> Result<Vec<String>, Failure> {
        let sql = statement(query, Dialect::MsSql)?;
        let declared: Vec<String> = (1..=query.parameters().count()).map(|n| format!("@P{n} nvarchar(4000)")).collect();
        let declared = declared.join(", ");
        let rows = self.client.query(DESCRIBE, &[&sql.as_str(), &declared.as_str()]).await.map_err(refused)?;
        let rows = rows.into_first_result().await.map_err(refused)?;
        Ok(rows.iter().filter_map(|row| row.get::<&str, _>(0)).map(str::to_ascii_lowercase).collect())
    }

    pub(super) async fn script(&mut self, script: &'static str) -> Result<(), Failure> {
        let mut done = self.client.simple_query(script).await.map_err(refused)?;
        while let Some(item) = done.next().await {
            item.map_err(refused)?;
        }
        Ok(())
    }

    pub(super) async fn ping(&mut self) -> Result<(), Failure> {
        self.script("select 1").await
    }
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> ColumnData<'_> {
        match self.0 {
            Value::Null => ColumnData::String(None),
            Value::Bool(value) => ColumnData::Bit(Some(*value)),
            Value::Integer(value) => ColumnData::I64(Some(*value)),
            Value::Float(value) => ColumnData::F64(Some(*value)),
            Value::Text(text) => ColumnData::String(Some(text.as_str().into())),
        }
    }
}

fn value(data: &ColumnData<'static>) -> Option<Value> {
    let value = match data {
        ColumnData::U8(value) => value.map(|n| Some(Value::Integer(n.into()))),
        ColumnData::I16(value) => value.map(|n| Some(Value::Integer(n.into()))),
        ColumnData::I32(value) => value.map(|n| Some(Value::Integer(n.into()))),
        ColumnData::I64(value) => value.map(|n| Some(Value::Integer(n))),
        ColumnData::F32(value) => value.map(|n| Some(Value::Float(n.into()))),
        ColumnData::F64(value) => value.map(|n| Some(Value::Float(n))),
        ColumnData::Bit(value) => value.map(|truth| Some(Value::Bool(truth))),
        ColumnData::String(value) => value.as_deref().map(column::text),
        ColumnData::Guid(value) => value.map(|uuid| column::text(uuid.to_string())),
        ColumnData::Binary(value) => value.as_deref().map(column::hex),
        ColumnData::Numeric(value) => value.map(|number| column::text(number.to_string())),
        ColumnData::Xml(value) => value.as_deref().map(|xml| column::text(xml.to_string())),
        // Since 1900, in three hundredths of a second.
        ColumnData::DateTime(value) => value.map(|at| {
            let micros = i64::from(at.seconds_fragments()) * 10_000 / 3;
            column::date_time(day(1900, at.days().into())?.checked_add(SignedDuration::from_micros(micros)).ok()?)
        }),
        // Since 1900, in minutes.
        ColumnData::SmallDateTime(value) => value.map(|at| {
            let minutes = SignedDuration::from_mins(at.seconds_fragments().into());
            column::date_time(day(1900, at.days().into())?.checked_add(minutes).ok()?)
        }),
        ColumnData::Time(value) => value.map(|time| column::time(day(1, 0)?.checked_add(of_day(time)?).ok()?.time())),
        ColumnData::Date(value) => value.map(|date| column::date(day(1, date.days().into())?.date())),
        ColumnData::DateTime2(value) => value.map(|at| column::date_time(date_time(at)?)),
        // The server sends UTC beside the offset.
        ColumnData::DateTimeOffset(value) => value.map(|at| column::date_time(date_time(at.datetime2())?)),
    };
    value.unwrap_or(Some(Value::Null))
}

fn day(year: i16, days: i64) -> Option<DateTime> {
    let span = Span::new().try_days(days).ok()?;
    Some(Date::new(year, 1, 1).ok()?.checked_add(span).ok()?.at(0, 0, 0, 0))
}

fn of_day(time: tiberius::time::Time) -> Option<SignedDuration> {
    let nanos = 10_u64.checked_pow(9_u32.checked_sub(time.scale().into())?)?.checked_mul(time.increments())?;
    Some(SignedDuration::from_nanos(i64::try_from(nanos).ok()?))
}

fn date_time(at: tiberius::time::DateTime2) -> Option<DateTime> {
    day(1, at.date().days().into())?.checked_add(of_day(at.time())?).ok()
}

fn refused(error: tiberius::error::Error) -> Failure {
    let message = one_line(&error.to_string());
    match &error {
        error if error.is_deadlock() => Failure::Again(message),
        tiberius::error::Error::Server(_) | tiberius::error::Error::Tls(_) => Failure::Refused(message),
        _ => Failure::Broken(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_url() {
        assert!(Driver::parse("//sa@localhost/cmdb", Some("secret")).is_ok());
        assert!(Driver::parse("//sa@localhost:1434/cmdb?encrypt=no", Some("secret")).is_ok());
        for rest in ["localhost", "//localhost/cmdb", "//sa@localhost", "//sa@:1/x", "//sa@h:port/x", "//sa@h/x?y"] {
            assert_eq!(Driver::parse(rest, None).err().as_deref(), Some(FORM), "{rest}");
        }
    }

    #[test]
    fn reads_times() {
        use tiberius::time::{Date, DateTime, DateTime2, SmallDateTime, Time};
        let noon = Some("2026-07-01T12:00:00Z".into());
        let days = 46_202;
        assert_eq!(value(&ColumnData::DateTime(Some(DateTime::new(days, 12 * 3600 * 300)))), noon);
        let small = SmallDateTime::new(u16::try_from(days).unwrap(), 12 * 60);
        assert_eq!(value(&ColumnData::SmallDateTime(Some(small))), noon);
        let date = Date::new(u32::try_from(days).unwrap() + 693_595);
        let time = Time::new(12 * 3600 * 10_000_000, 7);
        assert_eq!(value(&ColumnData::DateTime2(Some(DateTime2::new(date, time)))), noon);
        assert_eq!(value(&ColumnData::Date(Some(date))), Some("2026-07-01".into()));
        assert_eq!(value(&ColumnData::Time(Some(time))), Some("12:00:00".into()));
        assert_eq!(value(&ColumnData::Date(None)), Some(Value::Null));
    }
}
