//! The tables: made once, brought forward, and left alone by a program that is too old.

use super::*;
use boot::Record;
use database::{Database, Dialect, Query};
use store::StoreError;

pub(super) const CASES: &[(&str, Case)] = &[
    ("several programs make the tables at once", |place| Box::pin(at_once(place))),
    ("an older store is brought forward with what is in it", |place| Box::pin(brought_forward(place))),
    ("a newer store is refused", |place| Box::pin(newer(place))),
    ("a row that was edited is told by its column", |place| Box::pin(edited(place))),
];

async fn run(database: &Database, text: &str) {
    database.execute(&Query::parse(text).unwrap(), &Record::default(), LIMIT).await.unwrap();
}

async fn at_once(place: Place) {
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let store = place.open();
        tasks.push(tokio::spawn(async move {
            let (one, two) = tokio::join!(store.prepare(LIMIT), store.machine_count());
            one.map(|()| two.unwrap())
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 0);
    }
    filled(&place).await;
}

/// Makes the tables of an older version, as the program of that time did.
async fn old_tables(database: &Database, version: usize) {
    let migrations = match database.dialect() {
        Dialect::Postgres => [
            include_str!("../../migrations/postgres/0001_machines.sql"),
            include_str!("../../migrations/postgres/0002_history.sql"),
            include_str!("../../migrations/postgres/0003_sites.sql"),
            include_str!("../../migrations/postgres/0004_scripts.sql"),
        ],
        Dialect::MySql => [
            include_str!("../../migrations/mysql/0001_machines.sql"),
            include_str!("../../migrations/mysql/0002_history.sql"),
            include_str!("../../migrations/mysql/0003_sites.sql"),
            include_str!("../../migrations/mysql/0004_scripts.sql"),
        ],
        Dialect::Sqlite | Dialect::MsSql => [
            include_str!("../../migrations/sqlite/0001_machines.sql"),
            include_str!("../../migrations/sqlite/0002_history.sql"),
            include_str!("../../migrations/sqlite/0003_sites.sql"),
            include_str!("../../migrations/sqlite/0004_scripts.sql"),
        ],
    };
    let mut change = database.begin(LIMIT).await.unwrap();
    change
        .script("CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY, applied BIGINT NOT NULL)")
        .await
        .unwrap();
    for text in migrations.into_iter().take(version) {
        change.script(text).await.unwrap();
    }
    change.commit().await.unwrap();
    for number in 1..=version {
        run(database, &format!("INSERT INTO schema_version (version, applied) VALUES ({number}, 0)")).await;
    }
    let machine = "INSERT INTO machine (name, serial, serial_key, allow, attributes, created, changed) \
                   VALUES ('old', 'S', 's', 1, '{\"role\":\"desk\"}', 1, 2)";
    run(database, machine).await;
    run(database, "INSERT INTO machine_mac (mac, machine) VALUES ('52:54:00:00:00:01', 'old')").await;
    if version >= 2 {
        run(database, "INSERT INTO boot (session, started, last_event) VALUES ('0000000000aa', 3, 4)").await;
    }
    if version >= 3 {
        run(database, "INSERT INTO site (name, added, revoked) VALUES ('lyon', 5, 6)").await;
    }
}

async fn brought_forward(place: Place) {
    // The newest version comes last: there is nothing to do then, and nothing is done.
    for version in 1..=4 {
        let store = place.open();
        old_tables(store.database(), version).await;
        store.prepare(LIMIT).await.unwrap();
        let found = store.machine(&name("old")).await.unwrap();
        assert_eq!((found.macs, found.attributes["role"].as_str()), (machine("x", 1).macs, "desk"));
        assert_eq!(store.boots(Default::default()).await.unwrap().len(), 0);
        let boot = store.boot("0000000000aa".parse().unwrap()).await.unwrap();
        assert_eq!(boot.is_some(), version >= 2);
        assert_eq!(store.site(&name("lyon")).await.unwrap().is_some(), version >= 3);
        assert_eq!(store.last_known("main", "m", LIMIT).await.unwrap(), []);
        for table in [
            "question",
            "note",
            "approval",
            "failure",
            "last_known",
            "site",
            "boot_event",
            "boot",
            "assignment",
            "group_member",
            "machine_group",
            "machine_mac",
            "machine",
            "image",
            "schema_version",
        ] {
            run(store.database(), &format!("DROP TABLE {table}")).await;
        }
    }
}

async fn newer(place: Place) {
    filled(&place).await;
    run(place.open().database(), "INSERT INTO schema_version (version, applied) VALUES (99, 0)").await;
    let store = place.open();
    let error = store.machine(&name("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert!(store.candidates(&Default::default(), LIMIT).await.is_err());
}

async fn edited(place: Place) {
    let store = filled(&place).await;
    run(store.database(), "UPDATE machine SET attributes = 'x' WHERE name = 'a'").await;
    let error = store.machine(&name("a")).await.unwrap_err().to_string();
    assert_eq!(error, "a row of the store has no good `attributes`; was the table edited by hand?");
    assert!(store.machine(&name("b")).await.is_ok());
}
