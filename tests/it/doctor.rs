//! `pointsman doctor` and `pointsman explain CODE` without a network of their own.

use pointsman::doctor::CHECKS;
use pointsman::doctor::codes::{Code, IPXE, PXE};
use serde_json::Value;

use crate::harness::{Site, pointsman, printed};

#[test]
fn offline_it_looks_at_the_site_and_sends_nothing() {
    let site = Site::new();
    let output = site.run(&["doctor", "--offline", "--json"]);
    let findings: Vec<Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    for check in CHECKS {
        let states: Vec<&Value> =
            findings.iter().filter(|finding| finding["check"] == check.name).map(|finding| &finding["state"]).collect();
        // No port is left to look at: the kernel chooses them all.
        assert!(!states.is_empty() || check.name == "ports", "{} says nothing", check.name);
        assert!(!check.sends || states.iter().all(|state| **state == "skipped"), "{}: {states:?}", check.name);
    }
    assert!(output.status.success(), "{}", printed(&output));
}

#[test]
fn a_broken_site_fails_and_only_what_is_asked_for_is_looked_at() {
    let site = Site::new();
    site.edit("pointsman.toml", |text| text.replace("[server]\n", "[server]\nnosuchkey = 1\n"));
    let output = site.run(&["doctor", "--offline"]);
    assert!(!output.status.success() && printed(&output).contains("nosuchkey"), "{}", printed(&output));
    let site = Site::new();
    let clock = printed(&site.run(&["doctor", "--only", "clock"]));
    assert!(clock.contains("the clock says") && clock.lines().count() == 2, "{clock}");
    let output = site.run(&["doctor", "--only", "clok"]);
    assert!(!output.status.success() && printed(&output).contains("did you mean `clock`"), "{}", printed(&output));
    assert_eq!(printed(&site.run(&["doctor", "--list"])).lines().count(), CHECKS.len());
}

#[test]
fn a_state_folder_that_is_none_is_told_before_the_server_is_started() {
    let site = Site::new();
    site.write("taken", "a file");
    site.configure("server", "state = \"taken\"");
    let folder = site.path("");
    let text = printed(&pointsman(&["check", "--config", folder.to_str().unwrap()]));
    assert!(text.contains("--config DIR/pointsman.toml"), "{text}");
    for command in [&["check"][..], &["doctor", "--offline"], &["serve"]] {
        let output = site.run(command);
        let text = printed(&output);
        assert!(
            !output.status.success() && text.contains("server.state") && text.contains("taken"),
            "{command:?}: {text}"
        );
    }
}

#[test]
fn codes_are_explained_without_a_site() {
    for (code, words) in [
        ("PXE-E55", "no answer on port 4011"),
        ("e55", "pointsman doctor --only boot-server"),
        ("https://ipxe.org/2d12618e", "file not found"),
        ("0x410de13c", "docs/secure-it.md"),
        ("0x4c126f00", "TFTP: timed out"),
    ] {
        let output = pointsman(&["explain", code]);
        assert!(output.status.success() && printed(&output).contains(words), "{code}: {}", printed(&output));
    }
    let output = pointsman(&["explain", "PXE-E5B"]);
    assert!(!output.status.success() && printed(&output).contains("PXE-E5"), "{}", printed(&output));
    let json = pointsman(&["explain", "2d1261", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap()["known"], "code");
    // Digits that are no code are a machine's name first.
    let output = Site::new().run(&["explain", "77777777"]);
    let text = printed(&output);
    assert!(!output.status.success() && text.contains("no code `77777777`") && text.contains("77777777`: "), "{text}");
}

#[test]
fn the_page_has_the_rows_of_the_table() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshoot.md")).unwrap();
    let short =
        |row: &Code| row.codes.iter().map(|code| code.trim_start_matches("PXE-")).collect::<Vec<_>>().join(", ");
    let quoted = |row: &Code| row.codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
    let line = |codes: String, row: &Code| format!("| {codes} | {} | {} |\n", row.means, row.look_at);
    let pxe: String = PXE.iter().map(|row| line(format!("PXE-{}", short(row)), row)).collect();
    let ipxe: String = IPXE.iter().map(|row| line(quoted(row), row)).collect();
    assert!(page.contains(&pxe), "docs/troubleshoot.md lacks these rows, as they are:\n{pxe}");
    assert!(page.contains(&ipxe), "docs/troubleshoot.md lacks these rows, as they are:\n{ipxe}");
    let checks: String = CHECKS.iter().map(|check| format!("| `{}` | {} |\n", check.name, check.looks_at)).collect();
    assert!(page.contains(&checks), "docs/troubleshoot.md lacks these rows, as they are:\n{checks}");
}
