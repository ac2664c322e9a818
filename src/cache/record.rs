//! The small files that say what the large ones are.
//!
//! **Invariant**: whatever octets lie on the disk, reading them gives a record that this program could have written, or
//! nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RemoteFile, Sha256, key};
use crate::boot::FileName;

/// The form of the records; those of another form are not read.
const FORMAT: u32 = 1;
/// The longest name of an origin, in octets.
const ORIGIN_MAX: usize = 256;
/// The longest tag of a version, in octets.
pub(super) const TAG_MAX: usize = 1024;

/// A file that is here: which object it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexRecord {
    format: u32,
    pub(super) origin: String,
    pub(super) name: FileName,
    pub(super) tag: String,
    pub(super) length: u64,
    /// The digest of what came.
    pub(super) object: Sha256,
    /// Whether the origin told the same one.
    pub(super) verified: bool,
    pub(super) fetched: Timestamp,
    /// When the origin last said that this is the present version.
    pub(super) confirmed: Timestamp,
    pub(super) used: Timestamp,
}

/// A file that is arriving: what it is to become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartialRecord {
    format: u32,
    pub(super) origin: String,
    pub(super) name: FileName,
    pub(super) tag: String,
    pub(super) length: u64,
    /// So many octets were on the disk for sure.
    pub(super) durable: u64,
    /// The start of the system that wrote this; while it lasts, all octets of the file are good.
    pub(super) boot: String,
}

impl IndexRecord {
    /// A file that was fetched now.
    pub(super) fn new(origin: &str, name: &FileName, version: &RemoteFile, object: Sha256, verified: bool) -> Self {
        let now = Timestamp::now();
        IndexRecord {
            format: FORMAT,
            origin: origin.to_owned(),
            name: name.clone(),
            tag: version.tag.clone(),
            length: version.length,
            object,
            verified,
            fetched: now,
            confirmed: now,
            used: now,
        }
    }

    /// Reads what lies under this file name.
    pub(super) fn read(file: &str, octets: &[u8]) -> Option<IndexRecord> {
        let record: IndexRecord = serde_json::from_slice(octets).ok()?;
        let is_ours = record.format == FORMAT && is_sound(&record.origin, &record.tag);
        (is_ours && record.file() == file).then_some(record)
    }

    /// The name of its file.
    pub(super) fn file(&self) -> String {
        index_file(&key::of_file(&self.origin, &self.name))
    }

    pub(super) fn version(&self) -> RemoteFile {
        RemoteFile { length: self.length, tag: self.tag.clone() }
    }

    pub(super) fn entity_tag(&self) -> String {
        key::entity_tag(&self.origin, &self.name, &self.version())
    }
}

impl PartialRecord {
    pub(super) fn new(origin: &str, name: &FileName, version: &RemoteFile) -> Self {
        PartialRecord {
            format: FORMAT,
            origin: origin.to_owned(),
            name: name.clone(),
            tag: version.tag.clone(),
            length: version.length,
            durable: 0,
            boot: boot_id(),
        }
    }

    /// Reads what lies under this file name.
    pub(super) fn read(file: &str, octets: &[u8]) -> Option<PartialRecord> {
        let record: PartialRecord = serde_json::from_slice(octets).ok()?;
        let is_ours = record.format == FORMAT && is_sound(&record.origin, &record.tag);
        (is_ours && record.durable <= record.length && record.file() == file).then_some(record)
    }

    pub(super) fn version(&self) -> RemoteFile {
        RemoteFile { length: self.length, tag: self.tag.clone() }
    }

    /// The name of the file that it describes.
    pub(super) fn data_file(&self) -> String {
        key::of_version(&self.origin, &self.name, &self.version()).to_string()
    }

    /// The name of its own file.
    pub(super) fn file(&self) -> String {
        partial_file(&self.data_file())
    }

    /// How many octets can be built on, of a file that has this length.
    pub(super) fn good(&self, length: u64) -> u64 {
        let good = if !self.boot.is_empty() && self.boot == boot_id() { length } else { self.durable };
        good.min(length).min(self.length)
    }

    /// All octets up to here are on the disk.
    pub(super) fn keep(&mut self, durable: u64) {
        self.durable = durable;
        self.boot = boot_id();
    }
}

/// The name of the record of a file, by its key.
pub(super) fn index_file(key: &Sha256) -> String {
    format!("{key}.json")
}

/// The name of the record of a file that is arriving.
pub(super) fn partial_file(data_file: &str) -> String {
    format!("{data_file}.json")
}

/// The text of a record.
pub(super) fn to_text(record: &impl Serialize) -> std::io::Result<Vec<u8>> {
    serde_json::to_vec_pretty(record).map_err(std::io::Error::other)
}

fn is_sound(origin: &str, tag: &str) -> bool {
    !origin.is_empty() && origin.len() <= ORIGIN_MAX && tag.len() <= TAG_MAX
}

/// Names this start of the system; empty where the system does not tell.
fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
