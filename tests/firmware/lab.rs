//! One case: its network, its plain DHCP server, its capture, and where the evidence goes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::assets::{Assets, target};
use crate::machine::{Accelerator, Machine, Plan};
use crate::network::{BACKBONE, BRIDGE, INTERFACE, Network, Shape};
use crate::process::Process;
use crate::server::{Prepared, ServerUnderTest, Site};
use crate::transcript::Transcript;

/// How long a boot may take in emulation on a busy machine with two cores.
pub(crate) const BOOT_LIMIT: Duration = Duration::from_secs(150);

const START_LIMIT: Duration = Duration::from_secs(10);
const TAIL_LINES: usize = 40;

/// Everything around the machine and the server. Fields are dropped in this order: processes before their network.
pub(crate) struct Lab {
    helpers: Vec<Process>,
    /// The namespaces of this case.
    pub(crate) network: Network,
    /// What the lab is made of.
    pub(crate) assets: Assets,
    /// Console, logs, captures of this case.
    pub(crate) evidence: PathBuf,
    accelerator: Accelerator,
    logs: Vec<Transcript>,
    _place: File,
}

impl Lab {
    /// Builds the lab for `case` on one LAN; `None` when firmware boots are switched off.
    pub(crate) fn open(case: &str) -> Option<Self> {
        Self::open_shaped(case, Shape::OneLan, None)
    }

    /// The same with the machines behind a router with a relay agent.
    pub(crate) fn open_routed(case: &str) -> Option<Self> {
        Self::open_shaped(case, Shape::Routed, None)
    }

    /// The same on one LAN where nobody has an IPv4 address.
    pub(crate) fn open_v6(case: &str) -> Option<Self> {
        Self::open_shaped(case, Shape::OneLanV6, None)
    }

    /// One LAN whose DHCP server also names a boot file, from its own folder `tftp` in the evidence.
    pub(crate) fn open_with_boot_file(case: &str, file: &'static str) -> Option<Self> {
        Self::open_shaped(case, Shape::OneLan, Some(file))
    }

    fn open_shaped(case: &str, shape: Shape, boot_file: Option<&str>) -> Option<Self> {
        let assets = Assets::find()?;
        let accelerator = assets.accelerator();
        let place = assets.place();
        let evidence = new_folder(&target().join(case));
        let network = Network::new(case, shape);
        let lines = boot_file.map(|file| {
            let folder = new_folder(&evidence.join("tftp"));
            format!("enable-tftp\ndhcp-boot={file}\ntftp-root={}\n", folder.display())
        });
        let (dhcp, dhcp_log) = start_dhcp(&network, shape, &evidence, lines.as_deref().unwrap_or_default());
        let mut helpers = vec![start_capture(&network, &evidence), dhcp];
        let mut logs = vec![dhcp_log];
        if shape == Shape::Routed {
            let (relay, relay_log) = start_relay(&network, &evidence);
            helpers.push(relay);
            logs.push(relay_log);
        }
        eprintln!("{case}: {accelerator:?}, evidence in {}", evidence.display());
        Some(Self { helpers, network, assets, evidence, accelerator, logs, _place: place })
    }

    /// Starts the site's DHCP server anew, with these lines in its configuration.
    pub(crate) fn restart_dhcp(&mut self, lines: &str) {
        // The first is the capture. Its port is free once it is dropped.
        drop(self.helpers.remove(1));
        let (dhcp, log) = start_dhcp(&self.network, Shape::OneLan, &self.evidence, lines);
        self.helpers.insert(1, dhcp);
        self.logs.push(log);
    }

    /// Starts the server under test.
    pub(crate) fn serve(&mut self, site: &Site) -> ServerUnderTest {
        let site = self.prepare("boot", site);
        self.start(site)
    }

    /// Writes a site for a server in the namespace `part`.
    pub(crate) fn prepare(&self, part: &'static str, site: &Site) -> Prepared {
        Prepared::new(part, site, &self.assets, &self.evidence)
    }

    /// Starts a server whose site is written.
    pub(crate) fn start(&mut self, site: Prepared) -> ServerUnderTest {
        let server = site.start(&self.network);
        self.logs.push(server.log.clone());
        server
    }

    /// Switches a machine on.
    pub(crate) fn power_on(&mut self, plan: &Plan) -> Machine {
        let machine = Machine::power_on(plan, &self.network, self.accelerator, &self.evidence);
        self.logs.push(machine.console.clone());
        machine
    }

    /// Waits for `text` on the machine's console.
    pub(crate) fn see(&self, machine: &Machine, text: &str, limit: Duration) {
        self.watch(machine, text, limit, |said| said.contains(text).then_some(()));
    }

    /// Waits for a line with `text` on the machine's console and returns the whole of it.
    pub(crate) fn see_line(&self, machine: &Machine, text: &str, limit: Duration) -> String {
        self.watch(machine, text, limit, |said| line_with(said, text))
    }

    fn watch<T>(&self, machine: &Machine, text: &str, limit: Duration, find: impl Fn(&str) -> Option<T>) -> T {
        let started = Instant::now();
        let found = machine.console.wait_for(limit, find).unwrap_or_else(|absent| {
            let waited = started.elapsed().as_secs();
            panic!("the machine did not show {text:?} ({absent:?} after {waited} s)\n{}", self.tails())
        });
        eprintln!("saw {text:?} after {:.1} s", started.elapsed().as_secs_f32());
        found
    }

    /// Waits for a decision of the server whose fields are `fields`; returns the log entry.
    pub(crate) fn decision(&self, server: &ServerUnderTest, fields: &[(&str, &str)]) -> Value {
        server
            .wait_for_decision(START_LIMIT, |entry| fields.iter().all(|(key, value)| entry[*key] == *value))
            .unwrap_or_else(|absent| {
                panic!("the server logged no decision with {fields:?} ({absent:?})\n{}", self.tails())
            })
    }

    /// The last lines of everything that was said in this case.
    pub(crate) fn tails(&self) -> String {
        let tails: Vec<String> = self.logs.iter().map(|log| log.tail(TAIL_LINES)).collect();
        format!("{}evidence: {}", tails.concat(), self.evidence.display())
    }
}

/// The whole line that holds `text`, once the line is complete.
fn line_with(said: &str, text: &str) -> Option<String> {
    let at = said.find(text)?;
    let from = said[..at].rfind('\n').map_or(0, |end| end + 1);
    let length = said[at..].find('\n')?;
    Some(said[from..at + length].trim().to_owned())
}

fn new_folder(path: &Path) -> PathBuf {
    if path.exists() {
        fs::remove_dir_all(path).unwrap_or_else(|error| panic!("cannot empty {}: {error}", path.display()));
    }
    fs::create_dir_all(path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
    path.to_owned()
}

/// Heads of all packets on the bridge; bulk data would only fill the disk.
fn start_capture(network: &Network, evidence: &Path) -> Process {
    const HEAD_OCTETS: &str = "700";
    let mut command = network.command("clients", "tcpdump");
    command.args(["-i", BRIDGE, "-n", "-U", "-Z", "root", "-s", HEAD_OCTETS, "-w"]);
    command.arg(evidence.join("bridge.pcap"));
    let log = Transcript::new("tcpdump", &evidence.join("tcpdump.log"));
    let process = Process::start(command, &log);
    wait_until_it_says(&log, "listening on");
    process
}

/// The site's DHCP server: addresses, and of booting nothing but these lines. But by IPv6 iPXE takes everything from the
/// server that gave it its address.
fn start_dhcp(network: &Network, shape: Shape, evidence: &Path, lines: &str) -> (Process, Transcript) {
    let file = evidence.join("dnsmasq.conf");
    fs::write(&file, lines).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
    let mut command = network.command("dhcp", "dnsmasq");
    command.args(["--keep-in-foreground", "--port=0", "--user=root", "--log-facility=-", "--pid-file="]);
    command.arg(format!("--conf-file={}", file.display()));
    match shape {
        Shape::OneLanV6 => command.args([
            "--enable-ra",
            "--dhcp-range=fd77::100,fd77::1ff,64,1h",
            "--dhcp-userclass=set:ipxe,iPXE",
            "--dhcp-option=tag:ipxe,option6:bootfile-url,http://[fd77::2]/boot",
        ]),
        Shape::OneLan | Shape::Routed => command.arg("--dhcp-range=10.77.0.50,10.77.0.99,255.255.255.0,1h"),
    };
    command.arg(format!("--interface={INTERFACE}"));
    command.arg(format!("--dhcp-leasefile={}", evidence.join("leases").display()));
    let log = Transcript::new("the site's DHCP server", &evidence.join("dhcp.log"));
    let process = Process::start(command, &log);
    wait_until_it_says(&log, "IP range");
    (process, log)
}

/// The router's relay agent: it passes what machines ask to both servers.
fn start_relay(network: &Network, evidence: &Path) -> (Process, Transcript) {
    let mut command = network.command("router", "dhcrelay");
    command.args(["-4", "-d", "--no-pid", "-id", INTERFACE, "-iu", BACKBONE]);
    command.args([network.dhcp_address(), network.boot_address()]);
    let log = Transcript::new("the router's relay agent", &evidence.join("relay.log"));
    let process = Process::start(command, &log);
    wait_until_it_says(&log, "Sending on");
    (process, log)
}

fn wait_until_it_says(log: &Transcript, text: &str) {
    let said = log.wait_for(START_LIMIT, |all| all.contains(text).then_some(()));
    said.unwrap_or_else(|absent| panic!("no {text:?} ({absent:?})\n{}", log.tail(TAIL_LINES)));
}
