//! The person at the machine, as far as the server verified who that is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Line;

/// Somebody who answered a question at the machine, and whose answer the server verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Person {
    /// The user name; the name of the PIN, or of who approved, where no user name was asked.
    pub name: Line,
    /// How it was verified.
    pub method: Method,
    /// The groups that the list of people or the directory says.
    pub groups: Vec<String>,
    /// When it was verified.
    pub at: Timestamp,
}

/// How a person is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A number or word that several people know.
    Pin,
    /// User name and password.
    Login,
    /// Somebody else agreed, at the server.
    Approval,
}

impl Method {
    /// The name in scripts, logs and history.
    pub fn name(self) -> &'static str {
        match self {
            Method::Pin => "pin",
            Method::Login => "login",
            Method::Approval => "approval",
        }
    }
}
