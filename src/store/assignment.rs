//! Assignments: which machine is to boot what.
//!
//! One that is done `once` goes from `assigned` by `offered` and `started` to `done`, `failed` or `expired`; one that
//! holds `always` stands as long as nobody takes it back.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use super::row::Row;
use super::{Name, StoreError};
use crate::boot::{Record, SessionId};

/// Something that a machine is to boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assignment {
    /// Ten letters and digits.
    pub id: String,
    /// Which machines.
    pub target: Target,
    /// What they boot.
    pub image: Name,
    /// Once, or at every boot.
    pub mode: Mode,
    /// Whether it boots by itself, rather than being offered in the menu.
    pub mandatory: bool,
    /// How long a mandatory one can still be stopped, in seconds.
    pub countdown: Option<u32>,
    /// Its place in the menu.
    pub sort_order: i32,
    /// When it counts as taken.
    pub spent_by: SpentBy,
    /// How far it has come.
    pub state: State,
    /// It is not offered before this.
    pub not_before: Option<Timestamp>,
    /// It is not offered from this on.
    pub not_after: Option<Timestamp>,
    /// The boot that it was last offered to.
    pub offered_session: Option<SessionId>,
    /// The boot that last began it.
    pub started_session: Option<SessionId>,
    /// How many boots it was offered to in a row.
    pub offers: u32,
    /// Why it is in its state, where that needs words.
    pub reason: Option<String>,
    /// When it was assigned.
    pub created: Timestamp,
    /// When its state last changed.
    pub changed: Timestamp,
}

/// Which machines an assignment is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// One machine.
    Machine(Name),
    /// Those that are in a group: now for `once`, at the time of their boot for `always`.
    Group(Name),
    /// Every known machine.
    All,
    /// Machines that are not known.
    Unknown,
}

impl Target {
    /// The word of its kind in the database.
    pub(super) fn scope(&self) -> &'static str {
        match self {
            Target::Machine(_) => "machine",
            Target::Group(_) => "group",
            Target::All => "all",
            Target::Unknown => "unknown",
        }
    }

    pub(super) fn machine(&self) -> Option<&Name> {
        if let Target::Machine(name) = self { Some(name) } else { None }
    }

    pub(super) fn group(&self) -> Option<&Name> {
        if let Target::Group(name) = self { Some(name) } else { None }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Machine(name) => f.pad(name.as_str()),
            Target::Group(name) => f.pad(&format!("group:{name}")),
            Target::All => f.pad("all"),
            Target::Unknown => f.pad("unknown"),
        }
    }
}

impl FromStr for Target {
    type Err = super::NameError;

    /// `all`, `unknown`, `group:NAME`, or a machine's name; `machine:all` is the machine that is called so.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("group", name)) => Ok(Target::Group(name.parse()?)),
            Some(("machine", name)) => Ok(Target::Machine(name.parse()?)),
            _ if text.eq_ignore_ascii_case("all") => Ok(Target::All),
            _ if text.eq_ignore_ascii_case("unknown") => Ok(Target::Unknown),
            _ => Ok(Target::Machine(text.parse()?)),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is none of the words there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not one of {words}")]
pub struct UnknownWord {
    given: String,
    words: String,
}

fn word<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, UnknownWord> {
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| UnknownWord {
        given: crate::nearest::cut(text).to_owned(),
        words: all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", "),
    })
}

/// How often an assignment is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// At every boot.
    Always,
    /// Once, by each machine.
    Once,
}

impl Mode {
    /// The word in the database and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Always => "always",
            Mode::Once => "once",
        }
    }
}

impl FromStr for Mode {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        word(text, &[Mode::Always, Mode::Once], Mode::name)
    }
}

/// When an assignment that is done once counts as taken, so that it is not offered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SpentBy {
    /// When the script was handed out.
    Script,
    /// When the machine said that it begins to load the image.
    Image,
    /// When the installer said that it is done; until then every boot is offered it again.
    Done,
}

impl SpentBy {
    /// The word in the database and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SpentBy::Script => "script",
            SpentBy::Image => "image",
            SpentBy::Done => "done",
        }
    }
}

impl FromStr for SpentBy {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        word(text, &[SpentBy::Script, SpentBy::Image, SpentBy::Done], SpentBy::name)
    }
}

/// How far an assignment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It holds at every boot; only what is done once goes through the other states.
    Standing,
    /// No machine heard of it yet.
    Assigned,
    /// A boot got a script with it.
    Offered,
    /// A boot began it.
    Started,
    /// The installer said that it is done.
    Done,
    /// The installer said that it failed, or it was offered too often.
    Failed,
    /// Its time was over before it began, or it was assigned anew.
    Expired,
}

impl State {
    /// Every state, in their order.
    pub const ALL: [State; 7] =
        [State::Standing, State::Assigned, State::Offered, State::Started, State::Done, State::Failed, State::Expired];

    /// The word in the database and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            State::Standing => "standing",
            State::Assigned => "assigned",
            State::Offered => "offered",
            State::Started => "started",
            State::Done => "done",
            State::Failed => "failed",
            State::Expired => "expired",
        }
    }

    /// Whether nothing happens to it any more.
    pub fn is_final(self) -> bool {
        matches!(self, State::Done | State::Failed | State::Expired)
    }
}

impl FromStr for State {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        word(text, &State::ALL, State::name)
    }
}

impl Assignment {
    /// The longest countdown, in seconds.
    pub const COUNTDOWN_MAX: u32 = 24 * 3600;

    pub(super) fn read(record: &Record) -> Result<Assignment, StoreError> {
        let row = Row(record);
        let target = match row.text("scope")?.as_str() {
            "machine" => Target::Machine(row.parsed("machine")?),
            "group" => Target::Group(row.parsed("group_name")?),
            "all" => Target::All,
            "unknown" => Target::Unknown,
            _ => return Err(StoreError::Row { column: "scope" }),
        };
        Ok(Assignment {
            id: row.text("id")?,
            target,
            image: row.parsed("image")?,
            mode: row.parsed("mode")?,
            mandatory: row.flag("mandatory"),
            countdown: row.number("countdown").and_then(|seconds| seconds.try_into().ok()),
            sort_order: row.number("sort_order").and_then(|order| order.try_into().ok()).unwrap_or(0),
            spent_by: row.parsed("spent_by")?,
            state: row.parsed("state")?,
            not_before: row.moment("not_before")?,
            not_after: row.moment("not_after")?,
            offered_session: row.optional_parsed("offered_session")?,
            started_session: row.optional_parsed("started_session")?,
            offers: row.number("offers").and_then(|offers| offers.try_into().ok()).unwrap_or(0),
            reason: row.optional("reason"),
            created: row.moment_given("created")?,
            changed: row.moment_given("changed")?,
        })
    }
}

/// Which assignments are listed.
#[derive(Clone, Debug, Default)]
pub struct AssignmentFilter {
    /// Those of this target.
    pub target: Option<Target>,
    /// Those in this state; without it, those that are not final.
    pub state: Option<State>,
    /// Final ones as well.
    pub with_final: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_shown() {
        for text in ["lab-07", "group:lab", "all", "unknown"] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("machine:All".parse::<Target>(), Ok(Target::Machine("all".parse().unwrap())));
        assert!("groups:x".parse::<Target>().is_err() && "group:".parse::<Target>().is_err());
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        assert!(State::ALL.into_iter().all(|state| state.name().parse() == Ok(state)));
        assert_eq!("boot".parse::<SpentBy>().unwrap_err().to_string(), "`boot` is not one of script, image, done");
        assert_eq!("always".parse(), Ok(Mode::Always));
    }
}
