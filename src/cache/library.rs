//! Where names of files lead: `@NAME/path` to the upstream or the storage of that name, through the cache; every other
//! name to the images folder.
//!
//! **Invariant**: a name that begins with `@` never leads into the images folder, and no other name leads out of it.

mod metered;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::warn;

use super::{Cache, CacheError, Origin, OriginError, Pacer};
use crate::boot::FileName;
use crate::config::{Config, Problem, Problems, RateWindow};
use crate::files::{Content, FileRoot, OpenError};
use crate::nearest;
use crate::pace::Pace;
use metered::Metered;

/// For so long after a file first could not be had, its clients are told to ask again; then, that it cannot be had: a
/// machine must not wait forever.
const AGAIN_FOR: Duration = Duration::from_secs(60);
/// A file that nobody asked for in so long begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(120);
/// The most files of which it is known since when they cannot be had.
const FAILING_MAX: u64 = 10_000;
/// Warnings in one second.
const WARNINGS_PER_SECOND_MAX: u64 = 10;

/// The files that clients may load. Clones are the same library.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

struct Inner {
    folder: FileRoot,
    /// None where nothing comes from elsewhere.
    cache: Option<Cache>,
    places: BTreeMap<String, Place>,
    /// What outlives a reload.
    kept: Arc<Kept>,
}

/// An origin, and how fast is fetched from it.
struct Place {
    origin: Arc<dyn Origin>,
    fetched: Arc<AtomicU64>,
    limits: (Option<u64>, Vec<RateWindow>),
    pace: Arc<Pacer>,
}

struct Kept {
    failed: AtomicU64,
    /// What is logged of names that lead nowhere: anybody on the network can make them up.
    pace: Pace,
    /// Since when files cannot be had.
    failing: moka::sync::Cache<FileName, Instant>,
}

/// Why a file that was looked for is not known to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// It is not there.
    Missing(String),
    /// Its origin does not give it to us, if it has it.
    Refused(String),
    /// It cannot be said at present.
    Unsure(String),
}

/// What the library has and did, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Files of origins that were asked for, by what became of it.
    pub requests: Vec<(&'static str, u64)>,
    /// Octets that came from each origin.
    pub fetched: Vec<(String, u64)>,
}

impl From<FileRoot> for Library {
    /// A folder, and nothing from elsewhere.
    fn from(folder: FileRoot) -> Self {
        Library(Arc::new(Inner { folder, cache: None, places: BTreeMap::new(), kept: Arc::default() }))
    }
}

impl Library {
    /// The images folder of a configuration, and these origins behind its cache. What was fetched, what arrives, and how
    /// much was taken of a limit goes on from the library `before`. Blocks on the disk.
    ///
    /// # Errors
    /// When a folder cannot be used.
    pub fn build(
        config: &Config,
        origins: Vec<Arc<dyn Origin>>,
        before: Option<&Library>,
    ) -> Result<Library, Problems> {
        let mut problems = Problems::default();
        let folder = FileRoot::new(&config.images.folder).map_err(|error| {
            let what = format!("images.folder: cannot open {}: {error}", config.images.folder.display());
            problems.push(Problem::of_file(&config.file, what, "make the folder, or name another"));
        });
        let before_cache = before.and_then(|before| before.0.cache.clone());
        let cache = match before_cache.filter(|cache| *cache.section() == config.cache) {
            Some(cache) => Ok(Some(cache)),
            None if origins.is_empty() => Ok(None),
            None => Cache::open(&config.cache).map(Some).map_err(|error| {
                let remedy = "run this as root or as the account of the server, or name another folder in [cache]";
                problems.push(Problem::of_file(&config.file, format!("cache.folder: {error}"), remedy));
            }),
        };
        let place = |origin: Arc<dyn Origin>| {
            let name = origin.name().to_owned();
            let known = before.and_then(|before| before.0.places.get(&name));
            (name.clone(), Place::new(origin, limits_of(config, &name), known))
        };
        let places = origins.into_iter().map(place).collect();
        let kept = before.map(|before| Arc::clone(&before.0.kept)).unwrap_or_default();
        match (folder, cache) {
            (Ok(folder), Ok(cache)) => Ok(Library(Arc::new(Inner { folder, cache, places, kept }))),
            _ => Err(problems),
        }
    }

    /// The images folder.
    pub fn folder(&self) -> &FileRoot {
        &self.0.folder
    }

    /// The cache; none where nothing comes from elsewhere.
    pub fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }

    /// The names of its origins.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.0.places.keys().map(String::as_str)
    }

    /// Opens the file of this name. Bounded in time: one of an origin that is silent is an error soon.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be had.
    pub async fn open(&self, name: &FileName) -> Result<Content, OpenError> {
        if !is_of_origin(name) {
            return self.0.folder.open(name).await;
        }
        let (cache, place, file) = match self.place(name) {
            Ok(found) => found,
            Err(why) => {
                if self.0.kept.pace.take(Timestamp::now().as_second(), WARNINGS_PER_SECOND_MAX).is_free {
                    warn!(file = %name, why, "a file of nobody");
                }
                return Err(OpenError::NotFound);
            }
        };
        match cache.open_file(&place.origin, &place.pace, &file).await {
            Ok(content) => {
                self.0.kept.failing.invalidate(name);
                Ok(content)
            }
            Err(error) => Err(self.0.kept.error(name, error)),
        }
    }

    /// Fetches a file of an origin to its end, where it is not here.
    ///
    /// # Errors
    /// When it is no name of an origin's file, and when it cannot be had.
    pub async fn warm(&self, name: &FileName, progress: super::OnProgress<'_>) -> Result<super::Warmed, String> {
        if !is_of_origin(name) {
            return Err("only files of upstreams and storages are cached; their names begin with @NAME/".into());
        }
        let (cache, place, file) = self.place(name)?;
        let warmed = cache.warm(&place.origin, &place.pace, &file, progress).await;
        warmed.map_err(|error| error.to_string())
    }

    /// Whether a file is there, without fetching it.
    ///
    /// # Errors
    /// When it is not, and when its origin does not say.
    pub async fn look_for(&self, name: &FileName) -> Result<(), NotFound> {
        if !is_of_origin(name) {
            let opened = self.0.folder.open(name).await;
            return opened.map(drop).map_err(|error| NotFound::Missing(error.to_string()));
        }
        let (cache, place, file) = self.place(name).map_err(NotFound::Missing)?;
        let size_max = cache.section().size_max;
        match place.origin.describe(&file).await {
            Ok(found) if found.length > size_max => {
                Err(NotFound::Missing(CacheError::TooLarge { length: found.length, size_max }.to_string()))
            }
            Ok(_) => Ok(()),
            Err(error @ OriginError::NotFound) => Err(NotFound::Missing(error.to_string())),
            Err(error @ OriginError::Refused(_)) => Err(NotFound::Refused(error.to_string())),
            Err(error @ (OriginError::Changed | OriginError::Unreachable(_))) => {
                Err(NotFound::Unsure(error.to_string()))
            }
        }
    }

    /// What was done since the server started.
    pub fn numbers(&self) -> Numbers {
        let Some(cache) = &self.0.cache else { return Numbers::default() };
        let counts = cache.counts();
        let requests = vec![
            ("hit", counts.hits.saturating_sub(counts.stale)),
            ("miss", counts.misses),
            ("joined", counts.joined),
            ("stale", counts.stale),
            ("failed", self.0.kept.failed.load(Ordering::Relaxed)),
        ];
        let fetched = |(name, place): (&String, &Place)| (name.clone(), place.fetched.load(Ordering::Relaxed));
        Numbers { requests, fetched: self.0.places.iter().map(fetched).collect() }
    }

    /// The origin that a name with `@` leads to, and the file's name there; else why it leads nowhere.
    fn place(&self, name: &FileName) -> Result<(&Cache, &Place, FileName), String> {
        let rest = name.as_str().strip_prefix('@').unwrap_or_default();
        let (origin, file) = rest.split_once('/').unwrap_or((rest, ""));
        let (Some(place), Some(cache)) = (self.0.places.get(origin), &self.0.cache) else {
            return Err(self.no_origin(origin));
        };
        let file = file.parse().map_err(|_| format!("no file of `{origin}` is named; write @{origin}/FILE"))?;
        Ok((cache, place, file))
    }

    fn no_origin(&self, name: &str) -> String {
        let shown = nearest::cut(name);
        let known: Vec<&str> = self.origins().collect();
        match known.is_empty() {
            true => format!("there is no [upstream.{shown}] and no [storage.{shown}]; add one"),
            false => format!(
                "there is no [upstream.{shown}] that has files, and no [storage.{shown}]; {}",
                nearest::remedy(name, known)
            ),
        }
    }
}

impl Place {
    /// With what was counted and taken of the limit before.
    fn new(origin: Arc<dyn Origin>, limits: (Option<u64>, Vec<RateWindow>), known: Option<&Place>) -> Place {
        let fetched = known.map(|known| Arc::clone(&known.fetched)).unwrap_or_default();
        let pace = known.filter(|known| known.limits == limits).map(|known| Arc::clone(&known.pace));
        let pace = pace.unwrap_or_else(|| Arc::new(Pacer::new(limits.0, limits.1.clone())));
        Place { origin: Arc::new(Metered { origin, fetched: Arc::clone(&fetched) }), fetched, limits, pace }
    }
}

impl Default for Kept {
    fn default() -> Self {
        let failing = moka::sync::Cache::builder().max_capacity(FAILING_MAX).time_to_idle(FORGOTTEN_AFTER).build();
        Kept { failed: AtomicU64::new(0), pace: Pace::default(), failing }
    }
}

impl Kept {
    /// What a client is told.
    fn error(&self, name: &FileName, error: CacheError) -> OpenError {
        if error.is_not_found() {
            return OpenError::NotFound;
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        let why = error.to_string();
        let may_pass = match &error {
            CacheError::Origin { error: OriginError::Changed | OriginError::Unreachable(_), .. }
            | CacheError::Busy { .. }
            | CacheError::Interrupted => true,
            CacheError::Origin { .. }
            | CacheError::Digest { .. }
            | CacheError::Length { .. }
            | CacheError::TooLarge { .. }
            | CacheError::DiskFull
            | CacheError::Folder { .. } => false,
        };
        let since = self.failing.get_with(name.clone(), Instant::now);
        if may_pass && since.elapsed() < AGAIN_FOR { OpenError::NotNow(why) } else { OpenError::NotGiven(why) }
    }
}

fn is_of_origin(name: &FileName) -> bool {
    name.as_str().starts_with('@')
}

/// How fast may be fetched from an origin.
fn limits_of(config: &Config, name: &str) -> (Option<u64>, Vec<RateWindow>) {
    match (config.storages.get(name), config.upstreams.get(name)) {
        (Some(storage), _) => (storage.rate, storage.windows.clone()),
        (None, Some(upstream)) => (upstream.rate, upstream.windows.clone()),
        (None, None) => (None, Vec::new()),
    }
}

#[cfg(test)]
mod tests;
