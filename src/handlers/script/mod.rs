//! The `script` handler: two functions of the site's administrator, in Rhai.
//!
//! `allow_boot(request)` and `boot_images(request)` stand in one file or two; a file without the function passes.
//! A decision takes microseconds, so a script runs on the caller's thread first, with a small budget. One that needs
//! more is begun anew in the background with the full limits, so that a slow or endless script delays nobody else.
//!
//! A loaded handler never changes: to reload is to load anew and swap.
//!
//! **Invariant**: only this folder names `rhai`. A script gets plain data and returns plain data; it reaches no file,
//! no clock and no network but through the functions in [`api`].

pub mod api;
pub mod cases;
pub mod coverage;
pub mod definitions;
pub mod help;
pub mod reference;

mod again;
mod answer;
mod ask;
mod beside;
mod compile;
mod contract;
mod csv_file;
mod diagnose;
mod document;
mod dropped;
mod functions;
mod identity;
mod images;
mod lexer;
mod limits;
mod made;
mod memory;
mod modules;
mod notes;
mod offer;
mod options;
mod outside;
mod parts;
mod patterns;
mod prefixes;
mod program;
mod query;
mod question;
mod reach;
mod record;
mod request;
mod rings;
mod rows;
mod sandbox;
mod searches;
mod slips;
mod sources;
mod spots;
mod tables;
mod time;
mod trace;
mod versions;
mod warnings;
mod web;
mod who;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use rhai::{Dynamic, Engine};
use tokio::sync::Semaphore;
use tracing::{debug, info};

use crate::boot::{Account, BootFile, BootImages, BootRequest, FileName, Reading, Record, Verdict};
use crate::database::NamedQueries;
use crate::decision::{Answer, HandlerError, RequestHandler};
use crate::pace::Pace;

pub use again::{Again, NOTED, Unanswered};
pub use beside::Would;
pub(in crate::handlers) use beside::account;
pub use diagnose::{ScriptError, ScriptErrors};
pub use limits::Limits;
pub use notes::counts;
pub use question::Question;
pub use reach::Reach;
pub use trace::Trace;

use program::Program;
use sandbox::Ended;

/// Where the scripts are, and what they may use.
#[derive(Debug, Clone)]
pub struct ScriptConfig {
    /// The handler's name in the configuration.
    pub name: String,
    /// The file with `allow_boot`.
    pub allow_boot: PathBuf,
    /// The file with `boot_images`; may be the same.
    pub boot_images: PathBuf,
    /// The folder that imports come from.
    pub scripts_dir: PathBuf,
    /// The folder of the tables; need not exist.
    pub data_dir: PathBuf,
    /// The time zone of `request.now`.
    pub time_zone: TimeZone,
    /// What the scripts may ask the databases of the site.
    pub queries: Arc<NamedQueries>,
    /// What else they can reach, and whether they may change anything.
    pub reach: Reach,
    /// What a run may use.
    pub limits: Limits,
}

/// A [`RequestHandler`] that asks the site's scripts.
pub struct ScriptHandler {
    name: String,
    program: Arc<Program>,
    background: Arc<Semaphore>,
    /// How many of the next runs of each question begin in the background at once.
    shy: [AtomicU32; 2],
    /// What the scripts log: machines that somebody makes up must not fill the disk with it.
    pace: Pace,
    reach: Reach,
}

/// One run of a script, line by line.
#[derive(Debug, Clone)]
pub struct Traced {
    /// Where the answer was made, as `FILE:LINE`; empty when that is not known.
    pub line: String,
    /// The lines that ran.
    pub trace: Trace,
    /// Why there is no answer.
    pub error: Option<ScriptError>,
    /// What the script saw of the fields in the line of the error, as in `request.serial is ""`.
    pub seen: Vec<String>,
    /// What the script logged.
    pub log: Vec<String>,
    /// Who was asked, and did not answer the earlier run: the run ends there.
    pub unanswered: Option<String>,
}

/// Lines that scripts may log in one second.
const LOG_LINES_PER_SECOND_MAX: u64 = 2000;

/// A script that needed more than the inline budget, or asked a database, will likely do so again, and each attempt
/// holds up the packets behind it: so this many runs after it do not try.
const SHY_RUNS: u32 = 32;

impl ScriptHandler {
    /// Reads and compiles the scripts, what they import, and the tables.
    ///
    /// # Errors
    /// All problems at once, each with its place and the likely fix.
    pub fn load(config: &ScriptConfig) -> Result<ScriptHandler, ScriptErrors> {
        ScriptHandler::load_with(config, |_| ())
    }

    fn load_with(config: &ScriptConfig, extend: impl FnOnce(&mut Engine)) -> Result<ScriptHandler, ScriptErrors> {
        let program = Arc::new(Program::load(config, extend)?);
        let background = Arc::new(Semaphore::new(config.limits.background_runs.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(ScriptHandler {
            name: config.name.clone(),
            program,
            background,
            shy: [AtomicU32::new(0), AtomicU32::new(0)],
            pace: Pace::default(),
            reach: config.reach.clone(),
        })
    }

    /// The script file that answers a question, if it has the function.
    pub fn answers(&self, question: Question) -> Option<&str> {
        self.program.answers(question).then(|| self.program.file(question))
    }

    /// What is likely wrong in scripts that work: each with its place and what to do.
    pub fn warnings(&self) -> &[ScriptError] {
        self.program.warnings()
    }

    /// The script files: those that answer, and what they import.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.program.files()
    }

    /// Which scripts these are: see [`Account::scripts`].
    pub fn revision(&self) -> &str {
        self.program.revision()
    }

    /// Asks a question once more, with what the scripts were told then, and follows it line by line. Nobody else is asked,
    /// and nothing is kept. Takes as long as the script takes, on this thread.
    pub fn trace(&self, question: Question, request: &BootRequest, told: &[Reading]) -> Traced {
        let answers = Arc::new(outside::Answers::of(told));
        let budget = self.program.full(question);
        let convert = match question {
            Question::AllowBoot => |value| answer::verdict(value).map(|_| ()),
            Question::BootImages => |value| answer::images(value).map(|_| ()),
        };
        let run = || self.program.run_traced(question, request, budget, convert);
        let ((ended, trace), unanswered) = outside::with_answers(&answers, run);
        Traced {
            line: self.program.line(question, request, &ended),
            trace,
            seen: ended.value.as_ref().err().map_or_else(Vec::new, |error| self.program.seen(error, request)),
            error: ended.value.err(),
            log: ended.log,
            unanswered,
        }
    }

    /// A line of a script, by the file's name in a trace; long lines are cut.
    pub fn source_line(&self, file: &str, line: usize) -> Option<String> {
        self.program.source_line(file, line)
    }

    /// The folders that the scripts and what they import were read from.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        self.program.folders()
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: Question,
        request: &BootRequest,
        convert: fn(Dynamic) -> Result<Answer<T>, String>,
    ) -> Result<Answer<T>, HandlerError> {
        if !self.program.answers(question) {
            return Ok(Answer::Pass);
        }
        let shy = self.shy(question);
        let begins_inline = shy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |runs| runs.checked_sub(1)).is_err();
        let inline = begins_inline.then(|| self.program.run(question, request, self.program.inline(), convert));
        if inline.as_ref().is_some_and(|ended| ended.overrun) {
            shy.store(SHY_RUNS, Ordering::Relaxed);
        }
        let mut ended = match inline.filter(|ended| !ended.overrun) {
            Some(ended) => ended,
            None => self.run_in_background(question, request, convert).await?,
        };
        if ended.waited {
            shy.store(SHY_RUNS, Ordering::Relaxed);
        }
        let mac = request.client.hardware;
        for line in
            ended.log.iter().filter(|_| self.pace.take(request.now.as_second(), LOG_LINES_PER_SECOND_MAX).is_free)
        {
            info!(handler = %self.name, session = %request.session, %mac, stage = request.stage.name(), "script: {line}");
        }
        // Here and not beside live scripts: there nothing is kept.
        let kept = std::mem::take(&mut ended.kept);
        let answer = self.answer_of(question, request, ended)?;
        kept.keep(&self.reach, request.now).await;
        Ok(answer)
    }

    /// What a run said, with how it came to it.
    fn answer_of<T>(
        &self,
        question: Question,
        request: &BootRequest,
        ended: Ended<Result<Answer<T>, ScriptError>>,
    ) -> Result<Answer<T>, HandlerError> {
        let mac = request.client.hardware;
        let line = self.program.line(question, request, &ended);
        let account =
            Account { scripts: self.program.revision().to_owned(), line, readings: ended.readings, log: ended.log };
        let (given, known) = match ended.value {
            Ok(Answer::Given(given)) => (Some(given), None),
            Ok(Answer::Noted(note)) => (None, Some(with_note(request, &note)?)),
            Ok(_) => (None, None),
            Err(error) => {
                debug!(handler = %self.name, session = %request.session, %mac, "script failed\n{error}");
                let seen = self.program.seen(&error, request);
                let machine = [vec![format!("machine {mac}")], seen].concat().join("; ");
                let error = HandlerError::new(format!("{} ({machine})", error.one_line()));
                return Err(error.with_account(account));
            }
        };
        let why = known.as_ref().map_or_else(String::new, Record::in_words);
        Ok(Answer::Explained { given, why, known, account: Some(Box::new(account)) })
    }
}

impl ScriptHandler {
    fn shy(&self, question: Question) -> &AtomicU32 {
        let [allow_boot, boot_images] = &self.shy;
        match question {
            Question::AllowBoot => allow_boot,
            Question::BootImages => boot_images,
        }
    }

    /// A run with the full limits on a thread of its own.
    async fn run_in_background<T: Send + 'static>(
        &self,
        question: Question,
        request: &BootRequest,
        convert: fn(Dynamic) -> Result<Answer<T>, String>,
    ) -> Result<Ended<Result<Answer<T>, ScriptError>>, HandlerError> {
        let permit = Arc::clone(&self.background).acquire_owned().await;
        let (program, request) = (Arc::clone(&self.program), request.clone());
        // The permit goes with the run: it cannot be cancelled, only end.
        let run = move || (permit, program.run(question, &request, program.full(question), convert)).1;
        let joined = tokio::task::spawn_blocking(run).await;
        joined.map_err(|error| HandlerError::new(format!("the script did not run: {error}")))
    }
}

/// What is known of the machine, with a script's note.
fn with_note(request: &BootRequest, note: &Record) -> Result<Record, HandlerError> {
    let mut record = request.record.as_deref().cloned().unwrap_or_default();
    for (column, value) in note.iter() {
        if !record.insert(column, value.clone()) {
            let what = "the machine's row is too wide to note an upstream beside it";
            return Err(HandlerError::new(format!("{what}; read fewer than {} columns", Record::COLUMNS_MAX - 1)));
        }
    }
    Ok(record)
}

#[async_trait]
impl RequestHandler for ScriptHandler {
    fn name(&self) -> &str {
        &self.name
    }

    async fn allow_boot(&self, request: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        self.ask(Question::AllowBoot, request, answer::verdict).await
    }

    async fn boot_images(&self, request: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        self.ask(Question::BootImages, request, answer::images).await
    }

    fn makes_files(&self) -> bool {
        self.program.makes_files()
    }

    /// Always in the background: loaders ask for few files, and wait for seconds. What the script notes is not kept.
    async fn boot_file(&self, request: &BootRequest, name: &FileName) -> Result<Answer<BootFile>, HandlerError> {
        let permit = Arc::clone(&self.background).acquire_owned().await;
        let (program, asked, name) = (Arc::clone(&self.program), request.clone(), name.clone());
        let run = move || (permit, program.run_file(&asked, &name)).1;
        let joined = tokio::task::spawn_blocking(run).await;
        let ended = joined.map_err(|error| HandlerError::new(format!("the script did not run: {error}")))?;
        ended.value.map_err(|error| HandlerError::new(error.one_line()))
    }
}
