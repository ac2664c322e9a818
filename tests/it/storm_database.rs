//! Eight in the morning, and the database dies in the middle of it: every machine is installed once, none twice.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman::boot::Architecture;
use pointsman::simulate::{Ending, Installer, Machine, Server, Unwatched, boot};
use serde_json::Value;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::assignments::{ask_the_store, run};
use crate::harness::{Daemon, PATIENCE, Site};
use crate::servers::Postgres;

/// How many machines; the note of a release has figures of a thousand.
fn machines() -> u16 {
    std::env::var("POINTSMAN_STORM_MACHINES").map_or(100, |count| count.parse().unwrap())
}

fn name(number: u16) -> String {
    format!("pc-{number:04}")
}

fn machine(number: u16) -> Machine {
    let [high, low] = number.to_be_bytes();
    Machine {
        mac: [0x52, 0x54, 0, 8, high, low].into(),
        uuid: Uuid::from_u128(0x4000_8000_0000_0000_0000 | u128::from(number)),
        architecture: Architecture::X86_BIOS,
        facts: Vec::new(),
        ipxe_rom: true,
        params: true,
        https: false,
        pick: None,
        keys: Vec::new(),
        typed: Default::default(),
        installer: Installer::Silent,
    }
}

/// A site on this database whose machines are all to be installed once.
fn site(database: &Postgres) -> Site {
    let site = Site::new();
    ask_the_store(&site, "");
    site.configure("store", "database = \"main\"\n");
    site.edit("pointsman.toml", |text| format!("{text}\n[database.main]\nurl = \"{}\"\n", database.url()));
    let mut table = String::from("name,mac,groups\n");
    for number in 0..machines() {
        let _ = writeln!(table, "{},{},house", name(number), machine(number).mac);
    }
    site.write("machines.csv", &table);
    run(&site, &["machine", "import", site.path("machines.csv").to_str().unwrap()]);
    run(&site, &["image", "add", "debian", "--kind", "linux", "--kernel", "debian/linux"]);
    run(&site, &["assign", "group:house", "debian", "--mandatory", "--countdown", "0"]);
    site
}

/// Boots these machines at once; who was installed.
async fn boot_all(daemon: &Daemon, numbers: Vec<u16>) -> Vec<u16> {
    let server = Server {
        address: [127, 0, 0, 1].into(),
        dhcp_port: daemon.port("dhcp"),
        boot_server_port: daemon.port("boot_server"),
        tftp_port: daemon.port("tftp"),
        ca: None,
    };
    let mut boots = JoinSet::new();
    for number in numbers {
        let server = server.clone();
        boots.spawn(async move {
            // A boot that breaks off is a machine that is switched on again.
            let report = boot(&machine(number), &server, Arc::new(Unwatched)).await;
            report.is_ok_and(|report| report.ending == Ending::Booted).then_some(number)
        });
    }
    boots.join_all().await.into_iter().flatten().collect()
}

#[test]
fn servers_that_die_at_eight_cost_nobody_an_installation_and_give_nobody_two() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut database = Postgres::start();
    let site = site(&database);
    let daemon = site.serve();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let since = Instant::now();
    let mut installed: BTreeMap<u16, u32> = (0..machines()).map(|number| (number, 0)).collect();
    let count = |installed: &mut BTreeMap<u16, u32>, booted: Vec<u16>| {
        for number in booted {
            *installed.entry(number).or_default() += 1;
        }
    };
    // The first rush, with a database that dies as soon as somebody is installed.
    // It is started by this thread: a server of a test ends with the thread that started it.
    let booted = std::thread::scope(|scope| {
        let numbers = installed.keys().copied().collect();
        let rush = scope.spawn(|| runtime.block_on(boot_all(&daemon, numbers)));
        wait_for_a_start(&site.config());
        database.kill();
        std::thread::sleep(Duration::from_secs(2));
        database.start_again();
        rush.join().unwrap()
    });
    let in_the_rush = booted.len();
    count(&mut installed, booted);
    // Whoever got nothing is switched on again; at last everybody is, and an installed machine starts from its disk.
    loop {
        assert!(since.elapsed() < 4 * PATIENCE, "still not installed: {installed:?}");
        let waiting: Vec<_> = installed.iter().filter(|(_, times)| **times == 0).map(|(number, _)| *number).collect();
        let is_last = waiting.is_empty();
        let again = if is_last { installed.keys().copied().collect() } else { waiting };
        let booted = runtime.block_on(boot_all(&daemon, again));
        count(&mut installed, booted);
        if is_last {
            break;
        }
    }
    let twice: Vec<_> = installed.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "installed more than once: {twice:?}");
    let list: Vec<Value> = serde_json::from_str(&run(&site, &["assignments", "--json", "--limit", "5000"])).unwrap();
    assert!(list.iter().all(|row| row["state"] == "started") && list.len() == usize::from(machines()), "{list:#?}");
    println!(
        "{} machines, {in_the_rush} of them installed in the rush with the outage, all after {:.1} s",
        machines(),
        since.elapsed().as_secs_f64()
    );
}

fn wait_for_a_start(config: &str) {
    let since = Instant::now();
    loop {
        let output = crate::harness::pointsman(&["--config", config, "assignments", "--state", "started", "--json"]);
        if output.stdout.windows(9).any(|word| word == b"\"started\"") {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "nobody starts");
    }
}
