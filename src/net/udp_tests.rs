use std::net::IpAddr;

use bytes::Bytes;

use super::*;

fn bind(address: &str) -> UdpSocket {
    UdpSocket::bind(&BindOptions::new(address.parse().unwrap())).unwrap()
}

async fn receive(socket: &UdpSocket, wanted: usize) -> Vec<(Vec<u8>, SocketAddr, IpAddr, u32)> {
    let mut batch = RecvBatch::new(64, 2048);
    let mut all = Vec::new();
    while all.len() < wanted {
        socket.recv_batch(&mut batch).await.unwrap();
        all.extend(batch.iter().map(|d| (d.payload.to_vec(), d.peer, d.local, d.ifindex)));
    }
    all
}

#[tokio::test]
async fn tells_where_a_datagram_came_in_and_answers_from_there() {
    let server = bind("0.0.0.0:0");
    let port = server.local_addr().port();
    let client = bind("127.0.0.1:0");
    let to = SocketAddr::new("127.0.0.3".parse().unwrap(), port);
    client.send(b"hello", to, None).await.unwrap();
    let got = receive(&server, 1).await;
    let (payload, peer, local, ifindex) = &got[0];
    assert_eq!(payload, b"hello");
    assert_eq!(*peer, client.local_addr());
    assert_eq!(*local, to.ip());
    assert!(*ifindex > 0);
    let source = Source { address: *local, ifindex: *ifindex };
    server.send(b"answer", *peer, Some(source)).await.unwrap();
    let answer = receive(&client, 1).await;
    assert_eq!(answer[0].0, b"answer");
    assert_eq!(answer[0].1, to);
}

#[tokio::test]
async fn ipv6_tells_and_chooses_addresses_too() {
    let server = bind("[::]:0");
    let client = bind("[::1]:0");
    let to = SocketAddr::new("::1".parse().unwrap(), server.local_addr().port());
    client.send(b"six", to, None).await.unwrap();
    let got = receive(&server, 1).await;
    assert_eq!((got[0].0.as_slice(), got[0].2), (&b"six"[..], to.ip()));
    let source = Source { address: got[0].2, ifindex: 0 };
    let mut batch = SendBatch::default();
    batch.push_segments((0..40u16).map(u16::to_be_bytes), Bytes::from(vec![7; 40 * 500]), 500, got[0].1, Some(source));
    let report = server.send_batch(&mut batch).await;
    assert_eq!((report.sent, report.failed), (1, 0));
    assert_eq!(receive(&client, 40).await.len(), 40);
}

fn run_of(peer: SocketAddr, payload: &Bytes, size: usize, batch: &mut SendBatch) {
    let segments = payload.len() / size + 1;
    let numbers = (0..u16::try_from(segments).unwrap()).map(u16::to_be_bytes);
    batch.push_segments(numbers, payload.clone(), size, peer, None);
}

async fn check_run(length: usize, size: usize, works: bool) {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    server.offload_works.store(works, Ordering::Relaxed);
    let payload: Bytes = (0..length).map(|i| (i % 251) as u8).collect();
    let mut batch = SendBatch::default();
    run_of(client.local_addr(), &payload, size, &mut batch);
    let report = server.send_batch(&mut batch).await;
    assert_eq!(report.failed, 0);
    assert!(batch.is_empty());
    let got = receive(&client, length / size + 1).await;
    let mut whole = Vec::new();
    for (number, (bytes, ..)) in got.iter().enumerate() {
        assert_eq!(bytes[..2], u16::try_from(number).unwrap().to_be_bytes());
        whole.extend_from_slice(&bytes[2..]);
    }
    assert_eq!(whole, payload);
}

#[tokio::test]
async fn a_run_of_segments_arrives_as_datagrams_cut_by_the_kernel_or_by_us() {
    for works in [true, false] {
        for length in [0, 1, 511, 512, 513, 64 * 512, 70 * 512 + 3] {
            check_run(length, 512, works).await;
        }
        check_run(60 * 1468, 1468, works).await;
    }
}

#[tokio::test]
async fn a_single_segment_does_not_overtake_the_run_that_it_goes_on() {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let mut batch = SendBatch::default();
    let peer = client.local_addr();
    batch.push_segments((0..3_u8).map(|number| [number]), vec![7; 3 * 512].into(), 512, peer, None);
    batch.push_segments(std::iter::once([3_u8]), vec![7; 512].into(), 512, peer, None);
    batch.push_segments((4..6_u8).map(|number| [number]), vec![7; 2 * 512].into(), 512, peer, None);
    assert_eq!(server.send_batch(&mut batch).await.failed, 0);
    let got = receive(&client, 6).await;
    let order: Vec<u8> = got.iter().map(|(payload, ..)| payload[0]).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn one_unsendable_datagram_does_not_stop_the_others() {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    let mut batch = SendBatch::default();
    batch.push(b"a", client.local_addr(), None);
    batch.push(b"b", "[::1]:9".parse().unwrap(), None);
    batch.push(&vec![0; 70_000], client.local_addr(), None);
    batch.push(b"c", client.local_addr(), None);
    let report = server.send_batch(&mut batch).await;
    assert_eq!((report.sent, report.failed), (2, 2));
    let got = receive(&client, 2).await;
    assert_eq!((got[0].0.as_slice(), got[1].0.as_slice()), (&b"a"[..], &b"c"[..]));
}

#[tokio::test]
async fn a_datagram_beyond_the_room_is_dropped_and_counted() {
    let (server, client) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
    client.send(&[1; 100], server.local_addr(), None).await.unwrap();
    let mut batch = RecvBatch::new(4, 99);
    server.recv_batch(&mut batch).await.unwrap();
    assert_eq!(batch.oversized, 1);
    assert!(batch.iter().all(|d| d.payload.is_empty()));
}

#[tokio::test]
async fn a_busy_port_names_the_port_and_who_holds_it() {
    let first = bind("127.0.0.1:0");
    let error = UdpSocket::bind(&BindOptions::new(first.local_addr())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&first.local_addr().port().to_string()), "{text}");
    assert!(text.contains(&format!("pid {}", std::process::id())), "{text}");
}

#[tokio::test]
async fn a_foreign_address_and_a_missing_device_are_named() {
    let error = UdpSocket::bind(&BindOptions::new("192.0.2.1:0".parse().unwrap())).unwrap_err();
    assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
    let mut options = BindOptions::new("127.0.0.1:0".parse().unwrap());
    options.device = Some("nosuch0".to_owned());
    let error = UdpSocket::bind(&options).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("nosuch0"), "{text}");
}
