//! What an upstream last decided for a machine, for the time when it does not answer.
//!
//! **Invariant**: an answer is there whole or not at all, and an older one never replaces a newer one. It is kept as it
//! was given; who reads it again checks it as if it came from the upstream just now.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::name::cut;
use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{Store, StoreError};
use crate::boot::{Record, Value};

/// Which question an upstream answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Asked {
    /// *May I boot?*
    AllowBoot,
    /// *What do I boot?*
    BootImages,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Asked::AllowBoot => "allow_boot",
            Asked::BootImages => "boot_images",
        })
    }
}

/// What an upstream last decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastKnown {
    /// The question.
    pub question: Asked,
    /// The answer: JSON, as it was given to [`Store::keep_last_known`].
    pub answer: String,
    /// When it was decided.
    pub decided: Timestamp,
}

impl LastKnown {
    /// The longest answer, in octets.
    pub const ANSWER_LEN_MAX: usize = 256 << 10;
    /// The longest key of a machine, in octets.
    pub const MACHINE_LEN_MAX: usize = 128;

    fn read(record: &Record) -> Result<LastKnown, StoreError> {
        let row = Row(record);
        let question = match row.text("question")?.as_str() {
            "allow_boot" => Asked::AllowBoot,
            "boot_images" => Asked::BootImages,
            _ => return Err(StoreError::Row { column: "question" }),
        };
        let mut answer = row.text("answer")?;
        answer.extend(PIECES.iter().skip(1).filter_map(|piece| record.text(piece)));
        Ok(LastKnown { question, answer, decided: row.moment_given("decided")? })
    }
}

/// The columns of an answer, in order.
const PIECES: [&str; 5] = ["answer", "answer_2", "answer_3", "answer_4", "answer_5"];
/// The longest piece, in octets: what fits in a text of a row. All together hold the longest answer.
const PIECE_LEN_MAX: usize = 60_000;
/// The longest name of a handler that is told from others, in characters.
const HANDLER_LEN_MAX: usize = 128;

const _: () = assert!(PIECE_LEN_MAX <= Value::TEXT_LEN_MAX);
const _: () = assert!((PIECE_LEN_MAX - 3) * PIECES.len() >= LastKnown::ANSWER_LEN_MAX);

static FIND: Statement = Statement::new(
    "SELECT question, answer, answer_2, answer_3, answer_4, answer_5, decided FROM last_known \
     WHERE handler = :handler AND machine = :machine ORDER BY question",
);

static KEEP: Statement = Statement::each([
    "INSERT INTO last_known {known} ON CONFLICT (handler, machine, question) DO UPDATE SET {known_new} \
     WHERE excluded.decided >= last_known.decided",
    "INSERT INTO last_known {known} ON CONFLICT (handler, machine, question) DO UPDATE SET {known_new} \
     WHERE excluded.decided >= last_known.decided",
    "INSERT INTO last_known {known} ON DUPLICATE KEY UPDATE {known_new}",
]);

impl Store {
    /// What was last decided for this machine by the upstreams of this handler: at most one answer for each question.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_known(
        &self,
        handler: &str,
        machine: &str,
        limit: Duration,
    ) -> Result<Vec<LastKnown>, StoreError> {
        let values = parameters([("handler", cut(handler, HANDLER_LEN_MAX).into()), ("machine", machine.into())]);
        self.fresh(&FIND, &values, limit).await?.iter().map(LastKnown::read).collect()
    }

    /// Keeps what an upstream decided; what was decided later stays.
    ///
    /// # Errors
    /// When the key or the answer is too long, or the database fails.
    pub async fn keep_last_known(
        &self,
        handler: &str,
        machine: &str,
        known: &LastKnown,
        limit: Duration,
    ) -> Result<(), StoreError> {
        let is_good = |text: &str, max| text.len() <= max && !text.contains('\0');
        if !is_good(machine, LastKnown::MACHINE_LEN_MAX) {
            let most = LastKnown::MACHINE_LEN_MAX;
            return Err(StoreError::Invalid(format!("the key of a machine has at most {most} octets, and no NUL")));
        }
        if !is_good(&known.answer, LastKnown::ANSWER_LEN_MAX) {
            let what = "an answer of more than 256 kB is not kept; shorten the menus of the upstream";
            return Err(StoreError::Invalid(what.into()));
        }
        let mut values = parameters([
            ("handler", cut(handler, HANDLER_LEN_MAX).into()),
            ("machine", machine.into()),
            ("question", known.question.to_string().into()),
            ("decided", millis(known.decided)),
        ]);
        let mut rest = known.answer.as_str();
        for column in PIECES {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_LEN_MAX));
            let is_given = !piece.is_empty() || column == "answer";
            values.insert(column, is_given.then(|| piece.to_owned()));
            rest = after;
        }
        self.execute(&KEEP, &values, limit).await?;
        Ok(())
    }
}
