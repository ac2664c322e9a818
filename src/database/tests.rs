use std::time::Duration;

use super::*;
use crate::boot::Value;

const LIMIT: Duration = Duration::from_secs(10);

fn query(text: &str) -> Query {
    Query::parse(text).unwrap()
}

fn record(columns: &[(&str, Value)]) -> Record {
    columns.iter().map(|(name, value)| (*name, value.clone())).collect()
}

/// An embedded database with a table of machines.
async fn store(folder: &tempfile::TempDir) -> Database {
    let database = Database::sqlite("store", &folder.path().join("pointsman.db"));
    let mut transaction = database.begin(LIMIT).await.unwrap();
    transaction
        .script("create table machine (name text primary key, n integer); insert into machine values ('a', 1)")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    database
}

#[tokio::test]
async fn asks_and_changes() {
    let folder = tempfile::tempdir().unwrap();
    let database = store(&folder).await;
    assert_eq!(database.health(), Health::Up);
    let change = query("update machine set n = :n where name = :name and n = :was");
    let parameters = record(&[("n", 2.into()), ("name", "a".into()), ("was", 1.into())]);
    assert_eq!(database.execute(&change, &parameters, LIMIT).await, Ok(1));
    assert_eq!(database.execute(&change, &parameters, LIMIT).await, Ok(0));
    let rows =
        database.rows(&query("select name, n, :gone as gone from machine"), &Record::default(), LIMIT).await.unwrap();
    assert_eq!(rows.records, [record(&[("name", "a".into()), ("n", 2.into()), ("gone", Value::Null)])]);
    assert_eq!(rows.age, None);
    assert_eq!(database.describe(&query("select name as Name, n + :x from machine"), LIMIT).await.unwrap()[0], "name");
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = store(&folder).await;
    let insert = query("insert into machine values (:name, :n)");
    let count = query("select count(*) as n from machine");
    let mut transaction = database.begin(LIMIT).await.unwrap();
    let rows = [record(&[("name", "b".into())]), record(&[("name", "c".into())])];
    assert_eq!(transaction.batch(&insert, &rows).await, Ok(2));
    assert_eq!(transaction.rows(&count, &Record::default()).await.unwrap(), [record(&[("n", 3.into())])]);
    drop(transaction);
    assert_eq!(database.fresh_rows(&count, &Record::default(), LIMIT).await.unwrap(), [record(&[("n", 1.into())])]);
    // What failed in between is not committed either.
    let mut transaction = database.begin(LIMIT).await.unwrap();
    transaction.execute(&insert, &rows[0]).await.unwrap();
    transaction.execute(&insert, &rows[0]).await.unwrap_err();
    transaction.commit().await.unwrap_err();
    assert_eq!(database.fresh_rows(&count, &Record::default(), LIMIT).await.unwrap(), [record(&[("n", 1.into())])]);
}

#[tokio::test]
async fn a_wrong_query_takes_no_database_down() {
    let folder = tempfile::tempdir().unwrap();
    let database = store(&folder).await;
    for text in
        ["select nothing from machine", "selct 1", "select ? from machine", "select * from nowhere where a = :a"]
    {
        let error = database.rows(&query(text), &Record::default(), LIMIT).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Refused { .. }), "{text}: {error}");
        assert!(!error.is_outage());
    }
    assert_eq!(database.health(), Health::Up);
}

#[tokio::test]
async fn a_file_of_the_site_is_neither_created_nor_changed() {
    let folder = tempfile::tempdir().unwrap();
    let section = |url: &str| DatabaseSection { url: url.into(), ..DatabaseSection::default() };
    let database = Database::open("cmdb", &section("sqlite:cmdb.db"), folder.path()).unwrap();
    let select = query("select * from machine");
    let error = database.rows(&select, &Record::default(), LIMIT).await.unwrap_err();
    assert!(error.to_string().contains("cmdb.db"), "{error}");
    assert!(matches!(database.health(), Health::Down { .. }));
    assert!(!folder.path().join("cmdb.db").exists());
    drop(store(&folder).await);
    let database = Database::open("cmdb", &section("sqlite:pointsman.db"), folder.path()).unwrap();
    assert_eq!(database.rows(&select, &Record::default(), LIMIT).await.unwrap().records.len(), 1);
    let delete = query("delete from machine");
    database.execute(&delete, &Record::default(), LIMIT).await.unwrap_err();
    let database = Database::open("cmdb", &section("sqlite:pointsman.db?mode=rw"), folder.path()).unwrap();
    assert_eq!(database.execute(&delete, &Record::default(), LIMIT).await, Ok(1));
}

#[tokio::test]
async fn a_statement_that_takes_too_long_ends_and_does_not_poison() {
    let folder = tempfile::tempdir().unwrap();
    let database = store(&folder).await;
    let endless = query("with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) as i from n");
    for _ in 0..10 {
        let error = database.rows(&endless, &Record::default(), Duration::from_millis(30)).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Limit { .. }), "{error}");
    }
    let rows = database.rows(&query("select n from machine"), &Record::default(), LIMIT).await.unwrap();
    assert_eq!(rows.records, [record(&[("n", 1.into())])]);
}

#[tokio::test]
async fn too_many_rows_are_an_error_rather_than_half_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let database = store(&folder).await;
    let count = query("with recursive n(i) as (select 1 union all select i + 1 from n where i < :max) select i from n");
    let most = record(&[("max", 1000.into())]);
    assert_eq!(database.rows(&count, &most, LIMIT).await.unwrap().records.len(), ROWS_MAX);
    let more = record(&[("max", 1001.into())]);
    let error = database.rows(&count, &more, LIMIT).await.unwrap_err();
    assert_eq!(error, DatabaseError::TooManyRows { name: "store".into() });
}

#[tokio::test]
async fn a_replaced_file_is_opened_anew_and_a_lost_one_leaves_its_last_answer() {
    let folder = tempfile::tempdir().unwrap();
    drop(store(&folder).await);
    let file = folder.path().join("pointsman.db");
    let section = DatabaseSection { url: "sqlite:pointsman.db".into(), ..DatabaseSection::default() };
    let database = Database::open("cmdb", &section, folder.path()).unwrap();
    let select = query("select * from machine");
    let first = database.rows(&select, &Record::default(), LIMIT).await.unwrap();
    assert_eq!((first.records.len(), first.age), (1, None));
    // The site's nightly export: another file under the same name, with other columns.
    let export = tempfile::tempdir().unwrap();
    let new = Database::sqlite("new", &export.path().join("new.db"));
    let mut transaction = new.begin(LIMIT).await.unwrap();
    transaction
        .script("create table machine (n integer, name text); insert into machine values (7, 'b')")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    new.rows(&query("pragma wal_checkpoint(truncate)"), &Record::default(), LIMIT).await.unwrap();
    std::fs::rename(export.path().join("new.db"), &file).unwrap();
    let second = database.rows(&select, &Record::default(), LIMIT).await.unwrap();
    assert_eq!(second.records, [record(&[("name", "b".into()), ("n", 7.into())])]);
    std::fs::remove_file(&file).unwrap();
    let third = database.rows(&select, &Record::default(), LIMIT).await.unwrap();
    assert_eq!(third.records, second.records);
    assert!(third.age.is_some());
    assert!(database.fresh_rows(&select, &Record::default(), LIMIT).await.unwrap_err().is_outage());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_get_along() {
    let folder = tempfile::tempdir().unwrap();
    let database = store(&folder).await;
    let change = query("update machine set n = n + 1 where name = :name");
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let (database, change) = (database.clone(), change.clone());
            tokio::spawn(async move { database.execute(&change, &record(&[("name", "a".into())]), LIMIT).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(1));
    }
    let rows = database.fresh_rows(&query("select n from machine"), &Record::default(), LIMIT).await.unwrap();
    assert_eq!(rows, [record(&[("n", 201.into())])]);
}

#[tokio::test]
async fn columns_of_sqlite_become_values() {
    let folder = tempfile::tempdir().unwrap();
    let database = store(&folder).await;
    let mut transaction = database.begin(LIMIT).await.unwrap();
    let script = "create table t (yes boolean, many boolean, at datetime, raw blob, half real, bad text);
                  insert into t values (1, 5, '2026-07-01 12:00:00', x'00ff', 1.5, cast(x'ff' as text))";
    transaction.script(script).await.unwrap();
    transaction.commit().await.unwrap();
    let rows = database.fresh_rows(&query("select * from t"), &Record::default(), LIMIT).await.unwrap();
    let expected = record(&[
        ("yes", true.into()),
        ("many", 5.into()),
        ("at", "2026-07-01 12:00:00".into()),
        ("raw", "00ff".into()),
        ("half", Value::Float(1.5)),
        ("bad", Value::Null),
    ]);
    assert_eq!(rows, [expected]);
    assert!(database.counts().contains(&("unreadable", 1)));
}

#[test]
fn opening_needs_no_runtime_and_names_what_is_wrong() {
    let section = |url: &str| DatabaseSection { url: url.into(), ..DatabaseSection::default() };
    let open = |url: &str| Database::open("cmdb", &section(url), Path::new("/nowhere")).map(|it| it.dialect());
    assert_eq!(open("postgres://reader@localhost/cmdb"), Ok(Dialect::Postgres));
    assert_eq!(open("mariadb://reader@localhost/cmdb"), Ok(Dialect::MySql));
    assert_eq!(open("mysql://reader@localhost/cmdb"), Ok(Dialect::MySql));
    assert_eq!(open("sqlite:cmdb.db"), Ok(Dialect::Sqlite));
    for url in
        ["", "cmdb.db", "oracle://x", "sqlite:", "sqlite::memory:", "sqlite:a?mode=x", "postgres://a:s3cret@h:port/x"]
    {
        let error = open(url).unwrap_err();
        assert!(matches!(error, DatabaseError::Url { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("s3cret"));
    }
    let twice = DatabaseSection {
        url: "postgres://reader:s3cret@localhost/cmdb".into(),
        password_env: Some("CARGO_PKG_NAME".into()),
        ..DatabaseSection::default()
    };
    let error = Database::open("cmdb", &twice, Path::new("/nowhere")).unwrap_err();
    assert!(matches!(error, DatabaseError::Password { .. }));
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    let database = Database::open("cmdb", &section("postgres://reader:s3cret@localhost/cmdb"), Path::new("/")).unwrap();
    assert!(!format!("{database:?}").contains("s3cret"));
}
