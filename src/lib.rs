//! A scriptable network-boot server.

pub mod boot;
pub mod files;
pub mod net;
pub mod tftp;
