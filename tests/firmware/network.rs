//! The network of one case: namespaces joined by veth pairs, made for it and removed after it.
//!
//! ```text
//!  dhcp  10.77.0.1 ---+                        +--- router --- (far) --- boot, in a routed case
//!  boot  10.77.0.2 ---+--- clients: bridge ----+
//!  machines, a tap each --+
//! ```
//!
//! Nothing is made outside the namespaces, so nothing can leak into the machine's own network.
//!
//! **Invariant:** every name starts with `pm-<process id>-`; only such names are ever removed.

use std::path::Path;
use std::process::Command;

use crate::process::run;

/// The address of the plain DHCP server.
pub(crate) const DHCP_ADDRESS: &str = "10.77.0.1";
/// The address of the server under test.
pub(crate) const BOOT_ADDRESS: &str = "10.77.0.2";
/// The interface of `dhcp` and `boot` towards the machines.
pub(crate) const INTERFACE: &str = "eth0";
/// The bridge in the namespace `clients`; a capture there sees everything.
pub(crate) const BRIDGE: &str = "lan";

const PREFIX_LENGTH: u8 = 24;
const PARTS: [&str; 3] = ["clients", "dhcp", "boot"];

/// Namespaces of one case.
pub(crate) struct Network {
    prefix: String,
}

impl Network {
    /// Makes the namespaces, the bridge and the cables.
    pub(crate) fn new(case: &str) -> Self {
        remove_stale();
        let network = Self { prefix: format!("pm-{}-{case}-", std::process::id()) };
        for part in PARTS {
            run("ip", &["netns", "add", &network.namespace(part)]);
        }
        network.bridge();
        network.cable("dhcp", DHCP_ADDRESS);
        network.cable("boot", BOOT_ADDRESS);
        network
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

    /// Adds a tap to the bridge for one machine.
    pub(crate) fn tap(&self, name: &str) {
        self.ip("clients", &["tuntap", "add", name, "mode", "tap"]);
        self.ip("clients", &["link", "set", name, "master", BRIDGE, "up"]);
    }

    fn bridge(&self) {
        // A bridge that learns its topology first would swallow the firmware's first DISCOVERs.
        let quick = ["stp_state", "0", "forward_delay", "0"];
        let mut add = vec!["link", "add", BRIDGE, "type", "bridge"];
        add.extend(quick);
        self.ip("clients", &add);
        self.ip("clients", &["link", "set", BRIDGE, "up"]);
    }

    fn cable(&self, part: &str, address: &str) {
        let peer = self.namespace(part);
        let (near, far) = (format!("to-{part}"), INTERFACE);
        self.ip("clients", &["link", "add", &near, "type", "veth", "peer", "name", far, "netns", &peer]);
        self.ip("clients", &["link", "set", &near, "master", BRIDGE, "up"]);
        self.ip(part, &["link", "set", "lo", "up"]);
        self.ip(part, &["address", "add", &format!("{address}/{PREFIX_LENGTH}"), "dev", far]);
        self.ip(part, &["link", "set", far, "up"]);
        self.no_offload("clients", &near);
        self.no_offload(part, far);
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
        if owner(name).is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            remove(name);
        }
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
