//! What a database says of a machine: one row, by column name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Line;

/// A value in a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing known.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text; whatever else a database has is shown as text too.
    Text(String),
}

impl Value {
    /// The longest text that is kept, in octets.
    pub const TEXT_LEN_MAX: usize = 64 << 10;

    /// The text of a value; numbers and truth values are written out, and nothing for [`Value::Null`].
    pub fn to_text(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::Bool(value) => Some(value.to_string()),
            Value::Integer(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Text(text) => Some(text.clone()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// A row: column names in lower case, and their values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record {
    columns: BTreeMap<String, Value>,
}

impl Record {
    /// The most columns that are kept.
    pub const COLUMNS_MAX: usize = 100;

    /// Keeps a column; its name becomes lower case. `false` when there are too many.
    pub fn insert(&mut self, name: &str, value: impl Into<Value>) -> bool {
        if self.columns.len() >= Self::COLUMNS_MAX {
            return false;
        }
        self.columns.insert(name.to_ascii_lowercase(), value.into());
        true
    }

    /// The value of a column; none when the row has no such column.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.columns.get(name)
    }

    /// The text of a column that is there and not null.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.to_text()
    }

    /// What it knows, in a few words for a trail.
    pub fn in_words(&self) -> String {
        let named = |column: &str| self.text(column).map(|text| Line::clean(&text));
        let machine = named("hostname").or_else(|| named("machine_id"));
        match (machine, named("upstream")) {
            (Some(name), None) => format!("knows the machine: {name}"),
            (Some(name), Some(upstream)) => format!("knows the machine: {name}; refers it to {upstream}"),
            (None, Some(upstream)) => format!("refers the machine to {upstream}"),
            (None, None) => "knows the machine".into(),
        }
    }

    /// All columns, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.columns.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<K: AsRef<str>, V: Into<Value>> FromIterator<(K, V)> for Record {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(columns: I) -> Self {
        let mut record = Record::default();
        for (name, value) in columns {
            record.insert(name.as_ref(), value);
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_lower_case_and_null_has_no_text() {
        let record: Record = [("HostName", Value::from("lab-07")), ("Owner", Value::Null)].into_iter().collect();
        assert_eq!(record.text("hostname").as_deref(), Some("lab-07"));
        assert_eq!((record.get("owner"), record.text("owner")), (Some(&Value::Null), None));
        assert_eq!(record.get("other"), None);
    }

    #[test]
    fn a_row_has_an_end() {
        let mut record = Record::default();
        let kept = (0..500).filter(|n| record.insert(&n.to_string(), 1)).count();
        assert_eq!(kept, Record::COLUMNS_MAX);
    }
}
