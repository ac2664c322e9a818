//! What knows things: one folder per kind of handler, each the only user of its crates.
//!
//! A new kind implements [`RequestHandler`](crate::decision::RequestHandler) in a folder of its own, and gets a line
//! where the configuration's handlers are built.

pub mod script;
