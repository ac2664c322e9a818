use std::collections::BTreeMap;

use super::super::State::{self, Fail, Ok, Skipped, Warn};
use super::super::probe6::RouterReport;
use super::super::tests::patient;
use super::*;
use crate::dhcp::offer::Taker;
use crate::dhcp::v6::selection::{Choice6, Step6};

const OWN: &str = "fd77::2";

fn answer(sender: &str, address: Option<&str>, url: Option<&str>) -> AnswerReport {
    AnswerReport {
        server_id: "00030001".into(),
        sender: sender.parse().unwrap(),
        after_ms: 3,
        preference: 0,
        address: address.map(|address| address.parse().unwrap()),
        refusal: None,
        url: url.map(str::to_owned),
        options: BTreeMap::new(),
        boot_server_url: None,
        faults: Vec::new(),
    }
}

fn ours() -> AnswerReport {
    answer("fe80::2", None, Some("tftp://[fd77::2]/b/…/snponly.efi"))
}

fn lease() -> AnswerReport {
    answer("fe80::1", Some("fd77::1be"), None)
}

fn report(answers: Vec<AnswerReport>) -> Report6 {
    let router = RouterReport {
        router: "fe80::1".parse().unwrap(),
        managed: true,
        other: true,
        lifetime_s: 1800,
        prefixes: vec!["fd77::/64".into()],
    };
    Report6 {
        interface: "eth0".into(),
        asked_as: Taker::Uefi,
        architecture: "x64-uefi".into(),
        question: "SOLICIT",
        own_address: OWN.parse().ok(),
        routers: Some(vec![router]),
        answers,
        choice: Choice6 { lease: None, boot: None, step: Step6::Fail { code: "PXE-E16" } },
        then: None,
        conflicts: Vec::new(),
    }
}

fn judged(report: &Report6) -> (Vec<State>, String) {
    let mut found = Found::default();
    judge("eth0", report, &[OWN.parse().unwrap()], &mut found);
    (found.states(), found.words())
}

#[test]
fn a_whole_network_is_well() {
    let (states, words) = judged(&report(vec![lease(), ours()]));
    assert_eq!(states, [Ok, Ok, Ok], "{words}");
}

#[test]
fn what_is_missing_is_told() {
    let mut bare = report(vec![ours()]);
    bare.routers = Some(Vec::new());
    let (states, words) = judged(&bare);
    assert!(states == [Fail, Ok] && words.contains("neither a router nor a DHCPv6 server"), "{words}");
    bare.answers.push(lease());
    assert_eq!(judged(&bare).0, [Warn, Ok, Ok], "no router");
    bare.routers = None;
    assert_eq!(judged(&bare).0, [Skipped, Ok, Ok]);
    assert_eq!(judged(&report(vec![ours()])).0, [Ok, Warn, Ok], "no addresses");
    assert_eq!(judged(&report(vec![lease()])).0, [Ok, Warn, Ok], "this server is silent");
    let mut of_link = report(vec![lease(), ours()]);
    of_link.own_address = None;
    let (states, words) = judged(&of_link);
    assert!(states == [Fail, Ok, Ok, Ok] && words.contains("link-local"), "{words}");
    let mut silent_routers = report(vec![lease(), ours()]);
    silent_routers.routers.iter_mut().flatten().for_each(|router| (router.managed, router.other) = (false, false));
    assert!(judged(&silent_routers).1.contains("without the flags M and O"));
}

#[test]
fn others_and_what_is_left_on_the_dhcpv6_server_are_told() {
    let rival = answer("fe80::9", None, Some("tftp://[fd77::9]/rival.efi"));
    let (states, words) = judged(&report(vec![lease(), ours(), rival]));
    assert!(states.contains(&Fail) && words.contains("fe80::9 answers boot clients too"), "{words}");
    let with_file = answer("fe80::1", Some("fd77::1be"), Some("tftp://[fd77::1]/x.efi"));
    assert_eq!(judged(&report(vec![with_file.clone(), ours()])).0, [Ok, Ok, Warn]);
    let mut with_class = with_file;
    with_class.options.insert(16, "PXEClient".into());
    let (states, words) = judged(&report(vec![with_class, ours()]));
    assert!(states == [Ok, Ok, Fail] && words.contains("option 16"), "{words}");
    let mut hasty = report(vec![lease(), ours()]);
    hasty.conflicts.push("DHCPv6 server fe80::1 sends preference 255".into());
    assert_eq!(judged(&hasty).0, [Ok, Ok, Ok, Fail]);
}

#[test]
fn a_site_without_ipv6_is_left() {
    let (_folder, off) = patient("");
    assert_eq!(dhcp6(&off).states(), [Skipped]);
    let (_folder, mut on) = patient("[dhcp6]\nenabled = true");
    assert_eq!(dhcp6(&on).states(), [Skipped]);
    on.probes6.push(("eth0".into(), Err("not permitted".into())));
    assert_eq!(dhcp6(&on).states(), [Skipped]);
}
