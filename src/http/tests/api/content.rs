//! Files and their digests.

use aws_lc_rs::digest::{SHA256, digest};

use super::*;
use crate::api::Digest;
use crate::cache::Sha256;

fn digest_of(octets: &[u8]) -> String {
    Sha256(digest(&SHA256, octets).as_ref().try_into().unwrap()).to_string()
}

#[tokio::test]
async fn files_come_whole_in_ranges_and_by_their_version() {
    let upstream = Upstream::start().await;
    let mut lyon = upstream.site("lyon").await;
    assert_eq!(lyon.get("files/debian/linux", "").await.body, b"kernel");
    let head = lyon.ask("HEAD", "/api/v1/files/big", "").await;
    assert_eq!((head.code(), head.field("content-length")), (200, &*BIG.to_string()));
    let tag = head.field("etag").to_owned();
    assert!(lyon.get("files/big", "").await.body == big_file());
    let part = lyon.get("files/big", &format!("Range: bytes=5000000-\r\nIf-Match: {tag}\r\n")).await;
    assert_eq!((part.code(), &part.body == &big_file()[5_000_000..]), (206, true));
    let other = lyon.get("files/big", "Range: bytes=5000000-\r\nIf-Match: \"other\"\r\n").await;
    assert_eq!(other.code(), 412);
    for (path, code) in [
        ("files/nosuch", 404),
        ("files/debian", 404),
        ("files/@nowhere/linux", 404),
        ("files/%2e%2e/%2e%2e/etc/passwd", 400),
        ("files/..%2f..%2fetc%2fpasswd", 400),
        ("files/%00", 400),
    ] {
        let reply = lyon.get(path, "").await;
        assert_eq!(reply.code(), code, "{path}");
        assert!(!reply.problem().is_empty());
    }
}

#[tokio::test]
async fn a_digest_is_that_of_the_version_with_the_tag() {
    let upstream = Upstream::start().await;
    let (mut lyon, mut oslo) = (upstream.site("lyon").await, upstream.site("oslo").await);
    let tag = lyon.ask("HEAD", "/api/v1/files/big", "").await.field("etag").to_owned();
    let condition = format!("If-Match: {tag}\r\n");
    let (one, other) = tokio::join!(lyon.get("digests/big", &condition), oslo.get("digests/big", &condition));
    let expect = Digest { sha256: digest_of(big_file()), length: BIG as u64 };
    assert_eq!((one.json::<Digest>(), other.json::<Digest>()), (expect.clone(), expect));
    assert_eq!(lyon.get("digests/big", "").await.code(), 428);
    assert_eq!(lyon.get("digests/nosuch", &condition).await.code(), 404);
    std::fs::write(upstream.images.path().join("new"), "other").unwrap();
    std::fs::rename(upstream.images.path().join("new"), upstream.images.path().join("big")).unwrap();
    assert_eq!(lyon.get("digests/big", &condition).await.code(), 412);
    let tag = lyon.ask("HEAD", "/api/v1/files/big", "").await.field("etag").to_owned();
    let new: Digest = lyon.get("digests/big", &format!("If-Match: {tag}\r\n")).await.json();
    assert_eq!((new.sha256, new.length), (digest_of(b"other"), 5));
}

#[tokio::test]
async fn nobody_gets_files_whom_nobody_knows() {
    let upstream = Upstream::start().await;
    let mut stranger = upstream.connect(None).await.unwrap();
    for path in ["files/big", "files/nosuch", "digests/big"] {
        assert_eq!(stranger.get(path, "").await.code(), 401);
    }
}
