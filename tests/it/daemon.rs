//! Whole boots against the running daemon.

use std::net::UdpSocket;

use crate::harness::{Site, printed};

fn steps(report: &serde_json::Value) -> String {
    report["steps"].as_array().unwrap().iter().map(|step| format!("{}\n", step["what"].as_str().unwrap())).collect()
}

#[test]
fn every_kind_of_firmware_boots_what_the_script_says() {
    let site = Site::new();
    let daemon = site.serve();
    for (arch, extra, expect) in [
        ("x64-uefi", &[][..], "REQUEST to port 4011"),
        ("ebc", &[], "REQUEST to port 4011"),
        ("x86-bios", &[], "TFTP: b/…/undionly.kpxe"),
        ("x86-bios", &["--ipxe-rom"], "iPXE DISCOVER"),
        ("x64-uefi-http", &[], "UEFI HTTP Boot"),
        ("x64-uefi", &["--no-params"], "params: command not found"),
    ] {
        let report = daemon.boot(&[&["--mac", "52:54:00:00:00:01", "--arch", arch][..], extra].concat());
        assert!(steps(&report).contains(expect), "{arch}: {report:#}");
        assert_eq!(report["ending"], "booted", "{report:#}");
        let files: Vec<_> = report["files"].as_array().unwrap().iter().map(|file| file["len"].as_u64()).collect();
        assert_eq!(files, [Some(100_000), Some(100_000)], "{report:#}");
    }
}

#[test]
fn one_boot_is_one_session_and_runs_each_function_once() {
    let site = Site::new();
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:01", "--fact", "serial=X1"]);
    let log = daemon.log();
    let decisions: Vec<_> = log.iter().filter(|line| line["message"] == "boot decided").collect();
    let questions: Vec<_> = decisions.iter().map(|line| line["question"].as_str().unwrap()).collect();
    assert_eq!(questions, ["allow_boot", "boot_images"], "{log:#?}");
    assert_eq!(decisions[0]["session"], decisions[1]["session"]);
    for key in ["session", "mac", "uuid", "arch", "stage", "handler", "verdict", "reason", "ms"] {
        assert!(!decisions[1][key].is_null(), "no {key} in {}", decisions[1]);
    }
    let text: String = log.iter().map(ToString::to_string).collect();
    assert!(!text.contains("/b/"), "a token is in the log: {text}");
}

#[test]
fn the_menu_s_default_boots_and_a_person_may_pick() {
    let site = Site::new();
    let daemon = site.serve();
    let report = daemon.boot(&["--mac", "52:54:00:00:00:02", "--arch", "x86-bios"]);
    assert_eq!(report["ending"], "local_disk", "{report:#}");
    let report = daemon.boot(&["--mac", "52:54:00:00:00:02", "--arch", "x86-bios", "--pick", "debian"]);
    assert_eq!(report["ending"], "booted", "{report:#}");
    let report = daemon.boot(&["--mac", "52:54:00:00:00:02", "--pick", "shell"]);
    assert_eq!(report["ending"], "shell", "{report:#}");
}

#[test]
fn a_denied_machine_gets_nothing_on_any_protocol() {
    let site = Site::with_rules(
        "fn allow_boot(request) { if request.mac.ends_with(\"66\") { deny(\"not today\") } else { allow() } }\n\
         fn boot_images(request) { linux(#{ id: \"d\", title: \"d\", kernel: \"debian/linux\" }) }",
    );
    let daemon = site.serve();
    let output = daemon.simulate(&["--mac", "52:54:00:00:00:66"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["ending"]), (Some(1), &"no_offer".into()));
    // iPXE in the NIC can show text: it is told why, and gets nothing else.
    let report = daemon.boot(&["--mac", "52:54:00:00:00:66", "--ipxe-rom", "--arch", "x86-bios"]);
    assert!(report["screen"].to_string().contains("not today"), "{report:#}");
    assert_eq!((&report["ending"], &report["files"]), (&"local_disk".into(), &serde_json::json!([])));
    // Once allowed, then denied by a change of the rules: its session's paths are closed too.
    let report = daemon.boot(&["--mac", "52:54:00:00:00:65"]);
    assert_eq!(report["ending"], "booted");
}

#[test]
fn an_ignored_machine_hears_nothing() {
    let site = Site::with_rules("fn allow_boot(request) { ignore(\"not ours\") }");
    let daemon = site.serve();
    let output = daemon.simulate(&["--ipxe-rom"]);
    assert!(printed(&output).contains("no_offer"), "{}", printed(&output));
    let decided = daemon.wait_for_log(|line| line["message"] == "boot decided");
    assert_eq!((&decided["verdict"], &decided["reason"]), (&"ignore".into(), &"not ours".into()));
}

#[test]
fn https_serves_builds_that_can() {
    let site = Site::new();
    site.configure("https", "ipxe = \"https\"");
    let daemon = site.serve();
    let ca = site.path("state/ca.pem");
    let report = daemon.boot(&["--mac", "52:54:00:00:00:01", "--https", "--ca", ca.to_str().unwrap()]);
    assert!(steps(&report).contains("script: https://127.0.0.1:"), "{report:#}");
    assert_eq!(report["ending"], "booted");
    let report = daemon.boot(&["--mac", "52:54:00:00:00:01", "--ipxe-rom"]);
    assert!(steps(&report).contains("script: http://127.0.0.1:"), "a build without HTTPS: {report:#}");
}

#[test]
fn the_funnel_counts_how_far_boots_come() {
    let site = Site::new();
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:01"]);
    daemon.boot(&["--mac", "52:54:00:00:00:04", "--ipxe-rom"]);
    let metrics = daemon.get("/metrics");
    for (step, arch, verdict) in [
        ("offered", "x64-uefi", "allow"),
        ("loader_fetched", "x64-uefi", "allow"),
        ("script_served", "x64-uefi", "allow"),
        ("image_fetched", "x64-uefi", "allow"),
        ("offered", "x64-uefi", "deny"),
    ] {
        let line = format!("pointsman_boots_total{{step=\"{step}\",arch=\"{arch}\",verdict=\"{verdict}\"}} 1");
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
    assert!(metrics.contains("pointsman_decisions_total{handler=\"script\",verdict=\"allow\"} 2"), "{metrics}");
    assert!(daemon.get("/healthz").ends_with("ok\n"));
}

#[test]
fn a_boot_under_way_survives_a_restart() {
    let site = Site::new();
    let daemon = site.serve();
    // The offer of the first daemon names the script; the second daemon serves it.
    let report = daemon.boot(&["--mac", "52:54:00:00:00:01"]);
    let script = report["script"].as_str().unwrap();
    let at = script.find("/b/").unwrap();
    let path: String = script[at..].chars().take_while(|c| !c.is_whitespace()).collect();
    assert_eq!(daemon.stop(), Some(0));
    let daemon = site.serve();
    let response = daemon.get(&path);
    assert!(response.starts_with("HTTP/1.1 200"), "{response:.300}");
}

#[test]
fn a_port_that_is_taken_is_named_with_its_holder() {
    let site = Site::new();
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    site.edit("pointsman.toml", |text| text.replacen("[tftp]\nport = 0", &format!("[tftp]\nport = {port}"), 1));
    let output = site.run(&["serve"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("tftp:") && text.contains(&format!("{port}")) && text.contains("already in use by"),
        "{text}"
    );
    assert!(text.contains(&std::process::id().to_string()), "{text}");
}

#[test]
fn an_address_or_interface_that_is_not_there_is_named() {
    let site = Site::new();
    site.edit("pointsman.toml", |text| text.replacen("address = \"127.0.0.1\"", "address = \"192.0.2.7\"", 1));
    let text = printed(&site.run(&["serve"]));
    assert!(text.contains("192.0.2.7") && text.contains("not an address of this host"), "{text}");
    site.edit("pointsman.toml", |text| text.replacen("address = \"192.0.2.7\"", "interfaces = [\"nowhere0\"]", 1));
    let text = printed(&site.run(&["serve"]));
    assert!(text.contains("no interface `nowhere0`") && text.contains("lo"), "{text}");
}
