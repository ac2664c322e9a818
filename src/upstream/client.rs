//! HTTP to an upstream: one message there, one answer back, each with its limits.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::UpstreamError;
use super::identity::{Credentials, Wrong};
use crate::api::{MESSAGE_LEN_MAX, Problem};
use crate::boot::Line;
use crate::config::UpstreamSection;
use crate::tls::{self, ServerFailure, Trust};

/// How long a connection stays open that nobody uses.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// How many of them stay open.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// A peer that is gone without a word is noticed after about four of these.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The longest text of somebody else's that is put into a message, in characters.
const QUOTED_LEN_MAX: usize = 300;
/// The most octets that are read of an answer that says what is wrong.
const PROBLEM_LEN_MAX: usize = 16 * 1024;

/// Talks to one upstream.
pub(super) struct Client {
    name: String,
    http: reqwest::Client,
    /// Ends in `/`.
    base: Url,
    connect_limit: Duration,
}

impl Client {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// What in the URL or in the files makes no sense, and what to do.
    pub(super) fn new(name: &str, section: &UpstreamSection, credentials: Credentials) -> Result<Client, Wrong> {
        let wrong = |what: String, remedy: &str| (format!("upstream.{name}: {what}"), remedy.to_owned());
        let text = section.url.as_ref().map_or("", |url| url.as_str());
        let base = base(text).ok_or_else(|| {
            wrong(format!("`{text}` is no URL that a path can be put behind"), "write url = \"https://HOST:PORT\"")
        })?;
        let mut headers = HeaderMap::new();
        if let Some(token) = credentials.token {
            headers.insert(AUTHORIZATION, token);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .referer(false)
            .connect_timeout(section.connect_limit)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_keepalive_interval(KEEP_ALIVE)
            .tcp_keepalive_retries(3);
        builder = match credentials.ca {
            Some(pem) => {
                let remedy = "name another `ca`, or get new files with `pointsman site enroll`";
                let config = tls::client_config(Trust::Ca(pem), credentials.identity);
                builder.tls_backend_preconfigured(config.map_err(|error| wrong(error.to_string(), remedy))?)
            }
            // What is asked without TLS needs no CA; what is not asked by Pointsman's API has one that the system trusts.
            None if base.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        let http = builder.build().map_err(|error| wrong(format!("HTTP cannot be set up: {}", root(&error)), ""))?;
        Ok(Client { name: name.to_owned(), http, base, connect_limit: section.connect_limit })
    }

    /// The same with a connection that was set up elsewhere. `base` ends in `/`.
    pub(super) fn with(name: &str, http: reqwest::Client, base: Url, connect_limit: Duration) -> Client {
        Client { name: name.to_owned(), http, base, connect_limit }
    }

    /// The URL of something below the upstream's; each part is encoded as it needs to be.
    pub(super) fn url<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// What relative URLs of an answer start at.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// A request without a body.
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends a message and reads the answer. What is `repeatable` is made and sent once more when the server had closed
    /// the connection.
    ///
    /// # Errors
    /// When there is no answer, a bad one, or one that says no.
    pub(super) async fn post<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: [&str; 3],
        message: impl Fn() -> Q,
        is_repeatable: bool,
        limit: Duration,
    ) -> Result<A, UpstreamError> {
        let send = async {
            let request = || self.request(Method::POST, self.url(path)).json(&message()).send();
            let response = match request().await {
                Err(error) if is_repeatable && is_closed(&error) => request().await,
                sent => sent,
            };
            self.read(response.map_err(|error| self.broken(&error, limit))?, limit).await
        };
        self.within(limit, send).await
    }

    /// Asks for a document; none where there is none.
    ///
    /// # Errors
    /// When there is no answer, a bad one, or one that says no.
    pub(super) async fn get<A: DeserializeOwned>(&self, url: Url, limit: Duration) -> Result<Option<A>, UpstreamError> {
        let send = async {
            let request = || self.request(Method::GET, url.clone()).send();
            let response = match request().await {
                Err(error) if is_closed(&error) => request().await,
                sent => sent,
            };
            let response = response.map_err(|error| self.broken(&error, limit))?;
            match response.status() {
                StatusCode::NOT_FOUND => Ok(None),
                _ => self.read(response, limit).await.map(Some),
            }
        };
        self.within(limit, send).await
    }

    /// The result of some work, or that it took too long.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        let late = |_| Err(UpstreamError::TimedOut { name: self.name.clone(), limit });
        tokio::time::timeout(limit, work).await.unwrap_or_else(late)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When it is a bad one, or says no.
    pub(super) async fn read<A: DeserializeOwned>(
        &self,
        response: Response,
        limit: Duration,
    ) -> Result<A, UpstreamError> {
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return serde_json::from_str("null").map_err(|_| self.nonsense("it has no content"));
        }
        if status != StatusCode::OK {
            return Err(self.no(response).await);
        }
        let octets = self.body(response, MESSAGE_LEN_MAX, limit).await?;
        // serde would take a list for the fields of a message in their order.
        if !octets.trim_ascii_start().starts_with(b"{") {
            return Err(self.nonsense("it is no JSON object"));
        }
        serde_json::from_slice(&octets).map_err(|error| self.nonsense(&error.to_string()))
    }

    /// The body of an answer, up to a limit.
    ///
    /// # Errors
    /// When it is longer, or breaks off.
    pub(super) async fn body(
        &self,
        mut response: Response,
        max: usize,
        limit: Duration,
    ) -> Result<Vec<u8>, UpstreamError> {
        let too_long = || self.nonsense(&format!("it has more than {max} octets"));
        if response.content_length().is_some_and(|length| length > max as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error, limit))? {
            if body.len() + chunk.len() > max {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What an answer means that is not the one that was asked for.
    pub(super) async fn no(&self, response: Response) -> UpstreamError {
        let (name, status) = (self.name.clone(), response.status());
        let comes_again = header(response.headers(), RETRY_AFTER.as_str()).is_some();
        let problem = self.problem(response).await;
        match status.as_u16() {
            401 | 403 => UpstreamError::Denied { name, problem },
            429 => UpstreamError::Busy { name, problem },
            503 if comes_again => UpstreamError::Busy { name, problem },
            409 => UpstreamError::Refused { name, problem },
            status @ 500.. => UpstreamError::Failed { name, status, problem },
            status @ 400..500 => UpstreamError::Rejected { name, status, problem },
            status => self.nonsense(&format!("it is HTTP {status}, as of another service")),
        }
    }

    /// What an answer says is wrong.
    pub(super) async fn problem(&self, response: Response) -> String {
        let status = response.status();
        let said = self.body(response, PROBLEM_LEN_MAX, Duration::MAX).await.unwrap_or_default();
        problem(&said, status)
    }

    /// What a broken connection means.
    pub(super) fn broken(&self, error: &reqwest::Error, limit: Duration) -> UpstreamError {
        let name = self.name.clone();
        match error.is_timeout() && !error.is_connect() {
            true => UpstreamError::TimedOut { name, limit },
            false if error.is_timeout() => {
                let why = format!("no connection within {} ms", self.connect_limit.as_millis());
                UpstreamError::Unreachable { name, why, failure: None }
            }
            false => {
                let failure = tls::server_failure(error);
                UpstreamError::Unreachable { name, why: reason(error, failure), failure }
            }
        }
    }

    pub(super) fn nonsense(&self, what: &str) -> UpstreamError {
        UpstreamError::Nonsense { name: self.name.clone(), what: quoted(what) }
    }
}

/// A URL that paths can be put behind; it ends in a slash.
pub(super) fn base(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !is_plain || url.password().is_some() || url.host_str().is_none() || !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    Url::parse(&format!("{}/", url.as_str().trim_end_matches('/'))).ok()
}

/// Whether the server had closed the connection before it answered anything. It may have read the request.
fn is_closed(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// What an upstream says is wrong: a [`Problem`], else the beginning of the text.
fn problem(said: &[u8], status: StatusCode) -> String {
    let text = match serde_json::from_slice::<Problem>(said) {
        Ok(Problem { problem }) => problem.to_string(),
        Err(_) => String::from_utf8_lossy(said).into_owned(),
    };
    let text = quoted(text.trim());
    if text.is_empty() { status.canonical_reason().unwrap_or("it does not say why").to_owned() } else { text }
}

/// The beginning of a text of somebody else's, clean enough for a message.
fn quoted(text: &str) -> String {
    let start: String = text.chars().take(QUOTED_LEN_MAX).collect();
    Line::clean(&start).to_string()
}

/// Why there is no connection: what an administrator can do something about, else what was at the root of it.
fn reason(error: &reqwest::Error, failure: Option<ServerFailure>) -> String {
    let known = match failure {
        Some(ServerFailure::Untrusted) => "its certificate comes from another CA than the one of `ca`",
        Some(ServerFailure::WrongName) => {
            "its certificate is for another name or address; name it as `url` does in its [https] names"
        }
        Some(ServerFailure::OutOfTime) => "its certificate is not good by the clock of this machine",
        Some(ServerFailure::Refused) => {
            "it does not take the certificate of this site; `pointsman site enroll` gets another"
        }
        Some(ServerFailure::NotTls) => "what answers there speaks no TLS",
        None => "",
    };
    let root = root(error);
    if known.is_empty() { root } else { format!("{known} ({root})") }
}

/// The innermost cause.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    quoted(&cause.to_string())
}

/// The value of a header, when it is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())
}

/// The next octets of a body, or that none came for too long.
pub(super) async fn next(response: &mut Response, stall_max: Duration) -> Result<Option<Bytes>, String> {
    match tokio::time::timeout(stall_max, response.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => Err(root(&error)),
        Err(_) => Err(format!("nothing came for {} s", stall_max.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_web_address_without_secrets() {
        assert_eq!(base("https://h:4443").unwrap().as_str(), "https://h:4443/");
        assert_eq!(base("https://h/boot//").unwrap().as_str(), "https://h/boot/");
        for text in ["", "ftp://h/", "https://h/?x", "https://h/#x", "https://u:p@h/", "iscsi:x"] {
            assert_eq!(base(text), None, "{text}");
        }
    }

    #[test]
    fn what_it_says_is_quoted_short_and_clean() {
        let status = StatusCode::FORBIDDEN;
        assert_eq!(problem(br#"{"problem": "site `lyon` was revoked"}"#, status), "site `lyon` was revoked");
        assert_eq!(problem(b"<html>\n${x}\xff", status), "<html> $ {x}\u{fffd}");
        assert_eq!(problem(b" ", status), "Forbidden");
        assert_eq!(problem(&[b'a'; 5000], status).len(), QUOTED_LEN_MAX);
    }
}
