//! `pointsman decide`: a dry run of the rules for one machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::machine::MachineArgs;
use super::output::{say, say_json};
use crate::boot::{
    BootDecision, BootImages, Client, FileName, IpxeBuild, Line, Look, MachineId, Network, Outcome, Relay, Stage,
};
use crate::chainload::{self, ConfigFile, Said, Target};
use crate::config::Config;
use crate::decision::{DecisionEngine, MadeFile, Session};
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
  pointsman decide --mac 52:54:00:12:34:56 --arch x64-uefi --stage tftp --file grub.cfg
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
    /// Show what a boot loader gets that asks for this name, such as grub.cfg or pxelinux.cfg/default
    #[arg(long, value_name = "NAME")]
    file: Option<FileName>,
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
    let session = session(command, &engine);
    let decision = ask(command, &engine, &session).await;
    let images = decision.images.as_ref();
    let script = match &command.file {
        None => script(command, &decision, site.config.menu.look()),
        Some(name) => Some(file_text(command, name, &site, &engine, &decision).await),
    };
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
        file: None,
        json: false,
        verbose: false,
    };
    ask(&command, engine, &session(&command, engine)).await
}

/// The boot of the machine that is made up.
fn session(command: &Decide, engine: &DecisionEngine) -> Arc<Session> {
    let now = command.now.unwrap_or_else(Timestamp::now);
    let mut client = Client::new(command.machine.mac, command.machine.arch);
    client.machine_id = command.machine.uuid.map(MachineId::from_uuid);
    client.vendor_class = format!("PXEClient:Arch:{:05}:UNDI:003016", command.machine.arch.code());
    if command.stage == Stage::Http && command.file.is_none() {
        client.user_class = "iPXE".into();
        client.ipxe = Some(IpxeBuild::default());
    }
    Arc::new(engine.sessions().begin(client, 0, now))
}

fn network(command: &Decide) -> Network {
    let relay = command.giaddr.map(|giaddr| Relay {
        giaddr,
        circuit_id: Vec::new(),
        remote_id: Vec::new(),
        link_selection: None,
    });
    let interface = command.interface.as_str().into();
    let site = command.site.as_str().into();
    Network { interface, client: command.ip, relay, site, ..Network::default() }
}

async fn ask(command: &Decide, engine: &DecisionEngine, session: &Arc<Session>) -> Arc<BootDecision> {
    let now = command.now.unwrap_or_else(Timestamp::now);
    let (network, machine) = (network(command), command.machine.machine());
    match command.stage {
        stage @ (Stage::Http | Stage::Tftp) if stage == Stage::Http || command.file.is_some() => {
            engine.boot_images_at(session, stage, network, machine, now).await
        }
        stage => engine.allow_boot(session, stage, network, now).await,
    }
}

/// What a boot loader gets that asks for a name; the session's token stands as a placeholder.
async fn file_text(
    command: &Decide,
    name: &FileName,
    site: &Site,
    engine: &DecisionEngine,
    decision: &BootDecision,
) -> String {
    let (session, now) = (session(command, engine), command.now.unwrap_or_else(Timestamp::now));
    match engine.boot_file(&session, command.stage, network(command), name, now).await {
        MadeFile::Text(text) => return text,
        MadeFile::Absent => return "not found: boot_file said so, or failed".into(),
        MadeFile::Late => return "boot_file is too late".into(),
        MadeFile::NoOpinion => {}
    }
    let (Some(file), Ok(urls)) = (ConfigFile::parse(name), "http://SERVER/b/TOKEN/".parse()) else {
        let found = site.loaders.named(name).map(|loader| format!("the file {}", loader.path.display()));
        return found.unwrap_or_else(|| "not found: no loader has this name".into());
    };
    let target = Target {
        platform: command.machine.arch.platform(),
        local_boot: engine.manner_of(&session).local_boot,
        server: SocketAddr::from((Ipv4Addr::LOCALHOST, site.config.http.port)),
        token: "TOKEN".into(),
        by_http: command.stage == Stage::Http,
        urls,
        has_menu_program: true,
    };
    let (images, reason) = (decision.images.clone().unwrap_or_default(), Line::clean(decision.verdict.reason()));
    let said = if decision.verdict.allows() { Said::Images(&images) } else { Said::Denied(&reason) };
    chainload::render(file.syntax, said, &target)
}

/// The script that the client would get; the server's address and the session's token stand as placeholders.
fn script(command: &Decide, decision: &BootDecision, look: Option<Look>) -> Option<String> {
    if command.stage != Stage::Http {
        return None;
    }
    let platform = command.machine.arch.platform();
    let urls = "http://SERVER/b/TOKEN/".parse().ok()?;
    match &decision.images {
        Some(images) => {
            let images = look.iter().fold(images.clone(), BootImages::with_look);
            Some(ipxe::render(&ipxe::images(&images, platform, &urls)))
        }
        None if decision.verdict.name() == "deny" => {
            let reason = Line::clean(decision.verdict.reason());
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
