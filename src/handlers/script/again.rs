//! An old question asked once more: of these scripts, with the time, the facts and the answers of others that it had.
//!
//! **Invariant**: nobody is asked, and nothing is kept.

use std::sync::Arc;

use rhai::Dynamic;

use super::outside::{self, Answers};
use super::{Question, ScriptHandler, answer, with_note};
use crate::boot::{BootRequest, Found, Reading};
use crate::decision::{Answer, Compared};

/// What the scripts say now.
#[derive(Clone, Debug, PartialEq)]
pub struct Again {
    /// The answer.
    pub said: Compared,
    /// Where it was made, as `FILE:LINE`; empty when that is not known.
    pub line: String,
    /// The text of a failure with its line and a caret, as `check` shows it.
    pub error: Option<String>,
    /// Who is asked now and was not then, or whose answer was not kept: there is no answer then.
    pub unanswered: Option<Unanswered>,
}

/// Whose answer is missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unanswered {
    /// It was not asked then, or something else was asked of it.
    NotAsked(String),
    /// Its answer was too long to be kept.
    NotKept(String),
}

impl ScriptHandler {
    /// Whether this is its name in the configuration and in trails.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name
    }

    /// Asks a question once more, with what the scripts were told then. Takes as long as the script takes, on this thread.
    pub fn again(&self, question: Question, request: &BootRequest, told: &[Reading]) -> Again {
        let answers = Arc::new(Answers::of(told));
        let (said, missing) = outside::with_answers(&answers, || match question {
            Question::AllowBoot => self.once_more(question, request, answer::verdict, Compared::Verdict),
            Question::BootImages => self.once_more(question, request, answer::images, Compared::Images),
        });
        let not_kept =
            |source: &String| told.iter().any(|reading| reading.source == *source && reading.found == Found::NotKept);
        let unanswered = missing.map(|source| match not_kept(&source) {
            true => Unanswered::NotKept(source),
            false => Unanswered::NotAsked(source),
        });
        Again { unanswered, ..said }
    }

    fn once_more<T>(
        &self,
        question: Question,
        request: &BootRequest,
        convert: fn(Dynamic) -> Result<Answer<T>, String>,
        given: fn(T) -> Compared,
    ) -> Again {
        let ended = self.program.run(question, request, self.program.full(question), convert);
        let line = self.program.line(question, request, &ended);
        let mut error = None;
        let said = match ended.value {
            Ok(Answer::Given(answer)) => given(answer),
            Ok(Answer::Noted(note)) => match with_note(request, &note) {
                Ok(record) => Compared::Noted(record),
                Err(error) => Compared::Failed(error.message),
            },
            Ok(Answer::Pass | Answer::Identified { .. } | Answer::Explained { .. }) => Compared::Passed,
            Err(failed) => {
                error = Some(failed.to_string());
                Compared::Failed(failed.one_line())
            }
        };
        Again { said, line, error, unanswered: None }
    }
}

/// The columns of a record that a script notes when it refers a machine: those of `REFER_NOTE`.
pub const NOTED: [&str; 2] = answer::REFER_NOTE;
