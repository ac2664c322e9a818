//! A file that a rule makes for one machine.
//!
//! **Invariant**: its text has a limit; *there is no such file* is an answer, and not the same as having no opinion.

use serde::Serialize;

/// What a rule says to a name that a boot loader asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BootFile {
    /// The file with this text.
    Text(String),
    /// There is no such file.
    Absent,
}

impl BootFile {
    /// The longest text, in octets.
    pub const LEN_MAX: usize = 256 * 1024;
}
