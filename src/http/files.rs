//! A file as a response: conditions, one range, exact length and type (RFC 9110 sections 13 and 14).
//!
//! Firmware is strict: EDK2 wants `Content-Length` on HEAD, the exact type without parameters, 206 with the same tag to
//! resume, and never a redirect; iPXE's SAN boot wants HEAD and ranges. Nothing is ever compressed.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use axum::http::response::Builder;
use axum::http::{HeaderValue, Method, Response, StatusCode};

use super::body::{FileBody, Finished};
use super::socket::FileQueue;
use crate::files::Content;
use crate::observe::Counter;

/// Types by extension; the UEFI specification names the first three, and EDK2 compares them exactly.
const TYPES: [(&str, &str); 7] = [
    ("efi", "application/efi"),
    ("iso", "application/vnd.efi-iso"),
    ("img", "application/vnd.efi-img"),
    ("ipxe", "text/plain"),
    ("cfg", "text/plain"),
    ("txt", "text/plain"),
    ("xml", "application/xml"),
];

/// What the client's conditions and range come to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Range(Range<u64>),
    NotModified,
    PreconditionFailed,
    Unsatisfiable,
}

/// What is asked for, by whom and how.
pub(super) struct FileRequest<'a> {
    /// The file's name, for its type.
    pub(super) name: &'a str,
    /// GET or HEAD.
    pub(super) method: &'a Method,
    /// The request's header fields.
    pub(super) headers: &'a HeaderMap,
    /// Where the kernel can send the file from; none under TLS.
    pub(super) queue: Option<FileQueue>,
    /// Counts the octets of file content that are sent.
    pub(super) sent: Counter,
    /// Called when the whole file was sent.
    pub(super) finished: Option<Finished>,
}

/// The response to a request for this content.
pub(super) fn respond(content: Content, request: FileRequest<'_>) -> Response<Body> {
    let tag = content.etag();
    let length = content.len();
    // Range is for GET only (RFC 9110 section 14.2): HEAD tells the size of the whole.
    let part = match part(request.headers, &tag, content.modified(), length) {
        Part::Range(_) | Part::Unsatisfiable if request.method == Method::HEAD => Part::Whole,
        part => part,
    };
    let mut response = Response::builder().header(ETAG, &tag).header(ACCEPT_RANGES, "bytes");
    if let Some(modified) = content.modified() {
        response = response.header(LAST_MODIFIED, httpdate::fmt_http_date(modified));
    }
    let range = match part {
        Part::Whole => 0..length,
        Part::Range(range) => {
            let value = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
            response = response.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, value);
            range
        }
        Part::NotModified => return finish(response.status(StatusCode::NOT_MODIFIED), Body::empty()),
        Part::PreconditionFailed => return empty(response.status(StatusCode::PRECONDITION_FAILED)),
        Part::Unsatisfiable => {
            let response = response.header(CONTENT_RANGE, format!("bytes */{length}"));
            return empty(response.status(StatusCode::RANGE_NOT_SATISFIABLE));
        }
    };
    let count = range.end - range.start;
    let response = response.header(CONTENT_TYPE, content_type(request.name)).header(CONTENT_LENGTH, count);
    if request.method == Method::HEAD {
        return finish(response, Body::empty());
    }
    let finished = request.finished.filter(|_| count == length);
    // The end of a file that is still arriving is held back until it is known to be right; a part without it is not.
    let content = if range.end == length { content } else { content.when_complete() };
    let body = FileBody::new(content, range.start, count, request.queue, request.sent, finished);
    finish(response, Body::new(body))
}

fn empty(response: Builder) -> Response<Body> {
    finish(response.header(CONTENT_LENGTH, 0), Body::empty())
}

fn finish(response: Builder, body: Body) -> Response<Body> {
    response.body(body).unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// The type of a file by its name, without parameters.
pub(super) fn content_type(name: &str) -> HeaderValue {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let found = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    HeaderValue::from_static(found.map_or("application/octet-stream", |(_, name)| name))
}

/// Conditions in the order of RFC 9110 section 13.2.2.
fn part(headers: &HeaderMap, tag: &str, modified: Option<SystemTime>, length: u64) -> Part {
    let field = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let newer_than = |date: &str| {
        let (Ok(date), Some(modified)) = (httpdate::parse_http_date(date), modified) else { return None };
        Some(whole_seconds(modified) > whole_seconds(date))
    };
    match (field(IF_MATCH), field(IF_UNMODIFIED_SINCE)) {
        (Some(tags), _) if !matches(tags, tag, false) => return Part::PreconditionFailed,
        (None, Some(date)) if newer_than(date) == Some(true) => return Part::PreconditionFailed,
        _ => {}
    }
    match (field(IF_NONE_MATCH), field(IF_MODIFIED_SINCE)) {
        (Some(tags), _) if matches(tags, tag, true) => return Part::NotModified,
        (None, Some(date)) if newer_than(date) == Some(false) => return Part::NotModified,
        _ => {}
    }
    let same = match field(IF_RANGE) {
        None => true,
        // A date may begin with a W too: Wednesday.
        Some(validator) if validator.starts_with('"') || validator.starts_with("W/") => validator == tag,
        // A date is strong enough: it must be the file's own (RFC 9110 section 13.1.5).
        Some(date) => {
            let date = httpdate::parse_http_date(date).ok();
            date.is_some() && date.map(whole_seconds) == modified.map(whole_seconds)
        }
    };
    match field(RANGE) {
        Some(range) if same => read_range(range, length),
        _ => Part::Whole,
    }
}

fn whole_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

pub(super) fn matches(tags: &str, tag: &str, weak: bool) -> bool {
    tags.split(',').map(str::trim).any(|other| {
        let other = if weak { other.strip_prefix("W/").unwrap_or(other) } else { other };
        other == "*" || other == tag
    })
}

/// One range of bytes. What is malformed, of another unit or of several ranges is ignored, as section 14.2 allows.
fn read_range(text: &str, length: u64) -> Part {
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let Some((unit, range)) = text.split_once('=') else { return Part::Whole };
    let Some((first, last)) = range.trim().split_once('-') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(suffix)) if first.is_empty() => length.saturating_sub(suffix)..length,
        _ => return Part::Whole,
    };
    if range.start >= range.end { Part::Unsatisfiable } else { Part::Range(range) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(fields: &[(&'static str, &str)], expect: Part) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        assert_eq!(part(&headers, "\"tag\"", Some(modified), 1000), expect, "{fields:?}");
    }

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    #[test]
    fn a_single_range_is_a_part_and_the_rest_is_ignored() {
        check(&[("range", "bytes=0-0")], Part::Range(0..1));
        check(&[("range", "bytes=100-")], Part::Range(100..1000));
        check(&[("range", "Bytes=-1")], Part::Range(999..1000));
        check(&[("range", "bytes=-5000")], Part::Range(0..1000));
        check(&[("range", "bytes=10-99999999999999999999999")], Part::Range(10..1000));
        check(&[("range", "bytes=1000-")], Part::Unsatisfiable);
        check(&[("range", "bytes=-0")], Part::Unsatisfiable);
        for range in
            ["bytes=5-4", "bytes=0-1,5-6", "lines=0-1", "bytes", "bytes=", "bytes=-", "bytes=+1-2", "bytes=x-y"]
        {
            check(&[("range", range)], Part::Whole);
        }
    }

    #[test]
    fn conditions_come_before_the_range() {
        check(&[("if-match", "\"tag\""), ("range", "bytes=1-2")], Part::Range(1..3));
        check(&[("if-match", "\"old\""), ("range", "bytes=1-2")], Part::PreconditionFailed);
        check(&[("if-match", "W/\"tag\"")], Part::PreconditionFailed);
        check(&[("if-match", "*")], Part::Whole);
        check(&[("if-none-match", "\"a\", W/\"tag\"")], Part::NotModified);
        check(&[("if-none-match", "\"a\""), ("if-modified-since", DATE)], Part::Whole);
        check(&[("if-modified-since", DATE)], Part::NotModified);
        check(&[("if-modified-since", BEFORE)], Part::Whole);
        check(&[("if-unmodified-since", BEFORE)], Part::PreconditionFailed);
        check(&[("if-unmodified-since", DATE)], Part::Whole);
        check(&[("if-range", "\"tag\""), ("range", "bytes=1-2")], Part::Range(1..3));
        check(&[("if-range", "\"old\""), ("range", "bytes=1-2")], Part::Whole);
        check(&[("if-range", DATE), ("range", "bytes=1-2")], Part::Range(1..3));
        check(&[("if-range", BEFORE), ("range", "bytes=1-2")], Part::Whole);
        check(&[("if-modified-since", "yesterday")], Part::Whole);
    }

    #[test]
    fn a_date_on_a_wednesday_is_a_date() {
        let wednesday = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 + 3 * 86_400);
        let date = httpdate::fmt_http_date(wednesday);
        assert!(date.starts_with("Wed"));
        let mut headers = HeaderMap::new();
        headers.insert("range", HeaderValue::from_static("bytes=1-2"));
        headers.insert("if-range", date.parse().unwrap());
        assert_eq!(part(&headers, "\"tag\"", Some(wednesday), 1000), Part::Range(1..3));
    }

    #[test]
    fn head_tells_the_size_of_the_whole_whatever_the_range() {
        for range in ["bytes=0-9", "bytes=5000-"] {
            let mut headers = HeaderMap::new();
            headers.insert("range", HeaderValue::from_static(range));
            let request = FileRequest {
                name: "x",
                method: &Method::HEAD,
                headers: &headers,
                queue: None,
                sent: Counter::default(),
                finished: None,
            };
            let response = respond(Content::from_bytes("a".repeat(1000)), request);
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[CONTENT_LENGTH], "1000");
        }
    }

    #[test]
    fn types_have_no_parameters() {
        for (name, expect) in [
            ("a/BOOTX64.EFI", "application/efi"),
            ("x.iso", "application/vnd.efi-iso"),
            ("x.Img", "application/vnd.efi-img"),
            ("boot.wim", "application/octet-stream"),
            ("vmlinuz", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expect);
        }
    }

    proptest! {
        #[test]
        fn any_range_is_inside_the_file(text in "\\PC*|bytes=[0-9]{0,25}-[0-9]{0,25}", length in any::<u64>()) {
            if let Part::Range(range) = read_range(&text, length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }
    }
}
