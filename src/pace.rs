//! How much may happen in a second: for log lines that somebody on the network can cause.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what happens in the present second.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The second that is counted, in Unix time.
    second: AtomicU64,
    count: AtomicU64,
}

/// Whether there is room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Whether this one fits.
    pub(crate) is_free: bool,
    /// How many did not fit in the second before; told once, when a new second begins.
    pub(crate) left_out: u64,
}

impl Pace {
    /// Takes one place in this second, of at most `max`.
    pub(crate) fn take(&self, second: i64, max: u64) -> Room {
        let second = u64::try_from(second).unwrap_or(0);
        let is_new = self.second.swap(second, Ordering::Relaxed) != second;
        let left_out = if is_new { self.count.swap(0, Ordering::Relaxed).saturating_sub(max) } else { 0 };
        Room { is_free: self.count.fetch_add(1, Ordering::Relaxed) < max, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_off_and_the_next_second_is_free_again() {
        let pace = Pace::default();
        assert_eq!((0..30).filter(|_| pace.take(7, 10).is_free).count(), 10);
        assert_eq!(pace.take(8, 10), Room { is_free: true, left_out: 20 });
        assert_eq!(pace.take(8, 10), Room { is_free: true, left_out: 0 });
    }
}
