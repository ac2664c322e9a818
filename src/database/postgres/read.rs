//! A column of a row, from the octets that the server sent.
//!
//! **Invariant**: every length is checked; what is not understood is `None`, which is counted, never a wrong value.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::civil::Time;
use jiff::{SignedDuration, Span, Timestamp};
use sqlx::postgres::{PgRow, PgTypeInfo, PgTypeKind};
use sqlx::{Row, TypeInfo, ValueRef};

use super::super::column;
use super::encode::{EPOCH_DATE, EPOCH_MICROS};
use super::numeric;
use crate::boot::Value;

pub(super) fn value(row: &PgRow, at: usize) -> Option<Value> {
    let raw = row.try_get_raw(at).ok()?;
    if raw.is_null() {
        return Some(Value::Null);
    }
    octets(raw.as_bytes().ok()?, &raw.type_info())
}

fn octets(octets: &[u8], kind: &PgTypeInfo) -> Option<Value> {
    match kind.kind() {
        PgTypeKind::Domain(base) => self::octets(octets, base),
        PgTypeKind::Enum(_) => column::utf8(octets),
        PgTypeKind::Array(element) => array(octets, element),
        PgTypeKind::Pseudo if octets.is_empty() => Some(Value::Null),
        PgTypeKind::Pseudo | PgTypeKind::Composite(_) | PgTypeKind::Range(_) => None,
        PgTypeKind::Simple => simple(octets, kind.name()),
    }
}

fn simple(octets: &[u8], kind: &str) -> Option<Value> {
    match kind {
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" | "JSON" | "XML" | "\"CHAR\"" => column::utf8(octets),
        "JSONB" => column::utf8(octets.strip_prefix(&[1])?),
        "BOOL" => Some(Value::Bool(u8::from_be_bytes(fixed(octets)?) != 0)),
        "INT2" => Some(Value::Integer(i16::from_be_bytes(fixed(octets)?).into())),
        "INT4" => Some(Value::Integer(i32::from_be_bytes(fixed(octets)?).into())),
        "INT8" => Some(Value::Integer(i64::from_be_bytes(fixed(octets)?))),
        "OID" => Some(Value::Integer(u32::from_be_bytes(fixed(octets)?).into())),
        "FLOAT4" => Some(Value::Float(f32::from_be_bytes(fixed(octets)?).into())),
        "FLOAT8" => Some(Value::Float(f64::from_be_bytes(fixed(octets)?))),
        "NUMERIC" => column::text(numeric::read(octets)?),
        "UUID" => column::text(uuid::Uuid::from_bytes(fixed(octets)?).to_string()),
        "MACADDR" | "MACADDR8" => column::hardware_address(octets),
        "INET" | "CIDR" => network(octets, kind == "CIDR"),
        "TIMESTAMPTZ" | "TIMESTAMP" => timestamp(i64::from_be_bytes(fixed(octets)?)),
        "DATE" => date(i32::from_be_bytes(fixed(octets)?)),
        "TIME" => column::time(time(i64::from_be_bytes(fixed(octets)?))?),
        "INTERVAL" => interval(octets),
        "BYTEA" => column::hex(octets),
        "BIT" | "VARBIT" => bits(octets),
        name => of_extension(name, octets),
    }
}

/// Types of extensions have no fixed number, so they are known by name; others may be text all the same.
fn of_extension(name: &str, octets: &[u8]) -> Option<Value> {
    match name {
        "citext" | "xml" => column::utf8(octets),
        "ltree" | "lquery" => column::utf8(octets.strip_prefix(&[1])?),
        "POINT" | "LSEG" | "PATH" | "BOX" | "POLYGON" | "LINE" | "CIRCLE" | "MONEY" | "TIMETZ" | "VOID" => None,
        _ => {
            let text = std::str::from_utf8(octets).ok()?;
            (!text.is_empty() && !text.contains(char::is_control)).then(|| column::text(text))?
        }
    }
}

fn fixed<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    octets.try_into().ok()
}

fn take<'a>(octets: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = octets.split_at_checked(len)?;
    *octets = rest;
    Some(taken)
}

fn take_i32(octets: &mut &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(fixed(take(octets, 4)?)?))
}

/// The elements as text with a space between them, nulls left out, dimensions forgotten.
fn array(mut octets: &[u8], element: &PgTypeInfo) -> Option<Value> {
    let dimensions = take_i32(&mut octets)?;
    let (_has_null, _element_oid) = (take_i32(&mut octets)?, take_i32(&mut octets)?);
    for _ in 0..dimensions {
        let (_len, _lower_bound) = (take_i32(&mut octets)?, take_i32(&mut octets)?);
    }
    let mut words = Vec::new();
    while !octets.is_empty() {
        let len = take_i32(&mut octets)?;
        if let Ok(len) = usize::try_from(len) {
            words.extend(self::octets(take(&mut octets, len)?, element)?.to_text());
        }
    }
    column::text(words.join(" "))
}

/// Family, prefix, whether it is a network, length, address; a lone address has no prefix.
fn network(octets: &[u8], is_network: bool) -> Option<Value> {
    let [_family, prefix, _is_network, _len, address @ ..] = octets else { return None };
    let text = match address.len() {
        4 => Ipv4Addr::from(fixed::<4>(address)?).to_string(),
        16 => Ipv6Addr::from(fixed::<16>(address)?).to_string(),
        _ => return None,
    };
    if !is_network && usize::from(*prefix) == address.len() * 8 {
        return column::text(text);
    }
    column::text(format!("{text}/{prefix}"))
}

fn timestamp(micros: i64) -> Option<Value> {
    match micros {
        i64::MAX => column::text("infinity"),
        i64::MIN => column::text("-infinity"),
        micros => column::timestamp(Timestamp::from_microsecond(micros.checked_add(EPOCH_MICROS)?).ok()?),
    }
}

fn date(days: i32) -> Option<Value> {
    match days {
        i32::MAX => column::text("infinity"),
        i32::MIN => column::text("-infinity"),
        days => column::date(EPOCH_DATE.checked_add(Span::new().try_days(days).ok()?).ok()?),
    }
}

fn time(micros: i64) -> Option<Time> {
    Time::midnight().checked_add(SignedDuration::from_micros(micros)).ok()
}

/// Microseconds, days, months, as ISO 8601 writes it.
fn interval(octets: &[u8]) -> Option<Value> {
    let (micros, rest) = octets.split_first_chunk::<8>()?;
    let (days, months) = rest.split_first_chunk::<4>()?;
    let span = Span::new()
        .try_months(i32::from_be_bytes(fixed(months)?))
        .and_then(|span| span.try_days(i32::from_be_bytes(*days)))
        .and_then(|span| span.try_microseconds(i64::from_be_bytes(*micros)))
        .ok()?;
    column::text(span.to_string())
}

fn bits(mut octets: &[u8]) -> Option<Value> {
    let len = usize::try_from(take_i32(&mut octets)?).ok()?;
    if len > octets.len().checked_mul(8)? || len > Value::TEXT_LEN_MAX {
        return None;
    }
    let bit = |at: usize| octets.get(at / 8).is_some_and(|octet| octet >> (7 - at % 8) & 1 == 1);
    column::text((0..len).map(|at| if bit(at) { '1' } else { '0' }).collect::<String>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sqlx::Type;
    use sqlx::postgres::Postgres;

    use super::super::encode::{Encoded, encode};
    use super::*;

    const KINDS: &[&str] = &[
        "BOOL",
        "BYTEA",
        "INT8",
        "INT2",
        "INT4",
        "TEXT",
        "OID",
        "JSON",
        "POINT",
        "CIDR",
        "FLOAT4",
        "FLOAT8",
        "MACADDR8",
        "MACADDR",
        "INET",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "TIMESTAMPTZ",
        "INTERVAL",
        "BIT",
        "NUMERIC",
        "UUID",
        "JSONB",
        "\"CHAR\"",
        "citext",
        "ltree",
        "other",
    ];

    #[test]
    fn what_is_bound_comes_back() {
        let kinds = [
            (<i64 as Type<Postgres>>::type_info(), "-5"),
            (<f64 as Type<Postgres>>::type_info(), "1.5"),
            (<bool as Type<Postgres>>::type_info(), "true"),
            (<Vec<u8> as Type<Postgres>>::type_info(), "00ff"),
        ];
        for (kind, text) in kinds {
            let Encoded::Octets(octets) = encode(&Value::from(text), &kind) else { panic!("{kind}") };
            assert_eq!(super::octets(&octets, &kind).unwrap().to_text().as_deref(), Some(text));
        }
    }

    #[test]
    fn fields_of_fixed_length_are_read() {
        assert_eq!(network(&[2, 24, 0, 4, 192, 0, 2, 1], false), Some("192.0.2.1/24".into()));
        assert_eq!(network(&[2, 32, 0, 4, 192, 0, 2, 1], false), Some("192.0.2.1".into()));
        assert_eq!(network(&[2, 32, 1, 4, 192, 0, 2, 1], true), Some("192.0.2.1/32".into()));
        assert_eq!(timestamp(0), Some("2000-01-01T00:00:00Z".into()));
        assert_eq!((timestamp(i64::MAX), timestamp(i64::MAX - 1)), (Some("infinity".into()), None));
        assert_eq!(date(366), Some("2001-01-01".into()));
        assert_eq!(bits(&[0, 0, 0, 3, 0b1010_0000]), Some("101".into()));
        assert_eq!(bits(&[0x7f, 0xff, 0xff, 0xff, 0]), None);
        let micros = 90_000_000_i64.to_be_bytes();
        assert_eq!(interval(&[&micros[..], &[0, 0, 0, 2], &[0, 0, 0, 1]].concat()), Some("P1M2DT90S".into()));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..64), at in 0..KINDS.len()) {
            let _ = simple(&octets, KINDS[at]);
            let _ = (array(&octets, &<i64 as Type<Postgres>>::type_info()), network(&octets, true), interval(&octets), bits(&octets));
        }
    }
}
