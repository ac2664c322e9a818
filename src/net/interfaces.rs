//! The addresses of this host, by interface, and the choice of the one that a client can reach.
//!
//! **Invariant**: a snapshot of the kernel's tables; nothing here is remembered, so that an address
//! that changes is seen by the next call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fs, io};

use ipnet::{IpNet, Ipv6Net};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_indextoname, if_nametoindex};
use nix::sys::socket::{SockaddrLike, SockaddrStorage};

/// MTU assumed where the kernel tells none.
pub const ETHERNET_MTU: u32 = 1500;

/// One interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, as `ip link` prints it.
    pub name: String,
    /// The kernel's number for it.
    pub index: u32,
    /// Octets that one packet may have.
    pub mtu: u32,
    /// Addresses with their prefix lengths, in the kernel's order.
    pub addresses: Vec<IpNet>,
    /// It is `lo`.
    pub is_loopback: bool,
    /// It is switched on.
    pub is_up: bool,
}

/// The interfaces of this host's network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// In the kernel's order.
    pub list: Vec<Interface>,
}

impl Interfaces {
    /// Asks the kernel.
    pub fn read() -> io::Result<Self> {
        let mut list: Vec<Interface> = Vec::new();
        for entry in getifaddrs()? {
            let known = list.iter().position(|i| i.name == entry.interface_name);
            let position = known.unwrap_or_else(|| {
                list.push(Interface {
                    index: if_nametoindex(entry.interface_name.as_str()).unwrap_or(0),
                    mtu: mtu_of(&entry.interface_name),
                    addresses: Vec::new(),
                    is_loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
                    is_up: entry.flags.contains(InterfaceFlags::IFF_UP),
                    name: entry.interface_name.clone(),
                });
                list.len() - 1
            });
            let address = entry.address.as_ref().and_then(to_ip);
            let mask = entry.netmask.as_ref().and_then(to_ip);
            if let (Some(interface), Some(address)) = (list.get_mut(position), address) {
                interface.addresses.push(with_mask(address, mask));
            }
        }
        Ok(Self { list })
    }

    /// The interface of this name.
    pub fn by_name(&self, name: &str) -> Option<&Interface> {
        self.list.iter().find(|interface| interface.name == name)
    }

    /// The interface of this index.
    pub fn by_index(&self, index: u32) -> Option<&Interface> {
        self.list.iter().find(|interface| interface.index == index)
    }

    /// The interface that has this address.
    pub fn with_address(&self, address: IpAddr) -> Option<&Interface> {
        self.list.iter().find(|interface| interface.addresses.iter().any(|a| a.addr() == address))
    }

    /// The IPv4 address by which a client should know us whose packet came in on interface `index`.
    ///
    /// `subnet_of` is an address in the client's subnet, where it is known (the relay's, option 82
    /// sub-option 5, or the client's own): an address of ours in the same subnet is the best choice;
    /// then the interface's first; and for a relayed packet on an unnumbered interface any of ours.
    pub fn server_address(&self, index: u32, subnet_of: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let arrived = self.by_index(index);
        let in_subnet = |interface: &Interface| {
            let client = IpAddr::V4(subnet_of?);
            let mut nets = interface.addresses.iter();
            nets.find(|net| net.contains(&client)).and_then(ipv4_of)
        };
        let first = |interface: &Interface| interface.addresses.iter().find_map(ipv4_of);
        arrived.and_then(in_subnet).or_else(|| arrived.and_then(first)).or_else(|| {
            let mut others = self.list.iter().filter(|i| !i.is_loopback && i.is_up);
            others.find_map(first)
        })
    }

    /// The IPv6 address by which a client should know us whose packet came in on interface `index`: as
    /// [`Self::server_address`], but never a link-local one, which says nothing without its link.
    pub fn server_address_v6(&self, index: u32, subnet_of: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
        let usable = |interface: &Interface| {
            let ours = interface.addresses.iter().filter_map(ipv6_of);
            ours.filter(|net| !net.addr().is_unicast_link_local()).collect::<Vec<_>>()
        };
        let arrived = self.by_index(index).map(usable).unwrap_or_default();
        let in_subnet = subnet_of.and_then(|client| arrived.iter().find(|net| net.contains(&client)));
        in_subnet.or_else(|| arrived.first()).map(Ipv6Net::addr).or_else(|| {
            let mut others = self.list.iter().filter(|i| !i.is_loopback && i.is_up);
            others.find_map(|interface| usable(interface).first().map(Ipv6Net::addr))
        })
    }
}

/// The MAC address of the first interface that has one, by the kernel's numbers: a mark of this host.
pub fn first_hardware_address() -> Option<[u8; 6]> {
    let mut found: Vec<(usize, [u8; 6])> = Vec::new();
    for entry in getifaddrs().ok()? {
        let link = entry.address.as_ref().and_then(|address| address.as_link_addr().copied());
        let link = link.and_then(|link| Some((link.ifindex(), link.addr()?)));
        found.extend(link.filter(|(_, address)| *address != [0; 6]));
    }
    found.into_iter().min().map(|(_, address)| address)
}

fn ipv6_of(net: &IpNet) -> Option<Ipv6Net> {
    match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => Some(*net),
    }
}

fn ipv4_of(net: &IpNet) -> Option<Ipv4Addr> {
    match net {
        IpNet::V4(net) => Some(net.addr()),
        IpNet::V6(_) => None,
    }
}

fn to_ip(address: &SockaddrStorage) -> Option<IpAddr> {
    address.family()?;
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(IpAddr::V4(v4.ip()));
    }
    address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()))
}

/// A mask with holes, or none, counts as a host route.
fn with_mask(address: IpAddr, mask: Option<IpAddr>) -> IpNet {
    mask.and_then(|mask| IpNet::with_netmask(address, mask).ok()).unwrap_or_else(|| IpNet::from(address))
}

/// The MTU of the interface with this index, Ethernet's where there is none.
pub fn mtu_of_index(index: u32) -> u32 {
    let name = if_indextoname(index).ok().and_then(|name| name.into_string().ok());
    name.map_or(ETHERNET_MTU, |name| mtu_of(&name))
}

fn mtu_of(name: &str) -> u32 {
    fs::read_to_string(format!("/sys/class/net/{name}/mtu"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(ETHERNET_MTU)
}

/// Whether `address` stands for "every address".
pub fn is_unspecified(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) || address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32, addresses: &[&str]) -> Interface {
        Interface {
            name: name.to_owned(),
            index,
            mtu: 1500,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            is_loopback: name == "lo",
            is_up: true,
        }
    }

    fn host() -> Interfaces {
        Interfaces {
            list: vec![
                interface("lo", 1, &["127.0.0.1/8"]),
                interface("eth0", 2, &["fe80::1/64", "10.0.0.2/24", "10.9.0.2/16"]),
                interface("eth1", 3, &["10.2.0.2/24"]),
                interface("eth2", 4, &[]),
            ],
        }
    }

    #[test]
    fn reads_loopback_of_this_host() {
        let interfaces = Interfaces::read().unwrap();
        let lo = interfaces.by_name("lo").unwrap();
        assert!(lo.is_loopback && lo.index > 0 && lo.mtu >= 1500);
        assert!(lo.addresses.contains(&"127.0.0.1/8".parse().unwrap()));
        assert_eq!(interfaces.with_address("127.0.0.1".parse().unwrap()), Some(lo));
    }

    #[test]
    fn answers_with_an_address_of_the_interface_and_subnet_of_the_client() {
        let pick = |index, client: Option<&str>| {
            host().server_address(index, client.map(|c| c.parse().unwrap())).map(|a| a.to_string())
        };
        assert_eq!(pick(3, None).as_deref(), Some("10.2.0.2"));
        assert_eq!(pick(2, None).as_deref(), Some("10.0.0.2"));
        assert_eq!(pick(2, Some("10.9.7.7")).as_deref(), Some("10.9.0.2"));
        assert_eq!(pick(2, Some("192.0.2.1")).as_deref(), Some("10.0.0.2"));
        assert_eq!(pick(4, None).as_deref(), Some("10.0.0.2"));
        assert_eq!(Interfaces::default().server_address(1, None), None);
    }
}
