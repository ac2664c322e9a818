//! A host name in every URL that machines are told, and in the certificate that is made for it.

use crate::harness::{Site, pointsman, printed};

const RULES: &str = r#"
fn allow_boot(request) { allow() }
fn boot_images(request) {
    linux(#{ id: "debian", kernel: "debian/linux", cmdline: "from={files_url} done={done_url}" })
}
"#;

fn named(name: &str) -> Site {
    let site = Site::with_rules(RULES);
    site.configure("server", &format!("name = \"{name}\""));
    site.configure("http", "entry = true");
    site
}

#[test]
fn every_url_has_the_name_and_the_certificate_is_for_it() {
    let site = named("localhost");
    site.configure("https", "ipxe = \"https\"");
    let daemon = site.serve();
    let report = daemon.boot(&["--arch", "x64-uefi"]);
    let steps = report["steps"].to_string();
    assert!(steps.contains(&format!("http://localhost:{}/b/", daemon.port("http"))), "{report:#}");
    assert!(!report.to_string().contains("http://127.0.0.1"), "{report:#}");
    let script = report["script"].as_str().unwrap_or_default();
    assert!(script.contains("from=http://localhost:") && script.contains("done=http://localhost:"), "{report:#}");
    // The name must be in the certificate, or TLS would end here.
    let ca = site.path("state/ca.pem");
    let secure = daemon.boot(&["--arch", "x64-uefi", "--https", "--ca", ca.to_str().unwrap()]);
    let url = format!("https://localhost:{}/b/", daemon.port("https"));
    assert!(secure["steps"].to_string().contains(&url), "{secure:#}");
    let introduction = daemon.get("/boot");
    assert!(introduction.contains(&format!("http://localhost:{}/boot", daemon.port("http"))), "{introduction}");
    assert!(!introduction.contains("127.0.0.1"), "{introduction}");
}

#[test]
fn http_boot_keeps_the_address_unless_it_has_a_name_of_its_own() {
    let site = named("localhost");
    let daemon = site.serve();
    let report = daemon.boot(&["--arch", "x64-uefi-http"]);
    let url = format!("UEFI HTTP Boot of http://127.0.0.1:{}/b/", daemon.port("http"));
    assert!(report["steps"].to_string().contains(&url), "{report:#}");
    // The loader's own scripts have the name again.
    assert!(report["steps"].to_string().contains("http://localhost:"), "{report:#}");
}

#[test]
fn what_is_no_name_is_refused_with_the_remedy() {
    for bad in ["http://boot.example.com", "boot.example.com:80", "10.0.0.2", "fd00::2", "-a.b", "a..b", "a b", ""] {
        let site = named(bad);
        let output = pointsman(&["--config", &site.config(), "check"]);
        let told = printed(&output);
        assert!(!output.status.success() && told.contains("server.name") && told.contains("write it like"), "{told}");
    }
    let site = named("boot.example.com");
    site.configure("https", "http_boot = \"https\"\nhttp_boot_name = \"boot.example.com\"");
    let output = site.run(&["check"]);
    assert!(output.status.success(), "the certificate has the name already: {}", printed(&output));
}

#[test]
fn a_dhcp_server_is_told_the_name_for_ipxe() {
    let site = named("boot.example.com");
    let output = site.run(&["print", "dhcp-config", "--for", "dnsmasq", "--server", "10.0.0.2"]);
    let text = printed(&output);
    assert!(text.contains("http://boot.example.com/boot") || text.contains("http://boot.example.com:0/boot"), "{text}");
}
