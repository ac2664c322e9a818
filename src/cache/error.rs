//! Why the cache gives no file.

use std::sync::Arc;

use super::{OriginError, Sha256};

/// Why a file of an origin is not served.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// It is not here, and its origin does not give it.
    #[error("@{origin}: {error}")]
    Origin {
        /// What the configuration calls the origin.
        origin: String,
        /// What the origin says.
        #[source]
        error: OriginError,
    },
    /// What came is not what the origin says that it has.
    #[error("what came from @{origin} has the digest {found}, not {expected} as the origin says")]
    Digest {
        /// What the configuration calls the origin.
        origin: String,
        /// The digest that the origin told.
        expected: Sha256,
        /// The digest of what came.
        found: Sha256,
    },
    /// The origin sent more than the length that it told.
    #[error("@{origin} sent more than the {length} octets that it announced")]
    Length {
        /// What the configuration calls the origin.
        origin: String,
        /// The length that was told, in octets.
        length: u64,
    },
    /// The file can never be kept.
    #[error("the file has {length} octets, more than the cache may have ({size_max}); raise cache.size_max")]
    TooLarge {
        /// Its length, in octets.
        length: u64,
        /// What the cache may have, in octets.
        size_max: u64,
    },
    /// All that could make room is in use.
    #[error("the cache has no room for {length} octets, as the rest is being read or fetched; raise cache.size_max")]
    Busy {
        /// The length of the file that does not fit, in octets.
        length: u64,
    },
    /// The disk has less room than the cache may take.
    #[error("the disk of the cache is full; make room there, or lower cache.size_max")]
    DiskFull,
    /// The folder cannot be used.
    #[error("cannot use the cache's folder {folder}: {error}")]
    Folder {
        /// As the configuration names it.
        folder: String,
        /// What the system says.
        #[source]
        error: Arc<std::io::Error>,
    },
    /// The download was given up because this program ends.
    #[error("the download was interrupted")]
    Interrupted,
}

impl CacheError {
    /// Whether there is no such file, as opposed to one that cannot be had at present.
    pub fn is_not_found(&self) -> bool {
        matches!(self, CacheError::Origin { error: OriginError::NotFound, .. })
    }

    /// Whether what came was not what the origin announced, so that what is here of it is of no use.
    pub(super) fn is_wrong(&self) -> bool {
        match self {
            CacheError::Digest { .. } | CacheError::Length { .. } => true,
            CacheError::Origin { error, .. } => matches!(error, OriginError::Changed | OriginError::NotFound),
            _ => false,
        }
    }

    /// Whether the origin may have said something else by now.
    pub(super) fn calls_for_another(&self) -> bool {
        self.is_wrong() || matches!(self, CacheError::Interrupted)
    }
}
