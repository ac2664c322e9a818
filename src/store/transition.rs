//! How an assignment that is done once goes on: offered, started, done or failed.
//!
//! ```text
//! assigned ──► offered ──► started ──► done | failed
//!     │         │  ▲          │
//!     │         │  └──────────┘ the image could not be loaded; or, where only `done` spends it, the next boot
//!     └─────────┴──► expired | failed (offered too often)
//! ```
//!
//! **Invariant**: each step is one conditional `UPDATE` that names the states it may leave and the boot that it belongs
//! to. A step that is repeated by the same boot changes nothing more; of two boots that want the same, one wins.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::assign::no_assignment;
use super::assignment::{Assignment, State};
use super::name::cut;
use super::row::millis;
use super::sql::{Statement, parameters};
use super::{Store, StoreError};
use crate::boot::{SessionId, Value};

/// How often an assignment may be offered before it is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopGuard {
    /// The most boots that it is offered to ...
    pub boots_max: u32,
    /// ... within this time.
    pub window: Duration,
}

/// MySQL assigns from left to right and sees what it assigned: a column is read before it is written. What a person can
/// leave in the menu, and nobody began, is not counted: nothing loops.
static OFFER: Statement = Statement::new(
    "UPDATE assignment SET \
     offers = CASE WHEN offered_session = :session THEN offers \
       WHEN mandatory = 0 AND started_session IS NULL THEN 0 \
       WHEN window_start IS NULL OR window_start <= :window_from THEN 1 ELSE offers + 1 END, \
     window_start = CASE WHEN offered_session = :session THEN window_start \
       WHEN mandatory = 0 AND started_session IS NULL THEN NULL \
       WHEN window_start IS NULL OR window_start <= :window_from THEN :now ELSE window_start END, \
     started_session = CASE WHEN spent_by = 'script' THEN :session ELSE started_session END, \
     state = CASE WHEN spent_by = 'script' THEN 'started' ELSE 'offered' END, \
     offered_session = :session, changed = :now \
     WHERE id = :id AND {to_offer} \
     AND (offered_session = :session OR (mandatory = 0 AND started_session IS NULL) \
       OR window_start IS NULL OR window_start <= :window_from OR offers < :boots_max)",
);

static HOLD: Statement = Statement::new(
    "UPDATE assignment SET state = 'failed', open_key = NULL, reason = :reason, changed = :now \
     WHERE id = :id AND {to_offer} AND (offered_session IS NULL OR offered_session <> :session) \
     AND (mandatory = 1 OR started_session IS NOT NULL) AND window_start > :window_from AND offers >= :boots_max",
);

/// A machine may wait in the menu until the time is over.
static START: Statement = Statement::new(
    "UPDATE assignment SET state = 'started', started_session = :session, reason = NULL, changed = :now \
     WHERE id = :id AND mode = 'once' AND offered_session = :session \
     AND ((state = 'offered' AND (not_after IS NULL OR not_after > :now)) \
       OR (state = 'started' AND started_session = :session))",
);

static GIVE_BACK: Statement = Statement::new(
    "UPDATE assignment SET state = 'offered', started_session = NULL, reason = :reason, changed = :now \
     WHERE started_session = :session AND image = :image AND mode = 'once' AND state = 'started'",
);

/// An installer that says it is done is right, even if it was counted as failed before.
static DONE: Statement = Statement::new(
    "UPDATE assignment SET state = 'done', open_key = NULL, reason = NULL, changed = :now \
     WHERE started_session = :session AND mode = 'once' AND state IN ('offered', 'started', 'failed')",
);

static FAIL: Statement = Statement::new(
    "UPDATE assignment SET state = 'failed', open_key = NULL, reason = :reason, changed = :now \
     WHERE started_session = :session AND mode = 'once' AND state IN ('offered', 'started')",
);

/// What began does not expire: its installer may still be at work.
static EXPIRE: Statement = Statement::new(
    "UPDATE assignment SET state = 'expired', open_key = NULL, reason = 'its time was over before it began', \
     changed = :now WHERE mode = 'once' AND state IN ('assigned', 'offered') AND started_session IS NULL \
     AND not_after <= :now",
);

static FIND: Statement = Statement::new("SELECT {assignment} FROM assignment a WHERE a.id = :id");

impl Store {
    /// A boot is about to get a script with this assignment. May be repeated by the same boot.
    ///
    /// # Errors
    /// [`StoreError::Spent`] or [`StoreError::Held`] when the boot must not get it; a database error when nobody can
    /// tell, and then it must not get it either.
    pub async fn offered(
        &self,
        id: &str,
        session: SessionId,
        now: Timestamp,
        guard: LoopGuard,
        limit: Duration,
    ) -> Result<(), StoreError> {
        let reason = format!(
            "offered to {} boots within {}, the last of them {session}",
            guard.boots_max,
            in_words(guard.window)
        );
        let window = SignedDuration::try_from(guard.window).unwrap_or(SignedDuration::MAX);
        let window_from = now.checked_sub(window).unwrap_or(Timestamp::MIN);
        let values = parameters([
            ("id", id.into()),
            ("session", session.to_string().into()),
            ("now", millis(now)),
            ("window_from", millis(window_from)),
            ("boots_max", Value::Integer(guard.boots_max.into())),
            ("reason", reason.as_str().into()),
        ]);
        if self.execute(&OFFER, &values, limit).await? > 0 {
            return Ok(());
        }
        if self.execute(&HOLD, &values, limit).await? > 0 {
            return Err(StoreError::Held { id: id.to_owned(), reason });
        }
        Err(self.spent(id, now, limit).await?)
    }

    /// A boot is about to load the assignment's image. May be repeated by the same boot.
    ///
    /// # Errors
    /// [`StoreError::Spent`] when it must not; a database error when nobody can tell, and then it must not either.
    pub async fn started(
        &self,
        id: &str,
        session: SessionId,
        now: Timestamp,
        limit: Duration,
    ) -> Result<(), StoreError> {
        let values = parameters([("id", id.into()), ("session", session.to_string().into()), ("now", millis(now))]);
        match self.execute(&START, &values, limit).await? {
            0 => Err(self.spent(id, now, limit).await?),
            _ => Ok(()),
        }
    }

    /// A boot could not load or start this image: what it began by it can be offered again. Returns how many
    /// assignments that were.
    ///
    /// # Errors
    /// When the database fails; it may be told again.
    pub async fn load_failed(
        &self,
        session: SessionId,
        image: &str,
        error: Option<u32>,
        now: Timestamp,
        limit: Duration,
    ) -> Result<u64, StoreError> {
        let code = error.map(|error| format!(" (iPXE error {error:08x})")).unwrap_or_default();
        let values = parameters([
            ("session", session.to_string().into()),
            ("image", image.to_ascii_lowercase().into()),
            ("reason", format!("boot {session} could not load it{code}").into()),
            ("now", millis(now)),
        ]);
        self.execute(&GIVE_BACK, &values, limit).await
    }

    /// The installer of a boot says that it is done. Returns how many assignments that ended.
    ///
    /// # Errors
    /// When the database fails; it may be told again.
    pub async fn done(&self, session: SessionId, now: Timestamp, limit: Duration) -> Result<u64, StoreError> {
        let values = parameters([("session", session.to_string().into()), ("now", millis(now))]);
        self.execute(&DONE, &values, limit).await
    }

    /// The installer of a boot says that it failed, and why. Returns how many assignments that ended.
    ///
    /// # Errors
    /// When the database fails; it may be told again.
    pub async fn failed(
        &self,
        session: SessionId,
        reason: &str,
        now: Timestamp,
        limit: Duration,
    ) -> Result<u64, StoreError> {
        let values = parameters([
            ("session", session.to_string().into()),
            ("reason", cut(reason, 255).into()),
            ("now", millis(now)),
        ]);
        self.execute(&FAIL, &values, limit).await
    }

    /// Ends what did not begin in its time. Returns how many assignments that were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expire(&self, now: Timestamp, limit: Duration) -> Result<u64, StoreError> {
        self.execute(&EXPIRE, &parameters([("now", millis(now))]), limit).await
    }

    /// Why an assignment is not given to a boot.
    async fn spent(&self, id: &str, now: Timestamp, limit: Duration) -> Result<StoreError, StoreError> {
        let rows = self.fresh(&FIND, &parameters([("id", id.into())]), limit).await?;
        let Some(row) = rows.first() else { return Ok(no_assignment(id)) };
        let assignment = Assignment::read(row)?;
        Ok(StoreError::Spent { id: assignment.id.clone(), why: why(&assignment, now) })
    }
}

fn why(assignment: &Assignment, now: Timestamp) -> String {
    let boot = |session: Option<SessionId>| session.map_or(String::new(), |session| format!(" by boot {session}"));
    let reason = assignment.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match assignment.state {
        State::Standing => "it is not one that is done once".into(),
        State::Assigned | State::Offered if assignment.not_before.is_some_and(|start| start > now) => {
            "its time has not come".into()
        }
        State::Assigned | State::Offered if assignment.not_after.is_some_and(|end| end <= now) => {
            "its time is over".into()
        }
        State::Assigned => "it was not offered to this boot".into(),
        State::Offered => {
            let session = assignment.offered_session.map(|session| session.to_string()).unwrap_or_default();
            format!("it was since offered to boot {session}")
        }
        State::Started => format!("it was started{}", boot(assignment.started_session)),
        State::Done => format!("it was done{}", boot(assignment.started_session)),
        State::Failed => format!("it failed{reason}"),
        State::Expired => format!("it expired{reason}"),
    }
}

fn in_words(length: Duration) -> String {
    match length.as_secs() {
        seconds if seconds >= 7200 && seconds.is_multiple_of(3600) => format!("{} hours", seconds / 3600),
        seconds if seconds >= 120 && seconds.is_multiple_of(60) => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}
