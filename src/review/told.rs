//! A decision in words: what the rules saw, who answered, at which line, and what they were told by others.
//!
//! **Invariant**: lines of scripts are shown only where the scripts are the very ones that answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::moments::{Kind, Moment, Tone, of_answer};
use crate::boot::{Account, BootDecision, BootRequest, Found, IdentityStatus, Outcome, Reading, Step};
use crate::decision::{Compared, Question};
use crate::handlers::script::{Question as Asked, ScriptHandler};
use crate::store::Kept;

/// The most lines of a script that are shown of one run.
const PATH_MAX: usize = 12;
/// The longest answer of somebody else that is shown, in characters.
const FOUND_LEN_MAX: usize = 160;

/// Tells one decision after the other; what the rules saw before is not told again.
pub(super) struct Teller<'a> {
    scripts: &'a [Arc<ScriptHandler>],
    seen: BTreeSet<String>,
    notes: BTreeSet<String>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(scripts: &'a [Arc<ScriptHandler>]) -> Teller<'a> {
        Teller { scripts, seen: BTreeSet::new(), notes: BTreeSet::new() }
    }

    /// What could not be told.
    pub(super) fn notes(self) -> Vec<String> {
        self.notes.into_iter().collect()
    }

    /// The moment of a decision.
    pub(super) fn moment(&mut self, kept: &Kept) -> Moment {
        let mut moment = Moment::new(kept.asked, Kind::Decision, kept.question.name(), "");
        let request = kept.request().map_err(|error| moment.lines.push(format!("what it saw is {error}"))).ok();
        if let Some(request) = &request {
            let saw = saw(request).into_iter().filter(|line| self.seen.insert(line.clone()));
            moment.lines.extend(saw.map(|line| format!("saw   {line}")));
        }
        let decision = match kept.decision() {
            Ok(decision) => decision,
            Err(error) => {
                moment.text = format!("asked at {}; the answer is {error}", kept.stage.name());
                moment.tone = Tone::Note;
                return moment;
            }
        };
        let answer = Compared::of_decision(&decision);
        (moment.means, moment.tone) = of_answer(&answer);
        if decision.trail.iter().any(|step| matches!(step.outcome, Outcome::Failed | Outcome::TimedOut)) {
            moment.tone = Tone::Bad;
        }
        moment.text = format!("{}, by {} at stage {}", answer.summary(), decision.handler, kept.stage.name());
        moment.elapsed_us = Some(decision.elapsed_us);
        self.steps(kept.question, request.as_ref(), &decision, &mut moment.lines);
        moment
    }

    fn steps(
        &mut self,
        question: Question,
        request: Option<&BootRequest>,
        decision: &BootDecision,
        to: &mut Vec<String>,
    ) {
        for step in &decision.trail {
            let account = step.account.as_deref();
            let line = account.map(|account| account.line.as_str()).filter(|line| !line.is_empty());
            let at = line.map_or_else(String::new, |line| format!(" at {line}"));
            let detail = if step.detail.is_empty() { String::new() } else { format!(": {}", step.detail) };
            let took = format!("({:.1} ms)", step.elapsed_us as f64 / 1000.0);
            let mut more = Vec::new();
            if let Some(account) = account {
                more.extend(account.readings.iter().map(|reading| format!("  asked {}", asked(reading))));
                more.extend(account.log.iter().map(|line| format!("  logged {line}")));
                // The error with its line and a caret stands for the one line that the trail has of it.
                if self.lines(question, request, step, account, &mut more) {
                    to.push(format!("{} {} {took}", step.handler, outcome(step)));
                    to.append(&mut more);
                    continue;
                }
            }
            to.push(format!("{} {}{at}{detail} {took}", step.handler, outcome(step)));
            to.append(&mut more);
        }
    }

    /// The lines that ran, where these are the scripts that did; whether the error of a failure is among them.
    fn lines(
        &mut self,
        question: Question,
        request: Option<&BootRequest>,
        step: &Step,
        account: &Account,
        to: &mut Vec<String>,
    ) -> bool {
        let Some(script) = self.scripts.iter().find(|script| script.revision() == account.scripts) else {
            self.notes.insert(
                "the scripts were changed since, so that their lines are not shown; `pointsman replay` tells what they \
                 would say now"
                    .into(),
            );
            return false;
        };
        let asked = match question {
            Question::AllowBoot => Asked::AllowBoot,
            Question::BootImages => Asked::BootImages,
        };
        let Some(request) = request else { return false };
        let traced = script.trace(asked, request, &account.readings);
        if let (Some(error), Outcome::Failed) = (&traced.error, step.outcome) {
            to.extend(error.to_string().lines().map(|line| format!("  {line}")));
            return true;
        }
        let path = &traced.trace.path;
        if path.len() > PATH_MAX {
            to.push(format!("  ... {} lines before", path.len() - PATH_MAX));
        }
        let mut file = "";
        for (of, number) in path.iter().skip(path.len().saturating_sub(PATH_MAX)) {
            if of != file {
                to.push(format!("  {of}"));
                file = of;
            }
            let text = script.source_line(of, *number).unwrap_or_default();
            let mark = if account.line == format!("{of}:{number}") { ">" } else { " " };
            to.push(format!("  {mark}{number:>4} | {text}"));
            if mark == ">" {
                let blank: String =
                    text.chars().take_while(|c| c.is_whitespace()).map(|c| if c == '\t' { c } else { ' ' }).collect();
                to.push(format!("       | {blank}^ the answer"));
            }
        }
        false
    }
}

fn outcome(step: &Step) -> &'static str {
    match step.outcome {
        Outcome::Given => "answered",
        Outcome::Passed => "passed",
        Outcome::Failed => "FAILED",
        Outcome::TimedOut => "took too long",
        Outcome::Policy => "stands in",
    }
}

/// What the rules saw, a line for each kind of it.
fn saw(request: &BootRequest) -> Vec<String> {
    let mut lines = Vec::new();
    let client = &request.client;
    let mut who = vec![client.hardware.to_string(), client.architecture.to_string()];
    who.extend(client.ipxe.as_ref().map(|build| match build.version {
        Some((major, minor, patch)) => format!("iPXE {major}.{minor}.{patch}"),
        None => "iPXE".to_owned(),
    }));
    who.extend(client.uuid().map(|uuid| format!("uuid {uuid}")));
    who.extend(request.network.client.map(|address| format!("address {address}")));
    who.extend(
        Some(request.network.site.to_string()).filter(|site| !site.is_empty()).map(|site| format!("site {site}")),
    );
    lines.push(who.join(", "));
    let facts: Vec<String> = request.machine.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !facts.is_empty() {
        lines.push(format!("facts {}", facts.join(", ")));
    }
    if let Some(record) = &request.record {
        let columns = record.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.to_text()?)));
        lines.push(format!("record {}", columns.collect::<Vec<_>>().join(", ")));
    }
    let identity = &request.identity;
    let status = match identity.status {
        IdentityStatus::Known => format!("known as {} by {}", identity.machine, identity.matched_by.join(", ")),
        IdentityStatus::Ambiguous => format!("ambiguous: {}", identity.candidates.join(", ")),
        IdentityStatus::Unknown => "unknown".to_owned(),
    };
    if **identity != crate::boot::Identity::default() {
        let why = identity.why.join("; ");
        lines.push(format!("identity {status}{}{why}", if why.is_empty() { "" } else { ": " }));
    }
    if let Some(person) = &request.person {
        lines.push(format!("person {} by {}, in {}", person.name, person.method.name(), person.groups.join(", ")));
    }
    lines
}

fn asked(reading: &Reading) -> String {
    let found = match &reading.found {
        Found::Answer(answer) => cut(&answer.to_string()),
        Found::Failed(why) => format!("failed: {why}"),
        Found::NotKept => "an answer that was too long to be kept".to_owned(),
    };
    let asked = reading.asked.to_string();
    let asked =
        if matches!(asked.as_str(), "null" | "[]" | "{}") { String::new() } else { format!(" {}", cut(&asked)) };
    format!("{}{asked} -> {found}", reading.source)
}

fn cut(text: &str) -> String {
    match text.chars().count() > FOUND_LEN_MAX {
        true => text.chars().take(FOUND_LEN_MAX - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}
