//! A scriptable network-boot server.

pub mod net;
