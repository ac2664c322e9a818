//! `pointsman replay`: what other scripts would have said to the boots that were.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

use super::output::{complain, say, say_json};
use super::store::{Desk, at_desk_with};
use super::times::past;
use crate::boot::HardwareAddress;
use crate::review::{Change, Group, Replay as Asking, Report, candidate};
use crate::site::{Purpose, Site};
use crate::store::{Kept, Name, QuestionFilter};

/// Ask the boots that were again, of other scripts: what would change, for which machines, and why
///
/// Every question that a server wrote into the store is asked once more with the facts, the time, the rows and the answers
/// that it had then. Nobody is asked outside, and nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman replay                                the last 7 days, of the scripts on disk
  pointsman replay --scripts /root/new-scripts    of a folder with files of the same names
  pointsman replay --since 1d --machine lab-07
  pointsman replay --scripts new --exit-code      exit code 3 when anything would change: for a pipeline

Data files come from --data, else from a folder `data` in or beside that of the scripts, else from the live one.

Exit codes: 0 done; 1 when it failed, or the scripts fail where they did not; 3 with --exit-code, when anything would
change.")]
pub(super) struct Replay {
    /// Only questions since then: 7d, 90m, or a moment
    #[arg(long, value_name = "AGE", value_parser = past, default_value = "7d")]
    since: Timestamp,
    /// A folder with the scripts to ask; those of the site when absent
    #[arg(long, value_name = "DIR")]
    scripts: Option<PathBuf>,
    /// A folder with the data files that they read
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Only questions of this machine, by its name or MAC address
    #[arg(long, value_name = "MACHINE|MAC")]
    machine: Option<String>,
    /// The most questions to ask, the newest first
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    limit: usize,
    /// Show every machine with its own change
    #[arg(long)]
    all: bool,
    /// End with exit code 3 when anything would change
    #[arg(long)]
    exit_code: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Machines of a group that are named.
const NAMED_MAX: usize = 8;
/// Differences that are shown of a group.
const DIFFERENCES_MAX: usize = 6;
/// Pages that wait for a thread.
const PAGES_AHEAD: usize = 4;
const CHANGES: u8 = 3;

pub(super) fn run(command: &Replay, file: &Path) -> anyhow::Result<ExitCode> {
    at_desk_with(file, async |desk| replay(&desk, command).await)
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a Report,
    broken: usize,
}

async fn replay(desk: &Desk, command: &Replay) -> anyhow::Result<ExitCode> {
    let config =
        candidate(&desk.config, command.scripts.as_deref(), command.data.as_deref()).map_err(anyhow::Error::msg)?;
    let site = Site::load(config, Purpose::DryRun)
        .map_err(|problems| anyhow::anyhow!("the scripts have problems\n{problems}"))?;
    let asking = Asking::new(&site);
    anyhow::ensure!(asking.has_scripts(), "this site has no handler of kind \"script\"");
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} questions asked again, {per_sec}") {
        bar.set_style(style);
    }
    let (sender, pages) = sync_channel(PAGES_AHEAD);
    let shown = bar.clone();
    let work = std::thread::spawn(move || collect(&asking, pages, &shown));
    let read = read(desk, command, |page| sender.send(page).is_ok()).await;
    drop(sender);
    let report = work.join().map_err(|_| anyhow::anyhow!("asking again failed; this is a defect, please report it"))?;
    bar.finish_and_clear();
    let broken = read?;
    if command.json {
        say_json(&Shown { report: &report, broken })?;
    } else {
        show(&report, broken, command);
    }
    Ok(match (report.has_failures(), report.changed > 0 && command.exit_code) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(CHANGES),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn collect(asking: &Asking, pages: Receiver<Vec<Kept>>, bar: &ProgressBar) -> Report {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Report::collect(asking, pages, threads, &|count| bar.inc(count as u64))
}

/// Reads the questions page by page; how many could not be read.
async fn read(desk: &Desk, command: &Replay, take: impl Fn(Vec<Kept>) -> bool) -> anyhow::Result<usize> {
    let who = command.machine.as_deref().map(str::trim);
    let mac: Option<HardwareAddress> = who.and_then(|who| super::machine::mac(who).ok());
    let machine: Option<Name> = who.filter(|_| mac.is_none()).map(str::parse).transpose().context("--machine")?;
    let filter = QuestionFilter { machine: machine.as_ref(), mac, since: Some(command.since) };
    let (mut left, mut broken, mut after) = (command.limit, 0, None);
    while left > 0 {
        let mut page = desk.store.questions(&filter, after.as_ref()).await?;
        page.kept.truncate(left);
        left -= page.kept.len();
        broken += page.broken;
        let is_taken = take(page.kept);
        after = page.next;
        if after.is_none() || !is_taken {
            break;
        }
    }
    Ok(broken)
}

fn show(report: &Report, broken: usize, command: &Replay) {
    for group in &report.groups {
        show_group(group, command.all);
    }
    for (why, machines) in &report.untold {
        say(&format!("{}: cannot be told: {why}", count(machines.len(), "machine")));
        say(&format!("    {}", names(machines.iter().map(|(name, times)| (name.as_str(), *times)), command.all)));
    }
    let Report { asked, same, changed, unknown, skipped, .. } = report;
    let questions = count(*asked, "question");
    say(&format!("{questions} asked again: {same} answered as then, {changed} would change, {unknown} cannot be told"));
    for (why, times) in &report.left_out {
        complain(&format!("note: {} not asked again: {why}", count(*times, "question")));
    }
    if broken > 0 {
        complain(&format!("note: {} of the store cannot be read", count(broken, "question")));
    }
    if asked + skipped == 0 {
        complain(
            "note: no question is written down since then; a server that runs writes them, unless [store] history is \
             false or questions_max is 0",
        );
    }
}

fn show_group(group: &Group, all: bool) {
    let Change { question, kinds, answers, lines: [before, now], differences, error } = &group.example;
    let what = match (&error, group.is_common && answers[0] != answers[1]) {
        (Some(_), _) => format!("{} -> FAILS", kinds[0]),
        (None, true) => answers.join(" -> "),
        (None, false) => kinds.join(" -> "),
    };
    let at = match (before.as_str(), now.as_str()) {
        ("", "") => String::new(),
        ("", now) => format!(" ({now})"),
        (before, "") => format!(" (was {before})"),
        (before, now) if before == now => format!(" ({now})"),
        (before, now) => format!(" ({now}, was {before})"),
    };
    say(&format!("{}: {question}: {what}{at}", count(group.machines.len(), "machine")));
    if let Some(error) = error {
        error.lines().for_each(|line| say(&format!("    {line}")));
    } else if !all {
        let lead = if group.is_common { "" } else { "e.g. " };
        for difference in differences.iter().take(DIFFERENCES_MAX) {
            say(&format!("    {lead}{difference}"));
        }
        if differences.len() > DIFFERENCES_MAX {
            say(&format!("    ... and {} more differences; --all shows them", differences.len() - DIFFERENCES_MAX));
        }
    }
    if !all || error.is_some() {
        say(&format!("    {}", names(group.machines.iter().map(|(name, of)| (name.as_str(), of.times)), all)));
        return;
    }
    for (name, changed) in &group.machines {
        say(&format!("    {}: {}", one(name, changed.times), changed.change.answers.join(" -> ")));
        changed.change.differences.iter().for_each(|difference| say(&format!("        {difference}")));
    }
}

fn names<'a>(machines: impl ExactSizeIterator<Item = (&'a str, usize)>, all: bool) -> String {
    let more = if all { 0 } else { machines.len().saturating_sub(NAMED_MAX) };
    let shown = machines.len() - more;
    let mut names: Vec<String> = machines.take(shown).map(|(name, times)| one(name, times)).collect();
    if more > 0 {
        names.push(format!("... and {more} more; --all shows them"));
    }
    names.join(", ")
}

fn one(name: &str, times: usize) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if times > 1 { format!("{name} ({times} times)") } else { name }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
