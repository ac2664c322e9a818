//! What an upstream is asked and told.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;

use super::client::Client;
use super::{Upstream, UpstreamError};
use crate::api::{AGE_MAX_S, EventFacts, Health, ImagesAnswer, Question, Report, Stamp, VerdictAnswer};
use crate::boot::{BootRequest, Url};
use crate::config::UpstreamKind;
use crate::decision::BootEvent;

/// How long a check may take, beside the connection.
const CHECK_LIMIT: Duration = Duration::from_secs(2);
/// The version of the API that is spoken here.
const VERSION: u32 = 1;

impl Upstream {
    /// May this machine boot? Takes no longer than `left`, and than `boot_images_limit`: firmware is long gone by then, but
    /// its next packet finds the answer. When the next upstream is asked as well is the caller's matter.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn allow_boot(&self, request: &BootRequest, left: Duration) -> Result<VerdictAnswer, UpstreamError> {
        let own = self.section().boot_images_limit;
        let limit = own.min(left);
        let (_place, limit) = self.place(&self.inner.questions, limit).await?;
        self.guarded(limit * 2 >= own, async |client| match self.section().kind {
            UpstreamKind::Pointsman => {
                client.post(["api", "v1", "allow-boot"], || question(request), true, limit).await
            }
            UpstreamKind::Pixiecore => self.pixiecore_verdict(client, request, limit).await,
        })
        .await
    }

    /// What does this machine boot? Takes no longer than `left`, and than its own limit.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn boot_images(&self, request: &BootRequest, left: Duration) -> Result<ImagesAnswer, UpstreamError> {
        let own = self.section().boot_images_limit;
        let limit = own.min(left);
        let (_place, limit) = self.place(&self.inner.questions, limit).await?;
        self.guarded(limit * 2 >= own, async |client| match self.section().kind {
            UpstreamKind::Pointsman => {
                client.post(["api", "v1", "boot-images"], || question(request), true, limit).await
            }
            UpstreamKind::Pixiecore => self.pixiecore_images(client, request, limit).await,
        })
        .await
    }

    /// Waits for a place among those who ask, and tells what is left of the time. That none came free in time
    /// says nothing of the upstream. Nobody waits for one that is known to be down: the breaker answers.
    pub(super) async fn place<'a>(
        &self,
        places: &'a Semaphore,
        limit: Duration,
    ) -> Result<(Option<SemaphorePermit<'a>>, Duration), UpstreamError> {
        if self.is_down() {
            return Ok((None, limit));
        }
        if let Ok(place) = places.try_acquire() {
            return Ok((Some(place), limit));
        }
        let came = Instant::now();
        let place = tokio::time::timeout(limit, places.acquire()).await;
        let left = limit.saturating_sub(came.elapsed());
        match place {
            // With less no answer can be hoped for.
            Ok(Ok(place)) if left >= limit / 10 => Ok((Some(place), left)),
            _ => {
                let problem = "too many questions of this site wait for its answers".to_owned();
                let error = UpstreamError::Busy { name: self.name().to_owned(), problem };
                self.inner.counts.count(error.outcome());
                Err(error)
            }
        }
    }

    /// Tells it what happened in a boot. Nobody listens at Pixiecore's API.
    ///
    /// # Errors
    /// [`UpstreamError::Refused`] when it must not happen; others when nobody can tell, and then it must not either.
    pub async fn report(&self, request: &BootRequest, event: &BootEvent) -> Result<(), UpstreamError> {
        if self.section().kind == UpstreamKind::Pixiecore {
            return Ok(());
        }
        let limit = self.section().boot_images_limit;
        let report = || Report { about: question(request), event: EventFacts::from(event) };
        self.guarded(true, async |client| client.post(["api", "v1", "events"], report, false, limit).await).await
    }

    /// Asks whether it is there, whatever is known of it. What it says of itself, where it is a Pointsman; of others it
    /// is known only that something takes connections.
    ///
    /// # Errors
    /// When it is not, or of no use to this site.
    pub async fn health_check(&self) -> Result<Option<Health>, UpstreamError> {
        let limit = self.section().connect_limit + CHECK_LIMIT;
        let result = match (&self.inner.client, self.section().kind) {
            (Some(client), UpstreamKind::Pointsman) => self.health(client, limit).await.map(Some),
            (Some(client), UpstreamKind::Pixiecore) => {
                self.connect(client.base().host_str(), client.base().port_or_known_default()).await.map(|()| None)
            }
            (None, _) => match self.section().script.as_ref().and_then(address) {
                Some((host, port)) => self.connect(Some(&host), Some(port)).await.map(|()| None),
                None => return Ok(None),
            },
        };
        self.inner.breaker.note_check(&result);
        self.count(&result);
        result
    }

    async fn health(&self, client: &Client, limit: Duration) -> Result<Health, UpstreamError> {
        let name = || self.name().to_owned();
        let found: Option<Health> = client.get(client.url(["api", "v1", "health"]), limit).await?;
        let problem = || "there is no decision API at this address".to_owned();
        let health = found.ok_or_else(|| UpstreamError::Failed { name: name(), status: 404, problem: problem() })?;
        let apart_s = health.now.as_second().saturating_sub(Timestamp::now().as_second());
        if !health.versions.contains(&VERSION) {
            let what = format!("it speaks versions {:?} of the API, and not {VERSION}", health.versions);
            return Err(UpstreamError::Nonsense { name: name(), what });
        }
        if health.site.is_none() {
            return Err(UpstreamError::Denied {
                name: name(),
                problem: "it does not know this site, or cannot find out".into(),
            });
        }
        match apart_s.unsigned_abs() > AGE_MAX_S.unsigned_abs() {
            true => Err(UpstreamError::Clock { name: name(), apart_s }),
            false => Ok(health),
        }
    }

    /// Whether something takes connections there.
    async fn connect(&self, host: Option<&str>, port: Option<u16>) -> Result<(), UpstreamError> {
        let (name, limit) = (self.name().to_owned(), self.section().connect_limit);
        let (Some(host), Some(port)) = (host, port) else { return Ok(()) };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match tokio::time::timeout(limit, tokio::net::TcpStream::connect((host, port))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(UpstreamError::Unreachable { name, why: error.to_string(), failure: None }),
            Err(_) => Err(UpstreamError::TimedOut { name, limit }),
        }
    }

    /// Does some work with the client, unless the upstream is known to be down, and takes note of how it went.
    pub(super) async fn guarded<T>(
        &self,
        is_fair: bool,
        work: impl AsyncFnOnce(&Client) -> Result<T, UpstreamError>,
    ) -> Result<T, UpstreamError> {
        let name = || self.name().to_owned();
        let client = self.inner.client.as_ref().ok_or_else(|| UpstreamError::NoUrl { name: name() })?;
        if let Err(error) = self.inner.breaker.admit() {
            self.inner.counts.count(error.outcome());
            return Err(error);
        }
        let result = work(client).await;
        self.inner.breaker.note(&result, is_fair);
        self.count(&result);
        result
    }

    fn count<T>(&self, result: &Result<T, UpstreamError>) {
        self.inner.counts.count(result.as_ref().err().map_or("answered", UpstreamError::outcome));
        if let Err(error) = result {
            debug!(upstream = self.name(), %error, "no answer");
        }
    }
}

/// A question about this request, with a stamp of its own.
fn question(request: &BootRequest) -> Question {
    let facts: BTreeMap<_, _> =
        request.machine.iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
    Question {
        stamp: Stamp { id: Uuid::new_v4(), at: Timestamp::now() },
        session: request.session,
        stage: request.stage,
        client: (&request.client).into(),
        network: (&request.network).into(),
        machine: facts,
        person: request.person.as_deref().cloned(),
        asks: true,
    }
}

/// Host and port of a URL.
fn address(url: &Url) -> Option<(String, u16)> {
    let url = reqwest::Url::parse(url.as_str()).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}
