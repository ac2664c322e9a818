//! Networks with the row of each, found by an address: the longest prefix wins.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

/// The rows of networks.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// By the length of the prefix, then by the network's first address.
    v4: BTreeMap<u8, HashMap<IpAddr, u32>>,
    v6: BTreeMap<u8, HashMap<IpAddr, u32>>,
}

/// Reads a network, or an address as a network of its own. Digits behind the prefix do not count.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    Some(network.trunc())
}

/// The networks in a cell, which may hold several.
pub(super) fn networks(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).filter(|part| !part.is_empty())
}

impl Prefixes {
    /// Adds a network; the row that has the same network already, if one has.
    pub(super) fn insert(&mut self, network: IpNet, row: u32) -> Option<u32> {
        let lengths = if network.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let rows = lengths.entry(network.prefix_len()).or_default();
        let first = *rows.entry(network.network()).or_insert(row);
        (first != row).then_some(first)
    }

    /// The row of the smallest network that an address lies in.
    pub(super) fn find(&self, address: IpAddr) -> Option<u32> {
        let address = address.to_canonical();
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().rev().find_map(|(length, rows)| {
            let network = IpNet::new(address, *length).ok()?.network();
            rows.get(&network).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(networks: &[&str]) -> Prefixes {
        let mut prefixes = Prefixes::default();
        for (row, text) in networks.iter().enumerate() {
            prefixes.insert(network(text).unwrap(), row as u32);
        }
        prefixes
    }

    #[test]
    fn the_longest_prefix_wins_whatever_the_order() {
        for networks in [
            ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "fd00::/8", "fd00:1::/32"],
            ["fd00:1::/32", "10.1.2.3", "fd00::/8", "10.1.2.0/24", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"],
        ] {
            let all = prefixes(&networks);
            let find = |address: &str| all.find(address.parse().unwrap()).map(|row| networks[row as usize]);
            assert_eq!(find("10.1.2.3"), Some("10.1.2.3"));
            assert_eq!(find("10.1.2.4"), Some("10.1.2.0/24"));
            assert_eq!(find("10.1.3.4"), Some("10.1.0.0/16"));
            assert_eq!(find("10.2.3.4"), Some("10.0.0.0/8"));
            assert_eq!(find("192.0.2.1"), Some("0.0.0.0/0"));
            assert_eq!(find("::ffff:10.1.2.3"), Some("10.1.2.3"));
            assert_eq!(find("fd00:1::7"), Some("fd00:1::/32"));
            assert_eq!(find("fd77::7"), Some("fd00::/8"));
            assert_eq!(find("2001:db8::7"), None);
        }
    }

    #[test]
    fn a_network_twice_is_told() {
        let mut prefixes = Prefixes::default();
        assert_eq!(prefixes.insert(network("10.1.0.0/16").unwrap(), 3), None);
        assert_eq!(prefixes.insert(network("10.1.77.0/16").unwrap(), 5), Some(3));
        assert!(network("10.1.0.0/33").is_none() && network("lab").is_none() && network("").is_none());
        assert_eq!(networks("10.1.0.0/16, 10.2.0.0/16;fd00::/8").count(), 3);
    }

    proptest! {
        #[test]
        fn as_one_by_one(rows in prop::collection::vec((any::<[u8; 4]>(), 0u8..=32), 0..40), address: [u8; 4]) {
            let nets: Vec<IpNet> = rows.iter().map(|(octets, len)| IpNet::new(IpAddr::from(*octets), *len).unwrap().trunc()).collect();
            let mut prefixes = Prefixes::default();
            nets.iter().enumerate().for_each(|(row, net)| {
                prefixes.insert(*net, row as u32);
            });
            let address = IpAddr::from(address);
            let expect = nets.iter().filter(|net| net.contains(&address)).map(|net| net.prefix_len()).max();
            let found = prefixes.find(address).map(|row| nets[row as usize].prefix_len());
            prop_assert_eq!(found, expect);
        }

        #[test]
        fn any_text_is_a_network_or_not(text in "[0-9a-f:./ ]{0,24}") {
            let _ = (network(&text), networks(&text).count());
        }
    }
}
