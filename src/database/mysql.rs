//! MySQL and MariaDB.
//!
//! **Invariant**: the server compares; what is bound is text, a number or a truth value, never part of the statement.
//! Times are UTC: the driver sets the connection's zone.

use std::sync::atomic::AtomicU64;

use futures_util::TryStreamExt;
use jiff::civil::{Date, DateTime};
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlValueRef};
use sqlx::{
    Arguments, Column, ConnectOptions, Connection as _, Decode, Executor, MySql, Row, Statement, Type, TypeInfo,
    ValueRef,
};

use super::column::{self, Reader};
use super::error::{Failure, failure, one_line, unconnected};
use super::{Dialect, Query, statement};
use crate::boot::{Record, Value};

pub(super) struct Driver {
    options: MySqlConnectOptions,
}

pub(super) struct Connection {
    raw: MySqlConnection,
}

impl Driver {
    pub(super) fn parse(url: &str, password: Option<&str>) -> Result<Driver, String> {
        let mut options: MySqlConnectOptions =
            url.parse().map_err(|_| "write `mariadb://USER@HOST/NAME`; the URL cannot be read".to_owned())?;
        if let Some(password) = password {
            options = options.password(password);
        }
        // The server's modes stay as the site has them.
        let options = options.pipes_as_concat(false).no_engine_substitution(false).disable_statement_logging();
        Ok(Driver { options })
    }

    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        Ok(Connection { raw: self.options.connect().await.map_err(|error| unconnected(error, of_server))? })
    }
}

impl Connection {
    pub(super) async fn rows(
        &mut self,
        query: &Query,
        values: &[&Value],
        unreadable: &AtomicU64,
    ) -> Result<Vec<Record>, Failure> {
        let sql = statement(query, Dialect::MySql)?;
        let mut rows = sqlx::query_with::<MySql, _>(sql, arguments(values)?).fetch(&mut self.raw);
        let mut reader = Reader::new(unreadable);
        while let Some(row) = rows.try_next().await.map_err(refused)? {
            let columns = row.columns().iter().enumerate();
            reader.row(columns.map(|(at, column)| (column.name(), value(&row, at))))?;
        }
        Ok(reader.records())
    }

    pub(super) async fn execute(&mut self, query: &Query, values: &[&Value]) -> Result<u64, Failure> {
        let sql = statement(query, Dialect::MySql)?;
        let query = sqlx::query_with::<MySql, _>(sql, arguments(values)?);
        Ok(query.execute(&mut self.raw).await.map_err(refused)?.rows_affected())
    }

    pub(super) async fn columns(&mut self, query: &Query) -> Result<Vec<String>, Failure> {
        let statement = (&mut self.raw).prepare(statement(query, Dialect::MySql)?).await.map_err(refused)?;
        Ok(statement.columns().iter().map(|column| column.name().to_ascii_lowercase()).collect())
    }

    pub(super) async fn script(&mut self, script: &'static str) -> Result<(), Failure> {
        self.raw.execute(sqlx::raw_sql(script)).await.map_err(refused).map(drop)
    }

    pub(super) async fn ping(&mut self) -> Result<(), Failure> {
        self.raw.ping().await.map_err(refused)
    }
}

fn arguments(values: &[&Value]) -> Result<MySqlArguments, Failure> {
    let mut arguments = MySqlArguments::default();
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<&str>),
            Value::Bool(value) => arguments.add(*value),
            Value::Integer(value) => arguments.add(*value),
            Value::Float(value) => arguments.add(*value),
            Value::Text(text) => arguments.add(text.as_str()),
        };
        added.map_err(|error| Failure::Refused(one_line(&error.to_string())))?;
    }
    Ok(arguments)
}

fn value(row: &MySqlRow, at: usize) -> Option<Value> {
    let raw: MySqlValueRef<'_> = row.try_get_raw(at).ok()?;
    if raw.is_null() {
        return Some(Value::Null);
    }
    let info = raw.type_info().into_owned();
    let is_text = <str as Type<MySql>>::compatible(&info);
    let octets = <&[u8] as Decode<MySql>>::decode(raw).ok()?;
    match info.name() {
        "BOOLEAN" => Some(match i64::from(i8::from_le_bytes(octets.try_into().ok()?)) {
            truth @ (0 | 1) => Value::Bool(truth == 1),
            number => Value::Integer(number),
        }),
        "TINYINT" | "SMALLINT" | "INT" | "MEDIUMINT" | "BIGINT" => Some(Value::Integer(signed(octets)?)),
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "INT UNSIGNED" | "MEDIUMINT UNSIGNED" | "BIGINT UNSIGNED"
        | "YEAR" => Some(column::unsigned(unsigned(octets.iter().rev())?)),
        "BIT" => Some(match octets {
            [truth @ (0 | 1)] => Value::Bool(*truth == 1),
            octets => column::unsigned(unsigned(octets.iter())?),
        }),
        "FLOAT" => Some(Value::Float(f64::from(f32::from_le_bytes(octets.try_into().ok()?)))),
        "DOUBLE" => Some(Value::Float(f64::from_le_bytes(octets.try_into().ok()?))),
        "DATE" => column::date(date(octets)?),
        "DATETIME" | "TIMESTAMP" => column::date_time(date_time(octets)?),
        "TIME" => duration(octets),
        "DECIMAL" | "JSON" | "ENUM" | "SET" => column::utf8(octets),
        "GEOMETRY" => None,
        _ if is_text => column::utf8(octets),
        _ => column::hex(octets),
    }
}

fn unsigned<'a>(octets: impl ExactSizeIterator<Item = &'a u8>) -> Option<u64> {
    (octets.len() <= 8).then(|| octets.fold(0, |number, octet| number << 8 | u64::from(*octet)))
}

fn signed(octets: &[u8]) -> Option<i64> {
    Some(match octets.len() {
        1 => i64::from(i8::from_le_bytes(octets.try_into().ok()?)),
        2 => i64::from(i16::from_le_bytes(octets.try_into().ok()?)),
        4 => i64::from(i32::from_le_bytes(octets.try_into().ok()?)),
        8 => i64::from_le_bytes(octets.try_into().ok()?),
        _ => return None,
    })
}

/// Length, year, month and day.
fn date(octets: &[u8]) -> Option<Date> {
    let [_, y0, y1, month, day, ..] = octets else { return None };
    let year = i16::try_from(u16::from_le_bytes([*y0, *y1])).ok()?;
    Date::new(year, i8::try_from(*month).ok()?, i8::try_from(*day).ok()?).ok()
}

/// A date, then as far as they are not zero hour, minute and second, then the microsecond.
fn date_time(octets: &[u8]) -> Option<DateTime> {
    let date = date(octets)?;
    let at = |place: usize| octets.get(place).copied().and_then(|octet| i8::try_from(octet).ok());
    let (hour, minute, second) = if octets.len() >= 8 { (at(5)?, at(6)?, at(7)?) } else { (0, 0, 0) };
    let micros = match octets.get(8..12) {
        Some(micros) => i32::from_le_bytes(micros.try_into().ok()?),
        None => 0,
    };
    DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, micros.checked_mul(1000)?).ok()
}

/// Length, sign, days, hour, minute, second, microsecond: hours may be more than a day has.
fn duration(octets: &[u8]) -> Option<Value> {
    let Some((sign, rest)) = octets.get(1..).and_then(<[u8]>::split_first) else { return column::text("00:00:00") };
    let (days, rest) = rest.split_first_chunk::<4>()?;
    let [hour, minute, second, ..] = rest else { return None };
    let hours = u64::from(u32::from_le_bytes(*days)) * 24 + u64::from(*hour);
    let sign = if *sign == 1 { "-" } else { "" };
    let micros = match rest.get(3..7) {
        Some(micros) => format!(".{:06}", u32::from_le_bytes(micros.try_into().ok()?)),
        None => String::new(),
    };
    column::text(format!("{sign}{hours:02}:{minute:02}:{second:02}{micros}"))
}

fn refused(error: sqlx::Error) -> Failure {
    failure(error, of_server)
}

fn of_server(error: &dyn sqlx::error::DatabaseError) -> Failure {
    let message = one_line(error.message());
    match error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number) {
        // A deadlock, a lock that was not given in time, or too many connections.
        Some(1040 | 1203 | 1205 | 1213) => Failure::Again(message),
        // The server goes away, or ended this connection.
        Some(1053 | 1077 | 1078 | 1079 | 1080 | 1152 | 1158..=1161 | 1184 | 1927 | 4031) => Failure::Broken(message),
        _ if error.code().as_deref() == Some("08S01") => Failure::Broken(message),
        _ => Failure::Refused(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_protocol_has_them() {
        assert_eq!(date(&[4, 0xea, 7, 7, 1]), Some(jiff::civil::date(2026, 7, 1)));
        assert_eq!(date_time(&[4, 0xea, 7, 7, 1]), Some(jiff::civil::date(2026, 7, 1).at(0, 0, 0, 0)));
        assert_eq!(date_time(&[7, 0xea, 7, 7, 1, 12, 30, 5]), Some(jiff::civil::date(2026, 7, 1).at(12, 30, 5, 0)));
        let micros = [11, 0xea, 7, 7, 1, 12, 30, 5, 1, 0, 0, 0];
        assert_eq!(date_time(&micros), Some(jiff::civil::date(2026, 7, 1).at(12, 30, 5, 1000)));
        assert_eq!(duration(&[0]), Some("00:00:00".into()));
        assert_eq!(duration(&[8, 1, 1, 0, 0, 0, 2, 3, 4]), Some("-26:03:04".into()));
    }

    #[test]
    fn nonsense_is_unreadable() {
        assert_eq!((date(&[]), date(&[4, 0, 0, 13, 1]), date_time(&[7, 0xea, 7, 7, 1, 99, 0, 0])), (None, None, None));
        assert_eq!((duration(&[8, 0, 1]), signed(&[1, 2, 3]), unsigned([0; 9].iter())), (None, None, None));
    }
}
