//! `[upstream.NAME]`, `[storage.NAME]`, `[cache]`, `[api]`, and the handlers of kind `referral`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Time;
use serde::Deserialize;

use crate::boot::{Architecture, FileName, Line, Url};

pub use crate::boot::FactsForm;

use super::amounts::{octets_of, rate_of};
use super::sections::{duration, long_duration};

/// `[upstream.NAME]`: another boot server that this one leans on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamSection {
    /// What speaks there.
    pub kind: UpstreamKind,
    /// How machines come to it, where neither the handler nor a script says otherwise.
    pub style: Style,
    /// Where its decision API is, e.g. `https://boot.example.com:4443`; for `ask`.
    pub url: Option<Url>,
    /// The CA that its certificate must come from (PEM); what `pointsman site enroll` stored when absent.
    pub ca: Option<PathBuf>,
    /// This site's certificate for it (PEM); what `pointsman site enroll` stored when absent.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate (PEM).
    pub key: Option<PathBuf>,
    /// A file whose first line is a token that is sent instead of a certificate.
    pub token_file: Option<PathBuf>,
    /// How long a connection to it may take.
    #[serde(deserialize_with = "duration")]
    pub connect_limit: Duration,
    /// How long it may take at *may I boot?* before the next upstream is asked as well. The answer may come later than
    /// firmware waits: its next packet finds it.
    #[serde(deserialize_with = "duration")]
    pub allow_boot_limit: Duration,
    /// How long it may take at *what do I boot?*.
    #[serde(deserialize_with = "duration")]
    pub boot_images_limit: Duration,
    /// So many failures one after the other, and it is left alone ...
    pub failures_max: u32,
    /// ... for this long; then one question tries it again.
    #[serde(deserialize_with = "duration")]
    pub retry_after: Duration,
    /// How often it is asked whether it is there, while nobody else asks.
    #[serde(deserialize_with = "duration")]
    pub check_every: Duration,
    /// The most octets in a second that are fetched from it; as fast as it goes when absent.
    #[serde(deserialize_with = "rate_of")]
    pub rate: Option<u64>,
    /// Times of the day with another rate.
    pub windows: Vec<RateWindow>,
    /// Where iPXE is handed over to; for `redirect`.
    pub script: Option<Url>,
    /// Whether and how the machine's facts go with it.
    pub facts: FactsForm,
    /// What firmware is told; for `redirect`.
    pub firmware: FirmwareReferral,
    /// The boot server's address; for `firmware = "file"` and `"boot-servers"`.
    pub server: Option<Ipv4Addr>,
    /// The boot file of each architecture on that server; for `firmware = "file"`.
    pub files: BTreeMap<Architecture, String>,
}

/// What speaks at an upstream that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamKind {
    /// Pointsman's decision API.
    Pointsman,
    /// Pixiecore's API: `GET <url>/v1/boot/<mac>`.
    Pixiecore,
}

/// How a machine comes to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// This server asks, and serves the answer itself.
    Ask,
    /// The machine is handed over.
    Redirect,
}

impl Style {
    /// The word in the configuration, in scripts and in trails.
    pub fn name(self) -> &'static str {
        match self {
            Style::Ask => "ask",
            Style::Redirect => "redirect",
        }
    }
}

/// What the firmware of a machine is told that is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirmwareReferral {
    /// Our own boot loader, whose iPXE is then handed over.
    Loader,
    /// The upstream's address and boot file.
    File,
    /// The upstream as the only boot server of a list (PXE 2.1 option 43.8): the machine asks it on port 4011.
    BootServers,
    /// Nothing, so that the upstream's own answer wins.
    Silence,
}

/// A time of the day with a rate of its own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateWindow {
    /// Its begin, in the system's time zone.
    pub from: Time,
    /// Its end; before `from` when midnight is in it.
    pub to: Time,
    /// The most octets in a second; as fast as it goes when absent.
    #[serde(default, deserialize_with = "rate_of")]
    pub rate: Option<u64>,
}

/// `[storage.NAME]`: images in S3-compatible object storage; scripts name them `@NAME/path`.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageSection {
    /// `s3://bucket` or `s3://bucket/prefix`.
    pub url: String,
    /// Where the service is, e.g. `https://minio.example.com`; AWS when absent.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// The CA that the service's certificate must come from (PEM); those of the system when absent.
    pub ca: Option<PathBuf>,
    /// The id of the access key; requests are not signed when absent.
    pub access_key: Option<String>,
    /// The file whose first line is the secret of that key.
    pub secret_key_file: Option<PathBuf>,
    /// The most octets in a second that are fetched from it; as fast as it goes when absent.
    #[serde(deserialize_with = "rate_of")]
    pub rate: Option<u64>,
    /// Times of the day with another rate.
    pub windows: Vec<RateWindow>,
}

impl StorageSection {
    /// The bucket, and the folder in it where the site's files begin; none where the URL is no `s3://`.
    pub fn place(&self) -> Option<(&str, Option<FileName>)> {
        let rest = self.url.strip_prefix("s3://")?;
        let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket = (1..=63).contains(&bucket.len())
            && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            && !bucket.starts_with('.');
        let folder = folder.trim_end_matches('/');
        let parsed = (!folder.is_empty()).then(|| folder.parse::<FileName>()).transpose().ok()?;
        let is_as_written = parsed.as_ref().is_none_or(|parsed| parsed.as_str() == folder);
        (is_bucket && is_as_written).then_some((bucket, parsed))
    }
}

impl std::fmt::Debug for StorageSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageSection").field("url", &self.url).finish_non_exhaustive()
    }
}

/// `[cache]`: what was fetched from upstreams and object storage.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSection {
    /// Its folder.
    pub folder: PathBuf,
    /// The most octets that it may have.
    #[serde(deserialize_with = "octets_of")]
    pub size_max: u64,
    /// For how long a file is served without asking its origin whether it changed.
    #[serde(deserialize_with = "duration")]
    pub fresh_for: Duration,
    /// How long a file may stay whose origin does not answer any more.
    #[serde(deserialize_with = "long_duration")]
    pub keep: Duration,
}

/// `[api]`: the decision API, for site servers that ask this one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSection {
    /// Whether to serve it.
    pub enabled: bool,
    /// Its port; HTTPS only.
    pub port: u16,
    /// For how long the token is good that a site enrolls with.
    #[serde(deserialize_with = "long_duration")]
    pub enrollment: Duration,
}

/// `[[handler]]` with `kind = "referral"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReferralSection {
    /// `referral`.
    pub kind: String,
    /// Its name in logs and trails; the kind when absent.
    pub name: Option<Line>,
    /// The `[upstream.NAME]`s, in the order that they are tried.
    pub upstreams: Vec<String>,
    /// How machines come to them; as each upstream says when absent.
    pub style: Option<Style>,
    /// Which machines are referred.
    pub machines: Referred,
    /// What happens when no upstream answers.
    pub on_error: ReferralError,
    /// For how long a last decision stands in for an upstream that does not answer.
    #[serde(deserialize_with = "long_duration")]
    pub last_known_for: Duration,
    /// How long the screen waits before a machine asks again; for `on_error = "retry"`.
    #[serde(deserialize_with = "duration")]
    pub retry_wait: Duration,
}

/// Which machines a referral handler takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Referred {
    /// All that no handler before it answered.
    All,
    /// Those that a script sent on with `refer("NAME")`.
    Named,
}

/// What happens when no upstream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferralError {
    /// The next handler is asked.
    Next,
    /// The machine starts from its own disk.
    Local,
    /// It boots what was last decided for it; its own disk when nothing was.
    LastKnown,
    /// Its screen says why, counts down, and asks again.
    Retry,
}

impl Default for UpstreamSection {
    fn default() -> Self {
        UpstreamSection {
            kind: UpstreamKind::Pointsman,
            style: Style::Ask,
            url: None,
            ca: None,
            certificate: None,
            key: None,
            token_file: None,
            connect_limit: Duration::from_secs(2),
            allow_boot_limit: Duration::from_millis(400),
            boot_images_limit: Duration::from_secs(5),
            failures_max: 3,
            retry_after: Duration::from_secs(10),
            check_every: Duration::from_secs(15),
            rate: None,
            windows: Vec::new(),
            script: None,
            facts: FactsForm::Form,
            firmware: FirmwareReferral::Loader,
            server: None,
            files: BTreeMap::new(),
        }
    }
}

impl Default for StorageSection {
    fn default() -> Self {
        StorageSection {
            url: String::new(),
            endpoint: None,
            region: "us-east-1".into(),
            ca: None,
            access_key: None,
            secret_key_file: None,
            rate: None,
            windows: Vec::new(),
        }
    }
}

impl Default for CacheSection {
    fn default() -> Self {
        CacheSection {
            folder: PathBuf::from("cache"),
            size_max: 50_000_000_000,
            fresh_for: Duration::from_secs(60),
            keep: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

impl Default for ApiSection {
    fn default() -> Self {
        ApiSection { enabled: false, port: 4443, enrollment: Duration::from_secs(24 * 3600) }
    }
}

impl Default for ReferralSection {
    fn default() -> Self {
        ReferralSection {
            kind: "referral".into(),
            name: None,
            upstreams: Vec::new(),
            style: None,
            machines: Referred::All,
            on_error: ReferralError::LastKnown,
            last_known_for: Duration::from_secs(30 * 24 * 3600),
            retry_wait: Duration::from_secs(15),
        }
    }
}
