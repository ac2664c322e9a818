//! `[people]`: who may be at a machine, and how that is verified.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::sections::duration;

/// `[people]`: the people who can be verified, and how often they may be wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeopleSection {
    /// So many wrong answers at one machine, or for one user name ...
    pub lockout_failures: u32,
    /// ... and nobody can be verified there for this long.
    #[serde(deserialize_with = "duration")]
    pub lockout: Duration,
    /// How long a verified person counts in one boot.
    #[serde(deserialize_with = "duration")]
    pub grant: Duration,
    /// Whether PINs and passwords are asked for by HTTPS only.
    pub require_https: bool,
    /// `[people.pin.NAME]`, by name.
    pub pin: BTreeMap<String, PersonSection>,
    /// `[people.user.NAME]`, by user name.
    pub user: BTreeMap<String, PersonSection>,
    /// `[people.ldap]`
    pub ldap: Option<LdapSection>,
}

/// Somebody, or a PIN that several people know.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersonSection {
    /// The hash of the PIN or password, as `pointsman people hash` prints it.
    pub hash: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl fmt::Debug for PersonSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersonSection").field("groups", &self.groups).finish_non_exhaustive()
    }
}

/// `[people.ldap]`: the directory of the site.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LdapSection {
    /// `ldaps://HOST`, or `ldap://HOST`, where TLS is begun before anything is said.
    pub url: String,
    /// The CA that the directory's certificate must come from (PEM).
    pub ca: Option<PathBuf>,
    /// Who looks people up; anonymous when empty.
    pub bind_dn: String,
    /// A file whose first line is that one's password.
    pub password_file: Option<PathBuf>,
    /// Where people are looked for.
    pub base: String,
    /// Which entry is a person's; `{user}` is the user name as it was typed, escaped.
    pub filter: Option<String>,
    /// The attribute that is the person's name in scripts and logs.
    pub name_attribute: Option<String>,
    /// The attribute of the person that names groups: their names, or DNs, of which the first part counts.
    pub group_attribute: Option<String>,
    /// Where groups are looked for; `base` when absent.
    pub group_base: Option<String>,
    /// Which entries are groups of a person; `{dn}` and `{user}` are the person's, escaped.
    pub group_filter: Option<String>,
    /// The groups that scripts ask for: the others are left out. All when empty.
    pub groups: Vec<String>,
    /// How long the directory may take to connect, and to answer.
    #[serde(deserialize_with = "patience")]
    pub timeout: Option<Duration>,
}

fn patience<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

impl Default for PeopleSection {
    fn default() -> Self {
        PeopleSection {
            lockout_failures: 5,
            lockout: Duration::from_secs(15 * 60),
            grant: Duration::from_secs(30 * 60),
            require_https: false,
            pin: BTreeMap::new(),
            user: BTreeMap::new(),
            ldap: None,
        }
    }
}

impl LdapSection {
    /// Which entry is a person's, where the file does not say.
    pub const FILTER: &str = "(uid={user})";
    /// How long the directory may take, where the file does not say.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
}
