//! A real S3 server on loopback, in a thread of its own, that can be killed and that counts what it is asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pointsman::tls::{Acceptor, ensure_ca};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::watch;

use crate::harness::PATIENCE;

/// The one bucket there is.
pub(crate) const BUCKET: &str = "images";

/// What the server was asked, e.g. `GET /images/linux`, and how often.
type Asked = Arc<Mutex<BTreeMap<String, usize>>>;

/// An S3 server; ended when dropped.
pub(crate) struct S3 {
    folder: tempfile::TempDir,
    address: SocketAddr,
    key: Option<(String, String)>,
    asked: Asked,
    /// How it speaks HTTPS, where it does.
    tls: Option<Acceptor>,
    /// Closed, objects are not sent: the answers to GET wait.
    gate: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl S3 {
    /// A server that everybody may read.
    pub(crate) fn open() -> S3 {
        S3::with(None)
    }

    /// A server that wants this key.
    pub(crate) fn with_key(id: &str, secret: &str) -> S3 {
        S3::with(Some((id.to_owned(), secret.to_owned())))
    }

    fn with(key: Option<(String, String)>) -> S3 {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let gate = watch::Sender::new(true);
        let mut server = S3 { folder, address, key, asked: Arc::default(), tls: None, gate, runtime: None };
        server.start();
        server
    }

    /// From now on it speaks HTTPS; the CA of its certificate is in this folder as `ca.pem`.
    pub(crate) fn speak_tls(&mut self, folder: &Path) {
        let ca = ensure_ca(folder).unwrap();
        let identity = ca.identity(&[], &[self.address.ip()], jiff::Timestamp::now()).unwrap();
        self.tls = Some(Acceptor::new(&identity).unwrap());
        self.kill();
        self.start();
    }

    /// Starts it, again on its port.
    pub(crate) fn start(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(self.folder.path()).unwrap());
        if let Some((id, secret)) = &self.key {
            builder.set_auth(SimpleAuth::from_single(id.clone(), secret.clone()));
        }
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (asked, gate, tls) = (Arc::clone(&self.asked), self.gate.subscribe(), self.tls.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (service, asked, gate, tls) = (service.clone(), Arc::clone(&asked), gate.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return serve(stream, service, asked, gate).await };
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, service, asked, gate).await;
                    }
                });
            }
        });
        self.runtime = Some(runtime);
    }

    /// Kills it with all its connections, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }

    /// Whether objects are sent, or their readers wait.
    pub(crate) fn set_gate(&self, is_open: bool) {
        self.gate.send_replace(is_open);
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// The section of the configuration, as `[storage.s3]`.
    pub(crate) fn section(&self) -> String {
        format!("[storage.s3]\nurl = \"s3://{BUCKET}\"\nendpoint = \"{}\"\n", self.endpoint())
    }

    /// Puts an object there, as its owner would.
    pub(crate) fn put(&self, name: &str, octets: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = path.with_extension("new");
        std::fs::write(&new, octets).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// Puts an object there by the protocol, with a header; the server must want no key.
    pub(crate) fn put_with(&self, name: &str, octets: &[u8], header: &str) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "PUT /{BUCKET}/{name} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{header}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            octets.len()
        );
        stream.write_all(&[head.as_bytes(), octets].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(name)
    }

    /// How often an object was asked for with this method.
    pub(crate) fn asked(&self, method: &str, name: &str) -> usize {
        self.asked.lock().unwrap().get(&format!("{method} /{BUCKET}/{name}")).copied().unwrap_or(0)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve<S>(stream: S, service: S3Service, asked: Asked, gate: watch::Receiver<bool>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (service, asked, mut gate) = (service.clone(), Arc::clone(&asked), gate.clone());
        async move {
            let line = format!("{} {}", request.method(), request.uri().path());
            *asked.lock().unwrap().entry(line).or_default() += 1;
            if request.method() == hyper::Method::GET {
                let _ = gate.wait_for(|is_open| *is_open).await;
            }
            Ok::<_, Infallible>(service.call(request.map(s3s::Body::from)).await.unwrap())
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}
