//! Who of a table it is: one key the same, another one not, placeholders, adapters; in any order of the rows.

use proptest::prelude::*;

use super::*;
use crate::boot::{Architecture, Client, KeyTrust, Machine, MachineId, SessionId, Stage};

fn uuid(n: u8) -> Uuid {
    Uuid::from_u128(0x4c4c4544_0057_5810_804a_c3c04f463700 + u128::from(n))
}

fn mac(n: u8) -> HardwareAddress {
    [0x52, 0x54, 0, 0, 0, n].into()
}

/// A request with `uuid=1 mac=2 serial=S1 maker=Dell asset=A1 sysmac=3`; 0 is what vendors leave unset.
fn request(claims: &str) -> BootRequest {
    let mut client = Client::new(mac(200), Architecture::X64_UEFI);
    let mut machine = Machine::default();
    let mut identity = crate::boot::Identity::default();
    for (name, value) in claims.split_whitespace().filter_map(|word| word.split_once('=')) {
        let number = || value.parse::<u8>().unwrap();
        match name {
            "uuid" if value == "0" => client.machine_id = Some(MachineId::from_uuid(Uuid::nil())),
            "uuid" => client.machine_id = Some(MachineId::from_uuid(uuid(number()))),
            "mac" => client.hardware = mac(number()),
            "shared" => identity.mac_trust = KeyTrust::Shared,
            "sysmac" => assert!(machine.insert("sysmac", &mac(number()).to_string())),
            "maker" => assert!(machine.insert("manufacturer", value)),
            name => assert!(machine.insert(name, value), "{name}"),
        }
    }
    BootRequest {
        machine,
        identity: Arc::new(identity),
        ..BootRequest::new(SessionId([0; 6]), Stage::Http, client, jiff::Timestamp::UNIX_EPOCH)
    }
}

/// A table of rows such as `a uuid=1 mac=2,3`.
fn table(rows: &[&str]) -> Arc<Rows> {
    let columns = ["name", "uuid", "serial", "manufacturer", "asset", "macs"];
    let mut text = columns.join(",") + "\n";
    for row in rows {
        let (name, keys) = row.split_once(' ').unwrap_or((row, ""));
        let mut cells = [name, "", "", "", "", ""].map(str::to_owned);
        for (key, value) in keys.split_whitespace().filter_map(|word| word.split_once('=')) {
            let at = columns.iter().position(|column| column.trim_end_matches('s') == key.trim_end_matches('s'));
            let written = match key {
                "uuid" if value == "0" => Uuid::nil().to_string(),
                "uuid" => uuid(value.parse().unwrap()).to_string().to_uppercase(),
                "mac" => value.split(',').map(|n| mac(n.parse().unwrap()).to_string()).collect::<Vec<_>>().join(" "),
                _ => value.to_owned(),
            };
            cells[at.or_else(|| (key == "maker").then_some(3)).unwrap()] = written;
        }
        text += &(cells.join(",") + "\n");
    }
    Arc::new(Rows::of_csv(text.as_bytes(), "m.csv", b',', 10_000).unwrap_or_else(|broken| panic!("{broken}")))
}

fn said(claims: &str, rows: &[&str]) -> String {
    let found = identify(&table(rows), &request(claims)).unwrap();
    let mut who = (*found.who.0).clone();
    assert_eq!(found.row.is_unit(), who.machine.is_empty());
    who.candidates.sort();
    who.to_string()
}

#[test]
fn machines_are_known_by_what_is_their_own() {
    let check = |claims: &str, rows: &[&str], expect: &str| {
        assert_eq!(said(claims, rows), expect, "{claims} {rows:?}");
        let turned: Vec<&str> = rows.iter().rev().copied().collect();
        assert_eq!(said(claims, &turned), expect, "{claims} {turned:?}");
    };
    // None, one key, both.
    check("uuid=1 mac=1", &[], "unknown");
    check("uuid=1 mac=1", &["a mac=1"], "known a by mac");
    check("uuid=1 mac=1", &["a uuid=1"], "known a by uuid");
    check("uuid=1 mac=1", &["a uuid=1 mac=1"], "known a by uuid, mac");
    check("serial=S1 mac=9", &["a serial=s1", "b serial=S2"], "known a by serial");
    check("asset=A1 mac=9", &["a asset=a1", "b asset=A2"], "known a by asset");
    // The same MAC, another UUID: an adapter that went from hand to hand.
    check("uuid=1 mac=9", &["a uuid=1", "b uuid=2 mac=9"], "known a by uuid");
    check("uuid=3 mac=9", &["a uuid=1 mac=9", "b uuid=2 mac=9"], "unknown");
    check("mac=9", &["a uuid=1 mac=9", "b uuid=2 mac=9"], "ambiguous: a, b");
    check("mac=9 shared=1", &["a mac=9"], "unknown");
    // The same UUID, another MAC, another serial number.
    check("uuid=1 mac=2", &["a uuid=1 mac=1", "b uuid=1 mac=2"], "known b by uuid, mac");
    check("uuid=1 mac=9 serial=S2", &["a uuid=1 serial=S1", "b uuid=1 serial=S2"], "known b by uuid, serial");
    check("uuid=1 mac=9", &["a uuid=1 serial=S1", "b uuid=1 serial=S2"], "ambiguous: a, b");
    check(
        "uuid=1 mac=1 serial=S2",
        &["a uuid=1 mac=1 serial=S1", "b uuid=1 mac=1 serial=S2"],
        "known b by uuid, serial, mac",
    );
    // Placeholders are nobody's.
    check("uuid=0 mac=1", &["a uuid=0 mac=2", "b uuid=0 mac=1"], "known b by mac");
    check("uuid=0 mac=9", &["a uuid=0 mac=2", "b uuid=0 mac=1"], "unknown");
    check("serial=None mac=9", &["a serial=None"], "unknown");
    check("asset=Default_string mac=9", &["a asset=No_Asset"], "unknown");
    // The system's own MAC address is passed through an adapter.
    check("sysmac=1 mac=9", &["a mac=1", "b mac=9"], "known a by sysmac");
    check("sysmac=1 mac=1", &["a mac=1"], "known a by sysmac, mac");
    // One key is of one, another of another.
    check("uuid=1 mac=2", &["a uuid=1 mac=1", "b mac=2"], "ambiguous: a, b");
    check("asset=A1 mac=2", &["a asset=A1", "b mac=2"], "ambiguous: a, b");
}

#[test]
fn a_table_without_keys_is_told_and_an_empty_one_knows_nobody() {
    let no_keys = Arc::new(Rows::of_csv(b"room,owner\n1,2\n", "r.csv", b',', 100).unwrap_or_else(|_| panic!()));
    assert!(identify(&no_keys, &request("mac=1")).is_err());
    assert_eq!(said("mac=1", &[]), "unknown");
}

proptest! {
    /// The order of the rows does not matter, and nobody is known by what is a placeholder or shared.
    #[test]
    fn rows_in_any_order_say_the_same(
        rows in prop::collection::vec((0u8..3, 0u8..3, 0u8..3), 0..6),
        claim in (0u8..3, 1u8..3, 0u8..3, any::<bool>()),
        turn in 0usize..6,
    ) {
        let shown: Vec<String> = rows.iter().enumerate().map(|(n, (uuid, mac, serial))| {
            let serial = if *serial == 0 { "None".to_owned() } else { format!("S{serial}") };
            format!("m{n} uuid={uuid} {} serial={serial}", if *mac == 0 { String::new() } else { format!("mac={mac}") })
        }).collect();
        let mut names: Vec<&str> = shown.iter().map(String::as_str).collect();
        let (uuid, mac, serial, is_shared) = claim;
        let serial_text = if serial == 0 { "None".to_owned() } else { format!("S{serial}") };
        let claims = format!("uuid={uuid} mac={mac} serial={serial_text} {}", if is_shared { "shared=1" } else { "" });
        let first = said(&claims, &names);
        if !names.is_empty() {
            let at = turn % names.len();
            names.rotate_left(at);
        }
        names.reverse();
        prop_assert_eq!(&first, &said(&claims, &names));
        if uuid == 0 && serial == 0 && is_shared {
            prop_assert_eq!(first, "unknown");
        }
    }
}
