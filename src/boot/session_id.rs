//! The name of one boot.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The id of a boot session: one boot of one machine, from its first DISCOVER to its last HTTP request.
/// It is written in every log line of that boot. It opens nothing: what opens files is the session's token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 6]);

/// The text is not a session id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a session id has twelve hexadecimal digits, as the log shows it")]
pub struct SessionIdError;

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SessionIdError);
        }
        let value = u64::from_str_radix(text, 16).map_err(|_| SessionIdError)?;
        let [_, _, octets @ ..] = value.to_be_bytes();
        Ok(SessionId(octets))
    }
}

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let id = SessionId([0, 1, 0xab, 0xcd, 0xef, 0xff]);
        assert_eq!(id.to_string(), "0001abcdefff");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "0001abcdeff", "0001abcdefffa", "+001abcdefff", "0001abcdeffg"] {
            assert_eq!(text.parse::<SessionId>(), Err(SessionIdError));
        }
    }
}
