//! `pointsman serve`: the daemon in the foreground, as systemd and containers want it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::daemon::{Daemon, ReloadSignal};
use crate::observe::{LogTarget, start_logging};
use crate::site::{Purpose, Site};

/// Run the server
///
/// It stays in the foreground and logs to standard output. Files that change are taken over by themselves, when they
/// are free of problems; so they are on SIGHUP. SIGTERM and Ctrl-C let transfers under way come to their end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman serve --config /etc/pointsman/pointsman.toml
  kill -HUP $(pidof pointsman)        reload

Ports below 1024 need root or CAP_NET_BIND_SERVICE; `[dhcp] port`, `[tftp] port`, `[http] port` choose others.")]
pub(super) struct Serve {}

/// How long a second Ctrl-C is waited for before the process ends anyway.
const STOP_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run(_: &Serve, file: &Path) -> anyhow::Result<ExitCode> {
    let config = super::read_config(file)?;
    start_logging(&config.log, LogTarget::Stdout);
    let site =
        Site::load(config, Purpose::Serve).map_err(|problems| anyhow::anyhow!("the site has problems\n{problems}"))?;
    // A server that was good yesterday starts today, although a case fails: it is told, loudly.
    for failure in site.handlers.iter().flat_map(|built| &built.cases.failures) {
        error!("a case of the scripts fails: {failure}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(site))?;
    // What still runs after the orderly end (a script without end) is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

async fn serve(site: Site) -> anyhow::Result<()> {
    // Before anything is served: from then on a signal means an orderly end.
    let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let daemon = Daemon::bind(site)?;
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(terminate, interrupt, stop.clone()));
    tokio::spawn(reload_on_signal(hangup, daemon.reload_signal()));
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let running = daemon.run(stop.clone());
    tokio::pin!(running);
    tokio::select! {
        () = &mut running => return Ok(()),
        () = stop.cancelled() => {}
    }
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    if tokio::time::timeout(STOP_LIMIT, running).await.is_err() {
        error!("what was under way did not end within {} s; it is cut off", STOP_LIMIT.as_secs());
    }
    Ok(())
}

async fn stop_on_signal(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM"),
        _ = interrupt.recv() => info!("SIGINT"),
    }
    stop.cancel();
}

async fn reload_on_signal(mut hangup: Signal, reload: ReloadSignal) {
    while hangup.recv().await.is_some() {
        info!("SIGHUP");
        reload.send();
    }
}
