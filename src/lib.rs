//! Pointsman: a scriptable boot-decision engine.

pub mod boot;
pub mod config;
pub mod decision;
pub mod dhcp;
pub mod files;
pub mod handlers;
pub mod ipxe;
pub mod loaders;
pub mod net;
pub mod observe;
pub mod paths;
pub mod simulate;
