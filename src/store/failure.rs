//! Wrong PINs and passwords: counted before they are compared, so that many at once are no more guesses than one after
//! the other, and kept, so that neither a restart nor another server forgets them.
//!
//! **Invariant**: while a subject is locked no attempt is allowed, and none is counted, so that a lock ends.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::name::cut;
use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{Store, StoreError};
use crate::boot::Value;

/// The longest subject that is told from others, in characters.
const SUBJECT_LEN_MAX: usize = 160;

static BEGIN: Statement = Statement::each([
    "INSERT INTO failure (subject, failures, last_failure) VALUES (:subject, 0, 0) ON CONFLICT (subject) DO NOTHING",
    "INSERT INTO failure (subject, failures, last_failure) VALUES (:subject, 0, 0) ON CONFLICT (subject) DO NOTHING",
    "INSERT IGNORE INTO failure (subject, failures, last_failure) VALUES (:subject, 0, 0)",
]);

/// A column is read before it is written, for MySQL.
static COUNT: Statement = Statement::new(
    "UPDATE failure SET failures = CASE WHEN last_failure < :before THEN 1 ELSE failures + 1 END, last_failure = :now \
     WHERE subject = :subject AND (failures < :most OR last_failure < :before)",
);

static FIND: Statement = Statement::new("SELECT failures, last_failure FROM failure WHERE subject = :subject");

static TAKE_BACK: Statement =
    Statement::new("UPDATE failure SET failures = failures - 1 WHERE subject = :subject AND failures > 0");

static FORGET: Statement = Statement::new("DELETE FROM failure WHERE subject = :subject");

/// Whether somebody may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Yes; so many more may be wrong after this one.
    Allowed {
        /// How many.
        left: u32,
    },
    /// Not before this moment.
    Locked {
        /// When.
        until: Timestamp,
    },
}

impl Store {
    /// Counts an attempt of a subject as wrong, before it is known whether it is; [`Store::forget_failures`] and
    /// [`Store::take_back_failure`] make that good. After `most` of them the subject is locked for `lockout`.
    ///
    /// # Errors
    /// When the database fails: then nobody may try.
    pub async fn attempt(
        &self,
        subject: &str,
        most: u32,
        lockout: Duration,
        now: Timestamp,
        limit: Duration,
    ) -> Result<Attempt, StoreError> {
        let lockout = SignedDuration::try_from(lockout).unwrap_or(SignedDuration::MAX);
        let before = now.checked_sub(lockout).unwrap_or(Timestamp::MIN);
        let subject = cut(subject, SUBJECT_LEN_MAX);
        let mut values = parameters([("subject", subject.into())]);
        self.execute(&BEGIN, &values, limit).await?;
        for (name, value) in [("now", millis(now)), ("before", millis(before)), ("most", Value::Integer(most.into()))] {
            values.insert(name, value);
        }
        let is_allowed = self.execute(&COUNT, &values, limit).await? > 0;
        let rows = self.fresh(&FIND, &values, limit).await?;
        // Somebody may have succeeded meanwhile.
        let Some(row) = rows.first().map(Row) else { return Ok(Attempt::Allowed { left: most.saturating_sub(1) }) };
        if is_allowed {
            let failures = row.number("failures").and_then(|failures| u32::try_from(failures).ok()).unwrap_or(most);
            return Ok(Attempt::Allowed { left: most.saturating_sub(failures) });
        }
        let last = row.moment_given("last_failure")?;
        Ok(Attempt::Locked { until: last.checked_add(lockout).unwrap_or(Timestamp::MAX) })
    }

    /// Takes an attempt back that was not wrong.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_back_failure(&self, subject: &str, limit: Duration) -> Result<(), StoreError> {
        let values = parameters([("subject", cut(subject, SUBJECT_LEN_MAX).into())]);
        self.execute(&TAKE_BACK, &values, limit).await.map(drop)
    }

    /// Forgets what a subject did wrong.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_failures(&self, subject: &str, limit: Duration) -> Result<(), StoreError> {
        let values = parameters([("subject", cut(subject, SUBJECT_LEN_MAX).into())]);
        self.execute(&FORGET, &values, limit).await.map(drop)
    }
}
