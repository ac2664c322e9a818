//! The vocabulary of a boot: plain data, no I/O.

mod file_name;

pub use file_name::{FileName, FileNameError};
