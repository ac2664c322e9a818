//! The server on loopback, asked by a small client over real sockets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::packet::{self, Packet};
use super::*;
use crate::files::{Content, FileRoot};

#[path = "disk_tests.rs"]
mod disk;

/// Far beyond what loopback takes; only a defect waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Site {
    root: FileRoot,
    made: HashMap<&'static str, Content>,
    /// `arriving`, put there by a test.
    later: Mutex<Option<Content>>,
    outcomes: Mutex<Vec<(String, TransferResult)>>,
    /// Told of each outcome.
    told: tokio::sync::Notify,
}

#[async_trait]
impl TftpSource for Site {
    async fn open(&self, request: &ReadRequest) -> Result<Content, Refusal> {
        match request.file_name.as_str() {
            "denied.efi" => return Err(Refusal::Denied("this machine may not boot".to_owned())),
            "busy.efi" => return Err(Refusal::Busy),
            "arriving" => return self.later.lock().unwrap().clone().ok_or(Refusal::NotFound),
            _ => {}
        }
        if let Some(content) = self.made.get(request.file_name.as_str()) {
            return Ok(content.clone());
        }
        self.root.open(&request.file_name).await.map_err(|_| Refusal::NotFound)
    }

    fn finished(&self, request: &ReadRequest, outcome: &TransferOutcome) {
        let entry = (request.file_name.to_string(), outcome.result);
        self.outcomes.lock().unwrap().push(entry);
        self.told.notify_one();
    }
}

impl Site {
    async fn outcome(&self) -> (String, TransferResult) {
        loop {
            if let Some(outcome) = self.outcomes.lock().unwrap().pop() {
                return outcome;
            }
            timeout(PATIENCE, self.told.notified()).await.expect("an outcome");
        }
    }
}

struct Server {
    site: Arc<Site>,
    port: u16,
    counters: Arc<TftpCounters>,
    _stop: DropGuard,
    _directory: tempfile::TempDir,
}

fn content(length: usize) -> Bytes {
    (0..length).map(|i| (i / 3 + i % 253) as u8).collect()
}

async fn start(change: impl FnOnce(&mut TftpConfig)) -> Server {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("Boot")).unwrap();
    std::fs::write(directory.path().join("Boot/BCD"), content(5_000)).unwrap();
    std::fs::write(directory.path().join("big.wim"), content(9_000_000)).unwrap();
    let sizes = [("empty", 0), ("small", 100), ("even", 1024), ("loader.efi", 300_000), ("huge", 40_000_000)];
    let root = FileRoot::new(directory.path()).unwrap();
    let mut made = HashMap::from(sizes.map(|(name, size)| (name, Content::from_bytes(content(size)))));
    made.insert("opened.wim", root.open(&"big.wim".parse().unwrap()).await.unwrap());
    let site = Arc::new(Site {
        root,
        made,
        later: Mutex::default(),
        outcomes: Mutex::default(),
        told: tokio::sync::Notify::new(),
    });
    let mut config = TftpConfig {
        bind: vec!["127.0.0.1".parse().unwrap()],
        port: 0,
        threads: 2,
        drain: Duration::ZERO,
        ..TftpConfig::default()
    };
    change(&mut config);
    let server = TftpServer::bind(config, Arc::clone(&site) as Arc<dyn TftpSource>).unwrap();
    let port = server.local_addrs()[0].port();
    let stop = CancellationToken::new();
    let counters = server.counters();
    tokio::spawn(server.run(stop.clone()));
    Server { site, port, counters, _stop: stop.drop_guard(), _directory: directory }
}

/// A client on one port of its own.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Client {
    async fn of(server: &Server) -> Self {
        Self::at(server, "127.0.0.1".parse().unwrap()).await
    }

    async fn at(server: &Server, address: IpAddr) -> Self {
        let own = if address.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
        Self { socket: UdpSocket::bind(own).await.unwrap(), server: SocketAddr::new(address, server.port) }
    }

    async fn ask(&self, file: &str, options: &[(&str, &str)]) {
        let request = packet::read_request(file, options);
        self.socket.send_to(&request, self.server).await.unwrap();
    }

    async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 70_000];
        let received = timeout(PATIENCE, self.socket.recv_from(&mut buffer));
        let (length, from) = received.await.expect("a packet").unwrap();
        buffer.truncate(length);
        (buffer, from)
    }

    async fn expect_error(&self, code: u16) -> String {
        let (bytes, _) = self.receive().await;
        match Packet::parse(&bytes).unwrap() {
            Packet::Error { code: c, text } if c == code => String::from_utf8_lossy(text).into(),
            other => panic!("{other:?}"),
        }
    }

    /// A whole transfer as RFC 7440 describes a receiver; gives the options, the bytes and the server's port.
    async fn fetch(&self, file: &str, options: &[(&str, &str)]) -> (String, Vec<u8>, SocketAddr) {
        self.ask(file, options).await;
        let (mut bytes, from) = self.receive().await;
        let (mut agreed, mut blksize, mut window) = (String::new(), 512, 1_u64);
        if let Packet::OptionAck(answers) = Packet::parse(&bytes).unwrap() {
            for answer in answers {
                let name = String::from_utf8_lossy(answer.name).into_owned();
                let value = String::from_utf8_lossy(answer.value).into_owned();
                match name.as_str() {
                    "blksize" => blksize = value.parse().unwrap(),
                    "windowsize" => window = value.parse().unwrap(),
                    _ => {}
                }
                agreed.push_str(&format!("{name}={value} "));
            }
            self.socket.send_to(&packet::ack(0), from).await.unwrap();
            bytes = self.receive().await.0;
        }
        let (mut whole, mut next, mut unacknowledged) = (Vec::new(), 1_u64, 0);
        loop {
            let Packet::Data { block, payload } = Packet::parse(&bytes).unwrap() else { panic!("{bytes:?}") };
            if block == (next & 0xFFFF) as u16 {
                whole.extend_from_slice(payload);
                unacknowledged += 1;
                let is_last = payload.len() < blksize;
                if is_last || unacknowledged == window {
                    self.socket.send_to(&packet::ack(block), from).await.unwrap();
                    unacknowledged = 0;
                }
                if is_last {
                    return (agreed.trim_end().to_owned(), whole, from);
                }
                next += 1;
            }
            bytes = self.receive().await.0;
        }
    }
}

#[tokio::test]
async fn edk2_probes_the_size_aborts_and_fetches_from_another_port() {
    let server = start(|_| {}).await;
    let probe = Client::of(&server).await;
    let asked = [("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")];
    probe.ask("loader.efi", &asked).await;
    let (bytes, from) = probe.receive().await;
    assert_eq!(bytes, b"\0\x06tsize\x00300000\0blksize\x001468\0windowsize\x004\0");
    let abort = packet::error(packet::ErrorCode::OptionRefused, "User aborted the transfer");
    probe.socket.send_to(&abort, from).await.unwrap();
    assert_eq!(server.site.outcome().await, ("loader.efi".to_owned(), TransferResult::SizeProbe));
    let client = Client::of(&server).await;
    let (agreed, whole, _) = client.fetch("loader.efi", &asked[1..]).await;
    assert_eq!(agreed, "blksize=1468 windowsize=4");
    assert!(whole == content(300_000));
    assert_eq!(server.site.outcome().await.1, TransferResult::Complete);
}

#[tokio::test]
async fn sizes_and_options_of_all_kinds_arrive_whole() {
    let server = start(|_| {}).await;
    for (file, size) in [("empty", 0), ("small", 100), ("even", 1024), ("loader.efi", 300_000)] {
        for options in [
            &[][..],
            &[("blksize", "512"), ("windowsize", "16")],
            &[("blksize", "1432"), ("tsize", "0")],
            &[("blksize", "8")],
            &[("blksize", "1468"), ("windowsize", "64")],
        ] {
            if size > 1024 && options == [("blksize", "8")] {
                continue;
            }
            let (_, whole, _) = Client::of(&server).await.fetch(file, options).await;
            assert!(whole == content(size), "{file} {options:?}");
        }
    }
}

#[tokio::test]
async fn a_large_file_is_read_ahead_from_disk() {
    let server = start(|_| {}).await;
    for options in [
        &[("blksize", "1468"), ("windowsize", "16")][..],
        &[("blksize", "1024"), ("windowsize", "64")],
        &[("blksize", "1432")],
    ] {
        let (_, whole, _) = Client::of(&server).await.fetch("big.wim", options).await;
        assert!(whole == content(9_000_000), "{options:?}");
    }
}

#[tokio::test]
async fn block_numbers_go_on_at_0_after_65535() {
    let server = start(|_| {}).await;
    for options in [&[("windowsize", "4")][..], &[("windowsize", "64")]] {
        let (_, whole, _) = Client::of(&server).await.fetch("huge", options).await;
        assert!(whole == content(40_000_000), "{options:?}");
    }
}

#[tokio::test]
async fn windows_spelling_finds_the_file() {
    let server = start(|_| {}).await;
    for name in [r"\Boot\BCD", "/boot/bcd", r"BOOT\bcd", "Boot/BCD\u{ff}"] {
        let (_, whole, _) = Client::of(&server).await.fetch(name.trim_end_matches('\u{ff}'), &[]).await;
        assert!(whole == content(5_000), "{name}");
    }
}

#[tokio::test]
async fn a_name_without_terminator_or_with_junk_behind_it_is_served() {
    let server = start(|_| {}).await;
    for raw in [&b"\0\x01small"[..], b"\0\x01small\xff\0octet\0", b"\0\x01SMALL\0"] {
        let client = Client::of(&server).await;
        client.socket.send_to(raw, client.server).await.unwrap();
        let (bytes, _) = client.receive().await;
        let is_first = raw.starts_with(b"\0\x01small");
        match Packet::parse(&bytes).unwrap() {
            Packet::Data { block: 1, payload } if is_first => assert_eq!(payload, content(100)),
            // Content made by the source knows no other spelling.
            Packet::Error { code: 1, .. } if !is_first => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    let server = start(|_| {}).await;
    let client = Client::of(&server).await;
    client.ask("nosuch", &[]).await;
    client.expect_error(1).await;
    client.ask("denied.efi", &[]).await;
    assert_eq!(client.expect_error(2).await, "this machine may not boot");
    for name in [r"..\..\etc\passwd", "/../x", r"C:\x"] {
        client.ask(name, &[]).await;
        client.expect_error(2).await;
    }
    for (raw, code) in [(&b"\0\x02small\0octet\0"[..], 4), (b"\0\x01small\0mail\0", 4)] {
        client.socket.send_to(raw, client.server).await.unwrap();
        client.expect_error(code).await;
    }
    let netascii = b"\0\x01small\0netascii\0";
    client.socket.send_to(netascii, client.server).await.unwrap();
    assert!(matches!(Packet::parse(&client.receive().await.0), Ok(Packet::Data { block: 1, .. })));
}

#[tokio::test]
async fn a_repeated_request_gets_the_oack_again_from_the_same_port() {
    let server = start(|_| {}).await;
    let client = Client::of(&server).await;
    client.ask("loader.efi", &[("tsize", "0")]).await;
    let (first, from) = client.receive().await;
    client.ask("loader.efi", &[("tsize", "0")]).await;
    let (again, from_again) = client.receive().await;
    assert_eq!((first, from), (again, from_again));
    assert_eq!(server.counters.snapshot().requests, 2);
}

#[tokio::test]
async fn the_next_transfer_of_a_client_port_comes_from_another_port() {
    let server = start(|_| {}).await;
    let client = Client::of(&server).await;
    let (_, _, first) = client.fetch("small", &[]).await;
    // Until the last ACK is seen, the same request would be a repetition of the one before.
    while server.counters.snapshot().complete == 0 {
        tokio::task::yield_now().await;
    }
    let (_, _, second) = client.fetch("small", &[]).await;
    assert_ne!(first.port(), second.port());
    assert_ne!(first.port(), server.port);
}

#[tokio::test]
async fn a_packet_from_a_foreign_port_gets_error_5_and_the_transfer_goes_on() {
    let server = start(|_| {}).await;
    let client = Client::of(&server).await;
    client.ask("even", &[]).await;
    let (_, from) = client.receive().await;
    let stranger = Client::of(&server).await;
    stranger.socket.send_to(&packet::ack(1), from).await.unwrap();
    stranger.expect_error(5).await;
    client.socket.send_to(&packet::ack(1), from).await.unwrap();
    let (bytes, _) = client.receive().await;
    assert_eq!(bytes[..4], packet::data_header(2));
    assert_eq!(server.counters.snapshot().foreign, 1);
}

#[tokio::test]
async fn single_port_mode_sends_everything_from_the_request_port() {
    let server = start(|c| c.single_port = true).await;
    let client = Client::of(&server).await;
    for _ in 0..2 {
        let options = [("blksize", "1024"), ("windowsize", "8")];
        let (_, whole, from) = client.fetch("loader.efi", &options).await;
        assert!(whole == content(300_000));
        assert_eq!(from.port(), server.port);
    }
    client.ask("nosuch", &[]).await;
    client.expect_error(1).await;
}

#[tokio::test]
async fn transfers_keep_to_the_configured_port_range() {
    let server = start(|c| c.port_range = Some(45_100..=45_103)).await;
    for _ in 0..4 {
        let (_, _, from) = Client::of(&server).await.fetch("small", &[]).await;
        assert!((45_100..=45_103).contains(&from.port()), "{from}");
    }
}

#[tokio::test]
async fn the_answer_comes_from_the_address_that_was_asked() {
    let server = start(|c| c.bind = vec!["0.0.0.0".parse().unwrap()]).await;
    for address in ["127.0.0.1", "127.0.0.9"] {
        let address: IpAddr = address.parse().unwrap();
        let client = Client::at(&server, address).await;
        let (_, _, from) = client.fetch("loader.efi", &[("windowsize", "4")]).await;
        assert_eq!(from.ip(), address);
    }
}

#[tokio::test]
async fn ipv6_clients_are_served() {
    let server = start(|c| c.bind = vec!["::".parse().unwrap()]).await;
    let client = Client::at(&server, "::1".parse().unwrap()).await;
    let options = [("blksize", "1468"), ("windowsize", "16")];
    let (_, whole, _) = client.fetch("loader.efi", &options).await;
    assert!(whole == content(300_000));
}

#[tokio::test]
async fn a_hundred_clients_at_once_get_their_files() {
    let server = start(|_| {}).await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..100 {
        let client = Client::of(&server).await;
        clients.spawn(async move {
            let file = if number % 10 == 0 { "big.wim" } else { "loader.efi" };
            let options = [("blksize", "1468"), ("windowsize", "4")];
            let (_, whole, _) = client.fetch(file, &options).await;
            (file, whole)
        });
    }
    let mut done = 0;
    while let Some(result) = clients.join_next().await {
        let (file, whole) = result.unwrap();
        let size = if file == "big.wim" { 9_000_000 } else { 300_000 };
        assert!(whole == content(size), "{file}");
        done += 1;
    }
    assert_eq!(done, 100);
}

#[tokio::test]
async fn ten_thousand_requests_and_random_bytes_leave_the_server_serving() {
    let server = start(|c| {
        c.transfers_max = 200;
        c.transfers_per_client_max = 150;
    })
    .await;
    let flood = Client::of(&server).await;
    for number in 0..10_000_u32 {
        let request = packet::read_request("huge", &[("blksize", &(8 + number).to_string())]);
        let _ = flood.socket.send_to(&request, flood.server).await;
        let junk = number.wrapping_mul(2_654_435_761).to_be_bytes();
        let _ = flood.socket.send_to(&junk, flood.server).await;
    }
    // Another machine is served while the flood's transfers stand open.
    let other = Client { socket: UdpSocket::bind("127.0.0.77:0").await.unwrap(), server: flood.server };
    let (_, whole, _) = other.fetch("loader.efi", &[("blksize", "1468")]).await;
    assert!(whole == content(300_000));
    let counters = server.counters.snapshot();
    assert!(counters.dropped_busy > 1_000 && counters.malformed > 100, "{counters:?}");
}
