//! A Raspberry Pi: it takes its address from the DHCP server, tells us nothing of it, and names its files itself.

use std::process::Command;

use crate::harness::Site;
use crate::lan::{BOOT, Caller, DEVICE, Lan, tftp};

const RULES: &str = r#"
fn allow_boot(request) {
    if request.mac == "b8:27:eb:04:04:09" { return deny("not this one"); }
    if request.architecture == "arm-rpiboot" { allow() } else { ignore("a test of Raspberry Pis") }
}
fn boot_images(request) { local_disk() }
fn boot_file(request, name) {
    if name == "cmdline.txt" { `serial0 mac=${request.mac}` } else { pass() }
}
"#;

/// The one machine of the network gets another card.
fn put_in(lan: &Lan, last: u8) -> Caller {
    let mut caller = Caller::firmware(last, 0);
    caller.mac = [0xb8, 0x27, 0xeb, 4, 4, last];
    let set = format!("-n {} link set {DEVICE} address {}", lan.namespace("client"), caller.mac());
    assert!(Command::new("ip").args(set.split(' ')).status().unwrap().success());
    lan.give("client", std::net::Ipv4Addr::new(10, 178, 4, 100 + last));
    caller
}

#[test]
fn servers_a_raspberry_pi_loads_its_own_files() {
    let (lan, site) = (Lan::new(), Site::with_rules(RULES));
    site.edit("pointsman.toml", |text| {
        let text = text.replace("address = \"127.0.0.1\"", &format!("address = \"{BOOT}\""));
        text.replace("port = 0\nboot_server_port = 0", "").replace("\nport = 0\n", "\n")
    });
    for (file, text) in [
        ("images/raspberry-pi/bootcode.bin", "first stage"),
        ("images/raspberry-pi/start.elf", "second stage"),
        ("images/raspberry-pi/b8-27-eb-04-04-08/config.txt", "of this machine"),
        ("images/raspberry-pi/config.txt", "of all"),
    ] {
        let path = site.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut command = lan.command("boot", env!("CARGO_BIN_EXE_pointsman"));
    let server = lan.start(command.args(["--config", &site.config(), "serve"]));
    server.wait_for("\"serving\"");
    let fetched = |name: &str| tftp(&lan, BOOT, name).map(|octets| String::from_utf8(octets).unwrap());

    let pi = put_in(&lan, 8);
    assert_eq!(fetched("bootcode.bin"), None, "nobody knows this machine yet");
    let text = b"Raspberry Pi Boot";
    let (offer, _) = pi
        .offers(&lan, &[&|offer| offer.option(43).is_some_and(|value| value.windows(17).any(|part| part == text))])
        .remove(0);
    assert_eq!((offer.header.siaddr, offer.option(66)), (BOOT, None));
    assert_eq!(fetched("bootcode.bin").as_deref(), Some("first stage"));
    assert_eq!(fetched("bootsig.bin"), None);
    assert_eq!(fetched("9c1d3a2b/start.elf").as_deref(), Some("second stage"));
    assert_eq!(fetched("9c1d3a2b/config.txt").as_deref(), Some("of this machine"));
    assert_eq!(fetched("cmdline.txt").as_deref(), Some("serial0 mac=b8:27:eb:04:04:08"));
}
