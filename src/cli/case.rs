//! `pointsman case`: cases of boots that were.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};

use super::explain::find;
use super::output::{complain, say};
use super::store::{Desk, at_desk_with};
use super::times::local;
use crate::decision::Question;
use crate::handlers::script::cases::{RecordError, RecordedCase};
use crate::handlers::script::{Question as Asked, ScriptHandler};
use crate::site::{Purpose, Site};
use crate::store::Kept;

/// Turn boots that were into cases, which `pointsman check` runs
#[derive(Debug, Args)]
#[command(after_help = "Example:
  pointsman case record lab-07                   its last boot, as a case beside the scripts")]
pub(super) struct Case {
    #[command(subcommand)]
    command: CaseCommand,
}

#[derive(Debug, Subcommand)]
enum CaseCommand {
    Record(Record),
}

/// Write a case of a boot beside the script: what was known, the answers of databases, and the decision
///
/// The case is run before it is written; one that does not pass with the present scripts is written with --force only. A
/// case that is there already is never changed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman case record 52:54:00:12:34:56         both questions of the last boot by this adapter
  pointsman case record lab-07 --boot 2 --question allow_boot
  pointsman case record 0001abcdefff --name \"a laptop behind a dock\"

Put the case right first, and the script after it: record a boot that went wrong with --force, change what the case
expects, and `pointsman check` fails until the script does that.")]
struct Record {
    /// The boot: its session id, the MAC address, or the machine
    #[arg(value_name = "SESSION|MAC|MACHINE")]
    who: String,
    /// Which boot, counted from the last one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    boot: u32,
    /// What the case is called; made of the machine and the time when absent
    #[arg(long)]
    name: Option<String>,
    /// Only this question
    #[arg(long, value_name = "QUESTION")]
    question: Option<Only>,
    /// The file to write into; that beside the script when absent
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write it even where the present scripts answer something else
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Only {
    #[value(name = "allow_boot")]
    AllowBoot,
    #[value(name = "boot_images")]
    BootImages,
}

pub(super) fn run(command: &Case, file: &Path) -> anyhow::Result<ExitCode> {
    let CaseCommand::Record(command) = &command.command;
    at_desk_with(file, async |desk| record(&desk, command).await)
}

async fn record(desk: &Desk, command: &Record) -> anyhow::Result<ExitCode> {
    let boot = find(desk, &command.who, command.boot as usize).await?.boot;
    let (kept, _) = desk.store.questions_of(boot.session).await?;
    if kept.is_empty() {
        bail!("nothing that was asked in this boot was kept: [store] questions_max is 0, or it is too old");
    }
    let site = Site::load(desk.config.clone(), Purpose::DryRun)
        .map_err(|problems| anyhow::anyhow!("the site has problems\n{problems}"))?;
    let scripts: Vec<Arc<ScriptHandler>> = site.handlers.into_iter().filter_map(|built| built.script).collect();
    let (mut written, mut refused, mut why_not) = (0, false, Vec::new());
    for (question, asked) in [(Question::AllowBoot, Asked::AllowBoot), (Question::BootImages, Asked::BootImages)] {
        let is_wanted = match command.question {
            None => true,
            Some(Only::AllowBoot) => asked == Asked::AllowBoot,
            Some(Only::BootImages) => asked == Asked::BootImages,
        };
        // The last answer is the one that the machine went on with.
        let Some(kept) = kept.iter().rev().find(|kept| is_wanted && kept.question == question) else { continue };
        match case(command, kept, asked, &scripts) {
            Ok((case, script)) => match write(&case, &script, command.force)? {
                true => written += 1,
                false => refused = true,
            },
            Err(error @ RecordError::NotAsked(..)) => why_not.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    if written == 0 && !refused {
        let why = if why_not.is_empty() { "that was not asked in this boot".to_owned() } else { why_not.join("; ") };
        bail!("no case can be made: {why}");
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The case of one question, and the scripts that it is of: those that answered, else the first that were asked.
fn case(
    command: &Record,
    kept: &Kept,
    asked: Asked,
    scripts: &[Arc<ScriptHandler>],
) -> Result<(RecordedCase, Arc<ScriptHandler>), RecordError> {
    let unreadable = |error: crate::store::RecordedError| RecordError::NotAsked("script".into(), error.to_string());
    let (request, decision) = (kept.request().map_err(unreadable)?, kept.decision().map_err(unreadable)?);
    let named = |case: &str| format!("{case} {}", asked.function());
    let who = kept.machine.clone().unwrap_or_else(|| request.client.hardware.to_string());
    let name = match (&command.name, command.question) {
        (Some(name), Some(_)) => name.clone(),
        (Some(name), None) => named(name),
        (None, _) => named(&format!("{who} at {}", local(kept.asked))),
    };
    let mut last = RecordError::NotAsked("script".into(), "this site has no handler of kind \"script\"".into());
    let mut ordered: Vec<_> = scripts.iter().collect();
    ordered.sort_by_key(|script| !script.is_named(&decision.handler));
    for script in ordered {
        match script.record_case(&name, asked, &request, &decision, command.file.as_deref()) {
            Ok(case) => return Ok((case, Arc::clone(script))),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Runs the case and writes it; whether it was written.
fn write(case: &RecordedCase, script: &ScriptHandler, force: bool) -> anyhow::Result<bool> {
    let failures = case.try_on(script)?;
    for failure in &failures {
        complain(&failure.to_string());
    }
    for what in &case.left_out {
        complain(&format!("note: a case cannot say {what}"));
    }
    if !failures.is_empty() && !force {
        complain("not written: the present scripts answer something else than they did then; --force writes it anyway");
        return Ok(false);
    }
    case.write()?;
    let passes = if failures.is_empty() { "it passes" } else { "it FAILS with the present scripts" };
    say(&format!("{}: case \"{}\" is written; {passes}", case.file.display(), case.name));
    Ok(true)
}
