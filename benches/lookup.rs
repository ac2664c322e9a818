//! How many machines a second are looked up in a database of 100,000, and how long one lookup takes.
//!
//! `cargo bench --bench lookup`. It starts a PostgreSQL and a MariaDB of its own. Four ways take turns, and the median
//! of their rounds counts; ratios are between rounds of one run:
//!
//! * `rows`: `Database::rows`, which binds by name, keeps a time limit, makes records, and remembers the answer;
//! * `fresh_rows`: the same without the memory of answers;
//! * `bare`: the driver alone with the same prepared statement. Each connection is busy without a pause, with nothing
//!   between it and the server: the limit of what can be had;
//! * `pool`: the driver's own pool.
//!
//! `cpu us` is the processor time of this process for each lookup, without the servers': that is what a way costs,
//! however busy the machine is.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reports on standard output and ends at the first error"
)]

#[path = "../tests/it/servers.rs"]
#[expect(dead_code, reason = "the tests do more with them")]
mod servers;

use std::path::Path;
use std::time::{Duration, Instant};

use pointsman::boot::Record;
use pointsman::config::DatabaseSection;
use pointsman::database::{Database, Query};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::task::JoinHandle;

use servers::{MariaDb, Postgres};

const MACHINES: u64 = 100_000;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1500);
const CONNECTIONS: u32 = 8;
const CALLERS: [u64; 2] = [1, 64];
const LIMIT: Duration = Duration::from_secs(10);

const NAMED: &str = "select id as machine_id, name as hostname, mac, serial from machine where mac = :mac";
const NUMBERED: &str = "select id as machine_id, name as hostname, mac, serial from machine where mac = $1";
const MARKED: &str = "select id as machine_id, name as hostname, mac, serial from machine where mac = ?";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("lookups by MAC address among {MACHINES} machines, {CONNECTIONS} connections;");
    println!("median of {ROUNDS} rounds of {ROUND:?}");
    runtime.block_on(of_sqlite());
    runtime.block_on(of_postgres());
    runtime.block_on(of_mariadb());
}

/// The driver alone, over connections of its own and through its pool.
macro_rules! direct {
    ($module:ident, $options:ty, $pool:ty, $pool_options:ty, $sql:expr) => {
        mod $module {
            use super::*;

            pub(super) async fn bare(options: &$options, callers: u64) -> Times {
                let mut tasks = Vec::new();
                for caller in 0..callers.min(CONNECTIONS.into()) {
                    let mut connection = options.connect().await.unwrap();
                    tasks.push(tokio::spawn(async move {
                        let mut clock = Clock::start(caller);
                        while let Some(mac) = clock.next() {
                            let rows = sqlx::query($sql).bind(mac).fetch_all(&mut connection).await.unwrap();
                            clock.answered(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))));
                        }
                        connection.close().await.unwrap();
                        clock.times
                    }));
                }
                all(tasks).await
            }

            pub(super) async fn pool(options: &$options) -> $pool {
                <$pool_options>::new().max_connections(CONNECTIONS).connect_with(options.clone()).await.unwrap()
            }

            pub(super) async fn pooled(pool: &$pool, callers: u64) -> Times {
                let tasks = (0..callers).map(|caller| {
                    let pool = pool.clone();
                    tokio::spawn(async move {
                        let mut clock = Clock::start(caller);
                        while let Some(mac) = clock.next() {
                            let rows = sqlx::query($sql).bind(mac).fetch_all(&pool).await.unwrap();
                            clock.answered(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))));
                        }
                        clock.times
                    })
                });
                all(tasks.collect()).await
            }

            /// All three in turn.
            pub(super) async fn compare(name: &str, database: &Database, options: $options) {
                let options = options.disable_statement_logging();
                let pool = pool(&options).await;
                for callers in CALLERS {
                    let mut rounds: [Vec<Round>; 4] = Default::default();
                    for _ in 0..ROUNDS {
                        rounds[0].push(round(ours(database, callers, Way::Rows)).await);
                        rounds[1].push(round(bare(&options, callers)).await);
                        rounds[2].push(round(pooled(&pool, callers)).await);
                        rounds[3].push(round(ours(database, callers, Way::Fresh)).await);
                    }
                    report(name, callers, &rounds);
                }
                pool.close().await;
            }
        }
    };
}

direct!(sqlite, sqlx::sqlite::SqliteConnectOptions, sqlx::SqlitePool, sqlx::sqlite::SqlitePoolOptions, MARKED);
direct!(postgres, sqlx::postgres::PgConnectOptions, sqlx::PgPool, sqlx::postgres::PgPoolOptions, NUMBERED);
direct!(mysql, sqlx::mysql::MySqlConnectOptions, sqlx::MySqlPool, sqlx::mysql::MySqlPoolOptions, MARKED);

async fn of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cmdb.db");
    let store = Database::sqlite("store", &file);
    let mut transaction = store.begin(LIMIT).await.unwrap();
    let table = "create table machine (id integer primary key, name text, mac text unique, serial text);
        with recursive n(i) as (select 0 union all select i + 1 from n where i < 99999)
        insert into machine select i, printf('pc-%05d', i),
            printf('52:54:00:%02x:%02x:%02x', i >> 16, i >> 8 & 255, i & 255), printf('SN%08d', i) from n;";
    transaction.script(table).await.unwrap();
    transaction.commit().await.unwrap();
    drop(store);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).read_only(true);
    sqlite::compare("SQLite", &open(&format!("sqlite:{}", file.display())), options).await;
}

async fn of_postgres() {
    let server = Postgres::start();
    server.run(
        "create table machine (id bigint primary key, name text, mac text unique, serial text);
        insert into machine select i, 'pc-' || lpad(i::text, 5, '0'),
            '52:54:00:' || substr(hex, 1, 2) || ':' || substr(hex, 3, 2) || ':' || substr(hex, 5, 2),
            'SN' || lpad(i::text, 8, '0') from (select i, lpad(to_hex(i), 6, '0') as hex from generate_series(0, 99999) i) n;
        analyze machine",
    );
    postgres::compare("PostgreSQL", &open(&server.url()), server.url().parse().unwrap()).await;
}

async fn of_mariadb() {
    let server = MariaDb::start();
    server.run(
        "create table machine (id bigint primary key, name varchar(40), mac varchar(20) unique, serial varchar(40));
        insert into machine select seq, concat('pc-', lpad(seq, 5, '0')),
            concat('52:54:00:', substr(h, 1, 2), ':', substr(h, 3, 2), ':', substr(h, 5, 2)), concat('SN', lpad(seq, 8, '0'))
            from (select seq, lpad(lower(hex(seq)), 6, '0') as h from seq_0_to_99999) n;
        analyze table machine",
    );
    mysql::compare("MariaDB", &open(&server.url()), server.url().parse().unwrap()).await;
}

fn open(url: &str) -> Database {
    let section = DatabaseSection {
        url: url.into(),
        connections_max: CONNECTIONS,
        answers_max: MACHINES,
        ..DatabaseSection::default()
    };
    Database::open("cmdb", &section, Path::new("/")).unwrap()
}

async fn ours(database: &Database, callers: u64, way: Way) -> Times {
    let query = Query::parse(NAMED).unwrap();
    let tasks = (0..callers).map(|caller| {
        let (database, query) = (database.clone(), query.clone());
        tokio::spawn(async move {
            let mut clock = Clock::start(caller);
            while let Some(mac) = clock.next() {
                let parameters: Record = [("mac", mac)].into_iter().collect();
                let records = match way {
                    Way::Rows => {
                        let rows = database.rows(&query, &parameters, LIMIT).await.unwrap();
                        assert!(rows.age.is_none());
                        rows.records
                    }
                    Way::Fresh => database.fresh_rows(&query, &parameters, LIMIT).await.unwrap(),
                };
                clock.answered(records.iter().map(|row| {
                    let text = |name| row.text(name).unwrap();
                    (text("machine_id").parse().unwrap(), text("hostname"), text("mac"), text("serial"))
                }));
            }
            clock.times
        })
    });
    all(tasks.collect()).await
}

#[derive(Clone, Copy)]
enum Way {
    Rows,
    Fresh,
}

/// Microseconds of each lookup.
type Times = Vec<f64>;

/// One caller's round: another machine each time, and how long each took.
struct Clock {
    until: Instant,
    random: u64,
    machine: u64,
    asked: Instant,
    times: Times,
}

impl Clock {
    fn start(caller: u64) -> Clock {
        let now = Instant::now();
        Clock { until: now + ROUND, random: caller * 7919 + 1, machine: 0, asked: now, times: Vec::new() }
    }

    /// The address of the next machine, until the round is over.
    fn next(&mut self) -> Option<String> {
        // Knuth's generator; the upper bits are the good ones.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let n = (self.random >> 33) % MACHINES;
        self.machine = n;
        self.asked = Instant::now();
        (self.asked < self.until).then(|| format!("52:54:00:{:02x}:{:02x}:{:02x}", n >> 16, n >> 8 & 255, n & 255))
    }

    fn answered(&mut self, mut rows: impl Iterator<Item = (i64, String, String, String)>) {
        let (id, name, _, _) = rows.next().unwrap();
        self.times.push(self.asked.elapsed().as_secs_f64() * 1e6);
        assert_eq!((id.cast_unsigned(), name), (self.machine, format!("pc-{:05}", self.machine)));
    }
}

struct Round {
    times: Times,
    /// Processor time for each lookup.
    cpu_us: f64,
}

async fn round(lookups: impl Future<Output = Times>) -> Round {
    let begin = cpu_us();
    let times = lookups.await;
    let cpu_us = (cpu_us() - begin) / times.len() as f64;
    Round { times, cpu_us }
}

/// Processor time of this process and all its threads, from the kernel's hundredths of a second.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) * 1e4
}

async fn all(tasks: Vec<JoinHandle<Times>>) -> Times {
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    times.sort_by(f64::total_cmp);
    times
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn report(name: &str, callers: u64, rounds: &[Vec<Round>; 4]) {
    let rate = |round: &Round| round.times.len() as f64 / ROUND.as_secs_f64();
    let at = |round: &Round, part: f64| round.times[((round.times.len() - 1) as f64 * part) as usize];
    println!("\n{:<24} a second    p50 us    p99 us    cpu us   of bare", format!("{name}, {callers} at a time"));
    for (way, round) in ["rows", "bare", "pool", "fresh_rows"].into_iter().zip(rounds) {
        let ratios = round.iter().zip(&rounds[1]).map(|(round, bare)| rate(round) / rate(bare));
        println!(
            "  {way:<21} {:>9.0} {:>9.0} {:>9.0} {:>9.1} {:>9.2}",
            median(round.iter().map(rate).collect()),
            median(round.iter().map(|round| at(round, 0.50)).collect()),
            median(round.iter().map(|round| at(round, 0.99)).collect()),
            median(round.iter().map(|round| round.cpu_us).collect()),
            median(ratios.collect()),
        );
    }
}
