//! A URL that a client may be told to load from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An absolute URL in the form that iPXE takes: known scheme, printable ASCII without spaces and without `${`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Url(String);

/// Why a text is not a [`Url`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not one of the schemes of [`Url::SCHEMES`].
    #[error("`{0}` is no URL that a client can load; use http, https, tftp, ftp, nfs, iscsi, aoe, fcp, ib_srp or file")]
    Scheme(String),
    /// A character that would have to be percent-encoded.
    #[error("the URL has the character {0:?}; write it percent-encoded")]
    Character(char),
    /// Longer than [`Url::LEN_MAX`].
    #[error("the URL has {0} octets; at most {max} fit", max = Url::LEN_MAX)]
    Length(usize),
}

impl Url {
    /// The schemes that iPXE builds know.
    pub const SCHEMES: [&'static str; 10] =
        ["http", "https", "tftp", "ftp", "nfs", "iscsi", "aoe", "fcp", "ib_srp", "file"];
    /// The longest URL, in octets.
    pub const LEN_MAX: usize = 1024;

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Url::LEN_MAX {
            return Err(UrlError::Length(text.len()));
        }
        let scheme = text.split(':').next().unwrap_or_default();
        if scheme.len() == text.len() || !Url::SCHEMES.contains(&scheme) {
            return Err(UrlError::Scheme(text.chars().take(80).collect()));
        }
        match text
            .chars()
            .find(|c| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'))
        {
            Some(c) => Err(UrlError::Character(c)),
            None => Ok(Url(text.to_owned())),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_ipxe_loads_and_refuses_the_rest() {
        for text in ["http://10.0.0.1/a?b=c#d", "https://[fd00::1]:8443/x", "iscsi:10.0.0.1::::iqn.2010-04.org:t"] {
            assert!(text.parse::<Url>().is_ok(), "{text}");
        }
        for text in ["", "boot/x", "javascript:x", "http://h/a b", "http://h/${x}", "http://h/\n", "HTTP://h/"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
        assert!(format!("http://h/{}", "a".repeat(1100)).parse::<Url>().is_err());
    }
}
