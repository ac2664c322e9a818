//! The site's own DHCP server names the boot files, by what `pointsman print dhcp-config` writes; our port 67 is off.
//! Rows E1 to E4: real servers, packets of clients, and the rules are asked at HTTP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;

use crate::harness::{Site, printed};
use crate::lan::{BOOT, Caller, Lan, Running, boot_file, tftp};

const RULES: &str = r#"
fn allow_boot(request) {
    if request.mac == "52:54:00:04:04:0d" { return deny("stolen in May"); }
    allow()
}
fn boot_images(request) {
    linux(#{ id: "debian", kernel: "debian/linux", cmdline: `who=${request.mac} arch=${request.architecture}` })
}
"#;

/// A site at [`BOOT`] for this mode.
fn site() -> Site {
    let site = Site::with_rules(RULES);
    site.edit("pointsman.toml", |text| {
        let text = text.replace("address = \"127.0.0.1\"", &format!("address = \"{BOOT}\""));
        text.replace("port = 0\nboot_server_port = 0", "enabled = false").replace("\nport = 0\n", "\n")
    });
    site.configure("http", "entry = true");
    site.configure("loaders", "plain_paths = true");
    site.configure("https", "names = [\"Boot.Example.com\"]");
    site
}

fn snippet(site: &Site, make: &str, more: &[&str]) -> String {
    let output = site.run(&[&["print", "dhcp-config", "--for", make], more].concat());
    assert!(output.status.success(), "{}", printed(&output));
    String::from_utf8(output.stdout).unwrap()
}

struct Mode {
    lan: Lan,
    site: Site,
    server: Running,
    dhcp: Running,
}

fn start(make: &str, more: &[&str]) -> Mode {
    let (lan, site) = (Lan::new(), site());
    let mut command = lan.command("boot", env!("CARGO_BIN_EXE_pointsman"));
    let server = lan.start(command.args(["--config", &site.config(), "serve"]));
    server.wait_for("\"serving\"");
    let dhcp = lan.dhcp_server(make, "dhcp", &site.path(""), &snippet(&site, make, more));
    Mode { lan, site, server, dhcp }
}

impl Mode {
    fn http(&self, url: &str) -> String {
        let path = url.strip_prefix(&format!("http://{BOOT}")).unwrap_or_else(|| panic!("{url}")).to_owned();
        self.lan.within("client", || {
            let mut stream = std::net::TcpStream::connect(SocketAddr::from((BOOT, 80))).unwrap();
            stream
                .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
                .unwrap();
            let mut response = Vec::new();
            stream.read_to_end(&mut response).unwrap();
            String::from_utf8_lossy(&response).into_owned()
        })
    }

    /// iPXE of this machine begins at the URL that its DHCP server named; the report.
    fn run_ipxe(&self, caller: &Caller, architecture: &str, url: &str) -> Value {
        let mut command = self.lan.command("client", env!("CARGO_BIN_EXE_pointsman"));
        command.args(["simulate", "--json", "--mac", &caller.mac(), "--arch", architecture, "--url", url]);
        let output = command.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", printed(&output)))
    }
}

/// Every kind of client, beside a server of this make.
fn every_client_finds_its_way(make: &str) {
    let mode = start(make, &["--raspberry-pi"]);
    let lan = &mode.lan;
    for (last, architecture, file) in [(1, 0, "undionly.kpxe"), (2, 7, "snponly.efi"), (3, 9, "snponly.efi")] {
        let offer = Caller::firmware(last, architecture).offer(lan);
        assert_eq!((boot_file(&offer), offer.header.siaddr), (format!("loaders/{file}"), BOOT), "{architecture}");
        assert_eq!(offer.option(60), None, "firmware would go on at port 4011 of the DHCP server");
    }
    lan.give("client", Ipv4Addr::new(10, 178, 4, 99));
    assert_eq!(tftp(lan, BOOT, "loaders/snponly.efi").unwrap().len(), 100_000);
    // Beside an EFI loader: where it goes on before it asks DHCP.
    let autoexec = String::from_utf8(tftp(lan, BOOT, "loaders/autoexec.ipxe").unwrap()).unwrap();
    assert!(autoexec.contains(&format!("http://{BOOT}/boot")) && autoexec.contains("\ndhcp"), "{autoexec}");
    assert_eq!(tftp(lan, BOOT, "snponly.efi"), None);

    let offer = Caller::firmware(4, 16).offer(lan);
    assert_eq!(offer.option(60), Some(&b"HTTPClient"[..]));
    let url = boot_file(&offer);
    assert_eq!(url, format!("http://{BOOT}/loaders/snponly.efi"));
    let loader = mode.http(&url);
    assert!(loader.starts_with("HTTP/1.1 200") && loader.contains("Content-Length: 100000"), "{loader:.400}");
    assert!(mode.http(&url.replace("snponly.efi", "autoexec.ipxe")).contains("/boot"));

    boots_by_the_rules(&mode);

    let mut pi = Caller::firmware(7, 0);
    pi.mac[..3].copy_from_slice(&[0xb8, 0x27, 0xeb]);
    let offer = pi.offer(lan);
    let menu = offer.option(43).unwrap_or_default();
    assert!(menu.windows(17).any(|part| part == b"Raspberry Pi Boot") && menu.starts_with(&[6, 1, 3]), "{menu:?}");
    assert_eq!((offer.option(60), offer.header.siaddr), (Some(&b"PXEClient"[..]), BOOT));
    let other = Caller::plain(8).offer(lan);
    assert_eq!((boot_file(&other), other.option(60), other.option(175)), (String::new(), None, None));
}

/// iPXE gets the way in, where *allow boot?* is asked.
fn boots_by_the_rules(mode: &Mode) {
    let caller = Caller::ipxe(5, 7);
    let offer = caller.offer(&mode.lan);
    let url = boot_file(&offer);
    assert_eq!(url, format!("http://{BOOT}/boot"));
    // Encapsulated: do not wait for a proxy.
    assert_eq!(offer.option(175).map(|octets| octets.strip_suffix(&[255]).unwrap_or(octets)), Some(&[176, 1, 1][..]));
    let report = mode.run_ipxe(&caller, "x64-uefi", &url);
    assert_eq!(report["ending"], "booted", "{report:#}");
    assert!(report.to_string().contains("who=52:54:00:04:04:05 arch=x64-uefi"), "{report:#}");
    let report = mode.run_ipxe(&Caller::ipxe(0x0d, 0), "x86-bios", &url);
    assert!(report["ending"] == "local_disk" && report.to_string().contains("stolen in May"), "{report:#}");
    assert!(!report.to_string().contains("/f/debian"), "{report:#}");
    let (said, dhcp) = (mode.server.said(), mode.dhcp.said());
    assert!(said.contains("without a session"), "{said}\n{dhcp}");
}

#[test]
fn servers_dhcp_options_of_isc() {
    every_client_finds_its_way("isc");
}

#[test]
fn servers_dhcp_options_of_kea() {
    every_client_finds_its_way("kea");
}

#[test]
fn servers_dhcp_options_of_dnsmasq() {
    every_client_finds_its_way("dnsmasq");
}

#[test]
fn servers_dhcp_options_with_a_url_for_2pint() {
    for make in ["isc", "kea", "dnsmasq"] {
        let mode = start(make, &["--option-175", "url"]);
        for caller in [Caller::firmware(1, 7), Caller::ipxe(1, 7)] {
            let offer = caller.offer(&mode.lan);
            let url = offer.option(175).map(|octets| String::from_utf8_lossy(octets).into_owned());
            assert_eq!(url.as_deref(), Some("https://boot.example.com:443/"), "{make}");
        }
        drop(mode.site);
    }
}

#[test]
fn it_tells_what_this_server_lacks() {
    let site = Site::new();
    let output = site.run(&["print", "dhcp-config", "--for", "isc", "--server", "10.0.0.2"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    for lack in ["loaders.plain_paths = true", "http.entry = true", "dhcp.enabled = false"] {
        assert!(said.contains(lack), "{said}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("# NOT YET THERE: {lack}")));
    }
    assert!(said.contains("arm64-uefi is left out"), "{said}");
    let daemon = site.serve();
    assert!(daemon.get("/loaders/snponly.efi").starts_with("HTTP/1.1 404"), "closed unless the site opens it");
}

#[test]
fn windows_gets_commands() {
    let text = snippet(&site(), "windows", &[]);
    assert!(
        text.contains("-OptionId 67 -Value \"loaders/snponly.efi\"") && text.contains("PXEClient:Arch:00009"),
        "{text}"
    );
}
