//! Pointsman: a scriptable boot-decision engine.

pub mod boot;
pub mod dhcp;
pub mod net;
