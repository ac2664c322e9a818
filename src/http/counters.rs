//! What the HTTP server counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start; read by the metrics page.
#[derive(Debug, Default)]
pub struct HttpCounters {
    /// Connections taken.
    pub connections: Count,
    /// Connections closed at once: too many from one address.
    pub refused: Count,
    /// TLS handshakes that failed.
    pub handshakes_failed: Count,
    /// Of these, by clients that know no key exchange of ours (iPXE before 2024).
    pub handshakes_too_old: Count,
    /// Requests answered with 2xx or 3xx (304 only).
    pub answered: Count,
    /// Requests answered with 4xx.
    pub refused_requests: Count,
    /// Requests answered with 5xx; 503 while a decision is pending is one.
    pub failed_requests: Count,
    /// Octets of files announced to clients that asked for them.
    pub file_octets: Count,
}

/// One count.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}
