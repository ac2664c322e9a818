//! On the same host as a DHCP server: leases are given and renewed, and boot clients get their offer beside it.
//! Conformance cases 38 and 39, with real servers.

use std::net::Ipv4Addr;
use std::time::Instant;

use pointsman::dhcp::packet::{Message, MessageType};

use crate::harness::{PATIENCE, Site};
use crate::lan::{BOOT, Caller, Lan, Running, client_socket, received};

/// The address of the client once it has a lease, when it stands in for a relay agent.
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 178, 4, 98);

struct Host {
    lan: Lan,
    site: Site,
    _dhcp: Running,
}

impl Host {
    /// A DHCP server of this make, which serves.
    fn with(make: &str, more: &str) -> Host {
        let (lan, site) = (Lan::new(), Site::new());
        site.edit("pointsman.toml", |text| {
            text.replace("address = \"127.0.0.1\"\n", "").replace("port = 0\nboot_server_port = 0", "")
        });
        let dhcp = lan.dhcp_server(make, "boot", &site.path(""), more);
        Caller::plain(99).offer(&lan);
        Host { lan, site, _dhcp: dhcp }
    }

    fn serve(&self, options: &[&str]) -> Running {
        let mut command = self.lan.command("boot", "setpriv");
        command.args(options).args(["--", env!("CARGO_BIN_EXE_pointsman"), "--config", &self.site.config(), "serve"]);
        self.lan.start(&mut command)
    }
}

fn is_lease(message: &Message) -> bool {
    !message.header.yiaddr.is_unspecified()
}

fn is_proxys(message: &Message) -> bool {
    message.header.yiaddr.is_unspecified() && message.option(60) == Some(b"PXEClient")
}

/// Sends a packet until there is an answer that is wanted.
fn ask(
    caller: &Caller,
    packet: &[u8],
    xid: u32,
    port: u16,
    to: Ipv4Addr,
    wanted: impl Fn(&Message) -> bool,
) -> Message {
    let socket = client_socket(port);
    let since = Instant::now();
    loop {
        assert!(since.elapsed() < PATIENCE, "no answer to {}", caller.mac());
        socket.send_to(packet, (to, 67)).unwrap();
        while let Some((message, _)) = received(&socket, xid) {
            if wanted(&message) {
                return message;
            }
        }
    }
}

fn is_ack(message: &Message) -> bool {
    message.message_type() == Some(MessageType::Ack)
}

/// One machine: both offers, a lease, and renewals of it.
fn boots_and_renews(host: &Host) {
    let caller = Caller::firmware(1, 0);
    let offers = caller.offers(&host.lan, &[&is_lease, &is_proxys]);
    let [(lease, _), (proxys, from)] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!((proxys.header.siaddr, proxys.address(54), from.to_string()), (BOOT, Some(BOOT), format!("{BOOT}:67")));
    assert!(proxys.file().starts_with(b"b/") && lease.file().is_empty());
    let (zero, address, server) = (Ipv4Addr::UNSPECIFIED, lease.header.yiaddr, lease.address(54).unwrap());
    host.lan.within("client", || {
        let named = [(50, &address.octets()[..]), (54, &server.octets()[..])];
        ask(&caller, &caller.packet(3, 77, zero, zero, &named), 77, 68, Ipv4Addr::BROADCAST, is_ack)
    });
    host.lan.give("client", address);
    for xid in 80..85 {
        let renewal = caller.packet(3, xid, address, zero, &[]);
        let ack = host.lan.within("client", || ask(&caller, &renewal, xid, 68, server, is_ack));
        assert_eq!((ack.header.yiaddr, ack.address(54)), (address, Some(server)), "renewed by the DHCP server");
    }
}

/// A relay agent's packet reaches both.
fn hears_relays(host: &Host) {
    host.lan.give("client", RELAY);
    let caller = Caller::firmware(2, 7);
    let packet = caller.packet(1, 90, Ipv4Addr::UNSPECIFIED, RELAY, &[]);
    let offer = host.lan.within("client", || ask(&caller, &packet, 90, 67, BOOT, is_proxys));
    assert_eq!((offer.header.giaddr, offer.header.siaddr), (RELAY, BOOT));
    host.lan.within("client", || ask(&caller, &packet, 90, 67, BOOT, is_lease));
}

/// Beside this server, with `dhcp.shared_port` and this one's privileges.
fn works_beside(make: &str, more: &str, shared_port: &str, privileges: &[&str]) -> String {
    let host = Host::with(make, more);
    if shared_port != "auto" {
        host.site.configure("dhcp", &format!("shared_port = \"{shared_port}\""));
    }
    let server = host.serve(privileges);
    server.wait_for("\"serving\"");
    boots_and_renews(&host);
    if shared_port != "socket" && privileges.is_empty() {
        hears_relays(&host);
    }
    let said = server.said();
    said.lines().find(|line| line.contains("\"mode\"")).unwrap_or_default().to_owned()
}

/// Beside one of which nothing is asked, and one that shares its port.
fn works_in_both_ways(make: &str, more: &str, sharing: &str) {
    let line = works_beside(make, more, "auto", &[]);
    assert!(line.contains("\"mode\":\"packet\"") && line.contains("(pid "), "{line}");
    works_beside(make, sharing, "socket", &[]);
}

const NO_PACKETS: [&str; 2] = ["--bounding-set=-net_raw", "--inh-caps=-net_raw"];

#[test]
fn servers_beside_dnsmasq() {
    works_in_both_ways("dnsmasq", "", "bind-interfaces");
}

#[test]
fn servers_beside_isc_dhcpd() {
    works_in_both_ways("isc", "", "");
}

#[test]
fn servers_beside_kea() {
    works_in_both_ways("kea", "", "");
}

#[test]
fn servers_beside_which_packets_are_not_allowed() {
    let line = works_beside("dnsmasq", "bind-interfaces", "auto", &NO_PACKETS);
    assert!(line.contains("\"mode\":\"socket\"") && line.contains("relay agents are not"), "{line}");
}

#[test]
fn servers_that_leave_no_way_are_named() {
    let host = Host::with("dnsmasq", "");
    let mut server = host.serve(&NO_PACKETS);
    assert!(!server.ended_well());
    for part in ["UDP port 67 is held by dnsmasq (pid ", "CAP_NET_RAW", "dhcp.shared_port"] {
        server.wait_for(part);
    }
    host.site.configure("dhcp", "shared_port = \"never\"");
    let mut server = host.serve(&[]);
    assert!(!server.ended_well());
    for part in ["UDP port 67", "by dnsmasq (pid ", "dhcp.shared_port = \"auto\""] {
        server.wait_for(part);
    }
}
