//! Moments as people write and read them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};

/// The forms in `--help` texts.
pub(super) const FORMS: &str = "2026-11-22T22:00:00+01:00, \"2026-11-22 22:00\" (local time), or +2h from now";

/// Reads a moment: RFC 3339, a local date with or without a time, or a length of time from now with a plus.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    at(text.trim(), Timestamp::now(), &TimeZone::system())
}

/// Reads how long ago something was: `1d`, `90m`, or a moment as [`moment`] reads it.
pub(super) fn past(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    match length(text) {
        Some(span) => Timestamp::now().checked_sub(span).map_err(|_| unclear_age(text)),
        None => moment(text).map_err(|_| unclear_age(text)),
    }
}

fn at(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Some(span) = text.strip_prefix('+').and_then(length) {
        return now.checked_add(span).map_err(|_| unclear(text));
    }
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let local: DateTime = text.parse().map_err(|_| unclear(text))?;
    local.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()).map_err(|_| unclear(text))
}

fn length(text: &str) -> Option<jiff::SignedDuration> {
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    (!duration.is_negative()).then_some(duration)
}

fn unclear(text: &str) -> String {
    format!("`{}` is no moment; write {FORMS}", crate::nearest::cut(text))
}

fn unclear_age(text: &str) -> String {
    format!("`{}` is no age; write 90m, 12h, 7d, or since when: \"2026-11-22 22:00\"", crate::nearest::cut(text))
}

/// A moment in local time.
pub(super) fn local(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_moments_in_several_ways() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let read = |text: &str| at(text, now, &zone).map(|moment| moment.to_string());
        assert_eq!(read("+2h 30m").as_deref(), Ok("2026-11-21T14:30:00Z"));
        assert_eq!(read("+1d").as_deref(), Ok("2026-11-22T12:00:00Z"));
        assert_eq!(read("2026-11-22 22:00").as_deref(), Ok("2026-11-22T21:00:00Z"));
        assert_eq!(read("2026-11-22").as_deref(), Ok("2026-11-21T23:00:00Z"));
        assert_eq!(read("2026-11-22T22:00:00Z").as_deref(), Ok("2026-11-22T22:00:00Z"));
        assert!(read("soon").unwrap_err().contains("`soon` is no moment; write"));
        assert!(past("yesterday").unwrap_err().contains("`yesterday` is no age; write 90m, 12h, 7d"));
        assert!(past("7d").unwrap() < past("90m").unwrap());
        assert!(read("+").is_err() && read("+-2h").is_err());
    }
}
