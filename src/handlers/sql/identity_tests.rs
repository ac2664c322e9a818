//! The cases. Each says what a machine claims, which rows the database has, and who it is.
//!
//! `U1`, `M1` stand for a UUID and a MAC address, `~U1` for the UUID in the other byte order; `_` is a space.

use jiff::Timestamp;

use uuid::Uuid;

use crate::boot::Record;
use crate::boot::keys::SharedMacs;
use crate::boot::keys::{Claims, swapped};
use crate::boot::{Architecture, BootRequest, Client, Machine, MachineId, Network, Stage};
use crate::handlers::identity::*;
use crate::handlers::sql::rows;

fn value(word: &str) -> String {
    let number = |text: &str| text.parse::<u128>().ok();
    let uuid = |number: u128| Uuid::from_u128(0x4c4c4544_0057_5810_804a_c3c04f463700 + number);
    if let Some(number) = word.strip_prefix("~U").and_then(number) {
        return swapped(&uuid(number)).to_string();
    }
    if let Some(number) = word.strip_prefix('U').and_then(number) {
        return uuid(number).to_string().to_uppercase();
    }
    if let Some(number) = word.strip_prefix('M').and_then(number) {
        return format!("52-54-00-AB-CD-{number:02X}");
    }
    word.replace('_', " ")
}

/// `uuid=U1 serial=S1` as names and values.
fn pairs(text: &str) -> Vec<(&str, String)> {
    text.split_whitespace()
        .map(|word| {
            let (name, values) = word.split_once('=').unwrap();
            (name, values.split(',').map(value).collect::<Vec<_>>().join(", "))
        })
        .collect()
}

/// A machine at the HTTP stage with these facts; `dhcp` in front stands for what DHCP alone tells.
fn claims(text: &str, shared: &[&str]) -> Claims {
    let (stage, text) = match text.strip_prefix("dhcp ") {
        Some(rest) => (Stage::Discover, rest),
        None => (Stage::Http, text),
    };
    let mut client = Client::new([0; 6].into(), Architecture::X64_UEFI);
    let mut machine = Machine::default();
    for (name, value) in pairs(text) {
        match name {
            "mac" => client.hardware = value.parse().unwrap(),
            "uuid" => client.machine_id = Some(MachineId::from_uuid(value.parse().unwrap())),
            name => assert!(machine.insert(name, &value), "{name}"),
        }
    }
    let (network, now) = (Network::default(), Timestamp::UNIX_EPOCH);
    let session = "0001abcdefff".parse().unwrap();
    let request = BootRequest { network, machine, ..BootRequest::new(session, stage, client, now) };
    Claims::of(&request, &SharedMacs::read(shared.iter().copied()).unwrap())
}

/// Rows like `a uuid=U1 mac=M1`: the id and the columns. All rows of a query have the same columns.
fn candidates(rows: &[&str]) -> Vec<Candidate> {
    let record = |row: &&str| {
        let (id, columns) = row.split_once(' ').unwrap_or((row, ""));
        let mut record: Record = [("machine_id", id)].into_iter().collect();
        for column in ["uuid", "manufacturer", "serial", "mac"] {
            record.insert(column, None::<String>);
        }
        for (name, value) in pairs(columns) {
            record.insert(if name == "maker" { "manufacturer" } else { name }, value);
        }
        record
    };
    rows::candidates(rows.iter().map(record).collect()).list
}

fn said(resolved: &Resolved, candidates: &[Candidate]) -> String {
    match &resolved.identity {
        Identity::Known(index, keys) => format!("{} by {}", candidates[*index], names(keys)),
        Identity::Unknown => "unknown".into(),
        Identity::Ambiguous(several) => {
            let names: Vec<_> = several.iter().map(|(index, _)| candidates[*index].to_string()).collect();
            format!("ambiguous {}", names.join(" "))
        }
    }
}

/// One case a line: its name, the claims, the rows, and who it is.
fn run(cases: &str, shared: &[&str]) {
    let mut count = 0;
    for line in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [name, claim, rows, expect] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let rows: Vec<&str> = rows.split(';').map(str::trim).filter(|row| !row.is_empty()).collect();
        let (claims, mut rows) = (claims(claim, shared), candidates(&rows));
        let resolved = resolve(&claims, &rows);
        assert_eq!(said(&resolved, &rows), expect, "{name}: {resolved:?}");
        // Who it is does not depend on the order of the rows.
        rows.reverse();
        let words = |said: &str| {
            let mut words: Vec<_> = said.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(words(&said(&resolve(&claims, &rows), &rows)), words(expect), "{name}, other order");
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn a_machine_is_known_by_each_key() {
    run(
        "
         no row | uuid=U1 mac=M1 |  | unknown
         by UUID only | uuid=U1 mac=M1 | a uuid=U1 | a by uuid
         by MAC only | uuid=U1 mac=M1 | a mac=M1 | a by mac
         by both | uuid=U1 mac=M1 | a uuid=U1 mac=M1 | a by uuid, mac
         by one of several MACs | mac=M2 | a mac=M1,M2,M3 | a by mac
         by a serial number | serial=7X_K3 manufacturer=Dell_Inc. mac=M1 | a serial=7x_k3 maker=Dell | a by serial
         a serial number alone in the row | serial=S1 manufacturer=Dell mac=M1 | a serial=S1 | a by serial
         by the system's MAC | sysmac=M1 mac=M9 | a mac=M1 | a by sysmac
         by everything | uuid=U1 serial=S1 sysmac=M1 mac=M1 | a uuid=U1 serial=S1 mac=M1 | a by uuid, serial, sysmac, mac
         a row with nothing | uuid=U1 mac=M1 | a | unknown
         a row of somebody else | uuid=U1 mac=M1 | a uuid=U2 mac=M2 | unknown
         several rows of one machine | uuid=U1 mac=M2 | a uuid=U1 mac=M1; a uuid=U1 mac=M2 | a by uuid, mac
         another NIC of a known machine | uuid=U1 mac=M7 | a uuid=U1 mac=M1 | a by uuid
        ",
        &[],
    );
}

#[test]
fn a_dongle_that_several_machines_share_is_not_the_machine() {
    run(
        "
         its MAC is on A, and A asks | uuid=U1 mac=M9 | a uuid=U1 mac=M9; b uuid=U2 | a by uuid, mac
         its MAC is on B with B's UUID, and A asks | uuid=U1 mac=M9 | a uuid=U1; b uuid=U2 mac=M9 | a by uuid
         its MAC is on B, and nobody that is known asks | uuid=U9 mac=M9 | b uuid=U2 mac=M9 | unknown
         its MAC is on all, and one of them asks | uuid=U2 mac=M9 | a uuid=U1 mac=M9; b uuid=U2 mac=M9; c mac=M9 | b by uuid, mac
         its MAC is on two, and a machine without UUID asks | mac=M9 | a uuid=U1 mac=M9; b uuid=U2 mac=M9 | ambiguous a b
         the same, and the serial number tells | mac=M9 serial=S2 | a serial=S1 mac=M9; b serial=S2 mac=M9 | b by serial, mac
         its MAC is on two, and a machine asks that is not known: C is not everybody who comes with it | uuid=U9 mac=M9 | b uuid=U2 mac=M9; c mac=M9 | ambiguous c
         its MAC is on two that have nothing else | uuid=U9 mac=M9 | b mac=M9; c mac=M9 | ambiguous b c
         at DHCP the same, with a UUID that tells | dhcp uuid=U1 mac=M9 | a uuid=U1 mac=M9; b mac=M9 | a by uuid, mac
         its MAC is B's, which has no UUID, and A has another MAC | uuid=U1 mac=M9 | a uuid=U1 mac=M1; b mac=M9 | ambiguous a b
         the serial number of the row speaks against it | serial=S9 mac=M9 | b serial=S2 mac=M9 | unknown
        ",
        &[],
    );
}

#[test]
fn an_adapter_that_the_site_names_identifies_nobody() {
    run(
        "
         A by its UUID, although B has the MAC | uuid=U1 mac=M9 | a uuid=U1 mac=M1; b mac=M9 | a by uuid
         nobody by the MAC | uuid=U9 mac=M9 | b mac=M9 | unknown
         another MAC is as good as ever | uuid=U9 mac=M1 | b mac=M1 | b by mac
        ",
        &["52:54:00:ab:cd:09"],
    );
    run(
        "
         named by its maker | uuid=U9 mac=M1 | b mac=M1 | unknown
        ",
        &["52:54:00"],
    );
}

#[test]
fn a_uuid_that_several_machines_have_needs_more() {
    run(
        "
         the serial number tells | uuid=U1 serial=S2 mac=M7 | a uuid=U1 serial=S1 mac=M1; b uuid=U1 serial=S2 mac=M2 | b by uuid, serial
         the MAC tells where no serial number is claimed | dhcp uuid=U1 mac=M2 | a uuid=U1 serial=S1 mac=M1; b uuid=U1 serial=S2 mac=M2 | b by uuid, mac
         nothing tells | dhcp uuid=U1 mac=M7 | a uuid=U1 serial=S1 mac=M1; b uuid=U1 serial=S2 mac=M2 | ambiguous a b
         the serial number is of a third one | uuid=U1 serial=S3 mac=M7 | a uuid=U1 serial=S1 mac=M1; b uuid=U1 serial=S2 mac=M2 | ambiguous a b
         the MAC of one, the serial number of none | uuid=U1 serial=S3 mac=M1 | a uuid=U1 serial=S1 mac=M1; b uuid=U1 serial=S2 mac=M2 | ambiguous a b
         the MAC of one, the serial number of the other | uuid=U1 serial=S2 mac=M1 | a uuid=U1 serial=S1 mac=M1; b uuid=U1 serial=S2 mac=M2 | b by uuid, serial
         that A is not it does not make it B, which may be a machine that nobody wrote down | uuid=U1 serial=S9 mac=M7 | a uuid=U1 serial=S1; b uuid=U1 | ambiguous a b
         only A has a serial number, and it is right | uuid=U1 serial=S1 mac=M7 | a uuid=U1 serial=S1; b uuid=U1 | a by uuid, serial
         all the same | uuid=U1 serial=S1 mac=M1 | a uuid=U1 serial=S1 mac=M1; b uuid=U1 serial=S1 mac=M1 | ambiguous a b
         all the same but the MAC | uuid=U1 serial=S1 mac=M2 | a uuid=U1 serial=S1 mac=M1; b uuid=U1 serial=S1 mac=M2 | b by uuid, serial, mac
        ",
        &[],
    );
}

#[test]
fn placeholders_identify_nobody() {
    run(
        "
         zeros on both sides | uuid=00000000-0000-0000-0000-000000000000 mac=M1 | a uuid=00000000-0000-0000-0000-000000000000 | unknown
         the board maker's UUID and serial number | uuid=03000200-0400-0500-0006-000700080009 serial=Default_string mac=M1 | a uuid=03000200-0400-0500-0006-000700080009 serial=Default_string | unknown
         they do not contradict either | uuid=03000200-0400-0500-0006-000700080009 serial=Default_string mac=M1 | a uuid=U1 serial=S1 mac=M1 | a by mac
         nor do they in the row | uuid=U1 serial=S1 mac=M1 | a uuid=FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF serial=None mac=M1 | a by mac
         a MAC of zeros | uuid=U1 mac=00:00:00:00:00:00 | a mac=00:00:00:00:00:00 | unknown
         a system MAC of zeros is no pass-through | uuid=U1 sysmac=00:00:00:00:00:00 mac=M9 | a uuid=U1 mac=M1; b mac=M9 | ambiguous a b
        ",
        &[],
    );
}

#[test]
fn a_serial_number_is_one_manufacturer_s() {
    run(
        "
         one of two manufacturers | serial=S1 manufacturer=Hewlett-Packard mac=M7 | a serial=S1 maker=LENOVO mac=M1; b serial=S1 maker=HP mac=M2 | b by serial
         the machine does not say its manufacturer | serial=S1 mac=M7 | a serial=S1 maker=LENOVO mac=M1; b serial=S1 maker=HP mac=M2 | ambiguous a b
         nor does it, but its MAC tells | serial=S1 mac=M1 | a serial=S1 maker=LENOVO mac=M1; b serial=S1 maker=HP mac=M2 | a by serial, mac
         of a third one | serial=S1 manufacturer=Dell_Inc. mac=M7 | a serial=S1 maker=LENOVO mac=M1; b serial=S1 maker=HP mac=M2 | unknown
         spelt in another way, it speaks neither for nor against | serial=S1 manufacturer=ASUSTeK mac=M1 | a serial=S1 maker=Asrock mac=M1 | a by mac
         a number of the same manufacturer speaks against | serial=S2 manufacturer=HP mac=M1 | a serial=S1 maker=HP mac=M1 | unknown
        ",
        &[],
    );
}

/// The serial number says A, the UUID says that it is not: A with another mainboard, A's mainboard in another case, or
/// two of one number. Whoever it is, it is not installed anew for A.
#[test]
fn a_changed_mainboard_is_not_settled_by_guessing() {
    run(
        "
         the serial number is A's | uuid=U9 serial=S1 mac=M7 | a uuid=U1 serial=S1 mac=M1 | ambiguous a
         the NIC is, too | uuid=U9 serial=S1 mac=M1 | a uuid=U1 serial=S1 mac=M1 | ambiguous a
         at DHCP it is only not A | dhcp uuid=U9 mac=M1 | a uuid=U1 serial=S1 mac=M1 | unknown
         the MAC says another one | uuid=U9 serial=S1 mac=M2 | a uuid=U1 serial=S1; b mac=M2 | ambiguous b a
         the UUID says another one, which is stronger | uuid=U2 serial=S1 mac=M7 | a uuid=U1 serial=S1; b uuid=U2 | b by uuid
         a new serial number with the old board is the old machine | uuid=U1 serial=S9 mac=M1 | a uuid=U1 serial=S1 mac=M1 | a by uuid, mac
         two rows for one machine | uuid=U1 serial=S1 mac=M1 | a uuid=U1; b serial=S1 | ambiguous a b
        ",
        &[],
    );
}

#[test]
fn a_mac_that_is_passed_through_says_that_the_nic_is_an_adapter() {
    run(
        "
         A behind the dongle | sysmac=M1 mac=M9 | a mac=M1; dongle-owner mac=M9 | a by sysmac
         without pass-through, the dongle is all there is | mac=M9 | a mac=M1; dongle-owner mac=M9 | dongle-owner by mac
         passed through to the NIC as well | sysmac=M1 mac=M1 | a mac=M1; dongle-owner mac=M9 | a by sysmac, mac
         A by its UUID: the dongle's owner does not count | uuid=U1 sysmac=M1 mac=M9 | a uuid=U1; b mac=M9 | a by uuid
         A by its UUID, but the system's MAC is B's | uuid=U1 sysmac=M2 mac=M9 | a uuid=U1; b mac=M2 | ambiguous a b
         a UUID of two is not told apart by an adapter | uuid=U1 sysmac=M7 mac=M9 | a uuid=U1 mac=M9; b uuid=U1 mac=M2 | ambiguous a b
         but by the system's MAC | uuid=U1 sysmac=M2 mac=M9 | a uuid=U1 mac=M9; b uuid=U1 mac=M2 | b by uuid, sysmac
         the system's MAC is on two rows | uuid=U9 sysmac=M1 mac=M9 | a uuid=U1 mac=M1; b mac=M1 | ambiguous b
        ",
        &[],
    );
}

#[test]
fn a_uuid_in_the_other_byte_order_counts_where_it_is_the_only_one() {
    run(
        "
         as the database has it | uuid=U1 mac=M7 | a uuid=~U1 | a by uuid
         it does not contradict | uuid=U1 mac=M1 | a uuid=~U1 mac=M1 | a by uuid, mac
         not beside a right one | uuid=U1 mac=M7 | a uuid=~U1; b uuid=U1 | b by uuid
         a right one and a turned one with the MAC are two rows for one machine | uuid=U1 mac=M1 | a uuid=~U1 mac=M1; b uuid=U1 | ambiguous a b
         not for two machines | uuid=U1 mac=M7 | a uuid=~U1; b uuid=~U1 | unknown
        ",
        &[],
    );
}

#[test]
fn a_query_without_keys_answers_for_itself() {
    let rows = |ids: &[&str]| -> Vec<Candidate> {
        let records = ids.iter().map(|id| [("machine_id", *id), ("hostname", "lab")].into_iter().collect());
        rows::candidates(records.collect()).list
    };
    let claims = claims("uuid=U1 mac=M1", &[]);
    for (ids, expect) in
        [(&["a"][..], "lab (a) by query"), (&["a", "b"], "ambiguous lab (a) lab (b)"), (&[], "unknown")]
    {
        let rows = rows(ids);
        assert_eq!(said(&resolve(&claims, &rows), &rows), expect);
    }
}

#[test]
fn the_trail_says_what_spoke_against_a_row() {
    let check = |claim: &str, row: &str, expect: &str| {
        assert_eq!(resolve(&claims(claim, &[]), &candidates(&[row])).notes.join("; "), expect);
    };
    check("uuid=U1 mac=M9", "b uuid=U2 mac=M9", "b has its mac, but another uuid");
    check("uuid=U9 serial=S1 mac=M1", "a uuid=U1 serial=S1 mac=M1", "a has its serial, mac, but another uuid");
    check("uuid=U1 mac=M9", "b mac=M1", "b has none of the keys of the machine that asks");
    check("uuid=U1 mac=M9", "b uuid=U1", "");
    check("uuid=U1 mac=M9", "b uuid=~U1", "b has its uuid with the bytes of the first three fields in the other order");
}

/// iPXE may see another address than the firmware did.
#[test]
fn the_nic_is_what_dhcp_and_what_ipxe_say() {
    let mut machine = Machine::default();
    machine.insert("mac", "52:54:00:ab:cd:09");
    let client = Client::new("52:54:00:ab:cd:01".parse().unwrap(), Architecture::X64_UEFI);
    let (network, now) = (Network::default(), Timestamp::UNIX_EPOCH);
    let session = "0001abcdefff".parse().unwrap();
    let request = BootRequest { network, machine, ..BootRequest::new(session, Stage::Http, client, now) };
    let claims = Claims::of(&request, &SharedMacs::default());
    assert_eq!(claims.macs().count(), 2);
    let rows = candidates(&["a mac=M9"]);
    assert_eq!(said(&resolve(&claims, &rows), &rows), "a by mac");
    let rows = candidates(&["a mac=M1", "b mac=M9"]);
    assert_eq!(said(&resolve(&claims, &rows), &rows), "ambiguous a b");
}

mod any {
    use proptest::prelude::*;

    use super::*;

    fn row(id: usize) -> impl Strategy<Value = String> {
        let key = |name: &'static str, values: &'static [&'static str]| {
            prop::option::of(prop::sample::select(values)).prop_map(move |value| match value {
                Some(value) => format!(" {name}={value}"),
                None => String::new(),
            })
        };
        let keys =
            (key("uuid", &["U1", "U2", "~U1"]), key("serial", &["S1", "S2"]), key("mac", &["M1", "M2", "M1,M2"]));
        keys.prop_map(move |(uuid, serial, mac)| format!("r{id}{uuid}{serial}{mac}"))
    }

    fn claim() -> impl Strategy<Value = String> {
        let options = (
            prop::sample::select(vec!["", " uuid=U1", " uuid=U2"]),
            prop::sample::select(vec!["", " serial=S1", " serial=S2"]),
            prop::sample::select(vec!["", " sysmac=M1", " sysmac=M2"]),
        );
        options.prop_map(|(uuid, serial, sysmac)| format!("mac=M1{uuid}{serial}{sysmac}"))
    }

    proptest! {
        /// What a machine is known by never depends on the order of rows, and one that is known has no contradiction
        /// that is stronger than what it is known by.
        #[test]
        fn nobody_is_guessed(rows in (row(0), row(1), row(2)), claim in claim()) {
            let rows = [rows.0, rows.1, rows.2];
            let claims = claims(&claim, &[]);
            let mut candidates = candidates(&rows.iter().map(String::as_str).collect::<Vec<_>>());
            let resolved = resolve(&claims, &candidates);
            if let Identity::Known(index, keys) = &resolved.identity {
                let machine = &candidates[*index];
                prop_assert!(!keys.is_empty());
                let has_other_uuid = claims.uuid.is_some_and(|uuid| {
                    !machine.uuids.is_empty() && !machine.uuids.contains(&uuid) && !machine.uuids.contains(&swapped(&uuid))
                });
                prop_assert!(!has_other_uuid, "{} {} {:?}", claim, machine, rows);
                // Nobody else has all that it is known by.
                for other in candidates.iter().filter(|other| other.id != machine.id) {
                    let alone = resolve(&claims, std::slice::from_ref(other));
                    let is_as_good = matches!(&alone.identity, Identity::Known(_, others) if others.starts_with(keys));
                    prop_assert!(!is_as_good || keys.first() == Some(&Key::Uuid), "{} {:?}", claim, rows);
                }
            }
            let before = said(&resolved, &candidates);
            candidates.reverse();
            let after = said(&resolve(&claims, &candidates), &candidates);
            if !before.starts_with("ambiguous") {
                prop_assert_eq!(before, after);
            } else {
                prop_assert!(after.starts_with("ambiguous"));
            }
        }
    }
}
