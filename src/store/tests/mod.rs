//! The store on SQLite: the battery that every kind of database passes, and what only needs one.

mod battery;
mod property;
mod tables;

use std::path::Path;
use std::sync::Arc;

use crate::{boot, database, store};

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
