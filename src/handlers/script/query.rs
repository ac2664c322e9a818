//! `query("DATABASE.QUERY", ...)`: what a script asks the databases of the site.
//!
//! A database is waited for on a thread of the background only. On the caller's thread the run ends there and begins
//! anew in the background; in a case the answers are data.
//!
//! **Invariant**: a value of a script goes to a database as a parameter, never as a part of a query's text.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};
use tokio::runtime::Handle;

use super::api::plain_type;
use super::record::{self, Row};
use super::request::Request;
use super::sandbox::{self, fail};
use crate::boot::{Record, Value};
use crate::database::{NamedQueries, NamedQuery, Rows};
use crate::nearest::{cut, nearest, remedy};

/// What the queries of a case answer, by name: rows, or why the database fails.
pub(super) type Answers = BTreeMap<String, Result<Vec<Record>, String>>;

thread_local! {
    /// The answers of the case that runs in this thread.
    static ANSWERS: RefCell<Option<Arc<Answers>>> = const { RefCell::new(None) };
    /// A query of that case which has no answer.
    static UNANSWERED: Cell<Option<String>> = const { Cell::new(None) };
}

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

/// Does `work` with the answers of a case in the place of databases. Tells as well which query had no answer.
pub(super) fn with_answers<T>(answers: &Arc<Answers>, work: impl FnOnce() -> T) -> (T, Option<String>) {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            // The next run in this thread may be that of a machine.
            ANSWERS.set(None);
        }
    }
    ANSWERS.set(Some(Arc::clone(answers)));
    UNANSWERED.set(None);
    let clear = Clear;
    let value = work();
    drop(clear);
    (value, UNANSWERED.take())
}

/// Whether a case answers in this thread.
#[cfg(test)]
pub(super) fn is_answered_by_a_case() -> bool {
    ANSWERS.with_borrow(Option::is_some)
}

fn ask(queries: &NamedQueries, name: &str, given: &Given, age: Age) -> Found<Array> {
    let query = queries.find(name).or_else(|error| fail(error.to_string()))?;
    let parameters = given.parameters(query)?;
    let rows = match ANSWERS.with_borrow(Clone::clone) {
        Some(answers) => of_case(query, &answers)?,
        None => of_database(query, &parameters, age)?,
    };
    if let Some(age) = rows.age {
        let age = age.as_secs();
        sandbox::log(&format!("query {}: the database failed; its answer of {age} s ago stands in", query.name()));
    }
    Ok(rows.records.into_iter().map(|record| Dynamic::from(Row(Arc::new(record)))).collect())
}

fn of_case(query: &NamedQuery, answers: &Answers) -> Found<Rows> {
    match answers.get(query.name()) {
        Some(Ok(records)) => Ok(Rows { records: records.clone(), age: None }),
        Some(Err(reason)) => failed(query, reason),
        None => {
            UNANSWERED.set(Some(query.name().to_owned()));
            sandbox::end(format!("the query {} has no answer in this case", query.name()))
        }
    }
}

fn of_database(query: &NamedQuery, parameters: &Record, age: Age) -> Found<Rows> {
    let limit = sandbox::may_wait()?;
    let Ok(runtime) = Handle::try_current() else { return failed(query, "there is no runtime to wait in") };
    let asked = async {
        match age {
            Age::Any => query.rows(parameters, limit).await,
            Age::Fresh => {
                let records = query.fresh_rows(parameters, limit).await?;
                Ok(Rows { records, age: None })
            }
        }
    };
    runtime.block_on(asked).or_else(|error| failed(query, &error.to_string()))
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
