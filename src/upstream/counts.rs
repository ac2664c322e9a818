//! What became of the requests to an upstream.

use std::sync::atomic::{AtomicU64, Ordering};

/// The outcomes that are told apart; the last one stands for any other.
const OUTCOMES: [&str; 10] =
    ["answered", "timed_out", "unreachable", "failed", "busy", "refused", "nonsense", "held_back", "dropped", "other"];

/// How often each outcome was seen.
#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; OUTCOMES.len()]);

impl Counts {
    pub(super) fn count(&self, outcome: &str) {
        let index = OUTCOMES.iter().position(|known| *known == outcome).unwrap_or(OUTCOMES.len() - 1);
        if let Some(count) = self.0.get(index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        OUTCOMES.into_iter().zip(&self.0).map(|(name, count)| (name, count.load(Ordering::Relaxed))).collect()
    }
}
