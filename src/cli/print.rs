//! `pointsman print`: text for the configuration of other programs.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::output::{complain, say};
use crate::config::Config;
use crate::dhcp_config::{Make, Option175, Plan};
use crate::loaders::Loaders;
use crate::net::interfaces::Interfaces;

/// Text for the configuration of other programs
#[derive(Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = "Example:
  pointsman print dhcp-config --for kea          what the DHCP server needs where it names the boot file itself"
)]
pub(super) struct Print {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    DhcpConfig(DhcpConfig),
}

/// What the DHCP server needs where it names the boot file itself, and this server does not answer DHCP
///
/// Use it where proxyDHCP cannot be used: broadcasts do not reach this server, or firmware does not take an offer of a
/// second server. Machines get a boot loader by architecture from this server's TFTP or HTTP, and come in at
/// http://SERVER/boot. There allow_boot is asked; a machine that it denies boots its own disk.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman print dhcp-config --for isc > /etc/dhcp/pointsman.conf
                                      then: include \"/etc/dhcp/pointsman.conf\"; in dhcpd.conf
  pointsman print dhcp-config --for kea > /etc/kea/pointsman.json
                                      then: <?include \"/etc/kea/pointsman.json\"?> within \"Dhcp4\"
  pointsman print dhcp-config --for dnsmasq > /etc/dnsmasq.d/pointsman.conf
  pointsman print dhcp-config --for windows --server 10.0.0.2
                                      commands for PowerShell on the DHCP server

Exit code: 1 when this server's own configuration lacks something that machines would need, which is told.")]
struct DhcpConfig {
    /// The make of the DHCP server
    #[arg(long = "for", value_name = "MAKE")]
    make: MakeName,
    /// This server's address, as machines reach it; its only address when absent
    #[arg(long, value_name = "ADDRESS")]
    server: Option<Ipv4Addr>,
    /// What option 175 holds: options for iPXE, or the URL of this server for 2Pint's loaders. Never both
    #[arg(long, value_name = "FORM", default_value = "encapsulated")]
    option_175: Form,
    /// The host name in that URL; the first of https.names, or server.name, when absent
    #[arg(long, value_name = "HOST")]
    name: Option<String>,
    /// Raspberry Pis boot from this server too
    #[arg(long)]
    raspberry_pi: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MakeName {
    /// ISC dhcpd
    Isc,
    /// Kea
    Kea,
    /// dnsmasq
    Dnsmasq,
    /// Windows Server
    Windows,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Options for iPXE
    Encapsulated,
    /// A URL
    Url,
}

pub(super) fn run(command: &Print, file: &Path) -> anyhow::Result<ExitCode> {
    let Command::DhcpConfig(command) = &command.command;
    let config = super::read_config(file)?;
    let own = &config.loaders;
    let loaders = Loaders::read(&own.folders, &own.files, &own.names, &own.own_names);
    let server = match command.server {
        Some(server) => server,
        None => only_address(&config)?,
    };
    let option_175 = match command.option_175 {
        Form::Encapsulated => Option175::Encapsulated,
        Form::Url => {
            let name = command.name.as_ref().or(config.https.names.first()).or(config.server.name.as_ref());
            let name = name.context("option 175 needs a host name: name it in server.name, or with --name")?;
            Option175::Url(Plan::url_for_2pint(name, config.https.port)?)
        }
    };
    let there = loaders.iter().map(|(architecture, loader)| (architecture, loader.name.as_str()));
    let plan = Plan::new((server, config.http.port), there, option_175)?.with_raspberry_pi(command.raspberry_pi);
    let plan = match &config.server.name {
        Some(name) => plan.known_as(name, config.http.port)?,
        None => plan,
    };
    let make = match command.make {
        MakeName::Isc => Make::Isc,
        MakeName::Kea => Make::Kea,
        MakeName::Dnsmasq => Make::Dnsmasq,
        MakeName::Windows => Make::Windows,
    };
    let lacking = lacking(&config, command);
    say(plan.text(make, &head(server, &lacking)).trim_end());
    for lack in &lacking {
        complain(&format!("{}: {lack}", file.display()));
    }
    for missing in loaders.missing() {
        let Some(architecture) = missing.architecture else { continue };
        complain(&format!("note: {architecture} is left out: {}: {}", missing.name, missing.why));
    }
    Ok(if lacking.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The comment on top.
fn head(server: Ipv4Addr, lacking: &[String]) -> Vec<String> {
    let mut lines = vec![
        format!(
            "Machines get their boot loader from Pointsman at {server}, named by this DHCP server, and come in by HTTP."
        ),
        "It needs in pointsman.toml: [dhcp] enabled = false, [loaders] plain_paths = true, [http] entry = true."
            .to_owned(),
    ];
    lines.extend(lacking.iter().map(|lack| format!("NOT YET THERE: {lack}")));
    lines.push(String::new());
    lines
}

/// What machines would miss.
fn lacking(config: &Config, command: &DhcpConfig) -> Vec<String> {
    let checks = [
        (!config.loaders.plain_paths, "loaders.plain_paths = true, so that loaders need no session"),
        (!config.http.entry, "http.entry = true, so that machines may come in at /boot"),
        (config.dhcp.enabled, "dhcp.enabled = false, or machines get two offers and choose one of them"),
        (!config.tftp.enabled, "tftp.enabled = true, so that firmware gets its loader"),
        (config.tftp.port != 69, "tftp.port = 69: a DHCP server cannot tell another port"),
        (command.option_175 == Form::Url && !config.https.enabled, "https.enabled = true, for the URL in option 175"),
    ];
    checks.into_iter().filter(|(lacks, _)| *lacks).map(|(_, what)| what.to_owned()).collect()
}

/// The address that machines reach this host by, where there is only one.
fn only_address(config: &Config) -> anyhow::Result<Ipv4Addr> {
    if let Some(IpAddr::V4(address)) = config.server.address {
        return Ok(address);
    }
    let serves = |name: &String| config.server.interfaces.is_empty() || config.server.interfaces.contains(name);
    let interfaces = Interfaces::read()?;
    let served = interfaces.list.iter().filter(|interface| !interface.is_loopback && serves(&interface.name));
    let addresses: Vec<Ipv4Addr> = served
        .flat_map(|interface| &interface.addresses)
        .filter_map(|net| match net.addr() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .collect();
    match addresses.as_slice() {
        [only] => Ok(*only),
        [] => bail!("this host has no IPv4 address; name the server's with --server ADDRESS"),
        several => {
            let list = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            bail!("this host has several addresses ({list}); choose with --server ADDRESS")
        }
    }
}
