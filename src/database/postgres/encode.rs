//! A value as the octets of the type that the server wants.
//!
//! **Invariant**: either it is exactly that value in that type, or it does not fit; nothing is cut or guessed.

use std::net::IpAddr;

use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, Unit};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgTypeKind};
use sqlx::{Encode, Postgres, Type, TypeInfo};

use super::super::column;
use super::numeric;
use crate::boot::Value;

/// 2000-01-01, from which the server counts, in microseconds and days after 1970-01-01.
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;
pub(super) const EPOCH_DATE: Date = jiff::civil::date(2000, 1, 1);

pub(super) enum Encoded {
    Octets(Vec<u8>),
    Null,
    /// This value is none of that type.
    Unfit,
    /// No value can be given as this type.
    Unknown,
}

/// Octets that are bound as they are.
pub(super) struct Argument {
    pub(super) octets: Option<Vec<u8>>,
    pub(super) kind: PgTypeInfo,
}

impl Type<Postgres> for Argument {
    fn type_info() -> PgTypeInfo {
        super::TEXT
    }
}

impl Encode<'_, Postgres> for Argument {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.octets {
            Some(octets) => {
                buffer.extend_from_slice(octets);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.kind.clone())
    }
}

pub(super) fn encode(value: &Value, kind: &PgTypeInfo) -> Encoded {
    let Some(text) = value.to_text() else { return Encoded::Null };
    if text.contains('\0') {
        // No text of the server's has it.
        return Encoded::Unfit;
    }
    match kind.kind() {
        PgTypeKind::Domain(base) => return encode(value, base),
        PgTypeKind::Enum(labels) if labels.contains(&text) => return Encoded::Octets(text.into_bytes()),
        PgTypeKind::Enum(_) => return Encoded::Unfit,
        PgTypeKind::Simple => {}
        PgTypeKind::Pseudo | PgTypeKind::Composite(_) | PgTypeKind::Array(_) | PgTypeKind::Range(_) => {
            return Encoded::Unknown;
        }
    }
    let octets = match kind.name() {
        "TEXT" | "VARCHAR" | "CHAR" | "UNKNOWN" | "citext" | "xml" => Some(text.into_bytes()),
        "NAME" => (text.len() < 64).then(|| text.into_bytes()),
        "JSON" => is_json(&text).then(|| text.into_bytes()),
        "\"CHAR\"" => <[u8; 1]>::try_from(text.as_bytes()).ok().map(Vec::from),
        "JSONB" => is_json(&text).then(|| [&[1], text.as_bytes()].concat()),
        "BOOL" => truth(value).map(|truth| vec![u8::from(truth)]),
        "INT2" => whole(value).and_then(|n| i16::try_from(n).ok()).map(|n| n.to_be_bytes().into()),
        "INT4" => whole(value).and_then(|n| i32::try_from(n).ok()).map(|n| n.to_be_bytes().into()),
        "INT8" => whole(value).map(|n| n.to_be_bytes().into()),
        "OID" => whole(value).and_then(|n| u32::try_from(n).ok()).map(|n| n.to_be_bytes().into()),
        "FLOAT4" => text.trim().parse::<f32>().ok().map(|n| n.to_be_bytes().into()),
        "FLOAT8" => text.trim().parse::<f64>().ok().map(|n| n.to_be_bytes().into()),
        "NUMERIC" => numeric::write(&text),
        "UUID" => uuid::Uuid::try_parse(text.trim()).ok().map(|uuid| uuid.as_bytes().to_vec()),
        "MACADDR" => hardware_address(&text, 6),
        "MACADDR8" => hardware_address(&text, 8).or_else(|| widened(&hardware_address(&text, 6)?)),
        "INET" => network(&text, false),
        "CIDR" => network(&text, true),
        "TIMESTAMPTZ" => column::parse_timestamp(&text).and_then(micros).map(|n| n.to_be_bytes().into()),
        "TIMESTAMP" => date_time(&text).and_then(micros).map(|n| n.to_be_bytes().into()),
        "DATE" => days(text.trim()).map(|n| n.to_be_bytes().into()),
        "TIME" => text.trim().parse().ok().map(|time| micros_of_day(time).to_be_bytes().into()),
        "BYTEA" => crate::hex::octets(text.strip_prefix("\\x").unwrap_or(&text)),
        _ => return Encoded::Unknown,
    };
    octets.map_or(Encoded::Unfit, Encoded::Octets)
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Integer(number @ (0 | 1)) => Some(*number == 1),
        Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        },
        Value::Null | Value::Integer(_) | Value::Float(_) => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::Null | Value::Float(_) | Value::Text(_) => value.to_text()?.trim().parse().ok(),
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// `52:54:00:12:34:56` with `:`, `-`, `.` or nothing between the digits.
fn hardware_address(text: &str, len: usize) -> Option<Vec<u8>> {
    let digits: String = text.trim().chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    crate::hex::octets(&digits).filter(|octets| octets.len() == len)
}

/// Six octets as eight, as the server widens them.
fn widened(octets: &[u8]) -> Option<Vec<u8>> {
    let (left, right) = octets.split_at_checked(3)?;
    Some([left, &[0xff, 0xfe], right].concat())
}

/// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::1`: family, prefix, whether it is a network, length, address.
fn network(text: &str, is_network: bool) -> Option<Vec<u8>> {
    let (address, prefix) = text.trim().split_once('/').map_or((text.trim(), None), |(a, p)| (a, Some(p)));
    let address: IpAddr = address.parse().ok()?;
    let (family, octets) = match address {
        IpAddr::V4(address) => (2, address.octets().to_vec()),
        IpAddr::V6(address) => (3, address.octets().to_vec()),
    };
    let bits = u8::try_from(octets.len() * 8).ok()?;
    let prefix = prefix.map_or(Some(bits), |prefix| prefix.parse().ok()).filter(|prefix| *prefix <= bits)?;
    Some([&[family, prefix, u8::from(is_network), u8::try_from(octets.len()).ok()?][..], &octets].concat())
}

fn micros(at: Timestamp) -> Option<i64> {
    at.as_microsecond().checked_sub(EPOCH_MICROS)
}

/// Without a zone as it stands; with one in UTC.
fn date_time(text: &str) -> Option<Timestamp> {
    column::parse_timestamp(text)
}

fn days(text: &str) -> Option<i32> {
    let date = text.parse::<Date>().ok().or_else(|| Some(text.parse::<DateTime>().ok()?.date()))?;
    EPOCH_DATE.until((Unit::Day, date)).ok().map(|span| span.get_days())
}

fn micros_of_day(time: Time) -> i64 {
    let seconds = (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
    seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1000
}
