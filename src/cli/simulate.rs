//! `pointsman simulate`: a client made of packets, against a running server.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::machine::MachineArgs;
use super::output::{complain, say, say_json};
use crate::simulate::{
    Ending, Failure, Installer, Machine, Report, Server, Step, Typed, Unwatched, Watcher, boot, boot_from,
};

/// Boot a simulated machine against a running server, and show each step
///
/// DISCOVER, the request on port 4011, the loader by TFTP, iPXE's own DISCOVER, the boot script, and every file that it
/// loads. Needs no privileges.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman simulate                             against the server of ./pointsman.toml on this machine
  pointsman simulate --server 10.0.0.2 --arch x86-bios
  pointsman simulate --mac 52:54:00:00:00:07 --fact product=\"OptiPlex 7010\" --fact serial=7XK3N22
  pointsman simulate --pick debian --json
  pointsman simulate --url http://10.0.0.2/boot  where the DHCP server names the boot files
  pointsman simulate --keys i --user ann --password-file ann.password

Exit code: 0 when the machine booted or was told to use its disk, 1 when something could not be
loaded or booted, the boot broke off, or nobody answered.")]
pub(super) struct Simulate {
    /// The server
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    server: Ipv4Addr,
    #[command(flatten)]
    machine: MachineArgs,
    /// The NIC's ROM is iPXE itself, as in virtual machines: no loader is fetched
    #[arg(long)]
    ipxe_rom: bool,
    /// Start iPXE at this URL, as where the DHCP server itself names it; nobody is asked by DHCP
    #[arg(long, value_name = "URL", conflicts_with = "ipxe_rom")]
    url: Option<String>,
    /// The iPXE build cannot post forms (has no `params`)
    #[arg(long)]
    no_params: bool,
    /// The iPXE build can speak HTTPS
    #[arg(long)]
    https: bool,
    /// The menu item to pick; the default when absent
    #[arg(long, value_name = "ID")]
    pick: Option<String>,
    /// The keys to press in menus, as hot keys of images
    #[arg(long, value_name = "KEYS", default_value = "")]
    keys: String,
    /// The user name to type when asked
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A file whose first line is the password to type when asked
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file whose first line is the PIN to type when asked
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Report that the installer is done, once the machine booted
    #[arg(long, conflicts_with = "failed")]
    done: bool,
    /// Report that the installer failed, once the machine booted
    #[arg(long, value_name = "REASON")]
    failed: Option<String>,
    /// CA certificate (PEM) to trust for HTTPS
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Port of proxyDHCP; from the configuration when absent, else 67
    #[arg(long, value_name = "PORT")]
    dhcp_port: Option<u16>,
    /// Port of the PXE boot server; from the configuration when absent, else 4011
    #[arg(long, value_name = "PORT")]
    boot_server_port: Option<u16>,
    /// Port of TFTP; from the configuration when absent, else 69
    #[arg(long, value_name = "PORT")]
    tftp_port: Option<u16>,
    /// Print the whole report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Simulate, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let file = super::find_config(config);
    let ports = match config.is_some() || file.exists() {
        true => {
            let config = super::read_config(&file)?;
            (config.dhcp.port, config.dhcp.boot_server_port, config.tftp.port)
        }
        false => (67, 4011, 69),
    };
    let server = Server {
        address: command.server,
        dhcp_port: command.dhcp_port.unwrap_or(ports.0),
        boot_server_port: command.boot_server_port.unwrap_or(ports.1),
        tftp_port: command.tftp_port.unwrap_or(ports.2),
        ca: command.ca.clone(),
    };
    let machine = Machine {
        mac: command.machine.mac,
        uuid: command.machine.uuid(),
        architecture: command.machine.arch,
        facts: command.machine.all_facts(),
        ipxe_rom: command.ipxe_rom,
        params: !command.no_params,
        https: command.https,
        pick: command.pick.clone(),
        keys: command.keys.chars().collect(),
        typed: Typed {
            user: command.user.clone(),
            password: command.password_file.as_deref().map(first_line).transpose()?,
            pin: command.pin_file.as_deref().map(first_line).transpose()?,
        },
        installer: match (&command.failed, command.done) {
            (Some(reason), _) => Installer::Failed(reason.clone()),
            (None, true) => Installer::Done,
            (None, false) => Installer::Silent,
        },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watcher: Arc<dyn Watcher> = if command.json { Arc::new(Unwatched) } else { Arc::new(Live::default()) };
    let booting = async {
        match &command.url {
            Some(url) => boot_from(url, &machine, &server, watcher).await,
            None => boot(&machine, &server, watcher).await,
        }
    };
    match runtime.block_on(booting) {
        Ok(report) if command.json => {
            say_json(&report)?;
            Ok(exit_code(&report))
        }
        Ok(report) => {
            say(&format!("=> {}", sentence(&report.ending)));
            if report.ending == Ending::NoOffer {
                complain(
                    "help: the server is silent for machines that it denies, ignores or has no loader for: `pointsman decide` tells why; \
                     or nothing listens there",
                );
            }
            Ok(exit_code(&report))
        }
        Err(Failure { error, .. }) => Err(error.into()),
    }
}

/// The first line of a file.
fn first_line(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Prints what happens while it happens, with a bar for long files where a person watches.
#[derive(Default)]
pub(super) struct Live {
    bar: Mutex<Option<ProgressBar>>,
}

/// A shorter file is there before a bar could be read.
const BAR_LEN_MIN: u64 = 4 * 1024 * 1024;

impl Watcher for Live {
    fn step(&self, step: &Step) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
        say(&format!("{:>7} ms  {}", step.at_ms, step.what));
    }

    fn screen(&self, line: &str) {
        say(&format!("     screen | {line}"));
    }

    fn loading(&self, name: &str, loaded: u64, total: Option<u64>) {
        let Some(total) = total.filter(|total| *total >= BAR_LEN_MIN) else { return };
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        // Draws on standard error, and only on a terminal.
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total).with_message(name.to_owned());
            let style = ProgressStyle::with_template("  {msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_position(loaded);
    }
}

/// How a boot ended, in words.
pub(super) fn sentence(ending: &Ending) -> String {
    match ending {
        Ending::NoOffer => "nobody answered; the firmware goes on to its own disk".into(),
        Ending::Booted => "its kernel starts".into(),
        Ending::Chained => "another loader starts".into(),
        Ending::Sanboot(disk) => format!("boots the SAN disk {disk}"),
        Ending::LocalDisk => "boots its own disk".into(),
        Ending::Exit(status) => format!("the script exits with {status}; the firmware goes on to its own disk"),
        Ending::Reboot => "restarts".into(),
        Ending::Poweroff => "switches off".into(),
        Ending::Shell => "shows the iPXE command line".into(),
        Ending::Endless => "its script runs without end".into(),
    }
}

fn exit_code(report: &Report) -> ExitCode {
    match report.ending {
        Ending::NoOffer | Ending::Endless => ExitCode::FAILURE,
        _ if !report.failures.is_empty() => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
