//! HTTP and HTTPS: boot scripts and files of a boot session, and a few pages for the administrator.
//!
//! | path | method | is |
//! |---|---|---|
//! | `/b/<token>/boot.ipxe` | GET | the bootstrap script: reports the machine's facts |
//! | `/b/<token>/autoexec.ipxe` | GET | what EFI builds of iPXE look for beside themselves |
//! | `/b/<token>/script.ipxe` | GET, POST | the decision: facts in the query or as a form; answers with a script |
//! | `/b/<token>/person.ipxe` | GET, POST | what the person at the machine answers; verified here, and answered with a script |
//! | `/b/<token>/start.ipxe` | GET | iPXE's report that it begins an assignment: `image` and `assignment` in the query; the script that answers succeeds or fails |
//! | `/b/<token>/failed.ipxe` | GET | iPXE's report of a failed boot: `image` and `error` in the query |
//! | `/b/<token>/done` | GET, POST | the installer's report that it is done |
//! | `/b/<token>/failed` | GET, POST | the installer's report that it failed: `reason` in the query, in a form, or as text |
//! | `/b/<token>/f/<file>` | GET | a file of an image |
//! | `/b/<token>/<loader>` | GET | a boot loader |
//! | `/boot` | GET, POST | where the site opens it: the way in for machines that have no token yet |
//! | `/Altiris/..`, `/2PXE/boot`, `/fog/..`, `/v1/boot/..` | | where the site opens them: the ways in that other boot servers have |
//! | `/loaders/<loader>` | GET | where the site opens it: a boot loader for machines that have no token yet |
//! | `/ca.crt` | GET | the certificate of the private CA |
//! | `/healthz` | GET | `ok`: this process serves; for balancers and watchdogs |
//! | `/readyz` | GET | 200 `ready`, or 503: whether every database that is needed answers, each with its state, and that of the upstreams; for people and alerts. As JSON where `Accept` asks for it |
//! | `/metrics` | GET | for Prometheus |
//!
//! Every GET answers HEAD as well, which changes nothing; a report has none. Firmware's HTTP is narrow, so all answers have an exact `Content-Length`, no
//! content encoding, and never a redirect: a path with double slashes is read as one without.
//!
//! A machine that may not boot gets no file (403 with the reason); a script it asks for shows the reason and leaves to the
//! disk. While a slow decision is pending the answer is 503 with `Retry-After`, on which iPXE waits and asks again.
//!
//! The decision API ([`crate::api`]) has a listener of its own, which asks for client certificates and has no other path:
//! see [`ApiState`].
//!
//! **Invariant**: a path opens something only with the token of a session; tokens are not logged.

mod answers;
mod api;
mod body;
mod boot;
mod boot_files;
mod compat;
mod config_file;
mod entry;
mod files;
mod form;
mod person;
mod ready;
mod reports;
mod serve;
mod socket;
mod told;

#[cfg(test)]
pub(crate) mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;

use crate::boot::{BootDecision, BootImages, Client, FileName, Look, Network};
use crate::cache::Library;
use crate::chainload::ConfigFile;
use crate::decision::{DecisionEngine, HandlerError, Session};
use crate::files::Content;
use crate::ipxe::{self, Command, Leaving, SessionUrls, Word};
use crate::observe::Metrics;
use crate::paths::{self, Beginning};
use crate::people::People;
use socket::FileQueue;

pub use api::{ApiState, Credential, EnrollError, Sites, Standing, Unavailable};
pub use compat::{Door, facts_of_fields};
pub use ready::Dependency;
pub use serve::{Limits, Server};

/// The largest form with facts, in octets: twice what all facts at their longest have.
const FORM_LEN_MAX: usize = 64 * 1024;

/// What an iPXE that asks for its first script tells beside its path.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap<'a> {
    /// Its `User-Agent`.
    pub agent: Option<&'a str>,
    /// Whether it only looks (HEAD).
    pub is_look: bool,
    /// How it gets to its own disk.
    pub leaving: Leaving,
}

/// What the rest of the server knows and HTTP shows.
#[async_trait]
pub trait Site: Send + Sync + 'static {
    /// The files of images.
    fn images(&self) -> Library;

    /// The boot loader of this name, where this client may have it.
    fn loader(&self, client: &Client, name: &FileName) -> Option<Content>;

    /// What is at `loaders/NAME` for machines that have no session, where the site opens it.
    fn plain_loader(&self, _: &FileName, _: &Connection) -> Option<Content> {
        None
    }

    /// The configuration file that is made for a loader which asks for this name, if it is one.
    fn made_file(&self, _name: &FileName) -> Option<ConfigFile> {
        None
    }

    /// What of this decision such a file offers.
    fn config_images(&self, _: ConfigFile, _: &Session, _: &BootDecision, _: &Connection) -> BootImages {
        BootImages::none()
    }

    /// What it says by this decision with these images; none where the machine shall hear nothing.
    fn config_text(
        &self,
        _file: ConfigFile,
        _session: &Session,
        _told: (&BootDecision, &BootImages),
        _via: &Connection,
    ) -> Option<String> {
        None
    }

    /// Notes that a loader which is not iPXE is about to run an image that does an assignment.
    ///
    /// # Errors
    /// When it must not, or when nobody can tell.
    async fn begin(
        &self,
        _session: &Arc<Session>,
        _via: &Connection,
        _beginning: &Beginning,
    ) -> Result<(), HandlerError> {
        Err(HandlerError::refused("nothing begins here"))
    }

    /// The addresses that this client is told, by the scheme it came by.
    fn urls(&self, session: &Session, via: &Connection) -> SessionUrls;

    /// The addresses that its `autoexec.ipxe` tries, in this order.
    fn autoexec_urls(&self, session: &Session, via: &Connection) -> Vec<SessionUrls> {
        vec![self.urls(session, via)]
    }

    /// The host name that machines are told in URLs; our address when absent.
    fn host_name(&self) -> Option<String> {
        None
    }
    /// How menus look that do not say it.
    fn look(&self) -> Option<Look> {
        None
    }
    /// The address that a client is to know us by of which nothing else is known.
    fn known_by(&self, via: &Connection) -> IpAddr {
        via.local.ip()
    }

    /// The first script of an iPXE.
    fn bootstrap(&self, session: &Session, via: &Connection, told: Bootstrap<'_>) -> Vec<Command> {
        ipxe::bootstrap(&self.urls(session, via), told.leaving)
    }

    /// Whether machines may come by [`paths::ENTRY`] without a token.
    fn has_entry(&self) -> bool {
        false
    }
    /// Whether the site opens this front door.
    fn has_door(&self, _: Door) -> bool {
        false
    }
    /// Who verifies the people at the machines; nobody is verified without.
    fn people(&self) -> Option<Arc<People>> {
        None
    }
    /// The certificate of the private CA in PEM, if there is one.
    fn authority(&self) -> Option<Bytes>;

    /// The databases that answers and history need.
    fn dependencies(&self) -> Vec<Dependency> {
        Vec::new()
    }

    /// The upstreams that handlers lean on.
    fn upstreams(&self) -> Vec<Dependency> {
        Vec::new()
    }
}

/// How a request came in.
#[derive(Clone)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address of ours that it connected to.
    pub local: SocketAddr,
    /// Whether it came by HTTPS.
    pub secure: bool,
    /// The fingerprint (SHA-256) of the certificate that it showed, which is one of our CA's.
    pub certificate: Option<[u8; 32]>,
    files: Option<FileQueue>,
}

impl Connection {
    /// The URL of a path of ours, as this client reaches it: by the site's name, else by this address.
    fn url(&self, server: IpAddr, path: &str, name: Option<String>) -> Word {
        let scheme = if self.secure { ("https", 443) } else { ("http", 80) };
        let at = SocketAddr::new(server.to_canonical(), self.local.port());
        let origin = match name {
            Some(name) => paths::origin_of(scheme.0, scheme.1, &name, at.port()),
            None => paths::origin(scheme.0, scheme.1, at),
        };
        Word::new(&format!("{origin}/{path}"))
    }

    /// Where the client was seen.
    pub fn network(&self) -> Network {
        let address = |address: IpAddr| Some(address.to_canonical());
        Network { client: address(self.peer.ip()), server: address(self.local.ip()), ..Network::default() }
    }
}

/// What the routes need.
pub struct HttpState {
    engine: Arc<DecisionEngine>,
    site: Arc<dyn Site>,
    metrics: Arc<Metrics>,
    holds: boot::Holds,
}

impl HttpState {
    /// The state of a server.
    pub fn new(engine: Arc<DecisionEngine>, site: Arc<dyn Site>, metrics: Arc<Metrics>) -> HttpState {
        HttpState { engine, site, metrics, holds: boot::Holds::default() }
    }
}

/// The routes, all of them.
fn router(state: Arc<HttpState>) -> Router {
    Router::new()
        .route("/b/{*path}", get(boot::session).post(boot::session))
        .route("/boot", get(entry::entry).post(entry::entry))
        .route("/loaders/{name}", get(entry::loader))
        .route("/ca.crt", get(authority))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::ready))
        .route("/metrics", get(metrics))
        .fallback(compat::door)
        .layer(DefaultBodyLimit::max(FORM_LEN_MAX))
        .with_state(state)
}

async fn authority(State(state): State<Arc<HttpState>>) -> Response {
    match state.site.authority() {
        Some(certificate) => ([(CONTENT_TYPE, "application/x-x509-ca-cert")], certificate).into_response(),
        None => (StatusCode::NOT_FOUND, "this server has no CA of its own\n").into_response(),
    }
}

async fn metrics(State(state): State<Arc<HttpState>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], state.metrics.text()).into_response()
}
