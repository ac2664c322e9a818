//! What a decision costs: processor time, and how often it asks for memory.
//!
//! `cargo bench --bench decide`. Every figure is for one thread, through the public interface, with another machine each
//! time. Each kind of script is measured in turns, several times, and the median counts. Time is processor time of the
//! thread, so that other load does not matter; allocations are those of the thread as well. For the engine each question
//! begins a new boot, so that it never answers from memory.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    unsafe_code,
    reason = "a benchmark reports on standard output, ends at the first error, and counts what the allocator is asked for"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pointsman::boot::{
    Architecture, BootRequest, Client, HardwareAddress, Machine, MachineId, Network, SessionId, Stage,
};
use pointsman::decision::{Answer, DecisionEngine, Policy, Progress, RequestHandler, Sessions, TokenKey, World};
use pointsman::handlers::script::{Limits, ScriptConfig, ScriptHandler};

/// Counts what this thread asks for.
struct Counting;

thread_local! {
    static COUNT: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

fn count(octets: usize) {
    // A thread that ends may have lost its count already.
    let _ = COUNT.try_with(|count| {
        let (calls, sum) = count.get();
        count.set((calls + 1, sum + octets as u64));
    });
}

// SAFETY: all work is the system allocator's; counting asks for no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Machines that ask, and rows of the table.
const ROWS: u32 = 100_000;
/// Decisions of one turn.
const TURN: u32 = 20_000;
/// Turns of each kind.
const TURNS: usize = 7;

const MINIMAL: &str = "fn allow_boot(request) { true } fn boot_images(request) { local_disk() }";

const LOOKUP: &str = r#"
const MACHINES = table("machines.csv");

fn allow_boot(request) {
    let machine = global::MACHINES.find("mac", request.mac);
    if machine == () {
        return deny(`${request.mac} is not in machines.csv`);
    }
    if machine.role == "retired" {
        return ignore("retired");
    }
    allow()
}

fn boot_images(request) {
    let machine = global::MACHINES.find("mac", request.mac);
    if machine == () {
        return local_disk();
    }
    let debian = linux(#{
        id: "debian", title: "Debian 12 installer", kernel: "debian/linux", initrd: "debian/initrd.gz",
        cmdline: `auto=true hostname=${machine.name} --- quiet`,
    });
    if machine.role == "install" {
        return debian;
    }
    menu(#{ title: `${machine.name} (${request.product})`, timeout: 10, default_image: "local", images: [local_disk(), debian] })
}
"#;

/// The lookup with so many lines of rules beside it: functions of ten lines, one of which is asked by each decision.
fn long(lines: usize) -> String {
    let functions = lines.saturating_sub(LOOKUP.lines().count()) / 10;
    let mut text = LOOKUP.replacen(
        "fn allow_boot(request) {",
        "fn allow_boot(request) {\n    if rules(request) { return deny(\"a rule\"); }",
        1,
    );
    for number in 0..functions {
        let _ = write!(
            text,
            "fn rule_{number}(request) {{\n    if request.platform == \"bios\" {{\n        return true;\n    }}\n    \
             if request.product.contains(\"Rule {number} \") {{\n        log(\"rule {number}\");\n        return true;\n    }}\n    \
             false\n}}\n"
        );
    }
    let arms: String = (0..functions.min(10)).map(|n| format!("\"{n}\" => rule_{n}(request), ")).collect();
    let _ = writeln!(text, "fn rules(request) {{ switch request.mac.sub_string(16) {{ {arms} _ => false }} }}");
    text
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    println!("table of {ROWS} rows; medians of {TURNS} turns of {TURN} decisions, on one thread");
    let scripts = [
        ("constant answer, 1 line", MINIMAL.to_owned()),
        ("lookup, 30 lines", LOOKUP.to_owned()),
        ("lookup, 100 lines", long(100)),
        ("lookup, 10,000 lines", long(10_000)),
    ];
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    table(folder.path());
    let loaded: Vec<_> = scripts.iter().map(|(name, source)| (*name, load(folder.path(), name, source))).collect();
    let requests: Vec<BootRequest> = (0..TURN).map(|n| request(n * (ROWS / TURN))).collect();
    let mut rows: Vec<Row> = Vec::new();
    for turn in 0..TURNS {
        for (name, handler) in &loaded {
            for question in [Question::AllowBoot, Question::BootImages] {
                let measured = runtime.block_on(measure(&**handler, question, &requests));
                put(&mut rows, turn, &format!("{}, {name}", question.name()), measured);
            }
            let measured = runtime.block_on(measure_engine(Arc::clone(handler) as _, &requests));
            put(&mut rows, turn, &format!("engine, {name}"), measured);
        }
        rollout::measure_all(&runtime, folder.path(), &requests, turn, &mut rows);
    }
    rows.iter().for_each(Row::print);
}

/// What one decision cost in each turn: microseconds, allocations, octets.
struct Row {
    name: String,
    turns: Vec<[f64; 3]>,
}

fn put(rows: &mut Vec<Row>, turn: usize, name: &str, measured: [f64; 3]) {
    match rows.iter_mut().find(|row| row.name == name) {
        Some(row) => row.turns.push(measured),
        None => rows.push(Row { name: name.to_owned(), turns: vec![measured] }),
    }
    assert!(turn < TURNS);
}

impl Row {
    fn print(&self) {
        let median = |index: usize| {
            let mut all: Vec<f64> = self.turns.iter().filter_map(|turn| turn.get(index).copied()).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        let (time, calls, octets) = (median(0), median(1), median(2));
        let rate = 1e6 / time;
        println!("  {:<44} {rate:>9.0}/s {time:>7.2} us {calls:>7.1} allocations {octets:>8.0} octets", self.name);
    }
}

/// The cost of some work, for each decision of a turn.
async fn cost(work: impl Future<Output = ()>) -> [f64; 3] {
    let (cpu, (calls, octets)) = (cpu_us(), COUNT.get());
    work.await;
    let (after, (more, sum)) = (cpu_us(), COUNT.get());
    [after - cpu, (more - calls) as f64, (sum - octets) as f64].map(|total| total / f64::from(TURN))
}

/// The same through the engine, with its session, its trail and its log line.
async fn measure_engine(handler: Arc<dyn RequestHandler>, requests: &[BootRequest]) -> [f64; 3] {
    let sessions = Sessions::new(TokenKey::new(&[7; TokenKey::LEN]), 200_000);
    let world = World {
        handlers: vec![handler],
        policy: Policy::default(),
        site: "".into(),
        keys: Default::default(),
        quirks: Default::default(),
    };
    let engine = DecisionEngine::new(world, sessions);
    cost(async {
        for (xid, request) in (1..).zip(requests) {
            let now = jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(i64::from(xid));
            let session = engine.session_for(&request.client, xid, Stage::Discover, now);
            let decision = engine.allow_boot(&session, Stage::Discover, Network::default(), now).await;
            assert!(decision.verdict.allows() && decision.handler == "script");
            session.advance(Progress::ScriptServed);
        }
    })
    .await
}

#[derive(Clone, Copy, PartialEq)]
enum Question {
    AllowBoot,
    BootImages,
}

impl Question {
    fn name(self) -> &'static str {
        match self {
            Question::AllowBoot => "allow_boot",
            Question::BootImages => "boot_images",
        }
    }
}

fn table(folder: &Path) {
    let mut table = "mac,name,role,owner\n".to_owned();
    for n in 0..ROWS {
        let role = if n.is_multiple_of(3) { "install" } else { "office" };
        let [_, a, b, c] = n.to_be_bytes();
        let _ = writeln!(table, "52-54-00-{a:02X}-{b:02X}-{c:02X},pc-{n:05},{role},team-{}", n % 40);
    }
    std::fs::write(folder.join("machines.csv"), table).expect("the table is written");
}

/// Loads a script three times; tells the best time.
fn load(folder: &Path, name: &str, source: &str) -> Arc<ScriptHandler> {
    std::fs::write(folder.join("site.rhai"), source).expect("the script is written");
    let config = ScriptConfig {
        name: "script".to_owned(),
        allow_boot: folder.join("site.rhai"),
        boot_images: folder.join("site.rhai"),
        scripts_dir: folder.to_owned(),
        // Without the table: how long its rows take is another matter.
        data_dir: folder.to_owned(),
        time_zone: jiff::tz::TimeZone::UTC,
        queries: Arc::default(),
        reach: pointsman::handlers::script::Reach::default(),
        limits: Limits::default(),
    };
    let mut best = f64::MAX;
    let mut handler = None;
    for _ in 0..3 {
        let begin = Instant::now();
        handler = Some(ScriptHandler::load(&config).unwrap_or_else(|errors| panic!("{errors}")));
        best = best.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    let octets = source.len();
    println!("  {name}: {} lines, {octets} octets: loaded with the table in {best:.1} ms", source.lines().count());
    Arc::new(handler.expect("it was loaded"))
}

/// Processor time of this thread in microseconds.
fn cpu_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells the time of a thread");
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).expect("a number comes first") / 1e3
}

async fn measure(handler: &dyn RequestHandler, question: Question, requests: &[BootRequest]) -> [f64; 3] {
    cost(async {
        for request in requests {
            match question {
                Question::AllowBoot => assert!(is_given(&handler.allow_boot(request).await.expect("an answer"))),
                Question::BootImages => assert!(is_given(&handler.boot_images(request).await.expect("an answer"))),
            }
        }
    })
    .await
}

fn is_given<T>(answer: &Answer<T>) -> bool {
    matches!(answer, Answer::Given(_) | Answer::Explained { given: Some(_), .. })
}

fn request(n: u32) -> BootRequest {
    let [_, a, b, c] = n.to_be_bytes();
    let mut machine = Machine::default();
    for (name, value) in
        [("manufacturer", "Dell Inc."), ("product", "OptiPlex 7010"), ("serial", "7XK3N22"), ("memsize", "16384")]
    {
        machine.insert(name, value);
    }
    let mut client = Client::new(HardwareAddress::from([0x52, 0x54, 0, a, b, c]), Architecture::X64_UEFI);
    client.vendor_class = "PXEClient:Arch:00007:UNDI:003016".to_owned();
    client.machine_id = Some(MachineId::from_wire([7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, a, b, c]));
    BootRequest {
        machine,
        ..BootRequest::new(SessionId([0, 0, 0, a, b, c]), Stage::Http, client, jiff::Timestamp::UNIX_EPOCH)
    }
}

/// The same with a candidate beside the live scripts.
mod rollout {
    use super::*;

    use pointsman::config::Config;
    use pointsman::database::Databases;
    use pointsman::handlers::rollout::Rollouts;
    use pointsman::handlers::{self, Purpose};
    use pointsman::upstream::Upstreams;

    /// As many questions as wait without one being dropped.
    const BATCH: usize = 1000;

    pub(super) fn measure_all(
        runtime: &tokio::runtime::Runtime,
        folder: &Path,
        requests: &[BootRequest],
        turn: usize,
        rows: &mut Vec<Row>,
    ) {
        for (name, keys) in
            [("off", "shadow = false"), ("on", ""), ("canary 5 %", "shadow = false\ncanary_percent = 5")]
        {
            for (name_of, question) in [("allow_boot", Question::AllowBoot), ("boot_images", Question::BootImages)] {
                let (handler, rollouts) = runtime.block_on(async { site(folder, keys) });
                let measured = runtime.block_on(in_batches(&*handler, &rollouts, question, requests, name == "on"));
                put(rows, turn, &format!("{name_of}, lookup, shadow {name}"), measured);
            }
        }
    }

    fn site(folder: &Path, keys: &str) -> (Arc<dyn RequestHandler>, Rollouts) {
        for scripts in ["live", "next"] {
            std::fs::create_dir_all(folder.join(scripts)).expect("a folder");
            std::fs::write(folder.join(scripts).join("site.rhai"), LOOKUP).expect("a script");
        }
        let text = format!(
            "[[handler]]\nkind = \"script\"\nscripts = \"live\"\ncandidate = \"next\"\ndata = \".\"\n\
             allow_boot = \"live/site.rhai\"\nboot_images = \"live/site.rhai\"\n{keys}\n"
        );
        let config = Config::parse(&folder.join("pointsman.toml"), &text).unwrap_or_else(|error| panic!("{error}"));
        let databases = Databases::open(&config, None).unwrap_or_else(|error| panic!("{error}"));
        let upstreams = Upstreams::open(&config, None).expect("no upstream");
        let built = handlers::build(&config, &databases, &upstreams, Purpose::Serve);
        let built = built.unwrap_or_else(|error| panic!("{error}")).remove(0);
        let rollouts = Rollouts::begin([("script", built.candidate.as_ref())].into_iter(), None, &config.server.state);
        (built.handler, rollouts)
    }

    /// Lets the shadow keep up between batches, so that none is dropped.
    async fn in_batches(
        handler: &dyn RequestHandler,
        rollouts: &Rollouts,
        question: Question,
        requests: &[BootRequest],
        has_shadow: bool,
    ) -> [f64; 3] {
        let mut sum = [0.0; 3];
        for (batch, requests) in (1..).zip(requests.chunks(BATCH)) {
            let cost = measure(handler, question, requests).await;
            sum = [0, 1, 2].map(|index: usize| sum.get(index).unwrap_or(&0.0) + cost.get(index).unwrap_or(&0.0));
            let compared = || rollouts.counts().iter().map(|(_, _, count)| count).sum::<u64>();
            while has_shadow && compared() < (batch * BATCH) as u64 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        let counts = rollouts.counts();
        assert!(counts.iter().all(|(_, outcome, count)| *outcome != "dropped" || *count == 0), "{counts:?}");
        sum
    }
}
