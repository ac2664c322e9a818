//! Two servers on one PostgreSQL: the same answers, one of them killed in the middle of a boot, the database too.

use serde_json::Value;

use crate::assignments::{MACHINE, ask_the_store, boots, ending, fill, run, state};
use crate::harness::{Daemon, Site};
use crate::servers::Postgres;

/// Two sites that share a database and the key of the tokens.
fn pair(database: &Postgres) -> (Site, Site) {
    let sites = (Site::new(), Site::new());
    for site in [&sites.0, &sites.1] {
        ask_the_store(site, "");
        site.configure("store", "database = \"main\"\n");
        site.edit("pointsman.toml", |text| format!("{text}\n[database.main]\nurl = \"{}\"\n", database.url()));
    }
    std::fs::create_dir_all(sites.1.path("state")).unwrap();
    drop(sites.0.serve());
    std::fs::copy(sites.0.path("state/token.key"), sites.1.path("state/token.key")).unwrap();
    fill(&sites.0);
    sites
}

/// The last script that a boot was given, without what differs by server and session.
fn script(report: &Value) -> String {
    let text = report["script"].as_str().unwrap();
    text.split_inclusive(' ').filter(|word| !word.contains("://")).collect()
}

#[test]
fn servers_answer_alike_and_an_assignment_is_done_once() {
    let database = Postgres::start();
    let (one, other) = pair(&database);
    let daemons = (one.serve(), other.serve());
    run(&other, &["assign", "lab-07", "debian", "--always"]);
    let scripts = [&daemons.0, &daemons.1].map(|daemon| script(&daemon.boot(&MACHINE)));
    assert_eq!(scripts[0], scripts[1]);
    assert!(scripts[0].contains("Debian 12"), "{}", scripts[0]);
    run(&one, &["unassign", "lab-07"]);
    run(&one, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"]);
    assert_eq!(ending(&daemons.1), "booted");
    assert_eq!(ending(&daemons.0), "local_disk", "the other one spent it");
}

#[test]
fn servers_stand_in_for_each_other_in_the_middle_of_a_boot() {
    let database = Postgres::start();
    let (one, other) = pair(&database);
    let (first, second) = (one.serve(), other.serve());
    run(&one, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0", "--spent-by", "done"]);
    let report = first.boot(&MACHINE);
    assert_eq!(report["ending"], "booted", "{report:#}");
    let done = done_path(&report);
    // The history is written in the background; a killed server loses the last quarter of a second of it.
    boots(&one, 1);
    drop(first); // SIGKILL
    // The installer's report comes to the address of the other server.
    let answer = second.get(&done);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(state(&other), "done");
    assert_eq!(ending(&second), "local_disk");
    assert_eq!(boots(&other, 2).len(), 2, "the history of both servers is in one place");
}

#[test]
fn servers_go_on_when_their_database_is_killed_and_nobody_is_reinstalled() {
    let mut database = Postgres::start();
    let (one, _other) = pair(&database);
    run(&one, &["machine", "add", "lab-08", "--mac", "52:54:00:00:00:08"]);
    run(&one, &["assign", "lab-08", "debian", "--always", "--mandatory", "--countdown", "0"]);
    run(&one, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"]);
    let daemon = one.serve();
    let thin_client = ["--mac", "52:54:00:00:00:08"];
    assert_eq!(daemon.boot(&thin_client)["ending"], "booted");
    // What boots from memory is seen once before the database goes.
    run(&one, &["decide", "--mac", "52:54:00:00:00:07"]);
    assert_eq!(ending(&daemon), "booted");
    run(&one, &["unassign", "lab-07"]);
    run(&one, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"]);
    database.kill();
    assert_eq!(daemon.boot(&thin_client)["ending"], "booted", "the last answer stands in");
    let report = daemon.boot(&MACHINE);
    assert_ne!(report["ending"], "booted", "a lost database never turns into a reinstall: {report:#}");
    assert!(daemon.get("/readyz").starts_with("HTTP/1.1 503"), "{}", daemon.get("/readyz"));
    database.start_again();
    wait_until_ready(&daemon);
    assert_eq!(ending(&daemon), "booted", "and the assignment was not lost");
    assert_eq!(ending(&daemon), "local_disk");
}

fn wait_until_ready(daemon: &Daemon) {
    let since = std::time::Instant::now();
    while !daemon.get("/readyz").starts_with("HTTP/1.1 200") {
        assert!(since.elapsed() < crate::harness::PATIENCE, "{}", daemon.get("/readyz"));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// The path of the installer's report, from the kernel's command line.
fn done_path(report: &Value) -> String {
    let script = report["script"].as_str().unwrap();
    let url =
        script.split_whitespace().find_map(|word| word.strip_prefix("report=")).unwrap_or_else(|| panic!("{script}"));
    let path = url.splitn(4, '/').nth(3).unwrap();
    format!("/{path}")
}
