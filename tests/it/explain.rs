//! `pointsman explain` from outside: what it tells of boots that a real server saw.

use crate::harness::{Site, printed};

const RULES: &str = r#"fn allow_boot(request) {
    if request.mac.ends_with("66") {
        return deny("not in the list");
    }
    if request.mac.ends_with("67") {
        return request.client_ip + nonsense(request);
    }
    allow()
}

fn nonsense(request) {
    let row = ();
    row.column
}

fn boot_images(request) {
    log("serial " + request.serial);
    linux(#{ id: "debian", title: "Debian", kernel: "debian/linux", cmdline: "tell={done_url}" })
}
"#;

/// What is told, spaces and line ends as one space.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Each part comes behind the one before.
fn in_order(text: &str, parts: &[&str]) {
    let flat = flat(text);
    let mut rest = flat.as_str();
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part:?} behind the others in\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_boot_is_told_from_its_first_packet_to_its_end() {
    let site = Site::with_rules(RULES);
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:01", "--fact", "serial=X1", "--done"]);
    daemon.boot(&["--mac", "52:54:00:00:00:01", "--fact", "serial=X2"]);
    daemon.simulate(&["--mac", "52:54:00:00:00:66"]);
    daemon.simulate(&["--mac", "52:54:00:00:00:67"]);
    assert_eq!(daemon.stop(), Some(0));
    let tell = |arguments: &[&str]| {
        let output = site.run(&[&["explain"], arguments].concat());
        assert!(output.status.success(), "{}", printed(&output));
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(
            !text.contains('\u{1b}') && !text.contains("/b/"),
            "colors are for terminals, and tokens for nobody\n{text}"
        );
        (text, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (last, more) = tell(&["52:54:00:00:00:01"]);
    in_order(
        &last,
        &[
            "52:54:00:00:00:01, x64-uefi, began",
            "discover UEFI firmware (x64-uefi)",
            "-> OFFER snponly.efi by TFTP from 127.0.0.1",
            "allow_boot allow, by script at stage discover",
            "saw 52:54:00:00:00:01, x64-uefi",
            "script answered at",
            "allow_boot.rhai:8: allow",
            "> 8 | allow() | ^ the answer",
            "boot-server UEFI firmware",
            "-> ACK snponly.efi",
            "sent snponly.efi to its end: 100000 octets by TFTP",
            "discover iPXE",
            "-> OFFER boot.ipxe at http://127.0.0.1:",
            "GET boot.ipxe",
            "-> 200 OK",
            "POST script.ipxe",
            "boot_images boots debian, by script at stage http",
            "serial=X2",
            "logged serial X2",
            "offered its script with debian",
            "GET debian/linux",
            "sent debian/linux to its end: 100000 octets by HTTP",
            "End: All that it asked for was sent",
        ],
    );
    assert!(more.contains("--boot 2"), "{more}");
    let (first, more) = tell(&["525400000001", "--boot", "2"]);
    in_order(&first, &["serial=X1", "done the installer is done", "End: The installer reported that it is done."]);
    assert_eq!(more, "");
    let (denied, _) = tell(&["52:54:00:00:00:66"]);
    in_order(
        &denied,
        &[
            "-> no answer: denied firmware gets none, and boots its disk: not in the list",
            "allow_boot deny: not in the list, by script",
            "2 | if request.mac.ends_with(\"66\") {",
            "> 3 | return deny(\"not in the list\");",
            "End: It may not boot: not in the list.",
        ],
    );
    let (failed, _) = tell(&["52:54:00:00:00:67"]);
    in_order(
        &failed,
        &["script FAILED (", "scripts/allow_boot.rhai:13:9:", "13 | row.column", "^", "policy stands in"],
    );
    // The scripts are others now: their lines are not those that answered.
    site.edit("scripts/allow_boot.rhai", |text| format!("// changed\n{text}"));
    let (changed, _) = tell(&["52:54:00:00:00:66"]);
    in_order(&changed, &["allow_boot.rhai:3: deny", "Note: the scripts were changed since"]);
    assert!(!changed.contains("| "), "{changed}");
}

#[test]
fn a_boot_is_json_for_programs_and_its_session_finds_it() {
    let site = Site::with_rules(RULES);
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:01", "--fact", "serial=X1"]);
    assert_eq!(daemon.stop(), Some(0));
    let told = |who: &str| -> serde_json::Value {
        let output = site.run(&["explain", who, "--json"]);
        assert!(output.status.success(), "{}", printed(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let story = told("52:54:00:00:00:01");
    let moments = story["moments"].as_array().unwrap();
    assert!(moments.len() > 10, "{story:#}");
    let decision = moments.iter().find(|moment| moment["name"] == "boot_images").unwrap();
    assert_eq!((&decision["kind"], &decision["tone"]), (&"decision".into(), &"good".into()));
    let session = story["boot"]["session"].as_str().unwrap();
    assert_eq!(told(session), story);
}

#[test]
fn who_is_not_found_hears_what_to_try() {
    let site = Site::with_rules(RULES);
    let fails = |who: &str, expected: &[&str]| {
        let output = site.run(&["explain", who]);
        let text = flat(&printed(&output));
        assert_eq!(output.status.code(), Some(1), "{text}");
        expected.iter().for_each(|part| assert!(text.contains(part), "no {part:?} in {text}"));
    };
    fails("52:54:00:00:00:01", &["no boot of 52:54:00:00:00:01", "does the server run, with this configuration?"]);
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:01", "--fact", "serial=X1"]);
    assert_eq!(daemon.stop(), Some(0));
    fails("52:54:00:00:00:11", &["did you mean 52:54:00:00:00:01?"]);
    fails("aa:bb:cc:dd:ee:ff", &["`pointsman history --since 1h` lists what booted"]);
    fails("lab-07", &["no boot is known of `lab-07`"]);
    fails("52:54:00:00:00:0", &["is no MAC address"]);
    let output = site.run(&["explain", "52:54:00:00:00:01", "--boot", "2"]);
    assert!(printed(&output).contains("there are only 1 boots"), "{}", printed(&output));
    site.edit("pointsman.toml", |text| text.replacen("# history = true", "history = false", 1));
    fails("aa:bb:cc:dd:ee:ff", &["[store] history is false"]);
    // What was asked is kept only where the site wants it.
    site.edit("pointsman.toml", |text| {
        text.replacen("history = false", "history = true", 1).replacen(
            "# questions_max = 500000",
            "questions_max = 0",
            1,
        )
    });
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:02", "--fact", "serial=X1"]);
    assert_eq!(daemon.stop(), Some(0));
    let output = site.run(&["explain", "52:54:00:00:00:02"]);
    let text = flat(&printed(&output));
    assert!(output.status.success() && text.contains("allow_boot script answered: allow"), "{text}");
    assert!(text.contains("Note: what the rules saw was not kept"), "{text}");
}
