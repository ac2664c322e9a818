//! The store on SQLite: the battery that every kind of database passes, and what only needs one.

mod battery;
mod property;
mod tables;

use std::path::Path;
use std::sync::Arc;

use crate::{boot, database, decision, store};

use battery::Place;
use database::Database;
use store::Store;

/// An empty store in a folder of its own.
fn place(folder: &Path) -> Place {
    let file = folder.join("pointsman.db");
    Place { open: Arc::new(move || Store::on(Database::sqlite("store", &file)).unwrap()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes_the_battery() {
    for (name, case) in battery::cases() {
        let folder = tempfile::tempdir().unwrap();
        eprintln!("{name}");
        case(place(folder.path())).await;
    }
}

/// A lost database never turns into a reinstall: what was remembered has only what holds at every boot.
#[tokio::test]
async fn what_is_remembered_of_a_lost_store_is_never_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = place(folder.path()).open();
    let (now, limit) = (jiff::Timestamp::now(), Store::PATIENCE);
    let machine =
        store::MachineEntry { serial: Some("1".into()), ..store::MachineEntry::new("a".parse().unwrap(), now) };
    store.add_machine(machine).await.unwrap();
    let attributes = [("kind".to_owned(), "local".to_owned())].into();
    for (image, mode) in [("install", store::Mode::Once), ("disk", store::Mode::Always)] {
        let entry = store::ImageEntry::new(image.parse().unwrap(), &attributes, now).unwrap();
        store.add_image(&entry, store::IfThere::Refuse).await.unwrap();
        let new = store::NewAssignment::new("a".parse().unwrap(), entry.id.clone());
        store.assign(&store::NewAssignment { mode, ..new }, now).await.unwrap();
    }
    let keys = store::Keys { serial: Some("1".into()), ..store::Keys::default() };
    let session = boot::SessionId([0, 0, 0, 0, 0, 1]);
    let ask = async || {
        let machines = store.candidates(&keys, limit).await.unwrap();
        let images = store.images_of("a", session, limit).await.unwrap();
        assert_eq!(machines.age.is_some(), images.age.is_some());
        let names: Vec<_> = images.records.iter().filter_map(|record| record.text("image")).collect();
        (machines.records.len(), names, images.age.is_some())
    };
    assert_eq!(ask().await, (1, vec!["install".into(), "disk".to_owned()], false));
    let file = folder.path().join("pointsman.db");
    std::fs::rename(&file, folder.path().join("away")).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(ask().await, (1, vec!["disk".to_owned()], true));
    let guard = store::LoopGuard { boots_max: 3, window: limit };
    let offered = store.offered("x", session, now, guard, std::time::Duration::from_millis(200)).await;
    assert!(matches!(offered, Err(store::StoreError::Database(_))), "{offered:?}");
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(folder.path().join("away"), &file).unwrap();
    assert_eq!(ask().await.0, 1);
}

#[tokio::test]
async fn a_row_that_was_edited_by_hand_costs_itself_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = place(folder.path()).open();
    let (now, limit) = (jiff::Timestamp::now(), Store::PATIENCE);
    let attributes = [("kind".to_owned(), "local".to_owned())].into();
    for image in ["a", "b", "c"] {
        let entry = store::ImageEntry::new(image.parse().unwrap(), &attributes, now).unwrap();
        store.add_image(&entry, store::IfThere::Refuse).await.unwrap();
        let new = store::NewAssignment::new(store::Target::All, entry.id.clone());
        store.assign(&store::NewAssignment { mode: store::Mode::Always, ..new }, now).await.unwrap();
    }
    for edit in
        ["update image set attributes = '{' where id = 'a'", "update assignment set mode = '?' where image = 'b'"]
    {
        let edit = database::Query::parse(edit).unwrap();
        assert_eq!(store.database().execute(&edit, &boot::Record::default(), limit).await, Ok(1));
    }
    let images = store.images_of("x", boot::SessionId([1; 6]), limit).await.unwrap().records;
    assert_eq!(images.iter().filter_map(|record| record.text("image")).collect::<Vec<_>>(), ["c"]);
}
