//! Other servers that this one leans on: where its files come from.
//!
//! **Invariant**: what another server sends is data with limits, and every wait for it is bounded.

mod storage;

pub use storage::{Storage, Storages};
