//! What the engine does when no handler answers, one fails, or one is too slow.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::boot::{Architecture, LocalBoot, Stage, Verdict};

/// Loaders ask again by TFTP after about as long, and find the answer ready then.
const TFTP_PATIENCE: Duration = Duration::from_secs(4);

/// The policy of the configuration's `[decision]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When a handler fails.
    pub on_error: OnError,
    /// When the answer is not there in time.
    pub on_timeout: Fallback,
    /// When every handler passes.
    pub unknown: Fallback,
    /// How long a denial is remembered; an allowed boot keeps its verdict to its end.
    pub remember: Duration,
    /// How long a question may take.
    pub limits: TimeLimits,
    /// How machines get to their own disk, where neither the rules nor a quirk say.
    pub local_boot: BTreeMap<Architecture, LocalBoot>,
}

/// A verdict that stands in for one that nobody gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// The machine may boot.
    Allow,
    /// It is told that it may not.
    Deny,
    /// It gets no answer.
    Ignore,
}

impl Fallback {
    /// The verdict, with this reason where one is needed.
    pub fn verdict(self, reason: &str) -> Verdict {
        match self {
            Fallback::Allow => Verdict::allow(),
            Fallback::Deny => Verdict::deny(reason),
            Fallback::Ignore => Verdict::ignore(reason),
        }
    }
}

/// What a failed handler leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The next handler is asked.
    Next,
    /// The machine may boot.
    Allow,
    /// It is told that it may not.
    Deny,
    /// It gets no answer.
    Ignore,
}

impl OnError {
    /// The verdict that ends the chain, or none when the next handler is to be asked.
    pub fn fallback(self) -> Option<Fallback> {
        match self {
            OnError::Next => None,
            OnError::Allow => Some(Fallback::Allow),
            OnError::Deny => Some(Fallback::Deny),
            OnError::Ignore => Some(Fallback::Ignore),
        }
    }
}

/// How long the client is kept waiting. The work itself goes on behind, so that the client's next packet finds the
/// answer ready, until [`TimeLimits::work`] ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// *May I boot?* on UDP 67 and 4011 and by TFTP: iPXE waits 2 s for a proxy, EDK2 1 s on 4011.
    pub allow_boot: Duration,
    /// *What do I boot?* by HTTP.
    pub boot_images: Duration,
    /// The most that one question may work in the background.
    pub work: Duration,
}

impl TimeLimits {
    /// How long a client at this stage is kept waiting for *what do I boot?*: by TFTP it asks again after some seconds.
    pub fn boot_images_at(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Http => self.boot_images,
            Stage::Discover | Stage::BootServer | Stage::Tftp => self.boot_images.min(TFTP_PATIENCE),
        }
    }

    /// How long a client at this stage is kept waiting for *may I boot?*.
    pub fn allow_boot_at(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Discover | Stage::BootServer => self.allow_boot,
            Stage::Tftp | Stage::Http => self.boot_images.min(self.allow_boot * 4),
        }
    }
}

impl Default for TimeLimits {
    fn default() -> Self {
        TimeLimits {
            allow_boot: Duration::from_millis(500),
            boot_images: Duration::from_secs(20),
            work: Duration::from_secs(30),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            on_error: OnError::Deny,
            on_timeout: Fallback::Ignore,
            unknown: Fallback::Ignore,
            remember: Duration::from_secs(60),
            limits: TimeLimits::default(),
            local_boot: BTreeMap::new(),
        }
    }
}
