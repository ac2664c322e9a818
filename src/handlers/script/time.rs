//! `request.now`: the time of a question, in the site's time zone. A script has no other clock.

use jiff::Zoned;
use jiff::civil;
use jiff::fmt::strtime;
use rhai::{Engine, EvalAltResult, ImmutableString};

use super::sandbox::fail;
use crate::nearest::{cut, remedy};

/// A time in a script.
#[derive(Clone)]
pub(super) struct Time(pub(super) Zoned);

/// The parts of a time: name, type, what it is, example.
pub const PARTS: &[(&str, &str, &str, &str)] = &[
    ("unix", "number", "seconds since 1970-01-01 00:00 UTC", "1767254400"),
    ("year", "number", "year", "2026"),
    ("month", "number", "month, 1 to 12", "1"),
    ("day", "number", "day of the month, 1 to 31", "1"),
    ("hour", "number", "hour, 0 to 23", "8"),
    ("minute", "number", "minute, 0 to 59", "0"),
    ("weekday", "text", "English name of the day in small letters", "\"thursday\""),
    ("weekday_number", "number", "day of the week, Monday is 1 and Sunday is 7", "4"),
    ("date", "text", "year-month-day", "\"2026-01-01\""),
    ("time", "text", "hour:minute, 24 hours", "\"08:00\""),
];

/// Registers the type and its parts.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Time>("Time");
    engine
        .register_get("unix", |time: &mut Time| time.0.timestamp().as_second())
        .register_get("year", |time: &mut Time| i64::from(time.0.year()))
        .register_get("month", |time: &mut Time| i64::from(time.0.month()))
        .register_get("day", |time: &mut Time| i64::from(time.0.day()))
        .register_get("hour", |time: &mut Time| i64::from(time.0.hour()))
        .register_get("minute", |time: &mut Time| i64::from(time.0.minute()))
        .register_get("weekday", |time: &mut Time| weekday(&time.0))
        .register_get("weekday_number", |time: &mut Time| i64::from(time.0.weekday().to_monday_one_offset()))
        .register_get("date", |time: &mut Time| ImmutableString::from(time.0.date().to_string()))
        .register_get("time", |time: &mut Time| {
            ImmutableString::from(format!("{:02}:{:02}", time.0.hour(), time.0.minute()))
        })
        .register_fn("between", |time: &mut Time, from: ImmutableString, to: ImmutableString| {
            between(&time.0, &from, &to)
        })
        .register_fn("to_string", |time: &mut Time| ImmutableString::from(time.0.to_string()));
    engine.register_indexer_get(|_: &mut Time, name: ImmutableString| {
        let remedy = remedy(&name, PARTS.iter().map(|part| part.0));
        fail::<i64>(format!("`request.now` has no part `{}`; {remedy}", cut(&name)))
    });
}

fn weekday(time: &Zoned) -> ImmutableString {
    strtime::format("%A", time).unwrap_or_default().to_lowercase().into()
}

/// Whether the time of day lies in `from..to`, which may go over midnight.
fn between(now: &Zoned, from: &str, to: &str) -> Result<bool, Box<EvalAltResult>> {
    let (from, to, now) = (time_of_day(from)?, time_of_day(to)?, now.time());
    Ok(if from <= to { from <= now && now < to } else { now >= from || now < to })
}

fn time_of_day(text: &str) -> Result<civil::Time, Box<EvalAltResult>> {
    let parts = text.split_once(':').filter(|(hour, minute)| hour.len() <= 2 && minute.len() == 2);
    let numbers = parts.and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)));
    match numbers.and_then(|(hour, minute)| civil::Time::new(hour, minute, 0, 0).ok()) {
        Some(time) => Ok(time),
        None => fail(format!("`{}` is no time of day; write it like \"22:00\"", cut(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_over_midnight() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        let check =
            |now: &str, from, to, expect| assert_eq!(between(&at(now), from, to).unwrap(), expect, "{now} {from} {to}");
        check("2026-01-01T23:00:00Z", "22:00", "05:00", true);
        check("2026-01-01T05:00:00Z", "22:00", "05:00", false);
        check("2026-01-01T08:00:00Z", "08:00", "17:00", true);
        check("2026-01-01T17:00:00Z", "8:00", "17:00", false);
        for wrong in ["", "25:00", "8", "8:5", "-1:00", "08:00:00"] {
            assert!(time_of_day(wrong).is_err(), "{wrong}");
        }
        assert_eq!(weekday(&at("2026-01-01T08:00:00Z")), "thursday");
    }
}
