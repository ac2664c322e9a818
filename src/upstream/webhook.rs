//! A web service that is told what happens in boots: one message, once.
//!
//! **Invariant**: no redirect is followed and no proxy used; the answer's body is not read; of the URL and of the key
//! nothing but the webhook's name is in a message or a log line.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};

use super::client;
use super::identity::{self, Wrong};
use crate::config::WebhookSection;
use crate::hex;
use crate::tls::{self, Trust};

/// The header with the HMAC-SHA256 of the body, as `sha256=` and hexadecimal digits.
const SIGNATURE: &str = "x-pointsman-signature";
/// The header with the name of the event.
const EVENT: &str = "x-pointsman-event";
/// The header with the message's own id, which is the same when it is sent again.
const DELIVERY: &str = "x-pointsman-delivery";

/// A web service that is told. A clone is the same one.
#[derive(Clone)]
pub struct Webhook(Arc<Inner>);

struct Inner {
    name: String,
    section: WebhookSection,
    url: Url,
    http: reqwest::Client,
    key: Option<hmac::Key>,
    /// When its files last changed.
    changed: Vec<Option<SystemTime>>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// It may be taken later.
    #[error("{0}")]
    Later(String),
    /// It never will be.
    #[error("{0}")]
    Refused(String),
}

impl Webhook {
    /// Makes what a section says; nothing is connected yet. Blocks on the disk.
    ///
    /// # Errors
    /// What is wrong with it, from its key on, and what to do.
    pub fn open(section: &WebhookSection) -> Result<Webhook, Wrong> {
        let text = section.url.as_ref().map_or("", |url| url.as_str());
        let url = Url::parse(text).map_err(|_| (".url: this is no URL".to_owned(), String::new()))?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .referer(false)
            .timeout(section.timeout)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(1);
        builder = match &section.ca {
            Some(path) => {
                let fix = "name a PEM file with the CA of the service";
                let pem = identity::read(path)
                    .map_err(|error| (format!(".ca: cannot read {}: {error}", path.display()), fix.to_owned()))?;
                let trust = Trust::Ca(String::from_utf8_lossy(&pem).into_owned());
                let config =
                    tls::client_config(trust, None).map_err(|error| (format!(".ca: {error}"), fix.to_owned()))?;
                builder.tls_backend_preconfigured(config)
            }
            None if url.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        let http = builder
            .build()
            .map_err(|error| (format!(": HTTP cannot be set up: {}", client::root(&error)), String::new()))?;
        let files = [&section.ca, &section.secret_file];
        let changed = files.iter().map(|file| std::fs::metadata(file.as_ref()?).ok()?.modified().ok()).collect();
        let (name, key) = (section.display_name(), key(section)?);
        Ok(Webhook(Arc::new(Inner { name, section: section.clone(), url, http, key, changed })))
    }

    /// What it is called in logs and metrics.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the configuration says of it.
    pub fn section(&self) -> &WebhookSection {
        &self.0.section
    }

    /// Whether this was made of the same section and the same files.
    pub fn is_as(&self, other: &Webhook) -> bool {
        self.0.section == other.0.section && self.0.changed == other.0.changed
    }

    /// Sends a message, and waits at most as long as the section says.
    ///
    /// # Errors
    /// Why it was not taken, and whether it may be later: when nobody answers, the service is overloaded or broken.
    pub async fn send(&self, event: &str, id: &str, body: Bytes) -> Result<(), WebhookError> {
        let inner = &*self.0;
        let mut request = inner.http.post(inner.url.clone()).header(CONTENT_TYPE, "application/json");
        request = request.header(EVENT, event).header(DELIVERY, id);
        if let Some(key) = &inner.key {
            request = request.header(SIGNATURE, format!("sha256={}", hex::digits(hmac::sign(key, &body).as_ref())));
        }
        let answer = request.body(body).send().await;
        let status = answer.map_err(|error| WebhookError::Later(self.unreached(error)))?.status();
        let said = || format!("HTTP {}", status.as_u16());
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Err(WebhookError::Later(said()))
            }
            status if status.is_server_error() => Err(WebhookError::Later(said())),
            status if status.is_redirection() => {
                Err(WebhookError::Refused(said() + "; redirects are not followed: name the other address as url"))
            }
            _ => Err(WebhookError::Refused(said())),
        }
    }

    fn unreached(&self, error: reqwest::Error) -> String {
        match error.is_timeout() {
            true => format!("no answer within {} ms", self.0.section.timeout.as_millis()),
            // The path of the URL may be a secret.
            false => client::root(&error.without_url()),
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// The key of the signatures.
fn key(section: &WebhookSection) -> Result<Option<hmac::Key>, Wrong> {
    let Some(path) = &section.secret_file else { return Ok(None) };
    let fix = format!("write at least {SECRET_LEN_MIN} characters into its first line: openssl rand -hex 32");
    let wrong = |why: String| (format!(".secret_file: {}: {why}", path.display()), fix.clone());
    let octets = identity::read(path).map_err(|error| wrong(error.to_string()))?;
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default().trim_ascii();
    if line.len() < SECRET_LEN_MIN {
        return Err(wrong("the secret is too short to be one".to_owned()));
    }
    Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, line)))
}

/// The shortest secret, in octets.
const SECRET_LEN_MIN: usize = 16;
/// How long a connection stays open that nobody uses.
const IDLE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_must_be_one_and_nothing_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let url = "http://127.0.0.1:9/hook/token-in-the-path".parse().ok();
        let section = WebhookSection { url, secret_file: Some(file.clone()), ..WebhookSection::default() };
        for bad in ["", "short\n", "   \nsecond line of thirty characters"] {
            std::fs::write(&file, bad).unwrap();
            let (what, remedy) = Webhook::open(&section).unwrap_err();
            assert!(what.contains("too short") && remedy.contains("openssl rand"), "{what}");
        }
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        let hook = Webhook::open(&section).unwrap();
        assert_eq!(hook.name(), "http://127.0.0.1:9");
        let shown = format!("{hook:?}");
        assert!(!shown.contains("token-in-the-path") && !shown.contains("0123456789"), "{shown}");
    }

    #[tokio::test]
    async fn what_nobody_takes_may_be_taken_later_and_the_path_is_not_told() {
        // Nobody listens on a port that was just given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}/secret-path").parse().ok();
        let hook = Webhook::open(&WebhookSection { url, ..WebhookSection::default() }).unwrap();
        let WebhookError::Later(why) = hook.send("done", "1", Bytes::from_static(b"{}")).await.unwrap_err() else {
            panic!()
        };
        assert!(!why.contains("secret-path") && !why.is_empty(), "{why}");
    }
}
