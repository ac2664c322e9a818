//! Whatever happens in whatever order, an assignment that is done once is begun once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::boot::SessionId;
use super::store::{IfThere, ImageEntry, LoopGuard, MachineEntry, NewAssignment, SpentBy, State, Store, Target};

const LIMIT: Duration = Duration::from_secs(30);
const GUARD: LoopGuard = LoopGuard { boots_max: 3, window: Duration::from_secs(600) };

#[derive(Clone, Copy, Debug)]
enum Step {
    Offered,
    Started,
    LoadFailed,
    Done,
    Failed,
    Expire,
}

/// A step by one of three boots, told to one of two servers, so many seconds after the one before.
type Told = (Step, u8, bool, i64);

fn told() -> impl Strategy<Value = Told> {
    let step = prop_oneof![
        6 => Just(Step::Offered),
        6 => Just(Step::Started),
        2 => Just(Step::LoadFailed),
        1 => Just(Step::Done),
        1 => Just(Step::Failed),
        1 => Just(Step::Expire),
    ];
    (step, 1..4_u8, any::<bool>(), 0..400_i64)
}

/// What must be true of all that happened.
#[derive(Default)]
struct Witness {
    /// The boot that may be loading the image now.
    holder: Option<u8>,
    /// The boots that it was offered to, with the time.
    offers: Vec<(u8, Timestamp)>,
    is_over: bool,
}

impl Witness {
    /// A boot was told to go on.
    fn begins(&mut self, boot: u8, spent_by: SpentBy) {
        assert!(!self.is_over, "begun after its end");
        assert!(spent_by == SpentBy::Done || self.holder.is_none_or(|holder| holder == boot), "begun twice");
        self.holder = Some(boot);
    }

    fn offered(&mut self, boot: u8, now: Timestamp) {
        assert!(!self.is_over, "offered after its end");
        if self.offers.last().is_none_or(|(last, _)| *last != boot) {
            self.offers.push((boot, now));
        }
    }
}

async fn play(store: &[Store; 2], spent_by: SpentBy, steps: Vec<Told>) {
    let start: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
    let machine = MachineEntry::new("a".parse().unwrap(), start);
    let machine = MachineEntry { serial: Some("S".into()), ..machine };
    store[0].add_machine(machine).await.unwrap();
    let attributes = [("kind".to_owned(), "local".to_owned())].into();
    let image = ImageEntry::new("x".parse().unwrap(), &attributes, start).unwrap();
    store[0].add_image(&image, IfThere::Refuse).await.unwrap();
    let mut new = NewAssignment::new(Target::Machine("a".parse().unwrap()), "x".parse().unwrap());
    new.spent_by = spent_by;
    new.mandatory = true;
    new.not_after = Some(start + SignedDuration::from_secs(3000));
    let id = store[0].assign(&new, start).await.unwrap().new.remove(0).1;
    let (mut witness, mut now) = (Witness::default(), start);
    for (step, boot, server, later) in steps {
        now += SignedDuration::from_secs(later);
        let (store, session) = (&store[usize::from(server)], SessionId([0, 0, 0, 0, 0, boot]));
        match step {
            Step::Offered if store.offered(&id, session, now, GUARD, LIMIT).await.is_ok() => {
                witness.offered(boot, now);
                if spent_by == SpentBy::Script {
                    witness.begins(boot, spent_by);
                }
            }
            Step::Started if store.started(&id, session, now, LIMIT).await.is_ok() => witness.begins(boot, spent_by),
            Step::LoadFailed => {
                if store.load_failed(session, "x", None, now, LIMIT).await.unwrap() > 0 {
                    assert_eq!(witness.holder.take(), Some(boot), "given back by one who had it not");
                }
            }
            Step::Done => drop(store.done(session, now, LIMIT).await.unwrap()),
            Step::Failed => drop(store.failed(session, "x", now, LIMIT).await.unwrap()),
            Step::Expire => drop(store.expire(now, LIMIT).await.unwrap()),
            Step::Offered | Step::Started => {}
        }
        let found = store.assignment(&id).await.unwrap();
        assert!(!witness.is_over || found.state.is_final(), "alive after its end: {found:?}");
        witness.is_over = found.state.is_final();
        assert_eq!(found.state == State::Started, found.state == State::Started && witness.holder.is_some());
        let open = store.images_of("a", session, LIMIT).await.unwrap().records.len();
        assert!(open == 0 || !witness.is_over, "shown after its end");
    }
    // More offers in the window than the guard allows: never.
    let window = SignedDuration::try_from(GUARD.window).unwrap();
    for (at, first) in witness.offers.iter().enumerate() {
        let within = witness.offers.iter().skip(at).filter(|offer| offer.1.duration_since(first.1) < window).count();
        assert!(within <= 2 * GUARD.boots_max as usize, "{:?}", witness.offers);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn an_assignment_is_begun_once(
        spent_by in prop::sample::select(vec![SpentBy::Script, SpentBy::Image, SpentBy::Done]),
        steps in proptest::collection::vec(told(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let place = super::place(folder.path());
            play(&[place.open(), place.open()], spent_by, steps).await;
        });
    }
}
