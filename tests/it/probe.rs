//! `pointsman probe` and `pointsman doctor` on a network of their own, with a DHCP server and the real server. Needs root.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Site, printed};
use crate::lan::{Caller, DEVICE, Lan};

pub(crate) const RULES: &str = "fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }\n";
pub(crate) const CONFIG: &str = r#"
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
    let (lan, folder, site) = (Lan::new(), tempfile::tempdir().unwrap(), Site::with_rules(RULES));
    lan.give("client", Ipv4Addr::new(10, 178, 4, 9));
    site.write("pointsman.toml", CONFIG);
    let nobody = probe(&lan, &["--wait", "1"]);
    assert!(!nobody.status.success() && printed(&nobody).contains("Nobody answered"), "{}", printed(&nobody));

    let server = lan.start(pointsman(&lan, "boot").args(["--config", &site.config(), "serve"]));
    server.wait_for("\"serving\"");
    let alone = probe(&lan, &["--wait", "1", "--as", "bios"]);
    assert!(!alone.status.success() && printed(&alone).contains("PXE-E52"), "{}", printed(&alone));

    let dhcp = lan.dhcp_server("dnsmasq", "dhcp", folder.path(), "");
    Caller::plain(99).offer(&lan);
    boots(&lan);
    let without_address = printed(&probe(&lan, &["--wait", "1", "--as", "http"]));
    assert!(without_address.contains("http://10.178.4.2/b/…/snponly.efi"), "{without_address}");
    healthy(&lan, &site);
    drop(dhcp);

    let _dhcp = lan.dhcp_server("dnsmasq", "dhcp", folder.path(), "dhcp-option=60,PXEClient");
    Caller::plain(98).offer(&lan);
    let two = probe(&lan, &["--wait", "1"]);
    let text = printed(&two);
    assert!(!two.status.success() && text.contains("sends option 60 PXEClient"), "{text}");
    let found = doctor(&lan, &site, &[]);
    assert!(!found.status.success());
    assert_eq!(states(&found, "dhcp-options"), ["fail"], "{}", printed(&found));
    drop(server);
    let found = doctor(&lan, &site, &["--only", "ports,tftp,http,boot-server"]);
    assert_eq!(states(&found, "tftp"), ["fail"], "{}", printed(&found));
    assert!(states(&found, "ports").contains(&"fail".to_owned()), "{}", printed(&found));

    // A DHCP client that does not share its port.
    let _holder = lan.within("client", || UdpSocket::bind("0.0.0.0:68").unwrap());
    let taken = probe(&lan, &[]);
    assert!(!taken.status.success() && printed(&taken).contains("DHCP client of this host"), "{}", printed(&taken));
}

fn pointsman(lan: &Lan, part: &str) -> Command {
    lan.command(part, env!("CARGO_BIN_EXE_pointsman"))
}

fn probe(lan: &Lan, arguments: &[&str]) -> Output {
    pointsman(lan, "client").args(["probe", "--interface", DEVICE]).args(arguments).output().unwrap()
}

fn doctor(lan: &Lan, site: &Site, arguments: &[&str]) -> Output {
    let mut command = pointsman(lan, "boot");
    command.args(["--config", &site.config(), "doctor", "--json"]).args(arguments).output().unwrap()
}

/// Each kind of client would boot by this server, and no token is shown.
fn boots(lan: &Lan) {
    let uefi = probe(lan, &["--wait", "1", "--json"]);
    assert!(uefi.status.success(), "{}", printed(&uefi));
    let report: Value = serde_json::from_slice(&uefi.stdout).unwrap();
    assert_eq!(report["choice"]["step"]["does"], "ask-boot-server", "{report:#}");
    assert_eq!(report["then"]["file"], "b/…/snponly.efi", "{report:#}");
    assert_eq!(report["offers"].as_array().map(Vec::len), Some(2), "{report:#}");
    for (client, file) in [("bios", "b/…/undionly.kpxe from 10.178.4.2"), ("ipxe", "http://10.178.4.2/b/…/boot.ipxe")]
    {
        let output = probe(lan, &["--wait", "1", "--as", client]);
        assert!(output.status.success() && printed(&output).contains(file), "{}", printed(&output));
    }
}

/// Doctor finds nothing to put right.
fn healthy(lan: &Lan, site: &Site) {
    let found = doctor(lan, site, &[]);
    assert!(found.status.success(), "{}", printed(&found));
    let services = ["tftp", "http", "https", "boot-server", "relay", "certificate", "mtu", "clock"];
    for check in services.into_iter().chain(["lease", "neighbors", "dhcp-options"]) {
        assert_eq!(states(&found, check), ["ok"], "{check}: {}", printed(&found));
    }
    assert!(states(&found, "ports").iter().all(|state| state != "fail"), "{}", printed(&found));
}

fn states(output: &Output, check: &str) -> Vec<String> {
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(output)));
    let of = findings.iter().filter(|finding| finding["check"] == check);
    of.map(|finding| finding["state"].as_str().unwrap().to_owned()).collect()
}
