//! placeholder, replaced by the merge
use serde::Serialize;
use std::fmt;
/// A file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FileName(String);
/// Error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad file name")]
pub struct FileNameError;
impl FileName {
    /// Parse.
    pub fn parse(name: &[u8]) -> Result<FileName, FileNameError> {
        let text = std::str::from_utf8(name).map_err(|_| FileNameError)?;
        if text.split(['/', '\\']).any(|part| part == "..") || text.is_empty() {
            return Err(FileNameError);
        }
        Ok(FileName(text.trim_start_matches('/').to_owned()))
    }
    /// Text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
