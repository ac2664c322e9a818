//! The configuration: one TOML file, checked as a whole.
//!
//! [`Config::read`] reports every problem at once, each with its place in the file and what to do. What is in a
//! [`Config`] is true: values are in their ranges, paths are absolute or relative to the working directory, and no
//! value that has a default is missing.
//!
//! **Invariant**: nothing outside this module reads the file; nothing here opens a socket or runs a script.

mod amounts;
mod casts;
mod compat;
mod database;
mod defaults;
mod events;
mod menu;
mod newer;
mod parse;
mod people;
mod problem;
mod quirk;
mod rules;
mod sections;
mod upstream;
mod web;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decision::KeyRules;
use crate::quirks::Quirks;

pub use casts::{Dhcp6Section, MulticastSection};
pub use compat::{AltirisSection, CompatSection, DoorSection};
pub use database::{Ambiguous, DatabaseSection, NoImage, SqlSection, StoreSection, UnknownMachine};
pub use events::{EVENTS, EventsSection, WebhookSection};
pub use menu::MenuSection;
pub use newer::{IpxeSection, ReplaceIpxe};
pub use people::{LdapSection, PeopleSection, PersonSection};
pub use problem::{Problem, Problems};
pub use sections::{
    AdvertiseSection, DecisionSection, DeniedFirmware, DhcpSection, HandlerSection, HttpSection, HttpsSection,
    ImagesSection, IpxeScheme, LoadersSection, LogFormat, LogSection, ScriptSection, ServerSection, SharedPort,
    TftpSection, UefiStyle,
};
pub use upstream::{
    ApiSection, CacheSection, FactsForm, FirmwareReferral, RateWindow, ReferralError, ReferralSection, Referred,
    StorageSection, Style, UpstreamKind, UpstreamSection,
};
pub use web::WebSection;
pub(crate) use words::plain_words;

/// The name of the configuration file that commands look for.
pub const FILE_NAME: &str = "pointsman.toml";

/// A site's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// `[server]`
    pub server: ServerSection,
    /// `[dhcp]`
    pub dhcp: DhcpSection,
    /// `[dhcp6]`
    pub dhcp6: Dhcp6Section,
    /// `[tftp]`
    pub tftp: TftpSection,
    /// `[http]`
    pub http: HttpSection,
    /// `[https]`
    pub https: HttpsSection,
    /// `[loaders]`
    pub loaders: LoadersSection,
    /// `[images]`
    pub images: ImagesSection,
    /// `[decision]`
    pub decision: DecisionSection,
    /// `[store]`
    pub store: StoreSection,
    /// `[database.NAME]`, by name.
    pub databases: BTreeMap<String, DatabaseSection>,
    /// `[upstream.NAME]`, by name.
    pub upstreams: BTreeMap<String, UpstreamSection>,
    /// `[storage.NAME]`, by name.
    pub storages: BTreeMap<String, StorageSection>,
    /// `[identity]`, read.
    pub identity: Arc<KeyRules>,
    /// `[[quirk]]`, before the shipped table.
    pub quirks: Arc<Quirks>,
    /// `[web.NAME]`, by name.
    pub webs: BTreeMap<String, WebSection>,
    /// `[cache]`
    pub cache: CacheSection,
    /// `[api]`
    pub api: ApiSection,
    /// `[compat]`
    pub compat: CompatSection,
    /// `[people]`
    pub people: PeopleSection,
    /// `[menu]`
    pub menu: MenuSection,
    /// `[events]`
    pub events: EventsSection,
    /// `[[handler]]`, in the order they are asked.
    pub handlers: Vec<HandlerSection>,
    /// `[log]`
    pub log: LogSection,
}

impl Config {
    /// Whether an upstream can have this name.
    pub fn is_upstream_name(name: &str) -> bool {
        rules::is_name(name)
    }

    /// Reads and checks a configuration file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// Every problem of the file: syntax, unknown keys, wrong types, values out of range.
    pub fn read(file: &Path) -> Result<Config, Problems> {
        let remedy = match file.is_dir() {
            true => "name the file in that folder: --config DIR/pointsman.toml",
            false => "`pointsman init DIR` writes a first one; name another with --config FILE",
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            Problems::one(Problem::of_file(file, format!("cannot read the configuration: {error}"), remedy))
        })?;
        Config::parse(file, &text)
    }

    /// Checks the text of a configuration file.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(file: &Path, text: &str) -> Result<Config, Problems> {
        parse::parse(file, text)
    }

    /// The folder that relative paths start at.
    pub fn folder(&self) -> &Path {
        match self.file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }
}

#[cfg(test)]
mod tests;
