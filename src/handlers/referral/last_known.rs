//! What upstreams last decided, kept in the store for the time when they do not answer.
//!
//! It is kept when something came of it: when a script is handed out, and when a machine was refused. Never by a question
//! itself, so that dry runs change nothing.
//!
//! **Invariant**: what is read again is checked as if it came from the upstream just now, and starts nothing that is done
//! once; keeping costs no client a wait, and takes a bounded amount of memory.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

use crate::boot::{BootImages, BootRequest, Line, MachineId, SessionId, Verdict};
use crate::handlers::sql;
use crate::store::{Asked, LastKnown, Store};

/// How long reading and writing may take.
const STORE_LIMIT: Duration = Duration::from_secs(2);
/// What did not change is written again after this time, so that its age is about right.
const REWRITE_AFTER: Duration = Duration::from_secs(3600);
/// The most octets of answers that wait until their script is handed out.
const PENDING_LEN_MAX: u64 = 32 << 20;
/// How long they wait.
const PENDING_TIME_MAX: Duration = Duration::from_secs(600);
/// What may wait to be written.
const WRITES_MAX: usize = 256;

/// A decision as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept<T> {
    /// Whose it was.
    pub(super) upstream: Line,
    /// What was decided.
    pub(super) answer: T,
}

/// A decision that was read again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known<T> {
    pub(super) upstream: Line,
    pub(super) answer: T,
    pub(super) decided: Timestamp,
}

/// The memory of one handler.
pub(super) struct Memory {
    store: Store,
    handler: Arc<str>,
    /// Answers to *what do I boot?* by boot.
    pending: Cache<SessionId, Arc<(String, Timestamp)>>,
    /// What was written last, by machine and question.
    written: Cache<(String, Asked), (u64, Instant)>,
    places: Arc<Semaphore>,
}

impl Memory {
    pub(super) fn new(handler: &Arc<str>, store: Store) -> Memory {
        let weigh =
            |_: &SessionId, pending: &Arc<(String, Timestamp)>| u32::try_from(pending.0.len()).unwrap_or(u32::MAX);
        Memory {
            store,
            handler: Arc::clone(handler),
            pending: Cache::builder()
                .weigher(weigh)
                .max_capacity(PENDING_LEN_MAX)
                .time_to_live(PENDING_TIME_MAX)
                .build(),
            written: Cache::builder().max_capacity(20_000).build(),
            places: Arc::new(Semaphore::new(WRITES_MAX)),
        }
    }

    /// What was last decided on *may I boot?*.
    pub(super) async fn verdict(&self, request: &BootRequest) -> Option<Known<Verdict>> {
        self.find(request, Asked::AllowBoot).await
    }

    /// What was last decided on *what do I boot?*.
    pub(super) async fn images(&self, request: &BootRequest) -> Option<Known<BootImages>> {
        self.find(request, Asked::BootImages).await
    }

    async fn find<T: for<'a> Deserialize<'a>>(&self, request: &BootRequest, question: Asked) -> Option<Known<T>> {
        let (machine, handler, session) = (key(request), &self.handler, request.session);
        let known = match self.store.last_known(handler, &machine, STORE_LIMIT).await {
            Ok(known) => known.into_iter().find(|known| known.question == question)?,
            Err(error) => {
                warn!(%handler, %session, %error, "what was last decided cannot be read");
                return None;
            }
        };
        match serde_json::from_str::<Kept<T>>(&known.answer) {
            Ok(Kept { upstream, answer }) => Some(Known { upstream, answer, decided: known.decided }),
            Err(error) => {
                warn!(%handler, %session, %machine, %error, "what was last decided makes no sense any more");
                None
            }
        }
    }

    /// Holds what an upstream just answered, until its script is handed out.
    ///
    /// What was answered to somebody who was verified is for that one boot.
    pub(super) fn hold(&self, request: &BootRequest, upstream: &str, images: &BootImages) {
        if request.person.is_some() {
            return;
        }
        let kept = Kept { upstream: Line::clean(upstream), answer: images };
        if let Ok(text) = serde_json::to_string(&kept)
            && text.len() <= LastKnown::ANSWER_LEN_MAX
        {
            self.pending.insert(request.session, Arc::new((text, request.now)));
        }
    }

    /// Keeps what is handed out in a boot, where an upstream decided it.
    pub(super) fn handed_out(&self, request: &BootRequest, upstream: &str) {
        let Some(pending) = self.pending.remove(&request.session) else { return };
        let (text, decided) = Arc::unwrap_or_clone(pending);
        self.keep(request, Asked::BootImages, text, decided);
        self.decided(request, upstream, &Verdict::allow(), decided);
    }

    /// Keeps a verdict.
    pub(super) fn decided(&self, request: &BootRequest, upstream: &str, verdict: &Verdict, at: Timestamp) {
        if let Ok(text) = serde_json::to_string(&Kept { upstream: Line::clean(upstream), answer: verdict }) {
            self.keep(request, Asked::AllowBoot, text, at);
        }
    }

    /// Writes in the background what differs from what was written last, or is of another hour.
    fn keep(&self, request: &BootRequest, question: Asked, answer: String, decided: Timestamp) {
        let machine = key(request);
        let mut hasher = DefaultHasher::new();
        answer.hash(&mut hasher);
        let (slot, digest) = ((machine.clone(), question), hasher.finish());
        let is_known = |(known, at): (u64, Instant)| known == digest && at.elapsed() < REWRITE_AFTER;
        if self.written.get(&slot).is_some_and(is_known) {
            return;
        }
        // One that finds no place is kept at the machine's next boot.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let (store, handler, written) = (self.store.clone(), Arc::clone(&self.handler), self.written.clone());
        tokio::spawn(async move {
            let known = LastKnown { question, answer, decided };
            match store.keep_last_known(&handler, &machine, &known, STORE_LIMIT * 5).await {
                Ok(()) => written.insert(slot, (digest, Instant::now())),
                Err(error) => warn!(%handler, %machine, %error, "what was decided is not kept"),
            }
            drop(place);
        });
    }
}

/// Names a machine: its UUID where it has one of its own, else the address of its NIC.
fn key(request: &BootRequest) -> String {
    let uuid = request.client.machine_id.map(MachineId::uuid).filter(sql::is_uuid);
    uuid.map_or_else(|| request.client.hardware.to_string(), |uuid| uuid.to_string())
}
