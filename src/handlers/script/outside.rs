//! What a script is told by others while it runs: databases, web services, notes.
//!
//! In a boot the answers are kept, so that it can be explained and replayed. In a case and in a replay they are data,
//! and nobody is asked.
//!
//! **Invariant**: every function that asks somebody else asks through [`ask`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::EvalAltResult;
use serde_json::Value as Json;

use super::sandbox::{self, fail};
use crate::boot::{Account, Found, Reading};

/// Answers that stand in for the outside, by who is asked and what; for whatever is asked, where that is absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    told: BTreeMap<(String, Option<String>), Result<Json, String>>,
    /// Whether a note that is not among them is known not to be there.
    has_all_notes: bool,
}

impl Answers {
    /// Keeps an answer, or why there is none; `asked` is none where the answer is always the same.
    pub(super) fn insert(&mut self, source: &str, asked: Option<&Json>, answer: Result<Json, String>) {
        self.told.insert((source.to_owned(), asked.map(Json::to_string)), answer);
    }

    /// What a script was told in an earlier run.
    pub(super) fn of(readings: &[Reading]) -> Answers {
        let mut answers = Answers::default();
        for reading in readings {
            let answer = match &reading.found {
                Found::Answer(answer) => Ok(answer.clone()),
                Found::Failed(reason) => Err(reason.clone()),
                // It ends the run there, which is as far as can be told.
                Found::NotKept => continue,
            };
            answers.insert(&reading.source, Some(&reading.asked), answer);
        }
        answers
    }

    /// Says that there are no notes but those that were inserted.
    pub(super) fn with_all_notes(self) -> Answers {
        Answers { has_all_notes: true, ..self }
    }

    fn find(&self, source: &str, asked: &Json) -> Option<&Result<Json, String>> {
        const NO_NOTE: &Result<Json, String> = &Ok(Json::Null);
        let exact = (source.to_owned(), Some(asked.to_string()));
        let told = self.told.get(&exact).or_else(|| self.told.get(&(source.to_owned(), None)));
        told.or_else(|| (self.has_all_notes && source.starts_with("note ")).then_some(NO_NOTE))
    }
}

thread_local! {
    /// The answers that stand in for the outside in this thread.
    static ANSWERS: RefCell<Option<Arc<Answers>>> = const { RefCell::new(None) };
    /// Whether who is not in them is really asked, where asking changes nothing.
    static ASKS_OTHERS: Cell<bool> = const { Cell::new(false) };
    /// Who was asked and is not in them.
    static UNANSWERED: Cell<Option<String>> = const { Cell::new(None) };
    /// What the run in this thread was told, and its length.
    static READINGS: RefCell<(Vec<Reading>, usize)> = const { RefCell::new((Vec::new(), 0)) };
}

/// Does `work` with these answers in the place of the outside. Tells as well who was asked and is not in them.
pub(super) fn with_answers<T>(answers: &Arc<Answers>, work: impl FnOnce() -> T) -> (T, Option<String>) {
    with(answers, false, work)
}

/// As [`with_answers`], but who is not in them is really asked where asking changes nothing, and told as well.
pub(super) fn with_answers_first<T>(answers: &Arc<Answers>, work: impl FnOnce() -> T) -> (T, Option<String>) {
    with(answers, true, work)
}

fn with<T>(answers: &Arc<Answers>, asks_others: bool, work: impl FnOnce() -> T) -> (T, Option<String>) {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            // The next run in this thread may be that of a machine.
            ANSWERS.set(None);
            ASKS_OTHERS.set(false);
        }
    }
    ANSWERS.set(Some(Arc::clone(answers)));
    ASKS_OTHERS.set(asks_others);
    UNANSWERED.set(None);
    let clear = Clear;
    let value = work();
    drop(clear);
    (value, UNANSWERED.take())
}

/// Asks somebody else, unless answers stand in. `source` is who, `asked` are the parameters; an error is in words for
/// the administrator, without `source`.
pub(super) fn ask(
    source: &str,
    asked: Json,
    really: impl FnOnce(&Json) -> Result<Result<Json, String>, Box<EvalAltResult>>,
) -> Result<Json, Box<EvalAltResult>> {
    let answer = match ANSWERS.with_borrow(Clone::clone) {
        None => really(&asked)?,
        Some(answers) => match answers.find(source, &asked) {
            Some(answer) => answer.clone(),
            None if ASKS_OTHERS.get() && only_reads(source) => {
                let answer = really(&asked)?;
                UNANSWERED.set(Some(source.to_owned()));
                answer
            }
            None => {
                UNANSWERED.set(Some(source.to_owned()));
                return sandbox::end(format!("{source} has no answer here"));
            }
        },
    };
    keep(source, asked, &answer);
    answer.or_else(|reason| fail(format!("{source}: {reason}")))
}

/// Whether asking changes nothing there.
fn only_reads(source: &str) -> bool {
    ["query ", "http GET ", "note "].iter().any(|kind| source.starts_with(kind))
}

fn keep(source: &str, asked: Json, answer: &Result<Json, String>) {
    READINGS.with_borrow_mut(|(readings, length)| {
        let found = match answer {
            Ok(answer) => {
                let more = answer.to_string().len();
                if *length + more <= Account::READINGS_LEN_MAX {
                    *length += more;
                    Found::Answer(answer.clone())
                } else {
                    Found::NotKept
                }
            }
            Err(reason) => Found::Failed(reason.clone()),
        };
        if readings.len() < READINGS_MAX {
            readings.push(Reading { source: source.to_owned(), asked, found });
        }
    });
}

/// Forgets what an earlier run was told.
pub(super) fn begin() {
    READINGS.with_borrow_mut(|(readings, length)| {
        readings.clear();
        *length = 0;
    });
}

/// What the run was told.
pub(super) fn readings() -> Vec<Reading> {
    READINGS.with_borrow_mut(|(readings, _)| std::mem::take(readings))
}

/// Whether answers stand in for the outside in this thread.
#[cfg(test)]
pub(super) fn is_answered() -> bool {
    ANSWERS.with_borrow(Option::is_some)
}

/// The most answers that are kept of one run.
const READINGS_MAX: usize = 100;
