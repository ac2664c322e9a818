//! `pointsman decide`: a dry run of the rules for one machine.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::machine::MachineArgs;
use super::output::{say, say_json};
use crate::boot::{BootDecision, Client, IpxeBuild, MachineId, Network, Outcome, Relay, Stage};
use crate::config::Config;
use crate::decision::DecisionEngine;
use crate::ipxe;
use crate::observe::{LogTarget, start_logging};
use crate::site::{Absent, Purpose, Site};

/// Try the rules for one machine: verdict, reason, trail, and the very script that it would get
///
/// No packet is sent and no server needs to run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman decide --mac 52:54:00:12:34:56 --arch x64-uefi
  pointsman decide --mac 52:54:00:12:34:56 --stage discover
  pointsman decide --fact product=\"OptiPlex 7010\" --fact serial=7XK3N22 --json
  pointsman decide --giaddr 10.7.0.1 --now 2026-01-05T08:00:00Z

Exit code: 0 whatever the verdict is; 1 when a rule failed.")]
pub(super) struct Decide {
    #[command(flatten)]
    machine: MachineArgs,
    /// How far the boot has come: discover, boot-server, tftp or http; images are decided at http
    #[arg(long, default_value = "http", value_name = "STAGE")]
    stage: Stage,
    /// The machine's address
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// Address of the relay agent that its packets come through
    #[arg(long, value_name = "ADDRESS")]
    giaddr: Option<Ipv4Addr>,
    /// Name of the interface that its packets come in on
    #[arg(long, value_name = "NAME", default_value = "")]
    interface: String,
    /// Name of the site that it is at; that of the configuration when absent
    #[arg(long, value_name = "NAME", default_value = "")]
    site: String,
    /// The time of the request; now when absent
    #[arg(long, value_name = "RFC3339")]
    now: Option<Timestamp>,
    /// Print the decision as JSON
    #[arg(long)]
    json: bool,
    /// Show the log of the rules as well
    #[arg(long)]
    verbose: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    decision: &'a BootDecision,
    stage: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    missing_files: Vec<String>,
    /// Files whose origin does not answer.
    unsure_files: Vec<String>,
    /// Whether firmware of this architecture finds a loader.
    has_loader: bool,
}

pub(super) fn run(command: &Decide, file: &Path) -> anyhow::Result<ExitCode> {
    let mut config = super::read_config(file)?;
    if !command.verbose {
        config.log.level = "off".into();
    }
    start_logging(&config.log, LogTarget::Stderr);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(decide(command, config))
}

async fn decide(command: &Decide, config: Config) -> anyhow::Result<ExitCode> {
    let site =
        Site::load(config, Purpose::DryRun).map_err(|problems| anyhow::anyhow!("the site has problems\n{problems}"))?;
    let engine = site.private_engine()?;
    let decision = ask(command, &engine).await;
    let images = decision.images.as_ref();
    let script = script(command, &decision);
    let Absent { missing: missing_files, unsure: unsure_files } = site.absent_files(images).await;
    let failed = decision.trail.iter().any(|step| matches!(step.outcome, Outcome::Failed | Outcome::TimedOut));
    let has_loader = site.loaders.of(command.machine.arch).is_some();
    let shown = Shown { decision: &decision, stage: command.stage, script, missing_files, unsure_files, has_loader };
    if command.json {
        say_json(&shown)?
    } else {
        show(&shown)
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a machine would boot now.
pub(super) async fn what_boots(machine: &MachineArgs, engine: &DecisionEngine) -> Arc<BootDecision> {
    let (machine, stage, interface) = (machine.clone(), Stage::Http, String::new());
    let command = Decide {
        machine,
        stage,
        interface,
        ip: None,
        giaddr: None,
        site: String::new(),
        now: None,
        json: false,
        verbose: false,
    };
    ask(&command, engine).await
}

async fn ask(command: &Decide, engine: &DecisionEngine) -> Arc<BootDecision> {
    let now = command.now.unwrap_or_else(Timestamp::now);
    let mut client = Client::new(command.machine.mac, command.machine.arch);
    client.machine_id = command.machine.uuid.map(MachineId::from_uuid);
    client.vendor_class = format!("PXEClient:Arch:{:05}:UNDI:003016", command.machine.arch.code());
    if command.stage == Stage::Http {
        client.user_class = "iPXE".into();
        client.ipxe = Some(IpxeBuild::default());
    }
    let relay = command.giaddr.map(|giaddr| Relay {
        giaddr,
        circuit_id: Vec::new(),
        remote_id: Vec::new(),
        link_selection: None,
    });
    let interface = command.interface.as_str().into();
    let site = command.site.as_str().into();
    let network = Network { interface, client: command.ip, relay, site, ..Network::default() };
    let session = Arc::new(engine.sessions().begin(client, 0, now));
    match command.stage {
        Stage::Http => engine.boot_images(&session, network, command.machine.machine(), now).await,
        stage => engine.allow_boot(&session, stage, network, now).await,
    }
}

/// The script that the client would get; the server's address and the session's token stand as placeholders.
fn script(command: &Decide, decision: &BootDecision) -> Option<String> {
    if command.stage != Stage::Http {
        return None;
    }
    let platform = command.machine.arch.platform();
    let urls = "http://SERVER/b/TOKEN/".parse().ok()?;
    match &decision.images {
        Some(images) => Some(ipxe::render(&ipxe::images(images, platform, &urls))),
        None if decision.verdict.name() == "deny" => {
            let reason = crate::boot::Line::clean(decision.verdict.reason());
            Some(ipxe::render(&ipxe::denied(&reason, platform)))
        }
        None => None,
    }
}

fn show(shown: &Shown<'_>) {
    let decision = shown.decision;
    let reason = decision.verdict.reason();
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    say(&format!("verdict  {}{because}", decision.verdict.name()));
    say(&format!(
        "by       {} in {:.3} ms, at stage {}",
        decision.handler,
        decision.elapsed_us as f64 / 1000.0,
        shown.stage.name()
    ));
    for step in &decision.trail {
        let outcome = match step.outcome {
            Outcome::Given => "answered",
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::TimedOut => "TOO LATE",
            Outcome::Policy => "stands in",
        };
        let detail = if step.detail.is_empty() { String::new() } else { format!(": {}", step.detail) };
        say(&format!("trail    {} {outcome}{detail}", step.handler));
    }
    for image in decision.images.iter().flat_map(|images| images.images()) {
        say(&format!("image    {} ({}): {}", image.id, image.kind.name(), image.title));
    }
    if !shown.has_loader {
        say("note     no boot loader for this architecture: its firmware gets no answer, whatever the verdict is");
    }
    for file in &shown.missing_files {
        say(&format!("missing  {file}"));
    }
    for file in &shown.unsure_files {
        say(&format!("unsure   {file}"));
    }
    if let Some(script) = &shown.script {
        say("script");
        script.lines().for_each(|line| say(&format!("  {line}")));
    }
}
