//! This site gets its certificate from an upstream, for the token that the upstream's administrator was shown.
//!
//! The token names the upstream's CA by its fingerprint: that CA is the only one trusted, so that the token is told to
//! nobody else. The key is made here and never leaves. What is stored is `ca.pem`, `site.pem` and `site.key` in the folder
//! `upstream/NAME` of the state folder, where [`Upstreams::open`](super::Upstreams::open) looks for them.
//!
//! **Invariant**: nothing is sent before the CA is known to be the token's, and nothing is stored before the whole answer
//! was checked. A token is in no message.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::rand;
use reqwest::{ClientBuilder, Method};

use super::UpstreamError;
use super::client::{Client, base, root};
use super::enrolled::{Folder, Received};
use crate::api::{Enrolled, Enrollment, Health};
use crate::boot::Line;
use crate::config::Config;
use crate::hex;
use crate::tls::{Fingerprint, Identity, ServerFailure, TlsError, Trust, client_config, server_failure, site_request};

/// The token that a site enrolls with: `pm1.<secret>.<fingerprint of the CA>`, both in hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrollToken {
    text: String,
    authority: Fingerprint,
}

/// The text is no [`EnrollToken`]. It is not quoted: it may be a secret that was not copied whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no enrollment token; copy it whole, as `pointsman site add` at the upstream printed it: pm1.SECRET.FINGERPRINT"
)]
pub struct EnrollTokenError;

const SECRET_LEN: usize = 20;

impl EnrollToken {
    /// A new token for a CA with this fingerprint.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(authority: Fingerprint) -> io::Result<EnrollToken> {
        Ok(EnrollToken { text: format!("pm1.{}.{}", secret()?, hex::digits(&authority)), authority })
    }

    /// A new bearer token, which is none to enroll with.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn bearer() -> io::Result<String> {
        Ok(format!("pmb1.{}", secret()?))
    }

    /// The token as it is given to a person, and sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for EnrollToken {
    type Err = EnrollTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let parts: Vec<_> = text.splitn(4, '.').collect();
        let &["pm1", secret, authority] = parts.as_slice() else { return Err(EnrollTokenError) };
        let is_secret = hex::octets(secret).is_some_and(|octets| octets.len() == SECRET_LEN);
        let fingerprint = hex::octets(authority).and_then(|octets| Fingerprint::try_from(octets).ok());
        let Some(fingerprint) = fingerprint.filter(|_| is_secret) else { return Err(EnrollTokenError) };
        Ok(EnrollToken { text: text.to_ascii_lowercase(), authority: fingerprint })
    }
}

impl fmt::Debug for EnrollToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrollToken(..)")
    }
}

fn secret() -> io::Result<String> {
    let mut secret = [0; SECRET_LEN];
    rand::fill(&mut secret).map_err(|_| io::Error::other("the operating system has no random numbers"))?;
    Ok(hex::digits(&secret))
}

/// What a site needs to enroll.
#[derive(Clone, Debug)]
pub struct Enroll {
    /// What the configuration calls the upstream.
    pub upstream: String,
    /// Where its decision API is, e.g. `https://boot.example.com:4443`.
    pub url: String,
    /// The token.
    pub token: EnrollToken,
    /// The state folder.
    pub state: PathBuf,
    /// Whether the files of an earlier enrollment are replaced.
    pub force: bool,
    /// How long the upstream may take to answer.
    pub limit: Duration,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollee {
    /// The name that the upstream gave this site.
    pub site: Line,
    /// Where the files are.
    pub folder: PathBuf,
    /// What went wrong when the certificate was tried; the files are there all the same.
    pub doubt: Option<String>,
}

/// Why a site got no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The URL is none that a token may be sent to.
    #[error("`{0}` is no address of a decision API; write https://HOST:4443")]
    Url(String),
    /// The upstream's name is none, and would be no folder.
    #[error("`{0}` is no name for an upstream; use letters, digits, `_` and `-`")]
    Name(String),
    /// There are files already.
    #[error(
        "{} has the certificate of an earlier enrollment; `--force` replaces it", path.display()
    )]
    Exists {
        /// One of them.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot {doing} {}: {error}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The certificate there does not come from the CA of the token.
    #[error(
        "what answers at {0} does not have the CA that the token names: it is another server, or somebody is in between; \
         nothing was sent to it. Compare the URL with what `pointsman site add` printed"
    )]
    Impostor(String),
    /// The certificate there is for other names.
    #[error(
        "the certificate of {0} is for other names and addresses; use one of those, or add this one to `names` in [https] \
         of the upstream and reload it"
    )]
    WrongName(String),
    /// The certificate there is not good at this time.
    #[error("the certificate of {0} is not good at the time that this machine has; set its clock")]
    Clock(String),
    /// What answers there is no decision API.
    #[error("what answers at {url} is no decision API ({why}); is the port that of [api] of the upstream, 4443?")]
    NoApi {
        /// The URL.
        url: String,
        /// What was seen.
        why: String,
    },
    /// Nothing answers there.
    #[error(
        "{url} cannot be reached: {why}; is `enabled = true` in [api] of the upstream, and does the firewall let its port \
         through?"
    )]
    Unreachable {
        /// The URL.
        url: String,
        /// What the network says.
        why: String,
    },
    /// It took too long.
    #[error(
        "{url} did not answer within {} s; if it has taken the token by now, `pointsman site add` there makes a new one",
        limit.as_secs()
    )]
    TimedOut {
        /// The URL.
        url: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The upstream says no.
    #[error("the upstream says no: {0}")]
    Denied(String),
    /// The upstream's answer is no certificate for us.
    #[error("the answer of {url} makes no sense: {what}; `pointsman site add` there makes a new token")]
    Nonsense {
        /// The URL.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// The key cannot be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Gets this site's certificate and stores it.
///
/// # Errors
/// When the upstream cannot be reached, is another than the token's, or says no; or the files cannot be written.
pub async fn enroll(wanted: &Enroll) -> Result<Enrollee, EnrollError> {
    let url = wanted.url.trim();
    let base = base(url).filter(|base| base.scheme() == "https").ok_or_else(|| EnrollError::Url(clean(url)))?;
    // Whatever can be wrong here is found before the token is spent.
    if !Config::is_upstream_name(&wanted.upstream) {
        return Err(EnrollError::Name(clean(&wanted.upstream)));
    }
    let folder = Folder::prepare(&wanted.state, &wanted.upstream, wanted.force)?;
    let request = site_request()?;
    folder.put_key(&request.key_pem)?;
    let config = client_config(Trust::Fingerprint(wanted.token.authority), None)?;
    let http = builder(wanted).tls_backend_preconfigured(config).build();
    let http = http.map_err(|error| EnrollError::Nonsense { url: clean(url), what: root(&error) })?;
    let client = Client::with(&wanted.upstream, http, base.clone(), wanted.limit / 2);
    let message = Enrollment { token: wanted.token.text.clone(), request: request.request_pem };
    let asked = tokio::time::timeout(wanted.limit, ask(&client, &message, wanted)).await;
    let enrolled = asked.unwrap_or_else(|_| Err(EnrollError::TimedOut { url: clean(url), limit: wanted.limit }))?;
    let nonsense = |what: &str| EnrollError::Nonsense { url: clean(url), what: what.to_owned() };
    let received = Received::read(&enrolled.certificate, &wanted.token.authority).map_err(nonsense)?;
    let identity = Identity::from_pem(&received.chain_pem, &request.key_pem)?;
    let trusting = client_config(Trust::Ca(received.authority_pem.clone()), Some(identity));
    let config = trusting.map_err(|_| nonsense("its certificate is for another key"))?;
    let path = folder.finish(&received)?;
    let http = builder(wanted).tls_backend_preconfigured(config).build();
    let doubt = match http.map(|http| Client::with(&wanted.upstream, http, base, wanted.limit / 2)) {
        Ok(client) => try_out(&client, &enrolled.site, wanted.limit).await.err(),
        Err(error) => Some(root(&error)),
    };
    Ok(Enrollee { site: enrolled.site, folder: path, doubt })
}

fn builder(wanted: &Enroll) -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(wanted.limit / 2)
}

async fn ask(client: &Client, message: &Enrollment, wanted: &Enroll) -> Result<Enrolled, EnrollError> {
    let url = clean(wanted.url.trim());
    let post = client.request(Method::POST, client.url(["api", "v1", "enroll"])).json(message);
    let response = match post.send().await {
        Ok(response) => response,
        Err(error) => {
            return Err(match server_failure(&error) {
                Some(ServerFailure::Untrusted) => EnrollError::Impostor(url),
                Some(ServerFailure::WrongName) => EnrollError::WrongName(url),
                Some(ServerFailure::OutOfTime) => EnrollError::Clock(url),
                Some(ServerFailure::NotTls) => EnrollError::NoApi { url, why: "it speaks no TLS".into() },
                Some(ServerFailure::Refused) | None if error.is_connect() => {
                    EnrollError::Unreachable { url, why: root(&error) }
                }
                Some(ServerFailure::Refused) | None => EnrollError::Nonsense { url, what: root(&error) },
            });
        }
    };
    client.read(response, wanted.limit).await.map_err(|error| match error {
        UpstreamError::Denied { problem, .. } => EnrollError::Denied(problem),
        UpstreamError::Rejected { status: status @ (404 | 405), .. } => {
            EnrollError::NoApi { url, why: format!("HTTP {status}") }
        }
        UpstreamError::Rejected { problem, .. }
        | UpstreamError::Failed { problem, .. }
        | UpstreamError::Refused { problem, .. } => EnrollError::Denied(problem),
        UpstreamError::TimedOut { limit, .. } => EnrollError::TimedOut { url, limit },
        error => EnrollError::Nonsense { url, what: error.what() },
    })
}

/// Asks the upstream who we are, with the new certificate.
async fn try_out(client: &Client, site: &Line, limit: Duration) -> Result<(), String> {
    let health: Option<Health> =
        client.get(client.url(["api", "v1", "health"]), limit).await.map_err(|error| error.what())?;
    match health.and_then(|health| health.site) {
        Some(known) if known == *site => Ok(()),
        Some(known) => Err(format!("it takes this site for `{known}`")),
        None => Err("it does not know the certificate that it gave".into()),
    }
}

fn clean(url: &str) -> String {
    Line::clean(crate::nearest::cut(url)).to_string()
}
