//! Pointsman: a scriptable boot-decision engine.

pub mod boot;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod decision;
pub mod dhcp;
pub mod files;
pub mod handlers;
pub mod http;
pub mod ipxe;
pub mod loaders;
pub mod net;
pub mod observe;
pub mod paths;
pub mod simulate;
pub mod site;
pub mod tftp;
pub mod tls;
