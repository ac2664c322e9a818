//! Rules and configuration that change under a running daemon.

use nix::sys::signal::{Signal, kill};

use crate::harness::{Daemon, PATIENCE, Site};

const ALLOW: &str = "fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }\n";
const DENY: &str = "fn allow_boot(request) { deny(\"closed\") }\n";

fn verdict(daemon: &Daemon, mac: &str) -> String {
    let report = daemon.boot(&["--ipxe-rom", "--mac", mac]);
    if report["screen"].to_string().contains("closed") { "deny".into() } else { "allow".into() }
}

#[test]
fn a_changed_script_decides_from_now_on() {
    let site = Site::with_rules(ALLOW);
    let daemon = site.serve();
    assert_eq!(verdict(&daemon, "52:54:00:00:01:01"), "allow");
    site.write("scripts/allow_boot.rhai", DENY);
    daemon.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("reloaded")));
    assert_eq!(verdict(&daemon, "52:54:00:00:01:01"), "deny");
}

#[test]
fn a_broken_script_keeps_the_last_good_one_and_says_so() {
    let site = Site::with_rules(ALLOW);
    let daemon = site.serve();
    site.write("scripts/allow_boot.rhai", "fn allow_boot(request { deny(\"closed\") }\n");
    let line = daemon.wait_for_log(|line| line["level"] == "ERROR");
    let text = line["message"].as_str().unwrap();
    assert!(text.contains("goes on as it was") && text.contains("allow_boot.rhai:1:"), "{text}");
    assert_eq!(verdict(&daemon, "52:54:00:00:01:02"), "allow");
    assert!(daemon.get("/metrics").contains("pointsman_reloads_total{reason=\"refused\"} 1"));
}

#[test]
fn a_script_whose_cases_fail_is_not_taken_over() {
    let site = Site::with_rules(ALLOW);
    let daemon = site.serve();
    site.write(
        "scripts/allow_boot.cases.toml",
        "[[case]]\nquestion = \"allow_boot\"\nname = \"open\"\nmac = \"52:54:00:00:01:03\"\nexpect = \"deny\"\n",
    );
    let line = daemon.wait_for_log(|line| line["level"] == "ERROR");
    assert!(line["message"].as_str().unwrap().contains("allow_boot.cases.toml"), "{line}");
    assert_eq!(verdict(&daemon, "52:54:00:00:01:03"), "allow");
}

#[test]
fn sighup_reloads_and_a_broken_configuration_changes_nothing() {
    let site = Site::with_rules(ALLOW);
    let daemon = site.serve();
    kill(daemon.pid(), Signal::SIGHUP).unwrap();
    daemon.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("reloaded")));
    site.edit("pointsman.toml", |text| format!("{text}\n[nonsense]\n"));
    let line = daemon.wait_for_log(|line| line["level"] == "ERROR");
    assert!(line["message"].as_str().unwrap().contains("unknown table `nonsense`"), "{line}");
    assert_eq!(verdict(&daemon, "52:54:00:00:01:04"), "allow");
}

/// Each line of the log would bring a reload, and each reload a line.
#[test]
fn a_log_in_the_sites_own_folder_is_no_change() {
    let site = Site::with_rules(ALLOW);
    let log = site.path("said");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["--config", &site.config(), "serve"])
        .stdout(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let since = std::time::Instant::now();
    let count = |what: &str| std::fs::read_to_string(&log).unwrap().matches(what).count();
    let wait_for = |what: &str, times: usize| {
        while count(what) < times {
            assert!(since.elapsed() < PATIENCE, "{what}: {}", std::fs::read_to_string(&log).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    wait_for("serving", 1);
    for times in 1..=3 {
        site.write("scripts/allow_boot.rhai", &format!("// {times}\n{ALLOW}"));
        wait_for("reloaded", times);
    }
    let reloads = count("reloaded");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(reloads, 3);
}
