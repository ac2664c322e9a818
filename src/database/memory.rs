//! The last answer to each question, for the time when the database does not answer.
//!
//! **Invariant**: an answer stands in only for the very same question, that is the same query with the same values,
//! and not for longer than the site said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    begin: Instant,
}

struct Answer {
    /// The records as octets: a fraction of their size, and quickly compared.
    records: Box<[u8]>,
    /// When it was last given, in milliseconds after the memory began.
    at_ms: AtomicU64,
}

impl Memory {
    /// Remembers nothing when `keep` is zero.
    pub(super) fn new(keep: Duration, answers_max: u64) -> Memory {
        let is_wanted = !keep.is_zero() && answers_max > 0;
        let answers = is_wanted.then(|| {
            let weight = |question: &Question, answer: &Arc<Answer>| weight(question.len() + answer.records.len());
            Cache::builder().max_capacity(answers_max).weigher(weight).build()
        });
        Memory { answers, keep, begin: Instant::now() }
    }

    /// The question, when answers are remembered.
    pub(super) fn question(&self, query: &Query, values: &[&Value]) -> Option<Question> {
        self.answers.as_ref().map(|_| question(query, values))
    }

    pub(super) fn remember(&self, question: Option<Question>, records: &[Record]) {
        let (Some(answers), Some(question)) = (&self.answers, question) else { return };
        let (records, now_ms) = (encode(records), self.now_ms());
        match answers.get(&question) {
            // Most answers are the same as last time.
            Some(answer) if answer.records == records => answer.at_ms.store(now_ms, Ordering::Relaxed),
            _ => answers.insert(question, Arc::new(Answer { records, at_ms: now_ms.into() })),
        }
    }

    pub(super) fn knows(&self, question: Option<&Question>) -> bool {
        self.answer(question).is_some()
    }

    /// The last answer, and how old it is.
    pub(super) fn recall(&self, question: Option<&Question>) -> Option<(Vec<Record>, Duration)> {
        let (answer, age) = self.answer(question)?;
        Some((decode(&answer.records)?, age))
    }

    fn answer(&self, question: Option<&Question>) -> Option<(Arc<Answer>, Duration)> {
        let answer = self.answers.as_ref()?.get(question?)?;
        let age = Duration::from_millis(self.now_ms().saturating_sub(answer.at_ms.load(Ordering::Relaxed)));
        (age <= self.keep).then_some((answer, age))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The question as octets: two different ones never have the same.
fn question(query: &Query, values: &[&Value]) -> Question {
    let mut octets = Vec::with_capacity(query.text().len() + 32 * values.len());
    // The query has no NUL and the number of values is its own, so each value begins where the last one ends.
    octets.extend_from_slice(query.text().as_bytes());
    octets.push(0);
    values.iter().for_each(|value| put(&mut octets, value));
    octets.into()
}

/// Records as octets: for each the number of its columns, then name and value of each.
fn encode(records: &[Record]) -> Box<[u8]> {
    let mut octets = Vec::with_capacity(256 * records.len());
    for record in records {
        octets.extend((record.iter().count() as u64).to_le_bytes());
        for (name, value) in record.iter() {
            put_text(&mut octets, name);
            put(&mut octets, value);
        }
    }
    octets.into()
}

fn decode(mut octets: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    while !octets.is_empty() {
        let mut record = Record::default();
        for _ in 0..u64::from_le_bytes(take(&mut octets)?) {
            let name = take_text(&mut octets)?;
            record.insert(name, take_value(&mut octets)?);
        }
        records.push(record);
    }
    Some(records)
}

fn put(octets: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => octets.push(b'n'),
        Value::Bool(value) => octets.extend([b'b', u8::from(*value)]),
        Value::Integer(value) => {
            octets.push(b'i');
            octets.extend(value.to_le_bytes());
        }
        Value::Float(value) => {
            octets.push(b'f');
            octets.extend(value.to_bits().to_le_bytes());
        }
        Value::Text(text) => {
            octets.push(b't');
            put_text(octets, text);
        }
    }
}

fn put_text(octets: &mut Vec<u8>, text: &str) {
    octets.extend((text.len() as u64).to_le_bytes());
    octets.extend_from_slice(text.as_bytes());
}

fn take<const N: usize>(octets: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = octets.split_first_chunk::<N>()?;
    *octets = rest;
    Some(*taken)
}

fn take_text<'a>(octets: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(u64::from_le_bytes(take(octets)?)).ok()?;
    let (text, rest) = octets.split_at_checked(len)?;
    *octets = rest;
    std::str::from_utf8(text).ok()
}

fn take_value(octets: &mut &[u8]) -> Option<Value> {
    Some(match take(octets)? {
        [b'n'] => Value::Null,
        [b'b'] => Value::Bool(take(octets)? == [1]),
        [b'i'] => Value::Integer(i64::from_le_bytes(take(octets)?)),
        [b'f'] => Value::Float(f64::from_bits(u64::from_le_bytes(take(octets)?))),
        [b't'] => Value::Text(take_text(octets)?.to_owned()),
        _ => return None,
    })
}

fn weight(octets: usize) -> u32 {
    u32::try_from(octets.div_ceil(OCTETS_PER_ANSWER).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert_eq!((weight(0), weight(4096), weight(4097)), (1, 1, 2));
        let memory = Memory::new(Duration::from_secs(60), 100);
        let query = Query::parse("select :n").unwrap();
        for n in 0..1000 {
            let question = memory.question(&query, &[&Value::Integer(n)]);
            memory.remember(question, &[record(&"x".repeat(40_000))]);
        }
        let answers = memory.answers.unwrap();
        answers.run_pending_tasks();
        assert!((1..=10).contains(&answers.entry_count()), "{}", answers.entry_count());
    }

    #[test]
    fn the_same_answer_is_young_again() {
        let memory = Memory::new(Duration::from_millis(50), 100);
        let query = Query::parse("select 1").unwrap();
        let question = memory.question(&query, &[]);
        memory.remember(question.clone(), &[record("lab-07")]);
        let since = Instant::now();
        while memory.knows(question.as_ref()) {
            assert!(since.elapsed() < Duration::from_secs(30), "it never grows too old");
            std::thread::yield_now();
        }
        // A busy machine may let it grow too old in between, but not each time.
        for name in ["lab-07", "lab-08"] {
            let is_recalled = || {
                memory.remember(question.clone(), &[record(name)]);
                memory.recall(question.as_ref()).is_some_and(|(records, _)| records == [record(name)])
            };
            assert!((0..100).any(|_| is_recalled()), "{name}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Integer),
            (-1e300..1e300).prop_map(Value::Float),
            ".{0,20}".prop_map(Value::Text),
        ]
    }

    proptest! {
        #[test]
        fn records_come_back(columns in prop::collection::vec(("[a-z_]{0,8}", any_value()), 0..6), rows in 0..4_usize) {
            let record: Record = columns.into_iter().collect();
            let records = vec![record; rows];
            prop_assert_eq!(decode(&encode(&records)), Some(records));
        }

        #[test]
        fn other_octets_are_no_records(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&octets);
        }
    }
}
