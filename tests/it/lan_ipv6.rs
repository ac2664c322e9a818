//! IPv6 for [`super::lan`]: addresses, DHCPv6 servers, and a router with another network behind it.
//!
//! ```text
//! far (no address yet) --- eth1 router 10.178.5.1, fd78::1 / 10.178.4.254, fd77::fe eth0 --- bridge
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use pointsman::dhcp::v6::packet::{Message, MessageType, Packet, Writer, code};
use pointsman::dhcp::v6::question::ALL_SERVERS;
use pointsman::net::interfaces::Interfaces;

use crate::harness::PATIENCE;
use crate::lan::{DEVICE, Lan, Running, ip};

/// The router's addresses on the LAN and behind it.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 178, 4, 254);
pub(crate) const ROUTER_FAR: Ipv4Addr = Ipv4Addr::new(10, 178, 5, 1);
pub(crate) const BOOT6: &str = "fd77::2";

impl Lan {
    /// A LAN with IPv6: `boot` is fd77::2, `dhcp` fd77::1, and addresses are there at once.
    pub(crate) fn with_ipv6() -> Lan {
        let lan = Lan::new();
        for part in ["boot", "dhcp", "client"] {
            lan.without_address_detection(part, DEVICE);
        }
        lan.give6("boot", DEVICE, BOOT6);
        lan.give6("dhcp", DEVICE, "fd77::1");
        lan
    }

    /// Nobody else has its addresses, and it need not look.
    fn without_address_detection(&self, part: &str, device: &str) {
        let namespace = self.namespace(part);
        let setting = format!("net.ipv6.conf.{device}.accept_dad=0");
        let output =
            Command::new("ip").args(["netns", "exec", &namespace, "sysctl", "-qw", &setting]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ip(&format!("-n {namespace} link set {device} down"));
        ip(&format!("-n {namespace} link set {device} up"));
    }

    pub(crate) fn give6(&self, part: &str, device: &str, address: &str) {
        ip(&format!("-n {} address add {address}/64 dev {device} nodad", self.namespace(part)));
    }

    /// A router, and a host `far` on the network behind it. Everybody on the LAN knows the way there.
    pub(crate) fn add_router(&self) {
        let (router, far, bridge) = (self.namespace("router"), self.namespace("far"), self.namespace("lan"));
        for namespace in [&router, &far] {
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
        }
        ip(&format!("-n {bridge} link add router type veth peer name {DEVICE} netns {router}"));
        ip(&format!("-n {bridge} link set router master br0 up"));
        ip(&format!("-n {router} link add eth1 type veth peer name {DEVICE} netns {far}"));
        for (part, device) in [("router", DEVICE), ("router", "eth1"), ("far", DEVICE)] {
            self.without_address_detection(part, device);
        }
        ip(&format!("-n {router} address add {ROUTER}/24 dev {DEVICE}"));
        ip(&format!("-n {router} address add {ROUTER_FAR}/24 dev eth1"));
        self.give6("router", DEVICE, "fd77::fe");
        self.give6("router", "eth1", "fd78::1");
        let forward = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
        let set = Command::new("ip").args(["netns", "exec", &router, "sysctl", "-qw"]).args(forward).status().unwrap();
        assert!(set.success());
        for part in ["boot", "dhcp"] {
            let namespace = self.namespace(part);
            ip(&format!("-n {namespace} route add 10.178.5.0/24 via {ROUTER}"));
            ip(&format!("-n {namespace} -6 route replace fd78::/64 via fd77::fe dev {DEVICE}"));
        }
    }

    /// The DHCPv6 server of this make in `part`, at fd77::1 or beside the boot server, with these lines in its
    /// configuration.
    pub(crate) fn dhcp6_server(&self, make: &str, part: &str, folder: &Path, more: &str) -> Running {
        let write = |name: &str, text: &str| -> PathBuf {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        };
        let mut command = match make {
            "isc" => {
                let subnet = "subnet6 fd77::/64 { range6 fd77::100 fd77::1ff; }";
                let file = write("dhcpd6.conf", &format!("default-lease-time 600;\n{more}\n{subnet}\n"));
                let leases = write("dhcpd6.leases", "");
                let mut command = self.command(part, "/usr/sbin/dhcpd");
                command.args(["-6", "-f", "-d", "-cf"]).arg(file).arg("-lf").arg(leases).arg("--no-pid").arg(DEVICE);
                command
            }
            "kea" => {
                let more = if more.is_empty() { String::new() } else { format!(",{more}") };
                let file = write(
                    "kea6.conf",
                    &format!(
                        r#"{{ "Dhcp6": {{
                            "interfaces-config": {{ "interfaces": ["{DEVICE}"] }},
                            "lease-database": {{ "type": "memfile", "persist": false }},
                            "server-id": {{ "type": "LL", "persist": false }},
                            "valid-lifetime": 600, "preferred-lifetime": 300,
                            "loggers": [{{ "name": "kea-dhcp6", "severity": "INFO", "output_options": [{{ "output": "stdout" }}] }}],
                            "subnet6": [{{ "id": 1, "subnet": "fd77::/64", "interface": "{DEVICE}",
                                "pools": [{{ "pool": "fd77::100 - fd77::1ff" }}] }}]
                            {more}
                        }} }}"#
                    ),
                );
                let mut command = self.command(part, "/usr/sbin/kea-dhcp6");
                command.env("KEA_PIDFILE_DIR", folder).env("KEA_LOCKFILE_DIR", "none").arg("-c").arg(file);
                command
            }
            "dnsmasq" => {
                let file =
                    write("dnsmasq6.conf", &format!("dhcp-range=fd77::100,fd77::1ff,64,600\nenable-ra\n{more}\n"));
                let leases = folder.join("dnsmasq6.leases");
                let mut command = self.command(part, "/usr/sbin/dnsmasq");
                command.args(["--keep-in-foreground", "--port=0", "--user=root", "--log-dhcp", "--log-facility=-"]);
                command.arg("--pid-file=").arg(format!("--interface={DEVICE}"));
                command.arg(format!("--conf-file={}", file.display()));
                command.arg(format!("--dhcp-leasefile={}", leases.display()));
                command
            }
            other => panic!("no DHCPv6 server `{other}`"),
        };
        self.start(&mut command)
    }
}

/// A client of DHCPv6: its messages.
#[derive(Clone, Copy)]
pub(crate) struct Caller6 {
    class: &'static str,
    architecture: u8,
    is_ipxe: bool,
}

pub(crate) const UEFI: Caller6 = Caller6 { class: "PXEClient:Arch:00007:UNDI:003000", architecture: 7, is_ipxe: false };
pub(crate) const IPXE: Caller6 = Caller6 { class: "PXEClient:Arch:00007:UNDI:003010", architecture: 7, is_ipxe: true };

/// An answer with the address that it came from.
pub(crate) type Answer6 = (Message, Ipv6Addr);

impl Caller6 {
    fn packet(self, kind: MessageType, xid: u32, elapsed: Duration) -> Vec<u8> {
        let mut writer = Writer::new(kind, xid);
        writer.option(code::CLIENT_ID, &[&[0, 4][..], &[xid as u8; 16]].concat());
        if kind == MessageType::Solicit {
            writer.option(code::IA_NA, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        writer.option(code::ELAPSED_TIME, &((elapsed.as_millis() / 10) as u16).to_be_bytes());
        writer.option(code::OPTION_REQUEST, &[0, 59, 0, 16]);
        writer.option(code::ARCHITECTURE, &[0, self.architecture]);
        let length = (self.class.len() as u16).to_be_bytes();
        writer.option(code::VENDOR_CLASS, &[&343_u32.to_be_bytes()[..], &length, self.class.as_bytes()].concat());
        if self.is_ipxe {
            writer.option(code::USER_CLASS, b"\0\x04iPXE");
        }
        writer.finish()
    }

    /// What comes back for one message from this namespace, for as long as something comes within a second or two.
    pub(crate) fn ask(self, lan: &Lan, part: &str, kind: MessageType, xid: u32, elapsed: Duration) -> Vec<Answer6> {
        lan.within(part, || {
            let (socket, ifindex) = client_socket6();
            let servers = SocketAddrV6::new(ALL_SERVERS, 547, 0, ifindex);
            socket.send_to(&self.packet(kind, xid, elapsed), servers).unwrap();
            let (mut answers, mut room) = (Vec::new(), [0; 2048]);
            while let Ok((length, peer)) = socket.recv_from(&mut room) {
                let message = Packet::parse(&room[..length]).unwrap().message;
                let std::net::IpAddr::V6(peer) = peer.ip() else { continue };
                if message.xid == xid {
                    answers.push((message, peer));
                }
            }
            answers
        })
    }

    /// Asks until answers are as they should be: servers take a while to start.
    pub(crate) fn ask_until(self, lan: &Lan, part: &str, is_it: impl Fn(&[Answer6]) -> bool) -> Vec<Answer6> {
        let since = Instant::now();
        for xid in 100.. {
            let answers = self.ask(lan, part, MessageType::Solicit, xid, Duration::ZERO);
            if is_it(&answers) {
                return answers;
            }
            assert!(since.elapsed() < PATIENCE, "the last answers were {answers:#?}");
        }
        unreachable!("it asks for ever");
    }
}

/// A socket on [`DEVICE`] of the namespace that this runs in, at its address of the link, and the interface's index.
fn client_socket6() -> (UdpSocket, u32) {
    let ifindex = if_nametoindex(DEVICE).unwrap();
    let interfaces = Interfaces::read().unwrap();
    let of_link = interfaces.by_index(ifindex).unwrap().addresses.iter().find_map(|net| match net.addr() {
        std::net::IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
        _ => None,
    });
    let socket = UdpSocket::bind(SocketAddrV6::new(of_link.unwrap(), 546, 0, ifindex)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(2_500))).unwrap();
    (socket, ifindex)
}

/// Whether a DHCPv6 server gives an address.
pub(crate) fn is_lease6((message, _): &Answer6) -> bool {
    message.options.get(code::IA_NA).is_some_and(|ia| ia.len() > 12)
}

/// The URL of a server without addresses.
pub(crate) fn proxys_url((message, _): &Answer6) -> Option<String> {
    let is_proxys = !message.options.has(code::IA_NA);
    let url = message.options.get(code::BOOT_FILE_URL).filter(|_| is_proxys)?;
    Some(String::from_utf8_lossy(url).into_owned())
}
