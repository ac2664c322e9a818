//! `state.get`, `state.set` and `count`: what a script keeps of a machine, and what it counts.
//!
//! **Invariant**: a run changes nothing while it goes on. What it notes and counts is collected, seen by its own later
//! reads, and kept once, by [`Kept::keep`], after the run ended well; a run that fails or begins anew leaves nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Scope};
use serde_json::{Value as Json, json};
use tokio::runtime::Handle;
use tracing::warn;

use super::api::plain_type;
use super::outside;
use super::reach::Reach;
use super::sandbox::{self, fail};
use crate::boot::{BootRequest, IdentityStatus};
use crate::handlers::sql;
use crate::nearest::cut;
use crate::store::{Note, NoteChange, NoteValue, Store};

/// `state` in a script.
#[derive(Clone)]
struct State;

/// What a run wants to be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kept {
    /// Whose notes they are; empty where no machine asks.
    machine: String,
    changes: Vec<(String, NoteChange)>,
    counts: BTreeMap<String, u64>,
}

thread_local! {
    /// What the run in this thread wants to be kept, and what it read.
    static RUN: RefCell<(Kept, Option<BTreeMap<String, NoteValue>>)> = RefCell::default();
}

type Found<T> = Result<T, Box<EvalAltResult>>;

/// Forgets what an earlier run wanted to be kept.
pub(super) fn begin() {
    RUN.set(<(Kept, Option<_>)>::default());
}

/// Says whose notes the run is about.
pub(super) fn about(request: &BootRequest) {
    RUN.with_borrow_mut(|(kept, _)| kept.machine = machine(request));
}

/// What the run wants to be kept.
pub(super) fn end() -> Kept {
    RUN.take().0
}

/// Whose notes those of a request are.
fn machine(request: &BootRequest) -> String {
    let identity = &request.identity;
    if identity.status == IdentityStatus::Known && !identity.machine.is_empty() && identity.machine.len() <= 120 {
        return format!("name:{}", identity.machine);
    }
    match sql::own_uuid(request) {
        Some(uuid) => format!("uuid:{uuid}"),
        None => format!("mac:{}", request.client.hardware),
    }
}

/// What scripts are compiled with: the names that they have beside their own.
pub(super) fn scope() -> Scope<'static> {
    let mut scope = Scope::new();
    scope.push(STATE, ());
    scope
}

/// Registers `state` and `count`.
pub(super) fn register(engine: &mut Engine, reach: &Reach) {
    engine.register_type_with_name::<State>("State");
    // A script that has a variable of this name means its own.
    #[expect(deprecated, reason = "there is no other way to a name that functions see")]
    engine.on_var(|name, index, _| Ok((name == STATE && index == 0).then(|| Dynamic::from(State))));
    let store = reach.store.clone();
    engine.register_fn("get", move |_: &mut State, name: ImmutableString| get(store.as_ref(), &name));
    let store = reach.store.clone();
    engine.register_fn("get", move |_: &mut State, name: ImmutableString, otherwise: Dynamic| -> Found<Dynamic> {
        let found = get(store.as_ref(), &name)?;
        Ok(if found.is_unit() { otherwise } else { found })
    });
    engine.register_fn("set", |_: &mut State, name: ImmutableString, value: Dynamic| change(&name, to_note(&value)?));
    engine.register_fn("add", |_: &mut State, name: ImmutableString, by: i64| change(&name, NoteChange::Add(by)));
    engine.register_fn("clear", |_: &mut State, name: ImmutableString| change(&name, NoteChange::Clear));
    engine.register_fn("count", |name: ImmutableString| count(&name));
}

fn to_note(value: &Dynamic) -> Found<NoteChange> {
    if value.is_unit() {
        return Ok(NoteChange::Clear);
    }
    if let Some(text) = value.read_lock::<ImmutableString>() {
        let most = Note::TEXT_LEN_MAX;
        return match text.len() > most {
            true => fail(format!("state.set: the text has {} octets; a note has at most {most}", text.len())),
            false => Ok(NoteChange::Set(NoteValue::Text(text.to_string()))),
        };
    }
    let note = value.as_int().map(NoteValue::Number).or_else(|_| value.as_bool().map(NoteValue::Truth));
    match note {
        Ok(note) => Ok(NoteChange::Set(note)),
        Err(kind) => {
            fail(format!("state.set: a note is text, a whole number, true or false, not {}", plain_type(kind)))
        }
    }
}

fn check(name: &str) -> Found<()> {
    if RUN.with_borrow(|(kept, _)| kept.machine.is_empty()) {
        return fail("there are no notes here: the top of a file runs before any machine asks");
    }
    match Note::is_name(name) {
        true => Ok(()),
        false => fail(format!("`{}` is no name for a note; use letters, digits, `_`, `-` and `.`", cut(name))),
    }
}

fn change(name: &str, change: NoteChange) -> Found<()> {
    check(name)?;
    RUN.with_borrow_mut(|(kept, _)| match kept.changes.len() < CHANGES_MAX {
        true => {
            kept.changes.push((name.to_owned(), change));
            Ok(())
        }
        false => fail(format!("a run may change notes {CHANGES_MAX} times")),
    })
}

fn get(store: Option<&Store>, name: &str) -> Found<Dynamic> {
    check(name)?;
    let (machine, changes) = RUN.with_borrow(|(kept, _)| {
        let of_name = kept.changes.iter().filter(|(other, _)| other == name).map(|(_, change)| change.clone());
        (kept.machine.clone(), of_name.collect::<Vec<_>>())
    });
    // What was set in this run is known without asking.
    let known = changes.iter().rposition(|change| !matches!(change, NoteChange::Add(_)));
    let mut value = match known {
        Some(_) => None,
        None => {
            let source = format!("note {name}");
            let asked = json!({ "machine": machine });
            of_json(&outside::ask(&source, asked, |_| {
                let limit = sandbox::may_wait()?;
                let notes = match RUN.with_borrow(|(_, read)| read.clone()) {
                    Some(notes) => Ok(notes),
                    None => read(store, &machine, limit),
                };
                Ok(notes.map(|notes| {
                    let value = notes.get(name).map_or(Json::Null, |value| json!(value));
                    RUN.with_borrow_mut(|(_, read)| *read = Some(notes));
                    value
                }))
            })?)
        }
    };
    for change in changes.get(known.unwrap_or(0)..).unwrap_or_default() {
        value = match (change, value) {
            (NoteChange::Set(new), _) => Some(new.clone()),
            (NoteChange::Clear, _) => None,
            (NoteChange::Add(by), Some(NoteValue::Number(number))) => {
                Some(NoteValue::Number(number.saturating_add(*by)))
            }
            (NoteChange::Add(by), _) => Some(NoteValue::Number(*by)),
        };
    }
    Ok(match value {
        None => Dynamic::UNIT,
        Some(NoteValue::Text(text)) => text.into(),
        Some(NoteValue::Number(number)) => number.into(),
        Some(NoteValue::Truth(truth)) => truth.into(),
    })
}

fn of_json(json: &Json) -> Option<NoteValue> {
    match json {
        Json::String(text) => Some(NoteValue::Text(text.clone())),
        Json::Bool(truth) => Some(NoteValue::Truth(*truth)),
        Json::Number(number) => number.as_i64().map(NoteValue::Number),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

fn read(store: Option<&Store>, machine: &str, limit: Duration) -> Result<BTreeMap<String, NoteValue>, String> {
    let Some(store) = store else { return Ok(BTreeMap::new()) };
    let Ok(runtime) = Handle::try_current() else { return Err("there is no runtime to wait in".to_owned()) };
    let notes = runtime.block_on(store.notes(machine, limit)).map_err(|error| error.to_string())?;
    Ok(notes.into_iter().map(|note| (note.name, note.value)).collect())
}

fn count(name: &str) -> Found<()> {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_good = (1..=64).contains(&name.len())
        && name.bytes().next().is_some_and(is_start)
        && name.bytes().all(|byte| is_start(byte) || byte.is_ascii_digit());
    if !is_good {
        return fail(format!(
            "count: `{}` is no name; use letters, digits and `_`, as in \"sent_to_repair\"",
            cut(name)
        ));
    }
    RUN.with_borrow_mut(|(kept, _)| {
        if kept.counts.len() < COUNTED_MAX || kept.counts.contains_key(name) {
            *kept.counts.entry(name.to_owned()).or_default() += 1;
        }
    });
    Ok(())
}

impl Kept {
    /// Keeps it, where that is meant. A store that does not answer is waited for a moment only: the boot goes on.
    pub(super) async fn keep(self, reach: &Reach, now: Timestamp) {
        if !reach.keeps {
            return;
        }
        let Kept { machine, changes, counts } = self;
        count_all(counts);
        let Some(store) = reach.store.clone().filter(|_| !changes.is_empty()) else { return };
        let work = tokio::spawn(async move {
            if let Err(error) = store.change_notes(&machine, &changes, now, WRITE_TIME_MAX).await {
                count_all([(LOST.to_owned(), 1)]);
                warn!(machine, %error, "notes of a script are lost");
            }
        });
        // Who asks next shall find it; but nobody waits for a store that is gone.
        let _ = tokio::time::timeout(WRITE_WAIT_MAX, work).await;
    }
}

/// What scripts counted since the server started: a reload makes new handlers, and counters only grow.
static COUNTS: LazyLock<Mutex<BTreeMap<String, u64>>> = LazyLock::new(Mutex::default);

fn count_all(counts: impl IntoIterator<Item = (String, u64)>) {
    let mut all = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, count) in counts {
        let name = if all.len() < COUNTED_MAX || all.contains_key(&name) { name } else { OTHERS.to_owned() };
        *all.entry(name).or_default() += count;
    }
}

/// What scripts counted, by name; `_others` where they have too many names, `_notes_lost` what could not be noted.
pub fn counts() -> BTreeMap<String, u64> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The name in a script.
const STATE: &str = "state";
/// Changes of one run.
const CHANGES_MAX: usize = 100;
/// Names of all counters.
const COUNTED_MAX: usize = 100;
const OTHERS: &str = "_others";
const LOST: &str = "_notes_lost";
/// How long a store may take to keep the notes of a run.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long an answer waits for that.
const WRITE_WAIT_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_counters_are_few() {
        begin();
        for n in 0..300 {
            count(&format!("n{n}")).unwrap();
        }
        let kept = end();
        assert_eq!(kept.counts.len(), COUNTED_MAX);
        count_all(kept.counts);
        count_all([("unheard_of".to_owned(), 2)]);
        assert!(counts().len() <= COUNTED_MAX + 2 && counts().get(OTHERS).is_some_and(|count| *count >= 2));
        for wrong in ["", "1a", "a b", "a-b", "ä", &"x".repeat(65)] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
