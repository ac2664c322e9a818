//! Whether an upstream answers: a circuit breaker.
//!
//! **Invariant**: so many failures one after the other, or one refusal of this site, take an upstream down; while it is
//! down it is asked one thing every `retry_after`; any answer brings it back. A check of its health brings it back as
//! well, but not before `retry_after` where it was too slow or failed: it may be well and still not decide. Both changes
//! are logged once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};

use super::UpstreamState;
use super::error::{Meaning, UpstreamError};

/// The breaker of one upstream.
#[derive(Debug)]
pub(super) struct Breaker {
    name: String,
    failures_max: u32,
    retry_after: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    shown: UpstreamState,
    /// Failures one after the other.
    failures: u32,
    /// When it went down.
    down_at: Instant,
    /// When the next question may try it, while it is down.
    next_try: Instant,
    /// Before this no check brings it back.
    down_until: Instant,
    /// When it last answered.
    answered_at: Option<Instant>,
    /// When it was last counted as too slow.
    slow_at: Option<Instant>,
}

/// Questions that are too slow within this time count once.
const BURST: Duration = Duration::from_secs(1);

impl Breaker {
    pub(super) fn new(name: &str, failures_max: u32, retry_after: Duration) -> Breaker {
        let now = Instant::now();
        let state = State {
            shown: UpstreamState::Untried,
            failures: 0,
            down_at: now,
            next_try: now,
            down_until: now,
            answered_at: None,
            slow_at: None,
        };
        Breaker { name: name.to_owned(), failures_max: failures_max.max(1), retry_after, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> UpstreamState {
        self.lock().shown.clone()
    }

    /// When it last answered.
    pub(super) fn answered_at(&self) -> Option<Instant> {
        self.lock().answered_at
    }

    /// Whether it may be asked. Who is let through while it is down is the only one for a while.
    pub(super) fn admit(&self) -> Result<(), UpstreamError> {
        let mut state = self.lock();
        let UpstreamState::Down { since, error } = &state.shown else { return Ok(()) };
        let now = Instant::now();
        if now < state.next_try {
            return Err(UpstreamError::Down { name: self.name.clone(), since: *since, error: error.clone() });
        }
        state.next_try = now + self.retry_after;
        Ok(())
    }

    /// Takes note of how a request went. A failure that is not `fair` (it had too little time) does not count.
    pub(super) fn note<T>(&self, result: &Result<T, UpstreamError>, is_fair: bool) {
        match result {
            Ok(_) => self.up(),
            Err(error) => match error.meaning() {
                Meaning::Alive => self.up(),
                Meaning::Failure if is_fair => self.failed(error, false),
                Meaning::Down => self.failed(error, true),
                Meaning::Failure | Meaning::Nothing => {}
            },
        }
    }

    /// Takes note of how a check of its health went.
    pub(super) fn note_check<T>(&self, result: &Result<T, UpstreamError>) {
        let is_held = {
            let state = self.lock();
            matches!(state.shown, UpstreamState::Down { .. }) && Instant::now() < state.down_until
        };
        if result.is_err() || !is_held {
            self.note(result, true);
        }
    }

    fn up(&self) {
        let mut state = self.lock();
        state.failures = 0;
        state.slow_at = None;
        state.answered_at = Some(Instant::now());
        if matches!(state.shown, UpstreamState::Down { .. }) {
            let down_s = state.down_at.elapsed().as_secs();
            info!(upstream = self.name, down_s, "upstream is back");
        }
        state.shown = UpstreamState::Up;
    }

    fn failed(&self, error: &UpstreamError, is_final: bool) {
        let mut state = self.lock();
        let now = Instant::now();
        // A burst of machines that come late together is one failure.
        let is_slow = matches!(error, UpstreamError::TimedOut { .. });
        if !is_slow || state.slow_at.is_none_or(|at| now - at >= BURST) {
            state.failures = state.failures.saturating_add(1);
            state.slow_at = is_slow.then_some(now);
        }
        let (failures, next_try) = (state.failures, now + self.retry_after);
        match &mut state.shown {
            UpstreamState::Down { error: last, .. } => {
                *last = error.what();
                state.next_try = next_try;
            }
            UpstreamState::Untried | UpstreamState::Up if is_final || failures >= self.failures_max => {
                let what = error.what();
                warn!(
                    upstream = self.name,
                    error = what,
                    failures,
                    "upstream is down; it is tried again in the background"
                );
                state.shown = UpstreamState::Down { since: Timestamp::now(), error: what };
                state.down_at = now;
                state.next_try = next_try;
                let is_slow = matches!(error, UpstreamError::TimedOut { .. } | UpstreamError::Failed { .. });
                state.down_until = if is_slow { next_try } else { now };
            }
            UpstreamState::Untried | UpstreamState::Up => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new("main", 3, Duration::from_secs(10))
    }

    fn timed_out() -> Result<(), UpstreamError> {
        Err(UpstreamError::TimedOut { name: "main".into(), limit: Duration::from_millis(400) })
    }

    /// So many questions that are too slow, each a while after the one before.
    async fn slow(breaker: &Breaker, count: u32) {
        for _ in 0..count {
            tokio::time::advance(BURST).await;
            breaker.note(&timed_out(), true);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_machines_that_come_late_together_is_one_failure() {
        let breaker = breaker();
        (0..100).for_each(|_| breaker.note(&timed_out(), true));
        assert_eq!(breaker.admit(), Ok(()));
        slow(&breaker, 2).await;
        assert!(breaker.admit().is_err(), "it goes on being slow");
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_take_it_down_and_one_question_tries_it_again() {
        let breaker = breaker();
        for _ in 0..2 {
            slow(&breaker, 2).await;
            assert_eq!(breaker.admit(), Ok(()));
            breaker.note(&Ok(()), true);
        }
        assert_eq!(breaker.state(), UpstreamState::Up);
        for _ in 0..3 {
            assert_eq!(breaker.admit(), Ok(()));
            slow(&breaker, 1).await;
        }
        let error = breaker.admit().unwrap_err();
        assert!(matches!(&error, UpstreamError::Down { error, .. } if error == "no answer within 400 ms"), "{error}");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(breaker.admit(), Ok(()), "the probe");
        assert!(breaker.admit().is_err(), "one only");
        breaker.note(&timed_out(), true);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(breaker.admit().is_err(), "from its failure on");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(breaker.admit(), Ok(()));
        breaker.note(&Ok(()), true);
        assert_eq!((breaker.admit(), breaker.state()), (Ok(()), UpstreamState::Up));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_nobody_finished_does_not_keep_it_down() {
        let breaker = breaker();
        slow(&breaker, 3).await;
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(breaker.admit(), Ok(()));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(breaker.admit(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_brings_back_at_once_what_was_gone_and_later_what_was_slow() {
        let gone =
            || Err::<(), _>(UpstreamError::Unreachable { name: "main".into(), why: "refused".into(), failure: None });
        let hanging = breaker();
        slow(&hanging, 3).await;
        hanging.note_check(&Ok(()));
        assert!(hanging.admit().is_err(), "it is well, and decides nothing");
        tokio::time::advance(Duration::from_secs(10)).await;
        hanging.note_check(&Ok(()));
        assert_eq!(hanging.state(), UpstreamState::Up);
        let away = breaker();
        (0..3).for_each(|_| away.note(&gone(), true));
        away.note_check(&Ok(()));
        assert_eq!(away.state(), UpstreamState::Up);
        (0..3).for_each(|_| away.note_check(&gone()));
        assert!(away.admit().is_err());
    }

    #[tokio::test]
    async fn what_it_says_no_to_is_no_failure_but_a_revoked_site_is_down_at_once() {
        let breaker = breaker();
        let name = || "main".to_owned();
        let (problem, status) = (String::new(), 422);
        for _ in 0..9 {
            breaker.note(&timed_out(), false);
            breaker.note::<()>(&Err(UpstreamError::Nonsense { name: name(), what: "x".into() }), true);
        }
        assert_eq!(breaker.state(), UpstreamState::Untried);
        (0..2).for_each(|_| breaker.note(&timed_out(), true));
        breaker.note::<()>(&Err(UpstreamError::Rejected { name: name(), status, problem: problem.clone() }), true);
        breaker.note(&timed_out(), true);
        assert_eq!(breaker.state(), UpstreamState::Up);
        breaker.note::<()>(&Err(UpstreamError::Denied { name: name(), problem }), true);
        assert!(matches!(breaker.state(), UpstreamState::Down { error, .. } if error.contains("refuses this site")));
    }
}
