//! The site servers that ask this one: what the store and the private CA say of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tracing::debug;

use crate::api::Enrolled;
use crate::boot::Line;
use crate::config::Config;
use crate::hex;
use crate::http::{ApiState, Credential, EnrollError, Limits, Server, Sites, Standing, Unavailable};
use crate::store::{SiteEntry, Store, StoreError};
use crate::tls::{Acceptor, Authority, TlsError};

use super::certificate::private;
use super::shared::Shared;

/// How long the store may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How long it may take where a person waits for a certificate.
const ENROLL_LIMIT: Duration = Duration::from_secs(10);
/// How exactly it is noted when a site was last heard of, in seconds.
const SEEN_EVERY_S: i64 = 60;

/// The decision API, ready to serve.
pub(super) struct Api {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) acceptor: Acceptor,
    pub(super) server: Arc<Server>,
}

impl Api {
    /// The API on these listeners; none where there are none. Its certificate is of the private CA, whatever HTTPS has:
    /// sites trust that CA and no other. Blocks on the disk.
    ///
    /// # Errors
    /// When there is no certificate, or no store that has the sites.
    pub(super) fn new(
        config: &Config,
        listeners: Vec<TcpListener>,
        shared: &Arc<Shared>,
        limits: Limits,
    ) -> anyhow::Result<Option<Api>> {
        if listeners.is_empty() {
            return Ok(None);
        }
        let (identity, authority) = private(config, Timestamp::now())?;
        let acceptor = Acceptor::for_sites(&identity, &authority).context("api")?;
        let sites = KnownSites { shared: Arc::clone(shared), authority: Arc::new(authority) };
        sites.store().context("api: the sites are in the store")?;
        let (engine, metrics) = (Arc::clone(&shared.engine), Arc::clone(&shared.metrics));
        let state = ApiState::new(engine, Arc::clone(shared) as _, Arc::new(sites), metrics);
        Ok(Some(Api { listeners, acceptor, server: Server::of_api(state, limits) }))
    }
}

/// The sites of the store, and the CA that their certificates are from.
struct KnownSites {
    shared: Arc<Shared>,
    authority: Arc<Authority>,
}

impl KnownSites {
    fn store(&self) -> Result<Store, StoreError> {
        let site = self.shared.site.load();
        site.store.clone().ok_or_else(|| StoreError::Unsuitable(format!("`{}`", site.databases.store().name())))
    }

    async fn look_up(&self, credential: &Credential) -> Result<Option<Standing>, StoreError> {
        let store = self.store()?;
        let found = match credential {
            Credential::Certificate(fingerprint) => store.site_by_fingerprint(&hex::digits(fingerprint), LIMIT).await?,
            Credential::Bearer(token) => store.site_by_token(token, LIMIT).await?,
        };
        if let Some(entry) = &found {
            note_seen(store, entry);
        }
        let standing =
            |entry: SiteEntry| Standing { site: entry.name.as_str().into(), is_revoked: entry.revoked.is_some() };
        Ok(found.map(standing))
    }
}

/// Notes that a site was heard of, without keeping it waiting.
fn note_seen(store: Store, entry: &SiteEntry) {
    let now = Timestamp::now();
    let is_noted = entry.last_seen.is_some_and(|seen| now.as_second() - seen.as_second() < SEEN_EVERY_S);
    if is_noted || entry.revoked.is_some() {
        return;
    }
    let name = entry.name.clone();
    tokio::spawn(async move {
        if let Err(error) = store.site_seen(&name, now, LIMIT).await {
            debug!(site = %name, %error, "not noted that the site was heard of");
        }
    });
}

#[async_trait]
impl Sites for KnownSites {
    async fn find(&self, credential: &Credential) -> Result<Option<Standing>, Unavailable> {
        self.look_up(credential).await.map_err(|error| Unavailable(error.to_string()))
    }

    async fn enroll(&self, token: &str, request: &str, now: Timestamp) -> Result<Enrolled, EnrollError> {
        let store = self.store().map_err(refused)?;
        let entry = store.site_to_enroll(token, now, ENROLL_LIMIT).await.map_err(refused)?;
        let (authority, site, request) = (Arc::clone(&self.authority), entry.name.to_string(), request.to_owned());
        let issue = tokio::task::spawn_blocking(move || authority.issue_site(&site, &request));
        let issued = issue.await.map_err(|error| EnrollError::Unavailable(error.to_string()))?;
        let issued = issued.map_err(|error| match error {
            TlsError::Request(why) => EnrollError::Request(why),
            error => EnrollError::Unavailable(error.to_string()),
        })?;
        let entry = store.enroll_site(token, &issued.fingerprint, now, ENROLL_LIMIT).await.map_err(refused)?;
        Ok(Enrolled { site: Line::clean(entry.name.as_str()), certificate: issued.chain_pem })
    }
}

fn refused(error: StoreError) -> EnrollError {
    match error {
        StoreError::Token(problem) => EnrollError::Token(problem.to_string()),
        error => EnrollError::Unavailable(error.to_string()),
    }
}
