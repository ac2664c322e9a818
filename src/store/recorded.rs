//! A question as it was asked, kept as JSON: everything that the rules saw.
//!
//! The form has a version of its own. What a later version adds has a default, so that old questions can be asked again
//! of new programs; what an older program cannot understand it says.
//!
//! **Invariant**: reading is total. Whatever stands in the table ends in a request or in an error, within the limits that
//! the same facts have when a machine sends them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BootEntry;
use crate::api::{ClientFacts, NetworkFacts};
use crate::boot::{BootDecision, BootRequest, Client, Identity, Machine, Person, Record, SessionId, Stage, Value};

/// The version that is written.
const VERSION: u32 = 1;

/// Why a kept question cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordedError {
    /// It was longer than is kept.
    #[error("not kept: it was longer than {} KiB", BootEntry::JSON_LEN_MAX >> 10)]
    NotKept,
    /// A later program wrote it.
    #[error("written in form {0}, which a later version of pointsman knows; this one knows {VERSION}")]
    Newer(u32),
    /// Somebody edited the table, or the disk did.
    #[error("broken in the store: {0}")]
    Broken(String),
}

/// A request in the form that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    v: u32,
    session: SessionId,
    stage: Stage,
    client: ClientFacts,
    #[serde(default)]
    network: NetworkFacts,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    site: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    machine: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<BTreeMap<String, Column>>,
    #[serde(default, skip_serializing_if = "is_nobody")]
    identity: Identity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<Person>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    quirks: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    choice: Option<String>,
    now: Timestamp,
}

/// A value of the record. A number with a fraction is text here: JSON's readers lose its last digit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Column {
    Float { float: String },
    Plain(Value),
}

impl From<&Value> for Column {
    fn from(value: &Value) -> Column {
        match value {
            Value::Float(number) => Column::Float { float: number.to_string() },
            other => Column::Plain(other.clone()),
        }
    }
}

impl From<Column> for Value {
    fn from(column: Column) -> Value {
        match column {
            Column::Float { float } => float.parse().map_or(Value::Null, Value::Float),
            Column::Plain(value) => value,
        }
    }
}

fn is_nobody(identity: &Identity) -> bool {
    *identity == Identity::default()
}

impl Recorded {
    /// What is kept of a request.
    pub fn of(request: &BootRequest) -> Recorded {
        Recorded {
            v: VERSION,
            session: request.session,
            stage: request.stage,
            client: ClientFacts::from(&request.client),
            network: NetworkFacts::from(&request.network),
            site: request.network.site.to_string(),
            machine: request.machine.iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect(),
            record: request.record.as_ref().map(|record| columns(record)),
            identity: (*request.identity).clone(),
            person: request.person.as_deref().cloned(),
            quirks: request.quirks.iter().map(|name| name.to_string()).collect(),
            choice: request.choice.as_deref().map(str::to_owned),
            now: request.now,
        }
    }

    /// Reads what [`Recorded::write`] wrote.
    ///
    /// # Errors
    /// When it is not that, or a later version.
    pub fn read(text: &str) -> Result<BootRequest, RecordedError> {
        /// Only the version, for what cannot be read otherwise.
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        check_length(text)?;
        let read: Result<Recorded, _> = serde_json::from_str(text);
        match (read, serde_json::from_str::<Version>(text)) {
            (_, Ok(Version { v })) if v > VERSION => Err(RecordedError::Newer(v)),
            (Ok(recorded), _) => Ok(recorded.request()),
            (Err(error), _) => Err(RecordedError::Broken(error.to_string())),
        }
    }

    /// The text; none when it is too long to be kept.
    pub fn write(&self) -> Option<String> {
        serde_json::to_string(self).ok().filter(|text| text.len() <= BootEntry::JSON_LEN_MAX)
    }

    fn request(self) -> BootRequest {
        let mut machine = Machine::default();
        for (name, value) in &self.machine {
            machine.insert(name, value);
        }
        let record = |columns: BTreeMap<String, Column>| Arc::new(columns.into_iter().collect::<Record>());
        BootRequest {
            session: self.session,
            stage: self.stage,
            client: Client::from(&self.client),
            network: self.network.of_site(&self.site),
            machine,
            record: self.record.map(record),
            identity: Arc::new(self.identity),
            person: self.person.map(Arc::new),
            quirks: self.quirks.into_iter().map(Arc::from).collect(),
            choice: self.choice.map(Arc::from),
            now: self.now,
        }
    }
}

/// Reads a decision as it was kept.
///
/// # Errors
/// When it is none.
pub(super) fn read_decision(text: &str) -> Result<BootDecision, RecordedError> {
    check_length(text)?;
    serde_json::from_str(text).map_err(|error| RecordedError::Broken(error.to_string()))
}

fn check_length(text: &str) -> Result<(), RecordedError> {
    match text.len() > BootEntry::JSON_LEN_MAX {
        true => Err(RecordedError::Broken(format!("{} octets", text.len()))),
        false => Ok(()),
    }
}

fn columns(record: &Record) -> BTreeMap<String, Column> {
    record.iter().map(|(name, value)| (name.to_owned(), Column::from(value))).collect()
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
