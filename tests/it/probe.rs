//! `pointsman probe` and `pointsman doctor` on a network of their own: two namespaces with a cable, a DHCP server made of
//! a few lines, and the real server. Needs root and the `ip` program; without them there is nothing to test, and it says so.
//!
//! The test runs itself in the namespaces: `ROLE` says as what.
#![expect(clippy::print_stdout, reason = "it speaks to its other half")]

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Output, Stdio};

use pointsman::dhcp::packet::{Header, Message, Operation, Writer};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::harness::{Site, printed};

const ROLE: &str = "POINTSMAN_TEST_PROBE_ROLE";
const RULES: &str = "fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }\n";
const CONFIG: &str = r#"
[loaders]
folders = ["loaders"]
[log]
format = "json"
[[handler]]
kind = "script"
boot_images = "scripts/allow_boot.rhai"
"#;

#[test]
fn a_segment_is_told_by_probe_and_doctor() {
    match std::env::var(ROLE).as_deref() {
        Ok("hold") => hold_port_68(),
        Ok(options) => serve_dhcp(options),
        Err(_) => with_namespaces(),
    }
}

fn with_namespaces() {
    let Some(net) = Namespaces::new() else {
        println!("not tested: network namespaces need root");
        return;
    };
    let nobody = net.probe(&["--wait", "1"]);
    assert!(!nobody.status.success() && printed(&nobody).contains("Nobody answered"), "{}", printed(&nobody));

    let site = Site::with_rules(RULES);
    site.write("pointsman.toml", CONFIG);
    let server = net.serve(&site);
    let alone = net.probe(&["--wait", "1", "--as", "bios"]);
    assert!(!alone.status.success() && printed(&alone).contains("PXE-E52"), "{}", printed(&alone));

    let dhcp = net.start(&net.server, "plain");
    boots(&net);
    let without_address = printed(&net.probe(&["--wait", "1", "--as", "http"]));
    assert!(without_address.contains("http://10.178.9.2/b/…/snponly.efi"), "{without_address}");
    healthy(&net, &site);
    drop(dhcp);

    let _dhcp = net.start(&net.server, "60");
    let two = net.probe(&["--wait", "1"]);
    let text = printed(&two);
    assert!(!two.status.success() && text.contains("sends option 60 PXEClient"), "{text}");
    let found = net.doctor(&site, &[]);
    assert!(!found.status.success());
    assert_eq!(states(&found, "dhcp-options"), ["fail"], "{}", printed(&found));
    drop(server);
    let found = net.doctor(&site, &["--only", "ports,tftp,http,boot-server"]);
    assert_eq!(states(&found, "tftp"), ["fail"], "{}", printed(&found));
    assert!(states(&found, "ports").contains(&"fail".to_owned()), "{}", printed(&found));

    let _holder = net.start(&net.client, "hold");
    let taken = net.probe(&[]);
    assert!(!taken.status.success() && printed(&taken).contains("DHCP client of this host"), "{}", printed(&taken));
}

/// Each kind of client would boot by this server, and no token is shown.
fn boots(net: &Namespaces) {
    let uefi = net.probe(&["--wait", "1", "--json"]);
    assert!(uefi.status.success(), "{}", printed(&uefi));
    let report: Value = serde_json::from_slice(&uefi.stdout).unwrap();
    assert_eq!(report["choice"]["step"]["does"], "ask-boot-server", "{report:#}");
    assert_eq!(report["then"]["file"], "b/…/snponly.efi", "{report:#}");
    assert_eq!(report["offers"].as_array().map(Vec::len), Some(2), "{report:#}");
    for (client, file) in [("bios", "b/…/undionly.kpxe from 10.178.9.2"), ("ipxe", "http://10.178.9.2/b/…/boot.ipxe")]
    {
        let output = net.probe(&["--wait", "1", "--as", client]);
        assert!(output.status.success() && printed(&output).contains(file), "{}", printed(&output));
    }
}

/// Doctor finds nothing to put right.
fn healthy(net: &Namespaces, site: &Site) {
    let found = net.doctor(site, &[]);
    assert!(found.status.success(), "{}", printed(&found));
    for check in [
        "tftp",
        "http",
        "https",
        "boot-server",
        "relay",
        "lease",
        "neighbors",
        "dhcp-options",
        "certificate",
        "mtu",
        "clock",
    ] {
        assert_eq!(states(&found, check), ["ok"], "{check}: {}", printed(&found));
    }
    assert!(states(&found, "ports").iter().all(|state| state != "fail"), "{}", printed(&found));
}

fn states(output: &Output, check: &str) -> Vec<String> {
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(output)));
    let of = findings.iter().filter(|finding| finding["check"] == check);
    of.map(|finding| finding["state"].as_str().unwrap().to_owned()).collect()
}

fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Two namespaces with a cable, removed at the end.
struct Namespaces {
    server: String,
    client: String,
}

impl Namespaces {
    fn new() -> Option<Namespaces> {
        let id = std::process::id();
        let both = Namespaces { server: format!("pmp{id}s"), client: format!("pmp{id}c") };
        if !(ip(&format!("netns add {}", both.server)) && ip(&format!("netns add {}", both.client))) {
            return None;
        }
        let (s, c) = (&both.server, &both.client);
        assert!(ip(&format!("-n {s} link add eth7 type veth peer name eth7 netns {c}")));
        assert!(ip(&format!("-n {s} address add 10.178.9.2/24 dev eth7")));
        assert!(ip(&format!("-n {c} address add 10.178.9.9/24 dev eth7")));
        for namespace in [s, c] {
            assert!(ip(&format!("-n {namespace} link set lo up")) && ip(&format!("-n {namespace} link set eth7 up")));
        }
        Some(both)
    }

    fn pointsman(&self, namespace: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_pointsman")]);
        command
    }

    fn probe(&self, arguments: &[&str]) -> Output {
        self.pointsman(&self.client).args(["probe", "--interface", "eth7"]).args(arguments).output().unwrap()
    }

    fn doctor(&self, site: &Site, arguments: &[&str]) -> Output {
        let config = site.config();
        self.pointsman(&self.server).args(["--config", &config, "doctor", "--json"]).args(arguments).output().unwrap()
    }

    /// The server, once it serves.
    fn serve(&self, site: &Site) -> Running {
        let mut command = self.pointsman(&self.server);
        command.args(["--config", &site.config(), "serve"]);
        running(command, "\"serving\"")
    }

    /// This test in another role, once it is ready.
    fn start(&self, namespace: &str, role: &str) -> Running {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "probe::a_segment_is_told_by_probe_and_doctor", "--nocapture"]).env(ROLE, role);
        running(command, "READY")
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        ip(&format!("netns delete {}", self.server));
        ip(&format!("netns delete {}", self.client));
    }
}

fn running(mut command: Command, mark: &str) -> Running {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen = lines.by_ref().map_while(Result::ok).any(|line| line.contains(mark));
    assert!(seen, "it ended before it was ready");
    // Somebody must go on reading, or it stops at a full pipe.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Running(child)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A DHCP client that does not share its port.
fn hold_port_68() {
    let _socket = std::net::UdpSocket::bind("0.0.0.0:68").unwrap();
    println!("READY");
    loop {
        std::thread::park();
    }
}

/// Offers one address to everybody; with `60` it calls itself a boot server.
fn serve_dhcp(options: &str) {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.bind_device(Some(b"eth7")).unwrap();
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, 67)).into()).unwrap();
    let socket: std::net::UdpSocket = socket.into();
    println!("READY");
    let mut octets = [0; 1500];
    loop {
        let (length, _) = socket.recv_from(&mut octets).unwrap();
        let Ok(message) = Message::parse(&octets[..length]) else { continue };
        if message.option(53) != Some(&[1]) || message.header.op != Operation::Request {
            continue;
        }
        let server = Ipv4Addr::new(10, 178, 9, 1);
        let header =
            Header { op: Operation::Reply, yiaddr: Ipv4Addr::new(10, 178, 9, 50), siaddr: server, ..message.header };
        let mut writer = Writer::new(&header, &[]);
        writer.option(53, &[2]).option(54, &server.octets()).option(51, &[0, 0, 14, 16]).option(1, &[255, 255, 255, 0]);
        if options == "60" {
            writer.option(60, b"PXEClient");
        }
        socket.send_to(&writer.finish(), (Ipv4Addr::BROADCAST, 68)).unwrap();
    }
}
