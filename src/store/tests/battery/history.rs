//! What is written of boots, and read again.

use super::*;
use boot::HardwareAddress;
use store::{BootEntry, BootFilter, EventEntry, SpentBy, State};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a boot grows", |place| Box::pin(a_boot_grows(place))),
    ("what is written twice is there once", |place| Box::pin(written_twice(place))),
    ("a batch says what its entries say one by one", |place| Box::pin(batches(place))),
    ("nothing is too long", |place| Box::pin(nothing_is_too_long(place))),
    ("boots are listed by what is asked for", |place| Box::pin(lists(place))),
    ("machines were seen, strangers too", |place| Box::pin(seen(place))),
    ("old boots go", |place| Box::pin(pruned(place))),
    ("old assignments go", |place| Box::pin(ended(place))),
];

fn mac(number: u8) -> HardwareAddress {
    [0x52, 0x54, 0, 0, 0, number].into()
}

fn entry(number: u8, second: i64) -> BootEntry {
    BootEntry { mac: Some(mac(number)), ..BootEntry::new(boot_of(number), at(second)) }
}

async fn a_boot_grows(place: Place) {
    let store = place.open();
    let mut first = entry(1, 0);
    first.verdict = Some("deny".into());
    first.reason = Some("not known".into());
    first.arch = Some("x64-uefi".into());
    first.result = Some("denied".into());
    store.write(&[first.clone()]).await.unwrap();
    let mut second = BootEntry::new(boot_of(1), at(-3));
    second.last_event = at(20);
    second.verdict = Some("allow".into());
    second.machine = Some("lab-07".into());
    second.uuid = Some("4c4c4544-0057-5810-804a-c3c04f463732".parse().unwrap());
    second.facts = Some("{\"product\":\"X\"}".into());
    second.result = Some("started".into());
    second.events = vec![EventEntry::new(at(20), "started", "debian")];
    store.write(&[second.clone()]).await.unwrap();
    // Another server is late: what it knows is older.
    let mut late = BootEntry::new(boot_of(1), at(5));
    late.last_event = at(10);
    late.result = Some("offered".into());
    late.events = vec![EventEntry::new(at(10), "offered", "debian")];
    store.write(&[late.clone()]).await.unwrap();
    let found = store.boot(boot_of(1)).await.unwrap().unwrap();
    let expect =
        BootEntry { mac: first.mac, arch: first.arch, events: [late.events, second.events.clone()].concat(), ..second };
    assert_eq!(found, expect);
    assert_eq!(store.boot(boot_of(2)).await.unwrap(), None);
}

async fn written_twice(place: Place) {
    let store = place.open();
    let mut one = entry(1, 0);
    one.events = (0..3).map(|second| EventEntry::new(at(second), "sent", "d/linux")).collect();
    let batch = [entry(9, 1), one.clone(), entry(2, 1)];
    for _ in 0..3 {
        store.write(&batch).await.unwrap();
    }
    store.write(&[]).await.unwrap();
    assert_eq!(store.boot(boot_of(1)).await.unwrap().unwrap().events, one.events);
    let all = store.boots(BootFilter { limit: 100, ..BootFilter::default() }).await.unwrap();
    assert_eq!(all.len(), 3);
    // Two servers write the same boots in another order at the same time.
    let (other, reverse) = (place.open(), batch.iter().rev().cloned().collect::<Vec<_>>());
    for _ in 0..10 {
        let (one, two) = tokio::join!(store.write(&batch), other.write(&reverse));
        one.and(two).unwrap();
    }
}

/// Many entries of few boots, in any order: there are rows of one statement, several rounds of them, and a rest.
async fn batches(place: Place) {
    let store = place.open();
    let mut state = 1_u64;
    let mut dice = |sides: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let of = |session: u8, number: u64| boot::SessionId([0, 0, 0, 0, session, number as u8]);
    let mut entries = Vec::new();
    for number in 0..400 {
        let mut one = BootEntry::new(of(1, dice(70)), at(dice(30) as i64));
        one.last_event = at(30 + dice(30) as i64);
        let mut maybe = |what: &str| (dice(3) == 0).then(|| format!("{what}{number}"));
        (one.arch, one.machine, one.images) = (maybe("a"), maybe("m"), maybe("i"));
        (one.verdict, one.handler, one.result) = (maybe("v"), maybe("h"), maybe("r"));
        (one.reason, one.facts, one.trail) = (maybe("why"), maybe("1"), maybe("2"));
        one.events = (0..dice(3)).map(|_| EventEntry::new(one.last_event, "sent", &number.to_string())).collect();
        entries.push(one);
    }
    for one in &entries {
        store.write(std::slice::from_ref(one)).await.unwrap();
    }
    let same =
        |entry: &BootEntry, session| BootEntry { session: of(session, entry.session.0[5].into()), ..entry.clone() };
    let copies: Vec<_> = entries.iter().map(|entry| same(entry, 2)).collect();
    let (first, second) = copies.split_at(300);
    store.write(first).await.unwrap();
    store.write(second).await.unwrap();
    for number in 0..70 {
        let [singly, together] = [1, 2].map(|session| of(session, number));
        let singly = store.boot(singly).await.unwrap().map(|boot| same(&boot, 2));
        assert_eq!(store.boot(together).await.unwrap(), singly, "{number}");
    }
}

async fn nothing_is_too_long(place: Place) {
    let store = place.open();
    let long = || Some(format!("\0{}", "ü\u{1F5A5}'\\".repeat(5000)));
    let mut one = entry(1, 0);
    one.reason = long();
    one.handler = long();
    one.images = long();
    one.arch = long();
    one.machine = long();
    one.verdict = long();
    one.result = long();
    one.facts = long();
    one.trail = Some(format!("[\"{}\"]", "x".repeat(50_000)));
    one.events = vec![EventEntry::new(at(0), &long().unwrap(), &long().unwrap())];
    store.write(&[one.clone()]).await.unwrap();
    let found = store.boot(boot_of(1)).await.unwrap().unwrap();
    assert_eq!(found.reason.map(|text| text.chars().count()), Some(255));
    assert_eq!((found.facts, found.trail), (None, one.trail));
    assert_eq!(found.events.len(), 1);
}

async fn lists(place: Place) {
    let store = place.open();
    let mut batch = Vec::new();
    for number in 0..20 {
        let mut one = entry(number, i64::from(number / 2));
        one.mac = Some(mac(number % 3));
        one.machine = (number % 4 == 0).then(|| "lab-07".into());
        batch.push(one);
    }
    store.write(&batch).await.unwrap();
    let numbers = async |filter: BootFilter<'_>| {
        let found = store.boots(filter).await.unwrap();
        found.iter().map(|boot| boot.session.0[5]).collect::<Vec<_>>()
    };
    let filter = BootFilter { limit: 100, ..BootFilter::default() };
    assert_eq!(numbers(filter).await, (0..20).rev().collect::<Vec<_>>());
    assert_eq!(numbers(BootFilter { limit: 2, ..filter }).await, [19, 18]);
    let lab = name("lab-07");
    assert_eq!(numbers(BootFilter { machine: Some(&lab), ..filter }).await, [16, 12, 8, 4, 0]);
    assert_eq!(numbers(BootFilter { mac: Some(mac(2)), since: Some(at(5)), ..filter }).await, [17, 14, 11]);
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let page = store.boots(BootFilter { before, limit: 3, ..filter }).await.unwrap();
        paged.extend(page.iter().map(|boot| boot.session.0[5]));
        let Some(last) = page.last() else { break };
        before = Some((last.started, last.session));
    }
    assert_eq!(paged, (0..20).rev().collect::<Vec<_>>());
}

async fn seen(place: Place) {
    let store = filled(&place).await;
    let day = 24 * 3600;
    let mut batch = Vec::new();
    for (number, machine, second) in
        [(1, Some("a"), 0), (2, Some("a"), day), (3, Some("a"), day + 5), (4, Some("b"), 1)]
    {
        let mut one = entry(number, second);
        one.machine = machine.map(str::to_owned);
        one.result = Some(format!("r{number}"));
        batch.push(one);
    }
    batch.extend([entry(5, 10), BootEntry { mac: Some(mac(5)), ..entry(6, 20) }, entry(7, -10)]);
    store.write(&batch).await.unwrap();
    let found = store.seen(&name("a"), &name("c"), at(day + 6)).await.unwrap();
    assert_eq!(found.keys().map(Name::as_str).collect::<Vec<_>>(), ["a", "b"]);
    let a = &found[&name("a")];
    assert_eq!((a.session, a.at, a.result.as_deref(), a.boots_24h), (boot_of(3), at(day + 5), Some("r3"), 2));
    assert_eq!(found[&name("b")].boots_24h, 0);
    assert_eq!(store.seen(&name("b"), &name("b"), at(day)).await.unwrap().len(), 1);
    let strangers = store.strangers(at(0)).await.unwrap();
    assert_eq!(strangers.len(), 1);
    assert_eq!((strangers[0].mac, strangers[0].at, strangers[0].boots), (mac(5), at(20), 2));
    store.add_machine(machine("new", 5)).await.unwrap();
    assert_eq!(store.strangers(at(0)).await.unwrap(), []);
}

async fn pruned(place: Place) {
    let store = place.open();
    let batch = (0..1200_u16).map(|number| {
        let [high, low] = number.to_be_bytes();
        let mut one = BootEntry::new(SessionId([0, 0, 0, 0, high, low]), at(i64::from(number)));
        one.events = vec![EventEntry::new(one.started, "offered", "")];
        one
    });
    let batch = batch.collect::<Vec<_>>();
    store.write(&batch).await.unwrap();
    let keep = Duration::from_secs(500);
    // 1200 boots at the seconds 0 to 1199; those before second 600 are too old.
    let pruned = store.prune(keep, 10_000, at(1100), LIMIT).await.unwrap();
    assert_eq!((pruned.boots, pruned.assignments), (600, 0));
    let pruned = store.prune(keep, 5, at(1100), LIMIT).await.unwrap();
    assert_eq!(pruned.boots, 595);
    let left = store.boots(BootFilter { limit: 100, ..BootFilter::default() }).await.unwrap();
    let left: Vec<_> = left.iter().map(|boot| boot.started).collect();
    assert_eq!(left, (1195..1200).rev().map(at).collect::<Vec<_>>());
    // What happened went with its boot: the same number is free again.
    store.write(&batch[..1]).await.unwrap();
    assert_eq!(store.boot(batch[0].session).await.unwrap().unwrap().events.len(), 1);
}

async fn ended(place: Place) {
    let store = filled(&place).await;
    let mut ids = Vec::new();
    for (machine, spent_by) in [("a", SpentBy::Image), ("b", SpentBy::Done), ("c", SpentBy::Image)] {
        ids.push(assign(&store, &NewAssignment { spent_by, ..to(machine, "debian") }).await);
    }
    for (number, id) in (1..).zip(&ids).take(2) {
        store.offered(id, boot_of(number), at(1), transitions::GUARD, LIMIT).await.unwrap();
        store.started(id, boot_of(number), at(1), LIMIT).await.unwrap();
    }
    let keep = Duration::from_secs(100);
    assert_eq!(store.prune(keep, 10, at(101), LIMIT).await.unwrap().assignments, 0);
    // What waits to be done stays, however old it is.
    assert_eq!(store.prune(keep, 10, at(102), LIMIT).await.unwrap().assignments, 1);
    assert!(store.assignment(&ids[0]).await.is_err());
    assert_eq!(store.assignment(&ids[1]).await.unwrap().state, State::Started);
    assert_eq!(store.assignment(&ids[2]).await.unwrap().state, State::Assigned);
}
