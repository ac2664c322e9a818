//! The stamps of the messages that came, so that nobody can send one again.
//!
//! **Invariant**: an id is remembered for as long as its message would be taken; where there is no room for one more, the
//! message is refused rather than another forgotten. Each server remembers those that it took itself, since it started.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

use super::refusal::Refusal;
use crate::api::{AGE_MAX_S, Stamp};

/// Ids that are remembered for one site: about 270 messages in a second, for as long as they matter.
const IDS_MAX: usize = 65_536;
/// Questions leave so many of them for reports: a machine that somebody makes up a thousand times in a second must not keep
/// the end of an installation from being told.
const IDS_FOR_REPORTS: usize = IDS_MAX / 8;
/// For how long an id matters after its message came, in seconds: the sender's clock may be as far ahead as behind.
const REMEMBER_S: i64 = 2 * AGE_MAX_S;

/// What a stamp is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamped {
    Question,
    Report,
}

/// The stamps of all sites.
#[derive(Default)]
pub(super) struct Stamps {
    /// As many as there are sites that ever asked: those that the store has.
    sites: Mutex<HashMap<Arc<str>, Seen>>,
}

/// The stamps of one site.
#[derive(Default)]
struct Seen {
    ids: HashSet<Uuid>,
    /// In the order that they came, with the second.
    order: VecDeque<(i64, Uuid)>,
}

impl Stamps {
    /// Takes a message with this stamp, once.
    pub(super) fn take(&self, site: &Arc<str>, stamp: Stamp, on: Stamped, now: Timestamp) -> Result<(), Refusal> {
        let difference = now.duration_since(stamp.at);
        let difference_s = difference.as_secs();
        if difference.abs().as_millis() > i128::from(AGE_MAX_S) * 1000 {
            return Err(Refusal::Stale { difference_s, now: now.to_string() });
        }
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = sites.entry(Arc::clone(site)).or_default();
        let second = now.as_second();
        while let Some((came, id)) = seen.order.front()
            && second - came > REMEMBER_S
        {
            seen.ids.remove(id);
            seen.order.pop_front();
        }
        if seen.ids.contains(&stamp.id) {
            return Err(Refusal::Repeated { difference_s });
        }
        let ids_max = match on {
            Stamped::Question => IDS_MAX - IDS_FOR_REPORTS,
            Stamped::Report => IDS_MAX,
        };
        if seen.ids.len() >= ids_max {
            return Err(Refusal::TooManyMessages);
        }
        seen.ids.insert(stamp.id);
        seen.order.push_back((second, stamp.id));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::Stamped::{Question, Report};
    use super::*;

    fn stamp(id: u128, now: Timestamp, ahead_s: i64) -> Stamp {
        Stamp { id: Uuid::from_u128(id), at: now + SignedDuration::from_secs(ahead_s) }
    }

    #[test]
    fn a_message_is_taken_once_by_each_site_s_name() {
        let (stamps, now) = (Stamps::default(), Timestamp::now());
        let (lyon, oslo): (Arc<str>, Arc<str>) = ("lyon".into(), "oslo".into());
        assert_eq!(stamps.take(&lyon, stamp(1, now, -3), Report, now), Ok(()));
        assert_eq!(stamps.take(&lyon, stamp(1, now, -3), Report, now), Err(Refusal::Repeated { difference_s: 3 }));
        assert_eq!(stamps.take(&lyon, stamp(2, now, -3), Report, now), Ok(()));
        assert_eq!(stamps.take(&oslo, stamp(1, now, -3), Report, now), Ok(()));
    }

    #[test]
    fn what_is_old_or_from_the_future_is_told_by_how_much() {
        let (stamps, now, lyon) = (Stamps::default(), Timestamp::now(), Arc::from("lyon"));
        for (ahead_s, is_taken) in [(-120_i64, true), (120, true), (-121, false), (121, false), (-90_000_000, false)] {
            let taken = stamps.take(&lyon, stamp(u128::from(ahead_s.unsigned_abs()) + 7, now, ahead_s), Report, now);
            let taken = taken
                .or_else(|refusal| if matches!(refusal, Refusal::Repeated { .. }) { Ok(()) } else { Err(refusal) });
            assert_eq!(taken.is_ok(), is_taken, "{ahead_s}: {taken:?}");
            if let Err(refusal) = taken {
                let text = refusal.to_string();
                let apart =
                    if ahead_s > 0 { format!("{ahead_s} s ahead of") } else { format!("{} s behind", -ahead_s) };
                assert!(text.contains(&apart) && text.contains(&now.to_string()), "{text}");
            }
        }
        for at in [Timestamp::MIN, Timestamp::MAX] {
            assert!(matches!(
                stamps.take(&lyon, Stamp { id: Uuid::nil(), at }, Report, now),
                Err(Refusal::Stale { .. })
            ));
        }
    }

    #[test]
    fn when_the_memory_is_full_nothing_is_forgotten_before_its_time() {
        let (stamps, now, lyon) = (Stamps::default(), Timestamp::now(), Arc::from("lyon"));
        for id in 0..IDS_MAX as u128 {
            let question = stamps.take(&lyon, stamp(id, now, 0), Question, now);
            assert_eq!(question.is_ok(), id < (IDS_MAX - IDS_FOR_REPORTS) as u128, "{id}: {question:?}");
            if question.is_err() {
                assert_eq!(stamps.take(&lyon, stamp(id, now, 0), Report, now), Ok(()), "reports go on");
            }
        }
        assert_eq!(stamps.take(&lyon, stamp(u128::MAX, now, 0), Report, now), Err(Refusal::TooManyMessages));
        assert!(matches!(stamps.take(&lyon, stamp(0, now, 0), Report, now), Err(Refusal::Repeated { .. })));
        let later = now + SignedDuration::from_secs(REMEMBER_S + 1);
        assert_eq!(stamps.take(&lyon, stamp(u128::MAX, later, 0), Report, later), Ok(()));
        assert_eq!(stamps.sites.lock().unwrap()["lyon"].ids.len(), 1);
    }

    proptest! {
        /// Whatever the sender's clock says and however often it is sent: a stamp is good once.
        #[test]
        fn no_stamp_is_good_twice(ahead_s in -120_i64..=120, waits in proptest::collection::vec(0_i64..400, 1..20)) {
            let (stamps, begin, lyon) = (Stamps::default(), Timestamp::now(), Arc::from("lyon"));
            let one = stamp(1, begin, ahead_s);
            prop_assert_eq!(stamps.take(&lyon, one, Report, begin), Ok(()));
            let mut now = begin;
            for (index, wait) in waits.into_iter().enumerate() {
                now += SignedDuration::from_secs(wait);
                prop_assert!(stamps.take(&lyon, one, Report, now).is_err());
                prop_assert!(stamps.take(&lyon, stamp(index as u128 + 2, now, 0), Report, now).is_ok());
            }
        }
    }
}
