//! Rows as databases give them, good and bad.

use proptest::prelude::*;

use super::*;

fn record(pairs: &[(&str, &str)]) -> Record {
    pairs.iter().copied().collect()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOON: &str = "2026-05-01T12:00:00Z";

fn read(pairs: &[(&str, &str)]) -> Result<Option<Offer>, String> {
    let pairs = [&[("image", "debian"), ("kind", "linux"), ("kernel", "d/linux")], pairs].concat();
    Ok(offer(&record(&pairs), at(NOON))?.map(|described| match described {
        Described::Here(offer) => offer,
        Described::InStore(unfinished) => panic!("{unfinished:?}"),
    }))
}

#[test]
fn an_image_is_read_with_when_and_how_it_boots() {
    let offer = read(&[("mandatory", "1"), ("countdown", "5"), ("sort_order", "2.5"), ("assignment", " 17 ")]).unwrap();
    let offer = offer.unwrap();
    assert_eq!(
        (offer.is_mandatory, offer.countdown, offer.sort_order),
        (true, Some(Duration::from_secs(5)), Some(2.5))
    );
    assert_eq!(offer.image.assignment.as_deref(), Some("17"));
    let plain = read(&[("mandatory", ""), ("once", "no")]).unwrap().unwrap();
    assert_eq!((plain.is_mandatory, plain.countdown, plain.image.assignment), (false, None, None));
    for (text, expect) in [("0.0", false), ("00", false), ("01", true), ("1.0", true), ("T", true), ("off", false)] {
        assert_eq!(read(&[("mandatory", text)]).unwrap().unwrap().is_mandatory, expect, "{text}");
    }
    assert_eq!(read(&[("once", "true")]).unwrap().unwrap().image.assignment.as_deref(), Some("debian"));
}

#[test]
fn an_image_has_its_time() {
    let is_offered = |pairs: &[(&str, &str)]| read(pairs).unwrap().is_some();
    for (from, expect) in [
        ("2026-05-01T11:59:59Z", true),
        ("2026-05-01T12:00:01Z", false),
        ("2026-05-01T13:30:00+02:00", true),
        ("2026-05-01 11:00:00", true),
        ("2026-05-01 13:00:00", false),
        ("2026-05-01", true),
        ("2026-05-02", false),
        ("1777636800", true),
        ("1777636801", false),
        ("1777636800000", true),
        ("1777636801000", false),
        ("-infinity", true),
        (" ", true),
    ] {
        assert_eq!(is_offered(&[("available_from", from)]), expect, "from {from}");
    }
    assert!(!is_offered(&[("expires", "2026-05-01T12:00:00Z")]), "the end is not part of it");
    assert!(is_offered(&[("expires", "2026-05-01T12:00:01Z")]) && is_offered(&[("expires", "infinity")]));
    let mut numbers = record(&[("image", "x"), ("kind", "local")]);
    numbers.insert("available_from", 1_777_636_801_i64);
    assert!(offer(&numbers, at(NOON)).unwrap().is_none());
}

#[test]
fn a_row_that_cannot_be_read_says_why() {
    let check = |pairs: &[(&str, &str)], expect: &str| {
        let error = read(pairs).unwrap_err();
        assert!(error.starts_with(expect), "{error}");
    };
    check(&[("kind", "iso")], "image `debian`: `kind` is `iso`; use one of linux,");
    check(&[("kernel", "")], "image `debian`: `kernel` is missing");
    check(&[("mandatory", "inf")], "image `debian`: `mandatory` is `inf`; write 1 or 0");
    check(&[("mandatory", "maybe")], "image `debian`: `mandatory` is `maybe`; write 1 or 0");
    check(&[("countdown", "-1")], "image `debian`: `countdown` is `-1`; write seconds");
    check(&[("sort_order", "first")], "image `debian`: `sort_order` is `first`; write a number");
    check(&[("expires", "soon")], "image `debian`: `expires` is `soon`; write it like 2026");
    check(&[("available_from", "2026")], "image `debian`: `available_from` is `2026`; write it like");
    check(&[("available_from", "infinity")], "image `debian`: `available_from` is `infinity`");
    check(&[("assignment", "a\nb")], "image `debian`: `assignment` is no line");
    check(&[("image", "a b")], "image `a b`: `a b` is no image id");
    assert_eq!(offer(&record(&[("kind", "local")]), at(NOON)).unwrap_err(), "a row has no `image`");
}

#[test]
fn an_image_without_a_kind_is_one_of_the_store() {
    let row = record(&[("image", "debian"), ("title", "Room 4"), ("mandatory", "yes"), ("once", "1"), ("kernel", "x")]);
    let Described::InStore(unfinished) = offer(&row, at(NOON)).unwrap().unwrap() else { panic!() };
    assert_eq!(unfinished.id, "debian");
    let stored = BootImage::from_row("debian", &record(&[("kind", "linux"), ("kernel", "d/linux")])).unwrap();
    let offer = unfinished.with(stored.clone());
    assert_eq!((offer.image.title.as_str(), offer.image.kind), ("Room 4", stored.kind));
    assert_eq!((offer.is_mandatory, offer.image.assignment.as_deref()), (true, Some("debian")));
}

#[test]
fn machines_are_read_and_joined() {
    let rows = vec![
        record(&[
            ("machine_id", "7"),
            ("hostname", "lab-07"),
            ("mac", "52:54:00:ab:cd:01 525400abcd02"),
            ("serial", "S1"),
        ]),
        record(&[("hostname", "nobody")]),
        record(&[("machine_id", "7"), ("hostname", "lab-07"), ("mac", "52:54:00:ab:cd:03"), ("serial", "S1")]),
        record(&[("machine_id", "8"), ("mac", "{lost}"), ("uuid", "?")]),
    ];
    let read = candidates(rows);
    let counts = |candidate: &Candidate| (candidate.macs.len(), candidate.serials.len(), candidate.uuids.len());
    assert_eq!(read.list.iter().map(counts).collect::<Vec<_>>(), [(3, 1, 0), (0, 0, 0)]);
    assert_eq!(read.list[0].to_string(), "lab-07 (7)");
    assert_eq!(
        read.dropped,
        [
            "row 2 of the machine query has no `machine_id`",
            "machine 8: `uuid` is `?`, which is none; it is left out",
            "machine 8: `mac` is `lost`, which is none; it is left out",
        ]
    );
}

proptest! {
    #[test]
    fn any_row_is_read_or_says_why(
        values in proptest::collection::vec("\\PC{0,20}|[0-9.eE+-]{1,24}|[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:Z]{0,9}", 14),
        number in any::<f64>(),
    ) {
        let columns = ["image", "title", "kernel", "cmdline", "mandatory", "countdown", "available_from", "expires",
            "sort_order", "once", "assignment", "machine_id", "uuid", "mac"];
        let mut row: Record = columns.into_iter().zip(values).collect();
        row.insert("kind", "linux");
        let _ = offer(&row, at(NOON));
        for column in ["countdown", "available_from", "expires", "sort_order"] {
            row.insert(column, Value::Float(number));
        }
        let _ = offer(&row, at(NOON));
        prop_assert!(candidates(vec![row]).list.len() <= 1);
    }
}
