//! Images in S3-compatible object storage: `[storage.NAME]`.
//!
//! A version is named by its ETag, or by the version that the service keeps. The digest of an object is in its metadata
//! (`x-amz-meta-sha256`), or in a second object beside it, `NAME.sha256`, as `sha256sum` writes it.
//!
//! **Invariant**: the secret of the access key is in no message, no log line and no `Debug` output; every wait is bounded.

mod checksum;
mod client;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Attribute, BackoffConfig, Error, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, RetryConfig,
};

use crate::boot::{FileName, Line};
use crate::cache::{Octets, Origin, OriginError, RemoteFile, Sha256};
use crate::config::{Config, Problem, Problems, StorageSection};

/// How long a service may take to say what an object is, repetitions included.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a service may send nothing in the middle of an object.
const STALL_TIME_MAX: Duration = Duration::from_secs(30);
/// Questions that fail on the way are asked again, so many times.
const RETRIES_MAX: usize = 1;
/// A service that did not answer is not asked again for this long: a machine that loads ten files waits once.
const REST: Duration = Duration::from_secs(5);
/// The longest `NAME.sha256` that is read, in octets.
const CHECKSUM_LEN_MAX: usize = 64 * 1024;
/// The longest tag of a version, in octets.
const TAG_LEN_MAX: usize = 256;
/// A tag that is a version, and not an ETag, begins with this; an ETag begins with a quotation mark.
const VERSION: &str = "version ";

/// All storages of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Storages(Vec<Arc<Storage>>);

impl Storages {
    /// Reads the keys and CAs that the storages name; connects to none of them.
    ///
    /// # Errors
    /// Every file that cannot be read or is not what it must be.
    pub fn open(config: &Config) -> Result<Storages, Problems> {
        let mut problems = Problems::default();
        let mut storages = Vec::new();
        for (name, section) in &config.storages {
            match Storage::open(name, section) {
                Ok(storage) => storages.push(Arc::new(storage)),
                Err((what, remedy)) => {
                    problems.push(Problem::of_file(&config.file, format!("storage.{name}{what}"), remedy));
                }
            }
        }
        if problems.is_empty() { Ok(Storages(storages)) } else { Err(problems) }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Storage>> {
        self.0.iter()
    }
}

/// One `[storage.NAME]`.
pub struct Storage {
    name: String,
    folder: Option<FileName>,
    /// The id of the access key, for messages; its secret is in `service` only.
    access_key: Option<String>,
    service: AmazonS3,
    limits: Limits,
    /// Since when it does not answer, and why.
    silent: Mutex<Option<(Instant, String)>>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    answer: Duration,
    stall: Duration,
    rest: Duration,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Storage {
    /// What is wrong with the section, from its key on, and what to do.
    fn open(name: &str, section: &StorageSection) -> Result<Storage, (String, String)> {
        let (bucket, folder) = section.place().ok_or_else(|| {
            (format!(".url: `{}` is no place in object storage", section.url), "write s3://BUCKET/FOLDER".to_owned())
        })?;
        let needs_tls = section.endpoint.as_deref().is_none_or(|endpoint| endpoint.starts_with("https://"));
        let http = client::client(section.ca.as_deref(), needs_tls)
            .map_err(|what| (format!(".ca: {what}"), "name a PEM file with the CA of the service".to_owned()))?;
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(http)
            .with_bucket_name(bucket)
            .with_region(&section.region)
            .with_retry(retries())
            // A bucket with a dot in its name fits no certificate; own services seldom have names for their buckets.
            .with_virtual_hosted_style_request(section.endpoint.is_none() && !bucket.contains('.'));
        if let Some(endpoint) = &section.endpoint {
            if reqwest::Url::parse(endpoint).is_err() {
                return Err((
                    format!(".endpoint: `{endpoint}` is no address of a web server"),
                    "write https://HOST".into(),
                ));
            }
            builder = builder.with_endpoint(endpoint.trim_end_matches('/')).with_allow_http(true);
        }
        let builder = match (&section.access_key, &section.secret_key_file) {
            (Some(id), Some(file)) => builder.with_access_key_id(id).with_secret_access_key(secret(file)?),
            _ => builder.with_skip_signature(true),
        };
        let service = builder.build().map_err(|error| (format!(": {error}"), "correct the section".to_owned()))?;
        let limits = Limits { answer: ANSWER_TIME_MAX, stall: STALL_TIME_MAX, rest: REST };
        let (name, access_key) = (name.to_owned(), section.access_key.clone());
        Ok(Storage { name, folder, access_key, service, limits, silent: Mutex::default() })
    }

    /// Where an object is.
    fn path(&self, file: &str) -> Result<Path, OriginError> {
        let folder = self.folder.as_ref().map(|folder| format!("{folder}/")).unwrap_or_default();
        Path::parse(format!("{folder}{file}")).map_err(|_| OriginError::NotFound)
    }

    /// Waits for an answer, and no longer than the limit; not at all while the service rests.
    async fn answer<T>(&self, asked: impl Future<Output = object_store::Result<T>>) -> Result<T, OriginError> {
        if let Some((since, why)) = self.silent().clone()
            && since.elapsed() < self.limits.rest
        {
            return Err(OriginError::Unreachable(why));
        }
        let (answer, is_silence) = match tokio::time::timeout(self.limits.answer, asked).await {
            Ok(Ok(answer)) => (Ok(answer), false),
            Ok(Err(error)) => (Err(self.error(&error)), client::is_silence(&error)),
            Err(_) => {
                let why = format!("no answer within {} s", self.limits.answer.as_secs_f32());
                (Err(OriginError::Unreachable(why)), true)
            }
        };
        *self.silent() = match &answer {
            Err(OriginError::Unreachable(why)) if is_silence => Some((Instant::now(), why.clone())),
            _ => None,
        };
        answer
    }

    fn silent(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a version of an object; another version is an error, also where the service does not look at the
    /// condition.
    async fn version(&self, file: &FileName, tag: &str, options: GetOptions) -> Result<GetResult, OriginError> {
        let options = match tag.strip_prefix(VERSION) {
            Some(version) => GetOptions { version: Some(version.to_owned()), ..options },
            None => GetOptions { if_match: Some(tag.to_owned()), ..options },
        };
        let path = self.path(file.as_str())?;
        let answer = self.answer(self.service.get_opts(&path, options)).await?;
        if tag_of(&answer.meta).as_deref() == Some(tag) { Ok(answer) } else { Err(OriginError::Changed) }
    }

    /// What stands in `NAME.sha256`; none where there is no such object.
    async fn checksum(&self, file: &FileName) -> Result<Option<Sha256>, OriginError> {
        let path = self.path(&format!("{file}.sha256"))?;
        let asked = async {
            let mut stream = self.service.get_opts(&path, GetOptions::default()).await?.into_stream();
            let mut text = Vec::new();
            while let Some(part) = stream.next().await {
                text.extend_from_slice(&part?);
                if text.len() > CHECKSUM_LEN_MAX {
                    return Ok(None);
                }
            }
            Ok(Some(text))
        };
        let text = match self.answer(asked).await {
            Err(OriginError::NotFound) => return Ok(None),
            answer => answer?.unwrap_or_default(),
        };
        match checksum::find(&String::from_utf8_lossy(&text), file) {
            Some(digest) => Ok(Some(digest)),
            // Somebody meant the file to be checked.
            None => Err(OriginError::Refused(format!(
                "the object {file}.sha256 has no SHA-256 of {}; write it with `sha256sum`, or delete it",
                file.last()
            ))),
        }
    }

    fn error(&self, error: &Error) -> OriginError {
        match error {
            Error::NotFound { .. } => OriginError::NotFound,
            Error::Precondition { .. } | Error::NotModified { .. } => OriginError::Changed,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => OriginError::Refused(self.refused()),
            error => {
                // It may hold what the service sent: a page, or worse.
                let text = Line::clean(&client::in_words(error));
                OriginError::Unreachable(text.as_str().chars().take(300).collect())
            }
        }
    }

    /// The service says no; it does not say why when it is asked what an object is.
    fn refused(&self) -> String {
        let name = &self.name;
        match &self.access_key {
            Some(key) => format!(
                "access with storage.{name}.access_key = \"{key}\" is denied; look at the key, at its secret in \
                 secret_key_file, and whether it may read and list the bucket"
            ),
            None => format!(
                "access without a key is denied; add access_key and secret_key_file to [storage.{name}], or let \
                 everybody read and list the bucket"
            ),
        }
    }
}

#[async_trait]
impl Origin for Storage {
    fn name(&self) -> &str {
        &self.name
    }

    async fn describe(&self, file: &FileName) -> Result<RemoteFile, OriginError> {
        let path = self.path(file.as_str())?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        let meta = self.answer(self.service.get_opts(&path, options)).await?.meta;
        let tag = tag_of(&meta).ok_or_else(|| {
            OriginError::Refused(
                "it gives objects neither an ETag nor a version, so that a change would go unseen".into(),
            )
        })?;
        Ok(RemoteFile { length: meta.size, tag })
    }

    async fn read(&self, file: &FileName, tag: &str, from: u64) -> Result<Octets, OriginError> {
        // Nothing has no first octet: an empty object has no range.
        let range = (from > 0).then_some(GetRange::Offset(from));
        let answer = self.version(file, tag, GetOptions { range, ..GetOptions::default() }).await?;
        Ok(bounded(answer.into_stream(), self.limits.stall))
    }

    async fn digest(&self, file: &FileName, tag: &str) -> Result<Option<Sha256>, OriginError> {
        let described = self.version(file, tag, GetOptions { head: true, ..GetOptions::default() }).await?;
        let metadata = described.attributes.get(&Attribute::Metadata("sha256".into()));
        match metadata.map(|value| value.trim().parse()) {
            Some(Ok(digest)) => Ok(Some(digest)),
            Some(Err(error)) => Err(OriginError::Refused(format!(
                "the metadata x-amz-meta-sha256 of {file} is wrong: {error}; correct it, or remove it"
            ))),
            None => self.checksum(file).await,
        }
    }
}

/// A stream that fails when nothing comes for a while, and ends with its first error.
fn bounded(stream: BoxStream<'static, object_store::Result<Bytes>>, stall: Duration) -> Octets {
    let next = move |stream: Option<BoxStream<'static, object_store::Result<Bytes>>>| async move {
        let mut stream = stream?;
        match tokio::time::timeout(stall, stream.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(octets))) => Some((Ok(octets), Some(stream))),
            Ok(Some(Err(error))) => {
                let text: String = Line::clean(&client::in_words(&error)).as_str().chars().take(300).collect();
                Some((Err(OriginError::Unreachable(text)), None))
            }
            Err(_) => {
                let text = format!("nothing came for {} s", stall.as_secs_f32());
                Some((Err(OriginError::Unreachable(text)), None))
            }
        }
    };
    stream::unfold(Some(stream), next).boxed()
}

/// What names the version: the ETag, unless it is a weak one, which two versions may share.
fn tag_of(meta: &ObjectMeta) -> Option<String> {
    let etag = meta.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
    let version = || meta.version.as_ref().map(|version| format!("{VERSION}{version}"));
    etag.or_else(version).filter(|tag| !tag.is_empty() && tag.len() <= TAG_LEN_MAX)
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: RETRIES_MAX,
        retry_timeout: ANSWER_TIME_MAX,
    }
}

/// The first line of the file.
fn secret(file: &std::path::Path) -> Result<String, (String, String)> {
    let problem = |what: String| (format!(".secret_key_file: {}: {what}", file.display()), SECRET_REMEDY.to_owned());
    let text = std::fs::read_to_string(file).map_err(|error| problem(error.to_string()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    let is_secret = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic());
    if is_secret { Ok(line.to_owned()) } else { Err(problem("its first line is no secret of an access key".into())) }
}

const SECRET_REMEDY: &str =
    "write the secret of the access key into the file, as one line that only the server can read";

#[cfg(test)]
mod tests;
