//! How fast is fetched from an origin: a token bucket whose rate depends on the time of the day.
//!
//! **Invariant**: over any span of time no more than the rate and one burst is taken. Who asks first is served first.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Time;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::RateWindow;

/// What may be taken at once, as a part of a second's.
const BURST: Duration = Duration::from_millis(250);
/// No waiting is longer than this without looking whether the rate is another by now.
const NAP_MAX: Duration = Duration::from_secs(1);

/// The time of the day; a test has its own.
type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// The limit that all downloads from one origin share.
pub struct Pacer {
    rate: Option<u64>,
    windows: Vec<RateWindow>,
    clock: Clock,
    bucket: Mutex<Bucket>,
}

/// Octets that may be taken at a time; below zero when more was taken.
struct Bucket {
    octets: f64,
    at: Instant,
}

impl Pacer {
    /// So many octets in a second (no limit when absent), and other rates at times of the day in the system's zone. The
    /// first window that holds the present time decides.
    pub fn new(rate: Option<u64>, windows: Vec<RateWindow>) -> Pacer {
        Pacer::with_clock(rate, windows, Arc::new(|| jiff::Zoned::now().time()))
    }

    /// The same with another clock.
    pub fn with_clock(rate: Option<u64>, windows: Vec<RateWindow>, clock: Clock) -> Pacer {
        let bucket = Mutex::new(Bucket { octets: 0.0, at: Instant::now() });
        Pacer { rate, windows, clock, bucket }
    }

    /// The octets in a second at present; no limit when absent.
    pub fn rate(&self) -> Option<u64> {
        if self.windows.is_empty() {
            return self.rate;
        }
        let now = (self.clock)();
        self.windows.iter().find(|window| holds(window, now)).map_or(self.rate, |window| window.rate)
    }

    /// Waits until these octets may be taken.
    pub async fn take(&self, octets: u64) {
        if self.rate().is_none() {
            return;
        }
        // Held while waiting, so that the next one comes after this.
        let mut bucket = self.bucket.lock().await;
        while let Some(rate) = self.rate() {
            let rate = rate.max(1) as f64;
            let now = Instant::now();
            let gained = now.duration_since(bucket.at).as_secs_f64() * rate;
            bucket.octets = (bucket.octets + gained).min(rate * BURST.as_secs_f64());
            bucket.at = now;
            if bucket.octets >= 0.0 {
                bucket.octets -= octets as f64;
                return;
            }
            let nap = Duration::from_secs_f64((-bucket.octets / rate).min(NAP_MAX.as_secs_f64()));
            tokio::time::sleep(nap.max(Duration::from_millis(1))).await;
        }
    }
}

/// A window whose end is before its begin has midnight in it.
fn holds(window: &RateWindow, now: Time) -> bool {
    match window.from <= window.to {
        true => window.from <= now && now < window.to,
        false => now >= window.from || now < window.to,
    }
}
