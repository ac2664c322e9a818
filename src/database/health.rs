//! Whether a database answers.
//!
//! **Invariant**: only a connection that could not be made takes a database down, and only one that was made and
//! answered brings it back; a wrong query does neither. Both are logged once.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::DatabaseError;

/// Whether a database answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nobody asked it yet.
    Untried,
    /// It answered last time.
    Up,
    /// It cannot be reached.
    Down {
        /// When that was found.
        since: Timestamp,
        /// What happened at the last attempt.
        error: String,
    },
}

/// After this many calls in a row without an answer in time, it is tried whether the database is still there.
const TIMEOUTS_IN_A_ROW: u32 = 3;

/// In the first seconds of an outage, a call that has nothing to fall back on waits for its end: a server that restarts
/// costs nobody a boot. Later it fails at once.
const GRACE: Duration = Duration::from_secs(10);

struct State {
    health: Health,
    /// When it became so.
    at: Instant,
    /// Whether it is worth waiting for the end of the outage.
    may_pass: bool,
}

pub(super) struct Monitor {
    name: String,
    state: Mutex<State>,
    down: watch::Sender<bool>,
    timeouts: AtomicU32,
    is_probed: AtomicBool,
}

impl Monitor {
    pub(super) fn new(name: &str) -> Monitor {
        Monitor {
            name: name.to_owned(),
            state: Mutex::new(State { health: Health::Untried, at: Instant::now(), may_pass: true }),
            down: watch::Sender::new(false),
            timeouts: AtomicU32::new(0),
            is_probed: AtomicBool::new(false),
        }
    }

    pub(super) fn health(&self) -> Health {
        self.lock().health.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is in it is replaced whole, so it is right even when somebody panicked meanwhile.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_down(&self) -> bool {
        *self.down.borrow()
    }

    /// Why there is no answer, when the database is down.
    pub(super) fn outage(&self) -> Option<DatabaseError> {
        match self.health() {
            Health::Down { since, error } => Some(DatabaseError::Down { name: self.name.clone(), since, error }),
            Health::Untried | Health::Up => None,
        }
    }

    /// Returns as soon as the database is not down.
    ///
    /// # Errors
    /// When it is down, and either the caller is not patient or the outage is not young.
    pub(super) async fn ready(&self, is_patient: bool) -> Result<(), DatabaseError> {
        while self.is_down() {
            let (age, may_pass) = {
                let state = self.lock();
                (state.at.elapsed(), state.may_pass)
            };
            match self.outage() {
                Some(outage) if !is_patient || !may_pass || age >= GRACE => return Err(outage),
                Some(_) => {
                    let mut down = self.down.subscribe();
                    let _ = tokio::time::timeout(GRACE - age, down.wait_for(|down| !down)).await;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Returns when the database goes down.
    pub(super) async fn went_down(&self) {
        let mut down = self.down.subscribe();
        // The sender is in `self`, so it is not gone.
        let _ = down.wait_for(|down| *down).await;
    }

    /// An answer came.
    pub(super) fn answered(&self) {
        if self.timeouts.load(Ordering::Relaxed) != 0 {
            self.timeouts.store(0, Ordering::Relaxed);
        }
    }

    /// No answer came in time. `true` when it is to be tried whether the database is still there.
    pub(super) fn timed_out(&self) -> bool {
        self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_IN_A_ROW
    }

    /// A connection was made and answered.
    pub(super) fn up(&self) {
        self.timeouts.store(0, Ordering::Relaxed);
        let mut state = self.lock();
        if let Health::Down { .. } = &state.health {
            let outage_s = state.at.elapsed().as_secs_f64();
            tracing::info!(database = self.name, outage_s, "database is back");
        }
        if state.health != Health::Up {
            *state = State { health: Health::Up, at: Instant::now(), may_pass: true };
            self.down.send_replace(false);
        }
    }

    /// No connection could be made. `may_pass` when it is the server that is not there, rather than a wrong password.
    pub(super) fn down(&self, error: &str, may_pass: bool) {
        let mut state = self.lock();
        state.may_pass = may_pass;
        if let Health::Down { error: last, .. } = &mut state.health {
            error.clone_into(last);
            return;
        }
        tracing::warn!(database = self.name, error, "database is down; it is tried again in the background");
        let health = Health::Down { since: Timestamp::now(), error: error.to_owned() };
        *state = State { health, at: Instant::now(), may_pass };
        self.down.send_replace(true);
    }

    /// Claims the one probe; `false` when there is one already.
    pub(super) fn begin_probe(&self) -> bool {
        !self.is_probed.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_probe(&self) {
        self.is_probed.store(false, Ordering::Release);
    }
}

/// How long to wait before the next attempt.
#[derive(Debug)]
pub(super) struct BackOff {
    next: Duration,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    pub(super) fn new() -> BackOff {
        BackOff { next: Self::FIRST }
    }

    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(Self::LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_down_once_and_keeps_the_last_error() {
        let monitor = Monitor::new("cmdb");
        assert_eq!(monitor.health(), Health::Untried);
        monitor.up();
        assert_eq!(monitor.health(), Health::Up);
        monitor.down("refused", true);
        let Health::Down { since, .. } = monitor.health() else { panic!("not down") };
        monitor.down("still refused", true);
        assert_eq!(monitor.health(), Health::Down { since, error: "still refused".into() });
        assert!(monitor.is_down());
        monitor.up();
        assert!(!monitor.is_down());
    }

    #[test]
    fn three_silent_calls_in_a_row_are_suspicious() {
        let monitor = Monitor::new("cmdb");
        assert_eq!([monitor.timed_out(), monitor.timed_out(), monitor.timed_out()], [false, false, true]);
        monitor.answered();
        assert!(!monitor.timed_out());
    }

    #[test]
    fn one_probe_at_a_time() {
        let monitor = Monitor::new("cmdb");
        assert!(monitor.begin_probe());
        assert!(!monitor.begin_probe());
        monitor.end_probe();
        assert!(monitor.begin_probe());
    }

    #[test]
    fn backs_off_to_five_seconds() {
        let mut back_off = BackOff::new();
        let waits: Vec<u128> = (0..8).map(|_| back_off.next().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_waits_for_a_young_outage_only() {
        let monitor = std::sync::Arc::new(Monitor::new("cmdb"));
        monitor.down("refused", true);
        assert!(monitor.ready(false).await.is_err());
        let waiting = tokio::spawn({
            let monitor = monitor.clone();
            async move { monitor.ready(true).await }
        });
        tokio::task::yield_now().await;
        monitor.up();
        assert_eq!(waiting.await.unwrap(), Ok(()));
        monitor.down("wrong password", false);
        assert!(monitor.ready(true).await.is_err());
    }
}
