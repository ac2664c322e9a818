//! Relay agents: ISC `dhcrelay` on a router, for DHCPv6 and for DHCP, with the real server behind it. Needs root.

use pointsman::net::interfaces::first_hardware_address;
use serde_json::Value;

use crate::harness::{Site, printed};
use crate::ipv6::{serve6, site6};
use crate::lan::{BOOT, Caller, DEVICE, DHCP, Lan, Running};
use crate::lan_ipv6::{BOOT6, ROUTER, UEFI, is_lease6, proxys_url};

/// Only machines of the network behind the router.
const FAR_ONLY: &str = r#"
fn allow_boot(request) {
    if in_network(request.subnet_address, "fd78::/64") { allow() } else { deny(request.subnet_address) }
}
fn boot_images(request) { local_disk() }
"#;

/// The router's relay agent; it names these servers.
fn relay6(lan: &Lan, servers: &[&str]) -> Running {
    let mut command = lan.command("router", "/usr/sbin/dhcrelay");
    command.args(["-6", "-d", "--no-pid", "-I", "-l", "eth1"]);
    for server in servers {
        command.args(["-u", &format!("{server}%{DEVICE}")]);
    }
    let relay = lan.start(&mut command);
    relay.wait_for("Sending on");
    relay
}

#[test]
fn machines_behind_a_relay_agent_of_dhcpv6_are_answered() {
    let (lan, folder, site) = (Lan::with_ipv6(), tempfile::tempdir().unwrap(), site6());
    lan.add_router();
    let far = "shared-network far { subnet6 fd78::/64 { range6 fd78::100 fd78::1ff; } }";
    let _dhcp = lan.dhcp6_server("isc", "dhcp", folder.path(), far);
    // The client has no address yet: its network is known by the agent's.
    site.write("scripts/allow_boot.rhai", FAR_ONLY);
    let server = serve6(&lan, "boot", &site, &[]);
    let _relay = relay6(&lan, &[BOOT6, "fd77::1"]);
    let answers = UEFI.ask_until(&lan, "far", |answers| {
        answers.iter().any(is_lease6) && answers.iter().any(|answer| proxys_url(answer).is_some())
    });
    let url = answers.iter().find_map(proxys_url).unwrap();
    assert!(url.starts_with("tftp://[fd77::2]/b/"), "{url}");
    // Its card is known by its own address, which the agent repeats.
    let mac = lan.within("far", first_hardware_address).unwrap().map(|octet| format!("{octet:02x}")).join(":");
    server.wait_for(&format!("\"mac\":\"{mac}\""));
}

/// On the host of a DHCPv6 server the agent's packets are heard too, and stay with that server as well.
#[test]
fn a_relay_agent_reaches_both_servers_of_one_host() {
    let (lan, folder, site) = (Lan::with_ipv6(), tempfile::tempdir().unwrap(), site6());
    lan.add_router();
    let far = "shared-network far { subnet6 fd78::/64 { range6 fd78::100 fd78::1ff; } }";
    let _dhcp = lan.dhcp6_server("isc", "boot", folder.path(), far);
    UEFI.ask_until(&lan, "client", |answers| answers.iter().any(is_lease6));
    let _server = serve6(&lan, "boot", &site, &[]);
    let _relay = relay6(&lan, &[BOOT6]);
    UEFI.ask_until(&lan, "far", |answers| {
        answers.iter().any(is_lease6) && answers.iter().any(|answer| proxys_url(answer).is_some())
    });
}

fn relay4(lan: &Lan, servers: &[&str]) -> Running {
    let mut command = lan.command("router", "/usr/sbin/dhcrelay");
    let relay = lan.start(command.args(["-4", "-d", "--no-pid", "-i", DEVICE, "-i", "eth1"]).args(servers));
    // The last socket that it opens: without it the kernel says that nobody has the port.
    relay.wait_for("Socket/fallback");
    relay
}

/// What doctor says of this relay agent.
fn doctor(lan: &Lan, site: &Site, agent: &str) -> (String, String) {
    let mut command = lan.command("boot", env!("CARGO_BIN_EXE_pointsman"));
    command.args(["--config", &site.config(), "doctor", "--json", "--only", "relay", "--relay", agent]);
    let output = command.output().unwrap();
    let findings: Vec<Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    assert_eq!(findings[0]["state"], "ok", "{findings:#?}");
    (findings[1]["state"].as_str().unwrap().to_owned(), format!("{} {}", findings[1]["text"], findings[1]["remedy"]))
}

#[test]
fn doctor_asks_by_way_of_a_real_relay_agent() {
    let (lan, folder, site) = (Lan::with_ipv6(), tempfile::tempdir().unwrap(), site6());
    lan.add_router();
    site.edit("pointsman.toml", |text| text.replace("[dhcp]\nenabled = false\n", ""));
    let far = "dhcp-range=10.178.5.100,10.178.5.199,600";
    let _dhcp = lan.dhcp_server("dnsmasq", "dhcp", folder.path(), far);
    Caller::plain(9).offer(&lan);
    let _server = serve6(&lan, "boot", &site, &[]);
    let agent = ROUTER.to_string();

    let (state, text) = doctor(&lan, &site, &agent);
    assert!(state == "fail" && text.contains("nobody listens"), "{text}");
    let relay = relay4(&lan, &[&DHCP.to_string()]);
    let (state, text) = doctor(&lan, &site, &agent);
    assert!(state == "fail" && text.contains("10.178.4.1, and not to this server"), "{text}");
    assert!(text.contains(&format!("ip helper-address {BOOT}")), "{text}");
    drop(relay);
    let relay = relay4(&lan, &[&DHCP.to_string(), &BOOT.to_string()]);
    let (state, text) = doctor(&lan, &site, &agent);
    assert!(state == "ok" && text.contains("its answer back"), "{text}");
    drop(relay);
    let (state, text) = doctor(&lan, &site, "192.0.2.1");
    assert!(state == "fail" && text.contains("no way to"), "{text}");
}
