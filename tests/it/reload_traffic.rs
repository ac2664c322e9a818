//! Rules that change while machines boot: nobody is left without an answer, and nobody gets half of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pointsman::boot::Architecture;
use pointsman::config::Config;
use pointsman::simulate::{Ending, Installer, Machine, Report, Server, Unwatched, boot};
use pointsman::site::{Purpose, Running, Site as Loaded};
use uuid::Uuid;

use crate::harness::{Daemon, Site, printed};

/// Machines that boot at a time.
const MACHINES: u16 = 6;
/// How often the rules change.
const CHANGES: u32 = 12;

/// Rules in two files and a module; each says which set it is of.
fn write_rules(site: &Site, folder: &str, version: u32) {
    site.write(
        &format!("{folder}/allow_boot.rhai"),
        &format!("import \"version\" as v;\nfn allow_boot(request) {{ if v::of() == {version} {{ allow() }} else {{ deny(\"mixed\") }} }}\n"),
    );
    site.write(
        &format!("{folder}/boot_images.rhai"),
        &format!(
            "import \"version\" as v;\nfn boot_images(request) {{ linux(#{{ id: \"d\", kernel: \"debian/linux\", \
             cmdline: `images={version} module=${{v::of()}}` }}) }}\n"
        ),
    );
    site.write(&format!("{folder}/version.rhai"), &format!("fn of() {{ {version} }}\n"));
}

fn site() -> Site {
    let site = Site::new();
    for name in ["allow_boot.cases.toml", "boot_images.cases.toml"] {
        std::fs::remove_file(site.path("scripts").join(name)).unwrap();
    }
    write_rules(&site, "scripts", 0);
    site
}

fn succeed(site: &Site, arguments: &[&str]) {
    let output = site.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
}

/// New sets in one step, edits of one file, and broken files between them.
fn change(site: &Site) {
    for version in 1..=CHANGES {
        if !site.path("scripts.next").exists() {
            succeed(site, &["scripts", "stage"]);
        }
        write_rules(site, "scripts.next", version);
        succeed(site, &["scripts", "promote"]);
        // As long as a server needs to notice, and a little less or more.
        std::thread::sleep(Duration::from_millis(150 + u64::from(version % 4) * 70));
        if version % 3 == 0 {
            site.edit("scripts/version.rhai", |text| format!("// edited\n{text}"));
        }
        if version % 4 == 0 {
            site.write("scripts/boot_images.rhai", "fn boot_images(request { }\n");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

fn machine(number: u16, round: u16) -> Machine {
    let [high, low] = round.to_be_bytes();
    let mac = [0x52, 0x54, 0, number as u8, high, low];
    Machine {
        mac: mac.into(),
        uuid: Uuid::from_u128(u128::from(number) << 16 | u128::from(round) | 1 << 80),
        architecture: if number.is_multiple_of(2) { Architecture::X64_UEFI } else { Architecture::X86_BIOS },
        facts: Vec::new(),
        ipxe_rom: number.is_multiple_of(3),
        params: true,
        https: false,
        pick: None,
        keys: Vec::new(),
        typed: Default::default(),
        installer: Installer::Silent,
    }
}

/// The packets that a boot sent, if none was sent twice.
fn packets(report: &Report) -> u64 {
    report.steps.iter().filter(|step| step.what.contains("-> OFFER") || step.what.contains("-> ACK")).count() as u64
}

fn versions(script: &str) -> (Option<u32>, Option<u32>) {
    let of = |name: &str| {
        let rest = script.split_once(name)?.1;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    (of("images="), of("module="))
}

fn counted(daemon: &Daemon, outcome: &str) -> u64 {
    let start = format!("pointsman_dhcp_packets_total{{outcome=\"{outcome}\"}} ");
    let page = daemon.get("/metrics");
    page.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse().unwrap())
}

#[test]
fn rules_that_change_lose_no_question_and_mix_no_answer() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let site = Arc::new(site());
    let daemon = site.serve();
    let server = Server {
        address: [127, 0, 0, 1].into(),
        dhcp_port: daemon.port("dhcp"),
        boot_server_port: daemon.port("boot_server"),
        tftp_port: daemon.port("tftp"),
        ca: None,
    };
    let is_over = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reports: Vec<Report> = runtime.block_on(async {
        let changing = {
            let (site, is_over) = (Arc::clone(&site), Arc::clone(&is_over));
            tokio::task::spawn_blocking(move || {
                change(&site);
                is_over.store(true, Ordering::SeqCst);
            })
        };
        let machines = (0..MACHINES).map(|number| {
            let (server, is_over) = (server.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let (mut reports, mut round) = (Vec::new(), 0);
                while !is_over.load(Ordering::SeqCst) {
                    round += 1;
                    let report = boot(&machine(number, round), &server, Arc::new(Unwatched)).await;
                    reports.push(report.unwrap_or_else(|failure| panic!("{failure}: {:#?}", failure.report.steps)));
                }
                reports
            })
        });
        let mut reports = Vec::new();
        for machine in machines.collect::<Vec<_>>() {
            reports.extend(machine.await.unwrap());
        }
        changing.await.unwrap();
        reports
    });
    let mut seen = std::collections::BTreeSet::new();
    for report in &reports {
        assert_eq!(report.ending, Ending::Booted, "{:#?}", report.steps);
        let (images, module) = versions(&report.script);
        assert!(images.is_some() && images == module, "half of two sets: {}", report.script);
        seen.extend(images);
    }
    assert!(seen.len() > 4, "of {} boots all were decided by {seen:?}", reports.len());
    // Whoever was not answered asked again, and is counted twice.
    let sent: u64 = reports.iter().map(packets).sum();
    let (received, answered) = (counted(&daemon, "received"), counted(&daemon, "offer") + counted(&daemon, "ack"));
    assert_eq!((received, answered), (sent, sent), "{} boots", reports.len());
    let page = daemon.get("/metrics");
    assert!(page.contains("pointsman_reloads_total{reason=\"refused\"}"), "no broken set was read: {page}");
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let links = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let watching = links.filter(|link| link.to_string_lossy().contains("inotify")).count();
    assert!(watching <= 2, "{watching} watches for one folder");
}

/// Resident memory of this process, in octets.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn two_hundred_reloads_need_no_more_memory_than_fifty() {
    let folder = site();
    let rows: String = (0..2_000).map(|n| format!("52:54:00:00:{:02x}:{:02x},pc-{n}\n", n >> 8, n & 255)).collect();
    folder.write("data/machines.csv", &format!("mac,name\n{rows}"));
    succeed(&folder, &["scripts", "stage"]);
    let config = Config::read(&folder.path("pointsman.toml")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let mut site = Loaded::load(config.clone(), Purpose::Serve).unwrap();
    let engine = site.private_engine().unwrap();
    let mut after_fifty = 0;
    for reload in 1..=200 {
        let Loaded { databases, upstreams, images, rollouts, .. } = &site;
        let before = Running { databases, upstreams, images, rollouts };
        let next = Loaded::load_again(config.clone(), Purpose::Serve, Some(before)).unwrap();
        site = next;
        engine.replace(site.world());
        if reload == 50 {
            after_fifty = resident();
        }
    }
    // Each set has half a megabyte of rows, and two engines.
    let grown = resident().saturating_sub(after_fifty);
    assert!(grown < 24 << 20, "{} MiB more", grown >> 20);
}
