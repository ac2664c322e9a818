//! Assignments from outside: the commands, the daemon and simulated machines, on the store that needs no setup.

use serde_json::Value;

use crate::harness::{Daemon, PATIENCE, Site, printed};

/// A site that asks its store, with a machine and an image in it.
pub(crate) fn site() -> Site {
    let site = Site::new();
    ask_the_store(&site, "");
    fill(&site);
    site
}

/// Puts the store before the scripts, which then decide for nobody that it knows.
pub(crate) fn ask_the_store(site: &Site, keys: &str) {
    site.edit("pointsman.toml", |text| {
        text.replacen(
            "[[handler]]\nkind = \"script\"",
            &format!("[[handler]]\nkind = \"sql\"\n{keys}\n[[handler]]\nkind = \"script\""),
            1,
        )
    });
}

/// A machine and an image.
pub(crate) fn fill(site: &Site) {
    run(site, &["machine", "add", "lab-07", "--mac", "52:54:00:00:00:07"]);
    run(
        site,
        &[
            "image",
            "add",
            "debian",
            "--kind",
            "linux",
            "--kernel",
            "debian/linux",
            "--initrd",
            "debian/initrd.gz",
            "--cmdline",
            "report={done_url}",
            "--title",
            "Debian 12",
        ],
    );
}

/// A command that must succeed; what it printed.
pub(crate) fn run(site: &Site, arguments: &[&str]) -> String {
    let output = site.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    printed(&output)
}

/// The state of the only assignment.
pub(crate) fn state(site: &Site) -> String {
    let list: Value = serde_json::from_str(&run(site, &["assignments", "--all", "--json"])).unwrap();
    list[0]["state"].as_str().unwrap_or_else(|| panic!("{list:#}")).to_owned()
}

/// The boots of the machine, once there are this many: they are written down in the background.
pub(crate) fn boots(site: &Site, count: usize) -> Vec<Value> {
    let since = std::time::Instant::now();
    loop {
        let list: Vec<Value> = serde_json::from_str(&run(site, &["history", "lab-07", "--json"])).unwrap();
        if list.len() >= count {
            return list;
        }
        assert!(since.elapsed() < PATIENCE, "{list:#?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

pub(crate) const MACHINE: [&str; 6] = ["--mac", "52:54:00:00:00:07", "--fact", "serial=X7", "--arch", "x86-bios"];

pub(crate) fn ending(daemon: &Daemon) -> Value {
    daemon.boot(&MACHINE)["ending"].clone()
}

#[test]
fn an_assigned_image_boots_once_and_then_the_disk() {
    let site = site();
    let daemon = site.serve();
    assert_eq!(ending(&daemon), "local_disk", "nothing is assigned yet");
    run(&site, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"]);
    assert_eq!(state(&site), "assigned");
    let report = daemon.boot(&MACHINE);
    assert_eq!(report["ending"], "booted", "{report:#}");
    assert_eq!(state(&site), "started");
    assert_eq!(ending(&daemon), "local_disk", "it is spent");
    assert_eq!(state(&site), "started");
}

#[test]
fn the_server_s_restart_in_between_changes_nothing() {
    let site = site();
    run(&site, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"]);
    let daemon = site.serve();
    assert_eq!(ending(&daemon), "booted");
    assert_eq!(daemon.stop(), Some(0));
    let daemon = site.serve();
    assert_eq!(ending(&daemon), "local_disk");
}

#[test]
fn an_available_image_waits_for_somebody_to_pick_it() {
    let site = site();
    run(&site, &["assign", "lab-07", "debian"]);
    let daemon = site.serve();
    assert_eq!(ending(&daemon), "local_disk", "the menu's default is the disk");
    assert_eq!(state(&site), "offered");
    let report = daemon.boot(&[&MACHINE[..], &["--pick", "debian"]].concat());
    assert_eq!(report["ending"], "booted", "{report:#}");
    assert_eq!(state(&site), "started");
}

#[test]
fn until_the_installer_is_done_it_boots_again_but_not_for_ever() {
    let site = site();
    run(&site, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0", "--spent-by", "done"]);
    let daemon = site.serve();
    for _ in 0..3 {
        assert_eq!(ending(&daemon), "booted");
    }
    // The fourth boot within the window is one too many.
    let report = daemon.boot(&MACHINE);
    assert_eq!(report["ending"], "local_disk", "{report:#}");
    assert!(report["screen"].to_string().contains("3"), "the screen says why: {report:#}");
    assert_eq!(state(&site), "failed");
    assert_eq!(ending(&daemon), "local_disk");
}

#[test]
fn the_installer_says_that_it_is_done() {
    let site = site();
    run(&site, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0", "--spent-by", "done"]);
    let daemon = site.serve();
    let report = daemon.boot(&[&MACHINE[..], &["--done"]].concat());
    assert_eq!(report["ending"], "booted", "{report:#}");
    assert_eq!(state(&site), "done");
    assert_eq!(ending(&daemon), "local_disk");
    let boots = boots(&site, 2);
    let told: Vec<_> = boots.iter().map(|boot| (&boot["images"], &boot["machine"])).collect();
    assert!(told.contains(&(&"debian".into(), &"lab-07".into())), "{boots:#?}");
}

#[test]
fn a_dry_run_spends_nothing() {
    let site = site();
    run(&site, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0", "--spent-by", "script"]);
    for _ in 0..5 {
        let said = run(&site, &["decide", "--mac", "52:54:00:00:00:07"]);
        assert!(said.contains("debian (linux): Debian 12"), "{said}");
    }
    assert_eq!(state(&site), "assigned");
    let daemon = site.serve();
    assert_eq!(ending(&daemon), "booted");
    assert_eq!(ending(&daemon), "local_disk");
}

#[test]
fn an_image_that_cannot_be_loaded_is_not_spent() {
    let site = site();
    run(&site, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"]);
    std::fs::rename(site.path("images/debian/linux"), site.path("images/debian/away")).unwrap();
    let daemon = site.serve();
    let output = daemon.simulate(&MACHINE);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert_eq!(state(&site), "offered");
    std::fs::rename(site.path("images/debian/away"), site.path("images/debian/linux")).unwrap();
    assert_eq!(ending(&daemon), "booted");
    assert_eq!(ending(&daemon), "local_disk");
}

#[test]
fn two_machines_that_could_be_each_other_are_told_so() {
    let site = site();
    run(&site, &["machine", "add", "lab-08", "--uuid", "00000000-0000-4000-8000-525400000007"]);
    run(&site, &["assign", "lab-07", "debian", "--mandatory", "--countdown", "0"]);
    let daemon = site.serve();
    let report = daemon.boot(&[&MACHINE[..], &["--uuid", "00000000-0000-4000-8000-525400000007"]].concat());
    assert_eq!(report["ending"], "local_disk", "{report:#}");
    let screen = report["screen"].to_string();
    assert!(screen.contains("lab-07") && screen.contains("lab-08"), "{screen}");
    daemon.wait_for_log(|line| line.to_string().contains("ambiguous"));
    assert_eq!(state(&site), "assigned");
}
