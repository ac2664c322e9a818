//! Names that people give, and the folded forms that things are found by.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use uuid::Uuid;

/// The name of a machine, an image or a group: up to 64 letters, digits, `.`, `_` and `-`, in lower case. What is typed
/// in upper case means the same name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// The text is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name; use up to 64 letters, digits, `.`, `_` and `-`")]
pub struct NameError(String);

impl Name {
    /// The longest name, in octets.
    pub const LEN_MAX: usize = 64;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > Self::LEN_MAX || !text.bytes().all(good) {
            return Err(NameError(crate::nearest::cut(text).to_owned()));
        }
        Ok(Name(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The form in which serial numbers are compared: firmware reports the same one at every boot, people type it in
/// another case or with other gaps. None when nothing is left.
pub fn fold_serial(serial: &str) -> Option<String> {
    let words: Vec<_> = serial.split_whitespace().map(str::to_lowercase).collect();
    let folded: String = words.join(" ").chars().take(SERIAL_LEN_MAX).collect();
    (!folded.is_empty()).then_some(folded)
}

/// The text without what a database does not take, at most so many characters long.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(chars_max).collect()
}

/// A new assignment's id: ten letters and digits, none of which is easily taken for another.
pub(super) fn new_id() -> String {
    let mut bits = Uuid::new_v4().as_u128();
    let letter = |bits: u128| ALPHABET.get((bits & 31) as usize).copied().map_or('x', char::from);
    let mut id = String::with_capacity(ID_LEN);
    for _ in 0..ID_LEN {
        id.push(letter(bits));
        bits >>= 5;
    }
    id
}

/// A random number for a row that is written at most once.
pub(super) fn new_number() -> i64 {
    (Uuid::new_v4().as_u128() >> 64) as i64
}

const SERIAL_LEN_MAX: usize = 255;
const ID_LEN: usize = 10;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_bounded() {
        assert_eq!("Lab-07.Example".parse::<Name>().map(|name| name.to_string()), Ok("lab-07.example".into()));
        for text in ["", "a b", "a/b", "größe", "a'; --", &"x".repeat(65)] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }

    #[test]
    fn serials_are_compared_without_case_and_gaps() {
        assert_eq!(fold_serial(" VMware-42 1D  ff\t"), Some("vmware-42 1d ff".into()));
        assert_eq!(fold_serial(" \t"), None);
        assert_eq!(fold_serial(&"Ä".repeat(999)).map(|folded| folded.chars().count()), Some(255));
    }

    #[test]
    fn ids_are_short_and_differ() {
        let ids: std::collections::BTreeSet<_> = (0..10_000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 10 && id.parse::<Name>().is_ok()));
        assert_ne!(new_number(), new_number());
    }
}
