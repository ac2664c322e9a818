//! Bodies of every size, and clients of every kind of bad manners.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::super::Limits;
use super::{BIG, PATIENCE, Running, Wire, big_file};

// Bodies

#[tokio::test]
async fn a_file_the_kernel_sends_is_whole_also_in_parts_and_one_request_after_the_other() {
    let server = Running::plain().await;
    let big = big_file();
    let mut wire = server.connect().await;
    let request = |range: &str| format!("GET {} HTTP/1.1\r\nHost: x\r\n{range}\r\n", server.path("f/big"));
    // All at once: the answers come one after the other on the one connection.
    let parts = ["Range: bytes=1-2097153\r\n", "Range: bytes=-1\r\n", "Range: bytes=4194303-4194304\r\n"];
    wire.write(&format!("{}{}{}{}", request(""), request(parts[0]), request(parts[1]), request(parts[2]))).await;
    wire.write(&format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n{}", server.path("f/debian/linux"), request(""))).await;
    for expect in [big, &big[1..2_097_154], &big[BIG - 1..], &big[4_194_303..4_194_305], b"kernel", big] {
        assert!(wire.reply(false).await.unwrap().body == expect, "{} octets differ", expect.len());
    }
    assert!(server.metrics.http_sent.get() >= 2 * BIG as u64);
    assert!(server.metrics.text().contains("image_fetched"));
}

#[tokio::test]
async fn a_file_that_shrinks_ends_the_connection_rather_than_the_file() {
    let server = Running::plain().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut wire = Wire::new(socket.connect(server.address).await.unwrap());
    wire.write(&format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", server.path("f/big"))).await;
    wire.more().await.unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(server.images.path().join("big")).unwrap();
    file.set_len(6_000_000).unwrap();
    assert!(wire.drain().await < BIG);
}

// Hostile clients

fn brief(limit: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    limit(&mut limits);
    limits
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_ends_the_connection() {
    let server = Running::start(brief(|limits| limits.head = Duration::from_millis(300)), None).await;
    let mut wire = server.connect().await;
    let dripped = async {
        for octet in b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter().cycle()
        {
            if wire.stream.write_all(&[*octet]).await.is_err() {
                return;
            }
            if timeout(Duration::from_millis(20), wire.more()).await.is_ok_and(|read| read.is_err()) {
                return;
            }
        }
    };
    timeout(PATIENCE, dripped).await.expect("the server ends it");
    assert_eq!(server.connect().await.ask("GET", "/healthz", "").await.body, b"ok\n");
}

#[tokio::test]
async fn a_reader_that_stops_reading_ends_its_connection() {
    let server = Running::start(brief(|limits| limits.stall = Duration::from_millis(300)), None).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut wire = Wire::new(socket.connect(server.address).await.unwrap());
    wire.write(&format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", server.path("f/big"))).await;
    server.stop.cancel();
    // Only the stall limit can end it within the patience of this test: nothing is read until the server is gone.
    timeout(Duration::from_secs(5), server.task).await.expect("stalled writers are cut").unwrap();
    assert!(wire.drain().await < BIG);
}

#[tokio::test]
async fn a_slow_download_is_not_cut_by_the_head_limit() {
    let limit = Duration::from_millis(200);
    let server = Running::start(brief(|limits| limits.head = limit), None).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut wire = Wire::new(socket.connect(server.address).await.unwrap());
    wire.write(&format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", server.path("f/big"))).await;
    for _ in 0..12 {
        tokio::time::sleep(limit / 4).await;
        wire.more().await.unwrap();
    }
    assert!(wire.reply(false).await.unwrap().body == big_file());
}

#[tokio::test]
async fn huge_heads_and_garbage_are_refused() {
    let server = Running::plain().await;
    let mut wire = server.connect().await;
    let huge = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Huge: {}", "a".repeat(200_000));
    let _ = wire.stream.write_all(huge.as_bytes()).await;
    match wire.reply(false).await {
        Ok(reply) => assert_eq!(reply.status, "HTTP/1.1 431 Request Header Fields Too Large"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0",
        "GET\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut wire = server.connect().await;
        wire.write(garbage).await;
        wire.stream.shutdown().await.unwrap();
        let status = wire.reply(false).await.map(|reply| reply.status).unwrap_or_default();
        assert!(status.is_empty() || status.contains(" 400 "), "{garbage:?}: {status}");
    }
    assert_eq!(server.connect().await.ask("GET", "/healthz", "").await.body, b"ok\n");
}

#[tokio::test]
async fn one_address_has_a_limited_number_of_connections() {
    let server = Running::start(brief(|limits| limits.connections_per_peer_max = 3), None).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut wire = server.connect().await;
        wire.ask("GET", "/healthz", "").await;
        held.push(wire);
    }
    let mut fourth = server.connect().await;
    let _ = fourth.stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(fourth.reply(false).await.is_err());
    drop(held);
    let again = async {
        loop {
            let mut wire = server.connect().await;
            let _ = wire.stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
            if wire.reply(false).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("places are given back");
}

#[tokio::test]
async fn a_thousand_connections_are_served_at_a_time() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8192), hard).unwrap();
    let server = Running::start(brief(|limits| limits.connections_per_peer_max = 1000), None).await;
    let mut wires = Vec::new();
    for _ in 0..1000 {
        wires.push(server.connect().await);
    }
    let path = server.path("f/debian/linux");
    for wire in &mut wires {
        wire.write(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    }
    for wire in &mut wires {
        assert_eq!(wire.reply(false).await.unwrap().body, b"kernel");
    }
}

#[tokio::test]
async fn when_it_stops_the_request_under_way_ends_and_idle_connections_close() {
    let server = Running::plain().await;
    let mut idle = server.connect().await;
    idle.ask("GET", "/healthz", "").await;
    let mut busy = server.connect().await;
    busy.write(&format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", server.path("f/big"))).await;
    busy.more().await.unwrap();
    server.stop.cancel();
    assert!(busy.reply(false).await.unwrap().body == big_file());
    assert_eq!(idle.drain().await, 0);
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
