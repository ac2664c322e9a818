//! One stream for many: real clients of RFC 2090 and MTFTP at the same time.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::assets::BOOTED;
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Plan};
use crate::network::{BRIDGE, INTERFACE, Network};
use crate::server::{ServerUnderTest, Site};
use crate::{ALLOW_ALL, ONE_LINUX};

const MULTICAST: &str =
    "[dhcp]\nenabled = false\n[http]\nentry = true\n[tftp.multicast]\nenabled = true\nmtftp = true\n";

fn site() -> Site<'static> {
    Site { more: MULTICAST.to_owned(), ..Site::new(ALLOW_ALL, ONE_LINUX) }
}

/// The folder of the files of a machine's boot session, as it is told by HTTP: `b/TOKEN/f`.
fn session_folder(network: &Network, mac: &str) -> String {
    let ask = format!(
        "exec 3<>/dev/tcp/{0}/80; printf 'GET /boot?mac={mac}&platform=pcbios HTTP/1.0\\r\\nHost: {0}\\r\\n\\r\\n' >&3; cat <&3",
        network.boot_address()
    );
    let output = network.command("dhcp", "bash").args(["-c", &ask]).output().expect("bash is everywhere");
    let text = String::from_utf8_lossy(&output.stdout);
    let from = text.find("/b/").unwrap_or_else(|| panic!("no session in {text:?}")) + 1;
    let length = text[from..].find("/lab/vmlinuz").unwrap_or_else(|| panic!("no kernel in {text:?}"));
    text[from..from + length].to_owned()
}

fn fetch(network: &Network, part: &str, arguments: &[&str], path: &str, to: &Path) -> Child {
    let mut command: Command = network.command(part, "atftp");
    command.args(arguments).args(["-r", path, "-l"]).arg(to).arg(network.boot_address());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("tests/run installs atftp")
}

/// Octets that left the server's interface.
fn octets_sent(network: &Network) -> u64 {
    let counter = "/sys/class/net/eth0/statistics/tx_bytes";
    let output = network.command("boot", "cat").arg(counter).output().expect("cat is everywhere");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn finished(server: &ServerUnderTest) -> usize {
    server.log.text().lines().filter(|line| line.contains("loaded by TFTP")).count()
}

#[test]
fn three_receivers_share_one_stream() {
    let Some(mut lab) = Lab::open("multicast") else { return };
    lab.network.join_upstream_by_lan();
    lab.network.address_of_bridge("10.77.0.101");
    for (part, interface) in [("dhcp", INTERFACE), ("upstream", INTERFACE), ("clients", BRIDGE)] {
        lab.network.route_groups(part, interface);
    }
    let server = lab.serve(&site());
    let kernel = fs::read(lab.assets.kernel()).unwrap();
    let path = format!("{}/lab/vmlinuz", session_folder(&lab.network, "52:54:00:aa:00:71"));
    let before = octets_sent(&lab.network);
    let options = ["--option", "multicast", "--option", "blksize 1428", "--get"];
    let mut receivers = Vec::new();
    for part in ["dhcp", "upstream", "clients"] {
        let to = lab.evidence.join(format!("got-{part}"));
        receivers.push((fetch(&lab.network, part, &options, &path, &to), to));
    }
    for (mut receiver, to) in receivers {
        assert!(receiver.wait().unwrap().success(), "{}\n{}", to.display(), lab.tails());
        assert!(fs::read(&to).unwrap() == kernel, "{} differs\n{}", to.display(), lab.tails());
    }
    let sent = octets_sent(&lab.network) - before;
    let once = kernel.len() as u64;
    assert!((once..once * 2).contains(&sent), "{sent} octets left for a file of {once}, which three got");
    assert!(finished(&server) >= 1);
}

#[test]
fn ipxe_boots_what_came_by_multicast() {
    let Some(mut lab) = Lab::open_with_boot_file("multicast-ipxe", "lab.ipxe") else { return };
    let server = lab.serve(&site());
    // One machine: iPXE's socket for `tftm://` often hears nothing of the group. A master is helped then; a listener waits
    // for what never comes, and gives up before its turn.
    let mac = "52:54:00:aa:00:72";
    let path = session_folder(&lab.network, mac);
    let server_address = lab.network.boot_address();
    let script = format!(
        "#!ipxe\nkernel tftm://{server_address}/{path}/lab/vmlinuz console=ttyS0 quiet || shell\n\
         initrd mtftp://{server_address}/{path}/lab/initramfs.gz || shell\nboot\n"
    );
    fs::write(lab.evidence.join("tftp/lab.ipxe"), script).unwrap();
    let machine = lab.power_on(&Plan::new(Firmware::Bios, mac, "aa000000-0000-4000-8000-000000000072"));
    lab.see(&machine, BOOTED, BOOT_LIMIT);
    let shown = machine.console.text();
    assert!(shown.contains("tftm://") && shown.contains("mtftp://"), "{}", lab.tails());
    // Not by plain TFTP, which iPXE falls back to.
    let streams = server.log.text().lines().filter(|line| line.contains("multicast stream begins")).count();
    assert!(streams >= 2 && finished(&server) >= 1, "{}", lab.tails());
}
