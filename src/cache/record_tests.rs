//! Records: read as they were written, and nothing else.

use proptest::prelude::*;

use super::*;

fn index_record() -> IndexRecord {
    let version = RemoteFile { length: 7, tag: "t\"1\"".into() };
    IndexRecord::new("s3", &"debian/linux".parse().unwrap(), &version, Sha256::of(b"x"), true)
}

fn partial_record() -> PartialRecord {
    let version = RemoteFile { length: 7, tag: "t\"1\"".into() };
    PartialRecord::new("s3", &"debian/linux".parse().unwrap(), &version)
}

#[test]
fn records_are_read_as_they_were_written() {
    let record = index_record();
    let text = to_text(&record).unwrap();
    assert_eq!(IndexRecord::read(&record.file(), &text), Some(record));
    let record = partial_record();
    let text = to_text(&record).unwrap();
    assert_eq!(PartialRecord::read(&record.file(), &text), Some(record));
}

#[test]
fn a_record_under_another_name_or_of_another_form_is_none() {
    let record = index_record();
    let text = String::from_utf8(to_text(&record).unwrap()).unwrap();
    assert_eq!(IndexRecord::read("x.json", text.as_bytes()), None);
    for (old, new) in [
        ("\"format\": 1", "\"format\": 2"),
        ("debian/linux", "debian/../linux"),
        ("debian/linux", "debian//linux"),
        ("debian/linux", "debian/linuy"),
        ("\"s3\"", "\"\""),
        ("\"length\": 7", "\"length\": -7"),
        ("\"verified\": true", "\"verified\": true, \"more\": 1"),
    ] {
        let changed = text.replacen(old, new, 1);
        assert_ne!(changed, text);
        // A name that is only written differently is the same file.
        if new != "debian//linux" {
            assert_eq!(IndexRecord::read(&record.file(), changed.as_bytes()), None, "{changed}");
        }
    }
}

#[test]
fn after_a_start_of_the_system_only_what_was_on_the_disk_counts() {
    let mut record = partial_record();
    record.durable = 3;
    assert_eq!(record.good(5), 5);
    assert_eq!(record.good(50), 7);
    record.boot = "another".into();
    assert_eq!((record.good(5), record.good(2)), (3, 2));
    record.boot = String::new();
    assert_eq!(record.good(5), 3);
}

proptest! {
    #[test]
    fn any_octets_are_a_record_or_nothing(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(IndexRecord::read(&index_record().file(), &octets), None);
        prop_assert_eq!(PartialRecord::read(&partial_record().file(), &octets), None);
    }

    #[test]
    fn a_changed_record_is_the_same_file_or_nothing(at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let record = index_record();
        let mut text = to_text(&record).unwrap();
        let at = at.index(text.len());
        text[at] = octet;
        if let Some(read) = IndexRecord::read(&record.file(), &text) {
            prop_assert_eq!((&read.origin, &read.name), (&record.origin, &record.name));
        }
        let record = partial_record();
        let mut text = to_text(&record).unwrap();
        let at = at % text.len();
        text[at] = octet;
        if let Some(read) = PartialRecord::read(&record.file(), &text) {
            prop_assert_eq!(read.data_file(), record.data_file());
            prop_assert!(read.durable <= read.length);
        }
    }
}
