//! Two servers on one segment, one of them standing by: real daemons in network namespaces.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

use crate::harness::{PATIENCE, Site};
use crate::lan::{BOOT, Caller, DHCP, Lan, Running, client_socket, received};

const RULES: &str = "fn allow_boot(request) { allow() }\nfn boot_images(request) { linux(#{ id: \"debian\", kernel: \"debian/linux\" }) }\n";

/// A site that is served at this address, on the ports that firmware knows.
fn site(address: Ipv4Addr) -> Site {
    let site = Site::with_rules(RULES);
    site.edit("pointsman.toml", |text| {
        text.replace("address = \"127.0.0.1\"", &format!("address = \"{address}\""))
            .replace("port = 0\nboot_server_port = 0", "port = 67\nboot_server_port = 4011")
    });
    site
}

fn serve(lan: &Lan, part: &str, site: &Site) -> Running {
    let mut command = lan.command(part, env!("CARGO_BIN_EXE_pointsman"));
    let running = lan.start(command.args(["--config", &site.config(), "serve"]));
    running.wait_for("\"serving\"");
    running
}

/// Who answers a DISCOVER of firmware that has been trying for so long: the servers, in the order of their answers.
fn answering(lan: &Lan, last: u8, secs: u16) -> Vec<Ipv4Addr> {
    lan.within("client", || {
        let socket = client_socket(68);
        let xid = u32::from(last) << 8 | u32::from(secs);
        let zero = Ipv4Addr::UNSPECIFIED;
        let mut packet = Caller::firmware(last, 7).packet(1, xid, zero, zero, &[]);
        packet[8..10].copy_from_slice(&secs.to_be_bytes());
        socket.send_to(&packet, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67)).unwrap();
        let mut servers = Vec::new();
        while let Some((message, _)) = received(&socket, xid) {
            servers.push(message.header.siaddr);
        }
        servers
    })
}

/// Conformance of rows M3 and H12.
#[test]
fn of_two_servers_the_standby_answers_where_the_first_does_not() {
    let lan = Lan::new();
    let (first, standby) = (site(BOOT), site(DHCP));
    standby.configure("dhcp", "secs_min = 4");
    let (running, _standby) = (serve(&lan, "boot", &first), serve(&lan, "dhcp", &standby));
    // The first packets may be lost while the wires come up.
    let since = Instant::now();
    while answering(&lan, 1, 0) != [BOOT] {
        assert!(since.elapsed() < PATIENCE, "the first server does not answer");
    }
    let mut both = answering(&lan, 2, 4);
    both.sort_unstable();
    assert_eq!(both, [DHCP, BOOT], "it was not in time");
    drop(running);
    assert_eq!(answering(&lan, 3, 0), [] as [Ipv4Addr; 0], "the first server might still come");
    assert_eq!(answering(&lan, 3, 4), [DHCP]);
}

#[test]
fn of_two_servers_the_one_that_holds_its_answers_back_comes_second() {
    let lan = Lan::new();
    let (first, second) = (site(BOOT), site(DHCP));
    second.configure("dhcp", "response_delay = \"150ms\"");
    let _both = (serve(&lan, "boot", &first), serve(&lan, "dhcp", &second));
    let since = Instant::now();
    while answering(&lan, 1, 0) != [BOOT, DHCP] {
        assert!(since.elapsed() < PATIENCE, "not in this order");
    }
}
