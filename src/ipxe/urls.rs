//! Where the scripts and files of one boot session are, as that client reaches them.

use std::fmt::Write as _;
use std::str::FromStr;

use super::Word;
use crate::boot::{FileName, Source, Url, UrlError};

/// The addresses of one boot session: everything below `<scheme>://<server>/b/<token>/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionUrls {
    base: String,
}

/// Why a text is no base of [`SessionUrls`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionUrlsError {
    /// Not a URL at all.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A URL that something cannot be appended to.
    #[error("`{0}` cannot have a path appended; use http or https, end it in `/`, without `?` and `#`")]
    Base(String),
}

impl FromStr for SessionUrls {
    type Err = SessionUrlsError;

    fn from_str(base: &str) -> Result<Self, Self::Err> {
        Url::from_str(base)?;
        let web = base.starts_with("http://") || base.starts_with("https://");
        if !web || !base.ends_with('/') || base.contains(['?', '#', '$']) {
            return Err(SessionUrlsError::Base(base.to_owned()));
        }
        Ok(SessionUrls { base: base.to_owned() })
    }
}

impl SessionUrls {
    /// The bootstrap script.
    pub fn boot(&self) -> Word {
        self.below("boot.ipxe")
    }

    /// The decision endpoint.
    pub fn script(&self) -> Word {
        self.below("script.ipxe")
    }

    /// Where a failed boot is reported.
    pub fn failed(&self) -> Word {
        self.below("failed.ipxe")
    }

    /// A file of the images folder.
    pub fn file(&self, name: &FileName) -> Word {
        self.below(&format!("f/{}", percent_encoded(name.as_str())))
    }

    /// A source of an image: a file of ours, or a URL as it is.
    pub fn source(&self, source: &Source) -> Word {
        match source {
            Source::File(name) => self.file(name),
            Source::Url(url) => Word::from(url),
        }
    }

    fn below(&self, path: &str) -> Word {
        Word::new(&self.base).and(path)
    }
}

/// A path with every octet encoded that is not unreserved (RFC 3986 section 2.3) or `/`.
fn percent_encoded(path: &str) -> String {
    path.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte))
            }
            byte => {
                let written = write!(encoded, "%{byte:02X}");
                debug_assert!(written.is_ok(), "a string takes everything");
            }
        }
        encoded
    })
}
