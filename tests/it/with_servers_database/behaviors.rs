//! What is the same on every kind of database.

use pointsman::boot::{Record, Value};
use pointsman::database::{Database, DatabaseError, Dialect, Health, ROWS_MAX};

use super::{LIMIT, first, open, query, record, shown, text};
use crate::servers::{MariaDb, Postgres};

#[tokio::test]
async fn sqlite_behaves() {
    let folder = tempfile::tempdir().unwrap();
    behaves(&Database::sqlite("cmdb", &folder.path().join("cmdb.db"))).await;
}

#[tokio::test]
async fn postgres_behaves() {
    let server = Postgres::start();
    behaves(&open(&server.url())).await;
    let over_socket = "select inet_client_addr() is null as yes";
    assert_eq!(first(&open(&server.socket_url()), over_socket, &Record::default()).await, "yes=true");
}

#[tokio::test]
async fn mariadb_behaves() {
    let server = MariaDb::start();
    behaves(&open(&server.url())).await;
}

async fn behaves(database: &Database) {
    assert_eq!(database.health(), Health::Untried);
    database.ping(LIMIT).await.unwrap();
    assert_eq!(database.health(), Health::Up);
    finds_and_changes(database).await;
    values_are_only_values(database).await;
    null_is_null(database).await;
    transactions_are_whole(database).await;
    mistakes_are_mistakes(database).await;
    limits_hold(database).await;
    assert_eq!(database.health(), Health::Up);
}

const TABLE: &str = "create table machine (id integer not null primary key, name varchar(200), mac varchar(200))";

async fn finds_and_changes(database: &Database) {
    let mut transaction = database.begin(LIMIT).await.unwrap();
    transaction.script(TABLE).await.unwrap();
    transaction.commit().await.unwrap();
    let insert = query("insert into machine (id, name, mac) values (:id, :name, :mac)");
    for (id, name, mac) in [(1, "lab-07", "52:54:00:00:00:01"), (2, "lab-08", "52:54:00:00:00:02")] {
        let row = record(&[("id", id.into()), ("name", name.into()), ("mac", mac.into())]);
        assert_eq!(database.execute(&insert, &row, LIMIT).await, Ok(1));
    }
    let find = "select id, name as HostName from machine where mac = :mac or name = :mac or id = :id order by id";
    let by_mac = text(&[("mac", "52:54:00:00:00:02")]);
    assert_eq!(first(database, find, &by_mac).await, "hostname='lab-08' id=2");
    assert_eq!(first(database, find, &text(&[("mac", "lab-07")])).await, "hostname='lab-07' id=1");
    assert_eq!(first(database, find, &record(&[("id", 2.into())])).await, "hostname='lab-08' id=2");
    // A number is found by its digits, and digits that are none find nothing.
    assert_eq!(first(database, find, &text(&[("id", "2")])).await, "hostname='lab-08' id=2");
    assert_eq!(first(database, find, &Record::default()).await, "no row");
    assert_eq!(database.describe(&query(find), LIMIT).await.unwrap(), ["id", "hostname"]);
    let update = query("update machine set name = :name where id = :id and name = :was");
    let change = record(&[("name", "lab-09".into()), ("id", 2.into()), ("was", "lab-08".into())]);
    assert_eq!(database.execute(&update, &change, LIMIT).await, Ok(1));
    assert_eq!(database.execute(&update, &change, LIMIT).await, Ok(0));
}

async fn values_are_only_values(database: &Database) {
    let select = "select count(*) as n from machine where name = :name";
    let echo = query("insert into machine (id, name) values (99, :name)");
    let read = "select name from machine where id = 99";
    for hostile in [
        "' or '1'='1",
        "'; drop table machine; --",
        "\\' or 1=1 -- ",
        "\" or \"\"=\"",
        "`; delete from machine; `",
        "/* */ union select 1 --",
        ":mac $1 ? @P1 %s {0}",
        "line\nbreak\ttab \u{1F42E} é",
    ] {
        assert_eq!(first(database, select, &text(&[("name", hostile)])).await, "n=0", "{hostile}");
        database.execute(&echo, &text(&[("name", hostile)]), LIMIT).await.unwrap();
        assert_eq!(first(database, read, &Record::default()).await, format!("name='{hostile}'"));
        database.execute(&query("delete from machine where id = 99"), &Record::default(), LIMIT).await.unwrap();
    }
    // Not every database has texts with NUL; a query finds nothing by it either way.
    assert_eq!(first(database, select, &text(&[("name", "lab-07\0")])).await, "n=0");
    assert_eq!(first(database, "select count(*) as n from machine", &Record::default()).await, "n=2");
}

async fn null_is_null(database: &Database) {
    let optional =
        "select count(*) as n from machine where (:name is null or name = :name) and (id = :id or :id is null)";
    assert_eq!(first(database, optional, &Record::default()).await, "n=2");
    assert_eq!(first(database, optional, &text(&[("name", "lab-07")])).await, "n=1");
    assert_eq!(first(database, optional, &record(&[("id", 7.into())])).await, "n=0");
    let gone = query("select mac as gone from machine where id = 1");
    let update = query("update machine set mac = :mac where id = 1");
    database.execute(&update, &Record::default(), LIMIT).await.unwrap();
    let rows = database.rows(&gone, &Record::default(), LIMIT).await.unwrap();
    assert_eq!(shown(&rows.records[0]), "gone=null");
}

async fn transactions_are_whole(database: &Database) {
    let insert = query("insert into machine (id, name) values (:id, :name)");
    let count = "select count(*) as n from machine";
    let row = |id: i64| record(&[("id", id.into()), ("name", "new".into())]);
    let mut transaction = database.begin(LIMIT).await.unwrap();
    assert_eq!(transaction.batch(&insert, &[row(10), row(11)]).await, Ok(2));
    assert_eq!(shown(&transaction.rows(&query(count), &Record::default()).await.unwrap()[0]), "n=4");
    drop(transaction);
    assert_eq!(first(database, count, &Record::default()).await, "n=2");
    let mut transaction = database.begin(LIMIT).await.unwrap();
    transaction.execute(&insert, &row(10)).await.unwrap();
    let error = transaction.execute(&insert, &row(10)).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Refused { .. }), "{error}");
    transaction.commit().await.unwrap_err();
    assert_eq!(first(database, count, &Record::default()).await, "n=2");
    let mut transaction = database.begin(LIMIT).await.unwrap();
    transaction.execute(&insert, &row(10)).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(first(database, count, &Record::default()).await, "n=3");
}

async fn mistakes_are_mistakes(database: &Database) {
    for wrong in ["select nothing from machine", "selct 1", "select * from nowhere where id = :id"] {
        for _ in 0..2 {
            let error = database.rows(&query(wrong), &Record::default(), LIMIT).await.unwrap_err();
            assert!(matches!(error, DatabaseError::Refused { .. }), "{wrong}: {error}");
        }
        database.describe(&query(wrong), LIMIT).await.unwrap_err();
    }
    // After mistakes, the same connections answer.
    assert_eq!(first(database, "select 1 as n", &Record::default()).await, "n=1");
}

async fn limits_hold(database: &Database) {
    let numbers =
        query("with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) select i from n");
    let error = database.rows(&numbers, &Record::default(), LIMIT).await.unwrap_err();
    assert_eq!(error, DatabaseError::TooManyRows { name: "cmdb".into() });
    let numbers = query(&format!("{} limit {ROWS_MAX}", numbers.text()));
    assert_eq!(database.rows(&numbers, &Record::default(), LIMIT).await.unwrap().records.len(), ROWS_MAX);
    // 65,536 octets are kept, one more is not.
    let long = match database.dialect() {
        Dialect::Sqlite => "select printf('%.65536c', 'x') as kept, printf('%.65537c', 'x') as lost",
        _ => "select repeat('x', 65536) as kept, repeat('x', 65537) as lost",
    };
    let rows = database.fresh_rows(&query(long), &Record::default(), LIMIT).await.unwrap();
    assert_eq!(rows[0].get("lost"), Some(&Value::Null));
    assert_eq!(rows[0].text("kept").unwrap().len(), Value::TEXT_LEN_MAX);
    assert!(database.counts().contains(&("unreadable", 1)));
}
