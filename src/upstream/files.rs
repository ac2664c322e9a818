//! An upstream's images folder as an origin of files.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use reqwest::header::{CONTENT_RANGE, IF_MATCH, RANGE};
use reqwest::{Method, RequestBuilder, Response, Url};

use super::client::{Client, header, next};
use super::{Upstream, UpstreamError};
use crate::api::Digest;
use crate::boot::FileName;
use crate::cache::{Octets, Origin, OriginError, RemoteFile, Sha256};

/// How long nothing may come of a file.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How long a digest may take: as long as it takes to read the largest image from a slow disk. A peer that is gone is
/// noticed before by its connection.
const DIGEST_TIME_MAX: Duration = Duration::from_secs(30 * 60);
/// The longest tag of a version, in octets.
const TAG_LEN_MAX: usize = 256;

#[async_trait]
impl Origin for Upstream {
    fn name(&self) -> &str {
        Upstream::name(self)
    }

    async fn describe(&self, file: &FileName) -> Result<RemoteFile, OriginError> {
        let limit = self.section().boot_images_limit;
        let place = self.place(&self.inner.descriptions, limit).await;
        let (_place, limit) = place.map_err(|error| OriginError::Unreachable(error.to_string()))?;
        let response =
            self.asked(limit, async |client| Ok(client.request(Method::HEAD, url(client, FILES, file)))).await?;
        let tag = tag(&response).ok_or_else(|| nonsense("a file without a strong ETag"))?;
        let length = header(response.headers(), "content-length").and_then(|length| length.parse().ok());
        Ok(RemoteFile { length: length.ok_or_else(|| nonsense("a file without its length"))?, tag })
    }

    async fn read(&self, file: &FileName, tag: &str, from: u64) -> Result<Octets, OriginError> {
        let limit = self.section().connect_limit + STALL_MAX;
        let response = self
            .asked(limit, async |client| {
                let request = client.request(Method::GET, url(client, FILES, file)).header(IF_MATCH, tag);
                Ok(if from == 0 { request } else { request.header(RANGE, format!("bytes={from}-")) })
            })
            .await?;
        let is_this = self::tag(&response).is_none_or(|sent| sent == tag);
        if !is_this {
            return Err(OriginError::Changed);
        }
        let begins = header(response.headers(), CONTENT_RANGE.as_str())
            .map(|range| range.starts_with(&format!("bytes {from}-")));
        match (response.status().as_u16(), begins) {
            (200, _) if from == 0 => {}
            (206, Some(true)) => {}
            (status, _) => return Err(nonsense(&format!("HTTP {status} instead of the rest of the file"))),
        }
        Ok(pieces(response))
    }

    async fn digest(&self, file: &FileName, tag: &str) -> Result<Option<Sha256>, OriginError> {
        let response = self
            .asked(DIGEST_TIME_MAX, async |client| {
                Ok(client.request(Method::GET, url(client, DIGESTS, file)).header(IF_MATCH, tag))
            })
            .await?;
        let mut body = Vec::new();
        let mut response = response;
        while let Some(piece) = next(&mut response, STALL_MAX).await.map_err(OriginError::Unreachable)? {
            body.extend_from_slice(&piece);
            if body.len() > DIGEST_LEN_MAX {
                return Err(nonsense("a digest without an end"));
            }
        }
        let read = serde_json::from_slice::<Digest>(&body).map_err(|error| nonsense(&error.to_string()))?;
        read.sha256.parse().map(Some).map_err(|error| nonsense(&format!("{error}")))
    }
}

const FILES: [&str; 3] = ["api", "v1", "files"];
const DIGESTS: [&str; 3] = ["api", "v1", "digests"];
/// The longest answer with a digest, in octets.
const DIGEST_LEN_MAX: usize = 4096;

fn url(client: &Client, below: [&'static str; 3], file: &FileName) -> Url {
    client.url(below.into_iter().chain(file.components()))
}

impl Upstream {
    /// Sends a request about a file; the response once it begins, where it says yes.
    async fn asked(
        &self,
        limit: Duration,
        request: impl AsyncFnOnce(&Client) -> Result<RequestBuilder, UpstreamError>,
    ) -> Result<Response, OriginError> {
        let asked = self.guarded(true, async |client| {
            let request = request(client).await?;
            let sent = async {
                let response = request.send().await.map_err(|error| client.broken(&error, limit))?;
                Ok(match response.status().as_u16() {
                    200 | 206 => Ok(response),
                    404 => Err(OriginError::NotFound),
                    412 | 416 => Err(OriginError::Changed),
                    // The answer to HEAD says no more than that.
                    status @ (401 | 403) => Err(OriginError::Refused(format!(
                        "{} (HTTP {status}); `pointsman check` asks whether it knows this site",
                        client.problem(response).await
                    ))),
                    // What is wrong with one file says nothing of the upstream.
                    _ => Err(OriginError::Unreachable(client.no(response).await.to_string())),
                })
            };
            client.within(limit, sent).await
        });
        asked.await.map_err(|error| OriginError::Unreachable(error.to_string()))?
    }
}

fn nonsense(what: &str) -> OriginError {
    OriginError::Unreachable(format!("it answers with {what}"))
}

/// The tag of a version, as it is sent: in its quotes.
fn tag(response: &Response) -> Option<String> {
    let tag = header(response.headers(), "etag")?;
    let is_strong = tag.len() > 2 && tag.len() <= TAG_LEN_MAX && tag.starts_with('"') && tag.ends_with('"');
    (is_strong && tag.bytes().all(|byte| byte.is_ascii_graphic())).then(|| tag.to_owned())
}

/// The octets of a response as they come.
fn pieces(response: Response) -> Octets {
    stream::unfold(Some(response), |response| async move {
        let mut response = response?;
        match next(&mut response, STALL_MAX).await {
            Ok(Some(piece)) => Some((Ok(piece), Some(response))),
            Ok(None) => None,
            Err(why) => Some((Err(OriginError::Unreachable(why)), None)),
        }
    })
    .boxed()
}
