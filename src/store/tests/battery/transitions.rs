//! How an assignment goes on, and who gets it.

use super::*;
use store::{LoopGuard, SpentBy, State, StoreError};

pub(super) const CASES: &[(&str, Case)] = &[
    ("an image that was begun is not offered again", |place| Box::pin(spent_by_image(place))),
    ("a script that was handed out spends it", |place| Box::pin(spent_by_script(place))),
    ("only the installer ends it", |place| Box::pin(spent_by_done(place))),
    ("what could not be loaded is given back", |place| Box::pin(load_failure(place))),
    ("the loop guard ends a loop", |place| Box::pin(loop_guard(place))),
    ("what a person may leave is not counted", |place| Box::pin(left_in_the_menu(place))),
    ("nothing is offered out of its time", |place| Box::pin(out_of_time(place))),
    ("an installer reports", |place| Box::pin(reports(place))),
    ("of many who want it one gets it", |place| Box::pin(race(place))),
];

pub(super) const GUARD: LoopGuard = LoopGuard { boots_max: 3, window: Duration::from_secs(3600) };

async fn one(store: &Store, spent_by: SpentBy, is_mandatory: bool) -> String {
    let new = NewAssignment { spent_by, mandatory: is_mandatory, ..to("a", "debian") };
    assign(store, &new).await
}

async fn state(store: &Store, id: &str) -> State {
    store.assignment(id).await.unwrap().state
}

/// Whether a boot of the machine would see it.
async fn is_given(store: &Store, boot: u8) -> bool {
    !store.images_of("a", boot_of(boot), LIMIT).await.unwrap().records.is_empty()
}

async fn offer(store: &Store, id: &str, boot: u8, second: i64) -> Result<(), StoreError> {
    store.offered(id, boot_of(boot), at(second), GUARD, LIMIT).await
}

async fn start(store: &Store, id: &str, boot: u8, second: i64) -> Result<(), StoreError> {
    store.started(id, boot_of(boot), at(second), LIMIT).await
}

fn why(outcome: Result<(), StoreError>) -> String {
    match outcome.unwrap_err() {
        StoreError::Spent { why, .. } => why,
        StoreError::Held { reason, .. } => format!("held: {reason}"),
        other => panic!("{other}"),
    }
}

async fn spent_by_image(place: Place) {
    let store = filled(&place).await;
    let id = one(&store, SpentBy::Image, true).await;
    assert_eq!(why(start(&store, &id, 1, 1).await), "it was not offered to this boot");
    // Each step may be repeated by the same boot.
    for _ in 0..5 {
        offer(&store, &id, 1, 1).await.unwrap();
        assert!(is_given(&store, 1).await && is_given(&store, 2).await);
    }
    assert_eq!(store.assignment(&id).await.unwrap().offers, 1);
    for _ in 0..2 {
        start(&store, &id, 1, 2).await.unwrap();
        assert!(!is_given(&store, 1).await && !is_given(&store, 2).await);
    }
    assert_eq!(why(start(&store, &id, 2, 3).await), format!("it was started by boot {}", boot_of(1)));
    assert_eq!(why(offer(&store, &id, 2, 3).await), format!("it was started by boot {}", boot_of(1)));
    assert_eq!(why(offer(&store, &id, 1, 3).await), format!("it was started by boot {}", boot_of(1)));
    assert_eq!(state(&store, &id).await, State::Started);
}

async fn spent_by_script(place: Place) {
    let store = filled(&place).await;
    let id = one(&store, SpentBy::Script, true).await;
    for _ in 0..2 {
        offer(&store, &id, 1, 1).await.unwrap();
        assert_eq!(state(&store, &id).await, State::Started);
        // The answer may have been lost: the same boot gets it again, another one does not.
        assert!(is_given(&store, 1).await && !is_given(&store, 2).await);
    }
    assert!(offer(&store, &id, 2, 2).await.is_err());
    start(&store, &id, 1, 2).await.unwrap();
    assert!(start(&store, &id, 2, 2).await.is_err());
    assert_eq!(store.done(boot_of(1), at(3), LIMIT).await.unwrap(), 1);
    assert!(!is_given(&store, 1).await);
}

async fn spent_by_done(place: Place) {
    let store = filled(&place).await;
    let id = one(&store, SpentBy::Done, true).await;
    offer(&store, &id, 1, 1).await.unwrap();
    start(&store, &id, 1, 2).await.unwrap();
    offer(&store, &id, 2, 3).await.unwrap();
    assert_eq!(why(start(&store, &id, 1, 4).await), format!("it was since offered to boot {}", boot_of(2)));
    // The first boot's installer was at work all the time.
    assert_eq!(store.done(boot_of(1), at(5), LIMIT).await.unwrap(), 1);
    assert_eq!(store.done(boot_of(1), at(6), LIMIT).await.unwrap(), 0);
    assert_eq!(why(start(&store, &id, 2, 7).await), format!("it was done by boot {}", boot_of(1)));
    assert!(!is_given(&store, 2).await);
}

async fn load_failure(place: Place) {
    let store = filled(&place).await;
    let id = one(&store, SpentBy::Image, true).await;
    offer(&store, &id, 1, 1).await.unwrap();
    start(&store, &id, 1, 2).await.unwrap();
    assert_eq!(store.load_failed(boot_of(1), "windows", None, at(3), LIMIT).await.unwrap(), 0);
    assert_eq!(store.load_failed(boot_of(2), "debian", None, at(3), LIMIT).await.unwrap(), 0);
    assert_eq!(store.load_failed(boot_of(1), "Debian", Some(0x3e11_6123), at(3), LIMIT).await.unwrap(), 1);
    let found = store.assignment(&id).await.unwrap();
    assert_eq!((found.state, found.started_session), (State::Offered, None));
    assert!(found.reason.unwrap().contains("3e116123"));
    // The same boot may try again, or the next one.
    start(&store, &id, 1, 4).await.unwrap();
    assert_eq!(store.load_failed(boot_of(1), "debian", None, at(5), LIMIT).await.unwrap(), 1);
    offer(&store, &id, 2, 6).await.unwrap();
    assert!(start(&store, &id, 1, 7).await.is_err());
    start(&store, &id, 2, 7).await.unwrap();
    assert_eq!(store.assignment(&id).await.unwrap().reason, None);
    // What did not load is not done by what did.
    let other = assign(&store, &to("a", "windows")).await;
    offer(&store, &other, 2, 8).await.unwrap();
    assert_eq!(store.load_failed(boot_of(2), "debian", None, at(8), LIMIT).await.unwrap(), 1);
    start(&store, &other, 2, 9).await.unwrap();
    assert_eq!(store.done(boot_of(2), at(9), LIMIT).await.unwrap(), 1);
    assert_eq!((state(&store, &id).await, state(&store, &other).await), (State::Offered, State::Done));
}

async fn loop_guard(place: Place) {
    let store = filled(&place).await;
    let id = one(&store, SpentBy::Done, true).await;
    for boot in 1..=3 {
        offer(&store, &id, boot, i64::from(boot) * 60).await.unwrap();
        start(&store, &id, boot, i64::from(boot) * 60).await.unwrap();
    }
    let held = why(offer(&store, &id, 4, 240).await);
    assert_eq!(held, format!("held: offered to 3 boots within 60 minutes, the last of them {}", boot_of(4)));
    let found = store.assignment(&id).await.unwrap();
    assert_eq!((found.state, found.reason.as_deref()), (State::Failed, held.strip_prefix("held: ")));
    assert!(why(offer(&store, &id, 5, 300).await).starts_with("it failed: offered to 3 boots"));
    assert!(!is_given(&store, 5).await);
    // The installer of the last boot finished after all.
    assert_eq!(store.done(boot_of(3), at(301), LIMIT).await.unwrap(), 1);
    assert_eq!(state(&store, &id).await, State::Done);
    // Slow ones are no loop.
    let id = one(&store, SpentBy::Done, true).await;
    for boot in 10..20 {
        offer(&store, &id, boot, i64::from(boot) * 1300).await.unwrap();
    }
    assert_eq!(state(&store, &id).await, State::Offered);
}

async fn left_in_the_menu(place: Place) {
    let store = filled(&place).await;
    let id = one(&store, SpentBy::Done, false).await;
    for boot in 1..=10 {
        offer(&store, &id, boot, i64::from(boot)).await.unwrap();
    }
    start(&store, &id, 10, 11).await.unwrap();
    for boot in 11..=13 {
        offer(&store, &id, boot, i64::from(boot)).await.unwrap();
    }
    assert!(why(offer(&store, &id, 14, 14).await).starts_with("held: "));
}

async fn out_of_time(place: Place) {
    let store = filled(&place).await;
    let new = NewAssignment { not_before: Some(at(100)), not_after: Some(at(200)), ..to("a", "debian") };
    let id = assign(&store, &new).await;
    assert_eq!(why(offer(&store, &id, 1, 99).await), "its time has not come");
    offer(&store, &id, 1, 100).await.unwrap();
    assert_eq!(store.expire(at(199), LIMIT).await.unwrap(), 0);
    assert_eq!(why(offer(&store, &id, 2, 200).await), "its time is over");
    // It waited in the menu until then; nobody has looked for what expired yet.
    assert_eq!(why(start(&store, &id, 1, 200).await), "its time is over");
    assert_eq!(store.expire(at(200), LIMIT).await.unwrap(), 1);
    assert_eq!(state(&store, &id).await, State::Expired);
    assert!(why(start(&store, &id, 1, 201).await).starts_with("it expired"));
    // What began in time may end later.
    let id = assign(&store, &NewAssignment { spent_by: SpentBy::Done, ..new }).await;
    offer(&store, &id, 3, 150).await.unwrap();
    start(&store, &id, 3, 151).await.unwrap();
    // The answer was lost, and it asks again.
    start(&store, &id, 3, 201).await.unwrap();
    offer(&store, &id, 4, 152).await.unwrap();
    assert_eq!(store.expire(at(500), LIMIT).await.unwrap(), 0);
    assert_eq!(store.done(boot_of(3), at(501), LIMIT).await.unwrap(), 1);
}

async fn reports(place: Place) {
    let store = filled(&place).await;
    let id = one(&store, SpentBy::Image, true).await;
    offer(&store, &id, 1, 1).await.unwrap();
    // Nothing was begun, so nothing ended.
    assert_eq!(store.done(boot_of(1), at(2), LIMIT).await.unwrap(), 0);
    start(&store, &id, 1, 3).await.unwrap();
    let reason = format!("disk \0 full {}", "ü".repeat(400));
    assert_eq!(store.failed(boot_of(1), &reason, at(4), LIMIT).await.unwrap(), 1);
    let found = store.assignment(&id).await.unwrap();
    assert_eq!((found.state, found.reason.map(|reason| reason.chars().count())), (State::Failed, Some(255)));
    assert!(start(&store, &id, 1, 5).await.is_err() && offer(&store, &id, 2, 5).await.is_err());
    assert_eq!(store.failed(boot_of(1), "again", at(6), LIMIT).await.unwrap(), 0);
    // A failed one is open no more: it can be assigned again.
    one(&store, SpentBy::Image, true).await;
}

/// Eight boots by two programs: each is offered it, tries to begin it, and one does.
async fn race(place: Place) {
    let store = filled(&place).await;
    for spent_by in [SpentBy::Image, SpentBy::Script] {
        let id = one(&store, spent_by, false).await;
        let programs = [place.open(), place.open()];
        let mut tasks = Vec::new();
        for boot in 1..=8 {
            let (store, id) = (programs[usize::from(boot) % 2].clone(), id.clone());
            tasks.push(tokio::spawn(async move {
                // An offer that another boot took over meanwhile is a refusal like any other.
                match offer(&store, &id, boot, 1).await {
                    Ok(()) => start(&store, &id, boot, 2).await,
                    Err(error) => Err(error),
                }
            }));
        }
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(()) => won += 1,
                Err(error) => assert!(matches!(error, StoreError::Spent { .. }), "{error}"),
            }
        }
        assert_eq!(won, 1, "{spent_by:?}");
        assert_eq!(state(&store, &id).await, State::Started);
        store.unassign(&id).await.unwrap();
    }
}
