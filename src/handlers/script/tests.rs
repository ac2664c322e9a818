//! The script handler from outside: what a script may write, and what comes of it.

mod battery;
mod contract;
mod data_files;
mod documents;
mod errors;
mod keeping;
mod lines;
mod mistakes;
mod nonsense;
mod queries;
mod shipped;
mod slips;
mod slow;
mod table_files;
mod traps;

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tempfile::TempDir;

use super::*;
use crate::boot::{Architecture, Client, HardwareAddress, Machine, Network, SessionId, Stage};

/// A site's folder with these files; `site.rhai` answers both questions, `data/` has the tables.
pub(super) fn site(files: &[(&str, &str)]) -> (TempDir, ScriptConfig) {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let config = config(folder.path(), "site.rhai", "site.rhai");
    (folder, config)
}

pub(super) fn config(folder: &Path, allow_boot: &str, boot_images: &str) -> ScriptConfig {
    ScriptConfig {
        name: "script".to_owned(),
        allow_boot: folder.join(allow_boot),
        boot_images: folder.join(boot_images),
        scripts_dir: folder.to_owned(),
        data_dir: folder.join("data"),
        time_zone: TimeZone::UTC,
        queries: Arc::default(),
        reach: Reach::default(),
        limits: Limits::default(),
    }
}

pub(super) fn load(source: &str) -> ScriptHandler {
    let (_folder, config) = site(&[("site.rhai", source)]);
    ScriptHandler::load(&config).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The problems of a script, with the folder left out.
pub(super) fn problems(files: &[(&str, &str)]) -> String {
    let (folder, config) = site(files);
    let errors = ScriptHandler::load(&config).err().unwrap_or_default();
    errors.to_string().replace(&format!("{}/", folder.path().display()), "")
}

pub(super) fn request() -> BootRequest {
    let mut machine = Machine::default();
    machine.insert("product", "OptiPlex 7010");
    machine.insert("serial", "7XK3N22");
    BootRequest {
        network: Network { client: Some("10.1.2.3".parse().unwrap()), ..Network::default() },
        machine,
        ..BootRequest::new(
            SessionId([0, 1, 2, 3, 4, 5]),
            Stage::Http,
            Client::new(HardwareAddress::from([0x52, 0x54, 0, 0x12, 0x34, 0x56]), Architecture::X64_UEFI),
            "2026-01-01T08:00:00Z".parse::<Timestamp>().unwrap(),
        )
    }
}

/// The answers without their accounts, for tests that are about the answers alone.
impl ScriptHandler {
    pub(super) async fn allow_boot(&self, request: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        RequestHandler::allow_boot(self, request).await.map(plain).map_err(without_account)
    }

    pub(super) async fn boot_images(&self, request: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        RequestHandler::boot_images(self, request).await.map(plain).map_err(without_account)
    }
}

fn plain<T>(answer: Answer<T>) -> Answer<T> {
    match answer {
        Answer::Explained { given: Some(given), .. } => Answer::Given(given),
        Answer::Explained { given: None, known: Some(record), .. } => Answer::Noted(record),
        Answer::Explained { given: None, known: None, .. } => Answer::Pass,
        answer => answer,
    }
}

fn without_account(error: HandlerError) -> HandlerError {
    HandlerError { account: None, ..error }
}

/// What `allow_boot` says with this body.
pub(super) fn allow(body: &str) -> Result<Answer<Verdict>, String> {
    let handler = load(&format!("fn allow_boot(request) {{ {body} }}"));
    block_on(handler.allow_boot(&request())).map_err(|error| error.message)
}

/// What `boot_images` says with this body.
pub(super) fn images(body: &str) -> Result<Answer<BootImages>, String> {
    let handler = load(&format!("fn boot_images(request) {{ {body} }}"));
    block_on(handler.boot_images(&request())).map_err(|error| error.message)
}

/// The value of an expression, as text in a denial.
pub(super) fn value(expression: &str) -> String {
    match allow(&format!("deny(\"=\" + ({expression}))")) {
        Ok(Answer::Given(verdict)) => verdict.reason().trim_start_matches('=').to_owned(),
        other => panic!("{expression}: {other:?}"),
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
