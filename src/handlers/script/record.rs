//! A row of a database in a script: `request.record`, and what `query` finds.
//!
//! **Invariant**: it reads like a row of a table. It is no map of the language, so that a thousand rows fit into the
//! limits on values, and so that a column that does not exist is an error which names the nearest.

use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use super::sandbox::fail;
use crate::boot::{Record, Value};
use crate::nearest::{cut, remedy};

/// A row in a script: its values by the names of the columns, which are in lower case.
#[derive(Clone)]
pub(super) struct Row(pub(super) Arc<Record>);

/// Registers the type.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Row>("Record");
    engine.register_indexer_get(|row: &mut Row, column: ImmutableString| row.read(&column));
    engine.register_fn("contains", |row: &mut Row, column: ImmutableString| row.0.get(&column).is_some());
    engine.register_fn("keys", |row: &mut Row| -> Array {
        row.0.iter().map(|(column, _)| ImmutableString::from(column).into()).collect()
    });
    for name in ["to_string", "to_debug"] {
        engine.register_fn(name, |row: &mut Row| ImmutableString::from(row.to_string()));
    }
}

impl Row {
    fn read(&self, column: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        match self.0.get(column) {
            Some(value) => Ok(dynamic(value)),
            None if self.0.iter().next().is_none() => {
                fail(format!("the record has no column `{}`, and no other", cut(column)))
            }
            None => {
                let columns: Vec<&str> = self.0.iter().map(|(column, _)| column).collect();
                fail(format!("the record has no column `{}`; {}", cut(column), remedy(column, columns)))
            }
        }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let map: Map = self.0.iter().map(|(column, value)| (column.into(), dynamic(value))).collect();
        write!(f, "{:?}", Dynamic::from_map(map))
    }
}

/// A value of a database in a script; what is null is `()`.
pub(super) fn dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(truth) => (*truth).into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => ImmutableString::from(text.as_str()).into(),
    }
}

/// A value of a script for a database; none for what a database cannot compare with, such as an array.
pub(super) fn value(dynamic: &Dynamic) -> Option<Value> {
    if dynamic.is_unit() {
        return Some(Value::Null);
    }
    if let Some(text) = dynamic.read_lock::<ImmutableString>() {
        return Some(Value::Text(text.to_string()));
    }
    if let Ok(letter) = dynamic.as_char() {
        return Some(Value::Text(letter.to_string()));
    }
    let number = dynamic.as_int().map(Value::Integer).or_else(|_| dynamic.as_float().map(Value::Float));
    number.or_else(|_| dynamic.as_bool().map(Value::Bool)).ok()
}
