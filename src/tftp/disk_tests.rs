//! Files that are read piece by piece: at the boundary of two pieces, and from a disk that does not answer.

use std::collections::BTreeSet;
use std::sync::mpsc;

use super::*;

const BLKSIZE: usize = 1_468;

/// Receives the blocks `first..=last` once each and compares them with the file. The order is the network's
/// affair: what comes from two pieces may be sent by two system calls.
async fn expect_blocks(client: &Client, whole: &[u8], first: u16, last: u16) {
    let mut missing: BTreeSet<u16> = (first..=last).collect();
    while !missing.is_empty() {
        let (bytes, _) = client.receive().await;
        let Packet::Data { block, payload } = Packet::parse(&bytes).unwrap() else { panic!("{bytes:?}") };
        assert!(missing.remove(&block), "{block} is none of {missing:?}");
        let from = usize::from(block - 1) * BLKSIZE;
        assert!(payload == &whole[from..whole.len().min(from + BLKSIZE)], "{block}");
    }
}

#[tokio::test]
async fn blocks_on_both_sides_of_a_piece_boundary_come_again_after_a_doubtful_ack() {
    // Only the timer of repeated ACKs is to send anything again, however slow this machine is.
    let server = start(|c| c.retry.shortest = 2 * PATIENCE).await;
    let client = Client::of(&server).await;
    let whole = content(9_000_000);
    client.ask("big.wim", &[("blksize", "1468"), ("windowsize", "16")]).await;
    let (_, from) = client.receive().await;
    let ack = async |block: u16| client.socket.send_to(&packet::ack(block), from).await.unwrap();
    ack(0).await;
    for window in 0..10 {
        expect_blocks(&client, &whole, window * 16 + 1, window * 16 + 16).await;
        ack(window * 16 + 16).await;
    }
    expect_blocks(&client, &whole, 161, 176).await;
    ack(170).await;
    expect_blocks(&client, &whole, 171, 186).await;
    ack(170).await;
    expect_blocks(&client, &whole, 171, 186).await;
    // A piece holds 178 blocks: the window is completed from the second, what it lacks is in the first.
    ack(175).await;
    expect_blocks(&client, &whole, 187, 191).await;
    expect_blocks(&client, &whole, 176, 191).await;
    let last_block = u16::try_from(whole.len() / BLKSIZE + 1).unwrap();
    let mut acknowledged = 191;
    while acknowledged < last_block {
        ack(acknowledged).await;
        let end = last_block.min(acknowledged + 16);
        expect_blocks(&client, &whole, acknowledged + 1, end).await;
        acknowledged = end;
    }
    ack(last_block).await;
    assert_eq!(server.site.outcome().await.1, TransferResult::Complete);
}

#[test]
fn a_disk_that_does_not_answer_ends_the_transfer_and_its_permit_is_given_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let server = start(|c| {
            c.transfers_max = 1;
            c.retry.patience = Duration::from_millis(100);
        })
        .await;
        // The only thread that could read is held until the end of the test.
        let (_hold, held) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        let client = Client::of(&server).await;
        client.ask("opened.wim", &[("windowsize", "16")]).await;
        let (_, from) = client.receive().await;
        client.socket.send_to(&packet::ack(0), from).await.unwrap();
        client.expect_error(0).await;
        assert_eq!(server.site.outcome().await.1, TransferResult::Failed);
        let (_, whole, _) = Client::of(&server).await.fetch("small", &[]).await;
        assert!(whole == content(100));
    });
}

#[tokio::test]
async fn a_file_that_is_still_arriving_is_sent_as_it_comes() {
    let whole = content(200_000);
    let (arriving, gate) = crate::files::arrival_tests::arriving(&whole);
    let server = start(|_| {}).await;
    server.site.later.lock().unwrap().replace(arriving.clone());
    let client = Client::of(&server).await;
    client.ask("arriving", &[("blksize", "1468"), ("windowsize", "16")]).await;
    let (_, from) = client.receive().await;
    let ack = async |block: u16| client.socket.send_to(&packet::ack(block), from).await.unwrap();
    ack(0).await;
    // Nothing is there; others are served meanwhile.
    let (_, small, _) = Client::of(&server).await.fetch("small", &[]).await;
    assert!(small == content(100));
    assert_eq!(server.site.outcome().await.0, "small");
    gate.send(Some(50_000)).unwrap();
    expect_blocks(&client, &whole, 1, 16).await;
    ack(16).await;
    expect_blocks(&client, &whole, 17, 32).await;
    gate.send(Some(200_000)).unwrap();
    let last = u16::try_from(whole.len() / BLKSIZE + 1).unwrap();
    let mut acknowledged = 32;
    while acknowledged < last {
        ack(acknowledged).await;
        let end = last.min(acknowledged + 16);
        expect_blocks(&client, &whole, acknowledged + 1, end).await;
        acknowledged = end;
    }
    ack(last).await;
    assert_eq!(server.site.outcome().await.1, TransferResult::Complete);

    gate.send(None).unwrap();
    let client = Client::of(&server).await;
    client.ask("arriving", &[]).await;
    client.expect_error(0).await;
    assert_eq!(server.site.outcome().await.1, TransferResult::Failed);
}
