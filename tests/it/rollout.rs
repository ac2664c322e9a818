//! New scripts beside the live ones: in the shadow, as a canary, promoted and rolled back, with the server running.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Daemon, PATIENCE, Site, printed};

const ALLOW: &str = "fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }\n";
const DENY: &str = "fn allow_boot(request) { deny(\"closed\") }\nfn boot_images(request) { local_disk() }\n";

/// A site whose candidate denies what the live scripts allow.
fn site() -> Site {
    let site = Site::with_rules(ALLOW);
    succeed(&site, &["scripts", "stage"]);
    site.write("scripts.next/allow_boot.rhai", DENY);
    site
}

fn handler(site: &Site, keys: &str) {
    site.edit("pointsman.toml", |text| {
        text.replacen("kind = \"script\"\n", &format!("kind = \"script\"\n{keys}\n"), 1)
    });
}

fn succeed(site: &Site, arguments: &[&str]) -> String {
    let output = site.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    printed(&output)
}

fn fail(site: &Site, arguments: &[&str]) -> String {
    let output = site.run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", printed(&output));
    printed(&output)
}

fn verdict(daemon: &Daemon, mac: &str) -> &'static str {
    let report = daemon.boot(&["--ipxe-rom", "--mac", mac]);
    if report["screen"].to_string().contains("closed") { "deny" } else { "allow" }
}

fn says(line: &Value, start: &str) -> bool {
    line["message"].as_str().is_some_and(|text| text.starts_with(start))
}

/// Asks until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn metric(daemon: &Daemon, outcome: &str) -> u64 {
    let start = format!("pointsman_script_candidate_questions_total{{handler=\"script\",outcome=\"{outcome}\"}} ");
    let page = daemon.get("/metrics");
    let found = page.lines().find_map(|line| line.strip_prefix(&start)).and_then(|count| count.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {start} in {page}"))
}

#[test]
fn the_shadow_is_seen_in_the_log_the_metrics_the_history_and_the_status() {
    let site = site();
    let daemon = site.serve();
    assert_eq!(verdict(&daemon, "52:54:00:00:05:01"), "allow");
    let line = daemon.wait_for_log(|line| says(line, "shadow: the candidate would answer otherwise"));
    assert_eq!((&line["mac"], &line["question"]), (&"52:54:00:00:05:01".into(), &"allow_boot".into()));
    assert!(line["message"].as_str().unwrap().contains("would deny: closed"), "{line}");
    until("both questions are counted", || metric(&daemon, "different") == 1 && metric(&daemon, "same") == 1);
    assert!(daemon.get("/metrics").contains("pointsman_script_candidate_loaded{handler=\"script\"} 1"));
    let session = line["session"].as_str().unwrap();
    until("it is in the story of the boot", || {
        let story = printed(&site.run(&["history", "--session", session]));
        story.contains("shadow") && story.contains("allow_boot: would deny: closed")
    });
    until("the status tells it", || {
        let status: Value = serde_json::from_str(&succeed(&site, &["scripts", "status", "--json"])).unwrap();
        let progress = &status["progress"][0][1];
        (&progress["different"], &progress["same"]) == (&1.into(), &1.into())
    });
    let text = succeed(&site, &["scripts", "status"]);
    assert!(text.contains("1 questions the same, 1 otherwise") && text.contains("52:54:00:00:05:01"), "{text}");
    // Once for each machine and kind.
    assert_eq!(verdict(&daemon, "52:54:00:00:05:01"), "allow");
    until("it is counted again", || metric(&daemon, "different") == 2);
    let lines = daemon.log().iter().filter(|line| says(line, "shadow: the candidate would")).count();
    assert_eq!(lines, 1);
}

#[test]
fn a_canary_answers_its_machines_also_after_a_restart() {
    let site = site();
    handler(&site, "canary_machines = [\"52:54:00:00:05:02\"]\ncanary_percent = 50");
    let mut first: Vec<&str> = Vec::new();
    let macs: Vec<String> = (2..14).map(|last| format!("52:54:00:00:05:{last:02x}")).collect();
    for _ in 0..2 {
        let daemon = site.serve();
        let verdicts: Vec<&str> = macs.iter().map(|mac| verdict(&daemon, mac)).collect();
        if first.is_empty() {
            first = verdicts.clone();
            // The dry run says the same, and why.
            let (mac, seen) = (&macs[0], verdicts[0]);
            let text = printed(&site.run(&["decide", "--stage", "discover", "--mac", mac]));
            assert!(text.contains(&format!("verdict  {seen}")) && text.contains("(canary)"), "{text}");
        }
        assert_eq!(verdicts, first);
        assert_eq!(verdicts[0], "deny", "it is named");
        assert!(verdicts.contains(&"allow"), "the others are drawn: {verdicts:?}");
        let canary = verdicts.iter().filter(|verdict| **verdict == "deny").count() as u64;
        assert_eq!(metric(&daemon, "canary"), canary, "a denied machine is asked about once");
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[test]
fn what_is_promoted_decides_and_what_is_rolled_back_decides_again() {
    let site = site();
    let daemon = site.serve();
    assert_eq!(verdict(&daemon, "52:54:00:00:05:03"), "allow");
    let text = succeed(&site, &["scripts", "promote"]);
    assert!(text.contains("promoted: ") && text.contains("is kept as revision 1 "), "{text}");
    until("the candidate decides", || verdict(&daemon, "52:54:00:00:05:03") == "deny");
    assert!(fail(&site, &["scripts", "promote"]).contains("there is no candidate"));
    succeed(&site, &["scripts", "rollback"]);
    until("the old scripts decide", || verdict(&daemon, "52:54:00:00:05:03") == "allow");
    // What took the folder's name is watched by it.
    site.write("scripts/allow_boot.rhai", DENY);
    until("an edit is taken over", || verdict(&daemon, "52:54:00:00:05:03") == "deny");
    let list: Value = serde_json::from_str(&succeed(&site, &["scripts", "list", "--json"])).unwrap();
    let numbers: Vec<_> = list.as_array().unwrap().iter().map(|revision| revision["number"].as_u64()).collect();
    assert_eq!(numbers, [Some(2), Some(1)]);
    assert!(succeed(&site, &["scripts", "diff", "1"]).contains("+fn allow_boot(request) { deny(\"closed\") }"));
}

#[test]
fn a_broken_candidate_harms_nobody() {
    let site = site();
    site.write("scripts.next/allow_boot.rhai", "fn allow_boot(request { }\n");
    handler(&site, "canary_percent = 100");
    let text = succeed(&site, &["check"]);
    assert!(text.contains("note  the candidate ") && text.contains("scripts.next/allow_boot.rhai:1:"), "{text}");
    let daemon = site.serve();
    let line = daemon.wait_for_log(|line| line["level"] == "WARN" && says(line, "the candidate "));
    assert!(line["message"].as_str().unwrap().contains("scripts.next/allow_boot.rhai:1:"), "{line}");
    assert!(daemon.get("/metrics").contains("pointsman_script_candidate_loaded{handler=\"script\"} 0"));
    assert_eq!(verdict(&daemon, "52:54:00:00:05:04"), "allow");
    assert!(succeed(&site, &["scripts", "status"]).contains("scripts.next: does not load"));
    let text = fail(&site, &["scripts", "promote"]);
    assert!(text.contains("does not load; nothing was changed") && text.contains("allow_boot.rhai:1:"), "{text}");
    // It is put right while the server runs.
    site.write("scripts.next/allow_boot.rhai", DENY);
    until("the canary answers", || verdict(&daemon, "52:54:00:00:05:05") == "deny");
    // Put away, it is gone.
    std::fs::remove_dir_all(site.path("scripts.next")).unwrap();
    until("the live scripts answer", || verdict(&daemon, "52:54:00:00:05:05") == "allow");
}

#[test]
fn a_candidate_whose_cases_fail_is_promoted_by_force_only() {
    let site = site();
    site.write(
        "scripts.next/allow_boot.cases.toml",
        "[[case]]\nquestion = \"allow_boot\"\nname = \"open\"\nexpect = \"allow\"\n",
    );
    let text = fail(&site, &["scripts", "promote"]);
    assert!(text.contains("has cases that fail; nothing was changed") && text.contains("case \"open\""), "{text}");
    let text = succeed(&site, &["scripts", "promote", "--force"]);
    assert!(text.contains("--force: the candidate") && text.contains("case \"open\""), "{text}");
    assert!(succeed(&site, &["scripts", "status"]).contains("1 cases FAIL"));
    succeed(&site, &["scripts", "rollback", "1"]);
    assert_eq!(std::fs::read_to_string(site.path("scripts/allow_boot.rhai")).unwrap(), ALLOW);
}

#[test]
fn a_kill_in_the_middle_of_promote_leaves_a_whole_set() {
    let site = Site::with_rules(ALLOW);
    let modules = ["a", "b", "c", "d", "e"];
    let write = |folder: &str, word: &str| {
        for module in modules {
            site.write(&format!("{folder}/{module}.rhai"), &format!("fn word() {{ \"{word}\" }}\n"));
        }
    };
    write("scripts", "x0");
    let set = || {
        let read = |module| std::fs::read_to_string(site.path("scripts").join(format!("{module}.rhai"))).unwrap();
        modules.map(read)
    };
    let (mut killed, mut live) = (0, set());
    let mut took = Duration::from_millis(100);
    for round in 1..=24 {
        if !site.path("scripts.next").exists() {
            succeed(&site, &["scripts", "stage"]);
        }
        write("scripts.next", &format!("x{round}"));
        let since = Instant::now();
        let mut promote = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["--config", &site.config(), "scripts", "promote"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each round a little later; the last ones are not killed.
        std::thread::sleep(took * round / 20);
        let is_done = promote.try_wait().unwrap().is_some();
        promote.kill().unwrap();
        promote.wait().unwrap();
        if is_done {
            took = took.min(since.elapsed());
        }
        killed += u32::from(!is_done);
        let now = set();
        assert!(now.iter().all(|text| *text == now[0]), "half a set: {now:?}");
        assert!(now == live || now[0].contains(&format!("x{round}\"")), "{now:?} after {live:?}");
        // The next command finds all in order.
        let text = succeed(&site, &["scripts", "status"]);
        assert!(!text.contains("does not load"), "{text}");
        assert_eq!(set(), now);
        let candidate = std::fs::read_to_string(site.path("scripts.next/a.rhai")).ok();
        assert!(candidate.is_none_or(|candidate| candidate != live[0] || now == live), "the old one is a candidate");
        live = now;
    }
    assert!(killed > 0, "none was killed in the middle");
    assert_ne!(live[0], "fn word() { \"x0\" }\n", "none was promoted");
}
