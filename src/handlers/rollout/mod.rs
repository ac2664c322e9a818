//! New scripts on their way to be the live ones: in the shadow, as a canary, promoted, rolled back.
//!
//! A candidate is a folder of scripts beside the live ones. In the shadow it is asked whatever the live scripts have
//! answered, and what it would do otherwise is told; as a canary it really answers some machines.
//!
//! **Invariant**: a candidate makes no boot worse. In the shadow nobody waits for it; where it should answer and cannot,
//! the live scripts do; one that does not load, or whose cases fail, answers nobody.

mod canary;
mod revisions;
mod shadow;
mod tally;
#[cfg(test)]
mod tests;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tracing::{info, warn};

use crate::boot::{BootFile, BootImages, BootRequest, FileName, Verdict};
use crate::config::{Config, ScriptSection};
use crate::decision::{Answer, BootEvent, Compared, HandlerError, Observer, Question, RequestHandler};

use super::script::{self, ScriptHandler};
use canary::Canary;
use shadow::{Answered, Shadow};
use tally::{Counts, Hook, Outcome, Tally};

pub use revisions::{Desk, Revision, RolloutError, Staged};
pub use tally::{Example, Progress};

/// Live scripts with a candidate beside them.
pub struct RolloutHandler {
    live: Arc<ScriptHandler>,
    candidate: Arc<ScriptHandler>,
    canary: Option<Canary>,
    /// How long a canary's answer to each question is waited for.
    patience: [Duration; 2],
    has_shadow: bool,
    /// Set where machines are served: only there it is counted and compared.
    watch: OnceLock<Watch>,
}

struct Watch {
    tally: Arc<Tally>,
    shadow: Option<Shadow>,
}

/// The candidate of a handler, when a site is read.
#[derive(Clone)]
pub struct Candidate {
    /// Its folder.
    pub folder: PathBuf,
    /// Further folders that it was read from.
    pub folders: Vec<PathBuf>,
    /// Its revision, and that of the live scripts; or why it does not load.
    pub state: Result<Loaded, Vec<String>>,
}

/// A candidate that loads.
#[derive(Clone)]
pub struct Loaded {
    /// Its revision.
    pub revision: String,
    /// How many of its cases were as expected.
    pub passed: usize,
    /// The cases that were not, ready to be shown.
    pub failures: Vec<String>,
    handler: Arc<RolloutHandler>,
}

impl RolloutHandler {
    /// Live scripts with their candidate, as the section says; a candidate whose cases fail is no canary.
    pub fn new(
        config: &Config,
        section: &ScriptSection,
        live: Arc<ScriptHandler>,
        candidate: ScriptHandler,
        is_good: bool,
    ) -> RolloutHandler {
        let limits = config.decision.policy().limits;
        RolloutHandler {
            live,
            candidate: Arc::new(candidate),
            canary: Canary::of(section).filter(|_| is_good),
            // The other half is for the live scripts.
            patience: [limits.allow_boot / 2, limits.boot_images / 2],
            has_shadow: section.shadow,
            watch: OnceLock::new(),
        }
    }

    fn count(&self, outcome: Outcome) {
        if let Some(watch) = self.watch.get() {
            watch.tally.count(outcome);
        }
    }

    /// The candidate's answer, where it answers this machine and can.
    async fn canary<'a, T>(
        &self,
        question: Question,
        request: &BootRequest,
        answer: impl FnOnce() -> BoxFuture<'a, Result<Answer<T>, HandlerError>>,
    ) -> Option<Result<Answer<T>, String>> {
        if !self.canary.as_ref()?.has(request) {
            return None;
        }
        let [allow_boot, boot_images] = self.patience;
        let patience = if question == Question::AllowBoot { allow_boot } else { boot_images };
        let why = match tokio::time::timeout(patience, answer()).await {
            Ok(Ok(answer)) => {
                self.count(Outcome::Canary);
                return Some(Ok(explained(answer, "canary")));
            }
            Ok(Err(error)) => error.message,
            Err(_) => format!("no answer within {} ms", patience.as_millis()),
        };
        self.count(Outcome::CanaryFailed);
        if let Some(watch) = self.watch.get() {
            watch.tally.warn(request, &why);
        }
        Some(Err(format!("the canary failed, the live scripts answered: {why}")))
    }

    /// Lets the candidate be asked what the live scripts have answered.
    fn beside<T>(
        &self,
        question: Question,
        request: &BootRequest,
        said: &Result<Answer<T>, HandlerError>,
        compared: fn(&Result<Answer<T>, HandlerError>) -> Compared,
    ) {
        let Some(shadow) = self.watch.get().and_then(|watch| watch.shadow.as_ref()) else { return };
        if !shadow.has_room() {
            return;
        }
        let readings = script::account(said).map_or_else(Vec::new, |account| account.readings.clone());
        shadow.ask(Answered { question, request: request.clone(), said: compared(said), readings });
    }

    /// Asks the live scripts or the candidate.
    async fn answer<'a, T>(
        &self,
        question: Question,
        request: &BootRequest,
        live: impl FnOnce() -> BoxFuture<'a, Result<Answer<T>, HandlerError>>,
        candidate: impl FnOnce() -> BoxFuture<'a, Result<Answer<T>, HandlerError>>,
        compared: fn(&Result<Answer<T>, HandlerError>) -> Compared,
    ) -> Result<Answer<T>, HandlerError> {
        match self.canary(question, request, candidate).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(why)) => Ok(explained(live().await?, &why)),
            None => {
                let said = live().await;
                self.beside(question, request, &said, compared);
                said
            }
        }
    }
}

/// The answer with these words in the trail.
fn explained<T>(answer: Answer<T>, words: &str) -> Answer<T> {
    let (given, why, known, account) = match answer {
        // Scripts never say this.
        Answer::Identified { identity, why } => return Answer::Identified { identity, why: format!("{words}; {why}") },
        Answer::Given(given) => (Some(given), String::new(), None, None),
        Answer::Pass => (None, String::new(), None, None),
        Answer::Noted(record) => (None, record.in_words(), Some(record), None),
        Answer::Explained { given, why, known, account } => (given, why, known, account),
    };
    let why = if why.is_empty() { words.to_owned() } else { format!("{words}; {why}") };
    Answer::Explained { given, why, known, account }
}

#[async_trait]
impl RequestHandler for RolloutHandler {
    fn name(&self) -> &str {
        self.live.name()
    }

    async fn allow_boot(&self, request: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        let (live, candidate) = (|| self.live.allow_boot(request), || self.candidate.allow_boot(request));
        self.answer(Question::AllowBoot, request, live, candidate, Compared::of_verdict).await
    }

    async fn boot_images(&self, request: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        let (live, candidate) = (|| self.live.boot_images(request), || self.candidate.boot_images(request));
        self.answer(Question::BootImages, request, live, candidate, Compared::of_images).await
    }

    fn makes_files(&self) -> bool {
        self.live.makes_files()
    }

    async fn boot_file(&self, request: &BootRequest, name: &FileName) -> Result<Answer<BootFile>, HandlerError> {
        self.live.boot_file(request, name).await
    }

    async fn boot_event(&self, request: &BootRequest, event: &BootEvent) -> Result<(), HandlerError> {
        self.live.boot_event(request, event).await
    }

    fn boot_noticed(&self, request: &BootRequest, event: &BootEvent) {
        self.live.boot_noticed(request, event);
    }
}

impl Candidate {
    /// A candidate that was read, with the handler that it is now a part of.
    pub(super) fn loaded(
        section: &ScriptSection,
        handler: &Arc<RolloutHandler>,
        (passed, failures): (usize, Vec<String>),
    ) -> Candidate {
        let revision = handler.candidate.revision().to_owned();
        let folders = handler.candidate.folders().into_iter().collect();
        let state = Ok(Loaded { revision, passed, failures, handler: Arc::clone(handler) });
        Candidate { folder: section.candidate.clone(), folders, state }
    }

    /// One that does not load.
    pub(super) fn broken(section: &ScriptSection, errors: Vec<String>) -> Candidate {
        Candidate { folder: section.candidate.clone(), folders: Vec::new(), state: Err(errors) }
    }

    /// What there is to say of it.
    ///
    /// # Errors
    /// Why it answers no machine.
    pub fn in_words(&self, handler: &str) -> Result<String, String> {
        let folder = self.folder.display();
        match &self.state {
            Err(errors) => {
                Err(format!("the candidate {folder} does not load; the live scripts go on\n{}", errors.join("\n")))
            }
            Ok(loaded) if !loaded.failures.is_empty() => Err(format!(
                "cases of the candidate {folder} fail: it answers no machine\n{}",
                loaded.failures.join("\n")
            )),
            Ok(loaded) => {
                let does = match (loaded.handler.has_shadow, loaded.handler.canary.is_some()) {
                    (true, true) => "is asked in the shadow, and answers machines of the canary",
                    (true, false) => "is asked in the shadow",
                    (false, true) => "answers machines of the canary",
                    (false, false) => "is there, and neither shadow nor canary is on",
                };
                Ok(format!("the candidate {folder} of handler `{handler}`, revision {}, {does}", loaded.revision))
            }
        }
    }
}

/// The candidates of a site that serves, with what became of them; goes on through reloads.
#[derive(Clone, Default)]
pub struct Rollouts {
    of_handlers: Vec<OfHandler>,
    hook: Hook,
}

#[derive(Clone)]
struct OfHandler {
    name: String,
    /// What was said of its candidate in the log; none where there is no candidate.
    said: Option<Result<String, String>>,
    tally: Option<Arc<Tally>>,
    totals: Arc<Counts>,
}

impl Rollouts {
    /// Begins to compare; `handlers` are all with scripts, each with its name and its candidate.
    pub fn begin<'a>(
        handlers: impl Iterator<Item = (&'a str, Option<&'a Candidate>)>,
        before: Option<&Rollouts>,
        state: &Path,
    ) -> Rollouts {
        let hook = before.map_or_else(Hook::default, |before| Arc::clone(&before.hook));
        let begin = |(name, candidate): (&str, Option<&Candidate>)| {
            let before = before.and_then(|before| before.of_handlers.iter().find(|other| other.name == name));
            let totals = before.map_or_else(Arc::default, |before| Arc::clone(&before.totals));
            let said = candidate.map(|candidate| candidate.in_words(name));
            tell(name, said.as_ref(), before.and_then(|before| before.said.as_ref()));
            let loaded = candidate.and_then(|candidate| candidate.state.as_ref().ok());
            let tally = loaded.map(|loaded| {
                let handler = &loaded.handler;
                let revisions = (handler.candidate.revision(), handler.live.revision());
                let goes_on = before.and_then(|before| before.tally.as_ref());
                let goes_on = goes_on.filter(|tally| (&*tally.candidate, &*tally.live) == revisions).map(Arc::clone);
                let new = || Arc::new(Tally::begin(name, revisions, Arc::clone(&totals), Arc::clone(&hook), state));
                let tally = goes_on.unwrap_or_else(new);
                let shadow =
                    handler.has_shadow.then(|| Shadow::new(Arc::clone(&handler.candidate), Arc::clone(&tally)));
                let _ = handler.watch.set(Watch { tally: Arc::clone(&tally), shadow });
                tally
            });
            OfHandler { name: name.to_owned(), said, tally, totals }
        };
        Rollouts { of_handlers: handlers.map(begin).collect(), hook: Arc::clone(&hook) }
    }

    /// Lets this one be told of differences.
    pub fn tell(&self, observer: Arc<dyn Observer>) {
        let _ = self.hook.set(observer);
    }

    /// How often what became of questions, since the server started: handler, outcome, number.
    pub fn counts(&self) -> Vec<(String, &'static str, u64)> {
        let of = |of: &OfHandler| {
            of.totals.all().map(|(outcome, count)| (of.name.clone(), outcome, count)).collect::<Vec<_>>()
        };
        self.of_handlers.iter().flat_map(of).collect()
    }

    /// Handlers with a candidate, and whether it can be asked.
    pub fn candidates(&self) -> Vec<(String, bool)> {
        let of = |of: &OfHandler| of.said.is_some().then(|| (of.name.clone(), of.tally.is_some()));
        self.of_handlers.iter().filter_map(of).collect()
    }

    /// Writes what was counted. Blocks on the disk.
    pub fn save(&self) {
        self.of_handlers.iter().filter_map(|of| of.tally.as_ref()).for_each(|tally| tally.save());
    }
}

/// Says what is new of a candidate.
fn tell(handler: &str, said: Option<&Result<String, String>>, before: Option<&Result<String, String>>) {
    if said == before {
        return;
    }
    match said {
        Some(Ok(words)) => info!(handler, "{words}"),
        Some(Err(words)) => warn!(handler, "{words}"),
        None => info!(handler, "there is no candidate any more"),
    }
}
