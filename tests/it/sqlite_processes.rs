//! Two servers on one SQLite file: each change is made once, and none is lost.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pointsman::boot::Record;
use pointsman::database::{Database, Query};

const LIMIT: Duration = Duration::from_secs(60);
const CHANGES: usize = 200;

/// Tells a process of this test that it is one of the others.
const ROLE: &str = "POINTSMAN_TEST_SQLITE_FILE";

#[tokio::test]
async fn processes_share_one_sqlite_file() {
    if let Some(file) = std::env::var_os(ROLE) {
        return change(&Database::sqlite("store", Path::new(&file))).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.db");
    let database = Database::sqlite("store", &file);
    let mut transaction = database.begin(LIMIT).await.unwrap();
    transaction.script("create table counter (n integer); insert into counter values (0)").await.unwrap();
    transaction.commit().await.unwrap();
    let mut others: Vec<_> = (0..2)
        .map(|_| {
            let mut other = Command::new(std::env::current_exe().unwrap());
            other.args(["--exact", "sqlite_processes::processes_share_one_sqlite_file"]).env(ROLE, &file);
            other.spawn().unwrap()
        })
        .collect();
    change(&database).await;
    for other in &mut others {
        assert!(other.wait().unwrap().success());
    }
    let rows = database.fresh_rows(&Query::parse("select n from counter").unwrap(), &Record::default(), LIMIT).await;
    assert_eq!(rows.unwrap()[0].text("n").unwrap(), (3 * CHANGES).to_string());
}

/// Changes by itself and in transactions that read first, which is where a second writer would be lost.
async fn change(database: &Database) {
    let add = Query::parse("update counter set n = n + 1").unwrap();
    let read = Query::parse("select n + 1 as n from counter").unwrap();
    let write = Query::parse("update counter set n = :n").unwrap();
    for _ in 0..CHANGES / 2 {
        assert_eq!(database.execute(&add, &Record::default(), LIMIT).await, Ok(1));
        let mut transaction = database.begin(LIMIT).await.unwrap();
        let next = transaction.rows(&read, &Record::default()).await.unwrap().remove(0);
        assert_eq!(transaction.execute(&write, &next).await, Ok(1));
        transaction.commit().await.unwrap();
    }
}
