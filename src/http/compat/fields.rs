//! The names that other servers' clients have for facts.

use crate::boot::{FACTS, Machine};

/// A fact, and its names in forms and queries, in the order of preference. Our own names are read as well, in any door:
/// most of them are what iPXE calls these settings. Case does not matter.
///
/// FOG numbers the network cards (`mac0` to `mac7`) and says first which of them booted, if it knows (`mac`); the others
/// are no fact of ours. No list is published of what the clients of 2PXE and Altiris say: what is here is seen in public
/// scripts for them.
pub(super) const NAMES: &[(&str, &[&str])] = &[
    ("mac", &["macboot", "mac0", "macaddress", "mac_address"]),
    ("uuid", &["sysuuid", "guid", "smbiosguid", "smbios_guid", "clientuuid"]),
    ("buildarch", &["arch", "architecture"]),
    ("ipxe_version", &["ipxever", "ipxeversion", "version"]),
    ("serial", &["serialnumber", "serial_number"]),
    ("asset", &["assettag", "asset_tag"]),
    ("manufacturer", &["make", "vendor"]),
    ("product", &["model"]),
    ("hostname", &["computername"]),
    ("ip", &["ipaddress", "ip_address"]),
];

/// The facts among fields. The first value of the best name is taken, and empty ones are none.
pub fn machine(fields: &[(String, String)]) -> Machine {
    let mut machine = Machine::default();
    for fact in FACTS {
        let others = NAMES.iter().find(|(name, _)| *name == fact.name).map_or(&[][..], |(_, others)| others);
        let names = std::iter::once(fact.name).chain(others.iter().copied());
        let mut values = names.flat_map(|name| {
            fields.iter().filter(move |(said, _)| said.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        });
        values.find(|value| machine.insert(fact.name, value));
    }
    machine
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(fields: &[(&str, &str)]) -> Machine {
        machine(&fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
    }

    #[test]
    fn each_server_s_names_are_known() {
        let fog = read(&[
            ("mac0", "52:54:00:00:00:01"),
            ("mac1", "52:54:00:00:00:02"),
            ("arch", "x86_64"),
            ("platform", "efi"),
            ("ipxever", "1.21.1+"),
            ("filename", "ipxe.efi"),
            ("sysuuid", "4c4c4544-0057-5810-804a-c3c04f463732"),
        ]);
        assert_eq!((fog.get("mac"), fog.get("buildarch")), (Some("52:54:00:00:00:01"), Some("x86_64")));
        assert_eq!((fog.get("ipxe_version"), fog.get("filename")), (Some("1.21.1+"), None));
        assert!(fog.get("uuid").is_some() && fog.get("platform") == Some("efi"));
        let altiris =
            read(&[("MAC", "525400000001"), ("SerialNumber", "7XK3N22"), ("AssetTag", ""), ("nonsense", "x")]);
        assert_eq!((altiris.get("serial"), altiris.get("asset"), altiris.iter().count()), (Some("7XK3N22"), None, 2));
    }

    #[test]
    fn our_own_name_is_the_best_one_and_empty_is_none() {
        let machine = read(&[("mac0", "52:54:00:00:00:01"), ("macboot", " "), ("mac", "52:54:00:00:00:09")]);
        assert_eq!(machine.get("mac"), Some("52:54:00:00:00:09"));
        assert_eq!(read(&[("mac", ""), ("mac0", "52:54:00:00:00:01")]).get("mac"), Some("52:54:00:00:00:01"));
    }

    #[test]
    fn every_row_is_of_a_fact_and_no_name_has_two_meanings() {
        let ours = FACTS.iter().map(|fact| fact.name);
        let names: Vec<_> = NAMES.iter().flat_map(|(_, others)| others.iter().copied()).chain(ours).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        assert!(NAMES.iter().all(|(name, _)| FACTS.iter().any(|fact| fact.name == *name)));
    }

    #[test]
    fn the_document_has_the_same_names() {
        let page = include_str!("../../../docs/replace-another-server.md");
        for (fact, names) in NAMES {
            let row = page.lines().find(|line| line.contains(&format!("| `{fact}` |")));
            let row = row.unwrap_or_else(|| panic!("no row of {fact}"));
            assert!(names.iter().all(|name| row.contains(&format!("`{name}`"))), "{row}");
        }
    }

    proptest! {
        #[test]
        fn any_form_is_read_within_limits(
            fields in proptest::collection::vec(("(mac|MAC0|arch|sysuuid|model|\\PC{0,8})", "(\\PC|\r|\n|\\$\\{|\u{0}){0,400}"), 0..40),
        ) {
            let machine = machine(&fields);
            let is_clean = |value: &str| !value.contains("${") && !value.chars().any(char::is_control);
            let is_good = machine.iter().all(|(_, value)| {
                value.as_str().len() <= Machine::VALUE_LEN_MAX && is_clean(value.as_str())
            });
            prop_assert!(is_good);
        }
    }
}
