//! Notes: what scripts keep of a machine from one boot to the next.
//!
//! **Invariant**: the notes of a machine are few and small. Adding to a number is one statement, so that of two servers
//! that count, none is lost.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{Store, StoreError};
use crate::boot::{Record, Value};

/// What is kept under the name of a note.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum NoteValue {
    /// Text of at most [`Note::TEXT_LEN_MAX`] octets.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Truth(bool),
}

/// One note of a machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    /// The machine: `name:NAME`, `uuid:UUID` or `mac:MAC`.
    pub machine: String,
    /// What it is called.
    pub name: String,
    /// What it says.
    pub value: NoteValue,
    /// When it was last changed.
    pub changed: Timestamp,
}

/// How a note is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum NoteChange {
    /// It says this from now on.
    Set(NoteValue),
    /// So much more; what is no number counts as 0.
    Add(i64),
    /// It is gone.
    Clear,
}

impl Note {
    /// The longest text, in octets.
    pub const TEXT_LEN_MAX: usize = 1000;
    /// The longest name, in octets.
    pub const NAME_LEN_MAX: usize = 64;
    /// The most notes of a machine.
    pub const PER_MACHINE_MAX: usize = 32;
    /// The longest key of a machine, in octets.
    const MACHINE_LEN_MAX: usize = 128;

    /// Whether a note can have this name: letters, digits, `_`, `-` and `.`.
    pub fn is_name(name: &str) -> bool {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        (1..=Self::NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(is_good)
    }

    fn read(record: &Record) -> Result<Note, StoreError> {
        let row = Row(record);
        let value = match row.number("number") {
            Some(number) => NoteValue::Number(number),
            None => match serde_json::from_str(&row.text("value")?) {
                Ok(serde_json::Value::String(text)) => NoteValue::Text(text),
                Ok(serde_json::Value::Bool(truth)) => NoteValue::Truth(truth),
                _ => return Err(StoreError::Row { column: "value" }),
            },
        };
        let changed = row.moment_given("changed")?;
        Ok(Note { machine: row.text("machine")?, name: row.text("name")?, value, changed })
    }
}

static LIST: Statement = Statement::new(
    "SELECT machine, name, value, number, changed FROM note WHERE machine = :machine ORDER BY name LIMIT 1000",
);

static LIST_ALL: Statement = Statement::new(
    "SELECT machine, name, value, number, changed FROM note WHERE machine > :after OR (machine = :after AND name > :name) \
     ORDER BY machine, name LIMIT 500",
);

static OTHERS: Statement =
    Statement::new("SELECT COUNT(*) AS present FROM note WHERE machine = :machine AND name <> :name");

static SET: Statement = Statement::each([SET_STANDARD, SET_STANDARD, SET_MYSQL]);
const SET_STANDARD: &str = "INSERT INTO note (machine, name, value, number, changed) \
     VALUES (:machine, :name, :value, :number, :changed) ON CONFLICT (machine, name) DO UPDATE SET \
     value = excluded.value, number = excluded.number, changed = excluded.changed";
const SET_MYSQL: &str = "INSERT INTO note (machine, name, value, number, changed) \
     VALUES (:machine, :name, :value, :number, :changed) ON DUPLICATE KEY UPDATE \
     value = VALUES(value), number = VALUES(number), changed = VALUES(changed)";

/// A number that would grow beyond what fits stays as it is.
static ADD: Statement = Statement::each([ADD_STANDARD, ADD_STANDARD, ADD_MYSQL]);
const ADD_STANDARD: &str = "INSERT INTO note (machine, name, value, number, changed) \
     VALUES (:machine, :name, NULL, :number, :changed) ON CONFLICT (machine, name) DO UPDATE SET value = NULL, \
     number = CASE WHEN COALESCE(note.number, 0) BETWEEN -4611686018427387904 AND 4611686018427387903 \
     THEN COALESCE(note.number, 0) + excluded.number ELSE note.number END, changed = excluded.changed";
const ADD_MYSQL: &str = "INSERT INTO note (machine, name, value, number, changed) \
     VALUES (:machine, :name, NULL, :number, :changed) ON DUPLICATE KEY UPDATE value = NULL, \
     number = CASE WHEN COALESCE(number, 0) BETWEEN -4611686018427387904 AND 4611686018427387903 \
     THEN COALESCE(number, 0) + VALUES(number) ELSE number END, changed = VALUES(changed)";

static CLEAR: Statement = Statement::new("DELETE FROM note WHERE machine = :machine AND name = :name");

static CLEAR_ALL: Statement = Statement::new("DELETE FROM note WHERE machine = :machine");

impl Store {
    /// The notes of a machine, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notes(&self, machine: &str, limit: Duration) -> Result<Vec<Note>, StoreError> {
        let values = parameters([("machine", machine.into())]);
        self.fresh(&LIST, &values, limit).await?.iter().map(Note::read).collect()
    }

    /// The notes of all machines behind this one and its note of this name: a page of at most 500.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn all_notes(&self, after: (&str, &str), limit: Duration) -> Result<Vec<Note>, StoreError> {
        let values = parameters([("after", after.0.into()), ("name", after.1.into())]);
        self.fresh(&LIST_ALL, &values, limit).await?.iter().map(Note::read).collect()
    }

    /// Changes notes of a machine, all or none.
    ///
    /// # Errors
    /// When a name or a value is not within its limits, the machine has too many notes, or the database fails.
    pub async fn change_notes(
        &self,
        machine: &str,
        changes: &[(String, NoteChange)],
        now: Timestamp,
        limit: Duration,
    ) -> Result<(), StoreError> {
        if machine.is_empty() || machine.len() > Note::MACHINE_LEN_MAX || machine.contains('\0') {
            return Err(StoreError::Invalid("the key of a machine has 1 to 128 octets, and no NUL".into()));
        }
        let mut work = self.change(limit).await?;
        for (name, change) in changes {
            if !Note::is_name(name) {
                let what = "the name of a note has 1 to 64 letters, digits, `_`, `-` and `.`";
                return Err(StoreError::Invalid(what.into()));
            }
            let mut values = parameters([("machine", machine.into()), ("name", name.as_str().into())]);
            let (statement, value, number) = match change {
                NoteChange::Clear => {
                    work.execute(&CLEAR, &values).await?;
                    continue;
                }
                NoteChange::Add(number) => (&ADD, Value::Null, Value::Integer((*number).clamp(-ADD_MAX, ADD_MAX))),
                NoteChange::Set(NoteValue::Number(number)) => (&SET, Value::Null, Value::Integer(*number)),
                NoteChange::Set(NoteValue::Truth(truth)) => (&SET, Value::Text(truth.to_string()), Value::Null),
                NoteChange::Set(NoteValue::Text(text)) => {
                    if text.len() > Note::TEXT_LEN_MAX {
                        return Err(StoreError::Invalid(format!("a note has at most {} octets", Note::TEXT_LEN_MAX)));
                    }
                    (&SET, Value::Text(serde_json::Value::from(text.as_str()).to_string()), Value::Null)
                }
            };
            let others = work.row(&OTHERS, &values).await?.and_then(|row| Row(&row).number("present")).unwrap_or(0);
            if others >= Note::PER_MACHINE_MAX as i64 {
                let most = Note::PER_MACHINE_MAX;
                return Err(StoreError::Invalid(format!("a machine has at most {most} notes; clear one")));
            }
            values.insert("value", value);
            values.insert("number", number);
            values.insert("changed", millis(now));
            work.execute(statement, &values).await?;
        }
        work.commit().await
    }

    /// Takes all notes of a machine away; how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clear_notes(&self, machine: &str, limit: Duration) -> Result<u64, StoreError> {
        self.execute(&CLEAR_ALL, &parameters([("machine", machine.into())]), limit).await
    }
}

/// The most that is added to a number in one step.
const ADD_MAX: i64 = 1 << 60;
