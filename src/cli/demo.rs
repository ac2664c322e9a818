//! `pointsman demo`: all of it on loopback, without privileges.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::init::write_site;
use super::output::say;
use super::simulate::{Live, sentence};
use crate::boot::{Architecture, HardwareAddress};
use crate::config::{Config, FILE_NAME, LogFormat, LogSection};
use crate::daemon::{Daemon, Ports};
use crate::observe::{LogTarget, start_logging};
use crate::simulate::{Failure, Installer, Machine, Server, Typed, boot};
use crate::site::{Purpose, Site};

/// See it work: a server and simulated machines on loopback, without privileges
///
/// Makes the site that `init` makes in a temporary folder, serves it on high ports of 127.0.0.1, and boots simulated BIOS,
/// UEFI, HTTP Boot and iPXE machines against it. Then it keeps serving until Ctrl-C, so that you can try more.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman demo            and then, in another terminal, what it prints
  pointsman demo --once     end after the boots")]
pub(super) struct Demo {
    /// End after the simulated boots
    #[arg(long)]
    once: bool,
}

/// What boots, and why it is worth seeing.
struct Scene {
    title: &'static str,
    mac: [u8; 6],
    architecture: Architecture,
    ipxe_rom: bool,
    pick: Option<&'static str>,
    facts: &'static [(&'static str, &'static str)],
}

const SCENES: [Scene; 5] = [
    Scene {
        title: "A UEFI machine whose role is \"debian\": the installer starts",
        mac: [0x52, 0x54, 0, 0, 0, 1],
        architecture: Architecture::X64_UEFI,
        ipxe_rom: false,
        pick: None,
        facts: &[("manufacturer", "Dell Inc."), ("product", "OptiPlex 7010"), ("serial", "7XK3N22")],
    },
    Scene {
        title: "A BIOS machine of the lab: a menu, and somebody picks Debian",
        mac: [0x52, 0x54, 0, 0, 0, 2],
        architecture: Architecture::X86_BIOS,
        ipxe_rom: false,
        pick: Some("debian"),
        facts: &[("product", "ThinkCentre M73")],
    },
    Scene {
        title: "A virtual machine whose NIC is iPXE already, not listed: a menu, its disk after the timeout",
        mac: [0x52, 0x54, 0, 0x99, 0, 1],
        architecture: Architecture::X86_BIOS,
        ipxe_rom: true,
        pick: None,
        facts: &[("manufacturer", "QEMU"), ("product", "Standard PC")],
    },
    Scene {
        title: "A machine with UEFI HTTP Boot whose role is \"local\"",
        mac: [0x52, 0x54, 0, 0, 0, 3],
        architecture: Architecture::X64_UEFI_HTTP,
        ipxe_rom: false,
        pick: None,
        facts: &[],
    },
    Scene {
        title: "A blocked machine: the firmware gets no answer; its iPXE is told why",
        mac: [0x52, 0x54, 0, 0, 0, 4],
        architecture: Architecture::X64_UEFI,
        ipxe_rom: true,
        pick: None,
        facts: &[],
    },
];

/// Stands in for a file that the demo cannot have: a boot loader, a kernel.
const STAND_IN_LEN: usize = 200_000;

pub(super) fn run(command: &Demo) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("pointsman-demo-").tempdir().context("no temporary folder")?;
    prepare(folder.path())?;
    let log = LogSection { format: LogFormat::Text, level: "info".into() };
    start_logging(&log, LogTarget::Stderr);
    let config = Config::read(&folder.path().join(FILE_NAME)).map_err(anyhow::Error::from)?;
    let site = Site::load(config, Purpose::Serve).map_err(anyhow::Error::from)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(play(command, folder.path(), site))
}

/// The site that `init` makes, on loopback ports that nobody uses, with stand-ins for loaders and images.
fn prepare(folder: &Path) -> anyhow::Result<()> {
    write_site(folder, |_| ())?;
    let file = folder.join(FILE_NAME);
    let text = std::fs::read_to_string(&file)?;
    let text = [
        ("[server]", "[server]\naddress = \"127.0.0.1\""),
        ("[dhcp]", "[dhcp]\nport = 0\nboot_server_port = 0"),
        ("[tftp]", "[tftp]\nport = 0"),
        ("[http]", "[http]\nport = 0"),
        ("[https]", "[https]\nport = 0"),
        ("[loaders]", "[loaders]\nfolders = [\"loaders\"]"),
    ]
    .iter()
    .fold(text, |text, (table, with_keys)| text.replacen(&format!("\n{table}\n"), &format!("\n{with_keys}\n"), 1));
    std::fs::write(&file, text)?;
    let stand_in = vec![0x5a; STAND_IN_LEN];
    std::fs::create_dir_all(folder.join("images/debian"))?;
    for name in [
        "loaders/undionly.kpxe",
        "loaders/snponly.efi",
        "loaders/ipxe32.efi",
        "loaders/ipxe-arm64.efi",
        "images/debian/linux",
        "images/debian/initrd.gz",
    ] {
        std::fs::write(folder.join(name), &stand_in)?;
    }
    Ok(())
}

async fn play(command: &Demo, folder: &Path, site: Site) -> anyhow::Result<ExitCode> {
    let daemon = Daemon::bind(site)?;
    let ports = daemon.ports();
    let stop = CancellationToken::new();
    let running = tokio::spawn(daemon.run(stop.clone()));
    say(&format!("A site in {}, served on 127.0.0.1:", folder.display()));
    say(&format!("  {}", ports_line(&ports)));
    let server = Server {
        address: Ipv4Addr::LOCALHOST,
        dhcp_port: ports.dhcp.unwrap_or_default(),
        boot_server_port: ports.boot_server.unwrap_or_default(),
        tftp_port: ports.tftp.unwrap_or_default(),
        ca: None,
    };
    let mut all_booted = true;
    for scene in &SCENES {
        all_booted &= act(scene, &server).await;
    }
    if !command.once {
        keep_serving(folder, &server).await?;
    }
    stop.cancel();
    running.await?;
    Ok(if all_booted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn act(scene: &Scene, server: &Server) -> bool {
    let machine = Machine {
        mac: HardwareAddress::from(scene.mac),
        uuid: Uuid::from_u128(u128::from(scene.mac[5]) << 64 | 0x706f_696e_7473),
        architecture: scene.architecture,
        facts: scene.facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ipxe_rom: scene.ipxe_rom,
        params: true,
        https: false,
        pick: scene.pick.map(Into::into),
        keys: Vec::new(),
        typed: Typed::default(),
        installer: Installer::Silent,
    };
    say(&format!("\n{} ({}, {})", scene.title, machine.mac, machine.architecture));
    match boot(&machine, server, Arc::new(Live::default())).await {
        Ok(report) => {
            say(&format!("=> {}", sentence(&report.ending)));
            true
        }
        Err(Failure { error, .. }) => {
            say(&format!("=> broke off: {error}"));
            false
        }
    }
}

async fn keep_serving(folder: &Path, server: &Server) -> anyhow::Result<()> {
    let file = folder.join(FILE_NAME);
    say("\nIt keeps serving; Ctrl-C ends it and removes the folder. In another terminal:");
    say(&format!(
        "  pointsman simulate --dhcp-port {} --boot-server-port {} --tftp-port {} --mac 52:54:00:00:00:02 --pick shell",
        server.dhcp_port, server.boot_server_port, server.tftp_port
    ));
    say(&format!("  pointsman decide --config {} --mac 52:54:00:00:00:04", file.display()));
    say(&format!("  edit {}, and boot again", folder.join("scripts/boot_images.rhai").display()));
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}

fn ports_line(ports: &Ports) -> String {
    let all = [
        ("proxyDHCP", ports.dhcp),
        ("boot server", ports.boot_server),
        ("TFTP", ports.tftp),
        ("HTTP", Some(ports.http)),
        ("HTTPS", ports.https),
    ];
    let all = all.iter().filter_map(|(name, port)| Some(format!("{name} {}", (*port)?)));
    all.collect::<Vec<_>>().join(", ")
}
