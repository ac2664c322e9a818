//! What became of a candidate so far: counted, logged, told to the history, and kept in a file for
//! `pointsman scripts status`.
//!
//! **Invariant**: what is kept and logged is bounded, whoever asks and however often.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use crate::boot::BootRequest;
use crate::decision::{Observer, Question};
use crate::pace::Pace;

/// Differences that are shown by `status`: the last ones.
const EXAMPLES_MAX: usize = 20;
/// Machines and kinds of difference that have a line in the log.
const TOLD_MAX: usize = 10_000;
/// Lines in one second.
const LINES_PER_SECOND_MAX: u64 = 100;
/// The longest words of a difference that are kept, in characters.
const WORDS_LEN_MAX: usize = 500;
/// How soon what was counted is in the file.
const SAVED_WITHIN: Duration = Duration::from_millis(500);
/// A file that is longer is not ours.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Who is told of differences: what the engine tells of decisions.
pub(super) type Hook = Arc<OnceLock<Arc<dyn Observer>>>;

/// What can become of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The candidate would do the same.
    Same,
    /// It would do something else.
    Different,
    /// It would fail.
    Failed,
    /// There was no room to ask it.
    Dropped,
    /// It answered a machine.
    Canary,
    /// It should have answered a machine and could not, so that the live scripts did.
    CanaryFailed,
}

impl Outcome {
    /// The words in metrics, in the order of the counts.
    const NAMES: [&'static str; 6] = ["same", "different", "failed", "dropped", "canary", "canary_failed"];
}

/// How often each of [`Outcome`] was; by its place.
#[derive(Default)]
pub(super) struct Counts([AtomicU64; 6]);

impl Counts {
    fn add(&self, outcome: Outcome) {
        if let Some(count) = self.0.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each with its word.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::NAMES.into_iter().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

/// What became of a candidate, as it is kept in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The candidate's revision.
    pub candidate: String,
    /// The revision of the live scripts.
    pub live: String,
    /// Since when they are compared.
    pub since: Option<Timestamp>,
    /// Questions that the candidate would answer in the same way.
    pub same: u64,
    /// Those that it would answer in another way.
    pub different: u64,
    /// Those that it would fail at.
    pub failed: u64,
    /// Those that it was not asked, because there was no room.
    pub dropped: u64,
    /// Those that it answered.
    pub canary: u64,
    /// Those that it should have answered and could not.
    pub canary_failed: u64,
    /// The last differences.
    pub examples: Vec<Example>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// When it was asked.
    pub at: Timestamp,
    /// The machine's MAC address.
    pub mac: String,
    /// The boot.
    pub session: String,
    /// The question.
    pub question: String,
    /// What differs.
    pub words: String,
}

/// A difference, as it was found.
pub(super) struct Difference<'a> {
    pub(super) question: Question,
    /// What is told once for each machine.
    pub(super) kind: String,
    pub(super) words: &'a str,
}

/// What became of a candidate so far.
pub(super) struct Tally {
    pub(super) handler: String,
    pub(super) candidate: String,
    pub(super) live: String,
    since: Timestamp,
    counts: Counts,
    /// Those of all candidates since the server started.
    pub(super) totals: Arc<Counts>,
    examples: Mutex<VecDeque<Example>>,
    told: Mutex<HashSet<u64>>,
    pace: Pace,
    hook: Hook,
    file: PathBuf,
    /// Whether it will be written soon.
    is_due: AtomicBool,
}

impl Tally {
    /// Begins to count; what an earlier process counted of the same scripts goes on.
    pub(super) fn begin(
        handler: &str,
        revisions: (&str, &str),
        totals: Arc<Counts>,
        hook: Hook,
        state: &Path,
    ) -> Tally {
        let file = Progress::file(state, handler);
        let (candidate, live) = revisions;
        let before = Progress::read(&file).filter(|before| before.candidate == candidate && before.live == live);
        let before = before.unwrap_or_default();
        let counts =
            [before.same, before.different, before.failed, before.dropped, before.canary, before.canary_failed];
        Tally {
            handler: handler.to_owned(),
            candidate: candidate.to_owned(),
            live: live.to_owned(),
            since: before.since.unwrap_or_else(Timestamp::now),
            counts: Counts(counts.map(AtomicU64::new)),
            totals,
            examples: Mutex::new(before.examples.into_iter().take(EXAMPLES_MAX).collect()),
            told: Mutex::default(),
            pace: Pace::default(),
            hook,
            file,
            is_due: AtomicBool::new(false),
        }
    }

    /// Counts what became of a question.
    pub(super) fn count(self: &Arc<Self>, outcome: Outcome) {
        self.counts.add(outcome);
        self.totals.add(outcome);
        self.save_soon();
    }

    /// Tells of a difference.
    pub(super) fn tell(&self, request: &BootRequest, difference: &Difference<'_>) {
        let words: String = difference.words.chars().take(WORDS_LEN_MAX).collect();
        let (mac, session) = (request.client.hardware, request.session);
        if let Some(observer) = self.hook.get() {
            observer.compared(difference.question, request, &words);
        }
        if self.is_news(request, &difference.kind) && self.has_room(request) {
            let (question, handler, candidate) = (difference.question.name(), &self.handler, &self.candidate);
            let stage = request.stage.name();
            info!(
                %handler, %session, %mac, stage, question, %candidate,
                "shadow: the candidate would answer otherwise: {words}"
            );
        }
        let question = difference.question.name().to_owned();
        let (mac, session) = (mac.to_string(), session.to_string());
        let mut examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        examples.push_front(Example { at: request.now, mac, session, question, words });
        examples.truncate(EXAMPLES_MAX);
    }

    /// Whether one more line about this request may be written.
    pub(super) fn has_room(&self, request: &BootRequest) -> bool {
        self.pace.take(request.now.as_second(), LINES_PER_SECOND_MAX).is_free
    }

    /// Whether this kind of difference was not told of this machine yet.
    fn is_news(&self, request: &BootRequest, kind: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        (request.client.hardware.octets(), kind).hash(&mut hasher);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.len().cmp(&TOLD_MAX) {
            std::cmp::Ordering::Less => {
                let is_news = told.insert(hasher.finish());
                if told.len() == TOLD_MAX {
                    info!(handler = self.handler, "shadow: differences of further machines are counted, not logged");
                }
                is_news
            }
            _ => false,
        }
    }

    fn progress(&self) -> Progress {
        let examples = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        let [same, different, failed, dropped, canary, canary_failed] = [0, 1, 2, 3, 4, 5]
            .map(|place: usize| self.counts.0.get(place).map_or(0, |count| count.load(Ordering::Relaxed)));
        Progress {
            candidate: self.candidate.clone(),
            live: self.live.clone(),
            since: Some(self.since),
            same,
            different,
            failed,
            dropped,
            canary,
            canary_failed,
            examples: examples.iter().cloned().collect(),
        }
    }

    /// Lets what was counted be written a little later, with what is counted meanwhile.
    fn save_soon(self: &Arc<Self>) {
        if self.is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.save();
        };
        let tally = Arc::clone(self);
        runtime.spawn(async move {
            tokio::time::sleep(SAVED_WITHIN).await;
            let _ = tokio::task::spawn_blocking(move || tally.save()).await;
        });
    }

    /// Writes what was counted. Blocks on the disk.
    pub(super) fn save(&self) {
        self.is_due.store(false, Ordering::Release);
        if let Err(error) = self.progress().write(&self.file) {
            debug!(file = %self.file.display(), %error, "what became of the candidate is not kept");
        }
    }

    /// Warns that the candidate could not answer a machine.
    pub(super) fn warn(&self, request: &BootRequest, why: &str) {
        if self.has_room(request) {
            let (mac, session, stage) = (request.client.hardware, request.session, request.stage.name());
            warn!(handler = self.handler, %session, %mac, stage, "canary: the live scripts answer instead: {why}");
        }
    }
}

impl Progress {
    /// The file of a handler, in the server's state folder.
    pub fn file(state: &Path, handler: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
        state.join("scripts").join(format!("{}.json", handler.chars().map(plain).collect::<String>()))
    }

    /// What is in a file; none where it is not there or not ours.
    pub fn read(file: &Path) -> Option<Progress> {
        if std::fs::metadata(file).ok()?.len() > FILE_LEN_MAX {
            return None;
        }
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }

    /// Puts it in the place of the file whole.
    fn write(&self, file: &Path) -> std::io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(&serde_json::to_vec_pretty(self)?)?;
        new.persist(file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_goes_on_for_the_same_scripts_only() {
        let state = tempfile::tempdir().unwrap();
        let begin = |candidate: &str| {
            Arc::new(Tally::begin("a/b", (candidate, "live"), Arc::default(), Hook::default(), state.path()))
        };
        let tally = begin("one");
        tally.count(Outcome::Same);
        tally.count(Outcome::CanaryFailed);
        tally.save();
        let file = Progress::file(state.path(), "a/b");
        assert_eq!(file, state.path().join("scripts/a_b.json"));
        let kept = Progress::read(&file).unwrap();
        assert_eq!((kept.same, kept.canary_failed, kept.candidate.as_str()), (1, 1, "one"));
        assert_eq!(begin("one").progress(), kept);
        assert_eq!(begin("two").progress().same, 0);
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(begin("one").progress().same, 0);
    }
}
