//! What was asked of a boot, whole.

use std::sync::Arc;

use super::*;
use boot::{Architecture, BootDecision, BootRequest, Client, HardwareAddress, Machine, Record, Stage, Value, Verdict};
use database::Query;
use decision::Question;
use store::{BootEntry, QuestionEntry, QuestionFilter, RecordedError};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a question comes back whole", |place| Box::pin(whole(place))),
    ("questions are read in pages, the newest first", |place| Box::pin(pages(place))),
    ("a broken question costs no other", |place| Box::pin(broken(place))),
    ("questions go with their boot, and beyond their number", |place| Box::pin(gone(place))),
];

fn request(number: u8, second: i64) -> BootRequest {
    let mut machine = Machine::default();
    machine.insert("serial", "7XK\"3 ü");
    BootRequest {
        machine,
        record: Some(Arc::new([("owner", "\u{1F5A5} '\\")].into_iter().collect::<Record>())),
        ..BootRequest::new(boot_of(number), Stage::Http, Client::new(mac(number), Architecture::X64_UEFI), at(second))
    }
}

fn mac(number: u8) -> HardwareAddress {
    [0x52, 0x54, 0, 0, 0, number].into()
}

fn entry(number: u8, second: i64, reason: &str) -> BootEntry {
    let verdict = Verdict::deny(reason);
    let decision = BootDecision { verdict, images: None, handler: "site".into(), trail: Vec::new(), elapsed_us: 3 };
    let mut entry = BootEntry::new(boot_of(number), at(second));
    entry.mac = Some(mac(number));
    entry.machine = Some(format!("m{number}"));
    entry.questions.push(QuestionEntry::new(Question::AllowBoot, &request(number, second), &decision));
    entry
}

async fn whole(place: Place) {
    let store = place.open();
    let one = entry(1, 5, "not ours");
    // What is written twice is there once.
    for _ in 0..2 {
        store.write(&[one.clone(), entry(2, 0, &"x".repeat(2000))]).await.unwrap();
    }
    let (kept, unreadable) = store.questions_of(boot_of(1)).await.unwrap();
    let ([kept], 0) = (&kept[..], unreadable) else { panic!("{kept:#?} {unreadable}") };
    assert_eq!(
        (kept.session, kept.asked, kept.question, kept.stage),
        (boot_of(1), at(5), Question::AllowBoot, Stage::Http)
    );
    assert_eq!(kept.machine.as_deref(), Some("m1"));
    assert_eq!(format!("{:?}", kept.request().unwrap()), format!("{:?}", request(1, 5)));
    assert_eq!(kept.decision().unwrap().verdict, Verdict::deny("not ours"));
    let mut long = request(3, 0);
    long.record = Some(Arc::new([("note", "x".repeat(61 << 10))].into_iter().collect::<Record>()));
    let mut three = entry(3, 0, "");
    three.questions = vec![QuestionEntry::new(Question::AllowBoot, &long, &kept.decision().unwrap())];
    store.write(&[three]).await.unwrap();
    let (kept, _) = store.questions_of(boot_of(3)).await.unwrap();
    assert_eq!(kept[0].request().unwrap_err(), RecordedError::NotKept);
    assert!(kept[0].decision().is_ok());
}

async fn pages(place: Place) {
    let store = place.open();
    // More than a page; several at the same moment.
    let batch: Vec<_> = (0..600u16).map(|number| entry((number % 3) as u8, i64::from(number / 4), "no")).collect();
    store.write(&batch).await.unwrap();
    let all = async |filter: QuestionFilter<'_>| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.questions(&filter, after.as_ref()).await.unwrap();
            found.extend(page.kept);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    };
    let found = all(QuestionFilter::default()).await;
    assert_eq!(found.len(), 600);
    assert!(found.windows(2).all(|pair| pair[0].asked >= pair[1].asked));
    let since = QuestionFilter { since: Some(at(100)), ..QuestionFilter::default() };
    assert_eq!(all(since).await.len(), 200);
    let machine = name("m1");
    let of_machine = all(QuestionFilter { machine: Some(&machine), ..QuestionFilter::default() }).await;
    assert!(of_machine.len() == 200 && of_machine.iter().all(|kept| kept.session == boot_of(1)));
    let of_mac = all(QuestionFilter { mac: Some(mac(2)), ..QuestionFilter::default() }).await;
    assert!(of_mac.len() == 200 && of_mac.iter().all(|kept| kept.session == boot_of(2)));
}

async fn broken(place: Place) {
    let store = place.open();
    store.write(&[entry(1, 0, "no"), entry(2, 0, "no"), entry(3, 0, "no")]).await.unwrap();
    let change = async |text: &str, number: u8| {
        let values: Record = [("session", Value::from(boot_of(number).to_string()))].into_iter().collect();
        store.database().execute(&Query::parse(text).unwrap(), &values, LIMIT).await.unwrap();
    };
    change("UPDATE question SET request = '{\"v\":1,', decision = 'x' WHERE session = :session", 1).await;
    change("UPDATE question SET question = 'why' WHERE session = :session", 2).await;
    let page = store.questions(&QuestionFilter::default(), None).await.unwrap();
    assert_eq!((page.kept.len(), page.broken, page.next.is_none()), (2, 1, true));
    let (kept, _) = store.questions_of(boot_of(1)).await.unwrap();
    assert!(matches!(kept[0].request(), Err(RecordedError::Broken(_))));
    assert!(matches!(kept[0].decision(), Err(RecordedError::Broken(_))));
    assert_eq!(store.questions_of(boot_of(2)).await.unwrap(), (Vec::new(), 1));
    let (kept, _) = store.questions_of(boot_of(3)).await.unwrap();
    assert!(kept[0].request().is_ok());
}

async fn gone(place: Place) {
    let store = place.open();
    let batch: Vec<_> = (0..10).map(|number| entry(number, i64::from(number), "no")).collect();
    store.write(&batch).await.unwrap();
    let left = async || store.questions(&QuestionFilter::default(), None).await.unwrap().kept.len();
    assert_eq!(store.prune_questions(7, LIMIT).await.unwrap(), 3);
    assert_eq!((store.prune_questions(7, LIMIT).await.unwrap(), left().await), (0, 7));
    assert_eq!(store.questions_of(boot_of(2)).await.unwrap(), (Vec::new(), 0));
    assert!(store.boot(boot_of(2)).await.unwrap().is_some(), "its boot stays");
    store.prune(Duration::from_secs(3), 10, at(10), LIMIT).await.unwrap();
    assert_eq!(left().await, 3, "those of boots that began at seconds 0 to 6 went with them");
}
