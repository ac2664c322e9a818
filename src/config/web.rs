//! `[web.NAME]`: web services that scripts may ask, and `[identity]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::amounts::octets_of;
use super::rules::is_name;
use super::sections::duration;
use super::{Config, Problem, Problems};
use crate::boot::Url;
use crate::decision::KeyRules;

/// `[web.NAME]`: a web service that scripts ask with `http_get("NAME", ...)`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSection {
    /// Where it is, e.g. `https://nac.example.com/api`; scripts ask for what is below.
    pub url: Option<Url>,
    /// The CA that its certificate must come from (PEM); those of the system when absent.
    pub ca: Option<PathBuf>,
    /// A file whose first line is sent as `Authorization: Bearer ...`.
    pub bearer_file: Option<PathBuf>,
    /// A file of further headers that are sent, `Name: value` in each line.
    pub headers_file: Option<PathBuf>,
    /// How long it may take to answer.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// The longest answer, in octets.
    #[serde(deserialize_with = "octets_of")]
    pub body_max: u64,
    /// How long an answer to GET is given again without asking; each is asked for anew when absent.
    #[serde(deserialize_with = "some_duration")]
    pub cache: Option<Duration>,
    /// How long it is left alone after it did not answer.
    #[serde(deserialize_with = "duration")]
    pub retry_after: Duration,
}

impl WebSection {
    /// The longest answer that can be configured, in octets: what fits into a text of a script.
    pub const BODY_LEN_MAX: u64 = 256 << 10;
}

impl Default for WebSection {
    fn default() -> Self {
        WebSection {
            url: None,
            ca: None,
            bearer_file: None,
            headers_file: None,
            timeout: Duration::from_secs(2),
            body_max: 256_000,
            cache: None,
            retry_after: Duration::from_secs(10),
        }
    }
}

/// `[identity]`: keys that are no machine's own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct IdentitySection {
    /// MAC addresses, or beginnings of them, of adapters that machines share.
    shared_macs: Vec<String>,
    /// UUIDs that several machines have.
    ignore_uuids: Vec<String>,
}

impl IdentitySection {
    /// The lists, read.
    pub(super) fn rules(&self) -> Result<KeyRules, String> {
        KeyRules::read(self.shared_macs.iter().map(String::as_str), self.ignore_uuids.iter().map(String::as_str))
    }
}

fn some_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// What is wrong in the sections.
pub(super) fn check(config: &Config) -> Problems {
    let mut problems = Problems::default();
    let mut wrong = |what: String, remedy: &str| problems.push(Problem::of_file(&config.file, what, remedy));
    for (name, section) in &config.webs {
        if !is_name(name) {
            wrong(format!("web.{name}: this is no name for a web service"), "use letters, digits, `_` and `-`");
        }
        let url = section.url.as_ref().map_or("", |url| url.as_str());
        if !(url.starts_with("https://") || url.starts_with("http://")) {
            let what = match url {
                "" => format!("web.{name}: there is no url"),
                url => format!("web.{name}.url: `{url}` is no web address"),
            };
            wrong(what, "write url = \"https://HOST/PATH\"");
        }
        let sends_secrets = section.bearer_file.is_some() || section.headers_file.is_some();
        if sends_secrets && url.starts_with("http://") && !is_loopback(url) {
            let what = format!("web.{name}: its secret would go over the network in plain text");
            wrong(what, "write url = \"https://...\", with `ca` where the system does not know its CA");
        }
        if section.ca.is_some() && url.starts_with("http://") {
            wrong(format!("web.{name}: `ca` is of no use without TLS"), "write url = \"https://...\"");
        }
        if !(1..=WebSection::BODY_LEN_MAX).contains(&section.body_max) {
            wrong(format!("web.{name}.body_max is out of range"), "use 1B to 256KiB");
        }
    }
    problems
}

fn is_loopback(url: &str) -> bool {
    let host = url.trim_start_matches("http://");
    ["127.0.0.1", "[::1]"]
        .iter()
        .any(|own| host.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])))
}
