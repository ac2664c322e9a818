//! What the commands print, and how they end.

use serde_json::Value;

use crate::harness::{Site, pointsman, printed};

#[test]
fn the_demo_boots_every_kind_of_machine_and_ends() {
    let output = pointsman(&["demo", "--once"]);
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    for expect in [
        "REQUEST to port 4011 -> ACK",
        "TFTP: autoexec.ipxe",
        "facts posted",
        "=> its kernel starts",
        "a person picks: debian",
        "UEFI HTTP Boot",
        "=> boots its own disk",
        "| old-server is blocked in machines.csv",
    ] {
        assert!(text.contains(expect), "no `{expect}` in:\n{text}");
    }
}

#[test]
fn every_command_teaches_with_an_example() {
    for command in [
        "init",
        "check",
        "decide",
        "serve",
        "simulate",
        "demo",
        "machine add",
        "machine set",
        "machine import",
        "machines",
        "image add",
        "group",
        "assign",
        "unassign",
        "assignments",
        "history",
        "print dhcp-config",
        "script help",
        "script definitions",
        "test",
    ] {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let text = printed(&pointsman(&words));
        assert!(text.contains("Example") && text.contains(&format!("pointsman {command}")), "{command}: {text}");
    }
    let text = printed(&pointsman(&["--help"]));
    assert!(text.contains("Examples:"), "{text}");
    assert_eq!(pointsman(&["nonsense"]).status.code(), Some(2));
}

#[test]
fn init_never_overwrites() {
    let site = Site::new();
    site.write("scripts/allow_boot.rhai", "// mine\n");
    let ca = std::fs::read(site.path("state/ca.pem")).unwrap();
    let text = printed(&pointsman(&["init", site.path("").to_str().unwrap()]));
    assert!(text.contains("kept") && !text.contains("wrote"), "{text}");
    assert_eq!(std::fs::read_to_string(site.path("scripts/allow_boot.rhai")).unwrap(), "// mine\n");
    assert_eq!(std::fs::read(site.path("state/ca.pem")).unwrap(), ca);
    let text = printed(&pointsman(&["init", "/proc/nowhere"]));
    assert!(text.contains("error: cannot make the folder /proc/nowhere"), "{text}");
}

#[test]
fn a_first_site_passes_its_check_once_its_images_are_there() {
    let site = Site::new();
    let output = site.run(&["check"]);
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("cases pass") && text.contains("HTTPS by the private CA"), "{text}");
    std::fs::remove_file(site.path("images/debian/linux")).unwrap();
    let output = site.run(&["check"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("image file debian/linux") && text.contains("1 to put right"), "{text}");
}

#[test]
fn check_tells_every_problem_at_once() {
    let site = Site::new();
    site.edit("scripts/allow_boot.rhai", |text| text.replace("allow()\n}", "alow()\n"));
    site.edit("scripts/boot_images.rhai", |text| text.replace("switch machine.role {", "switch machine.role ("));
    let text = printed(&site.run(&["check"]));
    assert!(text.contains("allow_boot.rhai:") && text.contains("boot_images.rhai:"), "{text}");
    assert!(text.contains("2 to put right"), "{text}");
    let findings: Vec<Value> = serde_json::from_slice(&site.run(&["check", "--json"]).stdout).unwrap();
    assert_eq!(findings.iter().filter(|finding| finding["severity"] == "problem").count(), 2, "{findings:#?}");
}

#[test]
fn check_tells_a_failing_case_with_its_line() {
    let site = Site::new();
    site.edit("scripts/boot_images.cases.toml", |text| {
        text.replacen("images = [\"debian\"]", "images = [\"windows\"]", 1)
    });
    let output = site.run(&["check"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("boot_images.cases.toml:3") && text.contains("windows"), "{text}");
}

#[test]
fn a_configuration_that_is_wrong_is_told_by_every_command() {
    let site = Site::new();
    site.configure("tftp", "prot = 1");
    for command in ["check", "decide", "serve"] {
        let output = site.run(&[command]);
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(text.contains("unknown key `tftp.prot`") && text.contains("did you mean `port`?"), "{text}");
    }
    let text = printed(&pointsman(&["--config", "/nowhere/x.toml", "check"]));
    assert!(text.contains("cannot read the configuration") && text.contains("pointsman init"), "{text}");
}

#[test]
fn decide_shows_verdict_trail_and_the_very_script() {
    let site = Site::new();
    let text = printed(&site.run(&["decide", "--mac", "52:54:00:00:00:01", "--arch", "x64-uefi"]));
    for expect in ["verdict  allow", "trail    script answered", "image    debian (linux)", "#!ipxe", "/f/debian/linux"]
    {
        assert!(text.contains(expect), "no `{expect}` in:\n{text}");
    }
    let text = printed(&site.run(&["decide", "--mac", "52:54:00:00:00:04", "--stage", "discover"]));
    assert!(text.contains("verdict  deny: old-server is blocked"), "{text}");
    let output = site.run(&["decide", "--mac", "52:54:00:00:00:02", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["verdict"], "allow");
    assert_eq!(json["images"]["images"][1]["id"], "debian");
    assert_eq!(json["images"]["menu"]["default"], "local");
    assert!(json["script"].as_str().unwrap().contains("choose"));
}

#[test]
fn decide_refuses_what_makes_no_sense() {
    let site = Site::new();
    for (arguments, expect) in [
        (["--fact", "colour=red"], "there is no fact `colour`"),
        (["--mac", "nonsense"], "no MAC address"),
        (["--arch", "vax"], "no architecture"),
        (["--stage", "dhcp"], "no stage"),
    ] {
        let output = site.run(&[&["decide"][..], &arguments].concat());
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expect) || text.contains("is not a MAC address"), "{text}");
    }
}

#[test]
fn a_rule_that_fails_is_told_with_file_line_and_machine() {
    let site = Site::with_rules("fn allow_boot(request) {\n    let list = [];\n    list[7]\n}\n");
    let output = site.run(&["decide", "--mac", "52:54:00:00:00:09"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("verdict  deny"), "{text}");
    assert!(text.contains("allow_boot.rhai:3:") && text.contains("52:54:00:00:00:09"), "{text}");
}

#[test]
fn an_address_that_lacks_an_octet_is_refused() {
    let output = Site::new().run(&["decide", "--mac", "52:54:00:12:34"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).contains("has 5 octets"), "{}", printed(&output));
}
