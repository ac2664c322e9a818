//! `[[events.webhook]]`: who is told what happens in boots.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::rules::Broken;
use super::sections::duration;
use crate::boot::{Line, Url};
use crate::nearest::{cut, remedy};

/// Everything that can be told. The first two are decisions: anybody who asks DHCP makes them.
pub const EVENTS: [&str; 9] =
    ["allow", "deny", "offered", "person", "started", "load-failed", "sent", "done", "failed"];

/// What is told where nothing is named.
const USUAL: [&str; 6] = ["offered", "person", "started", "load-failed", "done", "failed"];

/// `[events]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsSection {
    /// `[[events.webhook]]`
    pub webhook: Vec<WebhookSection>,
}

/// `[[events.webhook]]`: a web service that is told, by POST.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSection {
    /// Its name in logs and metrics; scheme, host and port of the URL when absent.
    pub name: Option<Line>,
    /// Where it is. What follows the host may be a secret.
    pub url: Option<Url>,
    /// What it is told.
    pub events: Vec<String>,
    /// A file whose first line is the key that messages are signed with; they are not signed when absent.
    pub secret_file: Option<PathBuf>,
    /// The CA that its certificate must come from (PEM); those of the system when absent.
    pub ca: Option<PathBuf>,
    /// How long it may take to answer.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long a message is tried again that it did not take.
    #[serde(deserialize_with = "duration")]
    pub retry_for: Duration,
    /// The most messages that wait; what comes when so many do is dropped and counted.
    pub queue_max: usize,
}

impl Default for WebhookSection {
    fn default() -> Self {
        WebhookSection {
            name: None,
            url: None,
            events: USUAL.map(str::to_owned).into(),
            secret_file: None,
            ca: None,
            timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(15 * 60),
            queue_max: 1000,
        }
    }
}

impl WebhookSection {
    /// What it is called in logs and metrics: never more of the URL than its origin.
    pub fn display_name(&self) -> String {
        let origin = |url: &Url| {
            let (scheme, rest) = url.as_str().split_once("://").unwrap_or(("", url.as_str()));
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            format!("{scheme}://{}", host.rsplit('@').next().unwrap_or_default())
        };
        match &self.name {
            Some(name) => name.to_string(),
            None => self.url.as_ref().map(origin).unwrap_or_default(),
        }
    }
}

/// What is wrong in the section.
pub(super) fn check(section: &EventsSection, broken: &mut Vec<Broken>) {
    for (index, webhook) in section.webhook.iter().enumerate() {
        let key = format!("events.webhook[{index}]");
        let mut wrong = |what: String, remedy: String| broken.push((format!("{key}{what}"), remedy));
        let url = webhook.url.as_ref().map_or("", |url| url.as_str());
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        if !is_web {
            let what = if url.is_empty() { ": there is no url" } else { ".url: this is no web address" };
            wrong(what.into(), "write url = \"https://HOST/PATH\"".into());
        } else if url.split('/').nth(2).is_some_and(|host| host.contains('@')) || url.contains('#') {
            let what = ".url: it has a user name, a password or a `#`".into();
            wrong(what, "leave them out; the receiver knows messages of this server by their signature".into());
        }
        if webhook.ca.is_some() && url.starts_with("http://") {
            wrong(".ca is of no use without TLS".into(), "write url = \"https://...\"".into());
        }
        if webhook.events.is_empty() {
            wrong(".events is empty".into(), "name what it is told, or leave the key out".into());
        }
        for event in webhook.events.iter().filter(|event| !EVENTS.contains(&event.as_str())) {
            wrong(format!(".events: `{}` is no event", cut(event)), remedy(event, EVENTS));
        }
        if !(1..=QUEUE_MAX).contains(&webhook.queue_max) {
            wrong(".queue_max is out of range".into(), format!("use 1 to {QUEUE_MAX}"));
        }
        let name = webhook.display_name();
        if section.webhook.iter().take(index).any(|other| other.display_name() == name) {
            wrong(format!(": another one is called `{name}`"), "give each its own name = \"...\"".into());
        }
    }
}

/// A message has a kilobyte or less.
const QUEUE_MAX: usize = 100_000;
