//! What each network says, as a probe would have heard it.

use super::super::State;
use super::super::tests::patient;
use super::*;
use crate::dhcp::offer::Taker;
use crate::dhcp::selection::{Choice, Step};

const DHCP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const RIVAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

fn offer(server: Ipv4Addr, address: Option<[u8; 4]>, options: &[(u8, &str)]) -> OfferReport {
    OfferReport {
        server,
        sender: server,
        after_ms: 1,
        address: address.map(Ipv4Addr::from),
        next_server: None,
        file: options.iter().find(|(number, _)| *number == 67).map(|(_, file)| (*file).to_owned()),
        options: options.iter().map(|(number, value)| (*number, (*value).to_owned())).collect(),
        boot_server_file: None,
        faults: Vec::new(),
    }
}

fn report(offers: Vec<OfferReport>) -> Report {
    Report {
        interface: "eth0".into(),
        asked_as: Taker::Uefi,
        architecture: "x64-uefi".into(),
        mac: "52:54:00:12:34:56".into(),
        offers,
        choice: Choice { lease: None, boot: None, step: Step::Menu },
        then: None,
        conflicts: Vec::new(),
    }
}

fn lease_with(options: &[(u8, &str)]) -> OfferReport {
    offer(DHCP, Some([10, 0, 0, 50]), options)
}

fn proxy(server: Ipv4Addr) -> OfferReport {
    offer(server, None, &[(60, "PXEClient"), (67, "a.efi")])
}

fn found(judge: impl Fn(&mut Found)) -> Found {
    let mut found = Found::default();
    judge(&mut found);
    found
}

#[test]
fn a_network_without_a_lease_is_warned_of() {
    let judged = |offers: Vec<OfferReport>| found(|found| judge_lease("eth0", &report(offers.clone()), found));
    assert_eq!(judged(vec![lease_with(&[]), proxy(OWN)]).states(), [State::Ok]);
    let none = judged(vec![proxy(OWN)]);
    assert!(none.states() == [State::Warn] && none.words().contains("PXE-E52"));
}

#[test]
fn a_second_boot_server_is_told_with_its_address() {
    let judged = |offers: Vec<OfferReport>, is_expected| {
        found(|found| judge_neighbors("eth0", &report(offers.clone()), &[OWN], is_expected, found))
    };
    assert_eq!(judged(vec![lease_with(&[]), proxy(OWN)], true).states(), [State::Ok]);
    let two = judged(vec![lease_with(&[]), proxy(OWN), proxy(RIVAL)], true);
    assert!(
        two.states() == [State::Fail] && two.words().contains("10.0.0.3 answers boot clients too: a.efi"),
        "{}",
        two.words()
    );
    let silent = judged(vec![lease_with(&[])], true);
    assert!(silent.states() == [State::Warn] && silent.words().contains("did not answer the probe"));
    assert_eq!(judged(vec![lease_with(&[])], false).states(), [State::Ok]);
    let mut says_no = report(vec![lease_with(&[]), proxy(OWN)]);
    says_no.conflicts.push("DHCP server 10.0.0.1 sets no-pxedhcp".into());
    let says_no = found(|found| judge_neighbors("eth0", &says_no, &[OWN], true, found));
    assert_eq!(says_no.states(), [State::Ok, State::Fail]);
}

#[test]
fn boot_options_that_are_left_on_the_dhcp_server_are_told() {
    let judged = |options: &[(u8, &str)], is_proxy| {
        found(|found| judge_options("eth0", &report(vec![lease_with(options)]), &[OWN], is_proxy, found))
    };
    assert_eq!(judged(&[], true).states(), [State::Ok]);
    let class = judged(&[(60, "PXEClient"), (66, "10.0.0.9")], true);
    assert!(
        class.states() == [State::Fail] && class.words().contains("60 = PXEClient, 66 = 10.0.0.9"),
        "{}",
        class.words()
    );
    assert_eq!(judged(&[(67, "pxelinux.0")], true).states(), [State::Warn]);
    assert_eq!(judged(&[(175, "no-pxedhcp 1")], true).states(), [State::Warn]);
    assert_eq!(judged(&[(175, "priority 1")], true).states(), [State::Ok]);
    // Where this server is no proxy, they must be there.
    assert_eq!(judged(&[(67, "snponly.efi")], false).states(), [State::Ok]);
    assert_eq!(judged(&[], false).states(), [State::Warn]);
    let nobody = found(|found| judge_options("eth0", &report(vec![]), &[OWN], true, found));
    assert_eq!(nobody.states(), [State::Skipped]);
}

#[test]
fn an_interface_that_could_not_be_heard_is_skipped_with_the_reason() {
    let (_folder, mut patient) = patient("");
    assert_eq!(lease(&patient).states(), [State::Skipped]);
    patient.probes =
        vec![("eth0".into(), Err("no permission for UDP port 68".into())), ("eth1".into(), Ok(report(vec![])))];
    let found = lease(&patient);
    assert_eq!(found.states(), [State::Skipped, State::Warn]);
    assert!(found.words().contains("eth0: no permission"));
}
