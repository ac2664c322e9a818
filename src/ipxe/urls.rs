//! Where the scripts and files of one boot session are, as that client reaches them.

use std::str::FromStr;

use super::Word;
use crate::boot::{FileName, Line, Source, Url, UrlError};
use crate::paths::{self, is_unreserved, percent_encoded};

/// The addresses of one boot session: everything below `<scheme>://<server>/b/<token>/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionUrls {
    base: String,
    grant: Option<String>,
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
        Ok(SessionUrls { base: base.to_owned(), grant: None })
    }
}

/// The addresses that a command line can ask for, and their paths below the session's.
const NAMES: [(&str, &str); 3] =
    [("{files_url}", paths::FILES), ("{done_url}", paths::DONE), ("{failed_url}", paths::FAILED)];

/// What is before the first of [`NAMES`] in a text, its path, and what is after it.
fn next_name(text: &str) -> Option<(&str, &'static str, &str)> {
    let found = NAMES.into_iter().filter_map(|(name, path)| Some((text.find(name)?, name, path)));
    let (at, name, path) = found.min_by_key(|(at, ..)| *at)?;
    Some((text.get(..at)?, path, text.get(at + name.len()..)?))
}

impl SessionUrls {
    /// The longest id of an assignment, in octets: the stack of a BIOS iPXE holds the whole line.
    pub const ASSIGNMENT_LEN_MAX: usize = 128;

    /// The bootstrap script.
    pub fn boot(&self) -> Word {
        self.below(paths::BOOTSTRAP)
    }

    /// The decision endpoint.
    pub fn script(&self) -> Word {
        self.below(paths::SCRIPT)
    }

    /// Where a person's answer goes.
    pub fn person(&self) -> Word {
        self.below(paths::PERSON)
    }

    /// The same addresses for a machine whose person was verified: our signed word goes with every question.
    pub fn with_grant(self, grant: Option<String>) -> SessionUrls {
        SessionUrls { grant, ..self }
    }

    /// Our signed word of who is at the machine, where there is one.
    pub(super) fn grant(&self) -> Option<&str> {
        self.grant.as_deref()
    }

    /// Where iPXE reports an image that it could not load.
    pub fn load_failed(&self) -> Word {
        self.below(paths::LOAD_FAILED)
    }

    /// Where iPXE reports that it begins to load an image that does this assignment; none when the assignment's id is
    /// empty or longer than [`SessionUrls::ASSIGNMENT_LEN_MAX`].
    ///
    /// An id of other characters than those that never need encoding is in hexadecimal digits, as `assignment_hex`: iPXE
    /// before 2021 takes the percent-encoding of `&` and `+` off a query, and does not put it on again.
    pub fn start(&self, image: &str, assignment: &str) -> Option<Word> {
        if assignment.is_empty() || assignment.len() > Self::ASSIGNMENT_LEN_MAX {
            return None;
        }
        let url = self.below(paths::START).and("?image=").and(image);
        if assignment.bytes().all(is_unreserved) {
            return Some(url.and("&assignment=").and(assignment));
        }
        let digits = crate::hex::digits(assignment.as_bytes());
        Some(url.and("&assignment_hex=").and(&digits))
    }

    /// A command line of the site's, with the addresses that it asks for: `{files_url}` is the images folder (without a
    /// slash at its end), `{done_url}` and `{failed_url}` are where the installer reports. What was put in is not looked
    /// at again, and what is longer than a [`Line`] is cut.
    pub fn command_line(&self, line: &Line) -> Line {
        let mut text = String::new();
        let mut rest = line.as_str();
        while let Some((before, path, after)) = next_name(rest) {
            text.extend([before, &self.base, path]);
            rest = after;
        }
        Line::clean(&(text + rest))
    }

    /// A file of the images folder.
    pub fn file(&self, name: &FileName) -> Word {
        self.below(&format!("{}/{}", paths::FILES, percent_encoded(name.as_str())))
    }

    /// A boot loader.
    pub fn loader(&self, name: &FileName) -> Word {
        self.below(&percent_encoded(name.as_str()))
    }

    /// A source of an image: a file of ours, or a URL as it is.
    pub fn source(&self, source: &Source) -> Word {
        match source {
            Source::File(name) => self.file(name),
            Source::Url(url) => Word::from(url),
        }
    }

    /// The same as text, for who is no iPXE.
    pub fn source_url(&self, source: &Source) -> String {
        match source {
            Source::File(name) => format!("{}{}/{}", self.base, paths::FILES, percent_encoded(name.as_str())),
            Source::Url(url) => url.as_str().to_owned(),
        }
    }

    fn below(&self, path: &str) -> Word {
        Word::new(&self.base).and(path)
    }
}
