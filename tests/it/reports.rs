//! What an installer reports to the running daemon.

use crate::harness::{Daemon, Site, printed};

/// Boots a machine whose kernel is told where to report.
fn site() -> Site {
    Site::with_rules(
        "fn allow_boot(request) { allow() }\n\
         fn boot_images(request) {\n\
           if request.platform == \"bios\" { return linux(#{ id: \"d\", title: \"d\", kernel: \"debian/linux\" }) }\n\
           let line = \"url={files_url}/debian/initrd.gz tell={done_url} or={failed_url}\";\n\
           linux(#{ id: \"d\", title: \"d\", kernel: \"debian/linux\", cmdline: line })\n\
         }",
    )
}

fn last_step(report: &serde_json::Value) -> &str {
    report["steps"].as_array().unwrap().last().unwrap()["what"].as_str().unwrap()
}

#[test]
fn an_installer_reports_where_its_command_line_says_or_where_it_was_booted_from() {
    let site = site();
    let daemon = site.serve();
    for arch in ["x64-uefi", "x86-bios"] {
        let report = daemon.boot(&["--mac", "52:54:00:00:00:01", "--arch", arch, "--done"]);
        assert_eq!((report["ending"].as_str(), last_step(&report)), (Some("booted"), "installer: done: noted"));
        let done = daemon.wait_for_log(|line| line["message"] == "installer reported");
        assert_eq!((&done["event"], &done["mac"]), (&"Done".into(), &"52:54:00:00:00:01".into()));
    }
    let report = daemon.boot(&["--mac", "52:54:00:00:00:02", "--failed", "disk too small; a=1&b"]);
    assert_eq!(last_step(&report), "installer: failed: noted");
    let is_it = |line: &serde_json::Value| line["event"].to_string().contains("disk too small; a=1&b");
    assert_eq!(daemon.wait_for_log(is_it)["mac"], "52:54:00:00:00:02");
    no_token_is_logged(&daemon);
}

/// The kernel's command line has the addresses of its own session, and they are good.
#[test]
fn a_command_line_has_the_addresses_of_its_session() {
    let site = site();
    let daemon = site.serve();
    let report = daemon.boot(&["--mac", "52:54:00:00:00:01"]);
    let script = report["script"].as_str().unwrap();
    let word = |name: &str| {
        let found = script.split_whitespace().find_map(|word| word.strip_prefix(name)).expect(name);
        found.split_once("127.0.0.1:").unwrap().1.split_once('/').map(|(_, path)| format!("/{path}")).unwrap()
    };
    assert!(daemon.get(&word("url=")).ends_with(&"x".repeat(100_000)));
    assert!(daemon.get(&word("or=")).ends_with("noted\n"));
    assert!(daemon.get(&word("tell=")).ends_with("noted\n"));
    no_token_is_logged(&daemon);
}

#[test]
fn what_was_not_booted_reports_nothing() {
    let site = Site::with_rules("fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }");
    let daemon = site.serve();
    let output = daemon.simulate(&["--done"]);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("nothing was booted that could report"), "{}", printed(&output));
}

fn no_token_is_logged(daemon: &Daemon) {
    let log: String = daemon.log().iter().map(ToString::to_string).collect();
    assert!(!log.contains("/b/"), "a token is in the log: {log}");
}
