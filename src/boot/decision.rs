//! The answer to a question, with the trail that explains it.

use serde::{Deserialize, Serialize};

use super::{Account, BootImages, Line, Manner, Offer, Referral};

/// The answer to *may I boot?*.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// The machine may boot from the network.
    Allow(Offer),
    /// It may not, and is told why where it can show text; then it falls to its own disk.
    Deny {
        /// Why.
        reason: Line,
    },
    /// It gets no answer at all, as if there were no server.
    Ignore {
        /// Why; for the log only.
        reason: Line,
    },
    /// Another boot server takes it over.
    Refer(Referral),
}

impl Verdict {
    /// The machine may boot, and is told so in the usual way.
    pub fn allow() -> Verdict {
        Verdict::Allow(Offer::default())
    }

    /// How the rules want the machine treated.
    pub fn manner(&self) -> Option<&Manner> {
        match self {
            Verdict::Allow(offer) => Some(&offer.manner),
            Verdict::Deny { .. } | Verdict::Ignore { .. } | Verdict::Refer(_) => None,
        }
    }

    /// A denial; the reason is cleaned.
    pub fn deny(reason: &str) -> Verdict {
        Verdict::Deny { reason: Line::clean(reason) }
    }

    /// Silence; the reason is cleaned.
    pub fn ignore(reason: &str) -> Verdict {
        Verdict::Ignore { reason: Line::clean(reason) }
    }

    /// Whether a boot of ours may go on: also that of a machine which is handed over by our loader or script.
    pub fn allows(&self) -> bool {
        match self {
            Verdict::Allow(_) => true,
            Verdict::Refer(referral) => referral.goes_on(),
            Verdict::Deny { .. } | Verdict::Ignore { .. } => false,
        }
    }

    /// `allow`, `deny`, `ignore` or `refer`: the word in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Allow(_) => "allow",
            Verdict::Deny { .. } => "deny",
            Verdict::Ignore { .. } => "ignore",
            Verdict::Refer(_) => "refer",
        }
    }

    /// Why not, or to whom it is referred; empty for [`Verdict::Allow`].
    pub fn reason(&self) -> &str {
        match self {
            Verdict::Allow(_) => "",
            Verdict::Deny { reason } | Verdict::Ignore { reason } => reason.as_str(),
            Verdict::Refer(referral) => referral.upstream.as_str(),
        }
    }
}

/// How one handler took a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It answered.
    Given,
    /// It had no opinion.
    Passed,
    /// It failed.
    Failed,
    /// It took too long.
    TimedOut,
    /// Nobody answered, or a failure ended the chain: the configured policy did.
    Policy,
}

/// One step on the way to a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The handler asked, or `policy`.
    pub handler: String,
    /// How it took the question.
    pub outcome: Outcome,
    /// What it said, or why it failed.
    pub detail: String,
    /// How long it took, in microseconds.
    pub elapsed_us: u64,
    /// How a script came to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Box<Account>>,
}

/// The answer to one question: what to do, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootDecision {
    /// May the machine boot?
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What it boots; absent when only *may I boot?* was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<BootImages>,
    /// Who answered: a handler's name, or `policy`.
    pub handler: String,
    /// How the answer came about.
    pub trail: Vec<Step>,
    /// How long it took in all, in microseconds.
    pub elapsed_us: u64,
}

impl BootDecision {
    /// Whether nobody had an opinion, so that the policy stands in. Where one failed, nobody knows what it would have said;
    /// a machine that is handed over is so because somebody said it.
    pub fn is_of_nobody(&self) -> bool {
        let Some((last, before)) = self.trail.split_last() else { return false };
        let is_handed_over = matches!(self.verdict, Verdict::Refer(_));
        !is_handed_over && last.outcome == Outcome::Policy && before.iter().all(|step| step.outcome == Outcome::Passed)
    }

    /// Whether the answer was not there in time, so that the policy stands in.
    pub fn is_late(&self) -> bool {
        self.trail.last().is_some_and(|step| step.outcome == Outcome::TimedOut)
    }
}
