//! What the world around a case answers: its queries, its web services, the notes of its machine, and rows.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::super::outside::Answers;
use super::wrong::{Wrong, wrong};
use crate::boot::{Record, Value};
use crate::database::NamedQueries;

/// A row of a database, with the places of its columns.
pub(super) type Row = BTreeMap<Spanned<String>, toml::Value>;

/// What a query of a case finds: rows, or the words of a database that fails.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected what the query finds, as in [{ column = \"value\" }], or how it fails, as in \"connection refused\""
)]
pub(super) enum WrittenAnswer {
    Rows(Vec<BTreeMap<String, toml::Value>>),
    Fails(String),
}

/// What a web service of a case answers: a status with a body, or how it fails.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected an answer, as in { status = 200, json = { role = \"lab\" } }, or how it fails, as in \"connection refused\""
)]
pub(super) enum WrittenWeb {
    Answer(WebReply),
    Fails(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebReply {
    #[serde(default = "ok")]
    status: u16,
    body: Option<String>,
    json: Option<toml::Value>,
}

fn ok() -> u16 {
    200
}

/// What the queries of a case find.
pub(super) fn answers(
    written: BTreeMap<Spanned<String>, WrittenAnswer>,
    queries: &NamedQueries,
) -> Result<Answers, Wrong> {
    let mut answers = Answers::default();
    for (name, answer) in written {
        let offset = name.span().start;
        let name = name.into_inner();
        queries.find(&name).or_else(|error| wrong(offset, error.to_string()))?;
        let rows = match answer {
            WrittenAnswer::Fails(reason) => Err(reason),
            WrittenAnswer::Rows(rows) => {
                let at = |row: BTreeMap<String, toml::Value>| {
                    row.into_iter().map(|(column, value)| (Spanned::new(offset..offset, column), value)).collect()
                };
                let rows = rows.into_iter().map(|row| record(at(row))).collect::<Result<Vec<_>, _>>()?;
                Ok(serde_json::to_value(rows).unwrap_or_default())
            }
        };
        answers.insert(&format!("query {name}"), None, rows);
    }
    Ok(answers)
}

/// Keeps what web services answer, by `METHOD NAME /PATH`.
pub(super) fn web_answers(written: BTreeMap<Spanned<String>, WrittenWeb>, answers: &mut Answers) -> Result<(), Wrong> {
    for (name, reply) in written {
        let (offset, name) = (name.span().start, name.into_inner());
        let words: Vec<&str> = name.split(' ').collect();
        if !matches!(words[..], ["GET" | "POST", service, path] if !service.is_empty() && path.starts_with('/')) {
            let what = format!("`{name}` is no question to a web service; write it like \"GET nac /mab/525400123456\"");
            return wrong(offset, what);
        }
        let answer = match reply {
            WrittenWeb::Fails(reason) => Err(reason),
            WrittenWeb::Answer(WebReply { status, body, json }) => {
                let body = match (body, json) {
                    (Some(_), Some(_)) => {
                        return wrong(offset, format!("`{name}` has a `body` and a `json`; keep one"));
                    }
                    (Some(body), None) => body,
                    (None, Some(json)) => serde_json::to_string(&json).unwrap_or_default(),
                    (None, None) => String::new(),
                };
                Ok(serde_json::json!({ "status": status, "body": body }))
            }
        };
        answers.insert(&format!("http {name}"), None, answer);
    }
    Ok(())
}

/// Keeps the notes of the machine.
pub(super) fn notes(written: BTreeMap<Spanned<String>, toml::Value>, answers: &mut Answers) -> Result<(), Wrong> {
    for (name, value) in written {
        let (offset, name) = (name.span().start, name.into_inner());
        let value = match value {
            toml::Value::String(text) => text.into(),
            toml::Value::Integer(number) => number.into(),
            toml::Value::Boolean(truth) => truth.into(),
            _ => return wrong(offset, format!("the note `{name}` must be text, a whole number, true or false")),
        };
        answers.insert(&format!("note {name}"), None, Ok(value));
    }
    Ok(())
}

/// A row as it is written. TOML has no null: an empty table `{}` is one.
pub(super) fn record(columns: Row) -> Result<Record, Wrong> {
    let mut record = Record::default();
    for (column, value) in columns {
        let (offset, column) = (column.span().start, column.into_inner());
        let value = match value {
            toml::Value::String(text) => Value::Text(text),
            toml::Value::Integer(number) => Value::Integer(number),
            toml::Value::Float(number) => Value::Float(number),
            toml::Value::Boolean(truth) => Value::Bool(truth),
            toml::Value::Datetime(time) => Value::Text(time.to_string()),
            toml::Value::Table(table) if table.is_empty() => Value::Null,
            _ => {
                let remedy = "write text, a number, true or false, or {} for null";
                return wrong(offset, format!("the column `{column}` has no value of a database; {remedy}"));
            }
        };
        if !record.insert(&column, value) {
            return wrong(offset, format!("a row has at most {} columns", Record::COLUMNS_MAX));
        }
    }
    Ok(record)
}
