//! A service that stops in the middle.

use futures_util::stream;

use super::*;

fn of(parts: Vec<object_store::Result<Bytes>>) -> BoxStream<'static, object_store::Result<Bytes>> {
    stream::iter(parts).boxed()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stalls_fails_and_ends() {
    let stalled = of(vec![Ok(Bytes::from_static(b"begin"))]).chain(stream::pending()).boxed();
    let begin = tokio::time::Instant::now();
    let parts: Vec<_> = bounded(stalled, Duration::from_secs(30)).collect().await;
    assert_eq!(begin.elapsed(), Duration::from_secs(30));
    assert_eq!(parts[0], Ok(Bytes::from_static(b"begin")));
    assert_eq!(parts[1..], [Err(OriginError::Unreachable("nothing came for 30 s".into()))]);
}

#[test]
fn what_the_library_tried_is_left_out() {
    let said = "Generic S3 error: Error performing HEAD http://x/b/k in 2ms, after 1 retries, max_retries: 1, \
                retry_timeout: 10s  - HTTP error: Connection refused - so it is";
    assert_eq!(super::client::in_words(&std::io::Error::other(said)), "HTTP error: Connection refused - so it is");
    assert_eq!(super::client::in_words(&std::io::Error::other("plain - so")), "plain - so");
}

#[tokio::test]
async fn a_stream_ends_with_its_first_error() {
    let error = || Err(Error::Generic { store: "S3", source: "cut\noff".into() });
    let parts: Vec<_> =
        bounded(of(vec![error(), Ok(Bytes::from_static(b"more")), error()]), STALL_TIME_MAX).collect().await;
    let [Err(OriginError::Unreachable(why))] = &parts[..] else { panic!("{parts:?}") };
    assert!(why.contains("cut off"), "{why}");
}
