//! Others are told what happens in boots: webhooks.
//!
//! ```text
//! engine -> Observing -> Events::happened -> a queue for each webhook -> delivery -> Webhook::send
//! ```
//!
//! A message is tried again while nobody takes it, up to the webhook's `retry_for`; meanwhile the queue fills, and what
//! does not fit any more is dropped and counted. Messages come in their order, each at least once: one whose answer was
//! lost comes twice, with the same id.
//!
//! **Invariant**: who tells something never waits for it, and no boot does. Decisions, which anybody on the network can
//! cause, never take more than half of a queue.

mod delivery;
mod message;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::boot::{BootDecision, BootRequest};
use crate::config::{Config, Problem, Problems};
use crate::decision::{BootEvent, Question};
use crate::observe::{Kind, Metrics};
use crate::upstream::Webhook;

use delivery::Delivery;
use message::Message;

/// How long the messages that are left may take at the end.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(3);

/// The webhooks of a configuration, none of which is told anything yet. Blocks on the disk.
///
/// # Errors
/// Each one that cannot be: what is wrong, and what to do.
pub fn webhooks(config: &Config) -> Result<Vec<Webhook>, Problems> {
    let (mut hooks, mut problems) = (Vec::new(), Problems::default());
    for (index, section) in config.events.webhook.iter().enumerate() {
        match Webhook::open(section) {
            Ok(hook) => hooks.push(hook),
            Err((what, remedy)) => {
                let what = format!("events.webhook[{index}]{what}");
                problems.push(Problem::of_file(&config.file, what, remedy));
            }
        }
    }
    if problems.is_empty() { Ok(hooks) } else { Err(problems) }
}

/// Who is told. A clone tells the same.
#[derive(Clone, Default)]
pub struct Events {
    listeners: Arc<ArcSwap<Vec<Listener>>>,
    deliveries: TaskTracker,
}

/// A webhook with its queue.
#[derive(Clone)]
struct Listener {
    hook: Webhook,
    queue: mpsc::Sender<Message>,
    counts: Arc<Counts>,
    stop: CancellationToken,
}

/// What became of messages.
#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    /// The queue was full.
    full: AtomicU64,
    /// The service does not want it.
    refused: AtomicU64,
    /// Nobody took it for too long, or until the server stopped.
    undelivered: AtomicU64,
    /// Whether the last one found the queue full.
    is_full: AtomicBool,
}

impl Counts {
    fn all(&self) -> [(&'static str, u64); 4] {
        [
            ("delivered", &self.delivered),
            ("dropped_queue_full", &self.full),
            ("dropped_refused", &self.refused),
            ("dropped_undelivered", &self.undelivered),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

impl Events {
    /// Tells these from now on. One that is as before goes on with what waits for it; the others of before end once they
    /// have tried that. What was counted goes on by name. Must be called inside a Tokio runtime.
    pub fn tell(&self, hooks: Vec<Webhook>) {
        let before = self.listeners.load_full();
        let known = |hook: &Webhook| before.iter().find(|listener| listener.hook.name() == hook.name());
        let begin = |hook: Webhook| match known(&hook) {
            Some(listener) if listener.hook.is_as(&hook) => listener.clone(),
            known => self.begin(hook, known.map(|listener| Arc::clone(&listener.counts)).unwrap_or_default()),
        };
        let listeners: Vec<Listener> = hooks.into_iter().map(begin).collect();
        let goes_on = |old: &Listener| listeners.iter().any(|listener| listener.queue.same_channel(&old.queue));
        before.iter().filter(|old| !goes_on(old)).for_each(|old| old.stop.cancel());
        self.listeners.store(Arc::new(listeners));
    }

    fn begin(&self, hook: Webhook, counts: Arc<Counts>) -> Listener {
        let (queue, messages) = mpsc::channel(hook.section().queue_max);
        let stop = CancellationToken::new();
        self.deliveries.spawn(Delivery::new(hook.clone(), Arc::clone(&counts), stop.clone()).run(messages));
        Listener { hook, queue, counts, stop }
    }

    /// A decision was evaluated.
    pub fn decided(&self, question: Question, request: &BootRequest, decision: &BootDecision) {
        let listeners = self.listeners.load();
        if listeners.is_empty() || question != Question::AllowBoot {
            return;
        }
        let event = decision.verdict.name();
        put(&listeners, event, true, || message::decided(event, request, decision));
    }

    /// Something happened in a boot.
    pub fn happened(&self, request: &BootRequest, event: &BootEvent) {
        let listeners = self.listeners.load();
        if !listeners.is_empty() {
            put(&listeners, event.name(), false, || message::happened(request, event));
        }
    }

    /// Shows on the metrics page what becomes of messages.
    pub fn show(&self, metrics: &Metrics) {
        let listeners = Arc::clone(&self.listeners);
        let read = move || {
            let labelled = |listener: &Listener| {
                let name = listener.hook.name().to_owned();
                listener
                    .counts
                    .all()
                    .map(|(outcome, count)| (vec![("webhook", name.clone()), ("outcome", outcome.to_owned())], count))
            };
            listeners.load().iter().flat_map(labelled).collect()
        };
        metrics.watch_labelled(
            Kind::Counter,
            "webhook_events",
            "Messages to webhooks, by what became of them",
            Box::new(read),
        );
        let listeners = Arc::clone(&self.listeners);
        let read = move || {
            let waiting = |listener: &Listener| {
                let waiting = listener.queue.max_capacity() - listener.queue.capacity();
                (vec![("webhook", listener.hook.name().to_owned())], waiting as u64)
            };
            listeners.load().iter().map(waiting).collect()
        };
        metrics.watch_labelled(Kind::Gauge, "webhook_queue", "Messages to webhooks that wait", Box::new(read));
    }

    /// Tries what is left once more, for a few seconds at most. Call it when nothing is told any more.
    pub async fn finish(self) {
        let listeners = self.listeners.swap(Arc::default());
        listeners.iter().for_each(|listener| listener.stop.cancel());
        self.deliveries.close();
        if tokio::time::timeout(FLUSH_TIME_MAX, self.deliveries.wait()).await.is_err() {
            warn!("webhooks are slow: what happened last is not told to all of them");
        }
    }
}

/// Puts a message into the queues of all who want it.
fn put(listeners: &[Listener], event: &'static str, is_decision: bool, make: impl Fn() -> Message) {
    let mut made: Option<Message> = None;
    for listener in
        listeners.iter().filter(|listener| listener.hook.section().events.iter().any(|wanted| wanted == event))
    {
        let has_room = !is_decision || listener.queue.capacity() > listener.queue.max_capacity() / 2;
        let message = made.get_or_insert_with(&make).clone();
        if has_room && listener.queue.try_send(message).is_ok() {
            listener.counts.is_full.store(false, Ordering::Relaxed);
            continue;
        }
        listener.counts.full.fetch_add(1, Ordering::Relaxed);
        if !listener.counts.is_full.swap(true, Ordering::Relaxed) {
            warn!(webhook = listener.hook.name(), "too many messages wait for this webhook; what comes now is dropped");
        }
    }
}
