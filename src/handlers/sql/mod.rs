//! sql
#![allow(dead_code)]
mod identity;
mod keys;
mod menu;
mod parameters;
mod rows;
