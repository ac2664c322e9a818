//! The ordinary ways: fetched once, shared, kept over a restart, asked for again when it is old.

use bytes::Bytes;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_file_is_fetched_once_however_many_ask() {
    let whole = octets(1_000_000, 1);
    let origin = Memory { delay: Duration::from_millis(20), ..Memory::of(&[("big.wim", whole.clone())]) };
    let setup = Arc::new(Setup::new(origin));
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let setup = Arc::clone(&setup);
            tokio::spawn(async move { setup.read("big.wim").await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap(), whole);
    }
    assert_eq!((setup.memory.sent(), setup.memory.described()), (1_000_000, 1));
    let counts = setup.cache.counts();
    assert_eq!((counts.misses, counts.joined, counts.hits), (1, 99, 0));
    assert_eq!((counts.fetched, counts.served), (1_000_000, 100_000_000));
    let content = setup.open("big.wim").await.unwrap();
    assert_eq!(read(&content).await.unwrap(), whole);
    assert_eq!((setup.memory.sent(), setup.cache.counts().hits), (1_000_000, 1));
}

#[tokio::test]
async fn a_complete_file_is_a_plain_one_with_the_tag_that_it_had_while_it_arrived() {
    let mut setup = Setup::new(Memory::of(&[("big.wim", octets(9_000_000, 1)), ("small", octets(10, 2))]));
    for name in ["big.wim", "small"] {
        let arriving = setup.open(name).await.unwrap();
        setup.warm(name).await.unwrap();
        let complete = setup.open(name).await.unwrap();
        assert_eq!(complete.etag(), arriving.etag());
        assert_eq!(complete.modified(), arriving.modified());
        setup.restart();
        let again = setup.open(name).await.unwrap();
        assert_eq!(again.etag(), arriving.etag());
        assert_eq!((again.is_file(), again.as_memory().is_some()), (name == "big.wim", name == "small"));
        assert_eq!(read(&again).await.unwrap(), setup.memory.files.lock().unwrap()[name].octets);
    }
    assert_ne!(setup.open("small").await.unwrap().etag(), setup.open("big.wim").await.unwrap().etag());
    assert_eq!(setup.memory.sent(), 9_000_010);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_held_back_until_the_digest_is_known() {
    let whole = octets(1_000_000, 1);
    let setup = Setup::new(Memory::of(&[("a", whole.clone())]));
    setup.memory.fail([Fault::Hang(1_000_000)]);
    // The origin keeps the digest to itself until it is asked again.
    setup.memory.tell_digest("a", Some(Sha256::of(b"another")));
    let content = setup.open("a").await.unwrap();
    let free = 1_000_000 - arriving::HELD_BACK;
    assert_eq!(content.read_at(0, 900_000).await.unwrap(), whole[..900_000]);
    assert_eq!(content.ready(0, 1_000_000).await.unwrap() as u64, free);
    let error = content.read_at(free, 1).await.unwrap_err();
    assert!(error.to_string().contains("digest"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn ranges_of_what_is_not_there_yet_wait_for_it() {
    let whole = octets(2_000_000, 3);
    let setup = Setup::new(Memory { delay: Duration::from_millis(50), ..Memory::of(&[("iso", whole.clone())]) });
    let content = setup.open("iso").await.unwrap();
    let (end, middle, begin) = tokio::join!(
        content.read_exact_at(1_999_000, 1_000),
        content.read_exact_at(1_000_000, 4_096),
        content.read_exact_at(0, 512),
    );
    assert_eq!(end.unwrap(), whole[1_999_000..]);
    assert_eq!(middle.unwrap(), whole[1_000_000..1_004_096]);
    assert_eq!(begin.unwrap(), whole[..512]);
    assert!(content.read_at(3_000_000, 5).await.unwrap().is_empty());
    assert_eq!(setup.memory.sent(), 2_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_download_goes_on_when_who_asked_for_it_left() {
    let setup = Setup::new(Memory { delay: Duration::from_millis(100), ..Memory::of(&[("a", octets(500_000, 3))]) });
    drop(setup.open("a").await.unwrap());
    let progress = std::sync::Mutex::new(Vec::new());
    let name = "a".parse().unwrap();
    let on_progress = |done, all| progress.lock().unwrap().push((done, all));
    let warmed = setup.cache.warm(&setup.origin, &setup.pace, &name, &on_progress).await.unwrap();
    assert_eq!((warmed.length, warmed.digest), (500_000, Some(Sha256::of(&octets(500_000, 3)))));
    let progress = progress.into_inner().unwrap();
    assert!(progress.len() > 3 && progress.is_sorted(), "{progress:?}");
    assert_eq!(progress.last(), Some(&(500_000, 500_000)));
    assert_eq!(setup.memory.sent(), 500_000);
    assert_eq!(setup.warm("a").await.unwrap().fetched, 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_file_is_asked_after_and_served_when_the_origin_is_gone() {
    let (first, second) = (octets(100_000, 1), octets(120_000, 2));
    let setup = Setup::new(Memory::of(&[("a", first.clone())]));
    setup.warm("a").await.unwrap();
    assert_eq!(setup.memory.described(), 1);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(setup.read("a").await.unwrap(), first);
    assert_eq!(setup.memory.described(), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(setup.read("a").await.unwrap(), first);
    assert_eq!((setup.memory.described(), setup.memory.sent()), (2, 100_000));

    tokio::time::advance(Duration::from_secs(61)).await;
    let old = setup.open("a").await.unwrap();
    setup.memory.put("a", second.clone());
    tokio::time::advance(Duration::from_secs(61)).await;
    let new = setup.open("a").await.unwrap();
    assert_ne!(old.etag(), new.etag());
    assert_eq!(read(&new).await.unwrap(), second);
    assert_eq!(read(&old).await.unwrap(), first);
    assert_eq!(setup.memory.sent(), 220_000);

    for error in [OriginError::Unreachable("down".into()), OriginError::Refused("revoked".into())] {
        tokio::time::advance(Duration::from_secs(61)).await;
        setup.memory.is_down(Some(error));
        let asked = setup.memory.described();
        for _ in 0..10 {
            assert_eq!(setup.read("a").await.unwrap(), second);
        }
        assert_eq!(setup.memory.described(), asked + 1);
    }
    drop((old, new));
    setup.memory.is_down(Some(OriginError::NotFound));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(setup.open("a").await.unwrap_err().is_not_found());
    assert!(setup.files("objects").is_empty() && setup.files("index").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_never_here_is_an_error_with_the_reason() {
    let setup = Setup::new(Memory::of(&[("a", octets(10, 1))]));
    setup.memory.is_down(Some(OriginError::Unreachable("no route".into())));
    let error = setup.open("a").await.unwrap_err();
    assert_eq!(error.to_string(), "@memory: the origin does not answer: no route");
    // Others do not wait for it again at once.
    assert!(setup.open("a").await.is_err());
    assert_eq!(setup.memory.described(), 1);
    tokio::time::advance(Duration::from_secs(6)).await;
    setup.memory.is_down(None);
    assert_eq!(setup.read("a").await.unwrap(), octets(10, 1));
    assert!(setup.open("b").await.unwrap_err().is_not_found());
    assert!(!setup.folder.path().join("cache/b").exists());
}

#[tokio::test]
async fn a_file_without_a_digest_is_kept_as_unverified() {
    let setup = Setup::new(Memory::of(&[("a", octets(200_000, 1)), ("b", octets(10, 1)), ("empty", Bytes::new())]));
    setup.memory.tell_digest("a", None);
    assert!(setup.cache.entries().is_empty());
    for name in ["a", "b", "empty"] {
        setup.warm(name).await.unwrap();
    }
    let told: Vec<_> = setup.cache.entries().into_iter().map(|e| (e.name.to_string(), e.digest, e.complete)).collect();
    let expect = [("a", None), ("b", Some(octets(10, 1))), ("empty", Some(Bytes::new()))];
    let expect = expect.map(|(name, whole)| (name.to_owned(), whole.map(|whole| Sha256::of(&whole)), true));
    assert_eq!(told, expect);
    assert_eq!(setup.read("a").await.unwrap(), octets(200_000, 1));
    assert_eq!(setup.read("empty").await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn downloads_of_one_origin_wait_for_their_turn() {
    let files: Vec<_> = (0..12).map(|index| (index.to_string(), octets(100_000, index))).collect();
    let named: Vec<_> = files.iter().map(|(name, whole)| (name.as_str(), whole.clone())).collect();
    let setup = Setup::new(Memory { delay: Duration::from_millis(50), ..Memory::of(&named) });
    let reads = files.iter().map(async |(name, whole)| assert_eq!(setup.read(name).await.unwrap(), *whole));
    futures_util::future::join_all(reads).await;
    assert_eq!(setup.memory.at_once.1.load(std::sync::atomic::Ordering::SeqCst), DOWNLOADS_MAX as u64);
}
