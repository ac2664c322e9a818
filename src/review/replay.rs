//! Old questions asked again, of the scripts that the site has now or may have soon.
//!
//! Only scripts are asked. What a database or an upstream said then, before the scripts or behind them, is in the
//! recorded record and trail, and stands; so do the answers to what the scripts asked, the time, and everything that the
//! machine said of itself.
//!
//! **Invariant**: where an answer cannot be told from what was recorded, that is said, and nothing is made up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::boot::{BootDecision, BootImages, BootRequest, Outcome as Took, Reading, Record, Step};
use crate::decision::{Compared, Difference, Fallback, Policy, Question, differing};
use crate::handlers::script::{NOTED, Question as Asked, ScriptHandler, Unanswered};
use crate::site::Site;
use crate::store::Kept;

/// A site whose scripts are asked old questions.
pub struct Replay {
    parts: Vec<Part>,
    policy: Policy,
}

/// A handler, by its name; with its scripts, where it has some.
struct Part {
    name: String,
    script: Option<Arc<ScriptHandler>>,
}

/// What came of asking again.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The answer does the same.
    Same,
    /// It does something else.
    Changed(Box<Change>),
    /// It cannot be told: this is asked now, and was not then.
    Unknown(String),
    /// It was not asked again, for this reason.
    Skipped(String),
}

/// An answer that would be another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// `allow_boot` or `boot_images`.
    pub question: &'static str,
    /// The kinds of both answers: `deny`, `image`, `disk`, `fail`, ...
    pub kinds: [&'static str; 2],
    /// The old answer, and the new one, in a few words.
    pub answers: [String; 2],
    /// Where each was made, as `FILE:LINE`; empty where that is not known.
    pub lines: [String; 2],
    /// What differs.
    pub differences: Vec<Difference>,
    /// How the new scripts fail, with the line and a caret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the handlers say, one after the other.
#[derive(Default)]
struct Now {
    said: Option<Compared>,
    line: String,
    error: Option<String>,
}

impl Replay {
    /// The handlers and the policy of a site.
    pub fn new(site: &Site) -> Replay {
        let part = |built: &crate::handlers::Built| Part {
            name: built.handler.name().to_owned(),
            script: built.script.clone(),
        };
        Replay { parts: site.handlers.iter().map(part).collect(), policy: site.config.decision.policy() }
    }

    /// Whether there is a script to ask.
    pub fn has_scripts(&self) -> bool {
        self.parts.iter().any(|part| part.script.is_some())
    }

    /// Asks one question again, on this thread.
    pub fn ask(&self, kept: &Kept) -> Outcome {
        let (request, decision) = match (kept.request(), kept.decision()) {
            (Ok(request), Ok(decision)) => (request, decision),
            (Err(error), _) | (_, Err(error)) => return Outcome::Skipped(error.to_string()),
        };
        if decision.is_late() {
            return Outcome::Skipped("it was not answered in time then".into());
        }
        let old = Compared::of_decision(&decision);
        match self.now(kept.question, request, &decision) {
            Ok(now) => {
                let said = now.said.unwrap_or_else(|| self.nobody(kept.question, &decision));
                changed(kept.question, (&old, old_line(&decision)), &said, now.line, now.error)
            }
            Err(unknown) => Outcome::Unknown(unknown),
        }
    }

    /// Goes through the handlers as the engine does; an error says what cannot be told.
    fn now(&self, question: Question, mut request: BootRequest, then: &BootDecision) -> Result<Now, String> {
        // Handlers see what those before them know: the record is there once one of them was passed.
        let record = request.record.take().map(|record| without_notes(&record, then));
        let mut now = Now::default();
        let mut referred = None;
        for part in &self.parts {
            let step = then.trail.iter().find(|step| step.handler == part.name);
            let Some(script) = &part.script else {
                match recorded(part, step, then, referred.as_ref())? {
                    Some(said) => return Ok(Now { said: Some(said), ..now }),
                    None => request.record = record.clone().map(Arc::new).or(request.record),
                }
                continue;
            };
            let asked = match question {
                Question::AllowBoot => Asked::AllowBoot,
                Question::BootImages => Asked::BootImages,
            };
            let again = script.again(asked, &request, readings(step));
            match again.unanswered {
                Some(Unanswered::NotAsked(source)) => {
                    return Err(format!("{} asks {source}, which was not asked then", part.name));
                }
                Some(Unanswered::NotKept(source)) => {
                    return Err(format!("{} asks {source}, whose answer was too long to be kept", part.name));
                }
                None => {}
            }
            match again.said {
                Compared::Passed => {}
                Compared::Noted(note) => {
                    referred = note.text("upstream");
                    request.record = Some(Arc::new(note));
                }
                Compared::Failed(_) => {
                    (now.line, now.error) = (again.line, again.error);
                    if let Some(fallback) = self.policy.on_error.fallback() {
                        now.said = Some(stand_in(fallback, question, "the server could not decide; see its log"));
                        return Ok(now);
                    }
                }
                said => return Ok(Now { said: Some(said), line: again.line, error: now.error }),
            }
        }
        Ok(now)
    }

    /// What stands in where nobody answers.
    fn nobody(&self, question: Question, then: &BootDecision) -> Compared {
        let stood_in = then.trail.last().is_some_and(|step| step.outcome == Took::Policy);
        let failed = then.trail.iter().any(|step| step.outcome == Took::Failed);
        if stood_in && !failed {
            // It did so then, in the words of that time; a machine that is handed over has its images from the referral.
            return Compared::of_decision(then);
        }
        stand_in(self.policy.unknown, question, "no rule knows this machine")
    }
}

/// What the policy says; an allowed machine for which nobody names an image has its own disk.
fn stand_in(fallback: Fallback, question: Question, reason: &str) -> Compared {
    match (question, fallback) {
        (Question::BootImages, Fallback::Allow) => Compared::Images(BootImages::none()),
        (Question::BootImages, _) if reason.starts_with("no rule") => Compared::Images(BootImages::none()),
        _ => Compared::Verdict(fallback.verdict(reason)),
    }
}

/// What a handler without scripts said then: its answer, or none where it passed.
fn recorded(
    part: &Part,
    step: Option<&Step>,
    then: &BootDecision,
    referred: Option<&String>,
) -> Result<Option<Compared>, String> {
    let Some(step) = step else {
        return Err(format!("{} would be asked, which was not then", part.name));
    };
    // A script that refers to another upstream makes the old answer of the referral worthless.
    if let Some(upstream) = referred
        && !then.trail.iter().any(|step| step.detail.contains(upstream.as_str()))
    {
        return Err(format!("{} would be asked of {upstream}, which was not then", part.name));
    }
    Ok((step.outcome == Took::Given).then(|| Compared::of_decision(then)))
}

fn readings(step: Option<&Step>) -> &[Reading] {
    step.and_then(|step| step.account.as_deref()).map_or(&[], |account| &account.readings)
}

/// The record without what a script itself noted then, which is the last thing that is known of the machine.
fn without_notes(record: &Record, then: &BootDecision) -> Record {
    let noted =
        then.trail.iter().any(|step| step.account.is_some() && step.outcome == Took::Passed && !step.detail.is_empty());
    let is_left = |name: &str| !noted || !NOTED.contains(&name);
    record.iter().filter(|(name, _)| is_left(name)).map(|(name, value)| (name, value.clone())).collect()
}

/// Where the old answer was made.
fn old_line(decision: &BootDecision) -> String {
    let step = decision.trail.iter().rev().find(|step| matches!(step.outcome, Took::Given | Took::Failed));
    step.and_then(|step| step.account.as_ref()).map_or_else(String::new, |account| account.line.clone())
}

fn changed(
    question: Question,
    (old, old_line): (&Compared, String),
    new: &Compared,
    line: String,
    error: Option<String>,
) -> Outcome {
    let differences = differing(old, new);
    if differences.is_empty() {
        return Outcome::Same;
    }
    let kind = |error: &Option<String>| if error.is_some() { "fail" } else { new.kind() };
    Outcome::Changed(Box::new(Change {
        question: question.name(),
        kinds: [old.kind(), kind(&error)],
        answers: [old.summary(), new.summary()],
        lines: [short(&old_line), short(&line)],
        differences,
        error,
    }))
}

/// `FILE:LINE` without the folder: those of two sets of scripts are compared.
fn short(line: &str) -> String {
    Path::new(line).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// What came of each question, by machine.
pub(super) type ByMachine<T> = BTreeMap<String, T>;
