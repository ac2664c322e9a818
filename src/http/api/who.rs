//! Which site asks: by the certificate of the connection, or by a bearer token.
//!
//! **Invariant**: the store's answer is remembered for [`FRESH_FOR`] at most. While the store cannot be asked, a site that
//! it knew within the last [`STAND_IN_FOR`] stays in, and one that it had revoked stays out; nobody new comes in. No
//! token is kept, only its digest.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::super::Connection;
use super::enroll::EnrollError;
use super::places::Attempts;
use super::refusal::Refusal;
use crate::api::Enrolled;
use crate::pace::Pace;

/// How long the store's answer is remembered: a site that is revoked is out after so long.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// How long what is known stands in for a store that cannot be asked.
const STAND_IN_FOR: Duration = Duration::from_secs(600);
/// How long the store may take. A site waits for it, and its own limits are short.
const LOOKUP_MAX: Duration = Duration::from_secs(1);
/// Sites that are remembered.
const REMEMBERED_MAX: u64 = 10_000;
/// The longest token, in octets.
const TOKEN_LEN_MAX: usize = 512;

/// What a site shows of itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// The fingerprint (SHA-256) of a certificate that our CA issued.
    Certificate([u8; 32]),
    /// A bearer token.
    Bearer(String),
}

/// How a site stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name: what rules see as the site of a request.
    pub site: Arc<str>,
    /// Whether it may not come any more.
    pub is_revoked: bool,
}

/// The store cannot be asked; the text is for the administrator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Who knows the sites.
#[async_trait]
pub trait Sites: Send + Sync + 'static {
    /// The site that shows this, as the store has it now; none when it knows none.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn find(&self, credential: &Credential) -> Result<Option<Standing>, Unavailable>;

    /// Gives a site its certificate for a token that is good once. Of the request (PKCS #10, PEM) its public key only is
    /// used.
    ///
    /// # Errors
    /// When the token is not good, the request is none, or the store cannot be asked.
    async fn enroll(&self, token: &str, request: &str, now: Timestamp) -> Result<Enrolled, EnrollError>;
}

/// The sites that asked of late.
pub(super) struct Visitors {
    sites: Arc<dyn Sites>,
    known: moka::sync::Cache<(bool, [u8; 32]), Arc<Mutex<Known>>>,
    /// Tokens that nobody has.
    guesses: Attempts,
    warnings: Pace,
}

/// What is known of who shows one credential.
#[derive(Default)]
struct Known {
    /// When the store was last asked.
    asked: Option<Instant>,
    /// Whether it answered then.
    is_told: bool,
    /// The site that it told of, and when.
    site: Option<(Instant, Standing)>,
}

impl Visitors {
    pub(super) fn new(sites: Arc<dyn Sites>) -> Visitors {
        let known = moka::sync::Cache::builder().max_capacity(REMEMBERED_MAX).time_to_idle(STAND_IN_FOR).build();
        Visitors { sites, known, guesses: Attempts::default(), warnings: Pace::default() }
    }

    pub(super) fn sites(&self) -> &dyn Sites {
        &*self.sites
    }

    /// The site that asks. A certificate counts before a token.
    pub(super) async fn who(&self, via: &Connection, headers: &HeaderMap) -> Result<Arc<str>, Refusal> {
        let credential = match via.certificate {
            Some(fingerprint) => Credential::Certificate(fingerprint),
            None => Credential::Bearer(bearer(headers).ok_or(Refusal::Anonymous)?.to_owned()),
        };
        let is_token = matches!(credential, Credential::Bearer(_));
        let key = key(&credential);
        if is_token && !self.known.contains_key(&key) && self.guesses.are_spent(via.peer.ip()) {
            return Err(Refusal::TooManyAttempts);
        }
        let standing = self.standing(key, &credential).await;
        if is_token && standing == Err(Refusal::Unknown) {
            self.guesses.take(via.peer.ip());
        }
        match standing? {
            Standing { site, is_revoked: true } => Err(Refusal::Revoked(site.to_string())),
            Standing { site, .. } => Ok(site),
        }
    }

    /// How the site stands, asked of the store at most [`FRESH_FOR`] ago, where it can be asked.
    async fn standing(&self, key: (bool, [u8; 32]), credential: &Credential) -> Result<Standing, Refusal> {
        let entry = self.known.get_with(key, Arc::default);
        // Held while the store is asked: those who ask meanwhile get the same answer.
        let mut known = entry.lock().await;
        if known.asked.is_none_or(|asked| asked.elapsed() >= FRESH_FOR) {
            self.ask(&mut known, credential).await;
        }
        let site = known.site.as_ref().filter(|(told, _)| told.elapsed() < STAND_IN_FOR);
        match site {
            Some((_, standing)) => Ok(standing.clone()),
            None => {
                // A token keeps no place here that nobody has: guesses displace nobody.
                if matches!(credential, Credential::Bearer(_)) {
                    self.known.invalidate(&key);
                }
                Err(if known.is_told { Refusal::Unknown } else { Refusal::Unsure })
            }
        }
    }

    async fn ask(&self, known: &mut Known, credential: &Credential) {
        let now = Instant::now();
        known.asked = Some(now);
        let late = |_| Err(Unavailable(format!("no answer within {} ms", LOOKUP_MAX.as_millis())));
        match timeout(LOOKUP_MAX, self.sites.find(credential)).await.unwrap_or_else(late) {
            Ok(found) => {
                known.is_told = true;
                known.site = found.map(|standing| (now, standing));
            }
            Err(error) => {
                known.is_told = false;
                // The time that it took is over: those who wait do not ask one after the other.
                known.asked = Some(Instant::now());
                let site = known.site.as_ref().map(|(_, standing)| &*standing.site);
                if self.warnings.take(Timestamp::now().as_second(), 1).is_free {
                    warn!(site, %error, "the store cannot tell which sites may ask; who was known of late stays in");
                }
            }
        }
    }
}

/// The token of the request, if it has one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_good = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= TOKEN_LEN_MAX;
    is_good.then_some(token)
}

fn key(credential: &Credential) -> (bool, [u8; 32]) {
    match credential {
        Credential::Certificate(fingerprint) => (false, *fingerprint),
        Credential::Bearer(token) => {
            let digest = digest(&SHA256, token.as_bytes());
            (true, digest.as_ref().first_chunk().copied().unwrap_or_default())
        }
    }
}

#[cfg(test)]
#[path = "who_tests.rs"]
mod tests;
