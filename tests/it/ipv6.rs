//! IPv6 on a network of its own, beside real DHCPv6 servers: probe, doctor, one host for both, standby. Needs root and the
//! servers' packages.

use std::process::Output;
use std::time::{Duration, Instant};

use pointsman::dhcp::v6::packet::MessageType;
use serde_json::Value;

use crate::harness::{PATIENCE, Site, printed};
use crate::lan::{DEVICE, Lan, Running};
use crate::lan_ipv6::{IPXE, UEFI, is_lease6, proxys_url};
use crate::probe;

/// A site that answers by DHCPv6 alone.
pub(crate) fn site6() -> Site {
    let site = Site::with_rules(probe::RULES);
    site.write("pointsman.toml", &format!("\n[dhcp]\nenabled = false\n[dhcp6]\nenabled = true\n{}", probe::CONFIG));
    site
}

pub(crate) fn serve6(lan: &Lan, part: &str, site: &Site, privileges: &[&str]) -> Running {
    let mut command = lan.command(part, "setpriv");
    command.args(privileges).args(["--", env!("CARGO_BIN_EXE_pointsman"), "--config", &site.config(), "serve"]);
    let server = lan.start(&mut command);
    server.wait_for("\"serving\"");
    server
}

fn probe_of(lan: &Lan, part: &str, client: &str) -> (Output, Value) {
    let mut command = lan.command(part, env!("CARGO_BIN_EXE_pointsman"));
    command.args(["probe", "--ipv6", "--json", "--interface", DEVICE, "--wait", "1", "--as", client]);
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    (output, report)
}

/// Asks until a DHCPv6 server answers with an address, and a router where one is wanted: they take a while to start.
fn probe_until(lan: &Lan, client: &str, has_router: bool) -> (Output, Value) {
    let since = Instant::now();
    loop {
        let (output, report) = probe_of(lan, "client", client);
        let leases = report["answers"].as_array().unwrap().iter().any(|answer| answer["address"].is_string());
        if leases && (!has_router || report["routers"][0].is_object()) {
            return (output, report);
        }
        assert!(since.elapsed() < PATIENCE, "{report:#}");
    }
}

fn doctor(lan: &Lan, site: &Site, check: &str) -> Vec<Value> {
    let mut command = lan.command("boot", env!("CARGO_BIN_EXE_pointsman"));
    let output = command.args(["--config", &site.config(), "doctor", "--json", "--only", check]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)))
}

fn states(findings: &[Value]) -> Vec<&str> {
    findings.iter().filter_map(|finding| finding["state"].as_str()).collect()
}

#[test]
fn probe_reads_dhcpv6_servers_of_three_makes() {
    for (make, more) in [
        ("dnsmasq", "dhcp-option=option6:bootfile-url,tftp://[fd77::1]/x.efi"),
        ("isc", "option dhcp6.bootfile-url \"tftp://[fd77::1]/x.efi\";"),
        ("kea", r#""option-data": [{ "name": "bootfile-url", "data": "tftp://[fd77::1]/x.efi" }]"#),
    ] {
        let (lan, folder) = (Lan::with_ipv6(), tempfile::tempdir().unwrap());
        let _dhcp = lan.dhcp6_server(make, "dhcp", folder.path(), more);
        let has_router = make == "dnsmasq";
        let (output, report) = probe_until(&lan, "uefi", has_router);
        assert!(output.status.success(), "{make}: {report:#}");
        let answer = &report["answers"][0];
        assert!(answer["address"].as_str().unwrap().starts_with("fd77::1"), "{make}: {report:#}");
        assert_eq!(answer["options"]["59"], "tftp://[fd77::1]/x.efi", "{make}: {report:#}");
        assert_eq!(report["choice"]["step"]["url"], "tftp://[fd77::1]/x.efi", "{make}: {report:#}");
        assert_eq!(report["routers"].as_array().map(Vec::len), Some(usize::from(has_router)), "{make}: {report:#}");
        if has_router {
            let router = &report["routers"][0];
            assert_eq!((&router["managed"], &router["prefixes"][0]), (&true.into(), &"fd77::/64".into()), "{report:#}");
        }
    }
}

#[test]
fn a_segment_is_told_by_probe_and_doctor_by_ipv6() {
    let (lan, folder, site) = (Lan::with_ipv6(), tempfile::tempdir().unwrap(), site6());
    let (output, report) = probe_of(&lan, "client", "uefi");
    assert!(!output.status.success() && report["answers"] == Value::Array(vec![]), "{report:#}");
    let found = doctor(&lan, &site, "ports");
    assert_eq!(states(&found).iter().filter(|state| **state == "fail").count(), found.len(), "{found:#?}");

    let _server = serve6(&lan, "boot", &site, &[]);
    let found = doctor(&lan, &site, "dhcp6");
    let text = found[0]["text"].as_str().unwrap();
    assert!(states(&found)[0] == "fail" && text.contains("neither a router nor a DHCPv6 server"), "{found:#?}");

    lan.give6("client", DEVICE, "fd77::9");
    let dhcp = lan.dhcp6_server("dnsmasq", "dhcp", folder.path(), "");
    let (output, report) = probe_until(&lan, "uefi", true);
    assert!(output.status.success(), "{report:#}");
    assert_eq!(report["choice"]["step"]["server"], "fd77::2", "{report:#}");
    assert_eq!(report["then"]["url"], "tftp://[fd77::2]/b/…/snponly.efi", "{report:#}");
    let (output, report) = probe_of(&lan, "client", "http");
    assert!(output.status.success(), "{report:#}");
    assert_eq!(report["choice"]["step"]["url"], "http://[fd77::2]/b/…/snponly.efi", "{report:#}");
    // Its one server has no line for iPXE yet.
    let (output, report) = probe_of(&lan, "client", "ipxe");
    assert!(!output.status.success() && report["choice"]["boot"].is_null(), "{report:#}");
    let found = doctor(&lan, &site, "dhcp6");
    assert_eq!(states(&found), ["ok", "ok", "ok"], "{found:#?}");
    let found = doctor(&lan, &site, "ports");
    let six = found.iter().filter(|finding| finding["text"].as_str().unwrap().contains("IPv6"));
    assert_eq!(six.map(|finding| finding["state"].as_str().unwrap()).collect::<Vec<_>>(), ["ok"; 3], "{found:#?}");

    // With the line for it, and only the flag O at the routers, iPXE is answered by us.
    drop(dhcp);
    let hasty = lan.dhcp6_server("dnsmasq", "dhcp", folder.path(), "dhcp-authoritative");
    let (_, report) = probe_until(&lan, "uefi", false);
    let conflicts = report["conflicts"].to_string();
    let found = doctor(&lan, &site, "dhcp6");
    assert!(conflicts.contains("preference 255") && states(&found).contains(&"fail"), "{report:#} {found:#?}");
    drop(hasty);
}

/// The last line of a log that says how the port is had.
fn mode(server: &Running) -> String {
    server.said().lines().find(|line| line.contains("\"mode\"")).unwrap_or_default().to_owned()
}

const NO_PACKETS: [&str; 2] = ["--bounding-set=-net_raw", "--inh-caps=-net_raw"];

/// Both answer a client of the link.
fn both_answer(lan: &Lan) {
    let answers = UEFI.ask_until(lan, "client", |answers| {
        answers.iter().any(is_lease6) && answers.iter().any(|answer| proxys_url(answer).is_some())
    });
    let url = answers.iter().find_map(proxys_url).unwrap();
    assert!(url.starts_with("tftp://[fd77::2]/b/"), "{url}");
}

#[test]
fn servers_of_dhcpv6_on_the_same_host_are_left_in_peace() {
    for (make, sharing) in [("dnsmasq", "bind-interfaces"), ("isc", ""), ("kea", "")] {
        for (more, privileges, wanted) in [("", &[][..], "packet"), (sharing, &NO_PACKETS[..], "socket")] {
            let (lan, folder, site) = (Lan::with_ipv6(), tempfile::tempdir().unwrap(), site6());
            let _dhcp = lan.dhcp6_server(make, "boot", folder.path(), more);
            UEFI.ask_until(&lan, "client", |answers| answers.iter().any(is_lease6));
            let server = serve6(&lan, "boot", &site, privileges);
            let line = mode(&server);
            assert!(line.contains(&format!("\"mode\":\"{wanted}\"")) && line.contains("(pid "), "{make}: {line}");
            both_answer(&lan);
        }
    }
}

#[test]
fn a_dhcpv6_server_that_shares_nothing_is_named() {
    let (lan, folder, site) = (Lan::with_ipv6(), tempfile::tempdir().unwrap(), site6());
    let _dhcp = lan.dhcp6_server("dnsmasq", "boot", folder.path(), "");
    UEFI.ask_until(&lan, "client", |answers| answers.iter().any(is_lease6));
    let mut command = lan.command("boot", "setpriv");
    command.args(NO_PACKETS).args(["--", env!("CARGO_BIN_EXE_pointsman"), "--config", &site.config(), "serve"]);
    let mut server = lan.start(&mut command);
    assert!(!server.ended_well());
    let said = server.said();
    assert!(said.contains("547") && said.contains("dnsmasq (pid") && said.contains("bind-interfaces"), "{said}");
}

#[test]
fn a_standby_gives_another_server_time() {
    let (lan, site) = (Lan::with_ipv6(), site6());
    site.configure("dhcp", "secs_min = 4");
    let _server = serve6(&lan, "boot", &site, &[]);
    UEFI.ask_until(&lan, "client", |answers| !answers.is_empty());
    let asked = |xid: u32, elapsed: u64| {
        let since = Instant::now();
        let answers = UEFI.ask(&lan, "client", MessageType::Solicit, xid, Duration::from_secs(elapsed));
        (answers.len(), since.elapsed())
    };
    // The answer, and as long as nothing more is waited for.
    let quiet = Duration::from_millis(2_500);
    let (count, took) = asked(1, 0);
    assert!(count == 1 && took >= quiet + Duration::from_millis(1_500), "{took:?}");
    let (count, took) = asked(2, 4);
    assert!(count == 1 && took < quiet + Duration::from_millis(1_400), "{took:?}");
    // iPXE asks again and again, and says for how long.
    let ipxe = |xid, elapsed| {
        IPXE.ask(&lan, "client", MessageType::InformationRequest, xid, Duration::from_secs(elapsed)).len()
    };
    assert_eq!((ipxe(3, 0), ipxe(3, 3), ipxe(3, 4)), (0, 0, 1));
}
