//! What a machine reports of itself once iPXE runs: SMBIOS and network facts, each a claim.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Line;

/// A fact that the bootstrap script asks iPXE for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// Its name in scripts, logs, case files and in the query of the decision endpoint.
    pub name: &'static str,
    /// The iPXE setting that holds it.
    pub setting: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What a machine may say.
    pub example: &'static str,
}

const fn fact(name: &'static str, setting: &'static str, about: &'static str, example: &'static str) -> Fact {
    Fact { name, setting, about, example }
}

/// Every fact there is, sorted by name: the bootstrap script, the script's `request` and the documentation are
/// made from this one table.
pub const FACTS: &[Fact] = &[
    fact("asset", "asset", "asset tag (SMBIOS type 3)", "A-10442"),
    fact("bios_date", "smbios/0.8.0", "BIOS release date (SMBIOS type 0)", "03/14/2023"),
    fact("bios_vendor", "smbios/0.4.0", "BIOS vendor (SMBIOS type 0)", "Dell Inc."),
    fact("bios_version", "smbios/0.5.0", "BIOS version (SMBIOS type 0)", "1.18.0"),
    fact("board_serial", "board-serial", "base board serial number (SMBIOS type 2)", "/7XK3N/CN129/"),
    fact("buildarch", "buildarch", "processor architecture of the iPXE build", "x86_64"),
    fact("busid", "netX/busid", "bus id of the NIC that booted", "01:80:86:15:b8"),
    fact("chip", "netX/chip", "driver or chip of the NIC that booted", "i219lm"),
    fact("cpumodel", "cpumodel", "processor model", "Intel(R) Core(TM) i5"),
    fact("cpuvendor", "cpuvendor", "processor vendor", "GenuineIntel"),
    fact("dhcp_server", "netX/dhcp-server", "address of the DHCP server that gave the lease", "10.0.0.1"),
    fact("domain", "netX/domain", "DNS domain of the lease", "example.com"),
    fact("family", "smbios/1.26.0", "product family (SMBIOS type 1)", "OptiPlex"),
    fact("gateway", "netX/gateway", "default gateway of the lease", "10.0.0.254"),
    fact("hostname", "netX/hostname", "host name of the lease", "lab-07"),
    fact("ip", "netX/ip", "address of the lease", "10.0.0.57"),
    fact("ipxe_version", "version", "version of the iPXE build", "1.21.1+"),
    fact("mac", "netX/mac", "MAC address of the NIC that booted", "52:54:00:12:34:56"),
    fact("manufacturer", "manufacturer", "manufacturer (SMBIOS type 1)", "Dell Inc."),
    fact("memsize", "memsize", "memory in MiB", "16384"),
    fact("netmask", "netX/netmask", "subnet mask of the lease", "255.255.255.0"),
    fact("platform", "platform", "`pcbios` or `efi`", "efi"),
    fact("product", "product", "product name (SMBIOS type 1)", "OptiPlex 7010"),
    fact("serial", "serial", "serial number (SMBIOS type 1)", "7XK3N22"),
    fact("sku", "smbios/1.25.0", "SKU number (SMBIOS type 1)", "05F3"),
    fact("sysmac", "sysmac", "system MAC address (EFI)", "52:54:00:12:34:57"),
    fact("uuid", "uuid", "system UUID (SMBIOS type 1)", "4c4c4544-0057-5810-804a-c3c04f463732"),
];

impl Fact {
    /// The fact of this name.
    pub fn named(name: &str) -> Option<&'static Fact> {
        FACTS.binary_search_by(|fact| fact.name.cmp(name)).ok().and_then(|index| FACTS.get(index))
    }
}

/// The facts that a machine reported: known names only, one clean line each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Machine {
    facts: BTreeMap<&'static str, Line>,
}

impl Machine {
    /// The longest value of a fact, in octets.
    pub const VALUE_LEN_MAX: usize = 255;

    /// Keeps a fact. The value is cleaned, trimmed and cut; an empty one and a name that is not in [`FACTS`] are
    /// dropped, and `false` is returned.
    pub fn insert(&mut self, name: &str, value: &str) -> bool {
        let Some(fact) = Fact::named(name) else { return false };
        // Cut when it is clean: what cleaning puts between counts too.
        let value = Line::clean(value.trim());
        let value = value.as_str();
        let cut = value.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= Self::VALUE_LEN_MAX);
        let cut = cut.last().unwrap_or(0);
        let line = Line::clean(value.get(..cut).unwrap_or_default().trim());
        if line.is_empty() {
            return false;
        }
        self.facts.insert(fact.name, line);
        true
    }

    /// The value of a fact, if the machine reported it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(Line::as_str)
    }

    /// All facts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Line)> {
        self.facts.iter().map(|(name, value)| (*name, value))
    }

    /// Whether nothing was reported: so it is before iPXE ran the bootstrap script.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_are_identifiers() {
        assert!(FACTS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(FACTS.iter().all(|fact| fact.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn keeps_known_facts_clean_and_short() {
        let mut machine = Machine::default();
        assert!(machine.insert("product", " OptiPlex\n7010 ${x} "));
        assert_eq!(machine.get("product"), Some("OptiPlex 7010 $ {x}"));
        assert!(!machine.insert("nonsense", "x"));
        assert!(!machine.insert("serial", "  "));
        assert!(machine.insert("serial", &"é".repeat(1000)));
        assert!(machine.get("serial").unwrap().len() <= Machine::VALUE_LEN_MAX);
        assert!(machine.insert("serial", &"${".repeat(200)));
        assert!(machine.get("serial").unwrap().len() <= Machine::VALUE_LEN_MAX);
    }
}
