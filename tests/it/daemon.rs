//! Whole boots against the running daemon.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{Daemon, PATIENCE, Site, printed};

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
}

#[test]
fn a_machine_that_is_denied_later_finds_its_paths_closed() {
    let allow = "fn allow_boot(request) { allow() }\n\
                 fn boot_images(request) { linux(#{ id: \"d\", title: \"d\", kernel: \"debian/linux\" }) }\n";
    let site = Site::with_rules(allow);
    let daemon = site.serve();
    let report = daemon.boot(&["--mac", "52:54:00:00:00:65"]);
    let script = report["script"].as_str().unwrap();
    let base = script[script.find("/b/").unwrap()..].split("f/debian").next().unwrap().to_owned();
    let image = format!("{base}f/debian/linux");
    assert!(daemon.get(&image).starts_with("HTTP/1.1 200"));
    assert_eq!(first_tftp_answer(&daemon, &format!("{base}snponly.efi"))[..4], [0, 3, 0, 1]);
    site.write("scripts/allow_boot.rhai", &allow.replace("{ allow() }", "{ deny(\"closed\") }"));
    daemon.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("reloaded")));
    let response = daemon.get(&image);
    assert!(response.starts_with("HTTP/1.1 403") && response.ends_with("closed\n"), "{response}");
    assert!(daemon.get(&format!("{base}script.ipxe")).contains("closed"));
    let answer = first_tftp_answer(&daemon, &format!("{base}snponly.efi"));
    assert_eq!(answer[..4], [0, 5, 0, 2], "{}", String::from_utf8_lossy(&answer));
    assert!(String::from_utf8_lossy(&answer).contains("closed"));
}

fn first_tftp_answer(daemon: &Daemon, name: &str) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(format!("\0\x01{name}\0octet\0").as_bytes(), ("127.0.0.1", daemon.port("tftp"))).unwrap();
    let mut answer = vec![0; 1024];
    let len = socket.recv(&mut answer).unwrap();
    answer.truncate(len);
    answer
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

#[test]
fn without_privilege_the_low_ports_are_named_with_the_remedy() {
    if !nix::unistd::geteuid().is_root() {
        // Then the program has no privilege to lose: it is run as it is.
        return check_low_ports(Command::new(env!("CARGO_BIN_EXE_pointsman")));
    }
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let program = folder.path().join("pointsman");
    std::fs::copy(env!("CARGO_BIN_EXE_pointsman"), &program).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    command.uid(65_534).gid(65_534);
    check_low_ports(command);
}

fn check_low_ports(mut command: Command) {
    let site = Site::new();
    site.edit("pointsman.toml", |text| text.replacen("[http]\nport = 0", "[http]\nport = 80", 1));
    site.edit("pointsman.toml", |text| text.replacen("[tftp]\nport = 0", "[tftp]\nport = 69", 1));
    open_to_all(&site.path(""));
    let output = command.args(["--config", &site.config(), "serve"]).output().unwrap();
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for expect in ["http: TCP port 80", "tftp: no permission for UDP port 69", "CAP_NET_BIND_SERVICE"] {
        assert!(text.contains(expect), "no `{expect}` in {text}");
    }
}

/// Lets another user read the site and write its state.
fn open_to_all(path: &Path) {
    let mode = if path.is_dir() { 0o777 } else { 0o666 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| open_to_all(&entry.unwrap().path()));
    }
}
