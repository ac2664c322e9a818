//! Loaders that a rule chooses, and the files that they look for, by TFTP and HTTP as any client would ask.

use std::net::UdpSocket;

use crate::assignments::{self, MACHINE, state};
use crate::harness::{Daemon, PATIENCE, Site, printed};

const RULES: &str = r#"
fn allow_boot(request) {
    if request.mac == "52:54:00:00:01:0d" && request.stage != "discover" { return deny("stolen"); }
    if request.mac == "52:54:00:00:01:0e" { return allow(#{ loader: "absent.efi" }); }
    allow(#{ loader: "ours.efi", local_boot: "exit" })
}
fn boot_images(request) {
    menu(#{ title: "Lab", timeout: 9, default_image: "disk", images: [
        linux(#{ id: "debian", title: "It's Debian", kernel: "debian/linux", initrd: "debian/initrd.gz", cmdline: `by=${request.stage}` }),
        local_disk(#{ id: "disk" }),
        local_disk(#{ id: "other", method: "reboot" }),
        shell(),
    ] })
}
fn boot_file(request, name) {
    if name.ends_with("hello.txt") { return `Hello ${request.mac}`; }
    if name.ends_with("none.cfg") { return (); }
    if name.ends_with("broken.cfg") { return 7; }
    pass()
}
"#;

fn site() -> Site {
    let site = Site::with_rules(RULES);
    site.write("loaders/ours.efi", "our own");
    site.write("loaders/tool.c32", "beside");
    site
}

/// What a short file holds, or the code of the error, by TFTP without options.
fn read(daemon: &Daemon, name: &str) -> Result<String, u8> {
    read_at("127.0.0.1", daemon, name)
}

/// The same from this address.
fn read_at(address: &str, daemon: &Daemon, name: &str) -> Result<String, u8> {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(format!("\0\x01{name}\0octet\0").as_bytes(), ("127.0.0.1", daemon.port("tftp"))).unwrap();
    let mut text = Vec::new();
    loop {
        let mut packet = [0; 516];
        let (len, server) = socket.recv_from(&mut packet).unwrap();
        match &packet[..len] {
            [0, 5, _, code, ..] => return Err(*code),
            [0, 3, high, low, data @ ..] => {
                text.extend_from_slice(data);
                socket.send_to(&[0, 4, *high, *low], server).unwrap();
                if data.len() < 512 {
                    return Ok(String::from_utf8(text).unwrap());
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The path of a session of this machine, with its token.
fn base(daemon: &Daemon, mac: &str) -> String {
    let report = daemon.boot(&["--mac", mac, "--pick", "disk"]);
    let script = report["script"].as_str().unwrap();
    let from =
        script.find("/b/").map(|at| &script[at..]).unwrap_or_else(|| panic!("no path of a session in {report:#}"));
    let token = from.split('/').nth(2).unwrap();
    format!("b/{token}/")
}

#[test]
fn the_files_that_loaders_look_for_are_made_for_each_machine() {
    let (site, mac) = (site(), "52:54:00:00:01:01");
    let daemon = site.serve();
    let base = base(&daemon, mac);
    assert_eq!(read(&daemon, &format!("{base}ours.efi")).as_deref(), Ok("our own"));
    assert_eq!(read(&daemon, &format!("{base}boot/isolinux/tool.c32")).as_deref(), Ok("beside"));
    let grub = read(&daemon, &format!("{base}grub.cfg-01-52-54-00-00-01-01")).unwrap();
    for expected in [
        "set files='(tftp,127.0.0.1)'\nset http='(http,127.0.0.1:",
        "menuentry 'It'\\''s Debian' --id 'debian' {\nlinux \"$files\"'/b/",
        "/f/debian/linux' 'by=tftp'\n",
        "# left out: shell (shell)",
        "set default='disk'\n",
        "set timeout=9\n",
        "'Starting from the local disk.'\nexit\n",
        "'Starting from the local disk.'\nreboot\n",
    ] {
        assert!(grub.contains(expected), "{expected} is not in {grub}");
    }
    let image = path_behind(&grub, "linux \"$files\"'");
    assert!(daemon.get(image).starts_with("HTTP/1.1 200") && read(&daemon, image).is_ok(), "{image}");
    let probe = path_behind(&grub, "source \"$http\"'");
    assert!(daemon.get(probe).ends_with("\r\n\r\nset files=\"$http\"\n"), "{}", daemon.get(probe));
    assert_eq!(read(&daemon, probe), Err(1), "whoever asks by TFTP has shown nothing");
    let by_http = daemon.get(&format!("/{base}grub.cfg"));
    assert!(by_http.contains("(http,127.0.0.1:") && by_http.contains("'by=http'"), "{by_http}");
    let pxelinux = read(&daemon, &format!("{base}pxelinux.cfg/default")).unwrap();
    assert!(pxelinux.contains("DEFAULT disk\n") && pxelinux.contains("LINUX 127.0.0.1::b/"), "{pxelinux}");
    // What there is not is said at once: error 1.
    for absent in ["grub.cfgs", "x86_64-efi/command.lst", "pxelinux.cfg/x"] {
        assert_eq!(read(&daemon, &format!("{base}{absent}")), Err(1), "{absent}");
    }
}

#[test]
fn a_loader_that_forgets_its_token_is_known_by_its_address_or_the_name() {
    let (site, mac) = (site(), "52:54:00:00:01:02");
    let daemon = site.serve();
    assert_eq!(read(&daemon, "grub.cfg-01-52-54-00-00-01-02"), Err(1), "nobody has booted");
    assert_eq!(read(&daemon, "/grub/grub.cfg"), Err(1));
    base(&daemon, mac);
    assert!(read(&daemon, "grub.cfg-01-52-54-00-00-01-02").unwrap().contains("'debian'"));
    assert!(read(&daemon, "/grub/grub.cfg").unwrap().contains("'debian'"));
    assert_eq!(read(&daemon, "tool.c32").as_deref(), Ok("beside"));
    assert_eq!(read(&daemon, "debian/linux"), Err(1), "images need their token");
}

#[test]
fn a_function_of_the_site_makes_any_file() {
    let (site, mac) = (site(), "52:54:00:00:01:03");
    let daemon = site.serve();
    let base = base(&daemon, mac);
    let hello = format!("{base}any/hello.txt");
    assert_eq!(read(&daemon, &hello).unwrap(), format!("Hello {mac}"));
    assert!(daemon.get(&format!("/{hello}")).ends_with(&format!("Hello {mac}")));
    assert_eq!(read(&daemon, &format!("{base}none.cfg")), Err(1));
    assert_eq!(read(&daemon, &format!("{base}broken.cfg")), Err(1));
    let line = daemon.wait_for_log(|line| line["message"] == "boot_file failed: no such file");
    assert!(line["error"].as_str().unwrap().contains("boot_file returned a number"), "{line}");
    let shown =
        |file: &str, stage: &str| printed(&site.run(&["decide", "--mac", mac, "--stage", stage, "--file", file]));
    assert!(shown("hello.txt", "tftp").contains(&format!("Hello {mac}")));
    assert!(shown("grub.cfg", "http").contains("(http,127.0.0.1"), "{}", shown("grub.cfg", "http"));
}

#[test]
fn a_denied_machine_is_shown_why_and_gets_nothing_else() {
    let (site, mac) = (site(), "52:54:00:00:01:04");
    let daemon = site.serve();
    let base = base(&daemon, mac);
    site.edit("scripts/allow_boot.rhai", |text| text.replace("52:54:00:00:01:0d", mac));
    daemon.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("reloaded")));
    let grub = read(&daemon, &format!("{base}grub.cfg")).unwrap();
    assert!(grub.contains("echo 'stolen'\n") && !grub.contains("linux"), "{grub}");
    assert_eq!(read(&daemon, &format!("{base}ours.efi")), Err(2));
    assert_eq!(read(&daemon, &format!("{base}hello.txt")), Err(2));
}

#[test]
fn a_loader_that_is_not_there_is_told_and_the_architecture_s_stands_in() {
    let site = site();
    let daemon = site.serve();
    let report = daemon.boot(&["--mac", "52:54:00:00:01:0e", "--pick", "disk"]);
    assert!(report.to_string().contains("snponly.efi"), "{report:#}");
    let line = daemon.wait_for_log(|line| line["loader"] == "absent.efi");
    assert!(line["message"].as_str().unwrap().contains("of the script or a [[quirk]]"), "{line}");
}

/// A site whose store has an image for a machine that has come by DHCP.
fn assigned() -> (Site, Daemon) {
    let site = assignments::site();
    let daemon = site.serve();
    assert_eq!(assignments::ending(&daemon), "local_disk", "nothing is assigned yet");
    assignments::run(&site, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"]);
    (site, daemon)
}

const GRUB_CFG: &str = "grub.cfg-01-52-54-00-00-00-07";
const PXELINUX_CFG: &str = "pxelinux.cfg/01-52-54-00-00-00-07";

/// The path behind this in a configuration file.
fn path_behind<'a>(config: &'a str, begin: &str) -> &'a str {
    let rest = config.split(begin).nth(1).unwrap_or_else(|| panic!("no {begin} in {config}"));
    rest.split(['\'', ',', '\n']).next().unwrap()
}

/// The consent in GRUB's configuration.
fn consent(config: &str) -> &str {
    path_behind(config, "source '(tftp,127.0.0.1)/")
}

#[test]
fn grub_begins_an_assignment_once() {
    let (site, daemon) = assigned();
    let config = read(&daemon, GRUB_CFG).unwrap();
    assert!(config.contains("set default='debian'\n"), "{config}");
    let agree = consent(&config);
    assert!(agree.contains("/s/debian/"), "{config}");
    assert_eq!(state(&site), "offered");
    // Loaders try their names again.
    assert_eq!(consent(&read(&daemon, "grub.cfg").unwrap()).split('/').next_back(), agree.split('/').next_back());
    assert!(daemon.http(&format!("HEAD /{agree} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).contains(" 405 "));
    assert_eq!(state(&site), "offered", "nothing has begun");
    assert_eq!(read(&daemon, agree).as_deref(), Ok("set agreed='debian'\n"));
    assert_eq!(state(&site), "started");
    // The answer may have been lost.
    assert_eq!(read(&daemon, agree).as_deref(), Ok("set agreed='debian'\n"));
    assert!(daemon.get(&format!("/{agree}")).ends_with("set agreed='debian'\n"));
    let config = read(&daemon, GRUB_CFG).unwrap();
    assert!(!config.contains("debian") && config.contains("Starting from the local disk."), "{config}");
    assert_eq!(assignments::ending(&daemon), "local_disk", "it is spent");
}

#[test]
fn pxelinux_begins_an_assignment_with_the_last_file() {
    let (site, daemon) = assigned();
    let config = read(&daemon, PXELINUX_CFG).unwrap();
    let (kernel, initrd) = (path_behind(&config, "LINUX 127.0.0.1::"), path_behind(&config, "INITRD 127.0.0.1::"));
    assert!(kernel.ends_with("/f/debian/linux") && initrd.contains("/s/debian/"), "{config}");
    read(&daemon, kernel).unwrap();
    assert_eq!(state(&site), "offered", "the kernel alone runs nothing");
    let image = site.path("images/debian/initrd.gz");
    std::fs::rename(&image, site.path("away")).unwrap();
    assert_eq!(read(&daemon, initrd), Err(1));
    assert_eq!(state(&site), "offered", "what is not there spends nothing");
    std::fs::rename(site.path("away"), &image).unwrap();
    size_probe(&daemon, initrd);
    assert_eq!(state(&site), "started");
    assert!(read(&daemon, initrd).is_ok(), "the loader that asked for the size comes back");
    assert_eq!(read_at("127.0.0.2", &daemon, initrd), Err(2), "another machine with the same address");
    daemon.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("not started: this boot")));
    assert_eq!(state(&site), "started");
    assert!(!read(&daemon, PXELINUX_CFG).unwrap().contains("debian"));
}

/// Asks for the size of a file and ends with ERROR 8, as ROMs do.
fn size_probe(daemon: &Daemon, name: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("\0\x01{name}\0octet\0tsize\x000\0");
    socket.send_to(request.as_bytes(), ("127.0.0.1", daemon.port("tftp"))).unwrap();
    let mut packet = [0; 516];
    let (len, server) = socket.recv_from(&mut packet).unwrap();
    assert!(packet[..len].starts_with(&[0, 6]), "{:?}", &packet[..len]);
    socket.send_to(b"\0\x05\0\x08enough\0", server).unwrap();
}

#[test]
fn of_two_machines_with_one_address_one_begins() {
    let (site, daemon) = assigned();
    let config = read(&daemon, GRUB_CFG).unwrap();
    // Another one comes with the same address, and another UUID.
    let twin = [&MACHINE[..], &["--uuid", "00000000-0000-4000-8000-0000000000ff"]].concat();
    let report = daemon.simulate(&twin);
    assert!(report.status.success(), "{}", printed(&report));
    assert_eq!(state(&site), "started", "the last to be offered it begins");
    assert_eq!(read(&daemon, consent(&config)), Err(2), "the first one gets no consent");
    assert!(daemon.get(&format!("/{}", consent(&config))).starts_with("HTTP/1.1 409"));
}

#[test]
fn an_assignment_that_was_withdrawn_is_not_begun() {
    let (site, daemon) = assigned();
    let config = read(&daemon, GRUB_CFG).unwrap();
    let list = assignments::run(&site, &["assignments", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assignments::run(&site, &["unassign", list[0]["id"].as_str().unwrap()]);
    assert_eq!(read(&daemon, consent(&config)), Err(2));
    let config = read(&daemon, GRUB_CFG).unwrap();
    assert!(!config.contains("debian"), "{config}");
}
