//! A file that is still arriving: sent as it comes, by the kernel or through this process, and never as a whole that it is not.

use http_body::Body as _;

use super::super::body::FileBody;
use super::*;
use crate::files::arrival_tests::arriving;

const LENGTH: usize = 5_000_000;

async fn is_sent_as_it_comes<S: AsyncRead + AsyncWrite + Unpin>(running: &Running, wire: &mut Wire<S>) {
    let whole = &big_file()[..LENGTH];
    let (content, gate) = arriving(whole);
    running.arriving.lock().unwrap().replace(content);
    let path = running.path("arriving.efi");
    let head = wire.ask("HEAD", &path, "").await;
    assert_eq!((head.field("content-length"), head.field("etag")), ("5000000", "\"t\""));
    wire.write(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    // The head comes at once, and so does what is there.
    for there in [10, 300_000, 2_700_000] {
        gate.send(Some(there)).unwrap();
        while !has(&wire.read, usize::try_from(there).unwrap()) {
            wire.more().await.unwrap();
        }
        let body = body_of(&wire.read);
        assert!(body == &whole[..usize::try_from(there).unwrap()], "{there}");
    }
    gate.send(Some(LENGTH as u64)).unwrap();
    let reply = wire.reply(false).await.unwrap();
    assert!(reply.body == whole);
    let part = wire.ask("GET", &path, "Range: bytes=4000000-4000009\r\nIf-Range: \"t\"\r\n").await;
    assert_eq!(
        (part.status.as_str(), part.body.as_slice()),
        ("HTTP/1.1 206 Partial Content", &whole[4_000_000..4_000_010])
    );

    gate.send(Some(1_000_000)).unwrap();
    wire.write(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    while !has(&wire.read, 1_000_000) {
        wire.more().await.unwrap();
    }
    gate.send(None).unwrap();
    // The client sees that this is not all.
    let count = wire.drain().await;
    assert!(count < LENGTH, "{count}");
}

fn body_of(read: &[u8]) -> &[u8] {
    let end = read.windows(4).position(|window| window == b"\r\n\r\n");
    end.map_or(&[], |end| &read[end + 4..])
}

fn has(read: &[u8], octets: usize) -> bool {
    body_of(read).len() >= octets
}

#[tokio::test]
async fn a_file_that_is_still_arriving_is_sent_as_it_comes() {
    let running = Running::plain().await;
    let mut wire = running.connect().await;
    is_sent_as_it_comes(&running, &mut wire).await;
}

#[tokio::test]
async fn without_the_kernel_it_is_sent_piece_by_piece_too() {
    let whole = &big_file()[..LENGTH];
    let (content, gate) = arriving(whole);
    let mut body = Box::pin(FileBody::new(content, 1_000, 4_000_000, None, Default::default(), None));
    let mut next = async || std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
    gate.send(Some(1_700)).unwrap();
    assert!(next().await.unwrap().unwrap().into_data().unwrap() == whole[1_000..1_700]);
    gate.send(Some(3_000_000)).unwrap();
    let mut received = 1_700;
    while received < 3_000_000 {
        let piece = next().await.unwrap().unwrap().into_data().unwrap();
        assert!(piece == whole[received..received + piece.len()]);
        received += piece.len();
    }
    gate.send(None).unwrap();
    assert!(next().await.unwrap().is_err());
    assert!(next().await.is_none());
}

#[tokio::test]
async fn a_part_without_the_end_is_sent_when_the_whole_is_known_to_be_right() {
    let running = Running::plain().await;
    let whole = &big_file()[..LENGTH];
    let (content, gate) = arriving(whole);
    running.arriving.lock().unwrap().replace(content);
    let path = running.path("arriving.efi");
    gate.send(Some(LENGTH as u64 - 1)).unwrap();
    // Who resumes gets at once what is there: the end of it is held back.
    let mut rest = running.connect().await;
    rest.write(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes=4000000-\r\n\r\n")).await;
    while !has(&rest.read, 900_000) {
        rest.more().await.unwrap();
    }
    let mut wires = Vec::new();
    for range in ["0-9", "1000-1999", "0-4999998"] {
        let mut wire = running.connect().await;
        wire.write(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes={range}\r\n\r\n")).await;
        while !wire.read.windows(4).any(|window| window == b"\r\n\r\n") {
            wire.more().await.unwrap();
        }
        wires.push(wire);
    }
    // It turns out to be wrong: nobody got an octet of a part.
    gate.send(None).unwrap();
    for mut wire in wires {
        while wire.more().await.is_ok() {}
        assert!(body_of(&wire.read).is_empty());
    }
    gate.send(Some(LENGTH as u64)).unwrap();
    let mut wire = running.connect().await;
    let part = wire.ask("GET", &path, "Range: bytes=1000-1999\r\n").await;
    assert!(part.body == whole[1_000..2_000]);
}
