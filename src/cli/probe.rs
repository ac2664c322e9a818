//! `pointsman probe`: who answers on this segment.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use uuid::Uuid;

use super::output::{say, say_json};
use crate::boot::{Architecture, HardwareAddress, Platform};
use crate::dhcp::offer::Taker;
use crate::doctor::probe::Probe;
use crate::doctor::probe6::Probe6;
use crate::net::interfaces::Interfaces;

/// Ask who answers machines that boot on this segment, and show every offer
///
/// Sends the DISCOVER that firmware sends, gathers every OFFER for as long as firmware would, asks each boot server on port
/// 4011, and says what is in each, what is wrong with it, and which one such a client takes. No address is taken: a DHCP
/// server sets one aside for some seconds and gets it back. A rule of this server sees a machine with this MAC address.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman probe --interface eth0                as a UEFI machine
  pointsman probe --as bios
  pointsman probe --as ipxe --mac 52:54:00:aa:bb:cc
  pointsman probe --arch arm64-uefi-http          HTTP Boot, by the architecture
  pointsman probe --as raspberry-pi --json
  pointsman probe --ipv6                          DHCPv6 and router advertisements, as UEFI PXE
  pointsman probe --ipv6 --as http

With --ipv6 it sends SOLICIT as UEFI PXE, UEFI HTTP Boot or iPXE would (iPXE INFORMATION-REQUEST, where routers say that
hosts make their own addresses), and tells what routers say: there are no PC BIOS and no Raspberry Pi by IPv6.

Needs root (or CAP_NET_BIND_SERVICE and CAP_NET_RAW): answers come to UDP port 68 (546 by IPv6). Where a DHCP client of this host has that
port for itself, the probe says so. To see another segment, run it on a host there.

Exit code: 0 when such a client would boot; 1 when nobody offers a boot file, servers are in each other's way, or nothing
could be asked.")]
pub(super) struct Command {
    /// The interface to ask on; the only one that is up when absent
    #[arg(long, short, value_name = "NAME")]
    interface: Option<String>,
    /// As what to ask; by the architecture when absent
    #[arg(long = "as", value_name = "CLIENT")]
    taker: Option<Client>,
    /// Client architecture: x86-bios, x64-uefi, arm64-uefi, x64-uefi-http, ... or a number of option 93
    #[arg(long, value_name = "NAME")]
    arch: Option<Architecture>,
    /// MAC address to ask as
    #[arg(long, value_name = "MAC", value_parser = super::machine::mac)]
    mac: Option<HardwareAddress>,
    /// System UUID to ask as; one that is made from the MAC address when absent
    #[arg(long, value_name = "UUID", value_parser = super::machine::uuid)]
    uuid: Option<Uuid>,
    /// How many seconds offers are gathered
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    wait: u64,
    /// Ask by IPv6: DHCPv6 servers, boot servers beside them, and routers; with the interface's own MAC address
    #[arg(long, conflicts_with = "mac")]
    ipv6: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// A kind of client, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Client {
    /// A PC BIOS with a PXE ROM
    Bios,
    /// UEFI PXE
    Uefi,
    /// UEFI HTTP Boot
    Http,
    /// iPXE
    Ipxe,
    /// The boot ROM of a Raspberry Pi
    RaspberryPi,
}

impl Client {
    /// What an architecture asks as, where nobody said it.
    fn of(architecture: Architecture) -> Client {
        match (architecture.is_http(), architecture.platform()) {
            (true, _) => Client::Http,
            (false, Platform::Bios) => Client::Bios,
            (false, _) => Client::Uefi,
        }
    }

    fn taker(self) -> Taker {
        match self {
            Client::Bios => Taker::Bios,
            Client::Uefi => Taker::Uefi,
            Client::Http => Taker::Http,
            Client::Ipxe => Taker::Ipxe,
            Client::RaspberryPi => Taker::RaspberryPi,
        }
    }

    fn architecture(self) -> Architecture {
        match self {
            Client::Bios | Client::RaspberryPi => Architecture::X86_BIOS,
            Client::Uefi | Client::Ipxe => Architecture::X64_UEFI,
            Client::Http => Architecture::X64_UEFI_HTTP,
        }
    }

    /// A MAC address that nobody has. Servers tell a Raspberry Pi by the beginning.
    fn mac(self) -> HardwareAddress {
        match self {
            Client::RaspberryPi => [0xb8, 0x27, 0xeb, 0, 0, 1].into(),
            _ => [0x52, 0x54, 0, 0x12, 0x34, 0x56].into(),
        }
    }
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let client = command.taker.or_else(|| command.arch.map(Client::of)).unwrap_or(Client::Uefi);
    let mac = command.mac.unwrap_or_else(|| client.mac());
    let architecture = command.arch.unwrap_or_else(|| client.architecture());
    let uuid = command.uuid.unwrap_or_else(|| super::machine::uuid_of(mac));
    let (taker, wait) = (client.taker(), Duration::from_secs(command.wait));
    let interface = interface(command.interface.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if command.ipv6 {
        if matches!(client, Client::Bios | Client::RaspberryPi) {
            anyhow::bail!("a PC BIOS and a Raspberry Pi do not boot by IPv6: --as uefi, http or ipxe");
        }
        let probe = Probe6 { taker, architecture, uuid, interface, wait, boot_server_port: 4011 };
        let report = runtime.block_on(probe.run())?;
        return tell(command, &report, &report.lines(), report.is_good());
    }
    let probe = Probe { taker, architecture, mac, uuid, interface, wait, dhcp_port: 67, boot_server_port: 4011 };
    let report = runtime.block_on(probe.run())?;
    tell(command, &report, &report.lines(), report.is_good())
}

fn tell(command: &Command, report: &impl Serialize, lines: &[String], is_good: bool) -> anyhow::Result<ExitCode> {
    if command.json {
        say_json(report)?;
    } else {
        lines.iter().for_each(|line| say(line));
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The interface that is meant: the only one that is up and is not loopback, when none is named.
fn interface(named: Option<&str>) -> anyhow::Result<String> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    let interfaces = Interfaces::read()?;
    let up: Vec<&str> = interfaces
        .list
        .iter()
        .filter(|interface| interface.is_up && !interface.is_loopback)
        .map(|interface| interface.name.as_str())
        .collect();
    match up.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => anyhow::bail!("no interface of this host is up beside loopback; `ip link` lists them"),
        several => anyhow::bail!("which interface? this host has {}: name one with --interface", several.join(", ")),
    }
}
