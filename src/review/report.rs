//! What would change, machine by machine, those of one kind together.
//!
//! **Invariant**: the same change of one machine is there once, however often it asked.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::replay::{ByMachine, Change, Outcome, Replay};
use crate::store::Kept;

/// What came of asking many questions again.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Questions that were asked again.
    pub asked: usize,
    /// Those with the same answer.
    pub same: usize,
    /// Those with another answer.
    pub changed: usize,
    /// Those whose new answer cannot be told.
    pub unknown: usize,
    /// Those that were not asked again.
    pub skipped: usize,
    /// Changes of one kind, the most machines first.
    pub groups: Vec<Group>,
    /// What cannot be told, by why, with the machines.
    pub untold: BTreeMap<String, ByMachine<usize>>,
    /// Why questions were not asked again, with how many.
    pub left_out: BTreeMap<String, usize>,
    #[serde(skip)]
    by_key: BTreeMap<Key, ByMachine<Changed>>,
}

/// Changes of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The change of one of the machines.
    pub example: Change,
    /// Whether it is that of all.
    pub is_common: bool,
    /// The machines.
    pub machines: ByMachine<Changed>,
}

/// The change of one machine.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// How often it asked so.
    pub times: usize,
    /// The change; the last time that it asked.
    #[serde(flatten)]
    pub change: Change,
}

/// What changes of one kind have in common: question, kinds of answers, lines, and what differs.
type Key = (&'static str, [&'static str; 2], [String; 2], Vec<String>);

impl Report {
    /// Asks every question that comes, on so many threads; `told` is called with how many were asked.
    pub fn collect(
        replay: &Replay,
        pages: Receiver<Vec<Kept>>,
        threads: usize,
        told: &(dyn Fn(usize) + Sync),
    ) -> Report {
        let (pages, whole) = (Mutex::new(pages), Mutex::new(Report::default()));
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    let mut own = Report::default();
                    loop {
                        let page = pages.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(page) = page else { break };
                        page.iter().for_each(|kept| own.take(kept, replay.ask(kept)));
                        told(page.len());
                    }
                    whole.lock().unwrap_or_else(PoisonError::into_inner).join(own);
                });
            }
        });
        let mut whole = whole.into_inner().unwrap_or_else(PoisonError::into_inner);
        whole.group();
        whole
    }

    /// Whether the new scripts fail where the old ones did not.
    pub fn has_failures(&self) -> bool {
        self.groups.iter().any(|group| group.example.error.is_some())
    }

    fn take(&mut self, kept: &Kept, outcome: Outcome) {
        let machine = || {
            let mac = || kept.request().map_or_else(|_| kept.session.to_string(), |of| of.client.hardware.to_string());
            kept.machine.clone().unwrap_or_else(mac)
        };
        self.asked += 1;
        match outcome {
            Outcome::Same => self.same += 1,
            Outcome::Skipped(why) => {
                self.asked -= 1;
                self.skipped += 1;
                *self.left_out.entry(why).or_default() += 1;
            }
            Outcome::Unknown(why) => {
                self.unknown += 1;
                *self.untold.entry(why).or_default().entry(machine()).or_default() += 1;
            }
            Outcome::Changed(change) => {
                self.changed += 1;
                let what = change.differences.iter().map(|difference| difference.what.clone()).collect();
                let key = (change.question, change.kinds, change.lines.clone(), what);
                let of = self.by_key.entry(key).or_default();
                of.entry(machine()).or_insert(Changed { times: 0, change: *change }).times += 1;
            }
        }
    }

    fn join(&mut self, other: Report) {
        self.asked += other.asked;
        self.same += other.same;
        self.changed += other.changed;
        self.unknown += other.unknown;
        self.skipped += other.skipped;
        for (why, count) in other.left_out {
            *self.left_out.entry(why).or_default() += count;
        }
        for (why, machines) in other.untold {
            let of = self.untold.entry(why).or_default();
            machines.into_iter().for_each(|(machine, times)| *of.entry(machine).or_default() += times);
        }
        for (key, machines) in other.by_key {
            let of = self.by_key.entry(key).or_default();
            for (machine, changed) in machines {
                let times = changed.times;
                of.entry(machine).or_insert(Changed { times: 0, ..changed }).times += times;
            }
        }
    }

    fn group(&mut self) {
        let group = |machines: ByMachine<Changed>| {
            let example = machines.values().next()?.change.clone();
            let is_same = |other: &Changed| {
                (&other.change.answers, &other.change.differences) == (&example.answers, &example.differences)
            };
            Some(Group { is_common: machines.values().all(is_same), example, machines })
        };
        self.groups = std::mem::take(&mut self.by_key).into_values().filter_map(group).collect();
        self.groups.sort_by_key(|group| std::cmp::Reverse(group.machines.len()));
    }
}
