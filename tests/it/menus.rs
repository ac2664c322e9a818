//! Menus of the firmware, and who waits for another server: the daemon on loopback, with a machine made of packets.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Daemon, PATIENCE, Site, printed};

const RULES: &str = r#"
fn allow_boot(request) {
  if request.mac == "52:54:00:00:00:09" { return allow(); }
  allow(#{ menu: pxe_menu(#{ entries: [
    #{ title: "Debian", image: "debian" },
    #{ title: "Gone", image: "gone" },
    #{ title: "Other loader", loader: "undionly.kpxe" },
  ] }) })
}

fn boot_images(request) {
  let title = if request.choice == "" { "Nobody chose" } else { `Chosen: ${request.choice}` };
  menu(#{ title: title, timeout: 5, images: [
    local_disk("Own disk"),
    linux(#{ id: "debian", title: "Debian", kernel: "debian/linux", initrd: "debian/initrd.gz" }),
  ] })
}
"#;

fn steps(report: &Value) -> String {
    report["steps"].as_array().unwrap().iter().map(|step| step["what"].as_str().unwrap().to_owned() + "\n").collect()
}

#[test]
fn the_line_that_is_chosen_in_the_firmware_s_menu_starts_without_another_menu() {
    let daemon = Site::with_rules(RULES).serve_kept();
    for arch in ["x86-bios", "x64-uefi"] {
        let report = daemon.1.boot(&["--arch", arch, "--pick", "debian"]);
        assert_eq!(report["ending"], "booted", "{report:#}");
        assert!(steps(&report).contains("Local disk | Debian | Gone | Other loader -> Debian"), "{}", steps(&report));
        let script = report["script"].as_str().unwrap();
        assert!(!script.contains("\nmenu ") && script.contains("debian/linux"), "{script}");
    }
    let waits = daemon.1.boot(&["--arch", "x64-uefi"]);
    assert_eq!(waits["ending"], "local_disk", "the first line is the own disk");
    let other = daemon.1.boot(&["--arch", "x86-bios", "--pick", "other loader"]);
    assert!(steps(&other).contains("undionly.kpxe"), "{}", steps(&other));
    assert!(other["script"].as_str().unwrap().contains("Nobody chose"), "a loader is no image");
    let gone = daemon.1.boot(&["--arch", "x64-uefi", "--pick", "Gone"]);
    let script = gone["script"].as_str().unwrap();
    assert!(script.contains("not offered") && script.contains("Chosen"), "{script}");
}

#[test]
fn machines_that_show_no_menu_get_none() {
    let daemon = Site::with_rules(RULES).serve_kept();
    let without = daemon.1.boot(&["--mac", "52:54:00:00:00:09", "--arch", "x64-uefi"]);
    assert!(!steps(&without).contains("firmware menu"));
    for arguments in [&["--arch", "x64-uefi-http"][..], &["--arch", "x64-uefi", "--ipxe-rom"]] {
        let report = daemon.1.boot(arguments);
        assert!(!steps(&report).contains("firmware menu"), "{}", steps(&report));
        assert!(report["script"].as_str().unwrap().contains("Nobody chose"));
    }
}

#[test]
fn decide_and_the_history_tell_the_menu() {
    let site = Site::with_rules(RULES);
    let said = printed(&site.run(&["decide", "--stage", "discover"]));
    let menu =
        "a menu: `Local disk` after 3 s, `Debian` boots debian, `Gone` boots gone, `Other loader` loads undionly.kpxe";
    assert!(said.contains(menu), "{said}");
}

/// Conformance cases 9 and 54: what no menu has gets silence.
#[test]
fn a_line_that_no_menu_has_gets_silence() {
    let daemon = Site::with_rules(RULES).serve_kept();
    let client = Client::new(&daemon.1);
    for port in ["boot_server", "dhcp"] {
        let ask = |mac: u8, kind: u16, layer: u16| client.ask(port, &packet(mac, 3, 0, Some((kind, layer))));
        let ack = ask(1, 0x8000, 0).expect("an ACK");
        assert_eq!(option(&ack, 43), Some(&[71, 4, 0x80, 0, 0, 0, 255][..]));
        let file = String::from_utf8_lossy(&ack[108..236]).into_owned();
        assert!(file.contains("undionly.kpxe"), "{file}");
        assert!(ask(1, 0x8003, 0).is_none(), "three lines");
        assert!(ask(1, 0, 0).is_none(), "the own disk is nobody's");
        assert!(ask(1, 0x8000, 0x8000).is_none(), "credentials");
        assert!(ask(9, 0x8000, 0).is_none(), "this machine has no menu");
    }
}

/// Rows M3 and H12: a standby answers what tries again, and what it began itself.
#[test]
fn a_standby_server_answers_the_second_try() {
    let site = Site::with_rules(
        "fn allow_boot(request) { allow() }\nfn boot_images(request) { linux(#{ id: \"debian\", kernel: \"debian/linux\" }) }\n",
    );
    site.configure("dhcp", "secs_min = 4");
    let daemon = site.serve();
    let client = Client::new(&daemon);
    assert!(client.ask("dhcp", &packet(1, 1, 0, None)).is_none());
    assert!(client.ask("dhcp", &packet(1, 1, 3, None)).is_none());
    assert!(client.ask("dhcp", &packet(1, 1, 4, None)).is_some());
    // iPXE counts its tries; one that was loaded from here is answered at once.
    let ipxe = |mac: u8, tries: u16| {
        let mut octets = packet(mac, 1, tries << 2, None);
        octets.pop();
        octets.extend(*b"\x4d\x04iPXE\xff");
        octets
    };
    assert!(client.ask("dhcp", &ipxe(1, 1)).is_some());
    assert!(client.ask("dhcp", &ipxe(2, 1)).is_none());
    assert!(client.ask("dhcp", &ipxe(2, 2)).is_some());
    // Whoever asks on 4011 has chosen this server.
    assert!(client.ask("boot_server", &packet(3, 3, 0, None)).is_some());
}

/// Row H13: a server that does not know a machine leaves it to those that may.
#[test]
fn without_authority_only_machines_that_a_rule_knows_are_answered() {
    let rules = "fn allow_boot(request) {\n  if request.mac == \"52:54:00:00:00:01\" { return allow(); }\n  if request.mac == \"52:54:00:00:00:02\" { return deny(\"no\"); }\n}\nfn boot_images(request) { linux(#{ id: \"debian\", kernel: \"debian/linux\" }) }\n";
    let site = Site::with_rules(rules);
    site.configure("decision", "unknown = \"allow\"");
    let answered = |daemon: &Daemon| {
        let client = Client::new(daemon);
        [1, 2, 3].map(|mac| client.ask("dhcp", &ipxe_discover(mac)).is_some())
    };
    assert_eq!(answered(&site.serve()), [true; 3], "denied iPXE is told why");
    site.configure("dhcp", "authoritative = false");
    assert_eq!(answered(&site.serve()), [true, false, false]);
}

/// Row A8: clients are told the advertised address, in every protocol.
#[test]
fn an_advertised_address_is_told_in_packets_and_urls() {
    let site = Site::with_rules(
        "fn allow_boot(request) { allow() }\nfn boot_images(request) { linux(#{ id: \"debian\", kernel: \"debian/linux\" }) }\n",
    );
    site.edit("pointsman.toml", |text| {
        let rule = "[[server.advertise]]\nsubnet = \"127.0.0.0/8\"\naddress = \"127.0.0.77\"\n\n[dhcp]\n";
        text.replacen("\n[dhcp]\n", &format!("\n{rule}"), 1)
    });
    site.configure("loaders", "plain_paths = true");
    site.configure("http", "entry = true");
    let daemon = site.serve();
    let client = Client::new(&daemon);
    let offer = client.ask("dhcp", &packet(1, 1, 0, None)).expect("an offer");
    assert_eq!((&offer[20..24], option(&offer, 54)), (&[127, 0, 0, 77][..], Some(&[127, 0, 0, 77][..])));
    let offer = client.ask("dhcp", &ipxe_discover(1)).expect("an offer");
    let url = String::from_utf8_lossy(&offer[108..236]).into_owned();
    let path = url.strip_prefix("http://127.0.0.77:").and_then(|rest| rest.split_once('/')).expect(&url).1;
    let path = path.trim_end_matches('\0');
    let token = path.rsplit_once('/').unwrap().0;
    // What needs no session, and what is made for a loader that is not iPXE, tells it too.
    for path in [path, &format!("{token}/grub.cfg"), "loaders/autoexec.ipxe", "boot"] {
        let told = daemon.get(&format!("/{path}"));
        assert!(told.contains("127.0.0.77:") && !told.contains("127.0.0.1"), "{path}: {told}");
    }
}

/// A quirk of the site is applied, and an answer that it holds back comes later.
#[test]
fn quirks_of_the_site_are_applied() {
    let site = Site::with_rules(
        "fn allow_boot(request) { allow() }\nfn boot_images(request) { linux(#{ id: \"debian\", kernel: \"debian/linux\" }) }\n",
    );
    site.edit("pointsman.toml", |text| {
        text + "\n[[quirk]]\nname = \"odd\"\nmatch = { oui = [\"52:54:00:00:00:05\"] }\n\
                set = { file_option = true, file_size = true, delay_ms = 300, loader = \"snponly.efi\" }\n"
    });
    let daemon = site.serve();
    let client = Client::new(&daemon);
    let usual = client.ask("dhcp", &packet(1, 1, 0, None)).expect("an offer");
    assert_eq!((option(&usual, 67), option(&usual, 13)), (None, None));
    let since = std::time::Instant::now();
    let odd = client.ask_for("dhcp", &packet(5, 1, 0, None), PATIENCE).expect("an offer");
    assert!(since.elapsed() >= Duration::from_millis(300));
    let file = option(&odd, 67).expect("option 67");
    assert!(file.ends_with(b"/snponly.efi\0"), "{}", String::from_utf8_lossy(file));
    assert_eq!(option(&odd, 13), Some(&[0, 196][..]), "100000 octets");
}

/// A machine behind a relay that names its port, so that no privilege is needed.
pub(crate) struct Client {
    socket: UdpSocket,
    dhcp: u16,
    boot_server: u16,
}

/// Nothing is expected within this time.
pub(crate) const SILENCE: Duration = Duration::from_millis(250);

impl Client {
    pub(crate) fn new(daemon: &Daemon) -> Client {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Client { socket, dhcp: daemon.port("dhcp"), boot_server: daemon.port("boot_server") }
    }

    pub(crate) fn ask(&self, port: &str, packet: &[u8]) -> Option<Vec<u8>> {
        self.ask_for(port, packet, SILENCE)
    }

    pub(crate) fn ask_for(&self, port: &str, packet: &[u8], time: Duration) -> Option<Vec<u8>> {
        let port = if port == "dhcp" { self.dhcp } else { self.boot_server };
        self.socket.send_to(packet, (Ipv4Addr::LOCALHOST, port)).unwrap();
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut room = [0; 2048];
        let length = self.socket.recv(&mut room).ok()?;
        assert_eq!(room[4..8], packet[4..8], "the answer to another question");
        Some(room[..length].to_vec())
    }
}

pub(crate) fn packet(mac: u8, message_type: u8, secs: u16, item: Option<(u16, u16)>) -> Vec<u8> {
    let mut octets = vec![1, 1, 6, 0, 0, 0, message_type, mac];
    octets.extend(secs.to_be_bytes());
    octets.extend([0; 14]);
    octets.extend([127, 0, 0, 1]);
    octets.extend([0x52, 0x54, 0, 0, 0, mac]);
    octets.extend([0; 202]);
    octets.extend([0x63, 0x82, 0x53, 0x63, 53, 1, message_type, 93, 2, 0, 0, 57, 2, 5, 0xc0]);
    octets.extend(b"\x3c\x20PXEClient:Arch:00000:UNDI:002001");
    octets.extend([82, 4, 19, 2, 0, 0]);
    if let Some((kind, layer)) = item {
        octets.extend([43, 7, 71, 4]);
        octets.extend(kind.to_be_bytes());
        octets.extend(layer.to_be_bytes());
        octets.push(255);
    }
    octets.push(255);
    octets
}

fn ipxe_discover(mac: u8) -> Vec<u8> {
    let mut octets = packet(mac, 1, 4, None);
    octets.pop();
    octets.extend(*b"\x4d\x04iPXE\xff");
    octets
}

pub(crate) fn option(octets: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut at = 240;
    while octets[at] != 255 {
        if octets[at] == 0 {
            at += 1;
            continue;
        }
        let end = at + 2 + usize::from(octets[at + 1]);
        if octets[at] == wanted {
            return Some(&octets[at + 2..end]);
        }
        at = end;
    }
    None
}

impl Site {
    /// The daemon, and the site that it needs.
    fn serve_kept(self) -> (Site, Daemon) {
        let daemon = self.serve();
        (self, daemon)
    }
}

/// EDK2 leaves its menu for the next entry of its boot order, which is HTTP Boot by the same card.
#[test]
fn http_boot_does_not_come_before_the_disk_that_was_chosen() {
    let daemon = Site::with_rules(RULES).serve_kept();
    let ending = |arguments: &[&str]| -> Value {
        let report: Value = serde_json::from_slice(&daemon.1.simulate(arguments).stdout).unwrap();
        report["ending"].clone()
    };
    let http = ["--arch", "x64-uefi-http"];
    assert_eq!(ending(&["--arch", "x64-uefi"]), "local_disk");
    assert_eq!(ending(&http), "no_offer", "the own disk was chosen");
    assert_eq!(ending(&["--arch", "x64-uefi", "--pick", "debian"]), "booted");
    assert_ne!(ending(&http), "no_offer", "something else was chosen since");
}
