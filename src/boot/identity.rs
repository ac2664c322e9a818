//! Which machine of the site asks, by everything that it claims to be.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which machine of the site asks, what spoke for it, and how far its keys can be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Whether it is known.
    pub status: IdentityStatus,
    /// The machine's name, where it is known.
    pub machine: String,
    /// The keys that matched, from the strongest: `uuid`, `serial`, `sysmac`, `mac`, ...
    pub matched_by: Vec<String>,
    /// The machines that it could be, where that is ambiguous.
    pub candidates: Vec<String>,
    /// Why, in sentences for people.
    pub why: Vec<String>,
    /// How far the system UUID is the machine's own.
    pub uuid_trust: KeyTrust,
    /// How far the MAC address is the machine's own.
    pub mac_trust: KeyTrust,
}

/// Whether a machine is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityStatus {
    /// It is one machine of the site.
    Known,
    /// It is none of them, or nobody was asked.
    #[default]
    Unknown,
    /// It could be several of them.
    Ambiguous,
}

/// How far a key is one machine's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyTrust {
    /// Nothing speaks against it.
    #[default]
    Good,
    /// It is not there.
    Absent,
    /// A vendor's placeholder, which many machines have.
    Placeholder,
    /// Several machines were seen with it, or the site says that they share it.
    Shared,
}

impl IdentityStatus {
    /// The word in scripts, trails and logs.
    pub fn name(self) -> &'static str {
        match self {
            IdentityStatus::Known => "known",
            IdentityStatus::Unknown => "unknown",
            IdentityStatus::Ambiguous => "ambiguous",
        }
    }
}

impl KeyTrust {
    /// The word in scripts, trails and logs.
    pub fn name(self) -> &'static str {
        match self {
            KeyTrust::Good => "good",
            KeyTrust::Absent => "absent",
            KeyTrust::Placeholder => "placeholder",
            KeyTrust::Shared => "shared",
        }
    }
}

impl fmt::Display for Identity {
    /// As in `known lab-07 by uuid, mac`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.status.name())?;
        match self.status {
            IdentityStatus::Known => write!(f, " {} by {}", self.machine, self.matched_by.join(", ")),
            IdentityStatus::Ambiguous => write!(f, ": {}", self.candidates.join(", ")),
            IdentityStatus::Unknown => Ok(()),
        }
    }
}
