//! Reading rows of the store. They are as hostile as any other bytes: somebody may have edited the tables.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::StoreError;
use crate::boot::{Record, Value};

/// A row that is being read; what is wrong with it names the column.
#[derive(Clone, Copy)]
pub(super) struct Row<'a>(pub(super) &'a Record);

impl Row<'_> {
    /// Text that must be there.
    pub(super) fn text(self, column: &'static str) -> Result<String, StoreError> {
        self.0.text(column).ok_or(StoreError::Row { column })
    }

    /// Text that may be there.
    pub(super) fn optional(self, column: &str) -> Option<String> {
        self.0.text(column).filter(|text| !text.is_empty())
    }

    /// Text that must be there and be one of these things.
    pub(super) fn parsed<T: std::str::FromStr>(self, column: &'static str) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| StoreError::Row { column })
    }

    /// Text that, where it is there, must be one of these things.
    pub(super) fn optional_parsed<T: std::str::FromStr>(self, column: &'static str) -> Result<Option<T>, StoreError> {
        self.optional(column).map(|text| text.parse().map_err(|_| StoreError::Row { column })).transpose()
    }

    /// A number that may be there; sums and counts come as decimals from some databases.
    pub(super) fn number(self, column: &str) -> Option<i64> {
        match self.0.get(column)? {
            Value::Integer(number) => Some(*number),
            Value::Bool(truth) => Some(i64::from(*truth)),
            Value::Text(text) => text.parse().ok(),
            Value::Float(_) | Value::Null => None,
        }
    }

    /// Whether a truth value is there and true.
    pub(super) fn flag(self, column: &str) -> bool {
        self.number(column).is_some_and(|number| number != 0)
    }

    /// A moment that may be there.
    pub(super) fn moment(self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let wrong = |_| StoreError::Row { column };
        self.number(column).map(|at| Timestamp::from_millisecond(at).map_err(wrong)).transpose()
    }

    /// A moment that must be there.
    pub(super) fn moment_given(self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.moment(column)?.ok_or(StoreError::Row { column })
    }

    /// A JSON object of texts.
    pub(super) fn texts(self, column: &'static str) -> Result<BTreeMap<String, String>, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|_| StoreError::Row { column })
    }
}

/// A moment as it is stored.
pub(super) fn millis(at: Timestamp) -> Value {
    Value::Integer(at.as_millisecond())
}

/// A truth value as it is stored.
pub(super) fn flag(truth: bool) -> Value {
    Value::Integer(i64::from(truth))
}

/// Texts as they are stored: a JSON object.
pub(super) fn object(texts: &BTreeMap<String, String>) -> Value {
    Value::Text(
        serde_json::Value::from_iter(texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))).to_string(),
    )
}
