//! The task that removes what is old, every hour. Servers that share a store may all do it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{info, warn};

use crate::store::Store;

use super::{Destination, Retention};

const EVERY: Duration = Duration::from_secs(3600);
/// Not in the first minute, in which a whole site may be booting again.
const FIRST: Duration = Duration::from_secs(60);

/// Removes old boots, and ends assignments whose time is over, until it is aborted.
pub(super) async fn run(destination: Destination, retention: Retention) {
    let mut turns = interval_at(Instant::now() + FIRST, EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        once(&destination.load_full(), retention, Timestamp::now()).await;
    }
}

/// Does it once.
pub(super) async fn once(store: &Store, retention: Retention, now: Timestamp) {
    let Retention { keep, boots_max, questions_max } = retention;
    match store.prune(keep, boots_max, now, Store::PATIENCE).await {
        Ok(pruned) => info!(
            boots = pruned.boots,
            assignments = pruned.assignments,
            last_known = pruned.last_known,
            "old history is removed"
        ),
        Err(error) => warn!(%error, "old history cannot be removed; it is tried again in an hour"),
    }
    match store.prune_questions(questions_max, Store::PATIENCE).await {
        Ok(0) => {}
        Ok(questions) => info!(questions, "old questions are removed"),
        Err(error) => warn!(%error, "old questions cannot be removed; it is tried again in an hour"),
    }
    match store.expire(now, Store::PATIENCE).await {
        Ok(0) => {}
        Ok(count) => info!(assignments = count, "assignments are over: their time has passed"),
        Err(error) => warn!(%error, "assignments cannot be expired; it is tried again in an hour"),
    }
}
