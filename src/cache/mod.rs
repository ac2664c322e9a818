//! Files of other servers: fetched once, kept, and served as if they were in the images folder.
//!
//! **Invariant**: nobody gets the end of a file before its digest was found to be right.

mod origin;

pub use origin::{Origin, OriginError, RemoteFile, Sha256, Sha256Error};
