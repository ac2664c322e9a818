//! The last answer to each question, for the time when the database does not answer.
//!
//! **Invariant**: an answer stands in only for the very same question, that is the same query with the same values,
//! and not for longer than the site said.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::Query;
use crate::boot::{Record, Value};

/// An answer that is longer than this counts as several, so that the memory has an end in octets too.
const OCTETS_PER_ANSWER: usize = 4096;

/// A query with its values, as octets.
pub(super) type Question = Box<[u8]>;

pub(super) struct Memory {
    answers: Option<Cache<Question, Arc<Answer>>>,
    keep: Duration,
}

struct Answer {
    records: Vec<Record>,
    at: Instant,
}

impl Memory {
    /// Remembers nothing when `keep` is zero.
    pub(super) fn new(keep: Duration, answers_max: u64) -> Memory {
        let is_wanted = !keep.is_zero() && answers_max > 0;
        let answers = is_wanted.then(|| {
            Cache::builder()
                .max_capacity(answers_max)
                .weigher(|question: &Question, answer: &Arc<Answer>| weight(question, &answer.records))
                .time_to_live(keep)
                .build()
        });
        Memory { answers, keep }
    }

    /// The question, when answers are remembered.
    pub(super) fn question(&self, query: &Query, values: &[&Value]) -> Option<Question> {
        self.answers.as_ref().map(|_| question(query, values))
    }

    pub(super) fn remember(&self, question: Option<Question>, records: &[Record]) {
        if let (Some(answers), Some(question)) = (&self.answers, question) {
            let answer = Answer { records: records.to_vec(), at: Instant::now() };
            answers.insert(question, Arc::new(answer));
        }
    }

    pub(super) fn knows(&self, question: Option<&Question>) -> bool {
        self.answer(question).is_some()
    }

    /// The last answer, and how old it is.
    pub(super) fn recall(&self, question: Option<&Question>) -> Option<(Vec<Record>, Duration)> {
        let answer = self.answer(question)?;
        Some((answer.records.clone(), answer.at.elapsed()))
    }

    fn answer(&self, question: Option<&Question>) -> Option<Arc<Answer>> {
        let answer = self.answers.as_ref()?.get(question?)?;
        (answer.at.elapsed() <= self.keep).then_some(answer)
    }
}

/// The question as octets: two different ones never have the same.
fn question(query: &Query, values: &[&Value]) -> Question {
    let mut key = Vec::with_capacity(query.text().len() + 24 * values.len());
    key.extend_from_slice(query.text().as_bytes());
    for value in values {
        // The query has no NUL and the number of values is its own, so each value begins where the last one ends.
        key.push(0);
        match value {
            Value::Null => key.push(b'n'),
            Value::Bool(value) => key.extend([b'b', u8::from(*value)]),
            Value::Integer(value) => {
                key.push(b'i');
                key.extend(value.to_le_bytes());
            }
            Value::Float(value) => {
                key.push(b'f');
                key.extend(value.to_bits().to_le_bytes());
            }
            Value::Text(text) => {
                key.push(b't');
                key.extend((text.len() as u64).to_le_bytes());
                key.extend(text.as_bytes());
            }
        }
    }
    key.into()
}

fn weight(question: &[u8], records: &[Record]) -> u32 {
    let text = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => 0,
    };
    let columns = records.iter().flat_map(Record::iter);
    // A column costs its name, its value and its place in the tree.
    let octets: usize = columns.map(|(name, value)| 64 + name.len() + text(value)).sum();
    let answers = (question.len() + octets).div_ceil(OCTETS_PER_ANSWER).max(1);
    u32::try_from(answers).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(hostname: &str) -> Record {
        [("hostname", Value::from(hostname))].into_iter().collect()
    }

    #[test]
    fn only_the_same_question_has_the_answer() {
        let memory = Memory::new(Duration::from_secs(60), 100);
        let query = Query::parse("select * from m where mac = :mac and site = :site").unwrap();
        let (a, b, null) = (Value::from("a"), Value::from("b"), Value::Null);
        let recall = |query: &Query, values: &[&Value]| memory.recall(memory.question(query, values).as_ref());
        memory.remember(memory.question(&query, &[&a, &b]), &[record("lab-07")]);
        let (records, age) = recall(&query, &[&a, &b]).unwrap();
        assert_eq!(records, [record("lab-07")]);
        assert!(age < Duration::from_secs(5));
        assert!(recall(&query, &[&b, &a]).is_none());
        assert!(recall(&query, &[&a, &null]).is_none());
        let other = Query::parse("select * from n where mac = :mac and site = :site").unwrap();
        assert!(recall(&other, &[&a, &b]).is_none());
    }

    #[test]
    fn values_cannot_be_shifted_into_each_other() {
        let query = Query::parse("select :a, :b").unwrap();
        let texts = ["", "t", "\0t", "a\0t", "1"].map(Value::from);
        let mut values: Vec<Value> = vec![Value::Null, Value::Integer(1), Value::Bool(true), Value::Float(1.0)];
        values.extend(texts);
        let mut seen = std::collections::BTreeSet::new();
        for a in &values {
            for b in &values {
                assert!(seen.insert(question(&query, &[a, b])), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn zero_means_nothing_is_remembered() {
        let memory = Memory::new(Duration::ZERO, 100);
        let query = Query::parse("select 1").unwrap();
        let question = memory.question(&query, &[]);
        assert!(question.is_none());
        memory.remember(question.clone(), &[record("lab-07")]);
        assert!(memory.recall(question.as_ref()).is_none() && !memory.knows(Some(&Box::default())));
    }

    #[test]
    fn a_long_answer_counts_as_several() {
        assert_eq!(weight(b"select", &[record("lab-07")]), 1);
        assert_eq!(weight(b"select", &[record(&"x".repeat(40_000))]), 10);
    }
}
