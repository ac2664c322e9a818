//! `request.now`: the time of a question, in the site's time zone. A script has no other clock.

use jiff::Zoned;
use jiff::civil;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
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
    ("is_weekend", "true or false", "whether it is Saturday or Sunday", "false"),
    ("zone", "text", "time zone", "\"Europe/Berlin\""),
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
        .register_get("is_weekend", |time: &mut Time| time.0.weekday().to_monday_one_offset() > 5)
        .register_get("zone", |time: &mut Time| zone(&time.0))
        .register_get("date", |time: &mut Time| ImmutableString::from(time.0.date().to_string()))
        .register_get("time", |time: &mut Time| {
            ImmutableString::from(format!("{:02}:{:02}", time.0.hour(), time.0.minute()))
        })
        .register_fn("between", |time: &mut Time, from: ImmutableString, to: ImmutableString| {
            between(&time.0, &from, &to)
        })
        .register_fn("is_between", |time: &mut Time, from: ImmutableString, to: ImmutableString| {
            is_between(&time.0, &from, &to)
        })
        .register_fn("is_on", |time: &mut Time, days: ImmutableString| is_on(&time.0, &days))
        .register_fn("in_zone", |time: &mut Time, zone: ImmutableString| in_zone(&time.0, &zone))
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

/// The name of the zone; its offset from UTC where it has none.
fn zone(time: &Zoned) -> ImmutableString {
    let zone = time.time_zone();
    zone.iana_name().map_or_else(|| time.offset().to_string(), str::to_owned).into()
}

/// The same time as clocks elsewhere show it.
fn in_zone(now: &Zoned, zone: &str) -> Result<Time, Box<EvalAltResult>> {
    match TimeZone::get(zone) {
        Ok(zone) => Ok(Time(now.with_time_zone(zone))),
        Err(_) => fail(format!("`{}` is no time zone; write it like \"America/New_York\"", cut(zone))),
    }
}

/// Whether the day is one of these: names and ranges, as in `mon-fri, sun`.
fn is_on(now: &Zoned, days: &str) -> Result<bool, Box<EvalAltResult>> {
    let today = now.weekday().to_monday_one_offset();
    for part in days.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (day_number(from)?, day_number(to)?);
        if if from <= to { (from..=to).contains(&today) } else { today >= from || today <= to } {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number of a day of the week by its English name or at least three letters of it.
fn day_number(text: &str) -> Result<i8, Box<EvalAltResult>> {
    let name = text.trim().to_lowercase();
    let names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let number = names.iter().zip(1..).find(|(known, _)| name.len() >= 3 && known.starts_with(&name));
    match number {
        Some((_, number)) => Ok(number),
        None => fail(format!("`{}` is no day of the week; write it like \"mon-fri, sun\"", cut(text))),
    }
}

/// Whether the time lies between two dates, both with it, or two points in time, the last without it. Dates without a
/// year come again every year, and may go over its end.
fn is_between(now: &Zoned, from: &str, to: &str) -> Result<bool, Box<EvalAltResult>> {
    match (moment(from)?, moment(to)?) {
        (Moment::Yearly(from), Moment::Yearly(to)) => {
            let today = (now.month(), now.day());
            Ok(if from <= to { from <= today && today <= to } else { today >= from || today <= to })
        }
        (Moment::Yearly(_), _) | (_, Moment::Yearly(_)) => {
            fail(format!("`{}` and `{}`: write the year in both, or in none", cut(from), cut(to)))
        }
        (from, to) => {
            let now = now.datetime();
            let has_begun = match from {
                Moment::Date(from) => from <= now.date(),
                Moment::Time(from) => from <= now,
                Moment::Yearly(_) => false,
            };
            let is_over = match to {
                Moment::Date(to) => to < now.date(),
                Moment::Time(to) => to <= now,
                Moment::Yearly(_) => true,
            };
            Ok(has_begun && !is_over)
        }
    }
}

enum Moment {
    /// Month and day.
    Yearly((i8, i8)),
    Date(civil::Date),
    Time(civil::DateTime),
}

fn moment(text: &str) -> Result<Moment, Box<EvalAltResult>> {
    let wrong =
        || fail(format!("`{}` is no date; write it like \"2026-12-20\", \"2026-12-20 18:00\" or \"12-20\"", cut(text)));
    let text = text.trim();
    // Every month and day of a leap year.
    if text.len() == 5 {
        return match format!("2024-{text}").parse::<civil::Date>() {
            Ok(date) => Ok(Moment::Yearly((date.month(), date.day()))),
            Err(_) => wrong(),
        };
    }
    let (date, time) = text.split_once([' ', 'T']).map_or((text, None), |(date, time)| (date, Some(time)));
    let Some(date) = Some(date).filter(|date| date.len() == 10).and_then(|date| date.parse::<civil::Date>().ok())
    else {
        return wrong();
    };
    match time {
        None => Ok(Moment::Date(date)),
        Some(time) => Ok(Moment::Time(date.to_datetime(time_of_day(time.trim())?))),
    }
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

    #[test]
    fn windows_of_days_and_dates_in_any_zone() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().to_zoned(TimeZone::UTC);
        let dates = |now: &str, from, to| is_between(&at(now), from, to).unwrap();
        assert!(dates("2026-12-20T00:00:00Z", "2026-12-20", "2027-01-04"));
        assert!(dates("2027-01-04T23:59:59Z", "2026-12-20", "2027-01-04"));
        assert!(!dates("2027-01-05T00:00:00Z", "2026-12-20", "2027-01-04"));
        assert!(!dates("2026-12-20T17:59:00Z", "2026-12-20 18:00", "2027-01-04 06:00"));
        assert!(dates("2026-12-20T18:00:00Z", "2026-12-20T18:00", "2027-01-04"));
        assert!(!dates("2027-01-04T06:00:00Z", "2026-12-20", "2027-01-04 06:00"));
        assert!(dates("2031-01-02T06:00:00Z", "12-20", "01-04") && dates("2031-12-31T06:00:00Z", "12-20", "01-04"));
        assert!(!dates("2031-01-05T06:00:00Z", "12-20", "01-04") && dates("2031-07-05T06:00:00Z", "07-01", "07-05"));
        assert!(!dates("2026-12-20T00:00:00Z", "2026-12-21", "2026-12-19"), "the wrong way round");
        for wrong in ["", "20.12.2026", "2026-13-01", "12-32", "2026-12-20 25:00", "12/20", "2026-1-1"] {
            assert!(is_between(&at("2026-12-20T00:00:00Z"), wrong, "2027-01-04").is_err(), "{wrong}");
        }
        assert!(is_between(&at("2026-12-20T00:00:00Z"), "12-20", "2027-01-04").is_err());

        let days = |now: &str, days| is_on(&at(now), days).unwrap();
        assert!(days("2026-01-01T08:00:00Z", "thu") && days("2026-01-01T08:00:00Z", "Mon-Fri"));
        assert!(!days("2026-01-03T08:00:00Z", "mon-fri") && days("2026-01-03T08:00:00Z", "mon, sat - sun"));
        assert!(days("2026-01-05T08:00:00Z", "sat-monday") && !days("2026-01-06T08:00:00Z", "sat-mon"));
        for wrong in ["", "mo", "mon-", "weekday", "montag"] {
            assert!(is_on(&at("2026-01-01T08:00:00Z"), wrong).is_err(), "{wrong}");
        }

        let winter = in_zone(&at("2026-01-01T08:00:00Z"), "America/New_York").unwrap().0;
        let summer = in_zone(&at("2026-07-01T03:30:00Z"), "America/New_York").unwrap().0;
        assert_eq!((winter.hour(), summer.hour(), summer.day()), (3, 23, 30));
        assert_eq!(zone(&winter), "America/New_York");
        assert!(in_zone(&winter, "New York").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_time_or_not(text in "[-0-9:T .]{0,20}", days in "[a-z, -]{0,20}") {
            let now = jiff::Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
            let _ = (moment(&text), is_on(&now, &days), in_zone(&now, &text));
        }
    }
}
