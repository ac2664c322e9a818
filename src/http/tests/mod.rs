//! A server on loopback, its rules set by the test, and a client that speaks octets.

mod api;
mod arriving;
mod hostile;
mod ready;
mod reports;
mod routes;

use std::collections::HashMap;
use std::io;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::boot::{Architecture, BootDecision, BootImage, BootImages, BootRequest, ImageKind, Line, Stage, Verdict};
use crate::cache::Library;
use crate::decision::{
    Answer, BootEvent, HandlerError, Observer, Policy, Question, RequestHandler, Sessions, TimeLimits, TokenKey, World,
};
use crate::files::FileRoot;
use crate::tls;

/// Longer than anything that works takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
const BIG: usize = 9 * 1024 * 1024 + 12_345;

/// Rules that a test sets.
struct Rules {
    verdict: Mutex<Verdict>,
    pending: Mutex<Option<tokio::sync::oneshot::Receiver<()>>>,
    /// What is booted, where it is not the one image.
    images: Mutex<Option<BootImages>>,
    /// What the handler is told, and what it says to it.
    told: Mutex<Vec<BootEvent>>,
    objection: Mutex<Option<HandlerError>>,
    /// What the observer is told.
    seen: Mutex<Vec<BootEvent>>,
}

#[async_trait]
impl RequestHandler for Rules {
    fn name(&self) -> &str {
        "rules"
    }

    async fn allow_boot(&self, _: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        Ok(Answer::Given(self.verdict.lock().unwrap().clone()))
    }

    async fn boot_images(&self, request: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        let pending = self.pending.lock().unwrap().take();
        if let Some(pending) = pending {
            let _ = pending.await;
        }
        if let Some(images) = self.images.lock().unwrap().clone() {
            return Ok(Answer::Given(images));
        }
        let title = Line::clean(request.machine.get("serial").unwrap_or("no serial"));
        let image = BootImage {
            id: "one".into(),
            title,
            assignment: None,
            verify: None,
            choice: Default::default(),
            kind: ImageKind::Chain { source: "next.ipxe".parse().unwrap() },
        };
        Ok(Answer::Given(BootImages::new(vec![image], None).unwrap()))
    }

    async fn boot_event(&self, _: &BootRequest, event: &BootEvent) -> Result<(), HandlerError> {
        self.told.lock().unwrap().push(event.clone());
        self.objection.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl Observer for Rules {
    fn decided(&self, _: Question, _: &BootRequest, _: &BootDecision) {}

    fn happened(&self, _: &BootRequest, event: &BootEvent) {
        self.seen.lock().unwrap().push(event.clone());
    }
}

struct TestSite(Library, String, Arc<Mutex<Vec<Dependency>>>, Arc<Mutex<Option<Content>>>);

#[async_trait::async_trait]
impl Site for TestSite {
    fn images(&self) -> Library {
        self.0.clone()
    }

    fn loader(&self, _: &Client, name: &FileName) -> Option<Content> {
        match name.as_str() {
            "snponly.efi" => Some(Content::from_bytes("MZ loader")),
            "arriving.efi" => self.3.lock().unwrap().clone(),
            _ => None,
        }
    }

    fn urls(&self, _: &Session, via: &Connection) -> SessionUrls {
        let scheme = if via.secure { "https" } else { "http" };
        format!("{scheme}://{}/b/{}/", via.local, self.1).parse().unwrap()
    }

    fn authority(&self) -> Option<Bytes> {
        Some(Bytes::from_static(b"-----BEGIN CERTIFICATE-----\n"))
    }

    fn dependencies(&self) -> Vec<Dependency> {
        self.2.lock().unwrap().clone()
    }
}

/// A server on a port of its own, with one client that has begun to boot.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    token: String,
    rules: Arc<Rules>,
    databases: Arc<Mutex<Vec<Dependency>>>,
    /// The loader `arriving.efi`.
    arriving: Arc<Mutex<Option<Content>>>,
    images: tempfile::TempDir,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A file that is larger than those kept in memory, without any stretch that comes twice.
pub(crate) fn big_file() -> &'static [u8] {
    static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        (0..BIG.div_ceil(4) as u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).take(BIG).collect()
    });
    &FILE
}

impl Running {
    pub(crate) async fn start(limits: Limits, tls: Option<tls::Acceptor>) -> Running {
        let images = tempfile::tempdir().unwrap();
        for (name, octets) in [
            ("debian/linux", b"kernel".to_vec()),
            ("boot.efi", b"MZ".to_vec()),
            ("disk.iso", b"iso".to_vec()),
            ("disk.IMG", b"img".to_vec()),
            ("empty", Vec::new()),
            ("a b ü", b"odd".to_vec()),
            ("big", big_file().to_vec()),
        ] {
            let path = images.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, octets).unwrap();
        }
        let rules = Arc::new(Rules {
            verdict: Mutex::new(Verdict::allow()),
            pending: Mutex::default(),
            images: Mutex::default(),
            told: Mutex::default(),
            objection: Mutex::default(),
            seen: Mutex::default(),
        });
        let limit = Duration::from_millis(50);
        let limits_of_engine = TimeLimits { boot_images: limit, ..TimeLimits::default() };
        let policy = Policy { limits: limits_of_engine, ..Policy::default() };
        let world = World {
            handlers: vec![Arc::clone(&rules) as _],
            policy,
            site: "".into(),
            keys: Default::default(),
            quirks: Default::default(),
        };
        let engine = DecisionEngine::new(world, Sessions::new(TokenKey::new(&[3; 32]), 100));
        let engine = Arc::new(engine.observed(Arc::clone(&rules) as _));
        let client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
        let session = engine.session_for(&client, 1, Stage::Discover, Timestamp::now());
        let metrics = Arc::new(Metrics::default());
        let token = engine.sessions().token(&session, true, Timestamp::now());
        let databases: Arc<Mutex<Vec<Dependency>>> = Arc::default();
        let files = Library::from(FileRoot::new(images.path()).unwrap());
        let arriving: Arc<Mutex<Option<Content>>> = Arc::default();
        let site = Arc::new(TestSite(files, token.clone(), Arc::clone(&databases), Arc::clone(&arriving)));
        let server = Server::new(HttpState::new(engine, site, Arc::clone(&metrics)), limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(server.serve(listener, tls, stop.clone()));
        Running { address, metrics, token, rules, databases, arriving, images, stop, task }
    }

    pub(crate) async fn plain() -> Running {
        Running::start(Limits::default(), None).await
    }

    pub(crate) async fn connect(&self) -> Wire<TcpStream> {
        Wire::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// The path of something in the session.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/b/{}/{rest}", self.token)
    }

    async fn get(&self, rest: &str) -> Reply {
        self.connect().await.ask("GET", &self.path(rest), "").await
    }

    fn says(&self, verdict: Verdict) {
        *self.rules.verdict.lock().unwrap() = verdict;
    }
}

/// A client that writes and reads octets.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: String,
    fields: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Wire<S> {
        Wire { stream, read: Vec::new() }
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, fields: &str) -> Reply {
        self.write(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")).await;
        self.reply(method == "HEAD").await.unwrap()
    }

    async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn more(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let count = timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("an answer in time")?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    async fn reply(&mut self, without_body: bool) -> io::Result<Reply> {
        let end = loop {
            match self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().to_owned();
        let fields: HashMap<_, _> =
            lines.map(|line| line.split_once(": ").unwrap()).map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
        assert!(!fields.contains_key("transfer-encoding") && !fields.contains_key("content-encoding"), "{head}");
        let length = fields.get("content-length").map_or(0, |length| length.parse().unwrap());
        let length = if without_body || status.contains(" 304 ") { 0 } else { length };
        while self.read.len() < length {
            self.more().await?;
        }
        Ok(Reply { status, fields, body: self.read.drain(..length).collect() })
    }

    /// Reads to the end of the connection; how many octets came.
    async fn drain(&mut self) -> usize {
        let mut count = self.read.len();
        while self.more().await.is_ok() {
            count += std::mem::take(&mut self.read).len();
        }
        count
    }
}
