//! The script engine and every limit on it.
//!
//! A script computes and returns; it cannot read files, wait, start anything, or run text as a script. What it logs is
//! kept until its run ends, so that a run that is begun anew logs once.
//!
//! **Invariant**: the thread-local [`Run`] is the only state outside arguments. It is set by [`run`] alone, and gone
//! when `run` returns or unwinds.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use rhai::{Dynamic, Engine, EvalAltResult, Position};

use super::limits::*;
use super::made::Origin;
use super::notes::Kept;
use super::{memory, notes, outside};
use crate::boot::Reading;

/// What one run may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) operations: u64,
    pub(super) time: Duration,
    /// Growth of the process in octets; not watched when absent.
    pub(super) memory: Option<usize>,
    pub(super) place: Place,
}

/// Where a run goes on, which says whether it may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the scripts are loaded: no machine asks yet.
    Load,
    /// On the caller's thread; what needs more begins anew in the background.
    Inline,
    /// On a thread of its own.
    Background,
}

/// The run that goes on in this thread.
#[derive(Clone, Copy)]
struct Run {
    operations: u64,
    deadline: Instant,
    time: Duration,
    memory_max: Option<usize>,
    place: Place,
    /// Whether it needs more than it may use.
    overran: bool,
    /// Whether it waited for somebody else.
    waited: bool,
}

thread_local! {
    static RUN: Cell<Option<Run>> = const { Cell::new(None) };
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// How a run ended.
pub(super) struct Ended<T> {
    pub(super) value: T,
    /// What the script logged.
    pub(super) log: Vec<String>,
    /// What it was told by others.
    pub(super) readings: Vec<Reading>,
    /// What it wants to be kept.
    pub(super) kept: Kept,
    /// Whether the run was on the caller's thread and needs more than it may use there.
    pub(super) overrun: bool,
    /// Whether it waited for somebody else, as a run on the caller's thread never may.
    pub(super) waited: bool,
    /// Where the value was made: filled by who ran a script.
    pub(super) origin: Origin,
}

/// Does `work` within a budget. Runs do not nest.
pub(super) fn run<T>(budget: Budget, work: impl FnOnce() -> T) -> Ended<T> {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            RUN.set(None);
        }
    }
    let memory_max = budget.memory.and_then(|growth| Some(memory::resident()?.saturating_add(growth)));
    LOG.take();
    outside::begin();
    notes::begin();
    RUN.set(Some(Run {
        operations: budget.operations,
        deadline: Instant::now() + budget.time,
        time: budget.time,
        memory_max,
        place: budget.place,
        overran: false,
        waited: false,
    }));
    let clear = Clear;
    let value = work();
    let (overran, waited) = RUN.get().map_or((false, false), |run| (run.overran, run.waited));
    drop(clear);
    Ended {
        value,
        log: LOG.take(),
        readings: outside::readings(),
        kept: notes::end(),
        overrun: overran && budget.place == Place::Inline,
        waited,
        origin: Origin::OneOf(Vec::new()),
    }
}

/// Asks whether work of native code that takes milliseconds may go on here; else the run ends, to be begun anew in the
/// background.
pub(super) fn need_time() -> Result<(), Box<EvalAltResult>> {
    match RUN.get().filter(|run| run.place == Place::Inline) {
        Some(run) => {
            RUN.set(Some(Run { overran: true, ..run }));
            end("the script needs more time")
        }
        None => Ok(()),
    }
}

/// How long native code may wait for somebody else: not at all where scripts are loaded, and on the caller's thread the
/// run ends, to be begun anew in the background.
pub(super) fn may_wait() -> Result<Duration, Box<EvalAltResult>> {
    need_time()?;
    match RUN.get().filter(|run| run.place == Place::Background) {
        Some(run) => {
            RUN.set(Some(Run { waited: true, ..run }));
            // A part is left for what the script does with the answer.
            Ok(run.deadline.saturating_duration_since(Instant::now()) / 4 * 3)
        }
        None => fail("nothing can be waited for here: the top of a file runs before any machine asks"),
    }
}

/// Ends the run; no `catch` of the script stops that.
pub(super) fn end<T>(why: impl Into<String>) -> Result<T, Box<EvalAltResult>> {
    Err(EvalAltResult::ErrorTerminated(why.into().into(), Position::NONE).into())
}

/// Keeps a line for the log.
pub(super) fn log(text: &str) {
    LOG.with_borrow_mut(|lines| {
        if lines.len() < LOG_LINES_MAX {
            let end = text.floor_char_boundary(LOG_LINE_LEN_MAX);
            lines.push(text.get(..end).unwrap_or_default().to_owned());
        }
    });
}

/// Whether the run is over, asked by the engine before each step.
fn progress(operations: u64) -> Option<Dynamic> {
    let run = RUN.get()?;
    if operations > run.operations {
        return over(format!("the script takes more than {} steps; look for an endless loop", run.operations));
    }
    if !operations.is_multiple_of(CLOCK_EVERY) {
        return None;
    }
    if Instant::now() >= run.deadline {
        return over(format!("the script takes longer than {:?}; look for an endless loop", run.time));
    }
    if operations.is_multiple_of(MEMORY_EVERY)
        && let Some(max) = run.memory_max
        && memory::resident().is_some_and(|resident| resident > max)
    {
        return over("the script uses too much memory; look for an array or map that grows".to_owned());
    }
    None
}

fn over(why: String) -> Option<Dynamic> {
    RUN.set(RUN.get().map(|run| Run { overran: true, ..run }));
    Some(why.into())
}

/// The clock is read every so many steps: one reading costs about as much as three of them.
const CLOCK_EVERY: u64 = 64;
/// The memory is read every so many steps: one step may clone a value of many megabytes, one reading costs 2 us.
const MEMORY_EVERY: u64 = 1024;

/// An engine without functions of ours.
pub(super) fn engine() -> Engine {
    let mut engine = Engine::new();
    engine
        .set_max_call_levels(CALLS_DEPTH_MAX)
        .set_max_expr_depths(EXPRESSION_DEPTH_MAX, EXPRESSION_DEPTH_MAX)
        .set_max_string_size(TEXT_LEN_MAX)
        .set_max_array_size(ELEMENTS_MAX)
        .set_max_map_size(ELEMENTS_MAX)
        .set_max_variables(VARIABLES_MAX)
        .set_max_functions(FUNCTIONS_MAX)
        .set_max_modules(MODULES_MAX)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_module_resolver(rhai::module_resolvers::DummyModuleResolver::new())
        .disable_symbol("eval")
        .on_progress(progress)
        .on_print(log)
        .on_debug(|text, _, _| log(text));
    // Neither limit sees a native function that waits; `disable_symbol` does not stop it either.
    let no_sleep = || fail::<()>("a script cannot wait; return an answer, the machine will ask again".to_owned());
    engine.register_fn("sleep", move |_: i64| no_sleep());
    engine.register_fn("sleep", move |_: f64| no_sleep());
    engine.register_fn("timestamp", || {
        fail::<()>("use request.now: it is the same for the whole decision, and cases can fix it".to_owned())
    });
    engine
}

/// An error of a function of ours, in its own words.
pub(super) fn fail<T>(message: impl Into<String>) -> Result<T, Box<EvalAltResult>> {
    Err(EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE).into())
}
