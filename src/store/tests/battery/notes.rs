//! Notes of machines: what is set, counted and cleared, and what is too much.

use super::store::{Note, NoteChange, NoteValue};
use super::*;

pub(super) const CASES: &[(&str, Case)] =
    &[("notes are kept", |place| Box::pin(kept(place))), ("counted by many", |place| Box::pin(counted(place)))];

fn set(name: &str, value: NoteValue) -> (String, NoteChange) {
    (name.to_owned(), NoteChange::Set(value))
}

async fn said(store: &Store, machine: &str) -> String {
    let notes = store.notes(machine, LIMIT).await.unwrap();
    notes.iter().map(|note| format!("{}={:?} ", note.name, note.value)).collect()
}

async fn kept(place: Place) {
    let store = place.open();
    let machine = "mac:52:54:00:00:00:01";
    assert_eq!(said(&store, machine).await, "");
    let text = "it's \"so\" \u{1f95f} {}".to_owned();
    let changes = [
        set("a", NoteValue::Text(text.clone())),
        set("b", NoteValue::Number(i64::MAX)),
        set("c", NoteValue::Truth(true)),
        ("d".into(), NoteChange::Add(2)),
        ("e".into(), NoteChange::Clear),
        set("d", NoteValue::Number(7)),
    ];
    store.change_notes(machine, &changes, at(0), LIMIT).await.unwrap();
    let expect = format!("a=Text({text:?}) b=Number({}) c=Truth(true) d=Number(7) ", i64::MAX);
    assert_eq!(said(&place.open(), machine).await, expect);
    let more = [
        ("d".into(), NoteChange::Add(-10)),
        ("a".into(), NoteChange::Add(1)),
        ("c".into(), NoteChange::Clear),
        ("b".into(), NoteChange::Add(1)),
    ];
    store.change_notes(machine, &more, at(1), LIMIT).await.unwrap();
    assert_eq!(said(&store, machine).await, format!("a=Number(1) b=Number({}) d=Number(-3) ", i64::MAX));
    for (name, value) in
        [("", NoteValue::Truth(true)), ("a b", NoteValue::Truth(true)), ("a", NoteValue::Text("x".repeat(1001)))]
    {
        let wrong = [set("new", NoteValue::Number(1)), set(name, value)];
        assert!(store.change_notes(machine, &wrong, at(2), LIMIT).await.is_err(), "{name}");
    }
    assert!(!said(&store, machine).await.contains("new"), "all or none");
    for n in 0..Note::PER_MACHINE_MAX - 3 {
        store.change_notes(machine, &[set(&format!("n{n}"), NoteValue::Number(1))], at(3), LIMIT).await.unwrap();
    }
    assert!(store.change_notes(machine, &[set("more", NoteValue::Number(1))], at(3), LIMIT).await.is_err());
    store.change_notes(machine, &[set("a", NoteValue::Number(2))], at(3), LIMIT).await.unwrap();
    let known = "name:lab-07";
    store.change_notes(known, &[set("a", NoteValue::Number(2))], at(0), LIMIT).await.unwrap();
    let all = store.all_notes(("", ""), LIMIT).await.unwrap();
    assert_eq!(all.len(), Note::PER_MACHINE_MAX + 1);
    let rest = store.all_notes((&all[5].machine, &all[5].name), LIMIT).await.unwrap();
    assert_eq!(rest, all[6..]);
    store.prune(Duration::from_secs(60), 1000, at(62), LIMIT).await.unwrap();
    assert!(!said(&store, machine).await.contains("d=") && said(&store, machine).await.contains("a="));
    assert_eq!(said(&store, known).await, "a=Number(2) ");
    assert!(store.clear_notes(machine, LIMIT).await.unwrap() > 20);
    assert_eq!((said(&store, machine).await, said(&store, known).await), (String::new(), "a=Number(2) ".into()));
}

async fn counted(place: Place) {
    let (one, other) = (place.open(), place.open());
    one.notes("mac:x", LIMIT).await.unwrap();
    let add = [("tries".to_owned(), NoteChange::Add(1))];
    let count = async |store: &Store| {
        for _ in 0..20 {
            store.change_notes("mac:x", &add, at(0), LIMIT).await.unwrap();
        }
    };
    tokio::join!(count(&one), count(&other));
    assert_eq!(said(&one, "mac:x").await, "tries=Number(40) ");
}
