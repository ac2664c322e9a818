//! The network of one case: namespaces joined by veth pairs, made for it and removed after it.
//!
//! ```text
//!  one LAN:   machines --- clients --- dhcp 10.77.0.1
//!                          (bridge)    boot 10.77.0.2
//!
//!  IPv6 only: the same with fd77::1 and fd77::2
//!
//!  routed:    machines --- clients --- router 10.77.0.1 and 10.78.0.1 --- dhcp 10.78.0.2
//!                          (bridge)    (relay agent, second bridge)       boot 10.78.0.3
//!
//!  upstream:  boot --- wan --- upstream 10.79.0.1, for a server that the one at the site leans on;
//!             or upstream 10.77.0.3 on the machines' bridge, for one that they are handed over to
//! ```
//!
//! Nothing is made outside the namespaces, so nothing can leak into the machine's own network.
//!
//! **Invariant:** every name starts with `pm-<process id>-`; only such names are ever removed.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;

use crate::process::run;
use crate::wan::{Link, Wan};

/// The interface of `dhcp` and `boot`, and of `router` towards the machines.
pub(crate) const INTERFACE: &str = "eth0";
/// The bridge of the machines in the namespace `clients`; a capture there sees all they do.
pub(crate) const BRIDGE: &str = "lan";
/// The bridge of the servers in the namespace `router`.
pub(crate) const BACKBONE: &str = "backbone";

/// The interface of `boot` and `upstream` towards each other.
pub(crate) const WAN: &str = "wan0";
/// The upstream server's address on the other end of the site's WAN.
pub(crate) const UPSTREAM_ON_WAN: &str = "10.79.0.1";
/// Its address where it is on the machines' bridge.
pub(crate) const UPSTREAM_ON_LAN: &str = "10.77.0.3";

const PARTS: [&str; 6] = ["clients", "router", "dhcp", "boot", "wan", "upstream"];
const SITE_ON_WAN: &str = "10.79.0.2";
const ROUTER_ON_BACKBONE: &str = "10.78.0.1";

/// How machines reach the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All on one bridge.
    OneLan,
    /// The same, and nobody has an IPv4 address.
    OneLanV6,
    /// The servers are behind a router.
    Routed,
}

/// Namespaces of one case.
pub(crate) struct Network {
    prefix: String,
    shape: Shape,
    taps: Cell<u32>,
}

impl Network {
    /// Makes the namespaces, the bridges and the cables.
    pub(crate) fn new(case: &str, shape: Shape) -> Self {
        remove_stale();
        let network = Self { prefix: format!("pm-{}-{case}-", std::process::id()), shape, taps: Cell::new(0) };
        for part in PARTS {
            run("ip", &["netns", "add", &network.namespace(part)]);
            network.ip(part, &["link", "set", "lo", "up"]);
        }
        network.bridge("clients", BRIDGE);
        match shape {
            Shape::OneLan | Shape::OneLanV6 => {
                network.cable("clients", BRIDGE, "dhcp", network.dhcp_address());
                network.cable("clients", BRIDGE, "boot", network.boot_address());
            }
            Shape::Routed => network.route(),
        }
        network
    }

    /// The address of the plain DHCP server.
    pub(crate) fn dhcp_address(&self) -> &'static str {
        match self.shape {
            Shape::OneLan => "10.77.0.1",
            Shape::OneLanV6 => "fd77::1",
            Shape::Routed => "10.78.0.2",
        }
    }

    /// The address of the server under test.
    pub(crate) fn boot_address(&self) -> &'static str {
        match self.shape {
            Shape::OneLan => "10.77.0.2",
            Shape::OneLanV6 => "fd77::2",
            Shape::Routed => "10.78.0.3",
        }
    }

    /// The full name of the namespace `part`.
    pub(crate) fn namespace(&self, part: &str) -> String {
        format!("{}{part}", self.prefix)
    }

    /// A command that runs inside the namespace `part` and dies with the test that starts it.
    pub(crate) fn command(&self, part: &str, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(part)])
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program.as_ref());
        command
    }

    /// Adds a tap to the bridge for one machine, each time another: the one of a machine that is off stays behind.
    pub(crate) fn tap(&self) -> String {
        let number = self.taps.get();
        self.taps.set(number + 1);
        let name = format!("tap{number}");
        self.ip("clients", &["tuntap", "add", &name, "mode", "tap"]);
        self.ip("clients", &["link", "set", &name, "master", BRIDGE, "up"]);
        name
    }

    /// Lays the cable between the site and its upstream server.
    pub(crate) fn join_upstream_by_wan(&self) {
        let peer = self.namespace("upstream");
        self.ip("boot", &["link", "add", WAN, "type", "veth", "peer", "name", WAN, "netns", &peer]);
        for (part, address) in [("boot", SITE_ON_WAN), ("upstream", UPSTREAM_ON_WAN)] {
            self.ip(part, &["address", "add", &with_length(address), "dev", WAN]);
            self.ip(part, &["link", "set", WAN, "up"]);
        }
    }

    /// Lays it as a line of many kilometers.
    pub(crate) fn join_upstream_by_far_wan(&self, link: Link) -> Wan {
        let between = self.namespace("wan");
        for (part, end, address) in [("boot", "site", SITE_ON_WAN), ("upstream", "upstream", UPSTREAM_ON_WAN)] {
            self.ip(part, &["link", "add", WAN, "type", "veth", "peer", "name", end, "netns", &between]);
            self.ip(part, &["address", "add", &with_length(address), "dev", WAN]);
            self.ip(part, &["link", "set", WAN, "up"]);
            self.ip("wan", &["link", "set", end, "up"]);
            self.no_offload(part, WAN);
            self.no_offload("wan", end);
        }
        Wan::join(&between, ["site", "upstream"], link)
    }

    /// Plugs the upstream server into the machines' bridge.
    pub(crate) fn join_upstream_by_lan(&self) {
        self.cable("clients", BRIDGE, "upstream", UPSTREAM_ON_LAN);
    }

    /// Gives the machines' bridge an address, so that programs can run where machines are.
    pub(crate) fn address_of_bridge(&self, address: &str) {
        self.ip("clients", &["address", "add", &with_length(address), "dev", BRIDGE]);
    }

    /// Programs in the namespace `part` find groups on this interface: without a default route they find none.
    pub(crate) fn route_groups(&self, part: &str, interface: &str) {
        self.ip(part, &["route", "add", "224.0.0.0/4", "dev", interface]);
    }

    /// Boots a simulated machine on the bridge, against the server of the site.
    pub(crate) fn simulate(&self, number: usize) -> std::process::Child {
        if number == 0 {
            self.ip("clients", &["address", "add", "10.77.0.101/24", "dev", BRIDGE]);
        }
        let mac = format!("52:54:00:bb:00:{number:02x}");
        let mut command = self.command("clients", env!("CARGO_BIN_EXE_pointsman"));
        command.args(["simulate", "--json", "--server", self.boot_address(), "--mac", &mac]);
        command.stdout(std::process::Stdio::piped()).spawn().expect("the program was just built")
    }

    /// How many octets the site received over its WAN so far.
    pub(crate) fn octets_over_wan(&self) -> u64 {
        let counter = format!("/sys/class/net/{WAN}/statistics/rx_bytes");
        let said = run("ip", &["netns", "exec", &self.namespace("boot"), "cat", &counter]);
        said.trim().parse().unwrap_or_else(|error| panic!("{counter} says {said:?}: {error}"))
    }

    /// The most that goes over the WAN in a second, e.g. `2mbit`, in either direction.
    pub(crate) fn limit_wan(&self, rate: &str) {
        for part in ["boot", "upstream"] {
            let namespace = self.namespace(part);
            let limit = ["tbf", "rate", rate, "burst", "32kbit", "latency", "400ms"];
            let place = ["netns", "exec", &namespace, "tc", "qdisc", "replace", "dev", WAN, "root"];
            run("ip", &[&place[..], &limit].concat());
        }
    }

    fn route(&self) {
        self.cable("clients", BRIDGE, "router", "10.77.0.1");
        self.bridge("router", BACKBONE);
        self.ip("router", &["address", "add", &with_length(ROUTER_ON_BACKBONE), "dev", BACKBONE]);
        for (part, address) in [("dhcp", self.dhcp_address()), ("boot", self.boot_address())] {
            self.cable("router", BACKBONE, part, address);
            self.ip(part, &["route", "add", "default", "via", ROUTER_ON_BACKBONE]);
        }
        let namespace = self.namespace("router");
        run("ip", &["netns", "exec", &namespace, "sysctl", "-q", "net.ipv4.ip_forward=1"]);
    }

    fn bridge(&self, part: &str, name: &str) {
        // A bridge that learns its topology first would swallow the firmware's first DISCOVERs.
        self.ip(part, &["link", "add", name, "type", "bridge", "stp_state", "0", "forward_delay", "0"]);
        self.ip(part, &["link", "set", name, "up"]);
    }

    /// Plugs [`INTERFACE`] of `part` into a bridge.
    fn cable(&self, bridge_part: &str, bridge: &str, part: &str, address: &str) {
        let peer = self.namespace(part);
        let plug = format!("to-{part}");
        self.ip(bridge_part, &["link", "add", &plug, "type", "veth", "peer", "name", INTERFACE, "netns", &peer]);
        self.ip(bridge_part, &["link", "set", &plug, "master", bridge, "up"]);
        let address = with_length(address);
        let mut add = vec!["address", "add", &address, "dev", INTERFACE];
        // Nobody else has it, and a server that starts now is to find it.
        add.extend(address.contains(':').then_some("nodad"));
        self.ip(part, &add);
        self.ip(part, &["link", "set", INTERFACE, "up"]);
        self.no_offload(bridge_part, &plug);
        self.no_offload(part, INTERFACE);
    }

    /// Without this the kernel leaves checksums to hardware that a firmware's network card lacks.
    fn no_offload(&self, part: &str, interface: &str) {
        let namespace = self.namespace(part);
        let mut arguments = vec!["netns", "exec", &namespace, "ethtool", "-K", interface];
        for offload in ["tx", "tso", "gso", "gro"] {
            arguments.extend([offload, "off"]);
        }
        run("ip", &arguments);
    }

    fn ip(&self, part: &str, arguments: &[&str]) {
        let namespace = self.namespace(part);
        let mut all = vec!["-n", namespace.as_str()];
        all.extend(arguments);
        run("ip", &all);
    }
}

fn with_length(address: &str) -> String {
    if address.contains(':') { format!("{address}/64") } else { format!("{address}/24") }
}

impl Drop for Network {
    fn drop(&mut self) {
        for part in PARTS {
            remove(&self.namespace(part));
        }
    }
}

fn remove(namespace: &str) {
    // Dropped while a test panics: a second panic here would hide the first.
    let _ = Command::new("ip").args(["netns", "del", namespace]).output();
}

/// Removes what a killed run left: our prefix, and a process id that is gone.
fn remove_stale() {
    for line in run("ip", &["netns", "list"]).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if owner(name).is_some_and(|id| !is_running(id)) {
            end_processes_in(name);
            remove(name);
        }
    }
}

/// Whether the process is a run of these tests: its id may be another's by now, or a zombie's, which has no program.
fn is_running(id: u32) -> bool {
    let program = std::fs::read_link(format!("/proc/{id}/exe"));
    program.is_ok_and(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("firmware-")))
}

/// Only we put processes into our namespaces. Most died with their test; dnsmasq forgets to when it drops privileges.
fn end_processes_in(namespace: &str) {
    // Another test may be removing the same namespace: what is gone already is no fault.
    let Ok(listed) = Command::new("ip").args(["netns", "pids", namespace]).output() else { return };
    for id in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
        let _ = Command::new("kill").args(["-KILL", id]).output();
    }
}

/// The process id in the name of a namespace, when the name is one of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix("pm-")?.split('-').next()?.parse().ok()
}

#[test]
fn takes_only_names_of_its_own_for_stale() {
    assert_eq!(owner("pm-4711-bios-rom-boot"), Some(4711));
    for foreign in ["pm-", "pm-x-boot", "lab-4711-boot", "", "xpm-4711-boot"] {
        assert_eq!(owner(foreign), None, "{foreign}");
    }
}
