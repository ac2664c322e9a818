//! Types of columns, in both directions: what is bound finds its row, and what is read is what was meant.

use pointsman::boot::{Record, Value};
use pointsman::database::{Database, DatabaseError};

use super::{LIMIT, first, open, query, record, text};
use crate::servers::{MariaDb, Postgres};

const POSTGRES_TABLE: &str = "
    create type state as enum ('new', 'in use');
    create domain tag as text check (length(value) < 20);
    create extension if not exists citext;
    create table m (
        small smallint, whole integer, big bigint, id oid, yes boolean, real4 real, real8 double precision,
        price numeric(12, 3), words text, short varchar(20), fixed char(8), label name, letter \"char\", insensitive citext,
        u uuid, mac macaddr, mac8 macaddr8, ip inet, net cidr, at timestamptz, local timestamp, day date, hour time,
        pause interval, facts json, factsb jsonb, raw bytea, flags bit(4), current state, asset tag,
        macs macaddr[], names text[], spot point, nothing text);
    insert into m values (
        -5, 70000, 9007199254740993, 4000000000, true, 1.5, 0.1,
        12345.670, 'It''s é', 'short', 'fixed', 'label', 'x', 'MiXed',
        '3F2504E0-4F89-11D3-9A0C-0305E82C3301', '52:54:00:AB:CD:EF', '52:54:00:ff:fe:ab:cd:ef', '192.0.2.7', '2001:db8::/32',
        '2026-07-01 14:00:00.25+02', '2026-07-01 12:00', '2026-07-01', '12:30', '1 month 2 days 90 seconds',
        '{\"a\": 1}', '{\"a\": 1}', '\\x00ff', '1010', 'in use', 'PC-7',
        array['52:54:00:00:00:01', null, '52:54:00:00:00:02']::macaddr[], array['a', 'b c'], '(1,2)', null);";

/// Column, what it is read as, and a text by which its row is found.
const POSTGRES_COLUMNS: &[(&str, &str, &str)] = &[
    ("small", "-5", "-5"),
    ("whole", "70000", "70000"),
    ("big", "9007199254740993", "9007199254740993"),
    ("id", "4000000000", "4000000000"),
    ("yes", "true", "t"),
    ("real4", "1.5", "1.5"),
    ("real8", "0.1", "0.1"),
    ("price", "'12345.670'", "12345.67"),
    ("words", "'It's é'", "It's é"),
    ("short", "'short'", "short"),
    ("fixed", "'fixed   '", "fixed"),
    ("label", "'label'", "label"),
    ("letter", "'x'", "x"),
    ("insensitive", "'MiXed'", "mixed"),
    ("u", "'3f2504e0-4f89-11d3-9a0c-0305e82c3301'", "3F2504E0-4F89-11D3-9A0C-0305E82C3301"),
    ("mac", "'52:54:00:ab:cd:ef'", "5254.00ab.cdef"),
    ("mac8", "'52:54:00:ff:fe:ab:cd:ef'", "52:54:00:ab:cd:ef"),
    ("ip", "'192.0.2.7'", "192.0.2.7"),
    ("net", "'2001:db8::/32'", "2001:db8::/32"),
    ("at", "'2026-07-01T12:00:00.25Z'", "2026-07-01T14:00:00.25+02:00"),
    ("local", "'2026-07-01T12:00:00Z'", "2026-07-01 12:00:00"),
    ("day", "'2026-07-01'", "2026-07-01"),
    ("hour", "'12:30:00'", "12:30"),
    ("facts", "'{\"a\": 1}'", ""),
    ("factsb", "'{\"a\": 1}'", "{\"a\":1}"),
    ("raw", "'00ff'", "00FF"),
    ("current", "'in use'", "in use"),
    ("asset", "'PC-7'", "PC-7"),
    ("pause", "'P1M2DT90S'", ""),
    ("flags", "'1010'", ""),
    ("macs", "'52:54:00:00:00:01 52:54:00:00:00:02'", ""),
    ("names", "'a b c'", ""),
    ("spot", "null", ""),
    ("nothing", "null", ""),
];

#[tokio::test]
async fn postgres_types_become_values_and_are_found_by_text() {
    let server = Postgres::start();
    server.run(POSTGRES_TABLE);
    let database = open(&server.url());
    reads_and_finds(&database, POSTGRES_COLUMNS).await;
    // A column that cannot be read is null and counted: the point.
    assert!(database.counts().contains(&("unreadable", 1)));
}

async fn reads_and_finds(database: &Database, columns: &[(&str, &str, &str)]) {
    for (column, shown, found_by) in columns {
        let read = first(database, &format!("select {column} as it from m"), &Record::default()).await;
        assert_eq!(read, format!("it={shown}"), "{column}");
        if !found_by.is_empty() {
            // The text finds the row; null and another text do not, whatever the type.
            let find = format!("select 1 as it from m where {column} = :it");
            assert_eq!(first(database, &find, &text(&[("it", found_by)])).await, "it=1", "{column}");
            assert_eq!(first(database, &find, &Record::default()).await, "no row", "{column}");
            assert_eq!(first(database, &find, &text(&[("it", "no such thing")])).await, "no row", "{column}");
        }
    }
}

#[tokio::test]
async fn postgres_takes_null_and_numbers_for_any_type() {
    let server = Postgres::start();
    server.run(POSTGRES_TABLE);
    let database = open(&server.url());
    for (column, ..) in POSTGRES_COLUMNS {
        let update = query(&format!("update m set {column} = :it"));
        let done = database.execute(&update, &Record::default(), LIMIT).await;
        match *column {
            // Nothing is ever bound as a list or a point, null neither.
            "macs" | "names" | "spot" => assert!(done.is_ok(), "{column}: {done:?}"),
            _ => assert_eq!(done, Ok(1), "{column}"),
        }
    }
    let number = record(&[("it", Value::Integer(1))]);
    for column in ["small", "whole", "big", "id", "yes", "real4", "real8", "price", "words", "short"] {
        let update = query(&format!("update m set {column} = :it"));
        assert_eq!(database.execute(&update, &number, LIMIT).await, Ok(1), "{column}");
        let find = format!("select 1 as it from m where {column} = :it");
        assert_eq!(first(&database, &find, &number).await, "it=1", "{column}");
    }
    assert_eq!(first(&database, "select :n + 1 as it limit :n", &record(&[("n", 1.into())])).await, "it=2");
}

#[tokio::test]
async fn postgres_refuses_to_store_what_does_not_fit() {
    let server = Postgres::start();
    server.run(POSTGRES_TABLE);
    let database = open(&server.url());
    let nonsense = text(&[("it", "no such thing")]);
    for (column, kind) in
        [("u", "uuid"), ("mac", "macaddr"), ("whole", "int4"), ("at", "timestamptz"), ("price", "numeric")]
    {
        let update = query(&format!("update m set {column} = :it"));
        let error = database.execute(&update, &nonsense, LIMIT).await.unwrap_err();
        let expected = DatabaseError::Unfit { name: "cmdb".into(), parameter: "it".into(), kind: kind.into() };
        assert_eq!(error, expected);
    }
    // A type that nothing is bound as says what to write instead, and that works.
    let find = query("select 1 as it from m where pause = :it");
    let error = database.rows(&find, &nonsense, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("cast(cast(:it as text) as interval)"), "{error}");
    let find = "select 1 as it from m where pause = cast(cast(:it as text) as interval)";
    assert_eq!(first(&database, find, &text(&[("it", "1 month 2 days 90 seconds")])).await, "it=1");
}

#[tokio::test]
async fn postgres_tables_may_change_while_we_are_connected() {
    let server = Postgres::start();
    server.run("create table m (id integer, mac text); insert into m values (1, '52:54:00:ab:cd:ef')");
    let database = open(&server.url());
    let find = "select * from m where mac = :mac";
    let mac = text(&[("mac", "52:54:00:ab:cd:ef")]);
    // Several connections know the query as it was, and each finds out by itself.
    let all_at_once = async || {
        let slow = query("select m.*, pg_sleep(0.2) from m where mac = :mac");
        let calls: [_; 4] = std::array::from_fn(|_| database.fresh_rows(&slow, &mac, LIMIT));
        for rows in futures_util::future::join_all(calls).await {
            assert_eq!(rows.unwrap().len(), 1);
        }
    };
    all_at_once().await;
    assert!(database.counts().contains(&("connected", 4)));
    assert_eq!(first(&database, find, &mac).await, "id=1 mac='52:54:00:ab:cd:ef'");
    server.run("alter table m alter mac type macaddr using mac::macaddr, add name text default 'lab-07'");
    assert_eq!(first(&database, find, &mac).await, "id=1 mac='52:54:00:ab:cd:ef' name='lab-07'");
    all_at_once().await;
    server.run("alter table m drop id");
    assert_eq!(first(&database, find, &mac).await, "mac='52:54:00:ab:cd:ef' name='lab-07'");
}

const MARIADB_TABLE: &str = "
    create table m (
        tiny tinyint, yes boolean, many tinyint(1), small smallint, medium mediumint, whole int, big bigint,
        utiny tinyint unsigned, ubig bigint unsigned, real4 float, real8 double, price decimal(12, 3),
        words text, short varchar(20), fixed char(8), kind enum('new', 'in use'), marks set('a', 'b'),
        u uuid, ip inet6, at timestamp(6) null, local datetime, day date, hour time, y year, facts json,
        raw varbinary(20), blob1 blob, binary_text varchar(20) collate utf8mb4_bin, flag bit(1), flags bit(10), nothing text);
    insert into m values (
        -5, true, 7, -300, -70000, 70000, 9007199254740993,
        200, 18446744073709551615, 1.5, 0.1, 12345.670,
        'It''s é', 'short', 'fixed', 'in use', 'a,b',
        '3F2504E0-4F89-11D3-9A0C-0305E82C3301', '2001:db8::1', '2026-07-01 12:00:00.25', '2026-07-01 12:00', '2026-07-01',
        '-26:03:04', 2026, '{\"a\": 1}', x'00ff', x'00ff', 'text', 1, 515, null);";

const MARIADB_COLUMNS: &[(&str, &str, &str)] = &[
    ("tiny", "-5", "-5"),
    ("yes", "true", ""),
    ("many", "7", "7"),
    ("small", "-300", "-300"),
    ("medium", "-70000", "-70000"),
    ("whole", "70000", "70000"),
    ("big", "9007199254740993", "9007199254740993"),
    ("utiny", "200", "200"),
    ("ubig", "'18446744073709551615'", "18446744073709551615"),
    ("real4", "1.5", "1.5"),
    ("real8", "0.1", "0.1"),
    ("price", "'12345.670'", "12345.67"),
    ("words", "'It's é'", "It's é"),
    ("short", "'short'", "short"),
    ("fixed", "'fixed'", "fixed"),
    ("kind", "'in use'", "in use"),
    ("marks", "'a,b'", "a,b"),
    ("u", "'3f2504e0-4f89-11d3-9a0c-0305e82c3301'", "3F2504E0-4F89-11D3-9A0C-0305E82C3301"),
    ("ip", "'2001:db8::1'", "2001:db8::1"),
    ("at", "'2026-07-01T12:00:00.25Z'", "2026-07-01 12:00:00.25"),
    ("local", "'2026-07-01T12:00:00Z'", "2026-07-01T12:00:00"),
    ("day", "'2026-07-01'", "2026-07-01"),
    ("hour", "'-26:03:04'", ""),
    ("y", "2026", "2026"),
    ("facts", "'{\"a\": 1}'", ""),
    ("raw", "'00ff'", ""),
    ("blob1", "'00ff'", ""),
    ("binary_text", "'text'", "text"),
    ("flag", "true", ""),
    ("flags", "515", ""),
    ("nothing", "null", ""),
];

#[tokio::test]
async fn mariadb_types_become_values_and_are_found_by_text() {
    let server = MariaDb::start();
    server.run(MARIADB_TABLE);
    let database = open(&server.url());
    reads_and_finds(&database, MARIADB_COLUMNS).await;
    assert!(database.counts().contains(&("unreadable", 0)));
    for (column, ..) in MARIADB_COLUMNS {
        let update = query(&format!("update m set {column} = :it"));
        database.execute(&update, &Record::default(), LIMIT).await.unwrap();
        assert_eq!(first(&database, &format!("select {column} as it from m"), &Record::default()).await, "it=null");
    }
}

#[tokio::test]
async fn mariadb_tables_may_change_while_we_are_connected() {
    let server = MariaDb::start();
    server.run("create table m (id integer, mac text); insert into m values (1, '52:54:00:ab:cd:ef')");
    let database = open(&server.url());
    let find = "select * from m where mac = :mac";
    let mac = text(&[("mac", "52:54:00:ab:cd:ef")]);
    assert_eq!(first(&database, find, &mac).await, "id=1 mac='52:54:00:ab:cd:ef'");
    server.run("alter table m drop id, add name varchar(20) default 'lab-07'");
    assert_eq!(first(&database, find, &mac).await, "mac='52:54:00:ab:cd:ef' name='lab-07'");
}
