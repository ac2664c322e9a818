//! `pointsman probe` beside real DHCP servers of three makes. Needs root and the servers' packages.

use std::net::Ipv4Addr;
use std::process::Output;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{PATIENCE, Site, printed};
use crate::lan::{DEVICE, Lan, Running};

/// Asks until a DHCP server of the LAN answers: it takes a while to start.
fn probe(lan: &Lan, client: &str) -> (Output, Value) {
    let since = Instant::now();
    loop {
        let mut command = lan.command("client", env!("CARGO_BIN_EXE_pointsman"));
        let output =
            command.args(["probe", "--json", "--interface", DEVICE, "--wait", "1", "--as", client]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
        let offers = report["offers"].as_array().unwrap();
        if offers.iter().any(|offer| offer["address"].is_string()) {
            return (output, report);
        }
        assert!(since.elapsed() < PATIENCE, "no lease was offered: {report:#}");
    }
}

fn lan() -> Lan {
    let lan = Lan::new();
    lan.give("client", Ipv4Addr::new(10, 178, 4, 9));
    lan
}

#[test]
fn servers_that_name_a_boot_file_are_read() {
    for (make, more) in [
        ("dnsmasq", "dhcp-boot=pxelinux.0,boot,10.178.4.1"),
        ("isc", "next-server 10.178.4.1;\nfilename \"pxelinux.0\";"),
        ("kea", r#""next-server": "10.178.4.1", "boot-file-name": "pxelinux.0""#),
    ] {
        let (lan, folder) = (lan(), tempfile::tempdir().unwrap());
        let _dhcp = lan.dhcp_server(make, "dhcp", folder.path(), more);
        let (output, report) = probe(&lan, "bios");
        assert!(output.status.success(), "{make}: {report:#}");
        let step = &report["choice"]["step"];
        assert_eq!(
            (&step["file"], &step["server"]),
            (&"pxelinux.0".into(), &"10.178.4.1".into()),
            "{make}: {report:#}"
        );
    }
}

/// A LAN with a dnsmasq that shows BIOS machines a menu.
fn lan_with_menu() -> (Lan, tempfile::TempDir, Running) {
    let (lan, folder) = (lan(), tempfile::tempdir().unwrap());
    let dhcp = lan.dhcp_server("dnsmasq", "dhcp", folder.path(), "pxe-service=X86PC,\"Install\",pxelinux");
    (lan, folder, dhcp)
}

#[test]
fn servers_that_call_themselves_boot_servers_are_in_our_way() {
    let (lan, folder) = (lan(), tempfile::tempdir().unwrap());
    let _dhcp = lan.dhcp_server("dnsmasq", "dhcp", folder.path(), "pxe-service=X86-64_EFI,\"Rival\",rival");
    let (_, report) = probe(&lan, "uefi");
    assert_eq!(report["offers"][0]["options"]["60"], "PXEClient", "{report:#}");
    assert_eq!((&report["choice"]["boot"], &report["conflicts"]), (&0.into(), &Value::Array(vec![])), "{report:#}");

    // A BIOS machine is given its menu, and an item of it on port 4011.
    let menu = lan_with_menu();
    let (output, report) = probe(&menu.0, "bios");
    assert!(output.status.success() && report["choice"]["step"]["does"] == "menu", "{report:#}");
    assert_eq!(report["offers"][0]["boot_server_file"], "pxelinux.0", "{report:#}");

    let site = Site::with_rules("fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }\n");
    site.write(
        "pointsman.toml",
        "[loaders]\nfolders = [\"loaders\"]\n[log]\nformat = \"json\"\n[[handler]]\nkind = \"script\"\n\
         boot_images = \"scripts/allow_boot.rhai\"\n",
    );
    let mut command = lan.command("boot", env!("CARGO_BIN_EXE_pointsman"));
    let server = lan.start(command.args(["--config", &site.config(), "serve"]));
    server.wait_for("\"serving\"");
    let (output, report) = probe(&lan, "uefi");
    let conflicts = report["conflicts"].to_string();
    assert!(!output.status.success() && conflicts.contains("DHCP server 10.178.4.1 sends option 60"), "{report:#}");
}
