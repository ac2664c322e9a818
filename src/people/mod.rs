//! The people at the machines: who they are is verified here, and nowhere else.
//!
//! PINs and passwords of the configuration are hashes; the directory is asked by LDAP. A wrong answer is counted
//! in the store before it is compared, per machine, per user name, and for all PINs together, so that nobody can guess
//! for long, whatever addresses they make up.
//!
//! **Invariant**: a secret is in no log, no error and no store; where it cannot be verified, nobody is anybody.

mod directory;
mod hash;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use crate::boot::{Ask, HardwareAddress, Line, Method, Person};
use crate::config::{Config, PersonSection, Problem, Problems};
use crate::store::{Attempt, Store, StoreError};

pub use hash::{HashError, SecretHash};

use directory::{Directory, DirectoryError};
use hash::Comparer;

/// How long the store may take.
const STORE_TIME_MAX: Duration = Duration::from_secs(5);
/// For so many machines together wrong PINs are counted: a PIN is known to several, and belongs to no name.
const PIN_MACHINES: u32 = 10;
/// What counts for all PINs together.
const ALL_PINS: &str = "pin";

/// What somebody typed.
#[derive(Clone, Default)]
pub struct Answer {
    /// The user name; empty for a PIN.
    pub user: String,
    /// The PIN or password.
    pub secret: String,
}

impl Answer {
    /// The longest user name, in octets.
    pub const USER_LEN_MAX: usize = 128;
    /// The longest PIN or password, in octets.
    pub const SECRET_LEN_MAX: usize = 256;
}

/// Why somebody does not go on. The words are for the screen of the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was typed.
    #[error("Nothing was typed.")]
    Empty,
    /// Not right.
    #[error("That is not right. {left} more may be wrong.")]
    Wrong {
        /// How many more may be wrong.
        left: u32,
    },
    /// Too often not right.
    #[error("Too many wrong answers. Try again in {minutes} min.")]
    Locked {
        /// How long that lasts, rounded up.
        minutes: u64,
    },
    /// Right, and not one of those who may.
    #[error("{0} may not do this.")]
    NotOneOfThose(Line),
    /// Nobody knows.
    #[error("Nobody can be verified now; tell the administrator.")]
    Unavailable,
    /// The configuration has no such people.
    #[error("This server knows nobody; tell the administrator.")]
    Nobody,
}

impl Refusal {
    /// The word in metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Refusal::Empty => "empty",
            Refusal::Wrong { .. } => "wrong",
            Refusal::Locked { .. } => "locked",
            Refusal::NotOneOfThose(_) => "not_one_of_those",
            Refusal::Unavailable => "unavailable",
            Refusal::Nobody => "nobody",
        }
    }

    /// Whether asking at once again makes sense.
    pub fn may_try_again(&self) -> bool {
        matches!(self, Refusal::Empty | Refusal::Wrong { .. } | Refusal::NotOneOfThose(_))
    }
}

/// Somebody of the configuration.
struct Known {
    name: String,
    hash: SecretHash,
    groups: Vec<String>,
}

/// Verifies people.
pub struct People {
    lockout_failures: u32,
    lockout: Duration,
    grant: Duration,
    require_https: bool,
    pins: Vec<Known>,
    users: BTreeMap<String, Known>,
    directory: Option<Directory>,
    comparer: Comparer,
    store: Option<Store>,
}

/// Whether somebody was right.
enum Checked {
    Right { name: Line, groups: Vec<String> },
    Wrong,
}

/// What was counted before it was compared, to be made good.
struct Counted {
    subjects: Vec<String>,
    left: u32,
}

impl People {
    /// The people of a configuration, with the store that counts their failures. Blocks on the disk.
    ///
    /// # Errors
    /// Every hash that is none, and what is wrong with the directory's files.
    pub fn open(config: &Config, store: Option<Store>) -> Result<People, Problems> {
        let section = &config.people;
        let mut problems = Problems::default();
        let mut read = |kind: &str, all: &BTreeMap<String, PersonSection>| {
            let mut known = Vec::new();
            for (name, person) in all {
                match SecretHash::read(&person.hash) {
                    Ok(hash) => known.push(Known { name: name.clone(), hash, groups: person.groups.clone() }),
                    Err(error) => problems.push(Problem::of_file(
                        &config.file,
                        format!("people.{kind}.{name}.hash: {error}"),
                        "run `pointsman people hash`, and write what it prints",
                    )),
                }
            }
            known
        };
        let (pins, users) = (read("pin", &section.pin), read("user", &section.user));
        let directory = section.ldap.as_ref().map(Directory::open).transpose();
        let directory = directory.unwrap_or_else(|(what, remedy)| {
            problems.push(Problem::of_file(&config.file, what, remedy));
            None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let comparer = Comparer::new(users.first().or(pins.first()).map(|known| &known.hash));
        Ok(People {
            lockout_failures: section.lockout_failures,
            lockout: section.lockout,
            grant: section.grant,
            require_https: section.require_https,
            pins,
            users: users.into_iter().map(|known| (known.name.clone(), known)).collect(),
            directory,
            comparer,
            store,
        })
    }

    /// How long a verified person counts in one boot.
    pub fn grant(&self) -> Duration {
        self.grant
    }

    /// Whether PINs and passwords are asked for by HTTPS only.
    pub fn requires_https(&self) -> bool {
        self.require_https
    }

    /// Where approvals are kept.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Who answers a question so, at the machine with this address.
    ///
    /// # Errors
    /// Why nobody is verified by that.
    pub async fn verify(
        &self,
        ask: &Ask,
        machine: HardwareAddress,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<Person, Refusal> {
        self.verify_at(format!("machine:{machine}"), ask, answer, now).await
    }

    /// The same for somebody who tries it at the server.
    ///
    /// # Errors
    /// As [`People::verify`].
    pub async fn verify_here(&self, ask: &Ask, answer: &Answer, now: Timestamp) -> Result<Person, Refusal> {
        self.verify_at("here".to_owned(), ask, answer, now).await
    }

    async fn verify_at(&self, place: String, ask: &Ask, answer: &Answer, now: Timestamp) -> Result<Person, Refusal> {
        let user = answer.user.trim();
        // Many directories take a bind without a password for one of nobody, and say yes.
        if answer.secret.is_empty() || (ask.method() == Method::Login && user.is_empty()) {
            return Err(Refusal::Empty);
        }
        let mut counted = Counted { subjects: Vec::new(), left: u32::MAX };
        self.count(&mut counted, place, self.lockout_failures, now).await?;
        let is_long = user.len() > Answer::USER_LEN_MAX || answer.secret.len() > Answer::SECRET_LEN_MAX;
        let checked = match ask.method() {
            _ if is_long => Ok(Checked::Wrong),
            Method::Pin => self.pin(ask, &answer.secret, &mut counted, now).await,
            Method::Login => self.login(user, &answer.secret, &mut counted, now).await,
            Method::Approval => Ok(Checked::Wrong),
        };
        match checked {
            Ok(Checked::Right { name, groups }) => {
                self.make_good(&counted).await;
                if !ask.is_for(&groups) {
                    info!(%name, "verified, and in none of the groups that the question is for");
                    return Err(Refusal::NotOneOfThose(name));
                }
                Ok(Person { name, method: ask.method(), groups, at: now })
            }
            Ok(Checked::Wrong) => Err(Refusal::Wrong { left: counted.left }),
            Err(refusal) => {
                if !matches!(refusal, Refusal::Wrong { .. }) {
                    self.take_back(&counted).await;
                }
                Err(refusal)
            }
        }
    }

    /// All PINs are compared, whichever is right.
    async fn pin(&self, ask: &Ask, secret: &str, counted: &mut Counted, now: Timestamp) -> Result<Checked, Refusal> {
        if self.pins.is_empty() {
            warn!("a PIN is asked for, and there is no [people.pin.NAME]");
            return Err(Refusal::Nobody);
        }
        self.count(counted, ALL_PINS.to_owned(), self.lockout_failures.saturating_mul(PIN_MACHINES), now).await?;
        let hashes = self.pins.iter().map(|pin| pin.hash.clone()).collect();
        let fits = self.comparer.compare(secret, hashes).await.ok_or(Refusal::Unavailable)?;
        let right = || self.pins.iter().zip(&fits).filter(|(_, fits)| **fits).map(|(pin, _)| pin);
        Ok(match right().find(|pin| ask.is_for(&pin.groups)).or_else(|| right().next()) {
            Some(pin) => Checked::Right { name: Line::clean(&pin.name), groups: pin.groups.clone() },
            None => Checked::Wrong,
        })
    }

    /// A user of the configuration, else of the directory.
    async fn login(&self, user: &str, secret: &str, counted: &mut Counted, now: Timestamp) -> Result<Checked, Refusal> {
        if let Some(known) = self.users.get(user) {
            self.count(counted, format!("user:{user}"), self.lockout_failures, now).await?;
            let fits = self.comparer.compare(secret, vec![known.hash.clone()]).await.ok_or(Refusal::Unavailable)?;
            return Ok(match fits.as_slice() {
                [true] => Checked::Right { name: Line::clean(user), groups: known.groups.clone() },
                _ => Checked::Wrong,
            });
        }
        let Some(directory) = &self.directory else {
            if self.users.is_empty() {
                warn!("a user name is asked for, and there is no [people.user.NAME] and no [people.ldap]");
                return Err(Refusal::Nobody);
            }
            self.count(counted, format!("user:{}", user.to_lowercase()), self.lockout_failures, now).await?;
            self.comparer.compare_with_nobody(secret).await.ok_or(Refusal::Unavailable)?;
            return Ok(Checked::Wrong);
        };
        let failed = |error: DirectoryError| {
            warn!(directory = directory.url(), %error, "nobody can be verified");
            Refusal::Unavailable
        };
        let mut asked = directory.connect().await.map_err(failed)?;
        let found = asked.find(user).await.map_err(failed)?;
        // Several spellings are one person: by what the directory calls it.
        let subject = found.as_ref().map_or_else(|| user.to_lowercase(), |found| found.dn.to_lowercase());
        self.count(counted, format!("user:{subject}"), self.lockout_failures, now).await?;
        let is_right = asked.bind(found.as_ref(), secret).await.map_err(failed)?;
        match found.filter(|_| is_right) {
            Some(found) => Ok(Checked::Right { name: found.name, groups: found.groups }),
            None => Ok(Checked::Wrong),
        }
    }

    /// Counts an attempt as wrong before it is compared.
    async fn count(&self, counted: &mut Counted, subject: String, most: u32, now: Timestamp) -> Result<(), Refusal> {
        let store = self.store.as_ref().ok_or(Refusal::Unavailable)?;
        let attempt = store.attempt(&subject, most, self.lockout, now, STORE_TIME_MAX).await.map_err(unavailable)?;
        match attempt {
            Attempt::Allowed { left } => {
                counted.left = counted.left.min(left);
                counted.subjects.push(subject);
                Ok(())
            }
            Attempt::Locked { until } => {
                let seconds = u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0);
                warn!(%subject, %until, "locked after too many wrong answers");
                Err(Refusal::Locked { minutes: (seconds / 60 + 1).max(1) })
            }
        }
    }

    /// Who was right has done nothing wrong; what all share stays, but for this one.
    async fn make_good(&self, counted: &Counted) {
        let Some(store) = &self.store else { return };
        for subject in &counted.subjects {
            let done = match subject.as_str() {
                ALL_PINS => store.take_back_failure(subject, STORE_TIME_MAX).await,
                subject => store.forget_failures(subject, STORE_TIME_MAX).await,
            };
            done.unwrap_or_else(|error| warn!(%subject, %error, "an attempt that was right stays counted"));
        }
    }

    async fn take_back(&self, counted: &Counted) {
        let Some(store) = &self.store else { return };
        for subject in &counted.subjects {
            let done = store.take_back_failure(subject, STORE_TIME_MAX).await;
            done.unwrap_or_else(|error| warn!(%subject, %error, "an attempt that was not wrong stays counted"));
        }
    }
}

fn unavailable(error: StoreError) -> Refusal {
    warn!(%error, "wrong answers cannot be counted, so that nobody is verified");
    Refusal::Unavailable
}
