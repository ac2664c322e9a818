//! An iPXE of a ROM that cannot do what the site wants: it is given a newer one, once (conformance cases 44 and 45).

use crate::harness::{Daemon, Site};
use crate::menus::{Client, packet};

const RULES: &str = "fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }\n";
/// What the file of an EFI build of this version holds, as far as anybody reads it.
const NEW: &str = "MZ\0iPXE/%s\x002.0.0\0https\0";
const OLD: &str = "MZ\0iPXE/%s\x001.21.1\0http\0";

fn site(loader: &str, https: &str) -> Site {
    let site = Site::with_rules(RULES);
    site.write("loaders/snponly.efi", loader);
    if !https.is_empty() {
        site.configure("https", https);
    }
    site
}

/// An iPXE for UEFI that says its version and these features.
struct Ipxe<'a> {
    daemon: &'a Daemon,
    mac: u8,
    numbers: [u8; 3],
    has_https: bool,
}

impl Ipxe<'_> {
    /// The boot URL that DHCP tells it.
    fn offered(&self) -> String {
        let mut octets = packet(self.mac, 1, 4, None);
        let arch = octets.windows(4).position(|window| window == [93, 2, 0, 0]).unwrap();
        octets[arch + 3] = 7;
        octets.pop();
        octets.extend(*b"\x4d\x04iPXE");
        let [major, minor, patch] = self.numbers;
        let https: &[u8] = if self.has_https { &[0x14, 1, 1] } else { &[] };
        let build = [&[0xeb, 3, major, minor, patch, 0x13, 1, 1, 0x24, 1, 1], https].concat();
        octets.extend([&[175, build.len() as u8][..], &build, &[255]].concat());
        let offer = Client::new(self.daemon).ask("dhcp", &octets).expect("an offer");
        String::from_utf8_lossy(&offer[108..236]).trim_end_matches('\0').to_owned()
    }

    /// What it is told when it fetches that as this version.
    fn told(&self, method: &str, url: &str, version: &str) -> String {
        let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).expect(url).1;
        let head =
            format!("{method} /{path} HTTP/1.1\r\nHost: x\r\nUser-Agent: iPXE/{version}\r\nConnection: close\r\n\r\n");
        self.daemon.http(&head)
    }

    fn boots(&self, version: &str) -> (String, String) {
        let url = self.offered();
        let script = self.told("GET", &url, version);
        (url, script)
    }
}

#[test]
fn an_ipxe_too_old_for_https_is_given_a_newer_one_once() {
    let site = site(NEW, "ipxe = \"https\"");
    let daemon = site.serve();
    for (mac, has_https) in [(1, false), (2, true)] {
        let old = Ipxe { daemon: &daemon, mac, numbers: [1, 21, 1], has_https };
        let url = old.offered();
        assert!(url.starts_with("http://"), "{url}");
        let _a_look_uses_nothing_up = old.told("HEAD", &url, "1.21.1");
        let script = old.told("GET", &url, "1.21.1");
        let token = url.strip_suffix("/boot.ipxe").unwrap().rsplit_once('/').unwrap().0;
        assert!(script.contains(&format!("kernel --name=ipxe {token}/")), "{script}");
        assert!(script.contains("/snponly.efi || goto keep\nboot ||\nexit 1\n:keep\n"), "{script}");
        let given = daemon.wait_for_log(|line| {
            let is_it = line["message"] == "this iPXE is given a newer one";
            is_it && line["mac"].as_str().is_some_and(|text| text.ends_with(&format!(":0{mac}")))
        });
        assert_eq!((given["running"].as_str(), given["loader"].as_str()), (Some("1.21.1"), Some("snponly.efi")));
        // The same build comes again, because the new one did not start: it goes on as it is.
        let (url, script) = old.boots("1.21.1");
        assert!(url.starts_with("http://") && script.contains("http://") && !script.contains("kernel "), "{script}");
        assert!(!script.contains("https://127.0.0.1"), "{script}");
        // The new one is sent to HTTPS.
        let new = Ipxe { numbers: [2, 0, 0], has_https: true, ..old };
        assert!(new.offered().starts_with("https://"));
    }
}

#[test]
fn https_is_for_versions_that_can_speak_it_with_us() {
    let site = site(NEW, "ipxe = \"https\"");
    let daemon = site.serve();
    let of = |mac, numbers| Ipxe { daemon: &daemon, mac, numbers, has_https: true };
    // Its three numbers are those of a release that could not, and its git date says that it can.
    let (url, script) = of(3, [1, 21, 1]).boots("1.21.1+git20250501.0de0ae1");
    assert!(
        url.starts_with("http://") && script.contains("https://127.0.0.1") && !script.contains("kernel "),
        "{url} {script}"
    );
    // Nobody knows of what day it is: it tries.
    let (_, script) = of(4, [1, 0, 0]).boots("1.0.0+");
    assert!(script.contains("#!ipxe\nchain --replace https://") && script.contains("http://"), "{script}");
    let lower = of(5, [2, 0, 0]).offered();
    assert!(lower.starts_with("https://"), "{lower}");
}

#[test]
fn who_cannot_be_helped_goes_on_as_it_is() {
    // Our own loader is no better.
    let old = site(OLD, "ipxe = \"https\"");
    let never = site(NEW, "ipxe = \"https\"");
    never.configure("loaders.ipxe", "replace = \"never\"");
    let usual = site(NEW, "");
    for site in [old, never, usual] {
        let daemon = site.serve();
        let (url, script) = Ipxe { daemon: &daemon, mac: 1, numbers: [1, 21, 1], has_https: false }.boots("1.21.1");
        assert!(url.starts_with("http://") && script.contains("http://"), "{url} {script}");
        assert!(!script.contains("kernel ") && !script.contains("https://127.0.0.1"), "{script}");
    }
}

#[test]
fn a_site_may_need_more_of_ipxe() {
    let site = site(NEW, "");
    site.configure("loaders.ipxe", "version_min = \"1.21.1\"\nfeatures = [\"menu\"]");
    let daemon = site.serve();
    for (mac, numbers, why) in [(1, [1, 20, 1], "what 1.21.1 has"), (2, [1, 21, 1], "menu")] {
        let (_, script) = Ipxe { daemon: &daemon, mac, numbers, has_https: false }.boots("1.20.1");
        assert!(script.contains("kernel ") && script.contains(&format!("lacks {why}.")), "{script}");
    }
}
