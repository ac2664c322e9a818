//! What a simulated boot showed, step by step and at its end.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::StepError;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When, in milliseconds from the start.
    pub at_ms: u64,
    /// What.
    pub what: String,
}

/// A file that the machine loaded to boot it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadedFile {
    /// Its URL, without the session's token.
    pub name: String,
    /// Its length in octets.
    pub len: u64,
}

/// Is told what happens while it happens. Every method may be left as it is.
pub trait Watcher: Send + Sync {
    /// A step was taken.
    fn step(&self, _: &Step) {}

    /// The machine's screen shows a line.
    fn screen(&self, _: &str) {}

    /// A file is being loaded: octets so far, and in all where the server told.
    fn loading(&self, _: &str, _: u64, _: Option<u64>) {}
}

/// Looks away.
pub struct Unwatched;

impl Watcher for Unwatched {}

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Nobody answered: the firmware goes on to its own disk.
    NoOffer,
    /// A kernel was started.
    Booted,
    /// Another loader was started.
    Chained,
    /// A SAN disk was started.
    Sanboot(String),
    /// The machine's own disk was started.
    LocalDisk,
    /// The script left with this status, and the firmware goes on.
    Exit(u8),
    /// The machine restarts.
    Reboot,
    /// The machine is off.
    Poweroff,
    /// The iPXE command line.
    Shell,
    /// The script runs without end.
    Endless,
}

/// What a simulated boot showed.
#[derive(Clone, Serialize)]
pub struct Report {
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// What the machine's screen showed.
    pub screen: Vec<String>,
    /// The last script that the machine was given.
    pub script: String,
    /// The files that were loaded when it booted.
    pub files: Vec<LoadedFile>,
    /// What the machine tried and could not do: load a file, boot it, choose an item.
    pub failures: Vec<String>,
    /// How it ended.
    pub ending: Ending,
    #[serde(skip)]
    started: Instant,
    #[serde(skip)]
    pub(super) watcher: Arc<dyn Watcher>,
}

impl Report {
    pub(super) fn new(watcher: Arc<dyn Watcher>) -> Report {
        Report {
            steps: Vec::new(),
            screen: Vec::new(),
            script: String::new(),
            files: Vec::new(),
            failures: Vec::new(),
            ending: Ending::NoOffer,
            started: Instant::now(),
            watcher,
        }
    }

    pub(super) fn note(&mut self, what: &str) {
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let step = Step { at_ms, what: what.to_owned() };
        self.watcher.step(&step);
        self.steps.push(step);
    }

    pub(super) fn screen(&mut self, line: &str) {
        self.watcher.screen(line);
        self.screen.push(line.to_owned());
    }
}

/// A boot that broke off, with what happened until then.
#[derive(thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// What went wrong.
    pub error: StepError,
    /// What happened before.
    pub report: Box<Report>,
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}
