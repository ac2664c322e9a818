//! `[store]`, `[database.NAME]` and the handlers of kind `sql`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::boot::Line;
use crate::decision::Fallback;

use super::sections::{duration, long_duration};

/// `[store]`: where machines, images, assignments and the history of boots are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// The `[database.NAME]` that holds them; a SQLite file in the state folder when absent.
    pub database: Option<String>,
    /// Whether boots are written down.
    pub history: bool,
    /// How long boots are kept.
    #[serde(deserialize_with = "long_duration")]
    pub keep: Duration,
    /// The most boots that are kept.
    pub boots_max: u64,
    /// The most questions that are kept whole, to be explained and asked again; 0 for none.
    pub questions_max: u64,
}

/// `[database.NAME]`: a database of the site. Its `Debug` form has no URL, for that may have a password.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSection {
    /// `sqlite:FILE`, `postgres://USER@HOST/NAME`, `mariadb://USER@HOST/NAME`, `mysql://...` or `mssql://...`.
    pub url: String,
    /// The file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// The environment variable that is the password.
    pub password_env: Option<String>,
    /// The most connections at a time.
    pub connections_max: u32,
    /// How long the last answer of a query stands in when the database fails.
    #[serde(deserialize_with = "long_duration")]
    pub stale_while_error: Duration,
    /// The most answers that are remembered for that.
    pub answers_max: u64,
    /// Queries that scripts call by name, `query("NAME.QUERY", ...)`.
    pub queries: BTreeMap<String, String>,
}

impl fmt::Debug for DatabaseSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.url.split_once(':').map_or("", |(kind, _)| kind);
        f.debug_struct("DatabaseSection").field("kind", &kind).finish_non_exhaustive()
    }
}

/// `[[handler]]` with `kind = "sql"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqlSection {
    /// `sql`.
    pub kind: String,
    /// Its name in logs and trails; the kind when absent.
    pub name: Option<Line>,
    /// The `[database.NAME]` that the queries below are for; the store when absent.
    pub database: Option<String>,
    /// Finds the machine: every row that may be it.
    pub machine: Option<String>,
    /// Finds the images of a machine; may be absent where `no_image` leaves them to the next handler.
    pub images: Option<String>,
    /// Finds the images that machines get which are not known.
    pub unknown_images: Option<String>,
    /// Notes that an assignment was offered, started, done, or failed; each is run once for each assignment.
    pub offered: Option<String>,
    /// See `offered`.
    pub started: Option<String>,
    /// See `offered`.
    pub done: Option<String>,
    /// See `offered`.
    pub failed: Option<String>,
    /// What a machine gets that is not known.
    pub unknown: UnknownMachine,
    /// What a known machine gets that has no image.
    pub no_image: NoImage,
    /// What a machine gets that could be several.
    pub ambiguous: Ambiguous,
    /// MAC addresses, or beginnings of them, of adapters that several machines share: they identify nobody.
    pub shared_macs: Vec<String>,
    /// Heading of the menu.
    pub menu_title: Line,
    /// How long the menu waits before it starts its default; `0s` for ever.
    #[serde(deserialize_with = "duration_or_zero")]
    pub menu_timeout: Duration,
    /// An assignment that is offered more than this often ...
    pub boots_max: u32,
    /// ... within this time is held back, and the machine starts from its disk.
    #[serde(deserialize_with = "duration")]
    pub boots_window: Duration,
    /// How long the database may take at *may I boot?*.
    #[serde(deserialize_with = "duration")]
    pub allow_boot_limit: Duration,
    /// How long the database may take at *what do I boot?*.
    #[serde(deserialize_with = "duration")]
    pub boot_images_limit: Duration,
}

/// What a machine gets that the database does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownMachine {
    /// The next handler is asked.
    Pass,
    /// It may boot; the images for unknown machines, or its disk.
    Allow,
    /// It is told that it may not.
    Deny,
    /// It gets no answer.
    Ignore,
}

impl UnknownMachine {
    /// The verdict, unless the next handler is to be asked.
    pub fn fallback(self) -> Option<Fallback> {
        match self {
            UnknownMachine::Pass => None,
            UnknownMachine::Allow => Some(Fallback::Allow),
            UnknownMachine::Deny => Some(Fallback::Deny),
            UnknownMachine::Ignore => Some(Fallback::Ignore),
        }
    }
}

/// What a known machine gets that has nothing to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoImage {
    /// Its own disk.
    Local,
    /// What the next handler says, which sees the row as `request.record`.
    Pass,
}

/// What a machine gets that could be several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ambiguous {
    /// Its own disk, after the screen showed which machines it could be.
    Local,
    /// What the next handler says.
    Pass,
}

impl Default for StoreSection {
    fn default() -> Self {
        let keep = Duration::from_secs(90 * 24 * 3600);
        StoreSection { database: None, history: true, keep, boots_max: 1_000_000, questions_max: 500_000 }
    }
}

impl Default for DatabaseSection {
    fn default() -> Self {
        DatabaseSection {
            url: String::new(),
            password_file: None,
            password_env: None,
            connections_max: 8,
            stale_while_error: Duration::from_secs(24 * 3600),
            answers_max: 20_000,
            queries: BTreeMap::new(),
        }
    }
}

impl Default for SqlSection {
    fn default() -> Self {
        SqlSection {
            kind: "sql".into(),
            name: None,
            database: None,
            machine: None,
            images: None,
            unknown_images: None,
            offered: None,
            started: None,
            done: None,
            failed: None,
            unknown: UnknownMachine::Pass,
            no_image: NoImage::Local,
            ambiguous: Ambiguous::Local,
            shared_macs: Vec::new(),
            menu_title: Line::clean("Choose what to start"),
            menu_timeout: Duration::from_secs(10),
            boots_max: 3,
            boots_window: Duration::from_secs(3600),
            allow_boot_limit: Duration::from_millis(400),
            boot_images_limit: Duration::from_secs(5),
        }
    }
}

fn duration_or_zero<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.trim() {
        "0" | "0s" => Ok(Duration::ZERO),
        _ => duration(serde::de::value::StringDeserializer::new(text)),
    }
}
