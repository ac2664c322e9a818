//! One question asked of the handlers in their order, until one answers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::warn;

use crate::boot::{
    BootDecision, BootImages, BootRequest, Identity, IdentityStatus, Line, Offer, Outcome, Record, Referral, Step,
    Verdict,
};

use super::log::{DecisionLog, image_ids};
use super::{Answer, HandlerError, RequestHandler, World};

/// One of the two questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// May the machine boot?
    AllowBoot,
    /// What does it boot?
    BootImages,
}

impl Question {
    /// The name of the handler's function, in logs and history.
    pub fn name(self) -> &'static str {
        match self {
            Question::AllowBoot => "allow_boot",
            Question::BootImages => "boot_images",
        }
    }
}

/// What a handler or the policy says to either question.
enum Said {
    Verdict(Verdict),
    Images(BootImages),
    HandOver(Referral, BootImages),
}

/// Asks; `referral` is what the verdict said of a machine that is handed over.
pub(super) async fn evaluate(
    world: &World,
    request: &mut BootRequest,
    question: Question,
    referral: Option<&Referral>,
    log: &DecisionLog,
) -> BootDecision {
    let started = Instant::now();
    let mut trail = Vec::new();
    let work = ask(world, request, question, log, &mut trail);
    let said = match tokio::time::timeout(world.policy.limits.work, work).await {
        Ok(Some(said)) => said,
        Ok(None) => nobody(world, question, referral, &mut trail),
        Err(_) => {
            let detail = format!("given up after {} s", world.policy.limits.work.as_secs());
            let verdict = world.policy.on_timeout.verdict(&detail);
            trail.push(policy_step(Outcome::TimedOut, detail, micros(started.elapsed())));
            Said::Verdict(verdict)
        }
    };
    let (verdict, images) = match said {
        Said::Verdict(verdict) => (verdict, None),
        Said::Images(images) => (Verdict::allow(), Some(images)),
        Said::HandOver(referral, images) => (Verdict::Refer(referral), Some(images)),
    };
    let handler = trail.last().map_or_else(String::new, |step| step.handler.clone());
    BootDecision { verdict, images, handler, trail, elapsed_us: micros(started.elapsed()) }
}

async fn ask(
    world: &World,
    request: &mut BootRequest,
    question: Question,
    log: &DecisionLog,
    trail: &mut Vec<Step>,
) -> Option<Said> {
    for handler in &world.handlers {
        let started = Instant::now();
        let answer = ask_one(&**handler, request, question).await;
        let mut step = |outcome, detail: String, account| {
            let handler = handler.name().to_owned();
            trail.push(Step { handler, outcome, detail, elapsed_us: micros(started.elapsed()), account });
        };
        match answer {
            Ok(Answer::Given(said)) => {
                step(Outcome::Given, summary(&said), None);
                return Some(said);
            }
            Ok(Answer::Explained { given, why, known, account }) => {
                known.iter().for_each(|known| identify(request, known));
                request.record = known.map(Arc::new).or_else(|| request.record.take());
                match given {
                    Some(said) => {
                        let why = if why.is_empty() { why } else { format!(" ({why})") };
                        step(Outcome::Given, format!("{}{why}", summary(&said)), account);
                        return Some(said);
                    }
                    None => step(Outcome::Passed, why, account),
                }
            }
            Ok(Answer::Identified { identity, why }) => {
                step(Outcome::Passed, why, None);
                request.identity = Arc::from(identity);
            }
            Ok(Answer::Pass) => step(Outcome::Passed, String::new(), None),
            Ok(Answer::Noted(record)) => {
                step(Outcome::Passed, record.in_words(), None);
                identify(request, &record);
                request.record = Some(Arc::new(record));
            }
            Err(error) => {
                if log.has_room(request.now) {
                    warn!(
                    session = %request.session, mac = %request.client.hardware, stage = request.stage.name(),
                    handler = handler.name(), %error, "handler failed"
                    );
                }
                step(Outcome::Failed, error.message, error.account);
                if let Some(fallback) = world.policy.on_error.fallback() {
                    let verdict = fallback.verdict("the server could not decide; see its log");
                    trail.push(policy_step(Outcome::Policy, format!("on_error: {}", verdict.name()), 0));
                    return Some(allowed_means_disk(verdict, question));
                }
            }
        }
    }
    None
}

/// Who a machine is by the row that a handler found, which says by which keys. What was known before of its keys stays.
fn identify(request: &mut BootRequest, record: &Record) {
    let Some(keys) = record.text("matched_by") else { return };
    let machine = record.text("hostname").or_else(|| record.text("machine_id")).unwrap_or_default();
    let matched_by = keys.split(", ").map(|key| Line::clean(key).to_string()).collect();
    let identity = (*request.identity).clone();
    let status = IdentityStatus::Known;
    let machine = Line::clean(&machine).to_string();
    request.identity = Arc::new(Identity { status, machine, matched_by, candidates: Vec::new(), ..identity });
}

/// What stands in for an answer that nobody gave.
fn nobody(world: &World, question: Question, referral: Option<&Referral>, trail: &mut Vec<Step>) -> Said {
    match question {
        Question::AllowBoot => {
            let verdict = world.policy.unknown.verdict("no rule knows this machine");
            trail.push(policy_step(Outcome::Policy, format!("unknown: {}", verdict.name()), 0));
            Said::Verdict(verdict)
        }
        Question::BootImages if let Some((referral, images)) = referral.and_then(|to| Some((to, to.images()?))) => {
            let detail = format!("no handler named an image: handed over to {}", referral.upstream);
            trail.push(policy_step(Outcome::Policy, detail, 0));
            Said::HandOver(referral.clone(), images)
        }
        // An allowed machine for which nobody names an image has nothing to boot but its own disk.
        Question::BootImages => {
            trail.push(policy_step(Outcome::Policy, "no handler named an image: local disk".into(), 0));
            Said::Images(BootImages::none())
        }
    }
}

/// Where the policy allows but no image is known, the machine's own disk is what it boots.
fn allowed_means_disk(verdict: Verdict, question: Question) -> Said {
    match question {
        Question::BootImages if verdict.allows() => Said::Images(BootImages::none()),
        _ => Said::Verdict(verdict),
    }
}

/// Asks one handler; its panic is its failure, and nobody else's.
async fn ask_one(
    handler: &dyn RequestHandler,
    request: &BootRequest,
    question: Question,
) -> Result<Answer<Said>, HandlerError> {
    let asked = async {
        match question {
            Question::AllowBoot => Ok(handler.allow_boot(request).await?.map(Said::Verdict)),
            Question::BootImages => Ok(handler.boot_images(request).await?.map(Said::Images)),
        }
    };
    guarded(asked).await
}

/// The result of a handler's work; its panic is its failure, and nobody else's.
pub(super) async fn guarded<T>(work: impl Future<Output = Result<T, HandlerError>>) -> Result<T, HandlerError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(_) => Err(HandlerError::new("the handler panicked; this is a defect, please report it")),
    }
}

fn policy_step(outcome: Outcome, detail: String, elapsed_us: u64) -> Step {
    Step { handler: "policy".into(), outcome, detail, elapsed_us, account: None }
}

fn summary(said: &Said) -> String {
    match said {
        Said::Verdict(Verdict::Allow(offer)) if *offer == Offer::default() => "allow".into(),
        Said::Verdict(Verdict::Allow(offer)) => format!("allow: {offer}"),
        Said::Verdict(verdict) => format!("{}: {}", verdict.name(), verdict.reason()),
        Said::Images(images) | Said::HandOver(_, images) => image_ids(images),
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
