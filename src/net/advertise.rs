//! The addresses that clients are to know this server by, where they are not those that it has: behind a translation of
//! addresses, in a container, or where an address moves between servers.
//!
//! **Invariant**: pure; the first rule that fits is taken, and none means the address that was asked.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertiseRule {
    /// For questions that come in here; any interface when absent.
    pub interface: Option<String>,
    /// For clients of this subnet; any when absent.
    pub subnet: Option<IpNet>,
    /// What they are told.
    pub address: IpAddr,
}

/// The rules, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertise(Vec<AdvertiseRule>);

impl Advertise {
    /// These rules.
    pub fn new(rules: Vec<AdvertiseRule>) -> Advertise {
        Advertise(rules)
    }

    /// The address for a client that came in on this interface and is in the subnet of `on_subnet`. Only an address of
    /// the same family as the one that was asked is of use, which `is_v4` says.
    fn address(&self, interface: &str, on_subnet: Option<IpAddr>, is_v4: bool) -> Option<IpAddr> {
        let fits = |rule: &&AdvertiseRule| {
            rule.address.is_ipv4() == is_v4
                && rule.interface.as_deref().is_none_or(|name| name == interface)
                && rule.subnet.is_none_or(|subnet| on_subnet.is_some_and(|address| subnet.contains(&address)))
        };
        self.0.iter().find(fits).map(|rule| rule.address)
    }

    /// The IPv4 address for a client; none where it is to know us by the one that it asked.
    pub fn ipv4(&self, interface: &str, on_subnet: Option<IpAddr>) -> Option<Ipv4Addr> {
        match self.address(interface, on_subnet, true)? {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    /// The address for a client that reached us at `asked`.
    pub fn instead_of(&self, asked: IpAddr, interface: &str, on_subnet: Option<IpAddr>) -> IpAddr {
        let asked = asked.to_canonical();
        self.address(interface, on_subnet, asked.is_ipv4()).unwrap_or(asked)
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any client knows us by this address.
    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.0.iter().any(|rule| rule.address == address)
    }

    /// Every address that is told.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().map(|rule| rule.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_is_taken() {
        let rule = |interface: Option<&str>, subnet: Option<&str>, address: &str| AdvertiseRule {
            interface: interface.map(str::to_owned),
            subnet: subnet.map(|subnet| subnet.parse().unwrap()),
            address: address.parse().unwrap(),
        };
        let rules = Advertise::new(vec![
            rule(Some("eth1"), Some("10.1.0.0/16"), "192.0.2.1"),
            rule(None, Some("10.1.0.0/16"), "192.0.2.2"),
            rule(Some("eth1"), None, "192.0.2.3"),
            rule(Some("eth1"), None, "2001:db8::3"),
        ]);
        let told = |interface: &str, client: &str| rules.ipv4(interface, client.parse().ok()).map(|at| at.to_string());
        assert_eq!(told("eth1", "10.1.2.3").as_deref(), Some("192.0.2.1"));
        assert_eq!(told("eth0", "10.1.2.3").as_deref(), Some("192.0.2.2"));
        assert_eq!(told("eth1", "10.2.2.3").as_deref(), Some("192.0.2.3"));
        assert_eq!(told("eth1", "").as_deref(), Some("192.0.2.3"));
        assert_eq!(told("eth0", "10.2.2.3"), None);
        let at = |asked: &str| rules.instead_of(asked.parse().unwrap(), "eth1", None).to_string();
        assert_eq!(at("fe80::1"), "2001:db8::3");
        assert_eq!(at("::ffff:10.0.0.1"), "192.0.2.3");
        assert!(rules.has([192, 0, 2, 2].into()) && !rules.has([192, 0, 2, 9].into()));
    }
}
