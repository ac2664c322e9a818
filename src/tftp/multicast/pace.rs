//! The rate that all streams of the server share.
//!
//! **Invariant**: never lets more than the rate through but for a burst of [`BURST`].

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a pause may be made up for.
const BURST: Duration = Duration::from_millis(20);

/// Octets in a second.
#[derive(Debug)]
pub(super) struct Rate {
    octets_per_second: u64,
    free_at: Mutex<Instant>,
}

impl Rate {
    pub(super) fn new(octets_per_second: u64) -> Rate {
        Rate { octets_per_second: octets_per_second.max(1), free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until these octets may leave.
    pub(super) async fn take(&self, octets: usize) {
        let mut free_at = self.free_at.lock().await;
        let now = Instant::now();
        let begin = (*free_at).max(now.checked_sub(BURST).unwrap_or(now));
        *free_at = begin + Duration::from_secs_f64(octets as f64 / self.octets_per_second as f64);
        drop(free_at);
        if begin > now {
            tokio::time::sleep_until(begin).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_together_keep_to_the_rate() {
        let (rate, begun) = (std::sync::Arc::new(Rate::new(100_000)), Instant::now());
        let both = [0, 1].map(|_| {
            let rate = std::sync::Arc::clone(&rate);
            tokio::spawn(async move {
                for _ in 0..100 {
                    rate.take(1_000).await;
                }
            })
        });
        for one in both {
            one.await.unwrap();
        }
        let elapsed = begun.elapsed();
        assert!((Duration::from_millis(1_900)..Duration::from_millis(2_100)).contains(&elapsed), "{elapsed:?}");
    }
}
