//! The running server: configuration in, listeners up, and an orderly end.
//!
//! [`Daemon::bind`] makes everything that can fail, so that a server which started serves. [`Daemon::run`] serves until
//! it is told to stop, and swaps in a new site when it is told to reload; a broken one never replaces a good one.
//!
//! **Invariant**: nothing here decides, and nothing here knows a packet.

mod api;
mod beginning;
mod cache;
mod certificate;
mod dhcp;
mod dhcp6;
mod exchanges;
mod history;
mod http;
mod listeners;
mod newer;
mod observing;
mod raspberry_pi;
mod reload;
mod rollouts;
mod secret;
mod shared;
mod tftp;
mod upstreams;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::database::{Database, Health};
use crate::decision::{DecisionEngine, Observer, Sessions};
use crate::dhcp::counters::Counters;
use crate::dhcp::question::Port;
use crate::dhcp::server::DhcpServer;
use crate::dhcp::v6::Dhcp6Server;
use crate::events::Events;
use crate::http::{HttpState, Limits, Server};
use crate::observe::{Kind, Metrics};
use crate::site::Site;
use crate::store::Store;
use crate::tftp::TftpServer;
use crate::tls::Acceptor;

use api::Api;
pub use certificate::{Certificate, certificate};
use history::{History, Retention};
pub use listeners::addresses;
use observing::Observing;
pub use raspberry_pi::places as raspberry_pi_places;
pub use reload::{ReloadSignal, Reloader};
use shared::{Shared, SitePart, Told, WebPorts};

/// How long a database may take to answer when the server starts.
const CONNECT_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// A server whose sockets are bound.
pub struct Daemon {
    shared: Arc<Shared>,
    dhcp: Option<DhcpServer>,
    dhcp6: Option<Dhcp6Server>,
    tftp: Option<TftpServer>,
    http: Vec<TcpListener>,
    https: Vec<TcpListener>,
    acceptor: Option<Acceptor>,
    api: Option<Api>,
    web: Arc<Server>,
    reloader: Reloader,
    history: Option<History>,
    events: Events,
    ports: Ports,
}

/// The ports that were bound; useful where the configuration says 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Proxy DHCP.
    pub dhcp: Option<u16>,
    /// PXE boot server.
    pub boot_server: Option<u16>,
    /// DHCPv6, and its boot server.
    pub dhcp6: Option<(u16, u16)>,
    /// TFTP.
    pub tftp: Option<u16>,
    /// HTTP.
    pub http: u16,
    /// HTTPS.
    pub https: Option<u16>,
    /// The decision API, by HTTPS.
    pub api: Option<u16>,
    /// The port that Altiris' clients know.
    pub altiris: Option<u16>,
}

impl Daemon {
    /// Binds every socket of a site. Must be called inside a Tokio runtime; blocks on the disk.
    ///
    /// # Errors
    /// Everything that keeps the server from starting, each with its key, and the holder of a port that is taken.
    pub fn bind(site: Site) -> anyhow::Result<Daemon> {
        let config = site.config.clone();
        let key = secret::token_key(&config.server.state)?;
        let metrics = Arc::new(Metrics::default());
        let sessions = Sessions::new(key, config.server.sessions_max);
        let history = begin_history(&site, &metrics)?;
        let events = begin_events(&site, &metrics);
        let sender = history.as_ref().map(History::sender);
        let told = Observing { metrics: Arc::clone(&metrics), history: sender, events: events.clone() };
        let told: Arc<dyn Observer> = Arc::new(told);
        site.rollouts.tell(Arc::clone(&told));
        let engine = Arc::new(DecisionEngine::new(site.world(), sessions).observed(told));
        let mut problems = listeners::BindProblems::default();
        let addresses = listeners::addresses(&config)?;
        let mut http = listeners::web("http", &addresses, config.http.port, &mut problems);
        let mut altiris = None;
        if config.compat.altiris.enabled {
            let listeners = listeners::web("compat.altiris", &addresses, config.compat.altiris.port, &mut problems);
            altiris = port_of(&listeners);
            // Behind HTTP's own, whose port machines are told.
            http.extend(listeners);
        }
        let (https, tls) = match config.https.enabled {
            true => {
                let listeners = listeners::web("https", &addresses, config.https.port, &mut problems);
                (listeners, Some(certificate(&config, Timestamp::now())?))
            }
            false => (Vec::new(), None),
        };
        let api = match config.api.enabled {
            true => listeners::web("api", &addresses, config.api.port, &mut problems),
            false => Vec::new(),
        };
        let ports = WebPorts { http: port_of(&http).unwrap_or(config.http.port), https: port_of(&https) };
        let has_ec_key = tls.as_ref().is_some_and(|tls| tls.identity.has_ec_key());
        let told = Told { ports, advertise: config.server.advertised(), name: config.server.name.clone(), has_ec_key };
        let acceptor = tls.as_ref().map(|tls| Acceptor::new(&tls.identity)).transpose().context("https")?;
        let authority = tls.and_then(|tls| tls.authority);
        let folders = site.folders();
        let shared = Arc::new(Shared::new(engine, Arc::clone(&metrics), SitePart::of(site), authority, told));
        let counters = Arc::new(Counters::default());
        let dhcp = listeners::dhcp(&config, &shared, &counters, &mut problems);
        let dhcp6 = dhcp6::bind(&config, &shared, &metrics, &mut problems);
        let tftp = listeners::tftp(&config, &addresses, &shared, &mut problems);
        problems.check()?;
        watch_counters(&metrics, &counters, tftp.as_ref());
        watch_databases(&metrics, &shared);
        watch_scripts(&metrics);
        upstreams::show(&metrics, &shared);
        cache::show(&metrics, &shared);
        rollouts::show(&metrics, &shared);
        // The engine counts into the metrics: held strongly both ways, neither would ever end.
        let counted = Arc::downgrade(&shared.engine);
        metrics.count_sessions(Box::new(move || counted.upgrade().map_or(0, |engine| engine.sessions().count())));
        // A whole site may be behind one NAT address, and still leaves half to the others.
        let connections_max = config.http.connections_max;
        let limits =
            Limits { connections_max, connections_per_peer_max: connections_max.div_ceil(2), ..Limits::default() };
        let state = HttpState::new(Arc::clone(&shared.engine), Arc::clone(&shared) as _, metrics);
        let web = Server::new(state, limits.clone());
        let api = Api::new(&config, api, &shared, limits)?;
        let destination = history.as_ref().map(History::destination);
        let acceptors =
            reload::Acceptors { https: acceptor.clone(), api: api.as_ref().map(|api| api.acceptor.clone()) };
        let reloader = Reloader::new(config, folders, Arc::clone(&shared), acceptors, (destination, events.clone()));
        let ports = Ports {
            dhcp: dhcp.as_ref().and_then(|dhcp| dhcp.local_addresses(Port::Dhcp).next()).map(|at| at.port()),
            boot_server: dhcp
                .as_ref()
                .and_then(|dhcp| dhcp.local_addresses(Port::BootServer).next())
                .map(|at| at.port()),
            dhcp6: dhcp6::ports(dhcp6.as_ref()),
            tftp: tftp.as_ref().and_then(|tftp| tftp.local_addrs().first().map(SocketAddr::port)),
            http: ports.http,
            https: ports.https,
            api: api.as_ref().and_then(|api| port_of(&api.listeners)),
            altiris,
        };
        Ok(Daemon { shared, dhcp, dhcp6, tftp, http, https, acceptor, api, web, reloader, history, events, ports })
    }

    /// The ports that were bound.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Asks for a reload from outside: by signal, or by a test.
    pub fn reload_signal(&self) -> ReloadSignal {
        self.reloader.signal()
    }

    /// Serves until `stop`, then lets what is under way come to its end.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        if let Some(dhcp) = self.dhcp {
            tasks.spawn(dhcp.run(stop.clone()));
        }
        dhcp6::serve(self.dhcp6, &tasks, &stop);
        if let Some(tftp) = self.tftp {
            tasks.spawn(tftp.run(stop.clone()));
        }
        for listener in self.http {
            tasks.spawn(Arc::clone(&self.web).serve(listener, None, stop.clone()));
        }
        for listener in self.https {
            tasks.spawn(Arc::clone(&self.web).serve(listener, self.acceptor.clone(), stop.clone()));
        }
        if let Some(Api { listeners, acceptor, server }) = self.api {
            for listener in listeners {
                tasks.spawn(Arc::clone(&server).serve(listener, Some(acceptor.clone()), stop.clone()));
            }
        }
        tasks.spawn(self.reloader.run(stop.clone()));
        connect_ahead(&self.shared);
        self.shared.site.load().upstreams.watch();
        info!(
            dhcp = self.ports.dhcp,
            boot_server = self.ports.boot_server,
            dhcp6 = self.ports.dhcp6.map(|(port, _)| port),
            tftp = self.ports.tftp,
            http = self.ports.http,
            https = self.ports.https,
            api = self.ports.api,
            altiris = self.ports.altiris,
            "serving"
        );
        stop.cancelled().await;
        info!("stopping: what is under way may end");
        tasks.close();
        tasks.wait().await;
        if tokio::time::timeout(std::time::Duration::from_secs(5), self.shared.engine.drain()).await.is_err() {
            warn!("decisions are still under way; they are dropped");
        }
        self.shared.site.load().rollouts.save();
        self.events.finish().await;
        if let Some(history) = self.history {
            history.finish().await;
        }
        info!("stopped");
    }
}

/// Connects to the site's databases before a machine asks: a first connection may take longer than firmware waits. The
/// store's own file is left to whoever needs it, so that a site without one has none.
fn connect_ahead(shared: &Shared) {
    for (name, database) in shared.site.load().databases.named() {
        let (name, database) = (name.to_owned(), database.clone());
        tokio::spawn(async move {
            if let Err(error) = database.ping(CONNECT_TIME_MAX).await {
                warn!(database = name, %error, "the database does not answer yet");
            }
        });
    }
}

fn port_of(listeners: &[TcpListener]) -> Option<u16> {
    listeners.first()?.local_addr().ok().map(|address| address.port())
}

/// Begins to write the history, where the site keeps one.
fn begin_history(site: &Site, metrics: &Metrics) -> anyhow::Result<Option<History>> {
    let section = &site.config.store;
    if !section.history {
        return Ok(None);
    }
    let store = Store::on(site.databases.store().clone()).context("[store]")?;
    let retention =
        Retention { keep: section.keep, boots_max: section.boots_max, questions_max: section.questions_max };
    Ok(Some(History::start(store, retention, metrics)))
}

/// Begins to tell the site's webhooks what happens.
fn begin_events(site: &Site, metrics: &Metrics) -> Events {
    let events = Events::default();
    events.tell(site.webhooks.clone());
    events.show(metrics);
    events
}

/// Shows on the metrics page how the databases are.
fn watch_databases(metrics: &Metrics, shared: &Arc<Shared>) {
    // The metrics are shown by what is shared: held strongly both ways, neither would ever end.
    let of = Arc::downgrade(shared);
    let databases = move || of.upgrade().map(|shared| shared.site.load_full());
    let of = databases.clone();
    let read = move || {
        let up = |database: &Database| {
            let is_up = !matches!(database.health(), Health::Down { .. });
            (vec![("database", database.name().to_owned())], u64::from(is_up))
        };
        databases().iter().flat_map(|site| site.databases.iter().map(up).collect::<Vec<_>>()).collect()
    };
    metrics.watch_labelled(
        Kind::Gauge,
        "database_up",
        "Whether a database can be reached, as far as known",
        Box::new(read),
    );
    let read = move || {
        let labelled = |database: &Database| {
            let name = database.name().to_owned();
            let count = move |(outcome, count): (&'static str, u64)| {
                (vec![("database", name.clone()), ("outcome", outcome.to_owned())], count)
            };
            database.counts().into_iter().map(count).collect::<Vec<_>>()
        };
        of().iter().flat_map(|site| site.databases.iter().flat_map(labelled).collect::<Vec<_>>()).collect()
    };
    metrics.watch_labelled(
        Kind::Counter,
        "database_queries",
        "Questions to databases, by what became of them",
        Box::new(read),
    );
}

/// Shows on the metrics page what scripts count.
fn watch_scripts(metrics: &Metrics) {
    let read = || {
        let counts = crate::handlers::script::counts().into_iter();
        counts.map(|(name, count)| (vec![("name", name)], count)).collect()
    };
    metrics.watch_labelled(Kind::Counter, "script_events", "What scripts counted, by their names", Box::new(read));
}

/// Shows on the metrics page what the transports count themselves.
fn watch_counters(metrics: &Metrics, dhcp: &Arc<Counters>, tftp: Option<&TftpServer>) {
    let dhcp = Arc::clone(dhcp);
    let read = move || dhcp.outcomes().collect();
    metrics.watch("dhcp_packets", "DHCP packets, by what became of them", Box::new(read));
    let Some(counters) = tftp.map(TftpServer::counters) else { return };
    let of = Arc::clone(&counters);
    let read = move || of.snapshot().outcomes().to_vec();
    metrics.watch("tftp_requests", "TFTP requests and transfers, by what became of them", Box::new(read));
    let of = Arc::clone(&counters);
    let read = move || vec![("acknowledged", of.snapshot().bytes)];
    metrics.watch("tftp_sent_bytes", "Octets of file content that TFTP clients acknowledged", Box::new(read));
    let read = move || vec![("retransmitted", counters.snapshot().retransmissions)];
    metrics.watch("tftp_packets", "TFTP packets sent more than once", Box::new(read));
}
