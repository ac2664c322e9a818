//! Rows of the site's queries, read: machines that may be the one that asks, and images with when and how they boot.
//!
//! **Invariant**: a row that cannot be read costs itself only, and says why in a sentence that names the row, the column
//! and the value. Columns that mean nothing here are kept for scripts and for the next query.

use std::time::Duration;

use jiff::Timestamp;

use crate::boot::{BootImage, Line, Record, Value};
use crate::nearest::cut;

use super::menu::Offer;
use crate::boot::keys::{Serial, read_mac, read_uuid, values};
use crate::handlers::identity::Candidate;

/// What rows held, and why some did not.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) list: Vec<T>,
    pub(super) dropped: Vec<String>,
}

/// The machines of the rows of a `machine` query. Several rows with one `machine_id` are one machine with several keys,
/// as a join with a table of MAC addresses gives them.
pub(super) fn candidates(records: Vec<Record>) -> Read<Candidate> {
    let mut read = Read { list: Vec::<Candidate>::new(), dropped: Vec::new() };
    for (number, record) in (1..).zip(records) {
        let Some(id) = text(&record, "machine_id") else {
            read.dropped.push(format!("row {number} of the machine query has no `machine_id`"));
            continue;
        };
        let row = candidate(id, record, &mut read.dropped);
        match read.list.iter_mut().find(|known| known.id == row.id) {
            None => read.list.push(row),
            Some(known) => join(known, row),
        }
    }
    read
}

/// The most values of one column that count.
const KEYS_MAX: usize = 64;

fn candidate(id: String, record: Record, dropped: &mut Vec<String>) -> Candidate {
    let several = |column: &str| {
        let text = text(&record, column).unwrap_or_default().replace(['{', '}'], " ");
        values(&text).take(KEYS_MAX).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut unreadable = |column: &str, value: &str| {
        let (id, value) = (shown(&id), shown(value));
        dropped.push(format!("machine {id}: `{column}` is `{value}`, which is none; it is left out"));
    };
    let mut uuids = Vec::new();
    for value in several("uuid") {
        match read_uuid(&value) {
            Some(uuid) => uuids.push(uuid),
            None => unreadable("uuid", &value),
        }
    }
    let mut macs = Vec::new();
    for value in several("mac") {
        match read_mac(&value) {
            Some(mac) => macs.push(mac),
            None => unreadable("mac", &value),
        }
    }
    let maker = text(&record, "manufacturer");
    let serial = text(&record, "serial").and_then(|serial| Serial::read(&serial, maker.as_deref()));
    let has_keys = ["uuid", "serial", "mac"].into_iter().any(|column| record.get(column).is_some());
    let hostname = text(&record, "hostname");
    Candidate { id, hostname, uuids, serials: serial.into_iter().collect(), assets: Vec::new(), macs, has_keys, record }
}

fn join(known: &mut Candidate, row: Candidate) {
    fn add<T: PartialEq>(to: &mut Vec<T>, from: Vec<T>) {
        for value in from {
            if !to.contains(&value) {
                to.push(value);
            }
        }
    }
    add(&mut known.uuids, row.uuids);
    add(&mut known.serials, row.serials);
    add(&mut known.macs, row.macs);
}

/// Where the image of a row is described.
#[derive(Debug)]
pub(super) enum Described {
    /// In the row.
    Here(Offer),
    /// In the store, by the id; the row has only its title, where it has one.
    InStore(Unfinished),
}

/// A row of an image whose description is in the store.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) id: String,
    title: Option<Line>,
    offer: Offer,
}

impl Unfinished {
    /// The offer with the store's description.
    pub(super) fn with(self, image: BootImage) -> Offer {
        let title = self.title.unwrap_or(image.title);
        Offer { image: BootImage { title, assignment: self.offer.image.assignment, ..image }, ..self.offer }
    }
}

/// Reads a row of an `images` query; none when it is not its time.
///
/// # Errors
/// A sentence for the log, when the row makes no sense.
pub(super) fn offer(record: &Record, now: Timestamp) -> Result<Option<Described>, String> {
    let id = text(record, "image").ok_or("a row has no `image`")?;
    let of_row = |problem: String| format!("image `{}`: {problem}", shown(&id));
    if !is_its_time(record, now).map_err(of_row)? {
        return Ok(None);
    }
    read_offer(&id, record).map(Some).map_err(of_row)
}

fn read_offer(id: &str, record: &Record) -> Result<Described, String> {
    let is_once = truth(record, "once")?.unwrap_or(false);
    let assignment = text(record, "assignment");
    if assignment.as_ref().is_some_and(|id| id.len() > ASSIGNMENT_LEN_MAX || Line::new(id.as_str()).is_err()) {
        return Err(format!("`assignment` is no line of at most {ASSIGNMENT_LEN_MAX} octets"));
    }
    let assignment = assignment.or_else(|| is_once.then(|| id.to_owned()));
    let in_store = text(record, "kind").is_none();
    let mut image = match in_store {
        true => BootImage::from_row(id, &[("kind", "local")].into_iter().collect()),
        false => BootImage::from_row(id, record),
    }
    .map_err(|error| error.to_string())?;
    image.assignment = assignment;
    let offer = Offer {
        image,
        is_mandatory: truth(record, "mandatory")?.unwrap_or(false),
        countdown: seconds(record, "countdown")?,
        sort_order: number(record, "sort_order")?,
    };
    if !in_store {
        return Ok(Described::Here(offer));
    }
    let title = text(record, "title").map(|title| Line::clean(&title));
    Ok(Described::InStore(Unfinished { id: id.to_owned(), title, offer }))
}

/// The longest id of an assignment, in octets.
const ASSIGNMENT_LEN_MAX: usize = 64;

/// The text of a column that has one: no NULL, and not spaces only, as databases with fixed widths fill up.
pub(super) fn text(record: &Record, column: &str) -> Option<String> {
    record.text(column).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn wrong(column: &str, value: &str, remedy: &str) -> String {
    format!("`{column}` is `{}`; {remedy}", shown(value))
}

/// The start of a value, for a message.
fn shown(text: &str) -> Line {
    Line::clean(cut(text))
}

/// Yes or no, as databases write it; none when nothing is there.
pub(super) fn truth(record: &Record, column: &str) -> Result<Option<bool>, String> {
    let Some(text) = text(record, column) else { return Ok(None) };
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(Some(true)),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(Some(false)),
        // Whatever else databases have for it: `1.0`, or the octets of a bit.
        number => match number.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number != 0.0)),
            _ => Err(wrong(column, &text, "write 1 or 0, true or false, yes or no")),
        },
    }
}

fn number(record: &Record, column: &str) -> Result<Option<f64>, String> {
    let Some(text) = text(record, column) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(wrong(column, &text, "write a number")),
    }
}

fn seconds(record: &Record, column: &str) -> Result<Option<Duration>, String> {
    match number(record, column)? {
        None => Ok(None),
        Some(seconds @ 0.0..=SECONDS_MAX) => Ok(Some(Duration::from_secs(seconds as u64))),
        Some(seconds) => Err(wrong(column, &seconds.to_string(), "write seconds, from 0 to 86400")),
    }
}

const SECONDS_MAX: f64 = 86_400.0;

fn is_its_time(record: &Record, now: Timestamp) -> Result<bool, String> {
    let has_begun = time(record, "available_from")?.is_none_or(|from| from <= now);
    let has_ended = time(record, "expires")?.is_some_and(|end| end <= now);
    Ok(has_begun && !has_ended)
}

/// A moment: RFC 3339, a date with or without a time (UTC), or seconds or milliseconds since 1970.
fn time(record: &Record, column: &str) -> Result<Option<Timestamp>, String> {
    let Some(text) = text(record, column) else { return Ok(None) };
    let unclear =
        || wrong(column, &text, "write it like 2026-05-01T08:00:00Z, 2026-05-01 08:00:00 (UTC) or 2026-05-01");
    let is_number = matches!(record.get(column), Some(Value::Integer(_) | Value::Float(_)));
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(number) = number.filter(|number| is_number || number.abs() >= YEAR_MAX) {
        return since_1970(number).map(Some).ok_or_else(unclear);
    }
    match text.to_ascii_lowercase().as_str() {
        // PostgreSQL's words for no bound.
        "infinity" if column == "expires" => return Ok(None),
        "-infinity" if column == "available_from" => return Ok(None),
        _ => {}
    }
    let in_utc = |at: jiff::civil::DateTime| at.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp());
    let read = text.parse::<Timestamp>().ok().or_else(|| in_utc(text.parse().ok()?));
    read.map(Some).ok_or_else(unclear)
}

/// A number below this is a year, not a moment.
const YEAR_MAX: f64 = 100_000.0;
/// Seconds beyond this, in the year 5138, are milliseconds.
const SECONDS_SINCE_1970_MAX: f64 = 1e11;

fn since_1970(number: f64) -> Option<Timestamp> {
    let milliseconds = if number.abs() > SECONDS_SINCE_1970_MAX { number } else { number * 1000.0 };
    Timestamp::from_millisecond(milliseconds as i64).ok()
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
