//! One evaluation of one question: shared by all who ask it meanwhile, remembered for those who ask later.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use crate::boot::{BootDecision, Outcome};

use super::Policy;

/// How long the outcome of a failure stands in, so that a client's retries do not hammer what is broken.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(2);

/// A decision and when it was made.
#[derive(Clone)]
pub(super) struct Decided {
    pub(super) decision: Arc<BootDecision>,
    pub(super) at: Instant,
}

/// The evaluation that everybody who asks the same question waits for.
pub(super) type Flight = Shared<BoxFuture<'static, Decided>>;

/// Which question, asked of which handlers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FlightKey {
    /// Counts reloads: a new world forgets old answers.
    pub(super) generation: u64,
    /// Hash of what the question depends on beside the session.
    pub(super) facts: u64,
}

/// The place for the current evaluation of a question in a session.
#[derive(Default)]
pub(super) struct Slot {
    current: Mutex<Option<(FlightKey, Flight)>>,
}

impl Slot {
    /// The evaluation under way or still remembered, else the one that `start` makes; `true` when it is new.
    pub(super) fn join(
        &self,
        key: FlightKey,
        policy: &Policy,
        start: impl FnOnce() -> BoxFuture<'static, Decided>,
    ) -> (Flight, bool) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, flight)) = &*current
            && *known == key
            && flight.peek().is_none_or(|decided| is_fresh(decided, policy))
        {
            return (flight.clone(), false);
        }
        let flight = start().shared();
        *current = Some((key, flight.clone()));
        (flight, true)
    }

    /// Puts a decision in the place of an evaluation.
    pub(super) fn preset(&self, key: FlightKey, decision: BootDecision) {
        let decided = Decided { decision: Arc::new(decision), at: Instant::now() };
        let flight = std::future::ready(decided).boxed().shared();
        // Polled once, so that it can be seen from outside to be done.
        let _ = flight.clone().now_or_never();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.get_or_insert((key, flight));
    }

    /// The decision, if one was made for this key and still holds.
    pub(super) fn decided(&self, key: FlightKey, policy: &Policy) -> Option<Arc<BootDecision>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, flight) = current.as_ref()?;
        let decided = flight.peek()?;
        (*known == key && is_fresh(decided, policy)).then(|| Arc::clone(&decided.decision))
    }
}

/// An allowed boot keeps its verdict to its end, so that all its questions agree; a denial is asked anew after a while,
/// because the administrator may have changed a row; a failure soon, and so is what tells the machine to ask again.
fn is_fresh(decided: &Decided, policy: &Policy) -> bool {
    let failed = decided.decision.trail.iter().any(|step| matches!(step.outcome, Outcome::Failed | Outcome::TimedOut));
    let asks_again = decided.decision.images.as_ref().is_some_and(|images| images.asks_again());
    if failed || asks_again {
        return decided.at.elapsed() < FAILURE_REMEMBERED;
    }
    decided.decision.verdict.allows() || decided.at.elapsed() < policy.remember
}
