//! What every driver's columns have in common: the limits, and values that are written as text.
//!
//! **Invariant**: what a server sends is never trusted: a value that is too long, not UTF-8 or of a type that nobody
//! can read is null and counted, and a result with too many rows is no result.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::ROWS_MAX;
use super::error::Failure;
use crate::boot::{Record, Value};

/// Collects the rows of one result.
pub(super) struct Reader<'a> {
    records: Vec<Record>,
    unreadable: &'a AtomicU64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(unreadable: &'a AtomicU64) -> Reader<'a> {
        Reader { records: Vec::new(), unreadable }
    }

    /// A row: names and values, `None` for what cannot be read. Of two columns with one name the last one counts.
    pub(super) fn row<'n>(&mut self, columns: impl Iterator<Item = (&'n str, Option<Value>)>) -> Result<(), Failure> {
        if self.records.len() >= ROWS_MAX {
            return Err(Failure::TooManyRows);
        }
        let mut record = Record::default();
        for (name, value) in columns {
            let value = value.unwrap_or_else(|| {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
                Value::Null
            });
            if !record.insert(name, value) {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.records.push(record);
        Ok(())
    }

    pub(super) fn records(self) -> Vec<Record> {
        self.records
    }
}

/// Text, unless it is too long to be kept. Half a text would be a wrong one.
pub(super) fn text(text: impl Into<String>) -> Option<Value> {
    let text = text.into();
    (text.len() <= Value::TEXT_LEN_MAX).then_some(Value::Text(text))
}

/// UTF-8.
pub(super) fn utf8(octets: &[u8]) -> Option<Value> {
    text(std::str::from_utf8(octets).ok()?)
}

/// Octets as hexadecimal digits.
pub(super) fn hex(octets: &[u8]) -> Option<Value> {
    if octets.len() > Value::TEXT_LEN_MAX / 2 {
        return None;
    }
    text(crate::hex::digits(octets))
}

/// A hardware address, `52:54:00:12:34:56`.
pub(super) fn hardware_address(octets: &[u8]) -> Option<Value> {
    let pairs: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    text(pairs.join(":"))
}

/// A whole number; text when it does not fit.
pub(super) fn unsigned(number: u64) -> Value {
    i64::try_from(number).map_or_else(|_| Value::Text(number.to_string()), Value::Integer)
}

/// A time in UTC, as RFC 3339 writes it.
pub(super) fn timestamp(at: Timestamp) -> Option<Value> {
    text(at.to_string())
}

/// Date and time without a zone: they are taken for UTC.
pub(super) fn date_time(at: DateTime) -> Option<Value> {
    timestamp(TimeZone::UTC.to_timestamp(at).ok()?)
}

/// A date.
pub(super) fn date(date: Date) -> Option<Value> {
    text(date.to_string())
}

/// A time of day.
pub(super) fn time(time: Time) -> Option<Value> {
    text(time.to_string())
}

/// Reads a point in time: RFC 3339, or date and time without a zone, which are taken for UTC.
pub(super) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_not_kept() {
        let longest = "x".repeat(Value::TEXT_LEN_MAX);
        assert_eq!(text(longest.clone()), Some(Value::Text(longest.clone())));
        assert_eq!(text(longest + "x"), None);
        assert_eq!(hex(&vec![0; Value::TEXT_LEN_MAX / 2 + 1]), None);
        assert_eq!(utf8(b"\xff"), None);
    }

    #[test]
    fn a_result_ends_at_the_limit_and_counts_what_it_cannot_read() {
        let unreadable = AtomicU64::new(0);
        let mut reader = Reader::new(&unreadable);
        for _ in 0..ROWS_MAX {
            reader.row([("A", Some(Value::Integer(1))), ("b", None)].into_iter()).unwrap();
        }
        assert_eq!(reader.row(std::iter::empty()), Err(Failure::TooManyRows));
        assert_eq!(unreadable.into_inner(), ROWS_MAX as u64);
        let unreadable = AtomicU64::new(0);
        let mut reader = Reader::new(&unreadable);
        let names: Vec<String> = (0..Record::COLUMNS_MAX + 5).map(|n| n.to_string()).collect();
        reader.row(names.iter().map(|name| (name.as_str(), Some(Value::Null)))).unwrap();
        assert_eq!(reader.records()[0].iter().count(), Record::COLUMNS_MAX);
        assert_eq!(unreadable.into_inner(), 5);
    }

    #[test]
    fn octets_and_digits() {
        assert_eq!(hex(&[0, 255]), Some("00ff".into()));
        assert_eq!(hardware_address(&[0x52, 0x54, 0]), Some("52:54:00".into()));
        assert_eq!(unsigned(u64::MAX), Value::Text("18446744073709551615".into()));
    }

    #[test]
    fn times_are_utc() {
        let noon = parse_timestamp("2026-07-01T14:00:00+02:00").unwrap();
        assert_eq!(timestamp(noon), Some("2026-07-01T12:00:00Z".into()));
        assert_eq!(parse_timestamp("2026-07-01 12:00:00"), Some(noon));
        assert_eq!(parse_timestamp("2026-07-01T12:00"), Some(noon));
        assert_eq!(parse_timestamp("noon"), None);
    }
}
