//! The candidate is asked what live scripts have answered, in the background.
//!
//! **Invariant**: nobody waits for it. Where it falls behind, questions are dropped and counted; and it changes nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::boot::{BootRequest, Reading};
use crate::decision::{Compared, Question, differences};
use crate::handlers::script::ScriptHandler;

use super::tally::{Difference, Outcome, Tally};

/// Questions that wait; one has about two kilobytes.
const QUEUE_LEN_MAX: usize = 1024;
/// Questions that are asked at a time.
const WORKERS_MAX: usize = 2;

/// A question that live scripts have answered.
pub(super) struct Answered {
    pub(super) question: Question,
    pub(super) request: BootRequest,
    pub(super) said: Compared,
    /// What they were told.
    pub(super) readings: Vec<Reading>,
}

/// Asks the candidate.
pub(super) struct Shadow(Arc<Inner>);

struct Inner {
    candidate: Arc<ScriptHandler>,
    tally: Arc<Tally>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    questions: VecDeque<Answered>,
    workers: usize,
}

impl Shadow {
    pub(super) fn new(candidate: Arc<ScriptHandler>, tally: Arc<Tally>) -> Shadow {
        Shadow(Arc::new(Inner { candidate, tally, waiting: Mutex::default() }))
    }

    /// Whether there is room for one more; else it is counted as dropped.
    pub(super) fn has_room(&self) -> bool {
        let has_room = self.0.waiting().questions.len() < QUEUE_LEN_MAX;
        if !has_room {
            self.0.tally.count(Outcome::Dropped);
        }
        has_room
    }

    /// Lets the candidate be asked as well. Must be called inside a Tokio runtime.
    pub(super) fn ask(&self, answered: Answered) {
        let mut waiting = self.0.waiting();
        waiting.questions.push_back(answered);
        if waiting.workers < WORKERS_MAX {
            waiting.workers += 1;
            let inner = Arc::clone(&self.0);
            tokio::task::spawn_blocking(move || inner.work());
        }
    }
}

impl Inner {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(self: Arc<Self>) {
        let mut seat = Seat { inner: &self, is_taken: true };
        while let Some(answered) = seat.next() {
            self.compare(&answered);
        }
    }

    fn compare(&self, answered: &Answered) {
        let Answered { question, request, said, readings } = answered;
        let would = self.candidate.would_say(*question, request, readings);
        let found = differences(said, &would.said);
        if found.is_empty() {
            return self.tally.count(Outcome::Same);
        }
        let has_failed = matches!(would.said, Compared::Failed(_));
        let mut words = format!("would {}", in_words(&would.said));
        if !would.line.is_empty() {
            words += &format!(" ({})", would.line);
        }
        if let Some(whom) = &would.asks {
            words += &format!("; asks {whom}, as the live scripts do not");
        }
        words += &format!("; {}", found.join("; "));
        let kind = format!("{} {}", question.name(), found.iter().map(|line| place(line)).collect::<String>());
        // Told before it is counted: who sees the number finds the difference.
        self.tally.tell(request, &Difference { question: *question, kind, words: &words });
        self.tally.count(if has_failed { Outcome::Failed } else { Outcome::Different });
    }
}

/// A worker's place; free again also when its work panics.
struct Seat<'a> {
    inner: &'a Inner,
    is_taken: bool,
}

impl Seat<'_> {
    /// The next question. Without one the place is given up in the same moment, so that whoever brings a question sees that
    /// nobody works.
    fn next(&mut self) -> Option<Answered> {
        let mut waiting = self.inner.waiting();
        let next = waiting.questions.pop_front();
        if next.is_none() {
            waiting.workers -= 1;
            self.is_taken = false;
        }
        next
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if self.is_taken {
            self.inner.waiting().workers -= 1;
        }
    }
}

fn in_words(said: &Compared) -> String {
    match said {
        Compared::Images(_) => said.summary().replacen("boots ", "boot ", 1),
        Compared::Passed | Compared::Noted(_) => format!("have {}", said.summary()),
        Compared::Failed(why) => format!("fail: {why}"),
        Compared::Verdict(_) => said.summary(),
    }
}

/// What differs, without the values.
fn place(line: &str) -> &str {
    let old = line.split(" -> ").next().unwrap_or_default();
    old.rsplit_once(": ").map_or(old, |(place, _)| place)
}
