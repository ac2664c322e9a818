//! Pointsman: a scriptable boot-decision engine.

pub mod boot;
pub mod decision;
