//! Front doors of other boot servers: closed unless opened, and then a boot like any other. Rows H16, H17, I2.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Daemon, PATIENCE, Site};

const RULES: &str = r#"
fn allow_boot(request) {
    if request.mac == "02:00:00:00:00:0d" { return deny("stolen in May"); }
    allow()
}
fn boot_images(request) {
    linux(#{ id: "debian", kernel: "debian/linux", initrd: "debian/initrd.gz",
             cmdline: `who=${request.mac} arch=${request.architecture} serial=${request.serial}` })
}
"#;

fn open() -> (Site, Daemon) {
    let site = Site::with_rules(RULES);
    site.configure("compat.altiris", "enabled = true\nport = 0");
    for door in ["two_pxe", "fog", "pixiecore"] {
        site.configure(&format!("compat.{door}"), "enabled = true");
    }
    let daemon = site.serve();
    (site, daemon)
}

fn post(path: &str, form: &str) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded"
    );
    format!("{head}\r\nContent-Length: {}\r\n\r\n{form}", form.len())
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn each_door_leads_to_the_same_decision() {
    let (_site, daemon) = open();
    let fog = "mac0=02%3A00%3A00%3A00%3A00%3A01&mac1=02%3A00%3A00%3A00%3A00%3A02&arch=x86_64&platform=efi&product=X\
               &manufacturer=Y&ipxever=1.21.1%2B&filename=ipxe.efi&sysuuid=4c4c4544-0057-5810-804a-c3c04f463732";
    let known = "MAC=020000000001&platform=efi&buildarch=x86_64&SerialNumber=7XK3N22&nonsense=x";
    for (path, form) in [
        ("/fog/service/ipxe/boot.php", fog),
        ("/Altiris/iPXE/GetPxeScript.aspx", known),
        ("/altiris/ipxe/getpxescript.aspx", known),
        ("/2PXE/boot", known),
    ] {
        for request in [post(path, form), format!("GET {path}?{form} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")]
        {
            let script = daemon.http(&request);
            assert!(script.contains("who=02:00:00:00:00:01 arch=x64-uefi"), "{path}: {script}");
            assert!(script.contains("/f/debian/linux") && script.contains("/b/"), "{script}");
        }
        let denied = daemon.http(&post(path, "mac=02-00-00-00-00-0d&platform=pcbios"));
        assert!(denied.contains("stolen in May") && !denied.contains("/f/") && denied.contains("sanboot"), "{denied}");
        // Who does not say who it is comes again by the same door.
        let nobody = daemon.get(path);
        assert!(nobody.contains(&format!("{path}##params")), "{nobody}");
        let put =
            daemon.http(&format!("PUT {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
        assert!(put.starts_with("HTTP/1.1 405"), "{put}");
    }
    let uuid = daemon.wait_for_log(|line| line["question"] == "boot_images" && line["uuid"].is_string());
    assert_eq!(uuid["uuid"], "4c4c4544-0057-5810-804a-c3c04f463732");
    let long = daemon.http(&post("/2PXE/boot", &"x".repeat(70_000)));
    assert!(long.starts_with("HTTP/1.1 413"), "{long:.200}");
}

#[test]
fn altiris_has_its_own_port() {
    let (_site, daemon) = open();
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port("altiris"))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(post("/Altiris/iPXE/GetPxeScript.aspx", "mac=02:00:00:00:00:01").as_bytes()).unwrap();
    let mut script = String::new();
    stream.read_to_string(&mut script).unwrap();
    // Files come from the port of HTTP.
    assert!(script.contains(&format!("http://127.0.0.1:{}/b/", daemon.port("http"))), "{script}");
    // A machine of such a site, from its first request on.
    let url = format!("http://127.0.0.1:{}/Altiris/iPXE/GetPxeScript.aspx", daemon.port("altiris"));
    let report = daemon.boot(&["--mac", "02:00:00:00:00:05", "--fact", "serial=7XK3N22", "--url", &url]);
    assert!(report["ending"] == "booted" && report.to_string().contains("serial=7XK3N22"), "{report:#}");
}

#[test]
fn pixiecore_is_told_what_to_boot() {
    let (_site, daemon) = open();
    let answer = daemon.get("/v1/boot/02:00:00:00:00:01");
    let document: Value = serde_json::from_str(body(&answer)).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(document["cmdline"].as_str().unwrap().starts_with("who=02:00:00:00:00:01"), "{document}");
    for file in [&document["kernel"], &document["initrd"][0]] {
        let path = file.as_str().unwrap().split_once("/b/").unwrap().1;
        assert!(daemon.get(&format!("/b/{path}")).contains("\r\nContent-Length: 100000\r\n"), "{file}");
    }
    let denied = daemon.get("/v1/boot/02:00:00:00:00:0d");
    assert!(denied.starts_with("HTTP/1.1 404") && denied.contains("stolen in May"), "{denied}");
    assert!(daemon.get("/v1/boot/nonsense").starts_with("HTTP/1.1 400"));
    assert!(daemon.http(&post("/v1/boot/02:00:00:00:00:01", "")).starts_with("HTTP/1.1 405"));
}

/// Our own client of that API, and our server of it.
#[test]
fn both_ends_of_pixiecore_s_api_understand_each_other() {
    let (_upstream, up) = open();
    let site = Site::with_rules(RULES);
    site.edit("pointsman.toml", |text| {
        let begin = text.find("\n[[handler]]").unwrap();
        let handler = format!(
            "\n[upstream.up]\nkind = \"pixiecore\"\nurl = \"http://127.0.0.1:{}/\"\n\
             [[handler]]\nkind = \"referral\"\nupstreams = [\"up\"]\n",
            up.port("http")
        );
        let rest = &text[begin + 1..];
        let end = rest.find("\n[").map_or("", |at| &rest[at..]);
        format!("{}{handler}{end}", &text[..begin])
    });
    let daemon = site.serve();
    let report = daemon.boot(&["--mac", "02:00:00:00:00:07", "--arch", "x86-bios"]);
    assert_eq!(report["ending"], "booted", "{report:#}");
    assert!(report.to_string().contains("who=02:00:00:00:00:07"), "{report:#}");
    let output = daemon.simulate(&["--mac", "02:00:00:00:00:0d", "--arch", "x86-bios"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("no_offer"), "{text}");
}

#[test]
fn every_door_is_closed_unless_the_site_opens_it() {
    let daemon = Site::with_rules(RULES).serve();
    for path in
        ["/fog/service/ipxe/boot.php", "/Altiris/iPXE/GetPxeScript.aspx", "/2PXE/boot", "/v1/boot/02:00:00:00:00:01"]
    {
        let answer = daemon.get(&format!("{path}?mac=02:00:00:00:00:01"));
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
}
