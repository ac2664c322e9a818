//! Which machine asks: what it claims, held against the rows that may be it.
//!
//! The keys in their order are the UUID, the serial number with its manufacturer, the asset tag, the system's own MAC
//! address, and the MAC address of the NIC. [`resolve`] says who it is and by which keys, or that nobody is like it, or which machines it
//! could be.
//!
//! **Invariant**: never a guess. A pure function of the claims and the rows; a machine is known only when a key speaks
//! for it and none speaks for another one.

use std::fmt;

use uuid::Uuid;

use crate::boot::{self, HardwareAddress, IdentityStatus, Line, Record};
use crate::nearest::cut;

use crate::boot::keys::{Claims, Serial, swapped};

/// A machine that may be the one that asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::handlers) struct Candidate {
    /// Its id in the database.
    pub(in crate::handlers) id: String,
    /// Its name, where the database has one.
    pub(in crate::handlers) hostname: Option<String>,
    /// Its keys; several of each where it had several.
    pub(in crate::handlers) uuids: Vec<Uuid>,
    pub(in crate::handlers) serials: Vec<Serial>,
    pub(in crate::handlers) assets: Vec<String>,
    pub(in crate::handlers) macs: Vec<HardwareAddress>,
    /// Whether the query has a column of keys at all. One that has none answers by itself for who the machine is.
    pub(in crate::handlers) has_keys: bool,
    /// The row.
    pub(in crate::handlers) record: Record,
}

impl Resolved {
    /// The same in words, for scripts and trails. `trusts` has how far the keys can be trusted.
    pub(in crate::handlers) fn in_words(&self, candidates: &[Candidate], trusts: &boot::Identity) -> boot::Identity {
        let shown = |index: &usize| candidates.get(*index).map_or_else(String::new, ToString::to_string);
        let mut identity = boot::Identity {
            status: IdentityStatus::Unknown,
            machine: String::new(),
            matched_by: Vec::new(),
            candidates: Vec::new(),
            why: self.notes.iter().take(WHY_MAX).cloned().collect(),
            ..trusts.clone()
        };
        match &self.identity {
            Identity::Unknown => {}
            Identity::Known(index, keys) => {
                identity.status = IdentityStatus::Known;
                let machine = candidates.get(*index);
                let name = machine.map_or("", |machine| machine.hostname.as_deref().unwrap_or(&machine.id));
                identity.machine = Line::clean(cut(name)).to_string();
                identity.matched_by = keys.iter().map(|key| key.name().to_owned()).collect();
            }
            Identity::Ambiguous(several) => {
                identity.status = IdentityStatus::Ambiguous;
                identity.candidates = several.iter().take(WHY_MAX).map(|(index, _)| shown(index)).collect();
                let by = several
                    .iter()
                    .take(WHY_MAX)
                    .map(|(index, keys)| format!("{} has its {}", shown(index), names(keys)));
                identity.why.extend(by);
            }
        }
        identity
    }
}

/// Machines and sentences that are told.
const WHY_MAX: usize = 10;

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rows may hold anything; this is for screens and logs.
        let shown = |text: &str| Line::clean(cut(text));
        match self.hostname.as_deref() {
            Some(name) if name != self.id => write!(f, "{} ({})", shown(name), shown(&self.id)),
            _ => shown(&self.id).fmt(f),
        }
    }
}

/// What a machine is known by, from the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::handlers) enum Key {
    Uuid,
    Serial,
    Asset,
    SysMac,
    Mac,
    /// The site's query alone, which returns no keys.
    Query,
}

impl Key {
    const COMPARED: [Key; 5] = [Key::Uuid, Key::Serial, Key::Asset, Key::SysMac, Key::Mac];

    /// The word in trails and logs.
    pub(in crate::handlers) fn name(self) -> &'static str {
        match self {
            Key::Uuid => "uuid",
            Key::Serial => "serial",
            Key::Asset => "asset",
            Key::SysMac => "sysmac",
            Key::Mac => "mac",
            Key::Query => "query",
        }
    }
}

/// The names of keys, for a trail.
pub(in crate::handlers) fn names(keys: &[Key]) -> String {
    keys.iter().map(|key| key.name()).collect::<Vec<_>>().join(", ")
}

/// Who asks. Machines are named by their place in the list of candidates.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::handlers) enum Identity {
    /// This one, by these keys.
    Known(usize, Vec<Key>),
    /// None of them.
    Unknown,
    /// One of these, each by its keys, or none.
    Ambiguous(Vec<(usize, Vec<Key>)>),
}

/// Who asks, and what spoke against others.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::handlers) struct Resolved {
    pub(in crate::handlers) identity: Identity,
    /// Sentences for the trail and the log.
    pub(in crate::handlers) notes: Vec<String>,
}

/// How a claim and a candidate compare by one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Same,
    /// Both say something, and it is not the same.
    Differs,
    /// One of them says nothing.
    Silent,
}

/// A candidate with its marks.
struct View<'a> {
    index: usize,
    candidate: &'a Candidate,
    marks: [Mark; 5],
}

impl View<'_> {
    fn mark(&self, key: Key) -> Mark {
        self.marks.get(key as usize).copied().unwrap_or(Mark::Silent)
    }

    /// The keys that match, from the strongest.
    fn keys(&self) -> Vec<Key> {
        Key::COMPARED.into_iter().filter(|key| self.mark(*key) == Mark::Same).collect()
    }

    fn best(&self) -> Option<Key> {
        self.keys().first().copied()
    }

    /// The key that says that it is another machine, when one does that is stronger than `than`.
    fn contradiction(&self, than: Key) -> Option<Key> {
        Key::COMPARED.into_iter().take_while(|key| *key < than).find(|key| self.mark(*key) == Mark::Differs)
    }

    fn is_open(&self) -> bool {
        self.best().is_some_and(|best| self.contradiction(best).is_none())
    }

    /// The serial number of this machine in another board, or its board in another machine: which, nobody can tell.
    fn is_doubtful(&self) -> bool {
        self.best() == Some(Key::Serial) && self.contradiction(Key::Serial).is_some()
    }
}

/// Says which of the candidates a machine is.
pub(in crate::handlers) fn resolve(claims: &Claims, candidates: &[Candidate]) -> Resolved {
    if candidates.iter().all(|candidate| !candidate.has_keys) {
        return by_query(candidates);
    }
    let views = views(claims, candidates);
    let notes = views.iter().filter_map(|view| note(claims, view)).collect();
    Resolved { identity: identify(claims, &views), notes }
}

fn by_query(candidates: &[Candidate]) -> Resolved {
    let identity = match candidates.len() {
        0 => Identity::Unknown,
        1 => Identity::Known(0, vec![Key::Query]),
        several => Identity::Ambiguous((0..several).map(|index| (index, vec![Key::Query])).collect()),
    };
    Resolved { identity, notes: Vec::new() }
}

fn identify(claims: &Claims, views: &[View<'_>]) -> Identity {
    let open: Vec<&View<'_>> = views.iter().filter(|view| view.is_open()).collect();
    let doubtful: Vec<&View<'_>> = views.iter().filter(|view| view.is_doubtful()).collect();
    let Some(best) = open.iter().filter_map(|view| view.best()).min() else {
        return if doubtful.is_empty() { Identity::Unknown } else { could_be(doubtful) };
    };
    if best > Key::Uuid && !doubtful.is_empty() {
        return could_be(open.into_iter().chain(doubtful));
    }
    let tied: Vec<&View<'_>> = open.iter().copied().filter(|view| view.best() == Some(best)).collect();
    let Some(machine) = one_of(claims, tied, best) else { return could_be(open) };
    let speaks_for_another = |view: &&View<'_>| view.best() > Some(best) && counts_against(claims, machine, view);
    if open.iter().any(speaks_for_another) || best >= Key::SysMac && !has_own_mac(claims, machine, views) {
        return could_be(open);
    }
    Identity::Known(machine.index, machine.keys())
}

fn could_be<'a>(views: impl IntoIterator<Item = &'a View<'a>>) -> Identity {
    Identity::Ambiguous(views.into_iter().map(|view| (view.index, view.keys())).collect())
}

/// The one of several with the same best key that a weaker key speaks for, too. That the others differ is no reason:
/// their key is not theirs alone, and so a machine that nobody wrote down may have it as well.
fn one_of<'a>(claims: &Claims, mut tied: Vec<&'a View<'a>>, best: Key) -> Option<&'a View<'a>> {
    for key in Key::COMPARED.into_iter().filter(|key| *key > best) {
        if tied.len() == 1 || (key == Key::Mac && is_adapter(claims)) {
            break;
        }
        let is_spoken_for = |view: &&View<'_>| view.mark(key) == Mark::Same && view.contradiction(key).is_none();
        let spoken_for: Vec<_> = tied.iter().copied().filter(is_spoken_for).collect();
        if !spoken_for.is_empty() {
            tied = spoken_for;
        }
    }
    match tied.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

/// Whether the NIC is not the system's own: then its MAC address says little of who the machine is.
fn is_adapter(claims: &Claims) -> bool {
    claims.sysmac.is_some()
}

/// Whether a weaker match of another machine makes it doubtful who asks. A MAC address that both have does not.
fn counts_against(claims: &Claims, machine: &View<'_>, other: &View<'_>) -> bool {
    let is_only_theirs =
        |mac: &HardwareAddress| other.candidate.macs.contains(mac) && !machine.candidate.macs.contains(mac);
    match other.best() {
        Some(Key::SysMac) => claims.sysmac.iter().any(is_only_theirs),
        Some(Key::Mac) => !is_adapter(claims) && claims.macs().any(is_only_theirs),
        _ => true,
    }
}

/// Whether one of the MAC addresses that speak for a machine is of no other. One that several machines have is that of
/// an adapter that goes from hand to hand.
fn has_own_mac(claims: &Claims, machine: &View<'_>, views: &[View<'_>]) -> bool {
    let is_own = |mac: &&HardwareAddress| {
        let has = |view: &&View<'_>| view.candidate.macs.contains(mac);
        machine.candidate.macs.contains(mac) && views.iter().filter(has).count() == 1
    };
    claims.sysmac.iter().chain(claims.macs()).any(|mac| is_own(&mac))
}

fn views<'a>(claims: &Claims, candidates: &'a [Candidate]) -> Vec<View<'a>> {
    // A UUID in the wrong byte order is taken only where there is no right one, and for one machine.
    let turned = claims.uuid.as_ref().map(swapped);
    let has = |uuid: Option<Uuid>| candidates.iter().filter(move |c| uuid.is_some_and(|uuid| c.uuids.contains(&uuid)));
    let takes_turned = has(claims.uuid).count() == 0 && has(turned).count() == 1;
    let view = |(index, candidate): (usize, &'a Candidate)| {
        let marks = [
            uuid_mark(claims, candidate, takes_turned),
            serial_mark(claims, candidate),
            asset_mark(claims, candidate),
            mac_mark(claims.sysmac.iter(), candidate),
            mac_mark(claims.macs(), candidate),
        ];
        View { index, candidate, marks }
    };
    candidates.iter().enumerate().map(view).collect()
}

fn uuid_mark(claims: &Claims, candidate: &Candidate, takes_turned: bool) -> Mark {
    let Some(uuid) = claims.uuid.filter(|_| !candidate.uuids.is_empty()) else { return Mark::Silent };
    match (candidate.uuids.contains(&uuid), candidate.uuids.contains(&swapped(&uuid))) {
        (true, _) => Mark::Same,
        (_, true) if takes_turned => Mark::Same,
        (_, true) => Mark::Silent,
        _ => Mark::Differs,
    }
}

fn serial_mark(claims: &Claims, candidate: &Candidate) -> Mark {
    let Some(claim) = claims.serial.as_ref().filter(|_| !candidate.serials.is_empty()) else { return Mark::Silent };
    let same: Vec<_> = candidate.serials.iter().filter(|serial| serial.has_number_of(claim)).collect();
    if same.iter().any(|serial| serial.may_have_maker_of(claim)) {
        return Mark::Same;
    }
    // One number of two manufacturers is two machines, or one whose manufacturer is spelt in two ways.
    if same.is_empty() { Mark::Differs } else { Mark::Silent }
}

/// Tags are given by people, and given anew: another one says nothing.
fn asset_mark(claims: &Claims, candidate: &Candidate) -> Mark {
    let is_same = claims.asset.as_ref().is_some_and(|asset| candidate.assets.contains(asset));
    if is_same { Mark::Same } else { Mark::Silent }
}

/// Machines have several MAC addresses, and databases seldom all of them: one that is not there says nothing.
fn mac_mark<'a>(mut macs: impl Iterator<Item = &'a HardwareAddress>, candidate: &Candidate) -> Mark {
    if macs.any(|mac| candidate.macs.contains(mac)) { Mark::Same } else { Mark::Silent }
}

/// What the trail says of a candidate that is remarkable.
fn note(claims: &Claims, view: &View<'_>) -> Option<String> {
    let candidate = view.candidate;
    let Some(best) = view.best() else {
        return Some(format!("{candidate} has none of the keys of the machine that asks"));
    };
    if let Some(other) = view.contradiction(best) {
        return Some(format!("{candidate} has its {}, but another {}", names(&view.keys()), other.name()));
    }
    let is_turned = claims.uuid.is_some_and(|uuid| best == Key::Uuid && !candidate.uuids.contains(&uuid));
    is_turned.then(|| format!("{candidate} has its uuid with the bytes of the first three fields in the other order"))
}
