//! Asking scripts beside others that have answered: nothing is kept, and what the others were told stands in for the
//! outside, so that both judge by the same and nobody is asked twice.

use std::sync::Arc;

use rhai::Dynamic;

use super::outside::{self, Answers};
use super::{Question, ScriptHandler, answer};
use crate::boot::{Account, BootRequest, Reading};
use crate::decision::{self, Answer, Compared, HandlerError};

/// What scripts would say.
#[derive(Debug)]
pub struct Would {
    /// What they would say.
    pub said: Compared,
    /// Where they would, as `FILE:LINE`; empty when that is not known.
    pub line: String,
    /// Whom they ask that the others did not.
    pub asks: Option<String>,
}

impl ScriptHandler {
    /// What these scripts would say to a request, where others were told `readings`. Whom the others did not ask is asked
    /// only where that changes nothing. Blocks for as long as a script may run; must be called inside a Tokio runtime.
    pub fn would_say(&self, question: decision::Question, request: &BootRequest, readings: &[Reading]) -> Would {
        match question {
            decision::Question::AllowBoot => {
                self.run_beside(Question::AllowBoot, request, readings, answer::verdict, Compared::of_verdict)
            }
            decision::Question::BootImages => {
                self.run_beside(Question::BootImages, request, readings, answer::images, Compared::of_images)
            }
        }
    }

    fn run_beside<T>(
        &self,
        question: Question,
        request: &BootRequest,
        readings: &[Reading],
        convert: fn(Dynamic) -> Result<Answer<T>, String>,
        compared: fn(&Result<Answer<T>, HandlerError>) -> Compared,
    ) -> Would {
        if !self.program.answers(question) {
            return Would { said: Compared::Passed, line: String::new(), asks: None };
        }
        let answers = Arc::new(Answers::of(readings));
        let run = || self.program.run(question, request, self.program.full(question), convert);
        let (ended, asks) = outside::with_answers_first(&answers, run);
        let said = self.answer_of(question, request, ended);
        let line = account(&said).map_or_else(String::new, |account| account.line.clone());
        Would { said: compared(&said), line, asks }
    }
}

/// How scripts came to what they said.
pub(in crate::handlers) fn account<T>(said: &Result<Answer<T>, HandlerError>) -> Option<&Account> {
    match said {
        Ok(Answer::Explained { account, .. }) => account.as_deref(),
        Err(error) => error.account.as_deref(),
        Ok(_) => None,
    }
}
