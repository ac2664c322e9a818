//! The upstreams of a configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use moka::sync::Cache;
use tokio::sync::Semaphore;

use super::breaker::Breaker;
use super::client::Client;
use super::counts::Counts;
use super::identity::{Files, Wrong};
use super::pixiecore::Remembered;
use super::web::WebServices;
use super::{Inner, Upstream};
use crate::boot::SessionId;
use crate::cache::Origin;
use crate::config::{Config, UpstreamSection};

/// Every upstream that a configuration names, and which boots belong to which of them. A clone shares both.
#[derive(Clone, Debug)]
pub struct Upstreams {
    by_name: BTreeMap<String, (Vec<Option<SystemTime>>, Upstream)>,
    boots: Boots,
    is_live: Arc<AtomicBool>,
    /// The web services that scripts ask.
    web: WebServices,
}

impl Upstreams {
    /// Makes what the configuration names; nothing is connected yet. An upstream that is named as it was `before`, with
    /// the same files, is taken over with its connections and what is known of it. Blocks on the disk.
    ///
    /// # Errors
    /// Each one that cannot be: what is wrong, and what to do.
    pub fn open(config: &Config, before: Option<&Upstreams>) -> Result<Upstreams, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut by_name = BTreeMap::new();
        for (name, section) in &config.upstreams {
            let files = Files::of(name, section, &config.server.state);
            let changed = files.changed();
            let known = before.and_then(|before| before.by_name.get(name));
            let upstream = match known {
                Some((then, known)) if *then == changed && known.section() == section => Ok(known.clone()),
                _ => open(name, section, &files),
            };
            match upstream {
                Ok(upstream) => drop(by_name.insert(name.clone(), (changed, upstream))),
                Err(what) => wrong.push(what),
            }
        }
        let web = WebServices::open(config, before.map(|before| &before.web));
        let web = web.map_err(|found| wrong.extend(found)).unwrap_or_default();
        match wrong.is_empty() {
            true => Ok(Upstreams {
                by_name,
                web,
                boots: before.map(|before| before.boots.clone()).unwrap_or_default(),
                is_live: before.map(|before| Arc::clone(&before.is_live)).unwrap_or_default(),
            }),
            false => Err(wrong),
        }
    }

    /// The upstream of this name.
    pub fn get(&self, name: &str) -> Option<&Upstream> {
        self.by_name.get(name).map(|(_, upstream)| upstream)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Upstream> + Clone {
        self.by_name.values().map(|(_, upstream)| upstream)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.by_name.keys().map(String::as_str)
    }

    /// Those whose files can be fetched.
    pub fn origins(&self) -> Vec<Arc<dyn Origin>> {
        let having = self.iter().filter(|upstream| upstream.has_files());
        having.map(|upstream| Arc::new(upstream.clone()) as Arc<dyn Origin>).collect()
    }

    /// The web services that scripts ask.
    pub fn web(&self) -> &WebServices {
        &self.web
    }

    /// Which boots belong to which upstream.
    pub fn boots(&self) -> &Boots {
        &self.boots
    }

    /// Says that real machines are served from now on, and begins to ask in the background whether each upstream is
    /// there. Called again after a reload, it does so for those that are new. Must be called inside a Tokio runtime.
    pub fn watch(&self) {
        self.is_live.store(true, Ordering::Release);
        self.iter().for_each(Upstream::watch);
    }

    /// Whether real machines are served: in a dry run nothing is kept.
    pub fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Acquire)
    }
}

fn open(name: &str, section: &UpstreamSection, files: &Files) -> Result<Upstream, Wrong> {
    let client = match &section.url {
        Some(url) => Some(Client::new(name, section, files.read(name, section, url)?)?),
        None => None,
    };
    let inner = Inner {
        name: name.to_owned(),
        section: section.clone(),
        client,
        breaker: Breaker::new(name, section.failures_max, section.retry_after),
        counts: Counts::default(),
        questions: Semaphore::new(QUESTIONS_MAX),
        descriptions: Semaphore::new(DESCRIPTIONS_MAX),
        remembered: Remembered::default(),
        is_watched: AtomicBool::new(false),
    };
    Ok(Upstream { inner: Arc::new(inner) })
}

/// Which boots belong to which upstream: what happens in them is told there. It outlives a reload, and is bounded.
#[derive(Clone, Debug)]
pub struct Boots(Cache<(Arc<str>, SessionId), Option<Arc<str>>>);

impl Default for Boots {
    fn default() -> Self {
        Boots(Cache::builder().max_capacity(BOOTS_MAX).time_to_idle(BOOT_MAX).build())
    }
}

/// Questions that are under way to one upstream at a time. It takes 64 messages of a site at a time: some are left for
/// what happens in boots, which must not wait behind questions.
const QUESTIONS_MAX: usize = 48;
/// Files that one upstream is asked for at a time, of as many transfers: some are left for downloads.
const DESCRIPTIONS_MAX: usize = 32;

/// The most boots that are remembered.
const BOOTS_MAX: u64 = 50_000;
/// How long nothing may happen in a boot whose installer is still to report.
const BOOT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Whose a boot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This upstream decides.
    Upstream(Arc<str>),
    /// Somebody else does.
    Other,
    /// It began elsewhere, or before this server started.
    Unknown,
}

impl Boots {
    /// Remembers that an upstream decides for a boot, as this handler asked it to.
    pub fn remember(&self, handler: &Arc<str>, session: SessionId, upstream: &str) {
        let key = (Arc::clone(handler), session);
        if self.0.get(&key).flatten().is_none_or(|known| *known != *upstream) {
            self.0.insert(key, Some(upstream.into()));
        }
    }

    /// Takes note of a boot that goes on here, whoever decides for it.
    pub fn seen(&self, handler: &Arc<str>, session: SessionId) {
        self.0.get_with((Arc::clone(handler), session), || None);
    }

    /// Whose a boot is, as this handler knows.
    pub fn owner(&self, handler: &Arc<str>, session: SessionId) -> Owner {
        match self.0.get(&(Arc::clone(handler), session)) {
            Some(Some(upstream)) => Owner::Upstream(upstream),
            Some(None) => Owner::Other,
            None => Owner::Unknown,
        }
    }
}
