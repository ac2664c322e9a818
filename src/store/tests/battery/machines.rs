//! Machines, images and groups.

use super::*;
use store::{Keys, MachineTable, StoreError};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a machine is what it was given", |place| Box::pin(a_machine_is_what_it_was_given(place))),
    ("changes are seen and wrong ones are not made", |place| Box::pin(changes(place))),
    ("lists have pages in order", |place| Box::pin(pages(place))),
    ("a machine is found by each of its keys", |place| Box::pin(keys(place))),
    ("groups have members", |place| Box::pin(groups(place))),
    ("images are added, replaced and kept while assigned", |place| Box::pin(images(place))),
    ("a table is imported whole or not at all", |place| Box::pin(import(place))),
];

async fn a_machine_is_what_it_was_given(place: Place) {
    let store = place.open();
    let mut entry = machine("Lab-07", 1);
    entry.hostname = Some("lab-07.example.com".into());
    entry.uuid = Some("4C4C4544-0057-5810-804A-C3C04F463732".parse().unwrap());
    entry.manufacturer = Some(" Dell Inc. ".into());
    entry.serial = Some("7XK3N22".into());
    entry.macs.insert("52-54-00-00-00-FF".parse().unwrap());
    entry.allow = false;
    entry.reason = Some("in repair: größer als 1' OR 1=1; -- \\ \"".into());
    entry.attributes.insert("role".into(), "classroom \u{1F5A5} ?".into());
    store.add_machine(entry.clone()).await.unwrap();
    let found = place.open().machine(&name("LAB-07")).await.unwrap();
    assert_eq!(found.manufacturer.as_deref(), Some("Dell Inc."));
    assert_eq!(found, MachineEntry { manufacturer: Some("Dell Inc.".into()), ..entry });
    let record = found.record();
    for (column, text) in [
        ("machine_id", "lab-07"),
        ("hostname", "lab-07.example.com"),
        ("allow", "false"),
        ("uuid", "4c4c4544-0057-5810-804a-c3c04f463732"),
        ("mac", "52:54:00:00:00:01 52:54:00:00:00:ff"),
        ("role", "classroom \u{1F5A5} ?"),
    ] {
        assert_eq!(record.text(column).as_deref(), Some(text), "{column}");
    }
    assert_eq!(store.machine_count().await.unwrap(), 1);
}

async fn changes(place: Place) {
    let store = filled(&place).await;
    let error = store.add_machine(machine("A", 9)).await.unwrap_err().to_string();
    assert_eq!(error, "machine `a` is there already; `pointsman machine set a` changes it");
    let sharers = store.set_machine(&name("a"), at(1), |entry| entry.macs = machine("x", 2).macs).await.unwrap();
    assert_eq!(sharers, [name("b")]);
    let changed = store.machine(&name("a")).await.unwrap();
    assert_eq!((changed.macs, changed.changed, changed.created), (machine("x", 2).macs, at(1), at(0)));
    // Nothing is changed by what makes no sense, and a change that another one overtook is refused.
    let error = store.set_machine(&name("a"), at(2), |entry| entry.macs.clear()).await.unwrap_err().to_string();
    assert!(error.starts_with("machine `a`: nothing to know it by"), "{error}");
    assert_eq!(store.machine(&name("a")).await.unwrap().changed, at(1));
    store.add_machine(machine("lab-07", 9)).await.unwrap();
    let error = store.machine(&name("lab-7")).await.unwrap_err().to_string();
    assert_eq!(error, "there is no machine `lab-7`; did you mean `lab-07`?");
    store.remove_machine(&name("a")).await.unwrap();
    assert!(matches!(store.remove_machine(&name("a")).await, Err(StoreError::NotFound { .. })));
    // Two at once: both are seen, or one is told to try again.
    let (other, b) = (place.open(), name("b"));
    let (one, two) = tokio::join!(
        store.set_machine(&b, at(3), |entry| entry.hostname = Some("one".into())),
        other.set_machine(&b, at(3), |entry| entry.reason = Some("two".into())),
    );
    let found = store.machine(&b).await.unwrap();
    for (outcome, is_there) in [(one, found.hostname.is_some()), (two, found.reason.is_some())] {
        match outcome {
            Ok(_) => assert!(is_there, "{found:?}"),
            Err(error) => assert!(matches!(error, StoreError::Conflict { .. }) && !is_there, "{error}: {found:?}"),
        }
    }
}

async fn pages(place: Place) {
    let store = place.open();
    store.add_group(&name("odd"), None, at(0)).await.unwrap();
    for number in 0..25_u8 {
        let text = format!("pc-{:02}", 24 - number);
        store.add_machine(machine(&text, number)).await.unwrap();
        if number % 2 == 1 {
            assert!(store.join_group(&name("odd"), &name(&text)).await.unwrap());
        }
    }
    for group in [None, Some(name("odd"))] {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = store.machines(group.as_ref(), after.as_ref(), 10).await.unwrap();
            assert!(page.len() <= 10);
            names.extend(page.iter().map(|machine| machine.name.to_string()));
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
        }
        let all = (0..25).filter(|number| group.is_none() || number % 2 == 1);
        assert_eq!(names, all.map(|number| format!("pc-{number:02}")).collect::<Vec<_>>());
    }
}

async fn keys(place: Place) {
    let store = filled(&place).await;
    let uuid = "4c4c4544-0057-5810-804a-c3c04f463732".parse().unwrap();
    store
        .set_machine(&name("b"), at(1), |entry| {
            entry.uuid = Some(uuid);
            entry.serial = Some("VMware-42 1D FF".into());
        })
        .await
        .unwrap();
    store.set_machine(&name("c"), at(1), |entry| entry.macs.extend(machine("x", 1).macs)).await.unwrap();
    store.add_group(&name("lab"), None, at(0)).await.unwrap();
    store.join_group(&name("lab"), &name("b")).await.unwrap();
    let mac = |number| Some([0x52, 0x54, 0, 0, 0, number].into());
    for (keys, expect) in [
        (Keys::default(), vec![]),
        (Keys { uuid: Some(uuid), ..Keys::default() }, vec!["b"]),
        (Keys { serial: Some(" vmware-42  1d ff".into()), ..Keys::default() }, vec!["b"]),
        (Keys { serial: Some("vmware-42 1d f".into()), ..Keys::default() }, vec![]),
        (Keys { mac: mac(1), ..Keys::default() }, vec!["a", "c"]),
        (Keys { sysmac: mac(3), mac: mac(2), ..Keys::default() }, vec!["b", "c"]),
        (Keys { uuid: Some(uuid), mac: mac(1), sysmac: mac(1), serial: Some("x".into()) }, vec!["a", "b", "c"]),
        (Keys { mac: mac(99), ..Keys::default() }, vec![]),
    ] {
        let rows = store.candidates(&keys, LIMIT).await.unwrap();
        let names: Vec<_> = rows.records.iter().filter_map(|record| record.text("machine_id")).collect();
        assert_eq!(names, expect, "{keys:?}");
        assert_eq!(rows.age, None);
        for record in rows.records.iter().filter(|record| record.text("machine_id").as_deref() == Some("b")) {
            assert_eq!(record.text("serial").as_deref(), Some("VMware-42 1D FF"));
            assert_eq!(record.text("groups").as_deref(), Some("lab"));
        }
    }
}

async fn groups(place: Place) {
    let store = filled(&place).await;
    let lab = name("lab");
    let error = store.join_group(&lab, &name("a")).await.unwrap_err().to_string();
    assert_eq!(error, "there is no group `lab`; `pointsman group add lab` adds it");
    store.add_group(&lab, Some("Room 1"), at(0)).await.unwrap();
    assert!(matches!(store.add_group(&lab, None, at(0)).await, Err(StoreError::Exists { .. })));
    assert!(store.join_group(&lab, &name("a")).await.unwrap());
    assert!(!store.join_group(&lab, &name("a")).await.unwrap());
    let error = store.join_group(&lab, &name("aa")).await.unwrap_err().to_string();
    assert!(error.starts_with("there is no machine `aa`; `pointsman machine list`"), "{error}");
    assert_eq!(store.machine(&name("a")).await.unwrap().groups, [lab.clone()].into());
    let groups = store.groups(None).await.unwrap();
    assert_eq!((groups[0].machines, groups[0].title.as_deref()), (1, Some("Room 1")));
    assert!(store.leave_group(&lab, &name("a")).await.unwrap());
    assert!(!store.leave_group(&lab, &name("a")).await.unwrap());
    for number in 0..MachineEntry::GROUPS_MAX {
        let group = name(&format!("{number:02}-{}", "g".repeat(61)));
        store.add_group(&group, None, at(0)).await.unwrap();
        store.join_group(&group, &name("a")).await.unwrap();
    }
    assert_eq!(store.machine(&name("a")).await.unwrap().groups.len(), MachineEntry::GROUPS_MAX);
    let error = store.join_group(&lab, &name("a")).await.unwrap_err().to_string();
    assert!(error.contains("let it leave one first"), "{error}");
    store.join_group(&lab, &name("b")).await.unwrap();
    store.remove_group(&lab).await.unwrap();
    assert!(store.machine(&name("b")).await.unwrap().groups.is_empty());
}

async fn images(place: Place) {
    let store = filled(&place).await;
    assert!(matches!(store.add_image(&image("debian"), IfThere::Refuse).await, Err(StoreError::Exists { .. })));
    let mut changed = image("debian");
    changed.title = "Debian 13".into();
    assert!(store.add_image(&changed, IfThere::Replace).await.unwrap());
    assert_eq!(store.image(&name("Debian")).await.unwrap(), changed);
    assert_eq!(store.images(None).await.unwrap().len(), 2);
    let error = store.image(&name("debina")).await.unwrap_err().to_string();
    assert_eq!(error, "there is no image `debina`; did you mean `debian`?");
    let id = assign(&store, &to("a", "debian")).await;
    let error = store.remove_image(&name("debian")).await.unwrap_err().to_string();
    assert!(error.contains(&id) && error.contains("pointsman unassign"), "{error}");
    store.unassign(&id).await.unwrap();
    store.remove_image(&name("debian")).await.unwrap();
    assert!(matches!(store.remove_image(&name("debian")).await, Err(StoreError::NotFound { .. })));
    let rows = store.image_row("Windows", LIMIT).await.unwrap();
    let record = &rows.records[0];
    assert_eq!((record.text("image"), record.text("kernel")), (Some("windows".into()), Some("d/linux".into())));
    assert!(store.image_row("x y", LIMIT).await.unwrap().records.is_empty());
}

async fn import(place: Place) {
    let store = filled(&place).await;
    let table = |text: &str| MachineTable::read(text.as_bytes(), at(5)).unwrap();
    let first = table(
        "name,mac,serial,groups,role\n\
         a,52:54:00:00:00:01,,,\n\
         b,52-54-00-00-00-22 5254.0000.0033,S-1,lab room-1,desk\n\
         new,,S-2,lab,\n",
    );
    let mut steps = Vec::new();
    let imported = store.import(&first, at(5), |done| steps.push(done)).await.unwrap();
    assert_eq!((imported.added, imported.changed, imported.same, steps), (1, 1, 1, vec![1, 2, 3]));
    let b = store.machine(&name("b")).await.unwrap();
    assert_eq!(b.groups, [name("lab"), name("room-1")].into());
    assert_eq!((b.macs.len(), b.serial.as_deref(), b.changed), (2, Some("S-1"), at(5)));
    assert_eq!(b.attributes.get("role").map(String::as_str), Some("desk"));
    // A column that the table lacks is left as it was.
    let second = table("name,allow,reason\nb,no,broken\n");
    assert_eq!(store.import(&second, at(6), |_| {}).await.unwrap().changed, 1);
    let changed = store.machine(&name("b")).await.unwrap();
    assert_eq!((changed.allow, changed.reason.as_deref(), changed.macs), (false, Some("broken"), b.macs));
    assert_eq!((changed.groups, changed.attributes), (b.groups, b.attributes));
    // Nothing of a table is there when one of its machines makes no sense.
    let third = table("name,mac\nfresh,52:54:00:00:00:77\nempty,\n");
    let error = store.import(&third, at(7), |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("machine `empty`: nothing to know it by"), "{error}");
    assert!(store.machine(&name("fresh")).await.is_err());
}
