//! `pointsman doctor`: what an administrator would look at when machines do not boot.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use uuid::Uuid;

use super::check::{self, Findings};
use super::output::{Mark, paint, say, say_json};
use crate::boot::{Architecture, HardwareAddress};
use crate::config::Config;
use crate::dhcp::offer::Taker;
use crate::doctor::probe::{Probe, ProbeError, Report};
use crate::doctor::probe6::{Probe6, Report6};
use crate::doctor::{CHECKS, CONFIGURATION, Check, Finding, Found, Patient, State, examine};
use crate::net::interfaces::{Interface, Interfaces};

/// Look at everything that keeps machines from booting: the site, this host, its network and its neighbors
///
/// Each check says `ok`, `skipped`, `warn` or `fail`, and what to do. Run it on the host of the server, while the server
/// runs, as root: then it can see who has which port, and ask the network who else answers machines.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman doctor                            everything
  pointsman doctor --offline                  without sending a packet
  pointsman doctor --only neighbors,dhcp-options
  pointsman doctor --list                     what is looked at
  pointsman doctor --only relay --relay 10.0.2.1
                                              by way of a router's relay agent
  pointsman doctor --json

Exit code: 0 when no check fails, 1 when one does. Warnings do not count.")]
pub(super) struct Doctor {
    /// Send no packets, not even to this host
    #[arg(long)]
    offline: bool,
    /// Make these checks only
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = check_name)]
    only: Vec<String>,
    /// List the checks, and make none
    #[arg(long)]
    list: bool,
    /// The MAC address that asks on the network; rules see it
    #[arg(long, value_name = "MAC", default_value = "52:54:00:12:34:56", value_parser = super::machine::mac)]
    mac: HardwareAddress,
    /// Ask by way of this relay agent too: its address on a network of this host
    #[arg(long, value_name = "ADDRESS")]
    relay: Option<Ipv4Addr>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// How long offers are gathered on each interface.
const PROBE_WAIT: Duration = Duration::from_secs(3);

fn check_name(text: &str) -> Result<String, String> {
    let names = || CHECKS.iter().map(|check| check.name);
    match names().any(|name| name == text) {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("there is no check `{text}`; {}", crate::nearest::remedy(text, CHECKS.iter().map(|c| c.name))))
        }
    }
}

pub(super) fn run(command: &Doctor, file: &Path) -> anyhow::Result<ExitCode> {
    if command.list {
        CHECKS.iter().for_each(|check| say(&format!("{:<14}{}", check.name, check.looks_at)));
        return Ok(ExitCode::SUCCESS);
    }
    let is_wanted = |check: &Check| command.only.is_empty() || command.only.iter().any(|name| name == check.name);
    let mut findings = Vec::new();
    let mut tell = |finding: Finding| {
        if !command.json {
            print(&finding);
        }
        findings.push(finding);
    };
    if CHECKS.iter().any(|check| check.name == CONFIGURATION && is_wanted(check)) {
        configuration(file)?.findings(CONFIGURATION).for_each(&mut tell);
    }
    // What is wrong with the file was told.
    if let Ok(config) = Config::read(file) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let online = !command.offline;
        let asks_network = online && CHECKS.iter().any(|check| check.probes && is_wanted(check));
        let probes = if asks_network { runtime.block_on(probes(&config, command.mac)) } else { Vec::new() };
        let probes6 = if asks_network { runtime.block_on(probes6(&config)) } else { Vec::new() };
        let patient = Patient { config, probes, probes6, relay: command.relay, online };
        runtime.block_on(examine(&patient, is_wanted, &mut tell));
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (failed, warned) = (count(State::Fail), count(State::Warn));
    if command.json {
        say_json(&findings)?;
    } else {
        say(&format!("{failed} failed, {warned} to look at, {} skipped.", count(State::Skipped)));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `pointsman check` finds, in this command's words.
fn configuration(file: &Path) -> anyhow::Result<Found> {
    let mut checked = Findings::default();
    check::look(file, &mut checked)?;
    let mut found = Found::default();
    for (mark, text) in checked.each() {
        match mark {
            Mark::Good => found.ok(text),
            Mark::Note => found.warn(text, ""),
            Mark::Bad => found.fail(text, ""),
        }
    }
    Ok(found)
}

/// The names of the interfaces that the server serves.
fn served(config: &Config) -> Vec<String> {
    let named = &config.server.interfaces;
    let own = config.server.address;
    let serves = |interface: &Interface| {
        let has_own = own.is_none_or(|own| interface.addresses.iter().any(|net| net.addr() == own));
        let is_named = named.is_empty() || named.contains(&interface.name);
        is_named && has_own && interface.is_up && !interface.is_loopback && !interface.addresses.is_empty()
    };
    let interfaces = Interfaces::read().unwrap_or_default().list;
    interfaces.into_iter().filter(serves).map(|interface| interface.name).collect()
}

/// Asks on each interface that the server serves, one after the other.
async fn probes(config: &Config, mac: HardwareAddress) -> Vec<(String, Result<Report, String>)> {
    let mut heard = Vec::new();
    for interface in served(config) {
        let probe = Probe {
            taker: Taker::Uefi,
            architecture: Architecture::X64_UEFI,
            mac,
            uuid: Uuid::nil(),
            interface: interface.clone(),
            wait: PROBE_WAIT,
            dhcp_port: 67,
            boot_server_port: 4011,
        };
        heard.push((interface, probe.run().await.map_err(|error| in_a_line(&error))));
    }
    heard
}

/// The same by IPv6, where the server answers there.
async fn probes6(config: &Config) -> Vec<(String, Result<Report6, String>)> {
    let mut heard = Vec::new();
    for interface in served(config).into_iter().filter(|_| config.dhcp6.enabled) {
        let probe = Probe6 {
            taker: Taker::Uefi,
            architecture: Architecture::X64_UEFI,
            uuid: Uuid::nil(),
            interface: interface.clone(),
            wait: PROBE_WAIT,
            boot_server_port: config.dhcp6.boot_server_port,
        };
        heard.push((interface, probe.run().await.map_err(|error| in_a_line(&error))));
    }
    heard
}

fn in_a_line(error: &ProbeError) -> String {
    error.to_string().replace('\n', " ")
}

fn print(finding: &Finding) {
    let (word, color) = match finding.state {
        State::Ok => ("ok", 32),
        State::Skipped => ("skipped", 36),
        State::Warn => ("warn", 33),
        State::Fail => ("fail", 31),
    };
    let indent = "\n                         ";
    let text = finding.text.replace('\n', indent);
    say(&format!("{}  {:<14}  {text}", paint(&format!("{word:>7}"), color), finding.check));
    if !finding.remedy.is_empty() {
        say(&format!("{:25}help: {}", "", finding.remedy));
    }
}
