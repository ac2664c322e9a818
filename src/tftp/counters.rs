//! What the TFTP server has done, in numbers that only grow.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::transfer::{TransferOutcome, TransferResult};

/// Counters of a server; read them with [`TftpCounters::snapshot`].
#[derive(Debug, Default)]
pub struct TftpCounters {
    requests: AtomicU64,
    refused: AtomicU64,
    dropped_busy: AtomicU64,
    malformed: AtomicU64,
    foreign: AtomicU64,
    send_failed: AtomicU64,
    complete: AtomicU64,
    unconfirmed: AtomicU64,
    size_probes: AtomicU64,
    aborted: AtomicU64,
    timed_out: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    retransmissions: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TftpStatistics {
    /// Read and write requests taken up.
    pub requests: u64,
    /// Requests answered with an ERROR.
    pub refused: u64,
    /// Requests dropped because of a limit on transfers.
    pub dropped_busy: u64,
    /// Datagrams that are no TFTP packets.
    pub malformed: u64,
    /// Packets from a port that has no transfer.
    pub foreign: u64,
    /// Datagrams that the system refused to send.
    pub send_failed: u64,
    /// Transfers whose last block was acknowledged.
    pub complete: u64,
    /// Transfers whose last ACK never came.
    pub unconfirmed: u64,
    /// Requests for a size alone.
    pub size_probes: u64,
    /// Transfers that the client ended with an ERROR.
    pub aborted: u64,
    /// Transfers whose client fell silent.
    pub timed_out: u64,
    /// Transfers whose content could not be read.
    pub failed: u64,
    /// Octets of content that clients acknowledged.
    pub bytes: u64,
    /// Packets sent more than once.
    pub retransmissions: u64,
}

impl TftpStatistics {
    /// What became of requests and transfers, by name.
    pub fn outcomes(&self) -> [(&'static str, u64); 12] {
        [
            ("requested", self.requests),
            ("refused", self.refused),
            ("dropped_busy", self.dropped_busy),
            ("malformed", self.malformed),
            ("foreign", self.foreign),
            ("send_failed", self.send_failed),
            ("complete", self.complete),
            ("unconfirmed", self.unconfirmed),
            ("size_probe", self.size_probes),
            ("aborted", self.aborted),
            ("timed_out", self.timed_out),
            ("failed", self.failed),
        ]
    }
}

impl TftpCounters {
    /// Reads all counters.
    pub fn snapshot(&self) -> TftpStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TftpStatistics {
            requests: read(&self.requests),
            refused: read(&self.refused),
            dropped_busy: read(&self.dropped_busy),
            malformed: read(&self.malformed),
            foreign: read(&self.foreign),
            send_failed: read(&self.send_failed),
            complete: read(&self.complete),
            unconfirmed: read(&self.unconfirmed),
            size_probes: read(&self.size_probes),
            aborted: read(&self.aborted),
            timed_out: read(&self.timed_out),
            failed: read(&self.failed),
            bytes: read(&self.bytes),
            retransmissions: read(&self.retransmissions),
        }
    }

    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped_busy(&self) {
        self.dropped_busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// Logged at debug: a client that has vanished from the network causes it, at any rate.
    pub(super) fn send_failed(&self, count: usize, error: &io::Error) {
        self.send_failed.fetch_add(count as u64, Ordering::Relaxed);
        tracing::debug!(%error, count, "tftp send refused");
    }

    pub(super) fn finished(&self, outcome: &TransferOutcome) {
        let counter = match outcome.result {
            TransferResult::Complete => &self.complete,
            TransferResult::Unconfirmed => &self.unconfirmed,
            TransferResult::SizeProbe => &self.size_probes,
            TransferResult::Aborted(_) => &self.aborted,
            TransferResult::TimedOut => &self.timed_out,
            TransferResult::Failed => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(outcome.bytes, Ordering::Relaxed);
        self.retransmissions.fetch_add(outcome.retransmissions, Ordering::Relaxed);
    }
}
