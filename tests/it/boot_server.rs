//! Port 4011 left to another server of the host: everything is then in the answer on port 67 (row A2 of the systems page).

use std::net::{Ipv4Addr, UdpSocket};

use crate::harness::{Site, pointsman, printed};

const RULES: &str = r#"
fn allow_boot(request) {
  if request.mac == "52:54:00:00:00:01" { return allow(); }
  allow(#{ menu: pxe_menu(#{ entries: [#{ title: "Debian", image: "debian" }] }) })
}
fn boot_images(request) { linux(#{ id: "debian", kernel: "debian/linux", initrd: "debian/initrd.gz" }) }
"#;

#[test]
fn with_the_boot_server_off_its_port_is_free_and_67_answers_alone() {
    let site = Site::with_rules(RULES);
    // Another server's, who shares it with nobody.
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    site.edit("pointsman.toml", |text| {
        text.replace("boot_server_port = 0", &format!("boot_server_port = {port}\nboot_server = true"))
    });
    let refused = pointsman(&["--config", &site.config(), "serve"]);
    assert!(printed(&refused).contains(&port.to_string()) && !refused.status.success(), "{}", printed(&refused));
    site.edit("pointsman.toml", |text| text.replace("boot_server = true", "boot_server = false"));
    let daemon = site.serve();
    assert!(daemon.serving["boot_server"].is_null(), "{:#}", daemon.serving);
    let booted = |arguments: &[&str]| {
        let ports = [daemon.port("dhcp"), port, daemon.port("tftp")].map(|port| port.to_string());
        let own =
            ["simulate", "--json", "--dhcp-port", &ports[0], "--boot-server-port", &ports[1], "--tftp-port", &ports[2]];
        let output = pointsman(&[&own, arguments].concat());
        assert!(output.status.success(), "{}", printed(&output));
        let report = printed(&output);
        assert!(report.contains("\"booted\"") && !report.contains("port 4011"), "{report}");
        report
    };
    for arch in ["x86-bios", "x64-uefi", "x64-uefi-http"] {
        booted(&["--mac", "52:54:00:00:00:01", "--arch", arch]);
    }
    // The line of a menu is asked for on port 67 as well.
    for arch in ["x86-bios", "x64-uefi"] {
        let report = booted(&["--mac", "52:54:00:00:00:02", "--arch", arch, "--pick", "Debian"]);
        assert!(report.contains("boot server 127.0.0.1: REQUEST -> ACK"), "{report}");
    }
    other.set_nonblocking(true).unwrap();
    assert!(other.recv(&mut [0; 1]).is_err(), "nobody was sent to the other server");
}
