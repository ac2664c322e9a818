//! How much anybody may make us write.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use moka::sync::Cache;

use crate::boot::SessionId;
use crate::decision::{BootEvent, Transport};

/// Boots that have only asked by DHCP: so many at once, as when a whole building is switched on ...
const NEWCOMERS_AT_ONCE: u32 = 2_000;
/// ... and so many in a second over a long time: made-up addresses fill 170,000 rows a day at most.
const NEWCOMERS_PER_SECOND: u32 = 2;
/// Files and failures of one boot that are written; an installer may load thousands.
const FILES_PER_BOOT: u32 = 100;
/// Packets and requests of one boot that are written: a machine that is denied may ask all night.
const PACKETS_PER_BOOT: u32 = 60;
/// DISCOVERs of one boot that are written in one second: a packet may come by two ways, and firmware waits for seconds
/// before it asks again. What asks more often is no firmware, and costs no more than this.
const DISCOVERS_PER_SECOND: u32 = 2;
/// Questions of one boot that are kept whole; who polls asks the same again and again.
const QUESTIONS_PER_BOOT: u32 = 24;
/// Everything of one boot.
const EVENTS_PER_BOOT: u32 = 200;
/// Boots whose events are counted at a time.
const BOOTS_COUNTED: u64 = 20_000;
/// A boot that is not heard of for so long is not counted any more.
const COUNTED_FOR: Duration = Duration::from_secs(3600);

/// The budget of boots that only asked.
pub(super) struct Newcomers(Mutex<Bucket>);

struct Bucket {
    left: u32,
    /// When it was last filled.
    filled: Timestamp,
}

impl Default for Newcomers {
    fn default() -> Self {
        Newcomers(Mutex::new(Bucket { left: NEWCOMERS_AT_ONCE, filled: Timestamp::UNIX_EPOCH }))
    }
}

impl Newcomers {
    /// Takes one place, if there is one.
    pub(super) fn take(&self, now: Timestamp) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back fills nothing, and is what counts from then on.
        bucket.filled = bucket.filled.min(now);
        let seconds = u32::try_from(now.duration_since(bucket.filled).as_secs()).unwrap_or(0);
        if seconds > 0 {
            let more = seconds.saturating_mul(NEWCOMERS_PER_SECOND);
            bucket.left = bucket.left.saturating_add(more).min(NEWCOMERS_AT_ONCE);
            bucket.filled = now;
        }
        let has_place = bucket.left > 0;
        bucket.left -= u32::from(has_place);
        has_place
    }
}

/// The budget of each boot.
pub(super) struct PerBoot(Cache<SessionId, Arc<Taken>>);

/// What was written of one boot.
#[derive(Default)]
struct Taken {
    events: AtomicU32,
    questions: AtomicU32,
    /// The second of its latest DISCOVER, and how many were written in it.
    discovers: Mutex<(i64, u32)>,
    /// Whether it has a place among the newcomers, or came further than they do.
    is_admitted: AtomicBool,
}

impl Default for PerBoot {
    fn default() -> Self {
        PerBoot(Cache::builder().max_capacity(BOOTS_COUNTED).time_to_idle(COUNTED_FOR).build())
    }
}

impl PerBoot {
    /// Takes one place of this boot, if there is one for such an event.
    pub(super) fn take(&self, session: SessionId, event: &BootEvent) -> bool {
        let max = match event {
            BootEvent::FileSent { .. } | BootEvent::LoadFailed { .. } => FILES_PER_BOOT,
            _ => EVENTS_PER_BOOT,
        };
        let taken = self.0.get_with(session, Arc::default);
        taken.is_admitted.store(true, Ordering::Relaxed);
        take(&taken.events, max)
    }

    /// Takes one place of this boot for what is no event of the machine's.
    pub(super) fn take_one(&self, session: SessionId) -> bool {
        take(&self.0.get_with(session, Arc::default).events, FILES_PER_BOOT)
    }

    /// Takes one place for a packet or request. One that only asks by DHCP must have a place among the newcomers.
    pub(super) fn take_packet(
        &self,
        session: SessionId,
        by: Transport,
        now: Timestamp,
        admit: impl FnOnce() -> bool,
    ) -> bool {
        let is_discover = by == Transport::Discover;
        let Some(taken) = self.admitted(session, is_discover, admit) else { return false };
        !(is_discover && taken.is_hasty(now)) && take(&taken.events, PACKETS_PER_BOOT)
    }

    /// Whether a decision of this boot is written, and whether the question is kept whole.
    pub(super) fn take_question(
        &self,
        session: SessionId,
        is_newcomer: bool,
        admit: impl FnOnce() -> bool,
    ) -> Option<bool> {
        let taken = self.admitted(session, is_newcomer, admit)?;
        Some(take(&taken.questions, QUESTIONS_PER_BOOT))
    }

    /// What was written of a boot that may be written at all.
    fn admitted(&self, session: SessionId, is_newcomer: bool, admit: impl FnOnce() -> bool) -> Option<Arc<Taken>> {
        let taken = self.0.get_with(session, Arc::default);
        if !taken.is_admitted.load(Ordering::Relaxed) {
            if is_newcomer && !admit() {
                return None;
            }
            taken.is_admitted.store(true, Ordering::Relaxed);
        }
        Some(taken)
    }
}

impl Taken {
    /// Whether this second has had its DISCOVERs.
    fn is_hasty(&self, now: Timestamp) -> bool {
        let mut discovers = self.discovers.lock().unwrap_or_else(PoisonError::into_inner);
        if discovers.0 != now.as_second() {
            *discovers = (now.as_second(), 0);
        }
        discovers.1 += 1;
        discovers.1 > DISCOVERS_PER_SECOND
    }
}

fn take(count: &AtomicU32, max: u32) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < max).then_some(taken + 1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Carrier;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn a_building_is_written_down_and_a_flood_is_not() {
        let newcomers = Newcomers::default();
        let taken = |second: i64, count: u32| (0..count).filter(|_| newcomers.take(at(second))).count();
        assert_eq!(taken(0, 5_000), 2_000);
        assert_eq!(taken(0, 10), 0);
        assert_eq!(taken(3, 100), 6);
        assert_eq!(taken(-1_000, 10), 0);
        assert_eq!(taken(-998, 10), 4, "the clock goes on from there");
        assert_eq!(taken(100_000, 5_000), 2_000);
    }

    #[test]
    fn a_boot_that_loads_without_end_leaves_room_for_its_result() {
        let per_boot = PerBoot::default();
        let one = SessionId([1; 6]);
        let sent = BootEvent::FileSent { file: "a.deb".into(), octets: 1, elapsed: Duration::ZERO, by: Carrier::Http };
        assert_eq!((0..5_000).filter(|_| per_boot.take(one, &sent)).count(), 100);
        assert_eq!((0..5_000).filter(|_| per_boot.take(one, &BootEvent::Done)).count(), 100);
        assert!(!per_boot.take(one, &BootEvent::Done) && per_boot.take(SessionId([2; 6]), &sent));
    }

    #[test]
    fn a_made_up_machine_takes_a_newcomer_s_place_once_for_all_its_packets() {
        let (per_boot, one) = (PerBoot::default(), SessionId([1; 6]));
        let packet = |second: i64, admit: bool| per_boot.take_packet(one, Transport::Discover, at(second), || admit);
        assert!(!packet(0, false) && per_boot.take_question(one, true, || false).is_none());
        assert_eq!(per_boot.take_question(one, true, || true), Some(true));
        assert_eq!((0..500).filter(|_| packet(0, false)).count(), 2, "firmware waits before it asks again");
        assert_eq!((0..500).filter(|second| packet(*second, false)).count(), 58);
        assert!(per_boot.take(one, &BootEvent::Done), "its result has room");
        let two = SessionId([2; 6]);
        assert!(per_boot.take_packet(two, Transport::Http, at(0), || false), "it has a token, and is no newcomer");
        assert_eq!((0..500).filter(|_| per_boot.take_question(two, false, || false) == Some(true)).count(), 24);
        assert_eq!(per_boot.take_question(two, false, || false), Some(false), "it is written, but not kept whole");
    }
}
