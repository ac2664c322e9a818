//! Servers that are killed, that hang, that are full, and that come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pointsman::boot::Record;
use pointsman::config::DatabaseSection;
use pointsman::database::{Database, DatabaseError, Health, Query};

use super::{LIMIT, first, open, open_with, query, record, text};
use crate::harness::PATIENCE;
use crate::servers::{MariaDb, Postgres};

/// Scheduling on a busy machine, on top of a call's limit.
const SLACK: Duration = Duration::from_secs(2);

const MACHINES: i64 = 50;

trait Outage {
    fn url(&self) -> String;
    fn kill(&mut self);
    fn start_again(&mut self);
    fn pause(&self);
    fn resume(&self);
}

macro_rules! outage {
    ($server:ty) => {
        impl Outage for $server {
            fn url(&self) -> String {
                self.url()
            }
            fn kill(&mut self) {
                self.kill();
            }
            fn start_again(&mut self) {
                self.start_again();
            }
            fn pause(&self) {
                self.pause();
            }
            fn resume(&self) {
                self.resume();
            }
        }
    };
}

outage!(Postgres);
outage!(MariaDb);

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_down(database: &Database) -> bool {
    matches!(database.health(), Health::Down { .. })
}

fn count(database: &Database, name: &str) -> u64 {
    database.counts().iter().find(|(count, _)| *count == name).unwrap().1
}

/// A table of machines that are all in memory afterwards.
async fn machines(database: &Database) -> Query {
    let mut transaction = database.begin(LIMIT).await.unwrap();
    transaction.script("create table machine (id integer not null primary key, n integer not null)").await.unwrap();
    let rows: Vec<Record> = (0..MACHINES).map(|id| record(&[("id", id.into())])).collect();
    transaction.batch(&query("insert into machine values (:id, 0)"), &rows).await.unwrap();
    transaction.commit().await.unwrap();
    let find = query("select id from machine where id = :id");
    for row in &rows {
        assert_eq!(database.rows(&find, row, LIMIT).await.unwrap().records, std::slice::from_ref(row));
    }
    find
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_killed_and_comes_back() {
    is_killed_and_comes_back(Postgres::start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_killed_and_comes_back() {
    is_killed_and_comes_back(MariaDb::start()).await;
}

/// What the lookups of a test saw.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    fresh: AtomicU64,
    stale: AtomicU64,
    age_max_ms: AtomicU64,
    longest_ms: AtomicU64,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

async fn look_up(database: Database, find: Query, id: i64, limit: Duration, seen: Arc<Seen>) {
    let parameters = record(&[("id", (id % MACHINES).into())]);
    while !seen.is_over.load(Ordering::Relaxed) {
        let since = Instant::now();
        let rows = database.rows(&find, &parameters, limit).await.unwrap();
        seen.longest_ms.fetch_max(ms(since.elapsed()), Ordering::Relaxed);
        assert_eq!(rows.records, std::slice::from_ref(&parameters));
        match rows.age {
            None => seen.fresh.fetch_add(1, Ordering::Relaxed),
            Some(age) => {
                seen.age_max_ms.fetch_max(ms(age), Ordering::Relaxed);
                seen.stale.fetch_add(1, Ordering::Relaxed)
            }
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Counts one machine up, one at a time, each change safe to be made again; returns how far it came.
async fn count_up(database: Database, id: i64, seen: Arc<Seen>) -> i64 {
    let change = query("update machine set n = :n where id = :id and n = :was");
    let mut n = 0;
    while !seen.is_over.load(Ordering::Relaxed) {
        let parameters = record(&[("id", id.into()), ("n", (n + 1).into()), ("was", n.into())]);
        // Nothing changed means that it was done before the connection broke.
        match database.execute(&change, &parameters, LIMIT).await {
            Ok(_) => n += 1,
            Err(error) => assert!(error.is_outage(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    n
}

async fn is_killed_and_comes_back(mut server: impl Outage) {
    let database = open(&server.url());
    let find = machines(&database).await;
    let (seen, limit) = (Arc::new(Seen::default()), Duration::from_secs(2));
    let lookups: Vec<_> =
        (0..1000).map(|id| tokio::spawn(look_up(database.clone(), find.clone(), id, limit, seen.clone()))).collect();
    let counters: Vec<_> = (0..5).map(|id| tokio::spawn(count_up(database.clone(), id, seen.clone()))).collect();
    for _ in 0..2 {
        let fresh = seen.fresh.load(Ordering::Relaxed);
        until("answers while it is up", || seen.fresh.load(Ordering::Relaxed) > fresh + 2000).await;
        server.kill();
        until("it counts as down", || is_down(&database)).await;
        let stale = seen.stale.load(Ordering::Relaxed);
        until("everybody has stale answers", || seen.stale.load(Ordering::Relaxed) > stale + 2000).await;
        server.start_again();
        until("it is up again", || database.health() == Health::Up).await;
    }
    let fresh = seen.fresh.load(Ordering::Relaxed);
    until("fresh answers after the outages", || seen.fresh.load(Ordering::Relaxed) > fresh + 2000).await;
    seen.is_over.store(true, Ordering::Relaxed);
    for lookup in lookups {
        lookup.await.unwrap();
    }
    let longest = Duration::from_millis(seen.longest_ms.load(Ordering::Relaxed));
    assert!(longest < limit + SLACK, "a lookup took {longest:?}");
    assert!(seen.age_max_ms.load(Ordering::Relaxed) > 0);
    for (id, counter) in counters.into_iter().enumerate() {
        let n = counter.await.unwrap();
        let counted = format!("select n from machine where id = {id}");
        assert_eq!(first(&database, &counted, &Record::default()).await, format!("n={n}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_hangs() {
    hangs(Postgres::start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_hangs() {
    hangs(MariaDb::start()).await;
}

async fn hangs(server: impl Outage) {
    let database = open(&server.url());
    let find = machines(&database).await;
    server.pause();
    let limit = Duration::from_millis(300);
    let calls: Vec<_> = (0..40)
        .map(|id| {
            let (database, find) = (database.clone(), find.clone());
            tokio::spawn(async move {
                let since = Instant::now();
                let rows = database.rows(&find, &record(&[("id", id.into())]), limit).await.unwrap();
                (since.elapsed(), rows.age)
            })
        })
        .collect();
    for call in calls {
        let (elapsed, age) = call.await.unwrap();
        assert!(elapsed < limit + SLACK, "a call took {elapsed:?}");
        assert!(age.is_some());
    }
    until("it counts as down", || is_down(&database)).await;
    // From now on nobody waits: what is known comes at once.
    let known = record(&[("id", 1.into())]);
    for _ in 0..20 {
        let timed_out = count(&database, "timed_out");
        assert!(database.rows(&find, &known, limit).await.unwrap().age.is_some());
        assert_eq!(count(&database, "timed_out"), timed_out);
    }
    let unknown = record(&[("id", 1000.into())]);
    let error = database.rows(&find, &unknown, limit).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Down { .. }), "{error}");
    server.resume();
    until("it is up again", || database.health() == Health::Up).await;
    assert_eq!(database.rows(&find, &known, LIMIT).await.unwrap().age, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_costs_nobody_an_answer() {
    let mut server = Postgres::start();
    let database = open(&server.url());
    machines(&database).await;
    server.kill();
    // Neither the change nor the question that was never asked has something to fall back on: they wait.
    let change = tokio::spawn({
        let database = database.clone();
        async move { database.execute(&query("update machine set n = 7 where id = 1"), &Record::default(), LIMIT).await }
    });
    until("it counts as down", || is_down(&database)).await;
    let question = tokio::spawn({
        let database = database.clone();
        async move { database.rows(&query("select count(*) as n from machine"), &Record::default(), LIMIT).await }
    });
    // Who only wants to know is told at once.
    assert!(matches!(database.ping(LIMIT).await, Err(DatabaseError::Down { .. })));
    server.start_again();
    assert_eq!(change.await.unwrap(), Ok(1));
    assert_eq!(question.await.unwrap().unwrap().age, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_there_from_the_start() {
    let mut server = Postgres::start();
    let url = server.url();
    server.kill();
    let database = open(&url);
    let since = Instant::now();
    let limit = Duration::from_millis(300);
    let error = database.rows(&query("select 1 as n"), &Record::default(), limit).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Down { .. }), "{error}");
    assert!(since.elapsed() < limit + SLACK);
    server.start_again();
    until("it is up", || database.health() == Health::Up).await;
    assert_eq!(first(&database, "select 1 as n", &Record::default()).await, "n=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_ended_are_replaced_unseen() {
    let server = Postgres::start();
    let database = open(&server.url());
    let sleepers: Vec<_> = (0..8)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move { database.rows(&query("select pg_sleep(0.2)"), &Record::default(), LIMIT).await })
        })
        .collect();
    for sleeper in sleepers {
        sleeper.await.unwrap().unwrap();
    }
    assert_eq!(count(&database, "connected"), 8);
    let ended = server.run(
        "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where application_name = 'pointsman'",
    );
    assert_eq!(ended.trim(), "8");
    assert_eq!(first(&database, "select 1 as n", &Record::default()).await, "n=1");
    assert_eq!(count(&database, "repeated"), 1);
    assert_eq!(database.health(), Health::Up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_past_its_limit_leaves_nothing_behind() {
    let server = Postgres::start();
    let database = open(&server.url());
    let limit = Duration::from_millis(100);
    for _ in 0..12 {
        let error = database.rows(&query("select pg_sleep(60)"), &Record::default(), limit).await.unwrap_err();
        assert_eq!(error, DatabaseError::Limit { name: "cmdb".into(), limit });
    }
    // The queries were slow, the server was not: it never counted as down, and the next one is answered.
    assert_eq!(database.health(), Health::Up);
    assert_eq!(first(&database, "select 1 as n", &Record::default()).await, "n=1");
    let running = "select count(*) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()";
    until("the server gives up what nobody waits for", || server.run(running).trim() == "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_gives_few_connections_is_not_down() {
    let server = Postgres::start();
    server.run("create role reader login connection limit 2");
    let url = server.url().replace("postgres@", "reader@");
    let database = open(&url);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move { database.rows(&query("select pg_sleep(0.05)"), &Record::default(), LIMIT).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(database.health(), Health::Up);
    assert_eq!(count(&database, "connected"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_a_deadlock_tries_again() {
    let server = MariaDb::start();
    let database = open(&server.url());
    machines(&database).await;
    let mut other = database.begin(LIMIT).await.unwrap();
    let many = query("update machine set n = n + 1 where id < 40");
    assert_eq!(other.execute(&many, &Record::default()).await, Ok(40));
    // Has the last row and waits for the first one, which the other transaction has.
    let change = tokio::spawn({
        let database = database.clone();
        let last_and_first = query("update machine set n = n + 1 where id in (0, 49) order by id desc");
        async move { database.execute(&last_and_first, &Record::default(), LIMIT).await }
    });
    let waiting = "select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'";
    until("it waits", || server.run(waiting).trim() == "1").await;
    // The other one wants the last row: a deadlock, which ends for the one that did less.
    assert_eq!(other.execute(&query("update machine set n = 7 where id = 49"), &Record::default()).await, Ok(1));
    other.commit().await.unwrap();
    assert_eq!(change.await.unwrap(), Ok(2));
    assert!(count(&database, "repeated") > 0);
    let counted = "select min(n) as a, max(n) as b from machine where id in (0, 49)";
    assert_eq!(first(&database, counted, &Record::default()).await, "a=2 b=8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_clearly_and_mended_without_a_restart() {
    let server = Postgres::start_with(|data| {
        let rules =
            "local all all trust\nhost all reader 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
    });
    server.run("create role reader login password 'right'");
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "wr0ng\n").unwrap();
    let section = DatabaseSection {
        url: server.url().replace("postgres@", "reader@"),
        password_file: Some(password_file),
        ..DatabaseSection::default()
    };
    let database = open_with(section);
    let error = database.rows(&query("select 1 as n"), &Record::default(), LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("password authentication failed for user \"reader\""), "{error}");
    let everything = format!("{error} {database:?} {:?}", database.health());
    assert!(!everything.contains("wr0ng") && !everything.contains("://"), "{everything}");
    server.run("alter role reader password 'wr0ng'");
    until("it is up", || database.health() == Health::Up).await;
    assert_eq!(first(&database, "select current_user::text as me", &text(&[])).await, "me='reader'");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_of_mariadb_is_said_clearly() {
    let server = MariaDb::start();
    let database = open(&server.url().replace(":secret@", ":wr0ng@"));
    let error = database.ping(LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("Access denied for user 'pointsman'"), "{error}");
    assert!(!error.contains("wr0ng"), "{error}");
}
