//! Wrong answers that are counted, and boots that wait for an approval.

use super::*;
use boot::{HardwareAddress, Line, SessionId};
use store::{ApprovalRequest, ApprovalState, Attempt, Ruling, StoreError};

pub(super) const CASES: &[(&str, Case)] = &[
    ("so many may be wrong, and then none for a while", |place| Box::pin(locked(place))),
    ("of many at once only so many are allowed", |place| Box::pin(at_once(place))),
    ("an approval is decided once", |place| Box::pin(approval(place))),
    ("an id of hexadecimal digits is no address", |place| Box::pin(hexadecimal(place))),
    ("what waits no more is not approved", |place| Box::pin(left(place))),
];

const LOCKOUT: std::time::Duration = std::time::Duration::from_secs(100);

async fn attempt(store: &Store, subject: &str, second: i64) -> Attempt {
    store.attempt(subject, 3, LOCKOUT, at(second), LIMIT).await.unwrap()
}

async fn locked(place: Place) {
    let store = place.open();
    assert_eq!(attempt(&store, "user:ann", 0).await, Attempt::Allowed { left: 2 });
    assert_eq!(attempt(&store, "user:ann", 10).await, Attempt::Allowed { left: 1 });
    store.take_back_failure("user:ann", LIMIT).await.unwrap();
    assert_eq!(attempt(&store, "user:ann", 20).await, Attempt::Allowed { left: 1 });
    assert_eq!(attempt(&store, "user:ann", 30).await, Attempt::Allowed { left: 0 });
    // Another server, or this one after a restart.
    let store = place.open();
    for second in [31, 130] {
        assert_eq!(attempt(&store, "user:ann", second).await, Attempt::Locked { until: at(130) });
    }
    assert_eq!(attempt(&store, "user:Ann", 31).await, Attempt::Allowed { left: 2 });
    assert_eq!(attempt(&store, "user:ann", 131).await, Attempt::Allowed { left: 2 });
    store.forget_failures("user:ann", LIMIT).await.unwrap();
    assert_eq!(attempt(&store, "user:ann", 132).await, Attempt::Allowed { left: 2 });
    let long = "é".repeat(5000);
    assert_eq!(attempt(&store, &long, 0).await, Attempt::Allowed { left: 2 });
    store.take_back_failure("nobody", LIMIT).await.unwrap();
}

async fn at_once(place: Place) {
    let store = place.open();
    attempt(&store, "machine:x", 0).await;
    let all = futures_util::future::join_all((0..12).map(|_| attempt(&store, "machine:x", 1))).await;
    assert_eq!(all.iter().filter(|attempt| matches!(attempt, Attempt::Allowed { .. })).count(), 2, "{all:?}");
}

fn request(number: u8, image: &str) -> ApprovalRequest {
    let session = SessionId([0, 0, 0, 0, 0, number]);
    let mac: HardwareAddress = [2, 0, 0, 0, 0, number].into();
    ApprovalRequest { session, mac, image: image.into(), title: Line::clean("Wipe it?") }
}

fn agreed(by: &str, groups: &[&str]) -> Ruling {
    Ruling { by: Line::clean(by), agreed: Ok(groups.iter().map(|&group| group.to_owned()).collect()) }
}

async fn approval(place: Place) {
    let store = place.open();
    let asked = store.ask_approval(&request(1, ""), at(0), LIMIT).await.unwrap();
    assert_eq!((asked.state.clone(), asked.id.len(), asked.asked), (ApprovalState::Pending, 6, at(0)));
    let again = store.ask_approval(&request(1, ""), at(5), LIMIT).await.unwrap();
    assert_eq!((again.id.as_str(), again.asked, again.last_asked), (asked.id.as_str(), at(0), at(5)));
    let other = store.ask_approval(&request(1, "wipe"), at(5), LIMIT).await.unwrap();
    assert_ne!(other.id, asked.id);
    let list = store.approvals(false, at(0), LIMIT).await.unwrap();
    assert_eq!(list.len(), 2);
    let both = store.rule("02:00:00:00:00:01", &agreed("ann", &[]), at(0), at(6), LIMIT).await;
    assert!(matches!(both, Err(StoreError::Invalid(_))), "{both:?}");
    let ruling = agreed("ann", &["imaging", "lab, second floor"]);
    let ruled = store.rule(&asked.id.to_uppercase(), &ruling, at(0), at(6), LIMIT).await.unwrap();
    assert_eq!(ruled.id, asked.id);
    assert!(store.rule(&asked.id, &agreed("eve", &["root"]), at(0), at(7), LIMIT).await.is_err());
    let groups = vec!["imaging".to_owned(), "lab, second floor".to_owned()];
    let state = store.ask_approval(&request(1, ""), at(8), LIMIT).await.unwrap().state;
    assert_eq!(state, ApprovalState::Approved { by: Line::clean("ann"), at: at(6), groups });
    let no = Ruling { by: Line::clean("ann"), agreed: Err(Line::clean("not today")) };
    store.rule("02-00-00-00-00-01", &no, at(0), at(9), LIMIT).await.unwrap();
    let state = store.ask_approval(&request(1, "wipe"), at(10), LIMIT).await.unwrap().state;
    assert_eq!(state, ApprovalState::Denied { by: Line::clean("ann"), reason: Line::clean("not today") });
}

/// One id in 64 looks like an address of three octets.
async fn hexadecimal(place: Place) {
    let store = place.open();
    for image in 0..2_000 {
        let asked = store.ask_approval(&request(1, &image.to_string()), at(0), LIMIT).await.unwrap();
        if asked.id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            let ruled = store.rule(&asked.id, &agreed("ann", &[]), at(0), at(1), LIMIT).await.unwrap();
            assert_eq!((ruled.id, ruled.mac), (asked.id, asked.mac));
            return;
        }
    }
    panic!("no such id in 2,000");
}

async fn left(place: Place) {
    let store = place.open();
    let asked = store.ask_approval(&request(1, ""), at(0), LIMIT).await.unwrap();
    assert!(store.approvals(false, at(60), LIMIT).await.unwrap().is_empty());
    assert_eq!(store.approvals(true, at(60), LIMIT).await.unwrap().len(), 1);
    assert!(store.rule(&asked.id, &agreed("ann", &[]), at(60), at(60), LIMIT).await.is_err());
    for which in ["", "nosuch", "'; DROP TABLE approval", &"x".repeat(5000)] {
        assert!(store.rule(which, &agreed("ann", &[]), at(0), at(1), LIMIT).await.is_err());
    }
}
