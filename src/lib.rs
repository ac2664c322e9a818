//! Pointsman: a scriptable boot-decision engine.

pub mod boot;
pub mod decision;
pub mod files;
pub mod ipxe;
pub mod net;
