//! What is known of the quirks of firmware: who has it, what it does, where that is from, and how it is treated.
//!
//! The table is data, `table.toml` beside this file; a site's `[[quirk]]` comes before it and replaces an entry of its
//! name. A client can match several entries: the first one that says something of a field is heard.
//!
//! **Invariant**: pure; what matches depends on the client's own words only, so that it decides about form, never about
//! who may boot.

mod matching;

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer};

use crate::boot::{Client, Machine, Manner};

pub use matching::Match;

/// One entry of the table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quirk {
    /// Its name in logs and scripts.
    #[serde(deserialize_with = "name")]
    pub name: Arc<str>,
    /// Which clients, in words.
    #[serde(default)]
    pub client: String,
    /// What they do without this entry.
    #[serde(default)]
    pub symptom: String,
    /// Where that is from.
    #[serde(default)]
    pub source: String,
    /// Which clients. Needed but where the entry only switches a shipped one off.
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// How they are treated. Empty to switch off the shipped entry of this name.
    #[serde(rename = "set", default)]
    pub manner: Manner,
}

/// The table that is in use.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    entries: Vec<Quirk>,
    /// How many of them, from the first, are the site's own.
    own: usize,
}

/// A file with a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    quirk: Vec<Quirk>,
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(is_known) {
        true => Ok(name.into()),
        false => Err(serde::de::Error::custom("the name of a quirk has 1 to 64 letters, digits, `-` and `_`")),
    }
}

/// Octets of a name.
const NAME_MAX: usize = 64;

static SHIPPED: LazyLock<Vec<Quirk>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "compiled in; a test reads it")]
    let table: Table = toml::from_str(include_str!("table.toml")).expect("the shipped table of quirks");
    table.quirk
});

impl Quirk {
    /// Whether it is there only to switch the shipped entry of its name off.
    pub fn switches_off(&self) -> bool {
        self.manner.is_usual()
    }
}

impl Quirks {
    /// The shipped table behind the site's own entries. An entry of the site replaces the shipped one of its name.
    pub fn with(site: Vec<Quirk>) -> Quirks {
        let is_replaced = |quirk: &&Quirk| site.iter().any(|own| own.name == quirk.name);
        let shipped: Vec<Quirk> = SHIPPED.iter().filter(|quirk| !is_replaced(quirk)).cloned().collect();
        let own = site.len();
        Quirks { entries: site.into_iter().chain(shipped).collect(), own }
    }

    /// The site's own entries.
    pub fn own(&self) -> &[Quirk] {
        self.entries.get(..self.own).unwrap_or_default()
    }

    /// The names of the shipped entries, whether they are replaced or not.
    pub fn shipped_names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|quirk| &*quirk.name)
    }

    /// The entries, in the order that they are heard.
    pub fn entries(&self) -> &[Quirk] {
        &self.entries
    }

    /// The entries that a client matches. The machine's facts are empty before iPXE has reported them.
    pub fn of<'a>(&'a self, client: &'a Client, machine: &'a Machine) -> impl Iterator<Item = &'a Quirk> {
        let meant = move |quirk: &&Quirk| !quirk.switches_off() && quirk.matches.is_met_by(client, machine);
        self.entries.iter().filter(meant)
    }

    /// How a client is treated, by all entries that it matches.
    pub fn manner(&self, client: &Client, machine: &Machine) -> Manner {
        self.of(client, machine).fold(Manner::default(), |manner, quirk| manner.or(&quirk.manner))
    }
}

#[cfg(test)]
mod tests;
