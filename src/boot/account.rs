//! How a script came to its answer: what it was told by others, and where in it the answer stands.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How a script came to its answer, kept so that the boot can be explained, and asked again of other scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Which scripts: the beginning of the SHA-256 digest of all their files, in hexadecimal digits.
    pub scripts: String,
    /// Where the answer was made, as `FILE:LINE`; empty when that is not known.
    pub line: String,
    /// What it was told by others, in the order that it asked.
    pub readings: Vec<Reading>,
    /// What it logged.
    pub log: Vec<String>,
}

/// What a script was told by somebody else: a database, a web service, a note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Who was asked, as in `query cmdb.owner_of`.
    pub source: String,
    /// What was asked: parameters, as JSON.
    pub asked: Json,
    /// What was answered.
    pub found: Found,
}

/// An answer of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// This.
    Answer(Json),
    /// None, for this reason.
    Failed(String),
    /// One that was too long to be kept.
    NotKept,
}

impl Account {
    /// The longest answers that are kept of one run, as JSON, in octets together.
    pub const READINGS_LEN_MAX: usize = 16 << 10;
}
