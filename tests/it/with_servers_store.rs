//! The store on real PostgreSQL and MariaDB servers: the battery that it passes on SQLite too.

use std::path::Path;
use std::sync::Arc;

use pointsman::config::DatabaseSection;
use pointsman::database::Database;
use pointsman::store::Store;
use pointsman::{boot, database, decision, store};

use crate::servers::{MariaDb, Postgres};

#[path = "../../src/store/tests/battery/mod.rs"]
mod battery;

use battery::Place;

/// A store in the database of this URL; each call is another program.
fn place(url: String) -> Place {
    let section = DatabaseSection { url, ..DatabaseSection::default() };
    Place { open: Arc::new(move || Store::on(Database::open("store", &section, Path::new("/")).unwrap()).unwrap()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_passes_the_battery() {
    let server = Postgres::start();
    for (number, (name, case)) in battery::cases().into_iter().enumerate() {
        eprintln!("{name}");
        server.run(&format!("create database case_{number}"));
        let url = server.url();
        case(place(format!("{}/case_{number}", url.trim_end_matches("/postgres")))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_passes_the_battery() {
    let server = MariaDb::start();
    for (number, (name, case)) in battery::cases().into_iter().enumerate() {
        eprintln!("{name}");
        server.run(&format!("create database case_{number}"));
        case(place(server.url().replace("/site", &format!("/case_{number}")))).await;
    }
}
