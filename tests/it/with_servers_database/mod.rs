//! The database layer against real servers: the same behaviors on SQLite, PostgreSQL and MariaDB.

mod behaviors;
mod encryption;
mod outages;
mod types;

use std::path::Path;
use std::time::Duration;

use pointsman::boot::{Record, Value};
use pointsman::config::DatabaseSection;
use pointsman::database::{Database, Query};

/// The time that a call gets where it is not what is tested.
const LIMIT: Duration = Duration::from_secs(20);

fn query(text: &str) -> Query {
    Query::parse(text).unwrap()
}

fn record(columns: &[(&str, Value)]) -> Record {
    columns.iter().map(|(name, value)| (*name, value.clone())).collect()
}

fn text(columns: &[(&str, &str)]) -> Record {
    columns.iter().map(|(name, value)| (*name, Value::from(*value))).collect()
}

fn open(url: &str) -> Database {
    open_with(DatabaseSection { url: url.into(), ..DatabaseSection::default() })
}

fn open_with(section: DatabaseSection) -> Database {
    Database::open("cmdb", &section, Path::new("/")).unwrap()
}

/// The first row of a query as `name=value` words.
async fn first(database: &Database, sql: &str, parameters: &Record) -> String {
    let rows = database.fresh_rows(&query(sql), parameters, LIMIT).await.unwrap();
    rows.first().map_or_else(|| "no row".into(), shown)
}

/// A row as `name=value` words, text in quotes.
fn shown(record: &Record) -> String {
    let shown = |value: &Value| match value {
        Value::Text(text) => format!("'{text}'"),
        Value::Null => "null".into(),
        value => value.to_text().unwrap(),
    };
    record.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect::<Vec<_>>().join(" ")
}
