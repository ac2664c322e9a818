//! What the person at the machine is asked, and how an image is offered.
//!
//! **Invariant**: a question holds nothing that is secret; what answers it is known to the server alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Line, Method, Person, Prompt};

/// A question to the person at the machine. Only who answers it well goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Ask {
    /// How the person is verified.
    method: Method,
    /// What the screen shows.
    title: Line,
    /// Who is good enough: people of one of these groups; everybody when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    /// How long somebody may take to approve, in seconds.
    #[serde(rename = "wait_s")]
    wait: u64,
}

/// A question as somebody else wrote it.
#[derive(Deserialize)]
struct Unchecked {
    method: Method,
    #[serde(default)]
    title: Line,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default = "wait_s")]
    wait_s: u64,
}

fn wait_s() -> u64 {
    Ask::WAIT.as_secs()
}

impl TryFrom<Unchecked> for Ask {
    type Error = AskError;

    fn try_from(read: Unchecked) -> Result<Ask, AskError> {
        let ask = Ask::new(read.method, read.title, read.groups)?;
        ask.waiting(Duration::from_secs(read.wait_s))
    }
}

/// Why a question cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// A bad name of a group.
    #[error("`{0}` is no name of a group; it has 1 to {max} octets, without control characters", max = Ask::GROUP_LEN_MAX)]
    Group(String),
    /// Too many groups.
    #[error("{0} groups; at most {max}", max = Ask::GROUPS_MAX)]
    Groups(usize),
    /// A time that nobody waits.
    #[error("a wait of {0} s; it is from 5 s to a day")]
    Wait(u64),
}

impl Ask {
    /// The longest name of a group, in octets.
    pub const GROUP_LEN_MAX: usize = 64;
    /// The most groups of a question, and of a person.
    pub const GROUPS_MAX: usize = 32;
    /// How long somebody may take to approve, where the script does not say.
    pub const WAIT: Duration = Duration::from_secs(15 * 60);

    /// A question; without groups everybody who can be verified is good enough.
    ///
    /// # Errors
    /// When the groups have bad names, or are too many.
    pub fn new(method: Method, title: Line, groups: Vec<String>) -> Result<Ask, AskError> {
        if groups.len() > Self::GROUPS_MAX {
            return Err(AskError::Groups(groups.len()));
        }
        if let Some(bad) = groups.iter().find(|name| !Self::is_group(name)) {
            return Err(AskError::Group(bad.chars().take(Self::GROUP_LEN_MAX).collect()));
        }
        Ok(Ask { method, title, groups, wait: Self::WAIT.as_secs() })
    }

    /// The same, with so long for somebody to approve.
    ///
    /// # Errors
    /// When that is shorter than five seconds or longer than a day.
    pub fn waiting(self, wait: Duration) -> Result<Ask, AskError> {
        match wait.as_secs() {
            wait @ 5..=86_400 => Ok(Ask { wait, ..self }),
            wait => Err(AskError::Wait(wait)),
        }
    }

    /// Whether this can be the name of a group.
    pub fn is_group(name: &str) -> bool {
        (1..=Self::GROUP_LEN_MAX).contains(&name.len()) && !name.contains(|c: char| c.is_control())
    }

    /// How the person is verified.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Whether something secret is typed.
    pub fn is_secret(&self) -> bool {
        self.method != Method::Approval
    }

    /// What the screen shows.
    pub fn title(&self) -> &Line {
        &self.title
    }

    /// Who is good enough; everybody when empty.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// How long somebody may take to approve.
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.wait)
    }

    /// Whether people of these groups are good enough.
    pub fn is_for(&self, groups: &[String]) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|group| groups.contains(group))
    }

    /// Whether this person has answered it already.
    pub fn is_answered_by(&self, person: &Person) -> bool {
        person.method == self.method && self.is_for(&person.groups)
    }
}

/// How a person comes to an image in a menu.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// The heading that it stands under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Line>,
    /// The key that chooses it at once: a letter or digit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<char>,
    /// Whether the menu does not show it: its key chooses it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// What is asked when it is chosen, before it is booted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs: Option<Box<Ask>>,
    /// The key that is waited for where it would boot by itself; nobody there is the own disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_question_is_read_as_it_was_written_and_checked() {
        let ask = Ask::new(Method::Login, Line::clean("Imaging"), vec!["imaging".into()]).unwrap();
        let json = serde_json::to_string(&ask).unwrap();
        assert_eq!(json, r#"{"method":"login","title":"Imaging","groups":["imaging"],"wait_s":900}"#);
        assert_eq!(serde_json::from_str::<Ask>(&json).unwrap(), ask);
        assert_eq!(serde_json::from_str::<Ask>(r#"{"method":"pin"}"#).unwrap().wait(), Ask::WAIT);
        for bad in [r#"{"method":"pin","wait_s":1}"#, r#"{"method":"pin","groups":[""]}"#, r#"{"method":"sms"}"#] {
            assert!(serde_json::from_str::<Ask>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_answered_is_asked_again_only_for_more() {
        let ask = |method, groups: &[&str]| {
            Ask::new(method, Line::clean("?"), groups.iter().map(|&group| group.to_owned()).collect()).unwrap()
        };
        let person = Person {
            name: Line::clean("ann"),
            method: Method::Login,
            groups: vec!["lab".into()],
            at: Timestamp::UNIX_EPOCH,
        };
        assert!(ask(Method::Login, &[]).is_answered_by(&person));
        assert!(ask(Method::Login, &["x", "lab"]).is_answered_by(&person));
        assert!(!ask(Method::Login, &["x"]).is_answered_by(&person));
        assert!(!ask(Method::Pin, &["lab"]).is_answered_by(&person));
    }
}
