//! The task that writes entries in batches, and tries again while the store is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::database::Health;
use crate::store::{BootEntry, StoreError};

use super::{Counts, Destination, add};

/// Entries that are written at once.
const BATCH_LEN_MAX: usize = 512;
/// How long an entry waits for others that are written with it.
const BATCH_WAIT: Duration = Duration::from_millis(250);
/// How long the first pause is after the store failed; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// After so many failures of a store that is there, entries are written one by one: one of them is the cause.
const FAILURES_TOGETHER: u32 = 2;

pub(super) struct Writer {
    destination: Destination,
    entries: mpsc::Receiver<BootEntry>,
    counts: Arc<Counts>,
    stop: CancellationToken,
    batch: Vec<BootEntry>,
}

impl Writer {
    pub(super) fn new(
        destination: Destination,
        entries: mpsc::Receiver<BootEntry>,
        counts: Arc<Counts>,
        stop: CancellationToken,
    ) -> Writer {
        Writer { destination, entries, counts, stop, batch: Vec::with_capacity(BATCH_LEN_MAX) }
    }

    /// Writes until it is told to stop, and then what is left.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.collect(BATCH_WAIT) => self.write_patiently().await,
            }
        }
        loop {
            self.collect(Duration::ZERO).await;
            if self.batch.is_empty() || self.write().await.is_err() {
                return;
            }
        }
    }

    /// Takes entries from the queue: what is there, and what comes while the first of them waits. What was taken stays
    /// when this is given up.
    async fn collect(&mut self, wait: Duration) {
        if self.batch.is_empty() && !wait.is_zero() && self.entries.recv_many(&mut self.batch, BATCH_LEN_MAX).await == 0
        {
            // Nobody is left who could tell anything.
            self.stop.cancel();
        }
        let deadline = Instant::now() + wait;
        while self.batch.len() < BATCH_LEN_MAX {
            let room = BATCH_LEN_MAX - self.batch.len();
            match timeout_at(deadline, self.entries.recv_many(&mut self.batch, room)).await {
                Ok(count) if count > 0 => {}
                _ => return,
            }
        }
    }

    /// Writes the batch, however long the store is gone; the queue fills meanwhile. Ends early when told to stop.
    async fn write_patiently(&mut self) {
        let (mut pause, mut failures) = (PAUSE_MIN, 0);
        let since = Instant::now();
        while let Err(error) = self.write().await {
            failures += 1;
            if failures == 1 {
                warn!(%error, entries = self.batch.len(), "the history cannot be written; it is tried again");
            }
            if failures >= FAILURES_TOGETHER && self.is_store_up() {
                self.write_singly().await;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if failures > 0 {
            info!(seconds = since.elapsed().as_secs(), "the history is written again");
        }
    }

    async fn write(&mut self) -> Result<(), StoreError> {
        if !self.batch.is_empty() {
            self.destination.load_full().write(&self.batch).await?;
            add(&self.counts.written, self.batch.len());
            self.batch.clear();
        }
        Ok(())
    }

    /// Writes one entry after the other, in their order, so that one which the store does not take costs no other.
    async fn write_singly(&mut self) {
        let mut entries = std::mem::take(&mut self.batch).into_iter();
        while let Some(entry) = entries.next() {
            match self.destination.load_full().write(std::slice::from_ref(&entry)).await {
                Ok(()) => add(&self.counts.written, 1),
                Err(error) if self.is_store_up() => {
                    warn!(session = %entry.session, %error, "an entry of the history is dropped");
                    add(&self.counts.refused, 1);
                }
                Err(_) => {
                    self.batch.push(entry);
                    self.batch.extend(entries);
                    return;
                }
            }
        }
    }

    fn is_store_up(&self) -> bool {
        self.destination.load().database().health() == Health::Up
    }
}
