//! The core: two questions, handlers that may answer them, and an engine that always does.
//!
//! A [`RequestHandler`] knows something (a script, a database, an upstream server). The [`DecisionEngine`] asks its
//! handlers in the configured order, bounds their time, remembers their answers for one boot, and falls back to the
//! configured policy. [`Sessions`] tie the 4 to 8 questions of one boot together.
//!
//! **Invariant**: this module names no transport, no script language and no database.

mod chain;
mod difference;
mod engine;
mod event;
mod exchange;
mod file;
mod flight;
mod grant;
mod log;
mod policy;
mod session;
#[cfg(test)]
mod tests;
mod token;
mod trust;

use async_trait::async_trait;

use crate::boot::{Account, BootFile, BootImages, BootRequest, FileName, Identity, Record, Verdict};

pub use chain::Question;
pub use difference::{Compared, Difference, differences, differing};
pub use engine::{DecisionEngine, Observer, World};
pub use event::{BootEvent, Carrier};
pub use exchange::{Exchange, Transport};
pub use file::MadeFile;
pub use grant::GrantError;
pub use policy::{Fallback, OnError, Policy, TimeLimits};
pub use session::{Progress, Session, Sessions};
pub use token::{TokenError, TokenKey};
pub use trust::KeyRules;

/// Somebody who may know what a machine boots.
///
/// Both questions may be asked several times in one boot and at the same time for different clients. A handler never
/// blocks the thread it is called on.
#[async_trait]
pub trait RequestHandler: Send + Sync {
    /// The handler's name in trails, logs and metrics: what the configuration calls it.
    fn name(&self) -> &str;

    /// May this machine boot from the network? Asked while the firmware does DHCP.
    ///
    /// # Errors
    /// When the handler should have known and could not tell; the engine's policy then decides.
    async fn allow_boot(&self, request: &BootRequest) -> Result<Answer<Verdict>, HandlerError>;

    /// What does this machine boot? Asked once a boot loader runs and the machine's facts are known.
    ///
    /// # Errors
    /// When the handler should have known and could not tell; the engine's policy then decides.
    async fn boot_images(&self, request: &BootRequest) -> Result<Answer<BootImages>, HandlerError>;

    /// Whether [`RequestHandler::boot_file`] may have an opinion: where nobody has, nobody is asked.
    fn makes_files(&self) -> bool {
        false
    }

    /// What is in the file of this name, for a boot loader that asks for it in an allowed boot? For configuration files of
    /// other loaders than iPXE, and whatever else they look for.
    ///
    /// # Errors
    /// When the handler should have known and could not tell: then there is no such file.
    async fn boot_file(&self, _request: &BootRequest, _name: &FileName) -> Result<Answer<BootFile>, HandlerError> {
        Ok(Answer::Pass)
    }

    /// Something happened in a boot; every handler is told, whoever decided. Questions change nothing, so that they can
    /// be asked in a dry run: what is counted is counted here.
    ///
    /// # Errors
    /// When it could not be noted, or must not happen: the client then does not go on with what it was about to do.
    async fn boot_event(&self, _request: &BootRequest, _event: &BootEvent) -> Result<(), HandlerError> {
        Ok(())
    }

    /// Something happened in a boot that nobody can object to: a script without assignments is about to be handed out, or
    /// a file was sent. Called in the middle of answering a client, so it must not wait.
    fn boot_noticed(&self, _request: &BootRequest, _event: &BootEvent) {}
}

/// What a handler says to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// An answer; an empty list of images is one too (the machine's own disk).
    Given(T),
    /// No opinion: the next handler is asked. Never used for *nothing to boot*.
    Pass,
    /// No opinion either, but this is known of the machine: handlers asked later see it as the request's record.
    Noted(Record),
    /// No opinion either, and not known which machine it is, but which it could be: handlers asked later see that.
    Identified {
        /// Who it could be.
        identity: Box<Identity>,
        /// How that came about, for the trail.
        why: String,
    },
    /// An answer, or no opinion, with what the trail says of how it came about.
    Explained {
        /// The answer; no opinion when absent.
        given: Option<T>,
        /// How it came about.
        why: String,
        /// What is known of the machine: for handlers asked later, and for the history.
        known: Option<Record>,
        /// How a script came to it.
        account: Option<Box<Account>>,
    },
}

impl<T> Answer<T> {
    /// The answer with its content turned into something else.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Answer::Given(content) => Answer::Given(turn(content)),
            Answer::Pass => Answer::Pass,
            Answer::Noted(record) => Answer::Noted(record),
            Answer::Identified { identity, why } => Answer::Identified { identity, why },
            Answer::Explained { given, why, known, account } => {
                Answer::Explained { given: given.map(turn), why, known, account }
            }
        }
    }
}

/// Why a handler could not tell. The text is for the administrator: what failed, where (file and line), and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HandlerError {
    /// What failed.
    pub message: String,
    /// Whether what was reported must not happen, rather than could not be noted: asking again does not help.
    pub is_refusal: bool,
    /// How far a script came.
    pub account: Option<Box<Account>>,
}

impl HandlerError {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> HandlerError {
        HandlerError { message: message.into(), is_refusal: false, account: None }
    }

    /// The same error, with how a script came to it.
    pub fn with_account(self, account: Account) -> HandlerError {
        HandlerError { account: Some(Box::new(account)), ..self }
    }

    /// A handler's no to an event, for this reason.
    pub fn refused(reason: impl Into<String>) -> HandlerError {
        HandlerError { message: reason.into(), is_refusal: true, account: None }
    }
}
