//! Names on the disk: digests of what a file is, so that no name of an origin ever becomes a path.

use aws_lc_rs::digest::{Context, SHA256};

use super::{RemoteFile, Sha256};
use crate::boot::FileName;

/// A file of an origin, whatever its version.
pub(super) fn of_file(origin: &str, name: &FileName) -> Sha256 {
    of(&[b"file", origin.as_bytes(), name.as_str().as_bytes()])
}

/// One version of a file.
pub(super) fn of_version(origin: &str, name: &FileName, version: &RemoteFile) -> Sha256 {
    let length = version.length.to_le_bytes();
    of(&[b"version", origin.as_bytes(), name.as_str().as_bytes(), version.tag.as_bytes(), &length])
}

/// The tag that clients see: the same while the version arrives, when it is here, and after a restart.
pub(super) fn entity_tag(origin: &str, name: &FileName, version: &RemoteFile) -> String {
    of_version(origin, name, version).to_string().chars().take(32).collect()
}

/// The tag after so many downloads of the file were wrong: octets of those went out under the tags before.
pub(super) fn after_wrong(tag: String, wrong: u32) -> String {
    if wrong == 0 { tag } else { format!("{tag}-{wrong}") }
}

/// Lengths go in before the parts, so that no two lists of parts are one text.
fn of(parts: &[&[u8]]) -> Sha256 {
    let mut digest = Context::new(&SHA256);
    for part in parts {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    Sha256::from_digest(&digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_version_makes_another_key() {
        let name = |text: &str| text.parse::<FileName>().unwrap();
        let version = |length, tag: &str| RemoteFile { length, tag: tag.into() };
        let keys = [
            of_version("s3", &name("a"), &version(1, "t")),
            of_version("s", &name("3a"), &version(1, "t")),
            of_version("s3", &name("at"), &version(1, "")),
            of_version("s3", &name("a"), &version(2, "t")),
            of_version("s3", &name("a"), &version(1, "u")),
            of_file("s3", &name("a")),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[index + 1..].contains(key), "{index}");
        }
    }
}
