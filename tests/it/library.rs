//! Machines that boot from object storage, through the running daemon and its cache.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Daemon, PATIENCE, Site, printed};
use crate::s3::S3;

const KERNEL: &str = "debian/linux";

/// A site whose machines boot two objects of this server.
pub(crate) fn site(server: &S3, cache: &str) -> Site {
    let site = Site::with_rules(
        "fn allow_boot(request) { allow() }\n\
         fn boot_images(request) {\n    linux(#{ id: \"d\", title: \"d\", kernel: \"@s3/debian/linux\", initrd: \"@s3/debian/initrd.gz\" })\n}",
    );
    site.edit("pointsman.toml", |text| format!("{text}\n{}", server.section()));
    if !cache.is_empty() {
        site.configure("cache", cache);
    }
    site
}

/// A server that has both objects.
pub(crate) fn server() -> S3 {
    let server = S3::open();
    server.put(KERNEL, &vec![b'k'; 300_000]);
    server.put("debian/initrd.gz", &vec![b'i'; 200_000]);
    server
}

/// Boots a machine to the end; how long its files were.
fn boot(daemon: &Daemon) -> Vec<u64> {
    let report = daemon.boot(&["--mac", "52:54:00:00:00:01", "--arch", "x86-bios"]);
    assert_eq!(report["ending"], "booted", "{report:#}");
    report["files"].as_array().unwrap().iter().map(|file| file["len"].as_u64().unwrap()).collect()
}

/// Begins a session, and tells the path of its files; nothing is loaded yet.
fn begin(daemon: &Daemon) -> String {
    let answer = daemon.simulate(&["--mac", "52:54:00:00:00:02", "--arch", "x86-bios", "--pick", "none"]);
    let report: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    let script = report["script"].as_str().unwrap();
    let base = script[script.find("/b/").unwrap_or_else(|| panic!("{report:#}"))..].split("f/").next().unwrap();
    format!("{base}f/")
}

/// Waits until the metrics have this line.
fn wait_for_metric(daemon: &Daemon, line: &str) {
    let since = Instant::now();
    loop {
        let text = daemon.get("/metrics");
        if text.lines().any(|found| found == line) {
            return;
        }
        let cache: Vec<_> = text.lines().filter(|line| line.contains("_cache_")).collect();
        assert!(since.elapsed() < PATIENCE, "{line} is not in {cache:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A site with a menu, so that a session can begin without loading.
fn site_with_menu(server: &S3, cache: &str) -> Site {
    let site = site(server, cache);
    site.edit("scripts/allow_boot.rhai", |text| {
        text.replace("    linux(", "    menu(#{ images: [local_disk(), linux(").replace("\" })\n}", "\" })] })\n}")
    });
    site
}

#[test]
fn machines_boot_from_object_storage_and_go_on_without_it() {
    let mut server = server();
    let site = site(&server, "fresh_for = \"1ms\"");
    let daemon = site.serve();
    assert_eq!(boot(&daemon), [300_000, 200_000]);
    assert_eq!(boot(&daemon), [300_000, 200_000]);
    assert_eq!((server.asked("GET", KERNEL), server.asked("GET", "debian/initrd.gz")), (1, 1));
    wait_for_metric(&daemon, "pointsman_cache_fetched_bytes_total{origin=\"s3\"} 500000");
    wait_for_metric(&daemon, "pointsman_cache_requests_total{outcome=\"miss\"} 2");
    wait_for_metric(&daemon, "pointsman_cache_requests_total{outcome=\"hit\"} 2");
    server.kill();
    assert_eq!(boot(&daemon), [300_000, 200_000]);
    wait_for_metric(&daemon, "pointsman_cache_requests_total{outcome=\"stale\"} 2");
    assert_eq!(daemon.stop(), Some(0));
    // Nothing of it is in memory any more.
    let daemon = site.serve();
    assert_eq!(boot(&daemon), [300_000, 200_000]);
    wait_for_metric(&daemon, "pointsman_cache_files{} 2");
    wait_for_metric(&daemon, "pointsman_cache_octets{} 500000");
    daemon.wait_for_log(|line| line["message"] == "served as it was last fetched" && line["origin"] == "s3");
    server.start();
}

#[test]
fn a_changed_object_is_fetched_anew_and_one_that_is_gone_is_gone() {
    let server = server();
    let daemon = site(&server, "fresh_for = \"1ms\"").serve();
    assert_eq!(boot(&daemon), [300_000, 200_000]);
    server.put(KERNEL, &vec![b'n'; 300_001]);
    assert_eq!(boot(&daemon), [300_001, 200_000]);
    assert_eq!((server.asked("GET", KERNEL), server.asked("GET", "debian/initrd.gz")), (2, 1));
    std::fs::remove_file(server.path(KERNEL)).unwrap();
    let output = daemon.simulate(&["--mac", "52:54:00:00:00:01", "--arch", "x86-bios"]);
    assert!(printed(&output).contains("404"), "{}", printed(&output));
}

#[test]
fn a_hundred_clients_are_one_download() {
    let server = server();
    server.put(KERNEL, &(0..2_000_000_u32).map(|index| (index % 251) as u8).collect::<Vec<_>>());
    let daemon = site_with_menu(&server, "").serve();
    let path = format!("{}@s3/{KERNEL}", begin(&daemon));
    server.set_gate(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..100).map(|_| scope.spawn(|| daemon.get(&path))).collect();
        // All wait for the one download, which has not sent an octet yet.
        wait_for_metric(&daemon, "pointsman_cache_requests_total{outcome=\"joined\"} 99");
        server.set_gate(true);
        for client in clients {
            let answer = client.join().unwrap();
            let (head, _) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200") && head.contains("Content-Length: 2000000"), "{head}");
        }
    });
    assert_eq!((server.asked("GET", KERNEL), server.asked("HEAD", KERNEL) <= 3), (1, true));
    wait_for_metric(&daemon, "pointsman_cache_fetched_bytes_total{origin=\"s3\"} 2000000");
}

#[test]
fn what_cannot_be_had_is_said_on_each_protocol_and_soon() {
    let mut server = server();
    let daemon = site_with_menu(&server, "").serve();
    let path = begin(&daemon);
    server.kill();
    let since = Instant::now();
    let answer = daemon.get(&format!("{path}@s3/{KERNEL}"));
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Retry-After: 5\r\n"), "{answer}");
    assert!(answer.contains("its origin does not give it at present; ask again"), "{answer}");
    assert!(!answer.contains(&server.endpoint()), "a client learns where files come from: {answer}");
    let line = daemon.wait_for_log(|line| line["message"] == "file not served");
    assert!(line["error"].as_str().unwrap().contains("@s3: the origin does not answer"), "{line}");
    let error = by_tftp(&daemon, &format!("{path}@s3/{KERNEL}"));
    assert!(error.contains("its origin does not give it at present"), "{error}");
    wait_for_metric(&daemon, "pointsman_cache_requests_total{outcome=\"failed\"} 2");
    let answer = daemon.get(&format!("{path}@s4/{KERNEL}"));
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let line = daemon.wait_for_log(|line| line["message"] == "a file of nobody");
    assert!(line["why"].as_str().unwrap().contains("no [storage.s4]; there are s3"), "{line}");
    server.start();
}

/// Asks for a file by TFTP; the text of the error that comes.
fn by_tftp(daemon: &Daemon, path: &str) -> String {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("\0\x01{path}\0octet\0");
    socket.send_to(request.as_bytes(), ("127.0.0.1", daemon.port("tftp"))).unwrap();
    let mut packet = [0; 1500];
    let (length, _) = socket.recv_from(&mut packet).unwrap();
    assert_eq!(packet[..2], [0, 5], "{:?}", &packet[..length]);
    String::from_utf8_lossy(&packet[4..length]).into_owned()
}

#[test]
fn a_file_with_a_wrong_digest_never_ends() {
    let server = server();
    server.put("debian/linux.sha256", format!("{}  linux\n", "ab".repeat(32)).as_bytes());
    let site = site_with_menu(&server, "");
    let daemon = site.serve();
    let path = begin(&daemon);
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port("http"))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path}@s3/{KERNEL} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The connection may be reset: that is the point.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.len() < 300_000, "all {} octets came", answer.len());
    let line = daemon.wait_for_log(|line| line["message"] == "download failed");
    assert!(line["error"].as_str().unwrap().contains("not abababab"), "{line}");
    let answer = daemon.get(&format!("{path}@s3/{KERNEL}"));
    assert!(!answer.contains(&"k".repeat(250_000)), "it is served now");
    // Its owner puts it right.
    std::fs::remove_file(server.path("debian/linux.sha256")).unwrap();
    server.put(KERNEL, &vec![b'K'; 300_000]);
    daemon.stop();
    let answer = site.serve().get(&format!("{path}@s3/{KERNEL}"));
    assert!(answer.split_once("\r\n\r\n").unwrap().1 == "K".repeat(300_000));
}

#[test]
fn check_and_decide_look_for_objects_without_fetching_them() {
    let mut server = server();
    let site = site(&server, "");
    site.write(
        "scripts/allow_boot.cases.toml",
        "[[case]]\nname = \"boots\"\nmac = \"52:54:00:00:00:01\"\nexpect = \"image\"\nimages = [\"d\"]\n",
    );
    let output = site.run(&["check"]);
    let text = printed(&output);
    assert!(output.status.success() && text.contains("is in ") && text.contains(" or at its origin"), "{text}");
    assert_eq!((server.asked("GET", KERNEL), server.asked("HEAD", KERNEL)), (0, 1));
    assert!(!site.path("cache").exists(), "a check leaves nothing behind");
    std::fs::remove_file(server.path("debian/initrd.gz")).unwrap();
    let output = site.run(&["check"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("image file @s3/debian/initrd.gz: the origin has no such file"), "{text}");
    let text = printed(&site.run(&["decide"]));
    assert!(text.contains("missing  @s3/debian/initrd.gz: the origin has no such file"), "{text}");
    server.kill();
    let output = site.run(&["check"]);
    let text = printed(&output);
    assert!(output.status.success() && text.contains("whether it is there shows when its origin answers"), "{text}");
    assert!(text.contains("note  storage `s3`: the origin does not answer: HTTP error: "), "{text}");
    let text = printed(&site.run(&["decide"]));
    assert!(text.contains("unsure   @s3/debian/linux: the origin does not answer"), "{text}");
}

#[test]
fn a_reload_takes_a_new_key_and_keeps_what_was_fetched() {
    let server = S3::with_key("AKIANEW", "new-secret");
    server.put(KERNEL, &vec![b'k'; 300_000]);
    server.put("debian/initrd.gz", &vec![b'i'; 200_000]);
    let site = site(&server, "");
    site.edit("pointsman.toml", |text| text + "access_key = \"AKIAOLD\"\nsecret_key_file = \"s3.key\"\n");
    site.write("s3.key", "old-secret\n");
    let daemon = site.serve();
    let output = daemon.simulate(&["--mac", "52:54:00:00:00:01", "--arch", "x86-bios"]);
    assert!(printed(&output).contains("502"), "{}", printed(&output));
    let line = daemon.wait_for_log(|line| line["message"] == "file not served");
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("storage.s3.access_key = \"AKIAOLD\" is denied") && !error.contains("secret\""), "{line}");
    site.write("s3.key", "new-secret\n");
    site.edit("pointsman.toml", |text| text.replace("AKIAOLD", "AKIANEW"));
    daemon.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("reloaded")));
    let since = Instant::now();
    // The old key's refusal is remembered for a moment.
    while !daemon.simulate(&["--mac", "52:54:00:00:00:01", "--arch", "x86-bios"]).status.success() {
        assert!(since.elapsed() < PATIENCE, "{:#?}", daemon.log());
    }
    assert_eq!(boot(&daemon), [300_000, 200_000]);
    assert_eq!(server.asked("GET", KERNEL), 1);
    let log: String = daemon.log().iter().map(ToString::to_string).collect();
    assert!(!log.contains("old-secret") && !log.contains("new-secret"), "a secret is in the log");
}
