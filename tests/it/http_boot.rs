//! UEFI HTTP Boot by HTTPS and by a host name, as the site says.

use crate::harness::{Site, pointsman, printed};

const RULES: &str = "fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }\n";

#[test]
fn http_boot_by_https_loads_everything_by_https() {
    let site = Site::with_rules(RULES);
    site.configure("https", "http_boot = \"https\"\nipxe = \"https\"");
    let daemon = site.serve();
    let ca = site.path("state/ca.pem");
    let report = daemon.boot(&["--arch", "x64-uefi-http", "--https", "--ca", ca.to_str().unwrap()]);
    let steps = report["steps"].to_string();
    let url = format!("https://127.0.0.1:{}/b/", daemon.port("https"));
    assert!(steps.contains(&format!("UEFI HTTP Boot of {url}")), "{report:#}");
    assert!(!steps.contains("http://"), "{report:#}");
    // Firmware that does not trust the CA gets no further, and is not led to plain HTTP.
    let stranger = daemon.simulate(&["--arch", "x64-uefi-http"]);
    assert!(!stranger.status.success(), "{}", printed(&stranger));
}

#[test]
fn http_boot_by_name_is_told_the_name_and_others_the_address() {
    let site = Site::with_rules(RULES);
    site.configure("https", "http_boot_name = \"localhost\"");
    let daemon = site.serve();
    let report = daemon.boot(&["--arch", "x64-uefi-http"]);
    let url = format!("http://localhost:{}/b/", daemon.port("http"));
    assert!(report["steps"].to_string().contains(&format!("UEFI HTTP Boot of {url}")), "{report:#}");
    let plain = daemon.boot(&["--arch", "x64-uefi"]);
    assert!(!plain["steps"].to_string().contains("localhost"), "{plain:#}");
}

#[test]
fn http_boot_without_a_loader_of_its_architecture_gets_silence() {
    let site = Site::with_rules(RULES);
    let daemon = site.serve();
    let output = daemon.simulate(&["--arch", "arm64-uefi-http"]);
    assert!(!output.status.success() && printed(&output).contains("DISCOVER -> no offer"), "{}", printed(&output));
}

#[test]
fn what_cannot_work_is_told_by_the_configuration() {
    let told = |lines: &str| {
        let site = Site::new();
        site.configure("https", lines);
        let output = pointsman(&["--config", &site.config(), "check"]);
        assert!(!output.status.success(), "{lines}");
        printed(&output)
    };
    assert!(told("enabled = false\nhttp_boot = \"https\"").contains("[https] is off"));
    assert!(told("http_boot_name = \"http://x/\"").contains("is no host name"));
    let lacks = told("http_boot = \"https\"\nhttp_boot_name = \"boot.example\"");
    assert!(lacks.contains("names = [\"boot.example\"]"), "{lacks}");
}
