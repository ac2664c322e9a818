//! `pointsman test`: the cases of the site's scripts, once or with every change.

mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use clap::Args;
use notify::{RecursiveMode, Watcher};

use super::output::{complain, say, say_json};
use crate::config::{Config, HandlerSection};
use crate::handlers::script::Trace;
use crate::handlers::script::coverage::Coverage;

use report::Report;

/// Run the cases of the decision scripts: what a machine asks, and what it must be told
///
/// A case stands beside its script: allow_boot.rhai has allow_boot.cases.toml. Nobody is asked, and nothing is kept.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman test                      all cases
  pointsman test lab                  those with `lab` in their name, or in that of their file
  pointsman test --watch              again with each change of a script, a case or a table; Ctrl-C ends it
  pointsman test --coverage           which lines does no case reach?
  pointsman test --coverage-min 80    fail when the cases reach less than 80 percent of the lines

Exit code: 0 when all is as expected, 1 when it is not.")]
pub(super) struct Test {
    /// Run only cases with this in their name, or in that of their file
    #[arg(value_name = "NAME")]
    filter: Option<String>,
    /// Run again with each change, and tell what is different
    #[arg(long)]
    watch: bool,
    /// Tell which lines no case reaches
    #[arg(long)]
    coverage: bool,
    /// Fail when the cases reach fewer lines than this, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    coverage_min: Option<u8>,
    /// Print the results as JSON
    #[arg(long, conflicts_with = "watch")]
    json: bool,
}

impl Test {
    fn wants_coverage(&self) -> bool {
        self.coverage || self.coverage_min.is_some()
    }
}

pub(super) fn run(command: &Test, file: &Path) -> anyhow::Result<ExitCode> {
    if command.watch {
        return watch(command, file);
    }
    let report = ask(command, file);
    if command.json {
        say_json(&report)?
    } else {
        report.show(command.coverage)
    }
    let is_good = report.is_good() && report.enough(command.coverage_min);
    if let Some(min) = command.coverage_min.filter(|_| !command.json && !report.enough(command.coverage_min)) {
        say(&format!("The cases reach {} % of the lines; {min} % are wanted.", report.percent()));
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the cases once.
fn ask(command: &Test, file: &Path) -> Report {
    let mut report = Report::default();
    let config = match Config::read(file) {
        Ok(config) => config,
        Err(problems) => return report.broken(problems.to_string()),
    };
    let handlers = match crate::handlers::scripts(&config) {
        Ok(handlers) => handlers,
        Err(problems) => return report.broken(problems.to_string()),
    };
    let mut coverage = Coverage::default();
    for (_, handler) in handlers {
        match handler {
            Err(errors) => report.problems.extend(errors.iter().map(ToString::to_string)),
            Ok(handler) => {
                let mut trace = command.wants_coverage().then(Trace::default);
                let filter = command.filter.as_deref().unwrap_or_default();
                report.add(handler.test(filter, trace.as_mut()));
                report.warnings.extend(handler.warnings().iter().map(ToString::to_string));
                if let Some(trace) = trace {
                    coverage.add(&handler, &trace);
                }
            }
        }
    }
    if command.wants_coverage() {
        report.coverage = Some(coverage);
    }
    match &command.filter {
        Some(filter) if report.is_empty() => {
            report.broken(format!("no case, and no file of cases, has `{filter}` in its name"))
        }
        _ => report,
    }
}

/// Runs the cases again with each change, until the process is ended.
fn watch(command: &Test, file: &Path) -> anyhow::Result<ExitCode> {
    let (sender, changes) = mpsc::channel();
    let changed = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = sender.send(());
        }
    };
    let mut watcher = notify::recommended_watcher(changed)?;
    let mut watched = BTreeSet::new();
    let mut before: Option<Report> = None;
    loop {
        // A folder that a change of the configuration names is watched from then on.
        for folder in folders(file) {
            if folder.is_dir() && watched.insert(folder.clone()) {
                let is_own = file.parent() == Some(&folder);
                let mode = if is_own { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
                if let Err(error) = watcher.watch(&folder, mode) {
                    complain(&format!("changes in {} are not noticed: {error}", folder.display()));
                }
            }
        }
        let report = ask(command, file);
        match &before {
            None => {
                report.show(command.coverage);
                say("Waiting for changes; Ctrl-C ends.");
            }
            Some(before) => report.show_changes(before, command.coverage),
        }
        before = Some(report);
        if !settle(&changes) {
            return Ok(ExitCode::FAILURE);
        }
    }
}

/// Where scripts, cases and data are.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let folder = |path: &Path| {
        path.parent().map(|folder| if folder == Path::new("") { Path::new(".") } else { folder }.to_owned())
    };
    let mut folders: BTreeSet<PathBuf> = folder(file).into_iter().collect();
    for section in Config::read(file).iter().flat_map(|config| &config.handlers) {
        let HandlerSection::Script(section) = section else { continue };
        folders.extend([section.scripts.clone(), section.data.clone()]);
        folders.extend([&section.allow_boot, &section.boot_images].into_iter().filter_map(|path| folder(path)));
    }
    folders
}

/// Waits for a change, and until nothing more changes: editors write a file in several steps.
fn settle(changes: &Receiver<()>) -> bool {
    if changes.recv().is_err() {
        return false;
    }
    while changes.recv_timeout(QUIET).is_ok() {}
    true
}

const QUIET: Duration = Duration::from_millis(150);
