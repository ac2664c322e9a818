//! `query("DATABASE.QUERY", ...)`: what a script asks the databases of the site.
//!
//! A database is waited for on a thread of the background only. On the caller's thread the run ends there and begins
//! anew in the background.
//!
//! **Invariant**: a value of a script goes to a database as a parameter, never as a part of a query's text.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};
use tokio::runtime::Handle;

use super::api::plain_type;
use super::outside;
use super::record::{self, Row};
use super::request::Request;
use super::sandbox::{self, fail};
use crate::boot::{Record, Value};
use crate::database::{NamedQueries, NamedQuery, Rows};
use crate::nearest::{cut, nearest, remedy};

/// Where the values of a query's parameters come from.
enum Given {
    Request(Request),
    Record(Row),
    Map(Map),
}

/// Whether an answer from before may stand in when the database fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Any,
    Fresh,
}

type Found<T> = Result<T, Box<EvalAltResult>>;

/// Registers the functions.
pub(super) fn register(engine: &mut Engine, queries: &Arc<NamedQueries>) {
    for (function, age) in [("query", Age::Any), ("fresh_query", Age::Fresh)] {
        let all = Arc::clone(queries);
        engine.register_fn(function, move |name: ImmutableString| ask(&all, &name, &Given::Map(Map::new()), age));
        let all = Arc::clone(queries);
        engine.register_fn(function, move |name: ImmutableString, request: Request| {
            ask(&all, &name, &Given::Request(request), age)
        });
        let all = Arc::clone(queries);
        engine.register_fn(function, move |name: ImmutableString, row: Row| ask(&all, &name, &Given::Record(row), age));
        let all = Arc::clone(queries);
        engine.register_fn(function, move |name: ImmutableString, map: Map| ask(&all, &name, &Given::Map(map), age));
    }
}

fn ask(queries: &NamedQueries, name: &str, given: &Given, age: Age) -> Found<Array> {
    let query = queries.find(name).or_else(|error| fail(error.to_string()))?;
    let parameters = given.parameters(query)?;
    let asked = serde_json::to_value(&parameters).unwrap_or_default();
    let source = format!("query {}", query.name());
    let rows = outside::ask(&source, asked, |_| {
        let limit = sandbox::may_wait()?;
        Ok(of_database(query, &parameters, age, limit).map(|rows| serde_json::to_value(rows).unwrap_or_default()))
    })?;
    let rows: Vec<Record> = serde_json::from_value(rows).or_else(|error| failed(query, &error.to_string()))?;
    Ok(rows.into_iter().map(|record| Dynamic::from(Row(Arc::new(record)))).collect())
}

fn of_database(query: &NamedQuery, parameters: &Record, age: Age, limit: Duration) -> Result<Vec<Record>, String> {
    let Ok(runtime) = Handle::try_current() else { return Err("there is no runtime to wait in".to_owned()) };
    let asked = async {
        match age {
            Age::Any => query.rows(parameters, limit).await,
            Age::Fresh => {
                let records = query.fresh_rows(parameters, limit).await?;
                Ok(Rows { records, age: None })
            }
        }
    };
    let rows = runtime.block_on(asked).map_err(|error| error.to_string())?;
    if let Some(age) = rows.age {
        let age = age.as_secs();
        sandbox::log(&format!("query {}: the database failed; its answer of {age} s ago stands in", query.name()));
    }
    Ok(rows.records)
}

fn failed<T>(query: &NamedQuery, reason: &str) -> Found<T> {
    fail(format!("query {}: {reason}", query.name()))
}

impl Given {
    /// The values of the parameters that the query has, and no others. A name that fits nothing is a mistake: as a null
    /// it would find nothing, and nobody would know why.
    fn parameters(&self, query: &NamedQuery) -> Found<Record> {
        let mut parameters = Record::default();
        for name in query.parameters() {
            let value = match self {
                Given::Request(request) => request.parameter(name).ok_or_else(|| request.unknown_parameter(name)),
                Given::Record(Row(record)) => record
                    .get(name)
                    .cloned()
                    .ok_or_else(|| format!("the record has no column of that name; {}", remedy(name, columns(record)))),
                Given::Map(map) => of_map(map, name),
            };
            match value {
                Ok(value) => parameters.insert(name, value),
                Err(why) => return failed(query, &format!("it needs `{name}`, and {why}")),
            };
        }
        if let Given::Map(map) = self
            && let Some(unknown) = map.keys().find(|key| !query.parameters().any(|name| name.eq_ignore_ascii_case(key)))
        {
            let known: Vec<&str> = query.parameters().collect();
            let remedy = match nearest(unknown, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => "it has none".to_owned(),
                None => format!("it has {}", known.join(", ")),
            };
            return failed(query, &format!("it has no parameter `{}`; {remedy}", cut(unknown)));
        }
        Ok(parameters)
    }
}

fn of_map(map: &Map, name: &str) -> Result<Value, String> {
    let Some((_, given)) = map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)) else {
        let example = format!("write it like #{{ {name}: request.mac }}");
        return Err(if map.is_empty() {
            format!("is given nothing; {example}, or give it `request`")
        } else {
            format!("the map has no `{name}`; {example}")
        });
    };
    record::value(given).ok_or_else(|| {
        format!("was given {}; text, numbers, true and false can be asked for", plain_type(given.type_name()))
    })
}

fn columns(record: &Record) -> Vec<&str> {
    record.iter().map(|(column, _)| column).collect()
}
