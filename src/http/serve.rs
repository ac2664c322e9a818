//! The connections: one accept loop for HTTP and HTTPS, with limits that neither hyper nor a listener has.
//!
//! | limit | against |
//! |---|---|
//! | connections in all and by address | a client, or many, that only connect |
//! | handshake time | TLS clients that stop speaking |
//! | time to send a head; also the idle time between requests | slow heads, forgotten connections |
//! | size of a head | huge headers |
//! | time without progress in a write | readers that stop reading |
//!
//! A handshake runs in the connection's own task: a silent client holds up nobody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use super::api::{self, ApiState};
use super::socket::{Placeholder, Socket};
use super::{Connection, HttpState, router};
use crate::observe::{Metrics, ReasonLabel};
use crate::pace::Pace;
use crate::tls::{self, HandshakeFailure};

/// The limits of connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most connections at a time; further ones wait in the system's queue.
    pub connections_max: usize,
    /// The most connections from one address; further ones are closed.
    pub connections_per_peer_max: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a request's head may take, from the end of the request before. iPXE keeps connections for 10 s.
    pub head: Duration,
    /// The largest head, in octets.
    pub head_len_max: usize,
    /// How long a client may take nothing of what is written. The kernel tells of progress only when a third of its send
    /// buffer (up to 4 MiB) is free again, so that this also bounds how slowly a client may read: about 25 kB/s.
    pub stall: Duration,
    /// How long requests may go on once the server is to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 4096,
            // A whole site may be behind one NAT address, and still leaves half to the others.
            connections_per_peer_max: 2048,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(20),
            head_len_max: 64 * 1024,
            stall: Duration::from_secs(60),
            grace: Duration::from_secs(10),
        }
    }
}

/// The HTTP server: what its listeners share.
pub struct Server {
    router: Router,
    metrics: Arc<Metrics>,
    limits: Limits,
    permits: Arc<Semaphore>,
    peers: Mutex<HashMap<IpAddr, usize>>,
    placeholder: Placeholder,
    connections: TaskTracker,
    /// Warnings of handshakes: anybody may cause them.
    warnings: Pace,
}

/// Warnings in one second.
const WARNINGS_PER_SECOND_MAX: u64 = 10;

/// A connection's place in the limits; given back when it is dropped.
struct Slot {
    server: Arc<Server>,
    peer: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut peers = self.server.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

impl Server {
    /// A server of this state.
    pub fn new(state: HttpState, limits: Limits) -> Arc<Server> {
        let metrics = Arc::clone(&state.metrics);
        Server::of(router(Arc::new(state)), metrics, limits)
    }

    /// A server of the decision API, and of nothing else.
    pub fn of_api(state: ApiState, limits: Limits) -> Arc<Server> {
        let metrics = state.metrics();
        Server::of(api::router(Arc::new(state)), metrics, limits)
    }

    fn of(router: Router, metrics: Arc<Metrics>, limits: Limits) -> Arc<Server> {
        Arc::new(Server {
            router,
            metrics,
            permits: Arc::new(Semaphore::new(limits.connections_max)),
            limits,
            peers: Mutex::default(),
            placeholder: Placeholder::new(),
            connections: TaskTracker::new(),
            warnings: Pace::default(),
        })
    }

    /// Serves a listener until `stop`; then requests under way have [`Limits::grace`] to end. With an acceptor it is HTTPS.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<tls::Acceptor>, stop: CancellationToken) {
        loop {
            let next = async {
                let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(std::io::Error::other)?;
                Ok((listener.accept().await?, permit))
            };
            let accepted: std::io::Result<_> = tokio::select! {
                accepted = next => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok(((stream, peer), permit)) => self.begin(stream, peer, permit, tls.clone(), stop.clone()),
                Err(error) => {
                    // Out of descriptors, mostly: connections must end before the next can be taken.
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(listener);
        self.connections.close();
        self.connections.wait().await;
    }

    fn begin(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        tls: Option<tls::Acceptor>,
        stop: CancellationToken,
    ) {
        let Some(slot) = self.slot(peer.ip().to_canonical(), permit) else {
            debug!(%peer, "too many connections from this address");
            self.count_refused("per-peer limit");
            return;
        };
        self.connections.spawn(async move {
            if let Err(error) = slot.server.connection(stream, peer, tls, stop).await {
                debug!(%peer, %error, "connection ended");
            }
        });
    }

    fn slot(self: &Arc<Self>, peer: IpAddr, permit: OwnedSemaphorePermit) -> Option<Slot> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = peers.entry(peer).or_default();
        if *count >= self.limits.connections_per_peer_max {
            return None;
        }
        *count += 1;
        Some(Slot { server: Arc::clone(self), peer, _permit: permit })
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<tls::Acceptor>,
        stop: CancellationToken,
    ) -> Result<(), hyper::Error> {
        let Ok(local) = stream.local_addr() else { return Ok(()) };
        // The last packet of a response must not wait for an acknowledgment.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "no TCP_NODELAY");
        }
        let socket = Socket::new(stream, self.placeholder.clone(), self.limits.stall);
        let mut via = Connection { peer, local, secure: tls.is_some(), certificate: None, files: None };
        let Some(acceptor) = tls else {
            via.files = Some(socket.files());
            return self.drive(socket, via, stop).await;
        };
        match timeout(self.limits.handshake, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => {
                via.certificate = tls::peer_fingerprint(&stream);
                self.drive(stream, via, stop).await
            }
            Ok(Err(error)) => {
                self.handshake_failed(peer, &error);
                Ok(())
            }
            Err(_) => {
                debug!(%peer, "TLS handshake took too long");
                self.count_refused("handshake time");
                Ok(())
            }
        }
    }

    fn handshake_failed(&self, peer: SocketAddr, error: &std::io::Error) {
        let second = jiff::Timestamp::now().as_second();
        let may_warn = || self.warnings.take(second, WARNINGS_PER_SECOND_MAX).is_free;
        match tls::handshake_failure(error) {
            HandshakeFailure::TooOld => {
                if may_warn() {
                    warn!(%peer, stage = "http", %error, "client too old for TLS (no ECDHE); give it a newer iPXE or plain HTTP");
                }
                self.count_refused("client too old for TLS");
            }
            HandshakeFailure::Untrusted => {
                if may_warn() {
                    warn!(%peer, stage = "http", %error, "client does not trust the certificate; build iPXE with TRUST=ca.pem");
                }
                self.count_refused("certificate not trusted");
            }
            HandshakeFailure::Stranger => {
                if may_warn() {
                    warn!(%peer, %error, "client certificate not taken: it is not of this server's CA, or its time is over");
                }
                self.count_refused("client certificate not taken");
            }
            HandshakeFailure::Other => {
                debug!(%peer, %error, "TLS handshake failed");
                self.count_refused("handshake failed");
            }
        }
    }

    async fn drive<S>(&self, stream: S, via: Connection, stop: CancellationToken) -> Result<(), hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| self.answer(request, via.clone()));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.limits.head).max_buf_size(self.limits.head_len_max);
        // GRUB 2.12 (of Debian 13, too) finds `Content-Length` in this spelling only: else it waits for the end of the
        // connection, half a minute for each file.
        builder.title_case_headers(true);
        // Body slices must reach the socket as they are: see `socket`.
        builder.writev(true);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        timeout(self.limits.grace, connection).await.unwrap_or_else(|_| {
            info!(peer = %via.peer, "connection cut at shutdown");
            Ok(())
        })
    }

    async fn answer(&self, request: Request<Incoming>, via: Connection) -> Result<Response<Body>, Infallible> {
        let (mut parts, body) = request.into_parts();
        if let Some(uri) = normal(&parts.uri) {
            parts.uri = uri;
        }
        parts.extensions.insert(via);
        let response = self.router.clone().oneshot(Request::from_parts(parts, Body::new(body))).await?;
        let class = match response.status().as_u16() {
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.metrics.http_responses.get_or_create(&ReasonLabel { reason: class }).inc();
        Ok(response)
    }

    fn count_refused(&self, reason: &'static str) {
        self.metrics.connections_refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// The URI with single slashes, where it has double ones. Firmware joins paths carelessly, and does not follow the
/// redirect that would set it right.
fn normal(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if !path.contains("//") {
        return None;
    }
    let mut single = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !single.ends_with('/') {
            single.push(c);
        }
    }
    if let Some(query) = uri.query() {
        single = format!("{single}?{query}");
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(single).ok();
    Uri::from_parts(parts).ok()
}
