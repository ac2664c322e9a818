//! What must be signed before it boots.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{FileName, Source, Url};

/// That the files of an image are verified by the client, by a signature beside each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Verify {
    signature: String,
    unless_able: UnlessAble,
}

/// What a client does whose build cannot verify.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnlessAble {
    /// It says so, and does not boot the image.
    #[default]
    Refuse,
    /// It says so, and boots the image all the same.
    Boot,
}

/// A word that is no [`UnlessAble`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not what a build that cannot verify may do; use required or if-able")]
pub struct UnknownUnlessAble(String);

impl FromStr for UnlessAble {
    type Err = UnknownUnlessAble;

    fn from_str(word: &str) -> Result<UnlessAble, UnknownUnlessAble> {
        match word {
            "required" => Ok(UnlessAble::Refuse),
            "if-able" => Ok(UnlessAble::Boot),
            other => Err(UnknownUnlessAble(other.chars().take(40).collect())),
        }
    }
}

/// Why a text cannot stand behind the name of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no ending of signature files; write it like .sig: a dot, then letters, digits, `.`, `_` and `-`")]
pub struct EndingError(String);

/// As somebody else wrote it.
#[derive(Deserialize)]
struct Unchecked {
    signature: String,
    #[serde(default)]
    unless_able: UnlessAble,
}

impl TryFrom<Unchecked> for Verify {
    type Error = EndingError;

    fn try_from(read: Unchecked) -> Result<Verify, EndingError> {
        Verify::new(&read.signature, read.unless_able)
    }
}

impl Verify {
    /// The ending of signature files where none is named.
    pub const ENDING: &str = ".sig";

    /// Files whose signatures have this behind their names.
    ///
    /// # Errors
    /// When it is nothing that can stand there.
    pub fn new(ending: &str, unless_able: UnlessAble) -> Result<Verify, EndingError> {
        let inner = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
        let is_good = (2..=16).contains(&ending.len()) && ending.starts_with('.') && ending.bytes().all(inner);
        if !is_good || ending.contains("..") {
            return Err(EndingError(ending.chars().take(40).collect()));
        }
        Ok(Verify { signature: ending.to_owned(), unless_able })
    }

    /// Whether a build that cannot verify boots it all the same.
    pub fn is_lenient(&self) -> bool {
        self.unless_able == UnlessAble::Boot
    }

    /// Where the signature of a file is: beside it. None where the name would be too long.
    pub fn signature(&self, file: &Source) -> Option<Source> {
        match file {
            Source::File(name) => {
                let name = FileName::parse(format!("{name}{}", self.signature).as_bytes()).ok()?;
                Some(Source::File(name))
            }
            Source::Url(url) => {
                let end = url.as_str().find(['?', '#']).unwrap_or(url.as_str().len());
                let (path, rest) = url.as_str().split_at_checked(end)?;
                format!("{path}{}{rest}", self.signature).parse::<Url>().ok().map(Source::Url)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_beside_its_file() {
        let verify = Verify::new(".sig", UnlessAble::Refuse).unwrap();
        let signature = |file: &str| verify.signature(&file.parse().unwrap()).map(|source| source.to_string());
        assert_eq!(signature("debian/linux"), Some("debian/linux.sig".into()));
        assert_eq!(signature("@main/debian/linux"), Some("@main/debian/linux.sig".into()));
        assert_eq!(signature("http://h/linux?v=1#x"), Some("http://h/linux.sig?v=1#x".into()));
        assert!(!verify.is_lenient());
        for bad in ["", ".", "sig", "../x", "./sig", ".a b", "..sig", ".${x}", ".012345678901234567"] {
            assert!(Verify::new(bad, UnlessAble::Boot).is_err(), "{bad}");
        }
        let json = r#"{"signature":".p7","unless_able":"boot"}"#;
        assert!(serde_json::from_str::<Verify>(json).unwrap().is_lenient());
        assert!(!serde_json::from_str::<Verify>(r#"{"signature":".p7"}"#).unwrap().is_lenient());
        assert!(serde_json::from_str::<Verify>(r#"{"signature":"/../x"}"#).is_err());
    }
}
