//! The decision API on loopback: real TLS, certificates of a CA of the test, and an oracle that says what the test wants.

mod answers;
mod content;
mod hostile;
mod openapi;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

use super::*;
use crate::api::{ClientFacts, Enrolled, NetworkFacts, Problem, Question as Asked, Stamp};
use crate::boot::SessionId;
use crate::http::{ApiState, Credential, EnrollError, Sites, Standing, Unavailable};
use crate::tls::{Authority, ensure_ca, site_request};

/// What the test wants the upstream to say, and what it was asked.
#[derive(Default)]
struct Oracle {
    verdict: Mutex<Option<Verdict>>,
    images: Mutex<Option<BootImages>>,
    is_silent: Mutex<bool>,
    asked: Mutex<Vec<BootRequest>>,
    told: Mutex<Vec<(BootRequest, BootEvent)>>,
    objection: Mutex<Option<HandlerError>>,
    seen: Mutex<Vec<(BootRequest, BootEvent)>>,
}

impl Oracle {
    async fn note(&self, request: &BootRequest) {
        self.asked.lock().unwrap().push(request.clone());
        let is_silent = *self.is_silent.lock().unwrap();
        if is_silent {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl RequestHandler for Oracle {
    fn name(&self) -> &str {
        "oracle"
    }

    async fn allow_boot(&self, request: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        self.note(request).await;
        Ok(self.verdict.lock().unwrap().clone().map_or(Answer::Pass, Answer::Given))
    }

    async fn boot_images(&self, request: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        self.note(request).await;
        Ok(self.images.lock().unwrap().clone().map_or(Answer::Pass, Answer::Given))
    }

    async fn boot_event(&self, request: &BootRequest, event: &BootEvent) -> Result<(), HandlerError> {
        self.told.lock().unwrap().push((request.clone(), event.clone()));
        self.objection.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl Observer for Oracle {
    fn decided(&self, _: Question, _: &BootRequest, _: &BootDecision) {}

    fn happened(&self, request: &BootRequest, event: &BootEvent) {
        self.seen.lock().unwrap().push((request.clone(), event.clone()));
    }
}

/// The sites that the test knows: by certificate, or by the token that is their name.
struct Known {
    certificates: Mutex<HashMap<[u8; 32], Standing>>,
    authority: Arc<Authority>,
}

#[async_trait]
impl Sites for Known {
    async fn find(&self, credential: &Credential) -> Result<Option<Standing>, Unavailable> {
        Ok(match credential {
            Credential::Certificate(fingerprint) => self.certificates.lock().unwrap().get(fingerprint).cloned(),
            Credential::Bearer(token) if token.starts_with("token of ") => {
                Some(Standing { site: token["token of ".len()..].into(), is_revoked: false })
            }
            Credential::Bearer(_) => None,
        })
    }

    async fn enroll(&self, token: &str, request: &str, _: Timestamp) -> Result<Enrolled, EnrollError> {
        if token != "pm1.good" {
            return Err(EnrollError::Token("is not known".into()));
        }
        let issued = self.authority.issue_site("lyon", request).map_err(|e| EnrollError::Request(e.to_string()))?;
        Ok(Enrolled { site: Line::clean("lyon"), certificate: issued.chain_pem })
    }
}

/// A site server's certificate and key.
struct SiteIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    fingerprint: [u8; 32],
}

fn identity_of(authority: &Authority, site: &str) -> SiteIdentity {
    let request = site_request().unwrap();
    let issued = authority.issue_site(site, &request.request_pem).unwrap();
    let fingerprint: crate::cache::Sha256 = issued.fingerprint.parse().unwrap();
    SiteIdentity {
        chain: CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes()).map(Result::unwrap).collect(),
        key: PrivateKeyDer::from_pem_slice(request.key_pem.as_bytes()).unwrap(),
        fingerprint: fingerprint.0,
    }
}

type Peer = Wire<TlsStream<TcpStream>>;

/// An upstream with its API.
struct Upstream {
    address: SocketAddr,
    oracle: Arc<Oracle>,
    metrics: Arc<Metrics>,
    known: Arc<Known>,
    authority: Arc<Authority>,
    images: tempfile::TempDir,
    _state: tempfile::TempDir,
    stop: CancellationToken,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Upstream {
    async fn start() -> Upstream {
        let (images, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(images.path().join("debian")).unwrap();
        std::fs::write(images.path().join("debian/linux"), "kernel").unwrap();
        std::fs::write(images.path().join("big"), big_file()).unwrap();
        let authority = Arc::new(ensure_ca(folder.path()).unwrap());
        let identity = authority.identity(&[], &["127.0.0.1".parse().unwrap()], Timestamp::now()).unwrap();
        let acceptor = tls::Acceptor::for_sites(&identity, &authority).unwrap();
        let oracle = Arc::new(Oracle::default());
        let limit = Duration::from_millis(200);
        let limits = TimeLimits { allow_boot: limit, boot_images: limit, ..TimeLimits::default() };
        let policy = Policy { limits, ..Policy::default() };
        let world = World {
            handlers: vec![Arc::clone(&oracle) as _],
            policy,
            site: "upstream's own".into(),
            keys: Default::default(),
            quirks: Default::default(),
        };
        let engine = DecisionEngine::new(world, Sessions::new(TokenKey::new(&[3; 32]), 100));
        let engine = Arc::new(engine.observed(Arc::clone(&oracle) as _));
        let metrics = Arc::new(Metrics::default());
        let known = Arc::new(Known { certificates: Mutex::default(), authority: Arc::clone(&authority) });
        let site = Arc::new(TestSite(
            FileRoot::new(images.path()).unwrap().into(),
            String::new(),
            Arc::default(),
            Arc::default(),
        ));
        let state = ApiState::new(engine, site, Arc::clone(&known) as _, Arc::clone(&metrics));
        let server = Server::of_api(state, Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(server.serve(listener, Some(acceptor), stop.clone()));
        Upstream { address, oracle, metrics, known, authority, images, _state: folder, stop }
    }

    /// A certificate of a site that the upstream knows.
    fn enrolled(&self, site: &str) -> SiteIdentity {
        let identity = identity_of(&self.authority, site);
        self.stands(&identity, Some(Standing { site: site.into(), is_revoked: false }));
        identity
    }

    fn stands(&self, identity: &SiteIdentity, standing: Option<Standing>) {
        let mut certificates = self.known.certificates.lock().unwrap();
        match standing {
            Some(standing) => certificates.insert(identity.fingerprint, standing),
            None => certificates.remove(&identity.fingerprint),
        };
    }

    /// A connection with this certificate, or with none.
    async fn connect(&self, identity: Option<&SiteIdentity>) -> io::Result<Peer> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.der().to_vec())).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some(SiteIdentity { chain, key, .. }) => {
                config.with_client_auth_cert(chain.clone(), key.clone_key()).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::from(self.address.ip());
        Ok(Wire::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }

    /// A site that the upstream knows, connected.
    async fn site(&self, name: &str) -> Peer {
        self.connect(Some(&self.enrolled(name))).await.unwrap()
    }

    fn says(&self, verdict: Option<Verdict>, images: Option<BootImages>) {
        *self.oracle.verdict.lock().unwrap() = verdict;
        *self.oracle.images.lock().unwrap() = images;
    }

    fn count(&self, outcome: &str) -> u64 {
        let line = format!("pointsman_api_requests_total{{outcome=\"{outcome}\"}} ");
        let text = self.metrics.text();
        text.lines().find_map(|text| text.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }
}

impl Peer {
    async fn post(&mut self, path: &str, message: &impl Serialize) -> Reply {
        self.post_text(path, &serde_json::to_string(message).unwrap(), "").await
    }

    async fn post_text(&mut self, path: &str, text: &str, fields: &str) -> Reply {
        let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n{fields}", text.len());
        self.write(&format!("POST /api/v1/{path} HTTP/1.1\r\nHost: x\r\n{head}\r\n{text}")).await;
        self.reply(false).await.unwrap()
    }

    async fn get(&mut self, path: &str, fields: &str) -> Reply {
        self.ask("GET", &format!("/api/v1/{path}"), fields).await
    }
}

impl Reply {
    fn code(&self) -> u16 {
        self.status.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[track_caller]
    fn json<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.field("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    #[track_caller]
    fn problem(&self) -> String {
        self.json::<Problem>().problem.to_string()
    }
}

/// A machine's question, new each time.
fn question(session: u8, stage: Stage) -> Asked {
    let client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
    Asked {
        stamp: stamp(0),
        session: SessionId([session; 6]),
        stage,
        client: ClientFacts::from(&client),
        network: NetworkFacts { interface: Line::clean("eth0"), ..NetworkFacts::default() },
        machine: BTreeMap::new(),
        person: None,
        asks: false,
    }
}

fn stamp(ahead_s: i64) -> Stamp {
    Stamp { id: Uuid::new_v4(), at: Timestamp::now() + SignedDuration::from_secs(ahead_s) }
}

fn image(id: &str, assignment: Option<&str>, source: &str) -> BootImages {
    let kind = ImageKind::Chain { source: source.parse().unwrap() };
    let image = BootImage {
        id: id.into(),
        title: Line::clean(id),
        assignment: assignment.map(Into::into),
        verify: None,
        choice: Default::default(),
        kind,
    };
    BootImages::new(vec![image], None).unwrap()
}
