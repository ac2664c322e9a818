//! Content that arrives while it is read.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use tokio::sync::watch;

use super::*;

/// Lets so many octets through; none of them when the download failed.
#[derive(Debug)]
pub(crate) struct Gate(watch::Receiver<Option<u64>>);

#[async_trait::async_trait]
impl Arrival for Gate {
    async fn reach(&self, end: u64) -> io::Result<u64> {
        let mut gate = self.0.clone();
        let now = *gate.wait_for(|open| open.is_none_or(|open| open >= end)).await.map_err(io::Error::other)?;
        now.ok_or_else(|| io::Error::other("it does not come"))
    }
}

/// Content of which nothing is there yet, with the one who writes it.
pub(crate) fn arriving(whole: &[u8]) -> (Content, watch::Sender<Option<u64>>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(whole).unwrap();
    let (sender, gate) = watch::channel(Some(0));
    (Content::of_arriving(Arc::new(file), whole.len() as u64, Arc::new(Gate(gate))).tagged("t"), sender)
}

#[tokio::test]
async fn what_is_there_is_given_and_the_rest_is_waited_for() {
    let whole: Vec<u8> = (0..200_000_u32).map(|index| (index / 7) as u8).collect();
    let (content, gate) = arriving(&whole);
    let meter = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let content = content.metered(Arc::clone(&meter));
    assert_eq!((content.len(), content.etag().as_str(), content.modified()), (200_000, "\"t\"", None));
    assert!(content.is_file() && content.is_arriving() && content.as_memory().is_none());
    let waiting = content.ready(0, 1_000);
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    gate.send(Some(600)).unwrap();
    assert_eq!(waiting.await.unwrap(), 600);
    assert_eq!(content.read_exact_at(100, 500).await.unwrap(), whole[100..600]);
    let waiting = content.read_at(100, 501);
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    gate.send(Some(100_000)).unwrap();
    assert_eq!(waiting.await.unwrap(), whole[100..601]);

    content.warm(0, 100_000).await.unwrap();
    let (one, mut other) = UnixStream::pair().unwrap();
    let mut sent = 0;
    let mut received = vec![0; 1_000];
    while sent < 1_000 {
        sent += content.send_to(&one, 2_000 + sent as u64, 1_000 - sent).unwrap();
    }
    other.read_exact(&mut received).unwrap();
    assert_eq!(received, whole[2_000..3_000]);
    assert_eq!(meter.load(std::sync::atomic::Ordering::Relaxed), 500 + 501 + 1_000);

    gate.send(None).unwrap();
    assert!(content.ready(0, 1).await.is_err() && content.read_at(0, 1).await.is_err());
    assert!(content.read_at(200_000, 1).await.unwrap().is_empty());
    drop(gate);
}
