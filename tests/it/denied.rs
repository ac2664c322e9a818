//! Firmware that may not boot: silence, or a program that ends at once (row M4 of the systems page).

use crate::harness::{Daemon, Site, printed};
use crate::menus::{Client, packet};

const RULES: &str = "fn allow_boot(request) { if request.mac.ends_with(\":01\") { return allow(); } deny(\"not in the list\") }\n\
                     fn boot_images(request) { local_disk() }\n";

fn ending(daemon: &Daemon, arch: &str) -> String {
    printed(&daemon.simulate(&["--mac", "52:54:00:00:00:02", "--arch", arch]))
}

#[test]
fn a_denied_bios_may_be_given_a_program_that_ends_at_once() {
    let site = Site::with_rules(RULES);
    let silent = site.serve();
    assert!(ending(&silent, "x86-bios").contains("no_offer"));
    drop(silent);
    site.configure("dhcp", "denied = \"abort\"");
    let daemon = site.serve();
    let told = ending(&daemon, "x86-bios");
    assert!(told.contains("/abort.0 (512 octets)") && told.contains("local_disk"), "{told}");
    // UEFI would show an error for it, and nothing else is given out under a denied token.
    assert!(ending(&daemon, "x64-uefi").contains("no_offer"));
    let offer = Client::new(&daemon).ask("dhcp", &packet(2, 1, 0, None)).expect("an offer");
    let path = String::from_utf8_lossy(&offer[108..236]).trim_end_matches('\0').to_owned();
    let fetched = |name: &str| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
        let path = path.replace("abort.0", name);
        socket.send_to(format!("\0\x01{path}\0octet\0").as_bytes(), ("127.0.0.1", daemon.port("tftp"))).unwrap();
        let mut answer = vec![0; 600];
        let len = socket.recv(&mut answer).unwrap();
        answer.truncate(len);
        answer
    };
    let program = fetched("abort.0");
    assert_eq!((program[..4].to_vec(), program.len()), (vec![0, 3, 0, 1], 516));
    assert!(String::from_utf8_lossy(&program).contains("not in the list\r\n"));
    assert_eq!(fetched("undionly.kpxe")[..4], [0, 5, 0, 2], "access denied");
    // A machine that may boot is not told of it.
    let allowed = Client::new(&daemon).ask("dhcp", &packet(1, 1, 0, None)).expect("an offer");
    assert!(String::from_utf8_lossy(&allowed[108..236]).contains("/undionly.kpxe"));
    // Where another server may know the machine, it is left to it.
    drop(daemon);
    site.configure("dhcp", "authoritative = false");
    assert!(ending(&site.serve(), "x86-bios").contains("no_offer"));
}
