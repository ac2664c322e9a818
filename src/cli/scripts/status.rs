//! `pointsman scripts status`: what is live, what is the candidate, and what became of it.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use super::super::output::{say, say_json};
use super::super::times::local;
use super::{Tried, Work};
use crate::handlers::rollout::Progress;

/// Differences that are shown to people.
const SHOWN_MAX: usize = 5;

#[derive(Serialize)]
struct Status {
    handlers: Vec<String>,
    live: Set,
    /// Since when they are live, as far as known.
    live_since: Option<Timestamp>,
    /// How many sets of scripts are kept that were live before.
    revisions: usize,
    candidate: Option<Set>,
    shadow: bool,
    /// In words; absent where no machine gets the candidate's answers.
    canary: Option<String>,
    /// What became of this candidate beside these scripts, by handler.
    progress: Vec<(String, Progress)>,
}

/// A set of scripts.
#[derive(Serialize)]
struct Set {
    folder: String,
    /// Absent where it does not load.
    revision: Option<String>,
    cases_passed: usize,
    cases_failed: Vec<String>,
    errors: Vec<String>,
}

impl Set {
    fn of(folder: &std::path::Path, tried: Tried) -> Set {
        let Tried { revision, passed, failures, errors, .. } = tried;
        let folder = folder.display().to_string();
        Set { folder, revision, cases_passed: passed, cases_failed: failures, errors }
    }

    fn in_words(&self) -> String {
        match (&self.revision, self.cases_failed.len()) {
            (None, _) => "does not load".to_owned(),
            (Some(revision), 0) => format!("revision {revision}, {} cases pass", self.cases_passed),
            (Some(revision), failed) => format!("revision {revision}, {failed} cases FAIL, {} pass", self.cases_passed),
        }
    }

    fn say(&self, what: &str, more: &str) {
        say(&format!("{what:<10} {}: {}{more}", self.folder, self.in_words()));
        for line in self.errors.iter().chain(&self.cases_failed).flat_map(|wrong| wrong.lines()) {
            say(&format!("           {line}"));
        }
    }
}

pub(super) fn show(work: &Work<'_>, json: bool) -> anyhow::Result<()> {
    let status = status(work)?;
    if json {
        return say_json(&status);
    }
    let since = status.live_since.map_or_else(String::new, |since| format!(", since {}", local(since)));
    let kept = match status.revisions {
        0 => String::new(),
        count => format!("; {count} earlier kept"),
    };
    status.live.say("live", &format!("{since}{kept}"));
    let Some(candidate) = &status.candidate else {
        say("candidate  none; `pointsman scripts stage` makes one");
        return Ok(());
    };
    candidate.say("candidate", "");
    say(&format!("shadow     {}", if status.shadow { "on" } else { "off" }));
    say(&format!("canary     {}", status.canary.as_deref().unwrap_or("off: no machine gets its answers")));
    for (handler, progress) in &status.progress {
        progress_in_words(handler, progress).iter().for_each(|line| say(line));
    }
    if status.progress.is_empty() {
        say("so far     nothing; a server that runs compares them as machines boot");
    }
    Ok(())
}

fn progress_in_words(handler: &str, progress: &Progress) -> Vec<String> {
    let Progress { same, different, failed, dropped, canary, canary_failed, .. } = progress;
    let since = progress.since.map_or_else(String::new, |since| format!(" since {}", local(since)));
    let mut lines = vec![format!(
        "so far     handler `{handler}`{since}: {same} questions the same, {different} otherwise, {failed} failed, {dropped} not asked"
    )];
    if canary + canary_failed > 0 {
        lines.push(format!("           canary: {canary} answered, {canary_failed} left to the live scripts"));
    }
    for example in progress.examples.iter().take(SHOWN_MAX) {
        let at = local(example.at);
        lines.push(format!("  {at}  {}  {}: {}", example.mac, example.question, example.words));
    }
    if progress.examples.len() > SHOWN_MAX {
        lines.push("  ...; --json shows more, and so does the log of the server".to_owned());
    }
    lines
}

fn status(work: &Work<'_>) -> anyhow::Result<Status> {
    let live = work.live_folder();
    let tried = work.try_folder(live);
    let handlers = tried.handlers.clone();
    let live_set = Set::of(live, tried);
    let revisions = work.desk.revisions()?;
    let candidate = work.desk.has_candidate().then(|| work.try_folder(work.desk.candidate()));
    let candidate = candidate.map(|tried| Set::of(work.desk.candidate(), tried));
    let is_of_now = |progress: &Progress| {
        let revisions = [Some(&live_set), candidate.as_ref()].map(|set| set.and_then(|set| set.revision.as_deref()));
        // Handlers with one folder may have scripts of their own in it.
        handlers.len() > 1 || revisions == [Some(progress.live.as_str()), Some(progress.candidate.as_str())]
    };
    let of = |name: &String| {
        let progress = Progress::read(&Progress::file(&work.config.server.state, name)).filter(is_of_now)?;
        Some((name.clone(), progress))
    };
    let progress = if candidate.is_some() { handlers.iter().filter_map(of).collect() } else { Vec::new() };
    // Where nothing was ever promoted the youngest file is the best guess.
    let changed = || Timestamp::try_from(youngest(live, 0)?).ok();
    let live_since = revisions.first().map(|last| last.until).or_else(changed);
    let first = work.sections.first().map(|(_, section)| section);
    Ok(Status {
        handlers,
        live_since,
        revisions: revisions.len(),
        shadow: first.is_some_and(|section| section.shadow),
        canary: first.and_then(|section| canary(section)),
        live: live_set,
        candidate,
        progress,
    })
}

fn canary(section: &crate::config::ScriptSection) -> Option<String> {
    let mut who = Vec::new();
    if section.canary_percent > 0.0 {
        who.push(format!("{} % of machines", section.canary_percent));
    }
    let networks: Vec<String> = section.canary_networks.iter().map(ToString::to_string).collect();
    let lists = [
        ("networks", &networks),
        ("sites", &section.canary_sites),
        ("groups", &section.canary_groups),
        ("machines", &section.canary_machines),
    ];
    let named = lists.into_iter().filter(|(_, names)| !names.is_empty());
    who.extend(named.map(|(what, names)| format!("{what} {}", names.join(", "))));
    section.has_canary().then(|| who.join("; "))
}

/// When the youngest file of a folder was written.
fn youngest(folder: &std::path::Path, depth: usize) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().take(10_000);
    let written = entries.filter_map(|entry| {
        let found = entry.metadata().ok()?;
        match found.is_dir() {
            true if depth < 8 => youngest(&entry.path(), depth + 1),
            true => None,
            false => found.modified().ok(),
        }
    });
    written.max()
}
