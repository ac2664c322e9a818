//! The history against a real store: a SQLite file in a folder that comes and goes.

use std::path::Path;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::boot::{Architecture, Client, Line, Outcome, Record, SessionId, Step, Verdict};
use crate::database::{Database, Query};
use crate::decision::{Carrier, Sessions, TokenKey};

const PATIENCE: Duration = Duration::from_secs(30);
const RETENTION: Retention = Retention { keep: Duration::from_secs(86_400), boots_max: 1_000, questions_max: 1_000 };

fn store(file: &Path) -> Store {
    Store::on(Database::sqlite("store", file)).unwrap()
}

fn request(number: u8, stage: Stage) -> BootRequest {
    BootRequest::new(
        SessionId([number; 6]),
        stage,
        Client::new([2, 0, 0, 0, 0, number].into(), Architecture::X64_UEFI),
        Timestamp::now(),
    )
}

fn decision(verdict: Verdict, handler: &str) -> BootDecision {
    let step = Step {
        handler: handler.into(),
        outcome: Outcome::Given,
        detail: "because".into(),
        elapsed_us: 7,
        account: None,
    };
    BootDecision { verdict, images: None, handler: handler.into(), trail: vec![step], elapsed_us: 9 }
}

/// Waits until the metrics page says so.
async fn shows(metrics: &Metrics, line: &str) {
    let waiting = async {
        while !metrics.text().lines().any(|shown| shown == line) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let shown = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(shown.is_ok(), "no {line} in {}", metrics.text());
}

fn counts(outcome: &str, count: usize) -> String {
    format!("pointsman_history_records_total{{outcome=\"{outcome}\"}} {count}")
}

#[tokio::test]
async fn a_boot_is_written_with_what_was_decided_and_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("pointsman.db"));
    let (metrics, history) = (Metrics::default(), History::start(store.clone(), RETENTION, &Metrics::default()));
    drop(metrics);
    let sender = history.sender();
    let mut asked = request(1, Stage::Discover);
    sender.decided(Question::AllowBoot, &asked, &decision(Verdict::allow(), "sql"));
    asked.stage = Stage::Http;
    asked.machine.insert("uuid", "4c4c4544-0057-5810-804a-c3c04f463732");
    asked.machine.insert("serial", "7XK\"3");
    asked.record = Some(Arc::new([("machine_id", "lab-07")].into_iter().collect::<Record>()));
    sender.decided(Question::BootImages, &asked, &decision(Verdict::allow(), "script"));
    asked.record = None;
    for event in [
        BootEvent::Offered { images: vec!["install".into(), "disk".into()], assignments: vec!["a1".into()] },
        BootEvent::Started { image: "install".into(), assignment: "a1".into() },
        BootEvent::FileSent {
            file: "debian/linux".into(),
            octets: 9,
            elapsed: Duration::from_millis(3),
            by: Carrier::Tftp { retransmissions: 2 },
        },
        BootEvent::LoadFailed { image: "install".into(), error: Some(0x2d0c_613b) },
        BootEvent::Failed { reason: Line::clean("no disk") },
        BootEvent::Done,
    ] {
        sender.happened(&asked, &event);
    }
    history.finish().await;
    let boot = store.boot(asked.session).await.unwrap().unwrap();
    assert_eq!(boot.mac, Some([2, 0, 0, 0, 0, 1].into()));
    assert_eq!(boot.uuid.unwrap().to_string(), "4c4c4544-0057-5810-804a-c3c04f463732");
    let texts = [&boot.arch, &boot.machine, &boot.verdict, &boot.handler, &boot.images, &boot.result, &boot.facts];
    let facts = r#"{"serial":"7XK\"3","uuid":"4c4c4544-0057-5810-804a-c3c04f463732"}"#;
    let expected = ["x64-uefi", "lab-07", "allow", "script", "install disk", "done", facts];
    assert_eq!(texts.map(|text| text.as_deref().unwrap()), expected);
    let trail: serde_json::Value = serde_json::from_str(boot.trail.as_deref().unwrap()).unwrap();
    assert_eq!((&trail[0]["handler"], &trail[0]["outcome"]), (&"script".into(), &"given".into()));
    let mut events: Vec<_> = boot.events.iter().map(|event| (event.name.as_str(), event.detail.as_str())).collect();
    let mut expected = [
        ("allow_boot", "sql answered: because"),
        ("boot_images", "script answered: because"),
        ("offered", "install disk; assignment a1"),
        ("started", "install; assignment a1"),
        ("sent", "debian/linux; 9 octets; 3 ms; by TFTP, 2 packets sent again"),
        ("load-failed", "install; https://ipxe.org/2d0c613b"),
        ("failed", "no disk"),
        ("done", ""),
    ];
    // Those of one millisecond have no order.
    events.sort_unstable();
    expected.sort_unstable();
    assert_eq!(events, expected);
}

#[tokio::test]
async fn questions_are_kept_whole_where_the_site_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, questions_max) in [("with", 10), ("without", 0)] {
        let store = store(&folder.path().join(name));
        let history = History::start(store.clone(), Retention { questions_max, ..RETENTION }, &Metrics::default());
        let (asked, answer) = (request(1, Stage::Http), decision(Verdict::allow(), "script"));
        (0..40).for_each(|_| history.sender().decided(Question::BootImages, &asked, &answer));
        history.finish().await;
        let (kept, _) = store.questions_of(asked.session).await.unwrap();
        // Who polls leaves room for others.
        assert_eq!(kept.len(), if questions_max == 0 { 0 } else { 24 });
        assert!(kept.iter().all(|kept| kept.decision() == Ok(answer.clone())));
        assert_eq!(store.boot(asked.session).await.unwrap().unwrap().events.len(), 40);
    }
}

#[tokio::test]
async fn packets_and_requests_are_written_without_end_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("pointsman.db"));
    let history = History::start(store.clone(), RETENTION, &Metrics::default());
    let sessions = Sessions::new(TokenKey::new(&[7; 32]), 10);
    let (client, now) = (Client::new([2, 0, 0, 0, 0, 9].into(), Architecture::X64_UEFI), Timestamp::now());
    let session = sessions.begin(client, 1, now);
    let told = Exchange {
        by: Transport::Discover,
        asked: "UEFI firmware".into(),
        told: "no answer: ignored".into(),
        elapsed: Duration::from_micros(250),
    };
    for second in 0..1_000 {
        let at = now + SignedDuration::from_secs(second);
        if history.sender().wants(session.id(), told.by, at) {
            history.sender().exchanged(&session, &told, at);
        }
    }
    history.finish().await;
    let boot = store.boot(session.id()).await.unwrap().unwrap();
    assert_eq!((boot.events.len(), boot.mac), (60, Some([2, 0, 0, 0, 0, 9].into())));
    let event = &boot.events[0];
    assert_eq!(
        (event.name.as_str(), event.detail.as_str()),
        ("discover", "UEFI firmware -> no answer: ignored; 0.2 ms")
    );
}

#[tokio::test]
async fn a_boot_that_got_nothing_is_one_row_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("pointsman.db"));
    let history = History::start(store.clone(), RETENTION, &Metrics::default());
    let ignored = request(2, Stage::Discover);
    history.sender().decided(Question::AllowBoot, &ignored, &decision(Verdict::ignore("not ours"), "policy"));
    history.finish().await;
    let boot = store.boot(ignored.session).await.unwrap().unwrap();
    let texts = [&boot.verdict, &boot.reason, &boot.result, &boot.machine].map(Option::as_deref);
    assert_eq!(texts, [Some("ignore"), Some("not ours"), Some("ignore"), None]);
    assert_eq!(boot.events, []);
}

#[tokio::test]
async fn while_the_store_is_gone_nobody_waits_and_what_does_not_fit_is_counted_and_the_rest_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("later");
    let store = store(&place.join("pointsman.db"));
    let metrics = Metrics::default();
    let history = History::with_queue(store.clone(), RETENTION, &metrics, 4);
    let sender = history.sender();
    // The writer has taken the first, and tries in vain.
    sender.happened(&request(1, Stage::Http), &BootEvent::Done);
    shows(&metrics, "pointsman_history_queue{} 0").await;
    let started = Instant::now();
    let tell = |numbers: std::ops::RangeInclusive<u8>| {
        numbers.for_each(|number| sender.happened(&request(number, Stage::Http), &BootEvent::Done));
    };
    // As many as fit into a batch that waits are taken too, so that more are told until none fits.
    let mut told = 1;
    while !metrics.text().lines().any(|line| line == counts("dropped_queue_full", 3)) {
        assert!(told < 250 && started.elapsed() < PATIENCE, "{}", metrics.text());
        told += 1;
        tell(told..=told);
    }
    shows(&metrics, "pointsman_history_queue{} 4").await;
    std::fs::create_dir(&place).unwrap();
    shows(&metrics, &counts("written", usize::from(told) - 3)).await;
    assert!(store.boot(SessionId([1; 6])).await.unwrap().is_some());
    history.finish().await;
    assert!(metrics.text().contains(&counts("dropped_at_stop", 0)), "{}", metrics.text());
}

#[tokio::test]
async fn an_entry_that_the_store_refuses_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("pointsman.db"));
    store.prepare(PATIENCE).await.unwrap();
    let unique = Query::parse("CREATE UNIQUE INDEX one_of_each ON boot_event (detail)").unwrap();
    store.database().execute(&unique, &Record::default(), PATIENCE).await.unwrap();
    let metrics = Metrics::default();
    let history = History::start(store.clone(), RETENTION, &metrics);
    for (number, reason) in [(1, "fine"), (2, "fine"), (3, "fine too")] {
        let event = BootEvent::Failed { reason: Line::clean(reason) };
        history.sender().happened(&request(number, Stage::Http), &event);
    }
    shows(&metrics, &counts("dropped_refused", 1)).await;
    shows(&metrics, &counts("written", 2)).await;
    history.finish().await;
    assert!(store.boot(SessionId([2; 6])).await.unwrap().is_none());
    assert!(store.boot(SessionId([3; 6])).await.unwrap().is_some());
}

#[tokio::test]
async fn at_the_end_nobody_waits_long_for_a_store_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    // A file in the place of the folder: nothing can be made below it.
    std::fs::write(folder.path().join("never"), "").unwrap();
    let store = store(&folder.path().join("never/pointsman.db"));
    let metrics = Metrics::default();
    let history = History::start(store, RETENTION, &metrics);
    let sender = history.sender();
    (1..=9).for_each(|number| sender.happened(&request(number, Stage::Http), &BootEvent::Done));
    let started = Instant::now();
    history.finish().await;
    assert!(started.elapsed() < 2 * FLUSH_TIME_MAX, "{:?}", started.elapsed());
    assert!(metrics.text().contains(&counts("dropped_at_stop", 9)), "{}", metrics.text());
    sender.happened(&request(10, Stage::Http), &BootEvent::Done);
    assert!(metrics.text().contains(&counts("dropped_at_stop", 10)), "{}", metrics.text());
}

#[tokio::test]
async fn made_up_machines_have_a_budget_and_real_boots_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = Metrics::default();
    let history = History::start(store(&folder.path().join("never/pointsman.db")), RETENTION, &metrics);
    let (sender, unknown) = (history.sender(), decision(Verdict::ignore("not ours"), "policy"));
    let mut flood = request(1, Stage::Discover);
    for number in 0..10_000u16 {
        let [high, low] = number.to_be_bytes();
        flood.session = SessionId([1, 0, 0, 0, high, low]);
        sender.decided(Question::AllowBoot, &flood, &unknown);
    }
    assert!(metrics.text().contains(&counts("dropped_excess", 8_000)), "{}", metrics.text());
    sender.decided(Question::BootImages, &request(2, Stage::Http), &unknown);
    assert!(metrics.text().contains(&counts("dropped_excess", 8_000)), "{}", metrics.text());
}

#[tokio::test]
async fn old_boots_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("pointsman.db"));
    let now = Timestamp::now();
    let entry =
        |number: u8, hours: i64| BootEntry::new(SessionId([number; 6]), now - jiff::SignedDuration::from_hours(hours));
    store.write(&[entry(1, 25), entry(2, 23), entry(3, 0)]).await.unwrap();
    upkeep::once(&store, RETENTION, now).await;
    let left = [1, 2, 3].map(|number| store.boot(SessionId([number; 6])));
    let [gone, young, new] = futures_util::future::join_all(left).await.try_into().unwrap();
    assert_eq!((gone.unwrap(), young.unwrap().is_some(), new.unwrap().is_some()), (None, true, true));
    upkeep::once(&store, Retention { boots_max: 1, ..RETENTION }, now).await;
    assert!(store.boot(SessionId([2; 6])).await.unwrap().is_none());
    assert!(store.boot(SessionId([3; 6])).await.unwrap().is_some());
}
