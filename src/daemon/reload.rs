//! Reload: when a file of the site changes, or a signal says so, the site is made anew and swapped in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Config, Problems};
use crate::events::Events;
use crate::observe::ReasonLabel;
use crate::site::{Purpose, Site};
use crate::store::Store;
use crate::tls::{Acceptor, Identity};

use super::certificate;
use super::certificate::private;
use super::history::Destination;
use super::shared::{Shared, SitePart};

/// Editors write a file in several steps: a change counts once nothing more has changed for this long.
const QUIET: Duration = Duration::from_millis(200);

/// Tells a running daemon to reload.
#[derive(Clone)]
pub struct ReloadSignal(mpsc::Sender<()>);

impl ReloadSignal {
    /// Asks for a reload; asking while one is waiting is the same as asking once.
    pub fn send(&self) {
        let _ = self.0.try_send(());
    }
}

/// What shows certificates, which may have to be renewed.
pub(super) struct Acceptors {
    pub(super) https: Option<Acceptor>,
    pub(super) api: Option<Acceptor>,
}

/// The certificates to show from now on.
type Renewed = [Option<anyhow::Result<Identity>>; 2];

/// Watches the site's files and swaps in a new site.
pub struct Reloader {
    config: Config,
    folders: Vec<PathBuf>,
    shared: Arc<Shared>,
    acceptors: Acceptors,
    /// Where the history is written to.
    history: Option<Destination>,
    /// Who is told what happens.
    events: Events,
    signal: mpsc::Sender<()>,
    signals: mpsc::Receiver<()>,
    /// It watches for as long as it is kept.
    watcher: Option<notify::RecommendedWatcher>,
    /// Whether anything but tables changed since the last reload.
    rules_changed: Arc<AtomicBool>,
    /// What the sockets were bound by.
    bound: Config,
}

impl Reloader {
    pub(super) fn new(
        config: Config,
        folders: Vec<PathBuf>,
        shared: Arc<Shared>,
        acceptors: Acceptors,
        (history, events): (Option<Destination>, Events),
    ) -> Reloader {
        let (signal, signals) = mpsc::channel(1);
        let (rules_changed, bound) = (Arc::default(), config.clone());
        let watcher = None;
        let mut reloader = Reloader {
            config,
            folders,
            shared,
            acceptors,
            history,
            events,
            signal,
            signals,
            watcher,
            rules_changed,
            bound,
        };
        reloader.watcher = reloader.watch();
        reloader
    }

    pub(super) fn signal(&self) -> ReloadSignal {
        ReloadSignal(self.signal.clone())
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.signals.recv() => {}
            }
            self.settle().await;
            // Anew before anything is read, and whatever comes of it: a folder that took another's name is watched by it.
            self.watcher = self.watch();
            let folders = self.folders.clone();
            if self.reload().await && self.folders != folders {
                self.watcher = self.watch();
                // What changed in them after they were read was not noticed.
                self.signal().send();
            }
        }
    }

    /// Waits until nothing has changed for a while.
    async fn settle(&mut self) {
        let mut quiet = Instant::now() + QUIET;
        let latest = Instant::now() + QUIET * 10;
        loop {
            tokio::select! {
                () = sleep_until(quiet.min(latest)) => return,
                _ = self.signals.recv() => quiet = Instant::now() + QUIET,
            }
        }
    }

    /// Makes the site anew; `true` when it was swapped in.
    async fn reload(&mut self) -> bool {
        let (file, before) = (self.config.file.clone(), self.shared.site.load_full());
        let load = move || {
            let site = Site::load_again(Config::read(&file)?, Purpose::Serve, Some(before.running()))?;
            let now = Timestamp::now();
            let https = site.config.https.enabled.then(|| Ok(certificate(&site.config, now)?.identity));
            let api = site.config.api.enabled.then(|| Ok(private(&site.config, now)?.0));
            Ok((site, [https, api]))
        };
        let (site, renewed) = match tokio::task::spawn_blocking(load).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(problems)) => {
                self.refuse(&problems);
                return false;
            }
            Err(error) => {
                error!(%error, "the reload broke off; the server goes on as it was");
                return false;
            }
        };
        let rules_changed = self.rules_changed.swap(false, Ordering::SeqCst);
        let failures: Vec<_> = site.handlers.iter().flat_map(|built| built.cases.failures.clone()).collect();
        if !failures.is_empty() && !rules_changed {
            warn!("a table changed, and cases that rely on it fail; adjust them\n{}", failures.join("\n"));
        }
        if !failures.is_empty() && rules_changed {
            error!("cases of the changed scripts fail; the server goes on as it was\n{}", failures.join("\n"));
            self.count("refused");
            return false;
        }
        self.swap(site, renewed);
        true
    }

    fn refuse(&self, problems: &Problems) {
        error!("the changed site has problems; the server goes on as it was\n{problems}");
        self.count("refused");
    }

    fn swap(&mut self, site: Site, renewed: Renewed) {
        warn_of_restart(&self.bound, &site.config);
        for (acceptor, renewed) in [&self.acceptors.https, &self.acceptors.api].into_iter().zip(renewed) {
            let (Some(acceptor), Some(renewed)) = (acceptor, renewed) else { continue };
            if let Err(error) = renewed.and_then(|renewed| Ok(acceptor.replace(&renewed)?)) {
                error!("the certificate stays as it was: {error:#}");
            }
        }
        self.folders = site.folders();
        self.config = site.config.clone();
        let world = site.world();
        self.write_history_to(&site);
        site.upstreams.watch();
        self.events.tell(site.webhooks.clone());
        self.shared.site.store(Arc::new(SitePart::of(site)));
        self.shared.engine.replace(world);
        info!("reloaded: the new rules decide from now on");
        self.count("swapped");
    }

    /// The store may have got another password, or another server.
    fn write_history_to(&self, site: &Site) {
        let Some(history) = &self.history else { return };
        match Store::on(site.databases.store().clone()) {
            Ok(store) => history.store(Arc::new(store)),
            Err(error) => error!(%error, "the history goes on to where it was written"),
        }
    }

    fn count(&self, reason: &'static str) {
        self.shared.metrics.reloads.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Watches folders rather than files: editors put a new file in the old one's place.
    fn watch(&self) -> Option<notify::RecommendedWatcher> {
        let signal = self.signal();
        let rules_changed = Arc::clone(&self.rules_changed);
        // What the server writes itself is nobody's change.
        let own = [self.config.server.state.clone(), self.config.cache.folder.clone()];
        let log = own_log();
        let changed = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let mut ours = event
                .paths
                .iter()
                .filter(|path| !own.iter().any(|own| path.starts_with(own)) && !is_scratch(path))
                .filter(|path| !log.iter().any(|log| is_same_file(path, log)))
                .peekable();
            if ours.peek().is_none() || event.kind.is_access() {
                return;
            }
            if !ours.all(|path| is_table(path)) {
                rules_changed.store(true, Ordering::SeqCst);
            }
            signal.send();
        };
        let mut watcher = match notify::recommended_watcher(changed) {
            Ok(watcher) => watcher,
            Err(error) => {
                warn!(%error, "changes of files are not noticed; send SIGHUP to reload");
                return None;
            }
        };
        for folder in self.folders.iter().filter(|folder| folder.is_dir()) {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                warn!(folder = %folder.display(), %error, "changes in this folder are not noticed; send SIGHUP to reload");
            }
        }
        Some(watcher)
    }
}

/// A table is data: it changes from day to day, and the cases of the rules do not.
fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "csv" || extension == "tsv")
}

/// The files that standard output and standard error go to. A log in the site's folder is nobody's change: each line would
/// bring a reload, and each reload a line.
fn own_log() -> Vec<PathBuf> {
    [1, 2].iter().filter_map(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).ok()).collect()
}

/// Whether a path, as it is watched, leads to this file.
fn is_same_file(path: &Path, file: &Path) -> bool {
    let folder = || path.parent()?.canonicalize().ok();
    path.file_name() == file.file_name() && folder().as_deref() == file.parent()
}

/// What editors leave beside the file they edit, and databases, which are asked anew anyway.
fn is_scratch(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let main = ["-wal", "-shm", "-journal"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    if [".db", ".sqlite", ".sqlite3"].iter().any(|end| main.ends_with(end)) {
        return true;
    }
    let is_log = name.contains(".log") || name == "nohup.out";
    is_log
        || name.ends_with('~')
        || name.starts_with(".#")
        || name.ends_with(".swp")
        || name.ends_with(".swx")
        || name == "4913"
}

/// Sockets are bound once, and the history is begun once.
fn warn_of_restart(old: &Config, new: &Config) {
    let bound = |config: &Config| {
        (
            config.server.interfaces.clone(),
            (config.server.address, config.server.advertised(), config.server.name.clone()),
            format!("{:?} {:?} {:?}", config.dhcp, config.dhcp6, config.tftp),
            (config.http.port, config.http.connections_max),
            (config.https.enabled, config.https.port, config.api.enabled, config.api.port),
            format!("{:?}", config.log),
            (config.store.history, config.store.keep, config.store.boots_max, config.store.questions_max),
        )
    };
    if bound(old) != bound(new) {
        warn!(
            "[server], [dhcp], [tftp], [log], a port or how long [store] keeps boots differs from what the server was started with; that takes a restart"
        );
    }
}
