//! What the rows of machines mean for an answer: who asks, whether it may boot, and what its screen and the log say.

use std::time::Duration;

use crate::boot::{Line, Record, Value, Verdict};
use crate::decision::{Answer, HandlerError};
use crate::nearest::cut;

use super::rows::{text, truth};
use crate::handlers::identity::{Candidate, Identity, Key, Resolved, names};

/// Who asks, and the rows that it was found in.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) resolved: Resolved,
    pub(super) candidates: Vec<Candidate>,
    /// How old the rows are, when they are remembered ones.
    pub(super) age: Option<Duration>,
}

/// What the row of a machine says to *may it boot?*.
#[derive(Debug, PartialEq)]
pub(super) enum Permission {
    Given(Verdict),
    /// The next handler is asked, which sees the row.
    Pass,
}

/// Reads `allow` and `reason`; nothing means that it may.
pub(super) fn permission(machine: &Candidate) -> Result<Permission, HandlerError> {
    let reason = || text(&machine.record, "reason").unwrap_or_else(|| "the database says no".into());
    let allow = text(&machine.record, "allow").unwrap_or_else(|| "yes".into()).to_ascii_lowercase();
    let verdict = match allow.as_str() {
        "pass" => return Ok(Permission::Pass),
        "allow" => Verdict::allow(),
        "deny" => Verdict::deny(&reason()),
        "ignore" => Verdict::ignore(&reason()),
        _ => match truth(&machine.record, "allow") {
            Ok(Some(false)) => Verdict::deny(&reason()),
            Ok(_) => Verdict::allow(),
            Err(_) => {
                let allow = Line::clean(cut(&allow));
                let remedy = "write 1 or 0, yes or no, allow, deny, ignore or pass";
                return Err(HandlerError::new(format!("machine {machine}: `allow` is `{allow}`; {remedy}")));
            }
        },
    };
    Ok(Permission::Given(verdict))
}

impl Who {
    /// The machine and its keys, when it is known.
    pub(super) fn machine(&self) -> Option<(&Candidate, &[Key])> {
        match &self.resolved.identity {
            Identity::Known(index, keys) => Some((self.candidates.get(*index)?, keys)),
            _ => None,
        }
    }

    /// The machines that it could be.
    fn several(&self) -> impl Iterator<Item = (&Candidate, &[Key])> {
        let several = match &self.resolved.identity {
            Identity::Ambiguous(several) => several.as_slice(),
            _ => &[],
        };
        several.iter().filter_map(|(index, keys)| Some((self.candidates.get(*index)?, keys.as_slice())))
    }

    /// The verdict for one of several: *no* when it is that for each of them; else who it is settles it once more is
    /// known.
    pub(super) fn verdict_of_all(&self) -> Result<Verdict, HandlerError> {
        let mut first = None;
        for (candidate, _) in self.several() {
            match permission(candidate)? {
                Permission::Given(verdict) if !verdict.allows() => first = first.or(Some(verdict)),
                _ => return Ok(Verdict::allow()),
            }
        }
        Ok(first.unwrap_or(Verdict::allow()))
    }

    /// For the trail and the log.
    pub(super) fn why(&self) -> String {
        let mut why = match &self.resolved.identity {
            Identity::Known(..) => self.machine().map_or(String::new(), by),
            Identity::Unknown => "not known".to_owned(),
            Identity::Ambiguous(_) => {
                let several: Vec<_> = self.several().take(SHOWN_MAX).map(by).collect();
                format!("one of several: {}", several.join("; "))
            }
        };
        for note in self.resolved.notes.iter().take(SHOWN_MAX) {
            why.push_str("; ");
            why.push_str(note);
        }
        if let Some(age) = self.age {
            why.push_str(&format!("; the answer of {} ago", age_of(age)));
        }
        Line::clean(&why).as_str().to_owned()
    }

    /// No opinion, for one of several.
    pub(super) fn identified<T>(&self, trusts: &crate::boot::Identity) -> Answer<T> {
        let identity = Box::new(self.resolved.in_words(&self.candidates, trusts));
        Answer::Identified { identity, why: self.why() }
    }

    /// What the machine's screen says when it could be several.
    pub(super) fn notice(&self) -> Vec<Line> {
        let mut lines = vec![Line::clean("This machine could be one of several, so it starts from its own disk:")];
        let shown: Vec<_> = self.several().collect();
        lines.extend(shown.iter().take(NOTICE_SHOWN_MAX).map(|one| Line::clean(&format!("  {}", by(*one)))));
        if shown.len() > NOTICE_SHOWN_MAX {
            lines.push(Line::clean(&format!("  and {} more", shown.len() - NOTICE_SHOWN_MAX)));
        }
        lines.push(Line::clean("Give each its own UUID, serial number or MAC address in the database."));
        lines
    }

    /// The row as later handlers see it: with what it was found by, and its age.
    pub(super) fn noted(&self, machine: &Candidate, keys: &[Key]) -> Record {
        let mut record = machine.record.clone();
        let own =
            [("matched_by", Value::Text(names(keys))), ("age_s", self.age.map(|age| age.as_secs() as i64).into())];
        for (name, value) in own {
            if record.get(name).is_none() {
                record.insert(name, value);
            }
        }
        record
    }
}

/// Machines named in a trail, and in a notice, which has to fit on a screen.
const SHOWN_MAX: usize = 10;
const NOTICE_SHOWN_MAX: usize = 8;

fn by((machine, keys): (&Candidate, &[Key])) -> String {
    format!("{machine} by {}", names(keys))
}

fn age_of(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
