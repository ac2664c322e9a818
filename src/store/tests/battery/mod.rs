//! What a store does on every kind of database. Run on SQLite by the tests beside the store, and on real servers by
//! `tests/it`, which includes this file.

mod assignments;
mod history;
mod machines;
mod notes;
mod people;
mod questions;
mod schema;
mod sites;
mod transitions;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use jiff::{SignedDuration, Timestamp};

use super::{boot, database, decision, store};

use boot::SessionId;
use store::{IfThere, ImageEntry, MachineEntry, Name, NewAssignment, Store, Target};

/// Where an empty store is.
#[derive(Clone)]
pub(crate) struct Place {
    /// Opens the store as another program would.
    pub(crate) open: Arc<dyn Fn() -> Store + Send + Sync>,
}

impl Place {
    pub(crate) fn open(&self) -> Store {
        (self.open)()
    }
}

type Case = fn(Place) -> LocalBoxFuture<'static, ()>;

/// Every case with its name; each wants an empty database.
pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    [
        machines::CASES,
        assignments::CASES,
        transitions::CASES,
        history::CASES,
        sites::CASES,
        questions::CASES,
        notes::CASES,
        people::CASES,
        schema::CASES,
    ]
    .concat()
}

/// How long a question may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A moment so many seconds after the beginning of the test's time.
fn at(seconds: i64) -> Timestamp {
    "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn boot_of(number: u8) -> SessionId {
    SessionId([0, 0, 0, 0, 0, number])
}

/// A machine that is known by the MAC address 52:54:00:00:00:NN.
fn machine(text: &str, mac: u8) -> MachineEntry {
    let mut entry = MachineEntry::new(name(text), at(0));
    entry.macs.insert([0x52, 0x54, 0, 0, 0, mac].into());
    entry
}

fn image(id: &str) -> ImageEntry {
    let attributes = [("kind", "linux"), ("kernel", "d/linux"), ("title", "Install it")];
    let attributes = attributes.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    ImageEntry::new(name(id), &attributes, at(0)).unwrap()
}

/// A store with the machines `a`, `b` and `c` and the images `debian` and `windows`.
async fn filled(place: &Place) -> Store {
    let store = place.open();
    for (number, text) in [(1, "a"), (2, "b"), (3, "c")] {
        store.add_machine(machine(text, number)).await.unwrap();
    }
    for id in ["debian", "windows"] {
        store.add_image(&image(id), IfThere::Refuse).await.unwrap();
    }
    store
}

fn to(target: &str, image: &str) -> NewAssignment {
    NewAssignment::new(target.parse::<Target>().unwrap(), name(image))
}

/// Assigns, and returns the one id.
async fn assign(store: &Store, new: &NewAssignment) -> String {
    let assigned = store.assign(new, at(0)).await.unwrap();
    assert_eq!(assigned.new.len(), 1, "{assigned:?}");
    assigned.new.into_iter().next().unwrap().1
}
