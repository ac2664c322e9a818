//! Machines at a small site without images that leans on an upstream server: asked, handed over, and killed at the
//! worst moments.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::assets::{BOOTED, COMMAND_LINE};
use crate::lab::{BOOT_LIMIT, Lab};
use crate::machine::{Firmware, Plan};
use crate::network::{UPSTREAM_ON_LAN, UPSTREAM_ON_WAN, WAN};
use crate::server::{Prepared, Rules, ServerUnderTest, Site};
use crate::wan::Link;
use crate::{ALLOW_ALL, ONE_LINUX};

/// What goes over the WAN for a boot whose files are at the site already: questions, answers, handshakes.
const WORDS_MAX: u64 = 200_000;

/// What a machine loads.
const FILES: [&str; 2] = ["lab/vmlinuz", "lab/initramfs.gz"];

/// The upstream server with its API on the WAN, and the site enrolled at it and not yet served.
fn enrolled(lab: &mut Lab, rules: &Rules) -> (ServerUnderTest, Prepared) {
    lab.network.join_upstream_by_wan();
    enrolled_over(lab, rules)
}

/// The same over a WAN that is there.
fn enrolled_over(lab: &mut Lab, rules: &Rules) -> (ServerUnderTest, Prepared) {
    let mut upstream = Site::new(ALLOW_ALL, ONE_LINUX);
    upstream.interface = WAN;
    upstream.more = "[dhcp]\nenabled = false\n[tftp]\nenabled = false\n[api]\nenabled = true\n".into();
    let prepared = lab.prepare("upstream", &upstream);
    let upstream = lab.start(prepared);
    let url = format!("https://{UPSTREAM_ON_WAN}:4443");
    let Rules::Referral(keys) = rules else { panic!("a site of this kind refers") };
    let mut site = Site::by(Rules::Referral(keys));
    // Asked about each time, so that it shows whether the site can do without.
    site.more = format!("[upstream.main]\nurl = {url:?}\n[cache]\nfresh_for = \"1s\"\n");
    let site = lab.prepare("boot", &site);
    let added = upstream.command(&["site", "add", "lab"]);
    let token = added.split_whitespace().find(|word| word.starts_with("pm1."));
    let token = token.unwrap_or_else(|| panic!("no token in {added:?}"));
    site.command(&lab.network, &["site", "enroll", "main", &url, "--token", token]);
    (upstream, site)
}

/// Files that a server sent, to machines or sites.
fn sent(server: &ServerUnderTest, file: &str) -> Vec<Value> {
    let is_it = |entry: &Value| {
        let text = |key| entry[key].as_str().unwrap_or_default();
        text("message").starts_with("file sent") && text("file").ends_with(file)
    };
    server.files_sent().into_iter().filter(is_it).collect()
}

/// The length of a file that the server sent.
fn octets(lab: &Lab, server: &ServerUnderTest, file: &str) -> u64 {
    let entries = sent(server, file);
    let length = entries.first().and_then(|entry| entry["octets"].as_u64());
    length.unwrap_or_else(|| panic!("{file} was not sent\n{}", lab.tails()))
}

/// Switches the machine on and sees the upstream's Linux start; what its console said.
fn boots(lab: &mut Lab, plan: &Plan) -> String {
    let machine = lab.power_on(plan);
    lab.see(&machine, BOOTED, BOOT_LIMIT);
    let line = lab.see_line(&machine, COMMAND_LINE, BOOT_LIMIT);
    assert!(line.contains(&format!("lab.mac={}", plan.mac)), "{line}\n{}", lab.tails());
    machine.console.text()
}

#[test]
fn a_uefi_machine_boots_what_the_upstream_says_with_a_cold_and_a_warm_cache_and_without_it() {
    let Some(mut lab) = Lab::open("uefi-ask") else { return };
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:10", "aa000000-0000-4000-8000-000000000010");
    let (upstream, site) = enrolled(&mut lab, &Rules::Referral("on_error = \"last_known\""));
    let server = lab.start(site);
    boots(&mut lab, &plan);
    let images: u64 = FILES.iter().map(|file| octets(&lab, &server, file)).sum();
    let cold = lab.network.octets_over_wan();
    assert!(cold > images && cold < images + images / 4 + WORDS_MAX, "{cold} octets for {images} of images");
    let first = lab.decision(&server, &[("mac", plan.mac), ("question", "boot_images"), ("verdict", "allow")]);
    assert_eq!(first["handler"], "referral", "{first}");
    boots(&mut lab, &plan);
    let warm = lab.network.octets_over_wan() - cold;
    assert!(warm < WORDS_MAX, "{warm} octets although the cache has the files\n{}", lab.tails());
    drop(upstream);
    let console = boots(&mut lab, &plan);
    assert!(console.contains("main"), "the screen says who is silent\n{}", lab.tails());
}

#[test]
fn a_bios_machine_boots_when_the_upstream_is_killed_between_dhcp_and_http() {
    let Some(mut lab) = Lab::open("bios-ask-killed") else { return };
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:11", "aa000000-0000-4000-8000-000000000011");
    let (upstream, site) = enrolled(&mut lab, &Rules::Referral("on_error = \"last_known\""));
    let server = lab.start(site);
    boots(&mut lab, &plan);
    let first = lab.decision(&server, &[("mac", plan.mac), ("question", "allow_boot")]);
    let machine = lab.power_on(&plan);
    let is_next = |entry: &Value| entry["question"] == "allow_boot" && entry["session"] != first["session"];
    server.wait_for_decision(BOOT_LIMIT, is_next).expect("the machine asks again");
    drop(upstream);
    lab.see(&machine, BOOTED, BOOT_LIMIT);
}

#[test]
fn a_bios_machine_goes_on_when_the_upstream_is_back_after_it_was_killed_in_the_middle_of_an_image() {
    let Some(mut lab) = Lab::open("bios-ask-middle") else { return };
    let plan = Plan::new(Firmware::Bios, "52:54:00:aa:00:12", "aa000000-0000-4000-8000-000000000012");
    let (upstream, site) = enrolled(&mut lab, &Rules::Referral(""));
    let _server = lab.start(site);
    lab.network.limit_wan("8mbit");
    let machine = lab.power_on(&plan);
    let deadline = Instant::now() + BOOT_LIMIT;
    while lab.network.octets_over_wan() < 2_000_000 {
        assert!(Instant::now() < deadline, "nothing is loaded\n{}", lab.tails());
        std::thread::sleep(Duration::from_millis(50));
    }
    let upstream = upstream.kill();
    std::thread::sleep(Duration::from_secs(3));
    lab.network.limit_wan("400mbit");
    let _upstream = lab.start(upstream);
    lab.see(&machine, BOOTED, BOOT_LIMIT);
}

#[test]
fn a_uefi_machine_is_handed_over_to_the_upstream() {
    let Some(mut lab) = Lab::open("uefi-redirect") else { return };
    let plan = Plan::new(Firmware::UefiX64, "52:54:00:aa:00:13", "aa000000-0000-4000-8000-000000000013");
    lab.network.join_upstream_by_lan();
    let mut upstream = Site::new(ALLOW_ALL, ONE_LINUX);
    upstream.more = "[dhcp]\nenabled = false\n[http]\nentry = true\n".into();
    let prepared = lab.prepare("upstream", &upstream);
    let upstream = lab.start(prepared);
    let mut site = Site::by(Rules::Referral(""));
    site.more = format!("[upstream.main]\nstyle = \"redirect\"\nscript = \"http://{UPSTREAM_ON_LAN}/boot\"\n");
    let server = lab.serve(&site);
    boots(&mut lab, &plan);
    let there = lab.decision(&upstream, &[("mac", plan.mac), ("uuid", plan.uuid), ("question", "boot_images")]);
    assert_eq!((&there["handler"], &there["verdict"]), (&"script".into(), &"allow".into()), "{there}");
    assert_eq!(sent(&upstream, "lab/vmlinuz").len(), 1, "the upstream serves it\n{}", lab.tails());
    assert_eq!(sent(&server, "lab/vmlinuz").len(), 0, "the site does not\n{}", lab.tails());
}

#[test]
fn twenty_machines_at_a_far_site_share_one_download() {
    const MACHINES: usize = 20;
    let Some(mut lab) = Lab::open("far-site") else { return };
    // 80 ms there and back, 20 Mbit/s, 1 % lost.
    let _wan =
        lab.network.join_upstream_by_far_wan(Link { delay: Duration::from_millis(40), rate: 2_500_000, loss: 100 });
    let (upstream, site) = enrolled_over(&mut lab, &Rules::Referral(""));
    let server = lab.start(site);
    let started = Instant::now();
    let machines: Vec<_> = (0..MACHINES).map(|number| lab.network.simulate(number)).collect();
    for machine in machines {
        let output = machine.wait_with_output().expect("it was started");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("\"booted\""), "{said}\n{}", lab.tails());
    }
    let images: u64 = FILES.iter().map(|file| octets(&lab, &server, file)).sum();
    let loaded: usize = FILES.iter().map(|file| sent(&server, file).len()).sum();
    assert_eq!(loaded, MACHINES * FILES.len(), "each machine got each file");
    let fetched: usize = FILES.iter().map(|file| sent(&upstream, file).len()).sum();
    assert_eq!(fetched, FILES.len(), "the upstream sent each file once\n{}", lab.tails());
    let over_wan = lab.network.octets_over_wan();
    eprintln!(
        "{MACHINES} machines, {images} octets of images, {over_wan} over the WAN, {:.1} s",
        started.elapsed().as_secs_f32()
    );
    assert!(over_wan < images + images / 4 + MACHINES as u64 * WORDS_MAX, "{over_wan} octets for {images}");
}
