//! Asks in the background whether an upstream is there: so that an idle one is known to be down before a machine asks, a
//! connection is open when one does, and one that comes back is used again soon.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{Inner, Upstream};

/// How soon one that went down is asked again; then after twice that, and so on up to `check_every`.
const FIRST_RETRY: Duration = Duration::from_secs(1);

impl Upstream {
    /// Begins to ask, for as long as the upstream is used by anybody. Must be called inside a Tokio runtime.
    pub(super) fn watch(&self) {
        if !self.inner.is_watched.swap(true, Ordering::AcqRel) {
            tokio::spawn(watch(Arc::downgrade(&self.inner)));
        }
    }
}

async fn watch(inner: Weak<Inner>) {
    let mut retry = FIRST_RETRY;
    loop {
        let wait = {
            let Some(inner) = inner.upgrade() else { return };
            let upstream = Upstream { inner };
            let every = upstream.section().check_every.max(FIRST_RETRY);
            let fresh = upstream.inner.breaker.answered_at().map(|at| at.elapsed()).filter(|age| *age < every);
            match fresh.filter(|_| !upstream.is_down()) {
                // Somebody else asked meanwhile.
                Some(age) => every - age,
                None => {
                    let started = Instant::now();
                    let answered = upstream.health_check().await.is_ok();
                    retry = if answered { FIRST_RETRY } else { (retry * 2).min(every) };
                    let wait = if answered { every } else { retry / 2 };
                    jittered(wait).saturating_sub(started.elapsed()).max(FIRST_RETRY / 10)
                }
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Between eight and ten tenths of a time: two hundred sites must not ask in one moment.
fn jittered(wait: Duration) -> Duration {
    let [random, ..] = *Uuid::new_v4().as_bytes();
    wait.mul_f64(0.8 + 0.2 * f64::from(random) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shortened_by_a_fifth_at_most() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(10));
            assert!((Duration::from_secs(8)..=Duration::from_secs(10)).contains(&wait), "{wait:?}");
        }
    }
}
