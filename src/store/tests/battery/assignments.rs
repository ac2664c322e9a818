//! What is assigned to whom, and what a machine is given.

use super::*;
use boot::Record;
use store::{AssignmentFilter, Mode, SpentBy, State, StoreError};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a machine gets what is for it", |place| Box::pin(what_is_for_it(place))),
    ("an image that comes by several ways is there once", |place| Box::pin(several_ways(place))),
    ("the same is not assigned twice", |place| Box::pin(not_twice(place))),
    ("a group is its machines", |place| Box::pin(a_group_is_its_machines(place))),
    ("nonsense is not assigned", |place| Box::pin(nonsense(place))),
    ("lists show what is asked for", |place| Box::pin(lists(place))),
    ("two people assign at once", |place| Box::pin(two_people(place))),
];

fn always(target: &str, image: &str) -> NewAssignment {
    NewAssignment { mode: Mode::Always, ..to(target, image) }
}

async fn images_of(store: &Store, machine: &str) -> Vec<Record> {
    store.images_of(machine, boot_of(1), LIMIT).await.unwrap().records
}

fn texts(records: &[Record], column: &str) -> Vec<String> {
    records.iter().map(|record| record.text(column).unwrap_or_default()).collect()
}

async fn what_is_for_it(place: Place) {
    let store = filled(&place).await;
    store.add_group(&name("lab"), None, at(0)).await.unwrap();
    store.join_group(&name("lab"), &name("b")).await.unwrap();
    for id in ["tool", "rescue", "register"] {
        store.add_image(&image(id), IfThere::Refuse).await.unwrap();
    }
    let mut mandatory = to("a", "debian");
    mandatory.mandatory = true;
    mandatory.countdown = Some(30);
    mandatory.not_after = Some(at(3600));
    let id = assign(&store, &mandatory).await;
    assign(&store, &always("group:lab", "tool")).await;
    let mut last = always("all", "rescue");
    last.sort_order = 9;
    assign(&store, &last).await;
    assign(&store, &always("unknown", "register")).await;
    let given = images_of(&store, "a").await;
    assert_eq!(texts(&given, "image"), ["debian", "rescue"]);
    for (column, text) in [
        ("kind", "linux"),
        ("title", "Install it"),
        ("kernel", "d/linux"),
        ("mandatory", "true"),
        ("countdown", "30"),
        ("expires", "2026-03-02T09:00:00Z"),
        ("available_from", ""),
        ("sort_order", "0"),
        ("once", "true"),
        ("assignment", id.as_str()),
    ] {
        assert_eq!(given[0].text(column).unwrap_or_default(), text, "{column}");
    }
    assert_eq!((given[1].text("once").unwrap(), given[1].text("assignment")), ("false".into(), None));
    assert_eq!(texts(&images_of(&store, "b").await, "image"), ["tool", "rescue"]);
    assert_eq!(texts(&images_of(&store, "nobody").await, "image"), ["rescue"]);
    assert_eq!(texts(&store.unknown_images(LIMIT).await.unwrap().records, "image"), ["register"]);
    // A machine takes what was to be done on it along.
    store.remove_machine(&name("a")).await.unwrap();
    assert!(matches!(store.assignment(&id).await, Err(StoreError::NotFound { .. })));
}

async fn several_ways(place: Place) {
    let store = filled(&place).await;
    assign(&store, &always("all", "debian")).await;
    assign(&store, &always("a", "debian")).await;
    let id = assign(&store, &to("a", "debian")).await;
    assert_eq!(texts(&images_of(&store, "a").await, "assignment"), [id]);
    assert_eq!(texts(&images_of(&store, "b").await, "assignment"), [""]);
}

async fn not_twice(place: Place) {
    let store = filled(&place).await;
    let id = assign(&store, &to("a", "debian")).await;
    let error = store.assign(&to("a", "debian"), at(1)).await.unwrap_err().to_string();
    assert!(error.contains(&id) && error.contains(&format!("`pointsman unassign {id}`")), "{error}");
    assign(&store, &to("a", "windows")).await;
    let standing = assign(&store, &always("all", "debian")).await;
    let error = store.assign(&always("all", "debian"), at(1)).await.unwrap_err().to_string();
    assert!(error.contains(&standing), "{error}");
    // One that was begun and never reported done gives way.
    let guard = transitions::GUARD;
    store.offered(&id, boot_of(1), at(2), guard, LIMIT).await.unwrap();
    assert!(store.assign(&to("a", "debian"), at(3)).await.is_err());
    store.started(&id, boot_of(1), at(3), LIMIT).await.unwrap();
    let assigned = store.assign(&to("a", "debian"), at(4)).await.unwrap();
    assert_eq!(assigned.superseded, std::slice::from_ref(&id));
    let old = store.assignment(&id).await.unwrap();
    assert_eq!((old.state, old.reason.is_some()), (State::Expired, true));
    // One that only its installer ends does not.
    let mut until_done = to("b", "debian");
    until_done.spent_by = SpentBy::Done;
    let id = assign(&store, &until_done).await;
    store.offered(&id, boot_of(2), at(2), guard, LIMIT).await.unwrap();
    store.started(&id, boot_of(2), at(3), LIMIT).await.unwrap();
    assert!(matches!(store.assign(&until_done, at(4)).await, Err(StoreError::Exists { .. })));
    store.done(boot_of(2), at(5), LIMIT).await.unwrap();
    assign(&store, &until_done).await;
}

async fn a_group_is_its_machines(place: Place) {
    let store = filled(&place).await;
    let lab = name("lab");
    store.add_group(&lab, None, at(0)).await.unwrap();
    let error = store.assign(&to("group:lab", "debian"), at(0)).await.unwrap_err().to_string();
    assert!(error.contains("has no machine"), "{error}");
    for member in ["a", "b"] {
        store.join_group(&lab, &name(member)).await.unwrap();
    }
    let id = assign(&store, &to("a", "debian")).await;
    let assigned = store.assign(&to("group:lab", "debian"), at(1)).await.unwrap();
    assert_eq!(assigned.already, [(name("a"), id)]);
    assert_eq!(assigned.new.len(), 1);
    assert_eq!(assigned.new[0].0, Target::Machine(name("b")));
    // Who joins later is not meant; who leaves keeps what is his.
    store.join_group(&lab, &name("c")).await.unwrap();
    store.leave_group(&lab, &name("b")).await.unwrap();
    assert_eq!(images_of(&store, "b").await.len(), 1);
    assert_eq!(images_of(&store, "c").await.len(), 0);
}

async fn nonsense(place: Place) {
    let store = filled(&place).await;
    let check = async |change: &dyn Fn(&mut NewAssignment), expect: &str| {
        let mut new = to("a", "debian");
        change(&mut new);
        let error = store.assign(&new, at(0)).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(&|new| new.target = Target::All, "use --always").await;
    check(&|new| new.target = Target::Unknown, "use --always").await;
    check(&|new| new.target = "group:x".parse().unwrap(), "no group `x`").await;
    check(&|new| new.target = "aa".parse().unwrap(), "no machine `aa`").await;
    check(&|new| new.image = name("debain"), "did you mean `debian`?").await;
    check(&|new| new.countdown = Some(3), "--mandatory").await;
    check(&|new| new.not_after = Some(at(0)), "ends before it begins, or has passed").await;
    check(
        &|new| {
            new.not_before = Some(at(20));
            new.not_after = Some(at(10));
        },
        "ends before it begins",
    )
    .await;
    assert!(matches!(store.unassign("none").await, Err(StoreError::NotFound { .. })));
}

async fn lists(place: Place) {
    let store = filled(&place).await;
    let mut ids = Vec::new();
    for (second, (target, image)) in [("a", "debian"), ("b", "debian"), ("a", "windows")].into_iter().enumerate() {
        let assigned = store.assign(&to(target, image), at(second as i64)).await.unwrap();
        ids.push(assigned.new[0].1.clone());
    }
    store.offered(&ids[0], boot_of(1), at(5), transitions::GUARD, LIMIT).await.unwrap();
    store.started(&ids[0], boot_of(1), at(5), LIMIT).await.unwrap();
    store.done(boot_of(1), at(6), LIMIT).await.unwrap();
    let listed = async |filter: AssignmentFilter| {
        let found = store.assignments(&filter, None, 100).await.unwrap();
        found.into_iter().map(|assignment| assignment.id).collect::<Vec<_>>()
    };
    let [first, second, third] = [&ids[0], &ids[1], &ids[2]];
    let filter = AssignmentFilter::default;
    assert_eq!(listed(filter()).await, [third.as_str(), second]);
    assert_eq!(listed(AssignmentFilter { with_final: true, ..filter() }).await, [third.as_str(), second, first]);
    assert_eq!(listed(AssignmentFilter { state: Some(State::Done), ..filter() }).await, [first.as_str()]);
    let of_a = AssignmentFilter { target: Some("a".parse().unwrap()), ..filter() };
    assert_eq!(listed(of_a).await, [third.as_str()]);
    let page = store.assignments(&filter(), None, 1).await.unwrap();
    let next = store.assignments(&filter(), page.first(), 10).await.unwrap();
    assert_eq!(next.iter().map(|one| &one.id).collect::<Vec<_>>(), [second]);
}

/// The same image for the same machine by two programs: one of them is told.
async fn two_people(place: Place) {
    let store = filled(&place).await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let store = place.open();
        tasks.push(tokio::spawn(async move { store.assign(&to("a", "debian"), at(1)).await.is_ok() }));
    }
    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap());
    }
    assert_eq!(made, 1);
    assert_eq!(images_of(&store, "a").await.len(), 1);
}
