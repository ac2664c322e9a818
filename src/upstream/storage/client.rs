//! The HTTP client under object storage.
//!
//! **Invariant**: it goes straight to the endpoint of the configuration: through no proxy that the environment names, and
//! after no redirect.

use std::path::Path;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// A connection that was idle for longer was closed by most servers.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// Gives the client that was made to `object_store`, which would make one of its own.
#[derive(Debug)]
pub(super) struct Connector(pub(super) reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// A client that trusts the CA of this PEM file, or those of the system; with the TLS provider of the process.
///
/// # Errors
/// What cannot be read, in words.
pub(super) fn client(ca: Option<&Path>, needs_tls: bool) -> Result<reqwest::Client, String> {
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
    builder.build().map_err(|error| in_words(&error))
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
    text
}
