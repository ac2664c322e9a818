//! What the cache tells about itself.

use jiff::Timestamp;

use super::Sha256;
use crate::boot::FileName;

/// A file that is kept, or part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the configuration calls its origin.
    pub origin: String,
    /// Its name there.
    pub name: FileName,
    /// Its length, in octets.
    pub length: u64,
    /// How much of it is here, in octets.
    pub present: u64,
    /// Its digest, where the origin told one and it was right; none for a file that could not be verified.
    pub digest: Option<Sha256>,
    /// When it came.
    pub fetched: Timestamp,
    /// When it was last asked for.
    pub used: Timestamp,
    /// Whether all of it is here.
    pub complete: bool,
}

/// A file that was fetched to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmed {
    /// Its length, in octets.
    pub length: u64,
    /// How much of it had to be fetched, in octets; nothing when it was here.
    pub fetched: u64,
    /// Its digest, where the origin told one.
    pub digest: Option<Sha256>,
}

/// A file that was not what it should be, and was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What the configuration calls its origin.
    pub origin: String,
    /// Its name there.
    pub name: FileName,
    /// What is wrong with it.
    pub what: String,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Files of origins that are not configured any more, or that were not confirmed for too long.
    pub expired: u64,
    /// What interrupted downloads and writes left behind.
    pub leftovers: u64,
    /// Files that had to go to keep the cache below its size.
    pub evicted: u64,
    /// Octets that all of them had.
    pub octets: u64,
}
