//! How many decisions a second one core takes with a script that looks a machine up in a CSV of 10,000 rows.
//!
//! `cargo bench --bench decide`. Rates and means are by processor time, percentiles by the clock. Every figure is for one thread, through the public interface, with another machine
//! each time. For the engine each question begins a new boot, so that it never answers from memory.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark reports on standard output and ends at the first error"
)]

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman::boot::{Architecture, BootRequest, Client, HardwareAddress, Machine, Network, SessionId, Stage};
use pointsman::decision::{Answer, DecisionEngine, Policy, Progress, RequestHandler, Sessions, TokenKey, World};
use pointsman::handlers::script::{Limits, ScriptConfig, ScriptHandler};

const ROWS: u32 = 10_000;
const RUN: Duration = Duration::from_secs(3);

const MINIMAL: &str = "fn allow_boot(request) { true }\nfn boot_images(request) { local_disk() }";

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

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    println!("decisions per second on one core, table of {ROWS} rows");
    for (name, source) in [("constant answer", MINIMAL), ("MAC looked up in the table", LOOKUP)] {
        let (folder, handler) = site(source);
        let ask = |question| runtime.block_on(measure(&handler, question));
        report(&format!("allow_boot, {name}"), ask(Question::AllowBoot));
        report(&format!("boot_images, {name}"), ask(Question::BootImages));
        report(&format!("both, {name}"), ask(Question::Both));
        report(&format!("engine, allow_boot, {name}"), runtime.block_on(measure_engine(handler, RUN)));
        drop(folder);
    }
}

/// The same through the engine, with its session, its trail and its log line.
async fn measure_engine(handler: ScriptHandler, run: Duration) -> (Vec<f64>, f64) {
    let sessions = Sessions::new(TokenKey::new(&[7; TokenKey::LEN]), 200_000);
    let engine = DecisionEngine::new(
        World { handlers: vec![Arc::new(handler)], policy: Policy::default(), site: "".into() },
        sessions,
    );
    let clients: Vec<_> = (0..ROWS).map(|n| request(n).client).collect();
    let mut times = Vec::new();
    let (begin, cpu, mut xid) = (Instant::now(), cpu_us(), 0);
    while begin.elapsed() < run {
        for client in &clients {
            xid += 1;
            let now = jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(i64::from(xid));
            let begin = Instant::now();
            let session = engine.session_for(client, xid, Stage::Discover, now);
            let decision = engine.allow_boot(&session, Stage::Discover, Network::default(), now).await;
            times.push(begin.elapsed().as_secs_f64() * 1e6);
            assert!(
                decision.verdict.allows()
                    && decision.handler == "script"
                    && session.client().hardware == client.hardware
            );
            session.advance(Progress::ScriptServed);
        }
    }
    (times, cpu_us() - cpu)
}

#[derive(Clone, Copy, PartialEq)]
enum Question {
    AllowBoot,
    BootImages,
    Both,
}

fn site(source: &str) -> (tempfile::TempDir, ScriptHandler) {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let mut table = "mac,name,role,owner\n".to_owned();
    for n in 0..ROWS {
        let role = if n.is_multiple_of(3) { "install" } else { "office" };
        writeln!(
            table,
            "52-54-00-{:02X}-{:02X}-{:02X},pc-{n:05},{role},team-{}",
            n >> 16,
            n >> 8 & 255,
            n & 255,
            n % 40
        )
        .expect("a String takes text");
    }
    std::fs::write(folder.path().join("machines.csv"), table).expect("the table is written");
    std::fs::write(folder.path().join("site.rhai"), source).expect("the script is written");
    let config = ScriptConfig {
        name: "script".to_owned(),
        allow_boot: folder.path().join("site.rhai"),
        boot_images: folder.path().join("site.rhai"),
        scripts_dir: folder.path().to_owned(),
        data_dir: folder.path().to_owned(),
        time_zone: jiff::tz::TimeZone::UTC,
        queries: Arc::default(),
        reach: pointsman::handlers::script::Reach::default(),
        limits: Limits::default(),
    };
    let begin = Instant::now();
    let handler = ScriptHandler::load(&config).unwrap_or_else(|errors| panic!("{errors}"));
    println!("  loaded in {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    (folder, handler)
}

/// Processor time of this thread in microseconds: the rate is counted by it, so that other load does not matter.
fn cpu_us() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells the time of a thread");
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).expect("a number comes first") / 1e3
}

/// Microseconds of each decision by the clock, and processor time of all.
async fn measure(handler: &ScriptHandler, question: Question) -> (Vec<f64>, f64) {
    let requests: Vec<BootRequest> = (0..ROWS).map(request).collect();
    let mut times = Vec::new();
    let (begin, cpu) = (Instant::now(), cpu_us());
    while begin.elapsed() < RUN {
        for request in &requests {
            let begin = Instant::now();
            if question != Question::BootImages {
                assert!(matches!(handler.allow_boot(request).await, Ok(Answer::Given(verdict)) if verdict.allows()));
            }
            if question != Question::AllowBoot {
                assert!(matches!(handler.boot_images(request).await, Ok(Answer::Given(_))));
            }
            times.push(begin.elapsed().as_secs_f64() * 1e6);
        }
    }
    (times, cpu_us() - cpu)
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
    BootRequest {
        session: SessionId([0, 0, 0, a, b, c]),
        stage: Stage::Http,
        client,
        network: Network::default(),
        machine,
        record: None,
        identity: std::sync::Arc::default(),
        person: None,
        now: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn report(name: &str, (mut times, cpu): (Vec<f64>, f64)) {
    let mean = cpu / times.len() as f64;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "  {name:<42} {:>9.0}/s  {mean:>5.1} us of CPU  p50 {:>5.1}  p99 {:>5.1}  p99.9 {:>6.1}",
        1e6 / mean,
        at(0.5),
        at(0.99),
        at(0.999)
    );
}
