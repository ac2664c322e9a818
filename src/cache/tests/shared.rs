//! One folder and two caches, as when a command runs beside the daemon.

use super::*;

/// A second cache over the same folder and origin.
fn beside(setup: &Setup) -> Setup {
    Setup {
        folder: tempfile::tempdir().unwrap(),
        section: setup.section.clone(),
        cache: Cache::open(&setup.section).unwrap(),
        memory: Arc::clone(&setup.memory),
        origin: Arc::clone(&setup.origin),
        pace: Arc::clone(&setup.pace),
    }
}

#[tokio::test]
async fn the_second_reads_what_the_first_fetches() {
    let whole = octets(600_000, 1);
    let one = Setup::new(Memory { delay: Duration::from_millis(5), ..Memory::of(&[("a", whole.clone())]) });
    let other = beside(&one);
    let first = one.open("a").await.unwrap();
    let second = other.open("a").await.unwrap();
    assert_eq!(first.etag(), second.etag());
    let (first, second) = tokio::join!(read(&first), read(&second));
    assert_eq!(first.unwrap(), whole);
    assert_eq!(second.unwrap(), whole);
    assert_eq!(one.memory.sent(), 600_000);
    assert_eq!(other.warm("a").await.unwrap().fetched, 0);
    assert_eq!(beside(&one).read("a").await.unwrap(), whole);
    assert_eq!(one.memory.sent(), 600_000);
}

#[tokio::test]
async fn the_second_goes_on_where_the_first_stops() {
    let whole = octets(600_000, 1);
    let one = Setup::new(Memory { delay: Duration::from_millis(5), ..Memory::of(&[("a", whole.clone())]) });
    // It stops in the middle, as when its process ends.
    let folder = one.section.folder.clone();
    let runtime = std::thread::spawn({
        let (memory, origin, pace, section) =
            (Arc::clone(&one.memory), Arc::clone(&one.origin), Arc::clone(&one.pace), one.section.clone());
        move || {
            let _ = (&memory, &folder);
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let content = runtime.block_on(async {
                let cache = Cache::open(&section).unwrap();
                let content = cache.open_file(&origin, &pace, &"a".parse().unwrap()).await.unwrap();
                content.ready(150_000, 1).await.unwrap();
                content
            });
            (runtime, content)
        }
    });
    let (runtime, content) = runtime.join().unwrap();
    let other = beside(&one);
    let second = other.open("a").await.unwrap();
    runtime.shutdown_background();
    drop(content);
    assert_eq!(read(&second).await.unwrap(), whole);
    assert!(one.memory.sent() < 900_000, "{}", one.memory.sent());
    assert_eq!(other.files("partial").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_caches_over_one_folder_agree() {
    let files: Vec<_> =
        (0..6_u8).map(|index| (format!("f{index}"), octets(90_000 + usize::from(index) * 17, index))).collect();
    let named: Vec<_> = files.iter().map(|(name, whole)| (name.as_str(), whole.clone())).collect();
    let setup = Setup::with(Memory::of(&named), |section| section.size_max = 450_000);
    let tasks: Vec<_> = (0..4)
        .map(|task: usize| {
            let (one, files) = (beside(&setup), files.clone());
            tokio::spawn(async move {
                for round in 0..30 {
                    let (name, whole) = &files[(task * 5 + round * (task + 1)) % files.len()];
                    match one.read(name).await {
                        Ok(found) => assert_eq!(found, *whole),
                        Err(error) => assert!(error.contains("no room") || error.contains("interrupted"), "{error}"),
                    }
                    if round % 10 == 9 {
                        one.cache.gc(&["memory"]).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(setup.cache.verify(&|_, _| {}).await.is_empty());
    let kept: u64 = setup.cache.entries().iter().map(|entry| entry.length).sum();
    assert!(kept <= 450_000, "{kept}");
}
