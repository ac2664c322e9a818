//! Who is chosen.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::boot::{Architecture, Client, MachineId, Relay, Stage};

fn request(boot: u64, mac: [u8; 6], uuid: Option<Uuid>) -> BootRequest {
    let mut client = Client::new(mac.into(), Architecture::X64_UEFI);
    client.machine_id = uuid.map(MachineId::from_uuid);
    let mut session = [0; 6];
    session.copy_from_slice(&boot.to_be_bytes()[2..]);
    BootRequest::new(SessionId(session), Stage::Discover, client, Timestamp::UNIX_EPOCH)
}

fn percent(percent: f64) -> Canary {
    Canary::of(&ScriptSection { canary_percent: percent, ..ScriptSection::default() }).unwrap()
}

fn section(change: impl FnOnce(&mut ScriptSection)) -> Canary {
    let mut section = ScriptSection::default();
    change(&mut section);
    Canary::of(&section).unwrap()
}

proptest! {
    #[test]
    fn a_larger_percentage_takes_nobody_out(mac: [u8; 6], id: Option<u128>, one in 0.001..100.0f64, more in 0.0..100.0f64) {
        let request = request(1, mac, id.map(Uuid::from_u128));
        let (smaller, larger) = (percent(one), percent((one + more).min(100.0)));
        prop_assert!(!smaller.has(&request) || larger.has(&request));
        prop_assert!(percent(100.0).has(&request));
        prop_assert_eq!(percent(one).has(&request), smaller.has(&request), "the same for every process");
    }
}

#[test]
fn the_percentage_is_about_right_for_addresses_that_follow_each_other() {
    for (asked, low, high) in [(1.0, 150, 250), (5.0, 900, 1_100), (50.0, 9_700, 10_300)] {
        let canary = percent(asked);
        let is_chosen = |n: &u32| {
            let [a, b, c, d] = n.to_be_bytes();
            canary.chooses(&request(u64::from(*n), [0x52, 0x54, a, b, c, d], None))
        };
        let chosen = (0..20_000).filter(is_chosen).count();
        assert!((low..=high).contains(&chosen), "{asked} %: {chosen} of 20000");
    }
}

#[test]
fn another_seed_draws_other_machines() {
    let draw = |seed: &str| {
        let canary = section(|section| {
            section.canary_percent = 10.0;
            section.canary_seed = seed.to_owned();
        });
        (0..200).filter(|n| canary.chooses(&request(0, [2, 0, 0, 0, 0, *n], None))).collect::<Vec<_>>()
    };
    assert_ne!(draw(""), draw("b"));
}

#[test]
fn a_machine_is_itself_behind_another_adapter_and_many_with_a_placeholder_are_not_one() {
    let uuid = Some(Uuid::from_u128(7));
    let (one, other) = ([2, 0, 0, 0, 0, 1].into(), [2, 0, 0, 0, 0, 2].into());
    assert_eq!(number("", one, uuid), number("", other, uuid));
    assert_ne!(number("", one, None), number("", other, None));
    let canary = percent(50.0);
    let placeholder = Some(Uuid::from_u128(u128::MAX));
    let chosen = (0..=255).filter(|n| canary.chooses(&request(0, [2, 0, 0, 0, 0, *n], placeholder))).count();
    assert!((64..192).contains(&chosen), "{chosen} of 256");
}

#[test]
fn machines_are_chosen_by_name_network_site_and_group() {
    let uuid = Uuid::from_u128(0x10);
    let mac = [0x52, 0x54, 0, 0, 0, 1];
    let plain = request(1, mac, Some(uuid));
    let by = |canary: Canary, request: &BootRequest| canary.chooses(request);
    assert!(by(section(|s| s.canary_machines = vec!["52-54-00-00-00-01".into()]), &plain));
    assert!(by(section(|s| s.canary_machines = vec![uuid.to_string()]), &plain));
    assert!(!by(section(|s| s.canary_machines = vec!["52-54-00-00-00-02".into()]), &plain));

    let mut relayed = plain.clone();
    let giaddr = [10, 1, 7, 1].into();
    relayed.network.relay = Some(Relay { giaddr, circuit_id: vec![], remote_id: vec![], link_selection: None });
    let network = || section(|s| s.canary_networks = vec!["10.1.0.0/16".parse().unwrap()]);
    assert!(by(network(), &relayed) && !by(network(), &plain));

    let mut lyon = plain.clone();
    lyon.network.site = "lyon".into();
    let site = || section(|s| s.canary_sites = vec!["lyon".into()]);
    assert!(by(site(), &lyon) && !by(site(), &plain));

    let mut grouped = plain.clone();
    grouped.record = Some(Arc::new([("groups", "lab test")].into_iter().collect()));
    let group = |name: &str| section(|s| s.canary_groups = vec![name.into()]);
    assert!(by(group("test"), &grouped) && !by(group("tes"), &grouped) && !by(group("test"), &plain));
}

#[test]
fn a_boot_goes_on_as_it_began() {
    let canary = section(|s| s.canary_networks = vec!["10.1.0.0/16".parse().unwrap()]);
    let mut first = request(1, [2, 0, 0, 0, 0, 1], None);
    first.network.client = Some([10, 1, 0, 1].into());
    assert!(canary.has(&first));
    let later = request(1, [2, 0, 0, 0, 0, 1], None);
    assert!(canary.has(&later), "its address is not known any more");
    assert!(!canary.has(&request(2, [2, 0, 0, 0, 0, 1], None)), "the next boot is another one");
    let by_address = section(|s| s.canary_machines = vec![Uuid::from_u128(9).to_string()]);
    assert!(!by_address.has(&request(3, [2, 0, 0, 0, 0, 1], None)));
    assert!(!by_address.has(&request(3, [2, 0, 0, 0, 0, 1], Some(Uuid::from_u128(9)))), "its UUID came too late");
    assert!(by_address.has(&request(4, [2, 0, 0, 0, 0, 1], Some(Uuid::from_u128(9)))));
}

#[test]
fn nobody_is_chosen_where_nothing_says_so() {
    assert!(Canary::of(&ScriptSection::default()).is_none());
}
