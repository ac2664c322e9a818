//! Microsoft SQL Server in a build without the feature `mssql`: nothing can be made of it, and opening says so.

use std::sync::atomic::AtomicU64;

use super::Query;
use super::error::Failure;
use crate::boot::{Record, Value};

pub(super) enum Driver {}

pub(super) enum Connection {}

impl Driver {
    pub(super) fn parse(_rest: &str, _password: Option<&str>) -> Result<Driver, String> {
        Err("Microsoft SQL Server is not in this build; build with `--features mssql`".into())
    }

    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        match *self {}
    }
}

impl Connection {
    pub(super) async fn rows(&mut self, _: &Query, _: &[&Value], _: &AtomicU64) -> Result<Vec<Record>, Failure> {
        match *self {}
    }

    pub(super) async fn execute(&mut self, _: &Query, _: &[&Value]) -> Result<u64, Failure> {
        match *self {}
    }

    pub(super) async fn columns(&mut self, _: &Query) -> Result<Vec<String>, Failure> {
        match *self {}
    }

    pub(super) async fn script(&mut self, _: &'static str) -> Result<(), Failure> {
        match *self {}
    }

    pub(super) async fn ping(&mut self) -> Result<(), Failure> {
        match *self {}
    }
}
