//! An HTTP client as iPXE is: no redirects followed into the dark, bounded bodies, the site's CA if one is given.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{StepError, Watcher};

/// What was loaded.
pub(super) struct Loaded {
    /// Its content, when it was small enough to be a script.
    pub(super) text: Option<String>,
    /// How many octets it has.
    pub(super) len: u64,
}

/// How often it asks again where the server says when to.
const RETRIES_MAX: u32 = 10;
/// The longest wait before it asks again.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);
/// A longer body is an image, and only counted.
const SCRIPT_LEN_MAX: u64 = 1024 * 1024;

pub(super) struct Http {
    client: reqwest::Client,
    watcher: Arc<dyn Watcher>,
}

impl Http {
    /// A client that trusts the CA of this PEM file, or the system's.
    pub(super) fn new(ca: Option<&Path>, watcher: Arc<dyn Watcher>) -> Result<Http, StepError> {
        let builder = reqwest::Client::builder()
            .user_agent("iPXE/1.21.1+ (pointsman simulate)")
            .redirect(reqwest::redirect::Policy::limited(4))
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            .no_proxy();
        let builder = match ca {
            Some(ca) => {
                let pem = std::fs::read(ca).map_err(|error| StepError::new(format!("{}: {error}", ca.display())))?;
                let certificate = reqwest::Certificate::from_pem(&pem)
                    .map_err(|error| StepError::new(format!("{}: {}", ca.display(), words(&error))))?;
                builder.tls_certs_only([certificate])
            }
            None => builder,
        };
        let client = builder.build().map_err(|error| StepError::new(words(&error)))?;
        Ok(Http { client, watcher })
    }

    /// GET, or POST when there is a form. As iPXE, it asks again when the answer is 503 and says when to.
    pub(super) async fn load(&self, url: &str, form: Option<String>) -> Result<Loaded, StepError> {
        let mut retries = 0;
        let mut response = loop {
            let response = self.send(url, form.clone()).await?;
            match retry_wait(&response).filter(|_| retries < RETRIES_MAX) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => break response,
            }
            retries += 1;
        };
        if !response.status().is_success() {
            let status = response.status();
            let text = response.text().await.unwrap_or_default();
            let text: String = text.chars().take(200).collect();
            return Err(StepError::new(format!("HTTP {status}: {}", text.trim())));
        }
        let total = response.content_length();
        let name = url.rsplit('/').next().unwrap_or(url);
        let mut body = Vec::new();
        let mut len = 0_u64;
        while let Some(chunk) = response.chunk().await.map_err(|error| StepError::new(words(&error)))? {
            len += chunk.len() as u64;
            self.watcher.loading(name, len, total);
            if len <= SCRIPT_LEN_MAX {
                body.extend_from_slice(&chunk);
            }
        }
        let text = if len <= SCRIPT_LEN_MAX { String::from_utf8(body).ok() } else { None };
        Ok(Loaded { text, len })
    }

    async fn send(&self, url: &str, form: Option<String>) -> Result<reqwest::Response, StepError> {
        let request = match form {
            None => self.client.get(url),
            Some(form) => self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form),
        };
        request.send().await.map_err(|error| StepError::new(words(&error)))
    }
}

/// How long the server asks to wait, where it does.
fn retry_wait(response: &reqwest::Response) -> Option<Duration> {
    let after = response.headers().get("retry-after").filter(|_| response.status() == 503)?;
    Some(Duration::from_secs(after.to_str().ok()?.trim().parse().ok()?).min(RETRY_WAIT_MAX))
}

/// The whole chain of causes without the URL, which holds a token.
fn words(error: &dyn std::error::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    if causes.is_empty() { "the request failed".into() } else { causes.join(": ") }
}
