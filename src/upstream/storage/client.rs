//! The HTTP client under object storage.
//!
//! **Invariant**: it goes straight to the endpoint of the configuration: through no proxy that the environment names, and
//! after no redirect. What a service says where it says no is read up to a limit.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// A connection that was idle for longer was closed by most servers.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// The most that is read of an answer that says no, in octets.
const REFUSAL_LEN_MAX: usize = 16 * 1024;

/// The client that `object_store` gets, in place of one that it would make itself.
#[derive(Clone, Debug)]
pub(super) struct Bounded(reqwest::Client);

impl HttpConnector for Bounded {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Bounded {
    /// `object_store` keeps all of an answer that says no, however long it is or says to be.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = self.0.call(request).await?.into_parts();
        if parts.status.is_success() {
            return Ok(HttpResponse::from_parts(parts, body));
        }
        let (mut said, mut pieces) = (Vec::new(), body.bytes_stream());
        while let Some(piece) = pieces.next().await {
            said.extend_from_slice(&piece?);
            if said.len() > REFUSAL_LEN_MAX {
                said.truncate(REFUSAL_LEN_MAX);
                break;
            }
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        Ok(HttpResponse::from_parts(parts, said.into()))
    }
}

/// Whether the service was not there, as opposed to saying something that is of no use.
pub(super) fn is_silence(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            let kind = http.kind();
            let is_on_the_way = matches!(kind, HttpErrorKind::Connect | HttpErrorKind::Request);
            return is_on_the_way || matches!(kind, HttpErrorKind::Timeout | HttpErrorKind::Interrupted);
        }
        cause = error.source();
    }
    false
}

/// A client that trusts the CA of this PEM file, or those of the system; with the TLS provider of the process.
///
/// # Errors
/// What cannot be read, in words.
pub(super) fn client(ca: Option<&Path>, needs_tls: bool) -> Result<Bounded, String> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIME_MAX)
        .pool_idle_timeout(IDLE_TIME_MAX)
        .http1_only()
        .no_proxy();
    let builder = match ca {
        Some(ca) => {
            let pem = std::fs::read(ca).map_err(|error| format!("{}: {error}", ca.display()))?;
            let found =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| format!("{}: {error}", ca.display()))?;
            if found.is_empty() {
                return Err(format!("{}: there is no certificate in it", ca.display()));
            }
            builder.tls_certs_only(found)
        }
        // A machine without CAs can still speak to a service in its own network.
        None if !needs_tls => builder.tls_certs_only([]),
        None => builder,
    };
    builder.build().map(Bounded).map_err(|error| in_words(&error))
}

/// An error with all its causes.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    // What the library did before it gave up is of no use to an administrator, and hides what was wrong.
    match text.split_once(", retry_timeout: ").and_then(|(_, rest)| rest.split_once(" - ")) {
        Some((_, why)) => why.to_owned(),
        None => text,
    }
}
