//! What an administrator who writes rules has at hand: help, definitions for editors, cases with coverage, a watch.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::harness::{PATIENCE, Site, pointsman, printed};

const RULES: &str = "\
import \"lib/rooms\" as rooms;

fn allow_boot(request) {
    if rooms::is_closed(request.now) {
        return deny(\"the lab is closed\");
    }
    allow()
}

fn boot_images(request) {
    if request.product == \"\" {
        return local_disk();
    }
    linux(#{
        id: \"debian\",
        kernel: \"debian/linux\",
        cmdline: `auto=true hostname=${request.hostname} url=http://10.0.0.5/preseed.cfg --- quiet splash`,
    })
}
";

const ROOMS: &str = "\
fn is_closed(now) {
    if now.weekday == \"sunday\" {
        return true;
    }
    now.hour >= 20
}
";

const CASES: &str = "\
[[case]]
name = \"on Sunday the lab is closed\"
now = \"2026-01-04T12:00:00Z\"
expect = \"deny\"
reason = \"the lab is closed\"

[[case]]
name = \"the installer knows the machine's name\"
hostname = \"lab-07\"
facts = { product = \"OptiPlex 7010\" }
cmdline = \"auto=true hostname=lab-07 url=http://10.0.0.5/preseed.cfg --- quiet splash\"
";

fn site() -> Site {
    let site = Site::with_rules(RULES);
    site.write("scripts/lib/rooms.rhai", ROOMS);
    site.write("scripts/allow_boot.cases.toml", CASES);
    site
}

#[test]
fn help_tells_of_everything_and_of_one_thing() {
    let text = printed(&pointsman(&["script", "help"]));
    assert!(text.contains("request.NAME") && text.contains("deny()") && text.contains("memsize"), "{text}");
    let text = printed(&pointsman(&["script", "help", "linux"]));
    assert!(text.contains("linux(options: map) -> image") && text.contains("kernel"), "{text}");
    let text = printed(&pointsman(&["script", "help", "request.serial"]));
    assert!(text.contains("a claim") && text.contains("stage http"), "{text}");
    let output = pointsman(&["script", "help", "serail"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("did you mean `serial`?"), "{}", printed(&output));
}

#[test]
fn definitions_are_written_for_editors() {
    let site = Site::new();
    let folder = site.path("scripts/definitions");
    let output = pointsman(&["script", "definitions", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}", printed(&output));
    let text = std::fs::read_to_string(folder.join("pointsman.d.rhai")).unwrap();
    assert!(
        text.contains("fn linux(options: Map) -> Image;") && text.contains("fn get mac(request: Request) -> String;")
    );
    // They lie beside the scripts and are none.
    let output = site.run(&["check"]);
    assert!(output.status.success() && !printed(&output).contains("d.rhai"), "{}", printed(&output));
}

#[test]
fn cases_pass_and_differences_are_shown_beside_each_other() {
    let site = site();
    let output = site.run(&["test"]);
    let text = printed(&output);
    assert!(output.status.success() && text.contains("2 cases pass"), "{text}");
    assert!(!text.contains('\x1b'), "colors are for terminals: {text:?}");
    site.edit("scripts/allow_boot.rhai", |text| text.replace("--- quiet splash", "locale=de_DE --- quiet"));
    let output = site.run(&["test"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    for expect in
        ["1 case passes, 1 failed", "differs   cmdline", "expected", "but got", "+ ", "locale=de_DE", "- splash"]
    {
        assert!(text.contains(expect), "no `{expect}` in:\n{text}");
    }
    let output = site.run(&["test", "Sunday"]);
    assert!(output.status.success() && printed(&output).contains("1 case passes"), "{}", printed(&output));
    let output = site.run(&["test", "no-case-has-this"]);
    assert!(!output.status.success() && printed(&output).contains("`no-case-has-this`"), "{}", printed(&output));
    let output = site.run(&["test", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["passed"].as_u64(), json["failed"].as_u64()), (Some(1), Some(1)), "{json}");
    assert_eq!(json["files"][0]["failures"][0]["line"], 7, "{json}");
}

#[test]
fn coverage_names_the_lines_that_no_case_reaches() {
    let site = site();
    let output = site.run(&["test", "--coverage"]);
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    for expect in [
        "scripts/allow_boot.rhai: the cases reach 4 of 6 lines, 66 %",
        "    7 |     allow()",
        "   12 |         return local_disk();",
        "lib/rooms.rhai: the cases reach 2 of 3 lines",
        "    5 |     now.hour >= 20",
        "66 % of the lines",
    ] {
        assert!(text.contains(expect), "no `{expect}` in:\n{text}");
    }
    let output = site.run(&["test", "--coverage-min", "90"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("90 % are wanted"), "{}", printed(&output));
    assert!(site.run(&["test", "--coverage-min", "60"]).status.success());
    let json: Value = serde_json::from_slice(&site.run(&["test", "--coverage", "--json"]).stdout).unwrap();
    assert_eq!(json["coverage"][0]["missed"][0]["from"], 7, "{json}");
}

#[test]
fn what_is_likely_wrong_is_told_and_does_not_fail_the_check() {
    let site = Site::with_rules(
        "fn allow_boot(request) {\n    if request.serial == \"7XK3N22\" { allow() } else { deny(\"not ours\") }\n}\n",
    );
    site.write("scripts/old.rhai", "fn f() { 1 }\n");
    for command in ["check", "test"] {
        let output = site.run(&[command]);
        let text = printed(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("allow_boot.rhai:2:16: at allow_boot the machine has not reported its facts"), "{text}");
    }
    let text = printed(&site.run(&["check"]));
    assert!(text.contains("old.rhai: no handler asks this script"), "{text}");
}

#[test]
fn a_run_that_fails_tells_the_machine_and_what_the_script_saw() {
    let site = Site::with_rules("fn allow_boot(request) {\n    parse_int(request.memsize) > 4096\n}\n");
    let output = site.run(&["decide", "--mac", "52:54:00:aa:bb:cc"]);
    let text = printed(&output);
    assert!(
        text.contains("the text is empty, and no number")
            && text.contains("machine 52:54:00:aa:bb:cc; request.memsize is \"\""),
        "{text}"
    );
}

/// `pointsman test --watch`, ended when dropped.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(site: &Site) -> Watch {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["--config", &site.config(), "test", "--watch"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        Watch { child, lines }
    }

    /// The lines up to one with this text.
    fn until(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no `{text}` after {seen:#?}"));
            seen.push(line);
            if seen.last().is_some_and(|line| line.contains(text)) {
                return seen;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_runs_again_with_each_change_and_shows_what_is_different() {
    let site = site();
    let watch = Watch::start(&site);
    watch.until("Ctrl-C ends");
    site.edit("scripts/lib/rooms.rhai", |text| text.replace("\"sunday\"", "\"monday\""));
    let seen = watch.until("1 failed");
    assert!(seen.iter().any(|line| line.contains("on Sunday the lab is closed")), "{seen:?}");
    site.edit("scripts/allow_boot.rhai", |text| text.replace("allow()", "alow()"));
    watch.until("did you mean `allow`?");
    watch.until("1 problem");
    site.edit("scripts/allow_boot.rhai", |text| text.replace("alow()", "allow()"));
    watch.until("the scripts load again");
    site.edit("scripts/lib/rooms.rhai", |text| text.replace("\"monday\"", "\"sunday\""));
    watch.until("passes now");
    let last = watch.until("2 cases pass");
    assert_eq!(last.len(), 1, "{last:?}");
}
