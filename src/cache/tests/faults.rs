//! An origin that breaks, lies and hangs: each reader gets exactly the right octets, or an error.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_break_is_no_break_for_readers() {
    let whole = octets(1_000_000, 1);
    let setup = Setup::new(Memory::of(&[("a", whole.clone())]));
    setup.memory.fail([
        Fault::Break(0),
        Fault::Break(300_001),
        Fault::End(300_500),
        Fault::Hang(400_000),
        Fault::Refuse(OriginError::Unreachable("gone".into())),
    ]);
    assert_eq!(setup.read("a").await.unwrap(), whole);
    assert_eq!(setup.memory.sent(), 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_download_that_fails_for_good_goes_on_later_where_it_was() {
    let whole = octets(1_000_000, 1);
    let mut setup = Setup::new(Memory::of(&[("a", whole.clone())]));
    setup.memory.fail(vec![Fault::Break(600_000); 20]);
    let error = setup.read("a").await.unwrap_err();
    assert!(error.contains("does not answer"), "{error}");
    let entries = setup.cache.entries();
    assert_eq!((entries[0].present, entries[0].complete), (600_000, false));
    // Others hear the same at once.
    assert!(setup.open("a").await.is_err());
    setup.memory.faults.lock().unwrap().clear();
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(setup.read("a").await.unwrap(), whole);
    assert_eq!(setup.memory.sent(), 1_000_000);

    setup.memory.put("a", octets(1_000_000, 2));
    setup.memory.fail(vec![Fault::Break(700_000); 20]);
    tokio::time::advance(Duration::from_secs(61)).await;
    setup.read("a").await.unwrap_err();
    // While the new version cannot be had, the old one is served.
    assert_eq!(setup.read("a").await.unwrap(), whole);
    setup.memory.faults.lock().unwrap().clear();
    setup.restart();
    assert_eq!(setup.read("a").await.unwrap(), octets(1_000_000, 2));
    assert_eq!(setup.memory.sent(), 2_000_000);
    assert!(setup.files("partial").is_empty());
    assert_eq!(setup.files("objects").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_sends_next_to_nothing_does_not_keep_a_turn_for_ever() {
    let memory = Memory::of(&[("a", octets(1_000_000, 1))]);
    let setup = Setup::new(Memory { piece: 100, delay: Duration::from_secs(20), ..memory });
    let began = Instant::now();
    let error = setup.warm("a").await.unwrap_err().to_string();
    assert!(error.contains("less than 65536 octets in 300 seconds"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3600), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_dropped_and_tried_once_more() {
    let whole = octets(300_000, 1);
    for fault in [Fault::Wrong(5), Fault::Wrong(299_999), Fault::Long, Fault::Changed(100_000)] {
        let setup = Setup::new(Memory::of(&[("a", whole.clone())]));
        setup.memory.fail([fault.clone()]);
        let first = setup.open("a").await.unwrap();
        setup.warm("a").await.unwrap();
        read(&first).await.unwrap_err();
        assert_eq!(setup.read("a").await.unwrap(), whole, "{fault:?}");
        assert_eq!(setup.memory.described(), 2, "{fault:?}");
        // Who has octets of what was wrong must not go on behind them.
        let is_same = setup.open("a").await.unwrap().etag() == first.etag();
        assert_eq!(is_same, matches!(fault, Fault::Changed(_)), "{fault:?}");
        assert_eq!(setup.cache.counts().failed_digests, u64::from(matches!(fault, Fault::Wrong(_))));

        let setup = Setup::new(Memory::of(&[("a", whole.clone())]));
        setup.memory.fail([fault.clone(), fault.clone(), Fault::None]);
        setup.warm("a").await.unwrap_err();
        assert_eq!(setup.memory.reads.load(std::sync::atomic::Ordering::SeqCst), 2, "{fault:?}");
        assert!(setup.open("a").await.is_err());
        assert!(setup.files("objects").is_empty() && setup.files("partial").is_empty(), "{fault:?}");
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(setup.read("a").await.unwrap(), whole, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_changes_in_the_middle_is_never_mixed() {
    let (old, new) = (octets(500_000, 1), octets(500_000, 2));
    let setup = Setup::new(Memory { delay: Duration::from_millis(100), ..Memory::of(&[("a", old.clone())]) });
    setup.memory.fail([Fault::Break(200_000)]);
    let first = setup.open("a").await.unwrap();
    assert_eq!(first.read_at(0, 100_000).await.unwrap(), old[..100_000]);
    setup.memory.put("a", new.clone());
    read(&first).await.unwrap_err();
    assert_eq!(setup.read("a").await.unwrap(), new);
}

#[tokio::test(start_paused = true)]
async fn a_newer_version_may_come_while_an_older_one_arrives() {
    let (old, new) = (octets(400_000, 1), octets(300_000, 2));
    let memory = Memory { delay: Duration::from_secs(4), ..Memory::of(&[("a", old.clone())]) };
    let setup = Arc::new(Setup::new(memory));
    let first = setup.open("a").await.unwrap();
    let reading = tokio::spawn(async move { read(&first).await });
    tokio::time::sleep(Duration::from_secs(61)).await;
    // The reading of the first goes on: origins may still have a version that is not the present one.
    setup.memory.put("a", new.clone());
    setup.memory.tell_digest("a", None);
    assert_eq!(setup.read("a").await.unwrap(), new);
    assert_eq!(reading.await.unwrap().unwrap(), old);
    assert_eq!(setup.read("a").await.unwrap(), new);
    assert_eq!(setup.memory.sent(), 700_000);
    assert_eq!((setup.files("objects").len(), setup.files("partial").len()), (1, 0));
}

#[tokio::test]
async fn no_version_is_larger_than_the_cache() {
    let setup = Setup::with(Memory::of(&[("a", octets(100_000, 1))]), |section| section.size_max = 90_000);
    let error = setup.open("a").await.unwrap_err().to_string();
    assert!(error.contains("cache.size_max"), "{error}");
    assert!(setup.files("partial").is_empty());
}

fn fault(length: u64) -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => Just(Fault::None),
        4 => (0..=length).prop_map(Fault::Break),
        2 => (0..=length).prop_map(Fault::End),
        1 => Just(Fault::Long),
        2 => (0..length).prop_map(Fault::Wrong),
        1 => (0..=length).prop_map(Fault::Hang),
        1 => (0..=length).prop_map(Fault::Changed),
        1 => Just(Fault::Refuse(OriginError::Unreachable("gone".into()))),
        1 => Just(Fault::Refuse(OriginError::Refused("no".into()))),
    ]
}

/// What happens between two readings.
#[derive(Clone, Debug)]
enum Step {
    Read { from: u64, length: usize },
    Whole,
    Wait(u64),
    Change(u8),
    Down(bool),
    Restart,
}

fn step(length: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Whole),
        4 => (0..length, 1..100_000_usize).prop_map(|(from, length)| Step::Read { from, length }),
        3 => (0_u64..100).prop_map(Step::Wait),
        1 => any::<u8>().prop_map(Step::Change),
        1 => any::<bool>().prop_map(Step::Down),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_an_origin_does_readers_get_one_version_whole_or_an_error(
        faults in proptest::collection::vec(fault(250_000), 0..25),
        steps in proptest::collection::vec(step(250_000), 1..12),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(play(faults, steps));
    }
}

async fn play(faults: Vec<Fault>, steps: Vec<Step>) {
    let mut versions = vec![octets(250_000, 0)];
    let memory = Memory { delay: Duration::from_millis(3), ..Memory::of(&[("a", versions[0].clone())]) };
    let mut setup = Setup::new(memory);
    // Wrong octets are found at the end, and only who wants the end is spared them.
    let is_lying = faults.iter().any(|fault| matches!(fault, Fault::Wrong(_)));
    setup.memory.fail(faults);
    for step in steps {
        match step {
            Step::Whole => {
                if let Ok(found) = setup.read("a").await {
                    assert!(versions.iter().any(|version| *version == found));
                }
            }
            Step::Read { from, length } => {
                let Ok(content) = setup.open("a").await else { continue };
                let at = usize::try_from(from).unwrap();
                if let Ok(found) = content.read_at(from, length).await {
                    let is_part = |version: &Bytes| found == version[at..(at + length).min(version.len())];
                    assert!(is_lying || versions.iter().any(is_part));
                }
            }
            Step::Wait(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            Step::Change(seed) => {
                let next = octets(250_000, seed);
                setup.memory.put("a", next.clone());
                versions.push(next);
            }
            Step::Down(is_down) => {
                setup.memory.is_down(is_down.then(|| OriginError::Unreachable("down".into())));
            }
            Step::Restart => setup.restart(),
        }
    }
    // The origin is well again, and so is the file.
    setup.memory.faults.lock().unwrap().clear();
    setup.memory.is_down(None);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(setup.read("a").await.unwrap(), *versions.last().unwrap());
    assert!(setup.cache.verify(&|_, _| {}).await.is_empty());
}
