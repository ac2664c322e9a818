//! What is not kept for ever: old boots, the questions asked in them, assignments that ended long ago, and what upstreams decided.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{Store, StoreError};
use crate::boot::{Record, Value};

/// How many rows go at a time, so that nobody waits long for a table.
const CHUNK: u64 = 500;

static COUNT: Statement = Statement::new("SELECT COUNT(*) AS present FROM boot");

static COUNT_QUESTIONS: Statement = Statement::new("SELECT COUNT(*) AS present FROM question");

static COUNT_KNOWN: Statement = Statement::new("SELECT COUNT(*) AS present FROM last_known");

/// The inner query is there for MySQL, which does not select from a table that it deletes from.
static OLDEST: Statement = Statement::new(
    "DELETE FROM boot WHERE session IN (SELECT session FROM \
     (SELECT session FROM boot WHERE started < :before ORDER BY started LIMIT :chunk) o)",
);

static ASKED: Statement = Statement::each([
    "DELETE FROM question WHERE rowid IN (SELECT rowid FROM question WHERE asked < :before ORDER BY asked LIMIT :chunk)",
    "DELETE FROM question WHERE (session, id) IN \
     (SELECT session, id FROM question WHERE asked < :before ORDER BY asked LIMIT :chunk)",
    "DELETE FROM question WHERE asked < :before ORDER BY asked LIMIT :chunk",
]);

static ENDED: Statement = Statement::new(
    "DELETE FROM assignment WHERE id IN (SELECT id FROM (SELECT id FROM assignment \
     WHERE mode = 'once' AND changed < :before AND (state IN ('done', 'failed', 'expired') \
     OR (state = 'started' AND spent_by <> 'done')) LIMIT :chunk) o)",
);

static FORGOTTEN: Statement = Statement::each([
    "DELETE FROM last_known WHERE rowid IN (SELECT rowid FROM last_known WHERE decided < :before ORDER BY decided LIMIT :chunk)",
    "DELETE FROM last_known WHERE (handler, machine, question) IN \
     (SELECT handler, machine, question FROM last_known WHERE decided < :before ORDER BY decided LIMIT :chunk)",
    "DELETE FROM last_known WHERE decided < :before ORDER BY decided LIMIT :chunk",
]);

static REQUESTS: Statement = Statement::new(
    "DELETE FROM approval WHERE id IN (SELECT id FROM (SELECT id FROM approval WHERE last_asked < :before LIMIT :chunk) o)",
);

static FAILURES: Statement = Statement::new(
    "DELETE FROM failure WHERE subject IN \
     (SELECT subject FROM (SELECT subject FROM failure WHERE last_failure < :before LIMIT :chunk) o)",
);

/// How long wrong answers are kept: no lock-out is longer.
const FAILURES_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Notes of machines that nobody knows.
static STALE_NOTES: Statement = Statement::each([
    "DELETE FROM note WHERE rowid IN (SELECT rowid FROM note WHERE changed < :before AND machine NOT LIKE 'name:%' \
     ORDER BY changed LIMIT :chunk)",
    "DELETE FROM note WHERE (machine, name) IN (SELECT machine, name FROM note WHERE changed < :before \
     AND machine NOT LIKE 'name:%' ORDER BY changed LIMIT :chunk)",
    "DELETE FROM note WHERE changed < :before AND machine NOT LIKE 'name:%' ORDER BY changed LIMIT :chunk",
]);

/// How long a decision of an upstream is kept. A handler believes it for a shorter time, which it says itself.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Both questions may have been answered in a boot.
const KNOWN_PER_BOOT: u64 = 2;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Boots, with what happened in them.
    pub boots: u64,
    /// Assignments.
    pub assignments: u64,
    /// Decisions of upstreams.
    pub last_known: u64,
}

impl Store {
    /// Removes boots that began longer than `keep` ago, the oldest of those beyond `boots_max`, assignments that ended
    /// longer than `keep` ago, notes of machines that nobody knows which are as old, and what an upstream decided longer than a year ago, or beyond what so many boots leave:
    /// machines that somebody makes up must not fill the disk with it. It goes in small steps, each of which is done for
    /// itself.
    ///
    /// # Errors
    /// When the database fails; what was removed until then is gone.
    pub async fn prune(
        &self,
        keep: Duration,
        boots_max: u64,
        now: Timestamp,
        limit: Duration,
    ) -> Result<Pruned, StoreError> {
        let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        let before = millis(now.checked_sub(keep).unwrap_or(Timestamp::MIN));
        let known = millis(now.checked_sub(KNOWN_FOR).unwrap_or(Timestamp::MIN));
        let mut pruned = Pruned {
            boots: self.remove(&OLDEST, &before, u64::MAX, limit).await?,
            assignments: self.remove(&ENDED, &before, u64::MAX, limit).await?,
            last_known: self.remove(&FORGOTTEN, &known, u64::MAX, limit).await?,
        };
        let failures = millis(now.checked_sub(FAILURES_FOR).unwrap_or(Timestamp::MIN));
        self.remove(&REQUESTS, &before, u64::MAX, limit).await?;
        self.remove(&FAILURES, &failures, u64::MAX, limit).await?;
        self.remove(&STALE_NOTES, &before, u64::MAX, limit).await?;
        let all = Value::Integer(i64::MAX);
        let excess = self.count(&COUNT, limit).await?.saturating_sub(boots_max);
        pruned.boots += self.remove(&OLDEST, &all, excess, limit).await?;
        let known_max = boots_max.saturating_mul(KNOWN_PER_BOOT);
        let excess = self.count(&COUNT_KNOWN, limit).await?.saturating_sub(known_max);
        pruned.last_known += self.remove(&FORGOTTEN, &all, excess, limit).await?;
        Ok(pruned)
    }

    /// Removes the oldest questions beyond so many, of boots that stay; how many.
    ///
    /// # Errors
    /// As [`Store::prune`].
    pub async fn prune_questions(&self, questions_max: u64, limit: Duration) -> Result<u64, StoreError> {
        let excess = self.count(&COUNT_QUESTIONS, limit).await?.saturating_sub(questions_max);
        self.remove(&ASKED, &Value::Integer(i64::MAX), excess, limit).await
    }

    async fn count(&self, statement: &Statement, limit: Duration) -> Result<u64, StoreError> {
        let rows = self.fresh(statement, &Record::default(), limit).await?;
        Ok(rows.first().and_then(|row| Row(row).number("present")).unwrap_or(0).unsigned_abs())
    }

    /// Removes rows until none is left that is old enough, or so many are gone.
    async fn remove(
        &self,
        statement: &Statement,
        before: &Value,
        most: u64,
        limit: Duration,
    ) -> Result<u64, StoreError> {
        let mut removed = 0;
        while removed < most {
            let chunk = CHUNK.min(most - removed);
            let values = parameters([("before", before.clone()), ("chunk", Value::Integer(chunk as i64))]);
            let gone = self.execute(statement, &values, limit).await?;
            removed += gone;
            if gone < chunk {
                break;
            }
        }
        Ok(removed)
    }
}
