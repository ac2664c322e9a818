//! The history of boots from outside: what is written, and what a store that is gone costs.

use std::time::{Duration, Instant};

use pointsman::boot::HardwareAddress;
use pointsman::database::Database;
use pointsman::store::{BootEntry, BootFilter, Store};

use crate::harness::{Daemon, PATIENCE, Site};
use crate::servers::Postgres;

const ALLOW: &str = "fn allow_boot(request) { if request.mac.ends_with(\"66\") { ignore(\"not ours\") } else { allow() } }\n\
                     fn boot_images(request) { linux(#{ id: \"d\", title: \"d\", kernel: \"debian/linux\", cmdline: \"tell={done_url}\" }) }";

/// Waits until a page of the server has this line.
fn shows(daemon: &Daemon, page: &str, line: &str) {
    let since = Instant::now();
    loop {
        let text = daemon.get(page);
        if text.lines().any(|shown| shown == line) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "no `{line}` in {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn records(outcome: &str, count: usize) -> String {
    format!("pointsman_history_records_total{{outcome=\"{outcome}\"}} {count}")
}

/// The only boot of this adapter in the store of the site, with what happened in it.
fn boot_of(site: &Site, mac: [u8; 6]) -> BootEntry {
    let store = Store::on(Database::sqlite("store", &site.path("state/pointsman.db"))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let filter = BootFilter { mac: Some(HardwareAddress::from(mac)), limit: 10, ..BootFilter::default() };
        let boots = store.boots(filter).await.unwrap();
        let [boot] = &boots[..] else { panic!("{boots:#?}") };
        store.boot(boot.session).await.unwrap().unwrap()
    })
}

#[test]
fn a_boot_is_in_the_store_from_its_first_packet_to_the_installer_s_last_word() {
    let site = Site::with_rules(ALLOW);
    let daemon = site.serve();
    daemon.boot(&["--mac", "52:54:00:00:00:01", "--fact", "serial=X1", "--done"]);
    daemon.simulate(&["--mac", "52:54:00:00:00:66"]);
    assert_eq!(daemon.stop(), Some(0), "what is left is written at the end");
    let ignored = boot_of(&site, [0x52, 0x54, 0, 0, 0, 0x66]);
    let columns = [&ignored.verdict, &ignored.reason, &ignored.result, &ignored.images].map(Option::as_deref);
    assert_eq!(columns, [Some("ignore"), Some("not ours"), Some("ignore"), None]);
    let boot = boot_of(&site, [0x52, 0x54, 0, 0, 0, 1]);
    let columns = [&boot.verdict, &boot.images, &boot.result, &boot.arch, &boot.handler].map(Option::as_deref);
    assert_eq!(columns, [Some("allow"), Some("d"), Some("done"), Some("x64-uefi"), Some("script")]);
    let happened = |name: &str, detail: &str| {
        boot.events.iter().any(|event| event.name == name && event.detail.starts_with(detail))
    };
    for (name, detail) in [
        ("allow_boot", "script answered: allow"),
        ("sent", "snponly.efi; 100000 octets"),
        ("boot_images", "script answered: d"),
        ("offered", "d"),
        ("sent", "debian/linux; 100000 octets"),
        ("done", ""),
    ] {
        assert!(happened(name, detail), "no {name} {detail} in {:#?}", boot.events);
    }
    assert!(boot.facts.as_ref().unwrap().contains(r#""serial":"X1""#), "{boot:#?}");
}

#[test]
fn servers_history_waits_for_a_store_that_is_gone_and_nobody_waits_for_it() {
    let mut database = Postgres::start();
    let site = Site::with_rules(ALLOW);
    site.edit("pointsman.toml", |text| {
        let text = text.replacen("# database = \"main\"", "database = \"main\"", 1);
        format!("{text}\n[database.main]\nurl = \"{}\"\n", database.url())
    });
    let daemon = site.serve();
    assert!(daemon.get("/readyz").ends_with("ready\nmain: untried\n"), "{}", daemon.get("/readyz"));
    daemon.boot(&["--mac", "52:54:00:00:00:01"]);
    shows(&daemon, "/readyz", "main: up");
    let usual = {
        let since = Instant::now();
        daemon.boot(&["--mac", "52:54:00:00:00:02"]);
        since.elapsed()
    };
    let count = |outcome: &str| {
        let text = daemon.get("/metrics");
        let start = records(outcome, 0).trim_end_matches('0').to_owned();
        text.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse::<usize>().unwrap())
    };
    database.kill();
    for number in 3..8 {
        let since = Instant::now();
        daemon.boot(&["--mac", &format!("52:54:00:00:00:{number:02}"), "--done"]);
        assert!(since.elapsed() < usual + Duration::from_secs(2), "{:?}, else {usual:?}", since.elapsed());
    }
    shows(&daemon, "/metrics", "pointsman_database_up{database=\"main\"} 0");
    let page = daemon.get("/readyz");
    assert!(page.starts_with("HTTP/1.1 503") && page.contains("not ready\nmain: down since 20"), "{page}");
    assert!(daemon.get("/healthz").starts_with("HTTP/1.1 200"));
    let written = count("written");
    database.start_again();
    let since = Instant::now();
    while count("written") < written + 5 * 4 {
        assert!(since.elapsed() < PATIENCE, "{}", daemon.get("/metrics"));
        std::thread::sleep(Duration::from_millis(20));
    }
    shows(&daemon, "/readyz", "main: up");
    assert!(daemon.get("/readyz").starts_with("HTTP/1.1 200"));
    assert_eq!((count("dropped_queue_full"), count("dropped_refused")), (0, 0));
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(database.run("SELECT COUNT(*) FROM boot WHERE images = 'd'"), "7\n");
    assert_eq!(database.run("SELECT COUNT(*) FROM boot WHERE result = 'done'"), "5\n");
}
