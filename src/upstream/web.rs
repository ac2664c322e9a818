//! Web services of the site that scripts ask: a network access control, a CMDB, a ticket system.
//!
//! **Invariant**: a script names a service of the configuration, and the parts of a path below its URL; each part and
//! each value is encoded here, so that nothing a machine claims leads elsewhere. No redirect is followed, no answer is
//! longer than its limit, and a service that does not answer costs one wait and is then left alone for a while. Its
//! secrets are in no message.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use moka::sync::Cache;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use super::UpstreamError;
use super::breaker::Breaker;
use super::client::{self, Client};
use super::identity::{self, Wrong};
use crate::config::{Config, WebSection};
use crate::nearest::{cut, remedy};
use crate::tls::{self, Trust};

/// The web services of a configuration, by name.
#[derive(Clone, Debug, Default)]
pub struct WebServices(BTreeMap<String, WebService>);

/// A web service. A clone is the same one, with the same connections and memory.
#[derive(Clone)]
pub struct WebService(Arc<Inner>);

struct Inner {
    name: String,
    section: WebSection,
    /// When its files last changed.
    changed: Vec<Option<SystemTime>>,
    client: Client,
    headers: HeaderMap,
    breaker: Breaker,
    /// Bounds the questions that are under way.
    questions: Semaphore,
    /// Questions that are asked at present: who has the same waits with them.
    flights: Cache<String, Arc<OnceCell<Result<WebAnswer, String>>>>,
    /// Answers that are good for a while.
    answers: Option<Cache<String, WebAnswer>>,
}

/// What a script asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebQuestion {
    /// The parts of the path below the service's URL.
    pub path: Vec<String>,
    /// Names and values behind the question mark.
    pub query: Vec<(String, String)>,
    /// What is sent by POST, with its media type; GET when absent.
    pub body: Option<(Vec<u8>, &'static str)>,
}

/// What a service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Arc<str>,
}

impl WebServices {
    /// Makes what the configuration names; nothing is connected yet. One that is named as it was `before`, with the same
    /// files, is taken over with its connections and what it answered. Blocks on the disk.
    ///
    /// # Errors
    /// Each one that cannot be: what is wrong, and what to do.
    pub(super) fn open(config: &Config, before: Option<&WebServices>) -> Result<WebServices, Vec<Wrong>> {
        let (mut services, mut wrong) = (BTreeMap::new(), Vec::new());
        for (name, section) in &config.webs {
            let files = [&section.ca, &section.bearer_file, &section.headers_file];
            let changed: Vec<_> =
                files.iter().map(|file| std::fs::metadata(file.as_ref()?).ok()?.modified().ok()).collect();
            let known = before.and_then(|before| before.0.get(name));
            let service = match known {
                Some(known) if known.0.section == *section && known.0.changed == changed => Ok(known.clone()),
                _ => WebService::open(name, section, changed),
            };
            match service {
                Ok(service) => drop(services.insert(name.clone(), service)),
                Err((what, remedy)) => wrong.push((format!("web.{name}{what}"), remedy)),
            }
        }
        if wrong.is_empty() { Ok(WebServices(services)) } else { Err(wrong) }
    }

    /// The service of this name.
    ///
    /// # Errors
    /// When there is none, with the name that was probably meant.
    pub fn find(&self, name: &str) -> Result<&WebService, String> {
        self.0.get(name).ok_or_else(|| match self.0.is_empty() {
            true => format!("there is no web service `{0}`; name it in the configuration: [web.{0}]", cut(name)),
            false => {
                format!("there is no web service `{}`; {}", cut(name), remedy(name, self.0.keys().map(String::as_str)))
            }
        })
    }
}

impl WebService {
    /// What is wrong with the section, from its key on, and what to do.
    fn open(name: &str, section: &WebSection, changed: Vec<Option<SystemTime>>) -> Result<WebService, Wrong> {
        let text = section.url.as_ref().map_or("", |url| url.as_str());
        let base = client::base(text)
            .ok_or_else(|| (format!(".url: `{text}` is no URL that a path can be put behind"), String::new()))?;
        let headers = headers(section)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .referer(false)
            .connect_timeout(section.timeout)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(QUESTIONS_MAX);
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
            None if base.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        let http = builder
            .build()
            .map_err(|error| (format!(": HTTP cannot be set up: {}", client::root(&error)), String::new()))?;
        let answers = section.cache.map(|time| {
            Cache::builder()
                .max_capacity(ANSWERS_LEN_MAX)
                .weigher(|key: &String, answer: &WebAnswer| {
                    u32::try_from(key.len() + answer.body.len() + 100).unwrap_or(u32::MAX)
                })
                .time_to_live(time)
                .build()
        });
        Ok(WebService(Arc::new(Inner {
            name: name.to_owned(),
            section: section.clone(),
            changed,
            client: Client::with(name, http, base, section.timeout),
            headers,
            breaker: Breaker::new(&format!("web.{name}"), 1, section.retry_after),
            questions: Semaphore::new(QUESTIONS_MAX),
            flights: Cache::new(FLIGHTS_MAX),
            answers,
        })))
    }

    /// What the configuration calls it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Asks, and waits for at most `limit` or the service's own timeout. An answer that says no is an answer, too.
    ///
    /// # Errors
    /// Why there is no answer, in words for the administrator, without the name of the service.
    pub async fn ask(&self, question: &WebQuestion, limit: Duration) -> Result<WebAnswer, String> {
        let url = self.url(question)?;
        let limit = limit.min(self.0.section.timeout);
        if question.body.is_some() {
            return self.send(url, question, limit).await;
        }
        let key = url.as_str().to_owned();
        if let Some(answer) = self.0.answers.as_ref().and_then(|answers| answers.get(&key)) {
            return Ok(answer);
        }
        let flight = self.0.flights.get_with(key.clone(), Arc::default);
        let found = flight
            .get_or_init(|| async {
                let found = self.send(url, question, limit).await;
                if let (Some(answers), Ok(answer)) = (&self.0.answers, &found)
                    && answer.status < 500
                {
                    answers.insert(key.clone(), answer.clone());
                }
                self.0.flights.invalidate(&key);
                found
            })
            .await;
        found.clone()
    }

    /// The URL of a question: each part of the path and each value is encoded.
    fn url(&self, question: &WebQuestion) -> Result<Url, String> {
        if question.path.iter().any(|part| matches!(part.as_str(), "." | "..")) {
            return Err("a part of the path is `.` or `..`, which would lead elsewhere".to_owned());
        }
        let mut url = self.0.client.url(question.path.iter().map(String::as_str));
        if !question.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&question.query);
        }
        match url.as_str().len() {
            0..=URL_LEN_MAX => Ok(url),
            length => Err(format!("the URL would have {length} octets; at most {URL_LEN_MAX} are sent")),
        }
    }

    async fn send(&self, url: Url, question: &WebQuestion, limit: Duration) -> Result<WebAnswer, String> {
        let inner = &*self.0;
        let told = |error: UpstreamError| match &error {
            UpstreamError::Down { since, error, .. } => {
                format!("it was not asked: it does not answer since {since:.0} ({error})")
            }
            UpstreamError::Nonsense { what, .. } => format!("its answer cannot be used: {what}"),
            other => other.what(),
        };
        let began = Instant::now();
        let place = tokio::time::timeout(limit, inner.questions.acquire()).await;
        let _place =
            place.map_err(|_| format!("too many questions to it wait; no answer within {} ms", limit.as_millis()))?;
        inner.breaker.admit().map_err(told)?;
        let limit = limit.saturating_sub(began.elapsed());
        let result = inner.client.within(limit, self.exchange(url, question, limit)).await;
        // One who came with little time left says nothing of the service.
        inner.breaker.note(&result, limit * 2 > inner.section.timeout);
        result.map_err(told)
    }

    async fn exchange(&self, url: Url, question: &WebQuestion, limit: Duration) -> Result<WebAnswer, UpstreamError> {
        let inner = &*self.0;
        let method = if question.body.is_some() { Method::POST } else { Method::GET };
        let mut request = inner.client.request(method, url).headers(inner.headers.clone());
        if let Some((body, kind)) = &question.body {
            request = request.header(CONTENT_TYPE, *kind).body(body.clone());
        }
        let response = request.send().await.map_err(|error| inner.client.broken(&error, limit))?;
        let status = response.status().as_u16();
        let length = usize::try_from(inner.section.body_max).unwrap_or(usize::MAX);
        let body = inner.client.body(response, length, limit).await?;
        match String::from_utf8(body) {
            Ok(body) => Ok(WebAnswer { status, body: body.into() }),
            Err(_) => Err(inner.client.nonsense("it is not UTF-8 text")),
        }
    }
}

/// What is sent with every question.
fn headers(section: &WebSection) -> Result<HeaderMap, Wrong> {
    let mut headers = HeaderMap::new();
    let unreadable = |key: &str, path: &std::path::Path, why: &str, fix: &str| {
        (format!(".{key}: {}: {why}", path.display()), fix.to_owned())
    };
    if let Some(path) = &section.bearer_file {
        let fix = "write the token into its first line";
        let octets = identity::read(path).map_err(|error| unreadable("bearer_file", path, &error.to_string(), fix))?;
        let token = identity::token(&octets)
            .ok_or_else(|| unreadable("bearer_file", path, "there is no token in its first line", fix))?;
        headers.insert(reqwest::header::AUTHORIZATION, token);
    }
    if let Some(path) = &section.headers_file {
        let fix = "write a header in each line, as in X-Api-Key: 1234";
        let wrong = |why: &str| unreadable("headers_file", path, why, fix);
        let octets = identity::read(path).map_err(|error| wrong(&error.to_string()))?;
        let text = std::str::from_utf8(&octets).map_err(|_| wrong("it is not UTF-8 text"))?;
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let read = line.split_once(':').and_then(|(name, value)| {
                let mut value = HeaderValue::try_from(value.trim()).ok()?;
                value.set_sensitive(true);
                Some((name.trim().parse::<HeaderName>().ok()?, value))
            });
            let (name, value) = read.ok_or_else(|| wrong(&format!("line {number} is no header")))?;
            headers.append(name, value);
        }
    }
    Ok(headers)
}

impl fmt::Debug for WebService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebService").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// How long a connection stays open that nobody uses.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Questions that are under way to one service at a time.
const QUESTIONS_MAX: usize = 16;
/// Questions that wait at a time.
const FLIGHTS_MAX: u64 = 4096;
/// What all remembered answers of a service have together, in octets.
const ANSWERS_LEN_MAX: u64 = 16 << 20;
/// The longest URL.
const URL_LEN_MAX: usize = 4096;

#[cfg(test)]
#[path = "web_tests.rs"]
mod tests;
