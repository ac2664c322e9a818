//! Where files come from that are not in the images folder: an upstream, or object storage.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::boot::FileName;
use crate::hex;

/// The octets of a file as they come.
pub type Octets = BoxStream<'static, Result<Bytes, OriginError>>;

/// Somebody who has files.
#[async_trait]
pub trait Origin: Send + Sync {
    /// What the configuration calls it; files of it are named `@NAME/path`.
    fn name(&self) -> &str;

    /// What the file is at present. Bounded in time by the origin's own limits.
    ///
    /// # Errors
    /// When there is none, or the origin cannot be asked.
    async fn describe(&self, file: &FileName) -> Result<RemoteFile, OriginError>;

    /// The octets of the version with this tag, from an offset to its end. The stream fails when nothing comes for a while.
    ///
    /// # Errors
    /// When the file is another by now, or the origin cannot be asked.
    async fn read(&self, file: &FileName, tag: &str, from: u64) -> Result<Octets, OriginError>;

    /// The digest of the version with this tag; none where the origin knows none. May take as long as reading it does
    /// there.
    ///
    /// # Errors
    /// When the file is another by now, or the origin cannot be asked.
    async fn digest(&self, file: &FileName, tag: &str) -> Result<Option<Sha256>, OriginError>;
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl Sha256 {
    /// The digest of these octets.
    pub fn of(octets: &[u8]) -> Sha256 {
        Sha256::from_digest(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets))
    }

    /// What a running SHA-256 computation came to.
    pub(super) fn from_digest(digest: &aws_lc_rs::digest::Digest) -> Sha256 {
        let mut octets = [0; 32];
        octets.iter_mut().zip(digest.as_ref()).for_each(|(octet, from)| *octet = *from);
        Sha256(octets)
    }
}

impl serde::Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The text is not a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest has 64 hexadecimal digits")]
pub struct Sha256Error;

impl std::str::FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octets = hex::octets(text).and_then(|octets| octets.try_into().ok());
        octets.map(Sha256).ok_or(Sha256Error)
    }
}

/// A version of a file at its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its length, in octets.
    pub length: u64,
    /// Names the version: two versions of a file never have one tag.
    pub tag: String,
}

/// Why an origin gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It has no such file.
    #[error("the origin has no such file")]
    NotFound,
    /// The version that was asked for is not there any more.
    #[error("the file changed at its origin")]
    Changed,
    /// It said no: a certificate that was revoked, a key without permission.
    #[error("the origin refuses: {0}")]
    Refused(String),
    /// It cannot be asked at present.
    #[error("the origin does not answer: {0}")]
    Unreachable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_they_are_written() {
        let digest = Sha256(std::array::from_fn(|index| index as u8 * 8));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for text in ["", "0", &"g".repeat(64), &"+f".repeat(32), &"00".repeat(33), &"é".repeat(32)] {
            assert_eq!(text.parse::<Sha256>(), Err(Sha256Error), "{text}");
        }
    }
}
