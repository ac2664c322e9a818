//! What is kept, what has to go, and what lies in the folder that should not.

use super::*;

/// Three files that do not fit in the cache together.
fn crowded() -> Setup {
    let files = [("a", octets(100_000, 1)), ("b", octets(100_000, 2)), ("c", octets(100_000, 3))];
    Setup::with(Memory::of(&files), |section| section.size_max = 250_000)
}

/// The time of last use has a resolution of a second.
async fn next_second() {
    let now = Timestamp::now().as_second();
    while Timestamp::now().as_second() == now {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn names(setup: &Setup) -> Vec<String> {
    setup.cache.entries().iter().map(|entry| entry.name.to_string()).collect()
}

#[tokio::test]
async fn the_least_recently_used_goes_first() {
    let setup = crowded();
    setup.warm("a").await.unwrap();
    setup.warm("b").await.unwrap();
    next_second().await;
    setup.open("a").await.unwrap();
    setup.warm("c").await.unwrap();
    assert_eq!(names(&setup), ["a", "c"]);
    assert_eq!((setup.files("objects").len(), setup.cache.counts().evicted), (2, 1));
    // It comes again when it is asked for.
    assert_eq!(setup.read("b").await.unwrap(), octets(100_000, 2));
    assert_eq!(setup.memory.sent(), 400_000);
}

#[tokio::test]
async fn what_is_being_read_stays() {
    // Such that are not read into memory.
    let files = ["a", "b", "c"].map(|name| (name, octets(9_000_000, name.as_bytes()[0])));
    let mut setup = Setup::with(Memory::of(&files), |section| section.size_max = 20_000_000);
    setup.warm("a").await.unwrap();
    setup.warm("b").await.unwrap();
    let (a, b) = (setup.open("a").await.unwrap(), setup.open("b").await.unwrap());
    // In another process it is seen too.
    setup.restart();
    let error = setup.open("c").await.unwrap_err();
    assert!(matches!(error, CacheError::Busy { length: 9_000_000 }), "{error}");
    assert_eq!(names(&setup), ["a", "b"]);
    drop(a);
    let other = Setup { cache: Cache::open(&setup.section).unwrap(), ..setup };
    other.warm("c").await.unwrap();
    assert_eq!(names(&other), ["b", "c"]);
    assert_eq!(read(&b).await.unwrap(), octets(9_000_000, b'b'));
}

#[tokio::test]
async fn names_with_one_content_share_an_object() {
    let whole = octets(100_000, 1);
    let setup = Setup::with(Memory::of(&[("a", whole.clone()), ("dir/b", whole.clone())]), |section| {
        section.keep = Duration::from_secs(3600);
    });
    setup.warm("a").await.unwrap();
    setup.warm("dir/b").await.unwrap();
    assert_eq!((setup.files("objects").len(), names(&setup).len()), (1, 2));
    assert_ne!(setup.open("a").await.unwrap().etag(), setup.open("dir/b").await.unwrap().etag());
    setup.memory.put("a", octets(5, 5));
    let fresh = Setup { cache: Cache::open(&setup.section).unwrap(), ..setup };
    assert_eq!(fresh.read("a").await.unwrap(), octets(5, 5));
    assert_eq!(fresh.read("dir/b").await.unwrap(), whole);
    assert_eq!(fresh.files("objects").len(), 2);
}

#[tokio::test]
async fn what_an_interruption_left_is_removed_and_what_can_go_on_stays() {
    let mut setup = Setup::new(Memory::of(&[("a", octets(100_000, 1)), ("b", octets(300_000, 2))]));
    setup.warm("a").await.unwrap();
    setup.memory.fail([Fault::Break(100_000), Fault::Refuse(OriginError::Refused("no".into()))]);
    setup.warm("b").await.unwrap_err();
    let (root, object) = (setup.section.folder.clone(), "ab".repeat(32));
    let index = setup.files("index");
    for file in [
        format!("objects/{object}"),
        format!("index/{object}.json"),
        format!("index/{object}.json.new"),
        format!("index/{}.new", index[0]),
        format!("partial/{object}"),
        format!("partial/{}.json", "cd".repeat(32)),
    ] {
        std::fs::write(root.join(file), "{\"format\":1}").unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", root.join("objects/link")).unwrap();
    let partial = setup.files("partial");
    assert_eq!(partial.len(), 4);
    setup.restart();
    assert_eq!(setup.files("index"), index);
    assert_eq!(setup.files("partial").len(), 2);
    assert_eq!(setup.files("objects").iter().filter(|file| file.len() == 64).count(), 1);
    assert_eq!(setup.read("a").await.unwrap(), octets(100_000, 1));
    assert_eq!(setup.read("b").await.unwrap(), octets(300_000, 2));
    assert_eq!(setup.memory.sent(), 400_000);
}

#[tokio::test]
async fn an_object_that_is_not_whole_is_fetched_again() {
    let setup = Setup::new(Memory::of(&[("a", octets(9_000_000, 1)), ("b", octets(100, 1)), ("c", octets(100, 3))]));
    for name in ["a", "b", "c"] {
        setup.warm(name).await.unwrap();
        let object =
            setup.section.folder.join("objects").join(setup.warm(name).await.unwrap().digest.unwrap().to_string());
        match name {
            "a" => std::fs::OpenOptions::new().write(true).open(object).unwrap().set_len(8_999_999).unwrap(),
            "b" => std::fs::remove_file(object).unwrap(),
            _ => {
                std::fs::remove_file(&object).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", object).unwrap();
            }
        }
        let whole = setup.memory.files.lock().unwrap()[name].octets.clone();
        assert_eq!(setup.read(name).await.unwrap(), whole, "{name}");
    }
}

#[tokio::test]
async fn verify_finds_an_octet_that_is_another() {
    let setup = Setup::new(Memory::of(&[("a", octets(9_000_000, 1)), ("b", octets(100, 2))]));
    for name in ["a", "b"] {
        setup.warm(name).await.unwrap();
    }
    assert!(setup.cache.verify(&|_, _| {}).await.is_empty());
    let object = setup.section.folder.join("objects").join(Sha256::of(&octets(9_000_000, 1)).to_string());
    let mut changed = std::fs::read(&object).unwrap();
    changed[4_000_000] ^= 1;
    std::fs::write(&object, changed).unwrap();
    let last = std::sync::Mutex::new((0, 0));
    let damages = setup.cache.verify(&|done, all| *last.lock().unwrap() = (done, all)).await;
    assert_eq!(last.into_inner().unwrap(), (9_000_100, 9_000_100));
    assert_eq!(damages.len(), 1);
    assert_eq!((damages[0].origin.as_str(), damages[0].name.as_str()), ("memory", "a"));
    assert!(damages[0].what.contains("digest"), "{}", damages[0].what);
    assert_eq!(names(&setup), ["b"]);
    assert_eq!(setup.read("a").await.unwrap(), octets(9_000_000, 1));
}

#[tokio::test]
async fn gc_removes_what_is_of_no_use() {
    let setup = Setup::new(Memory::of(&[("a", octets(100_000, 1)), ("b", octets(200_000, 2))]));
    assert_eq!(setup.cache.gc(&["memory"]).await.unwrap(), Collected::default());
    assert!(!setup.section.folder.exists());
    setup.warm("a").await.unwrap();
    setup.memory.fail([Fault::Refuse(OriginError::Refused("no".into()))]);
    setup.warm("b").await.unwrap_err();
    assert_eq!(setup.cache.gc(&["other", "memory"]).await.unwrap(), Collected::default());
    assert_eq!(names(&setup), ["a", "b"]);
    let collected = setup.cache.gc(&["other"]).await.unwrap();
    assert_eq!((collected.expired, collected.leftovers, collected.octets), (1, 1, 100_000));
    assert!(setup.files("objects").is_empty() && setup.files("partial").is_empty());
    // Also a server that knew it fetches it anew.
    assert_eq!(setup.read("a").await.unwrap(), octets(100_000, 1));
    let mut section = setup.section.clone();
    section.size_max = 50_000;
    let collected = Cache::open(&section).unwrap().gc(&["memory"]).await.unwrap();
    assert_eq!((collected.evicted, collected.octets), (1, 102_400));
    section.keep = Duration::ZERO;
    setup.warm("a").await.unwrap();
    let collected = Cache::open(&section).unwrap().gc(&["memory"]).await.unwrap();
    assert_eq!(collected.expired, 1);
}

#[tokio::test]
async fn what_nobody_confirmed_for_too_long_is_not_served() {
    let setup = Setup::with(Memory::of(&[("a", octets(10, 1))]), |section| {
        (section.fresh_for, section.keep) = (Duration::ZERO, Duration::ZERO);
    });
    setup.warm("a").await.unwrap();
    setup.read("a").await.unwrap();
    setup.memory.is_down(Some(OriginError::Unreachable("down".into())));
    assert!(setup.open("a").await.unwrap_err().to_string().contains("down"));
    setup.memory.is_down(None);
}

#[test]
fn a_folder_that_is_none_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cache");
    std::fs::write(&file, "x").unwrap();
    let error = Cache::open(&CacheSection { folder: file, ..CacheSection::default() }).err().unwrap();
    assert!(error.to_string().contains("cannot use the cache's folder"), "{error}");
}

/// `pointsman cache warm` is run by root, and the server is not.
#[tokio::test]
async fn what_root_fetches_is_the_owners_of_the_folder() {
    use std::os::unix::fs::{MetadataExt, chown};
    let setup = Setup::with(Memory::of(&[("a", octets(10, 1))]), |section| {
        std::fs::create_dir_all(&section.folder).unwrap();
        // Only root can give a folder away; for others there is nothing to see.
        let _ = chown(&section.folder, Some(65534), Some(65534));
    });
    setup.warm("a").await.unwrap();
    let owner = std::fs::metadata(&setup.section.folder).unwrap().uid();
    let mut waiting = vec![setup.section.folder.clone()];
    let mut count = 0;
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            assert_eq!(entry.metadata().unwrap().uid(), owner, "{:?}", entry.path());
            waiting.extend(entry.path().is_dir().then(|| entry.path()));
            count += 1;
        }
    }
    assert!(count >= 6, "{count}: three shelves, the lock, an object and its record");
}

#[test]
fn the_folder_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(&folder.path().join("deep/cache"));
    drop(disk.lock().unwrap());
    for part in ["", "objects", "index", "partial"] {
        let mode = std::fs::metadata(disk.root().join(part)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{part}");
    }
}
