//! Machines that come without our DHCP answer: closed unless the site opens it, and then a boot like any other.

use serde_json::Value;

use crate::harness::{Daemon, Site};

const RULES: &str = r#"
fn allow_boot(request) {
    if request.mac == "02:00:00:00:00:0d" { return deny("stolen in May"); }
    allow()
}
fn boot_images(request) {
    linux(#{ id: "debian", kernel: "debian/linux", cmdline: `who=${request.mac} arch=${request.architecture}` })
}
"#;

fn open() -> (Site, Daemon) {
    let site = Site::with_rules(RULES);
    site.configure("http", "entry = true");
    let daemon = site.serve();
    (site, daemon)
}

fn post(daemon: &Daemon, form: &str) -> String {
    let head = "POST /boot HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded";
    daemon.http(&format!("{head}\r\nContent-Length: {}\r\n\r\n{form}", form.len()))
}

/// The path of the kernel in a script.
fn kernel(script: &str) -> String {
    let url = script.split_whitespace().find(|word| word.ends_with("/f/debian/linux"));
    let (_, path) = url.unwrap_or_else(|| panic!("{script}")).split_once("/b/").unwrap();
    format!("/b/{path}")
}

#[test]
fn a_machine_introduces_itself_and_gets_a_session() {
    let (_site, daemon) = open();
    let introduction = daemon.get("/boot");
    assert!(introduction.contains("/boot?mac=") || introduction.contains("/boot##params"), "{introduction}");
    assert!(!introduction.contains("/b/"), "no session yet: {introduction}");
    let script = post(&daemon, "mac=02%3A00%3A00%3A00%3A00%3A01&platform=efi&buildarch=x86_64");
    assert!(script.contains("who=02:00:00:00:00:01 arch=x64-uefi"), "{script}");
    let file = daemon.get(&kernel(&script));
    assert!(file.starts_with("HTTP/1.1 200") && file.contains("\r\nContent-Length: 100000\r\n"), "{file:.300}");
    let again = daemon.get("/boot?mac=02:00:00:00:00:01&platform=pcbios");
    assert!(again.contains("arch=x86-bios"), "{again}");
    let session = |architecture: &str| {
        let decided = |line: &Value| line["question"] == "boot_images" && line["arch"] == architecture;
        daemon.wait_for_log(decided)["session"].to_string()
    };
    let (first, second) = (session("x64-uefi"), session("x86-bios"));
    assert_ne!(first, second, "a machine that had its script and comes again is another boot");
}

#[test]
fn the_rules_are_those_of_every_boot() {
    let (_site, daemon) = open();
    let denied = post(&daemon, "mac=02-00-00-00-00-0d&platform=pcbios");
    assert!(denied.contains("stolen in May") && !denied.contains("/f/"), "{denied}");
    let nobody = post(&daemon, "mac=nonsense");
    assert!(nobody.contains("param"), "it is asked again who it is: {nobody}");
    let head = daemon.http("HEAD /boot?mac=02:00:00:00:00:01 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
}

#[test]
fn it_is_closed_unless_the_site_opens_it() {
    let daemon = Site::with_rules(RULES).serve();
    for answer in [daemon.get("/boot"), post(&daemon, "mac=02:00:00:00:00:01")] {
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
}
