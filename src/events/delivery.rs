//! The task that sends the messages of one webhook, one after the other, and tries again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Counts;
use super::message::Message;
use crate::upstream::{Webhook, WebhookError};

/// The pause after the first failure; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

pub(super) struct Delivery {
    hook: Webhook,
    counts: Arc<Counts>,
    stop: CancellationToken,
    /// Whether the last message was not taken.
    is_down: bool,
    /// Whether the last message was refused: said once, not for each.
    is_refusing: bool,
}

impl Delivery {
    pub(super) fn new(hook: Webhook, counts: Arc<Counts>, stop: CancellationToken) -> Delivery {
        Delivery { hook, counts, stop, is_down: false, is_refusing: false }
    }

    /// Sends until it is told to stop, and then tries what is left once.
    pub(super) async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let stop = self.stop.clone();
        loop {
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                message = messages.recv() => message,
            };
            let Some(message) = message else { return };
            self.deliver(message).await;
        }
        messages.close();
        while let Some(message) = messages.recv().await {
            self.deliver(message).await;
        }
    }

    /// Sends one message until it is taken, refused, or too old; only once when this is to stop.
    async fn deliver(&mut self, message: Message) {
        let mut pause = PAUSE_MIN;
        loop {
            let sent = self.hook.send(message.event, &message.id, message.body.clone()).await;
            match sent {
                Ok(()) => return self.taken(),
                Err(WebhookError::Refused(why)) => return self.refused(message.event, &why),
                Err(WebhookError::Later(why)) => self.failed(&why),
            }
            if self.stop.is_cancelled() || message.made.elapsed() >= self.hook.section().retry_for {
                add(&self.counts.undelivered);
                return;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn taken(&mut self) {
        add(&self.counts.delivered);
        if std::mem::take(&mut self.is_down) {
            info!(webhook = self.hook.name(), "the webhook takes messages again");
        }
        self.is_refusing = false;
    }

    fn refused(&mut self, event: &str, why: &str) {
        add(&self.counts.refused);
        self.is_down = false;
        if !std::mem::replace(&mut self.is_refusing, true) {
            warn!(webhook = self.hook.name(), event, why, "the webhook refuses a message; it is dropped");
        }
    }

    fn failed(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_down, true) {
            warn!(webhook = self.hook.name(), why, "the webhook does not take messages; they are tried again");
        }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
