//! What routers of a link say of IPv6: router advertisements (RFC 4861 section 4.2).
//!
//! **Invariant**: asks and listens; nothing of this host is configured by what comes. Any octets give an advertisement or
//! none, and a flood of them ends at a limit.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ipnet::Ipv6Net;
use nix::sys::socket::{SockaddrStorage, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

use super::udp::register;

/// What a router says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// The router's address of the link.
    pub router: Ipv6Addr,
    /// Flag M: addresses come by DHCPv6.
    pub is_managed: bool,
    /// Flag O: the rest comes by DHCPv6.
    pub has_other: bool,
    /// Seconds for which it is a way out of the link; 0 when it is none.
    pub lifetime_s: u16,
    /// The networks of the link.
    pub prefixes: Vec<Prefix>,
}

/// A network of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The network.
    pub net: Ipv6Net,
    /// Flag L: its addresses are on the link.
    pub is_on_link: bool,
    /// Flag A: hosts make their addresses themselves.
    pub is_autonomous: bool,
}

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];
const ADVERTISEMENT: u8 = 134;
const PREFIX_INFORMATION: u8 = 3;
/// More routers than any link has.
const ROUTERS_MAX: usize = 16;
/// More networks than any router names.
const PREFIXES_MAX: usize = 32;

/// Asks the routers of an interface, and gathers what they say for as long as `wait`: the last word of each. Needs
/// `CAP_NET_RAW`.
///
/// # Errors
/// When the privilege is not there, or nothing can be sent on the interface.
pub async fn ask(device: &str, ifindex: u32, wait: Duration) -> io::Result<Vec<Advertisement>> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(device.as_bytes()))?;
    socket.set_nonblocking(true)?;
    socket.set_multicast_if_v6(ifindex)?;
    // Routers take it from the link only, which this proves.
    socket.set_multicast_hops_v6(255)?;
    let to = SocketAddrV6::new(ALL_ROUTERS, 0, 0, ifindex);
    socket.send_to(&SOLICITATION, &to.into())?;
    let heard = register(socket.into(), Interest::READABLE)?;
    let deadline = tokio::time::Instant::now() + wait;
    let mut found: Vec<Advertisement> = Vec::new();
    let mut octets = [0; 1500];
    while found.len() < ROUTERS_MAX {
        let Ok(ready) = tokio::time::timeout_at(deadline, heard.readable()).await else { break };
        let mut ready = ready?;
        let Ok((length, from)) = recvfrom::<SockaddrStorage>(heard.get_ref().as_raw_fd(), &mut octets) else {
            ready.clear_ready();
            continue;
        };
        let from = from.as_ref().and_then(SockaddrStorage::as_sockaddr_in6).map(|from| from.ip());
        let said = from.zip(octets.get(..length)).and_then(|(from, octets)| parse(octets, from));
        if let Some(said) = said {
            found.retain(|known| known.router != said.router);
            found.push(said);
        }
    }
    Ok(found)
}

/// Reads an ICMPv6 message from `router`: nothing where it is no advertisement, or not of the link.
pub fn parse(octets: &[u8], router: Ipv6Addr) -> Option<Advertisement> {
    let (&[kind, code, _, _, _, flags, lifetime_high, lifetime_low, ..], options) = octets.split_first_chunk::<16>()?;
    if kind != ADVERTISEMENT || code != 0 || !router.is_unicast_link_local() {
        return None;
    }
    Some(Advertisement {
        router,
        is_managed: flags & 0x80 != 0,
        has_other: flags & 0x40 != 0,
        lifetime_s: u16::from_be_bytes([lifetime_high, lifetime_low]),
        prefixes: self::options(options).filter_map(prefix).take(PREFIXES_MAX).collect(),
    })
}

/// Each option, from its type on: the length is in units of eight octets.
fn options(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::from(*octets.get(1)?) * 8;
        let (option, rest) = octets.split_at_checked(length).filter(|_| length > 0)?;
        octets = rest;
        Some(option)
    })
}

fn prefix(option: &[u8]) -> Option<Prefix> {
    let &[kind, _, length, flags] = option.first_chunk()?;
    let address = option.get(16..)?.first_chunk::<16>()?;
    let net = Ipv6Net::new((*address).into(), length).ok().filter(|_| kind == PREFIX_INFORMATION)?;
    Some(Prefix { net: net.trunc(), is_on_link: flags & 0x80 != 0, is_autonomous: flags & 0x40 != 0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUTER: &str = "fe80::1";

    fn read(octets: &[u8]) -> Option<Advertisement> {
        parse(octets, ROUTER.parse().unwrap())
    }

    fn advertisement() -> Vec<u8> {
        let mut octets = vec![134, 0, 0, 0, 64, 0xc0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        octets.extend([1, 1, 2, 0, 0, 0, 0, 9]);
        octets.extend([3, 4, 64, 0x80, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0, 0]);
        octets.extend("fd77::5".parse::<Ipv6Addr>().unwrap().octets());
        octets
    }

    #[test]
    fn flags_and_networks_are_read() {
        let said = read(&advertisement()).unwrap();
        assert!(said.is_managed && said.has_other);
        assert_eq!(said.lifetime_s, 1800);
        let net = "fd77::/64".parse().unwrap();
        assert_eq!(said.prefixes, [Prefix { net, is_on_link: true, is_autonomous: false }]);
    }

    #[test]
    fn what_is_no_advertisement_of_the_link_is_left() {
        let mut solicitation = advertisement();
        solicitation[0] = 133;
        assert_eq!(read(&solicitation), None);
        assert_eq!(read(&advertisement()[..15]), None);
        assert_eq!(parse(&advertisement(), "fd77::1".parse().unwrap()), None);
        // An option without length would never end, and one that is cut off is none.
        let endless = [&advertisement()[..16], &[3, 0, 64, 0x80]].concat();
        assert_eq!(read(&endless).unwrap().prefixes, []);
        assert_eq!(read(&advertisement()[..50]).unwrap().prefixes, []);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_not(mut octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let [kind, code, ..] = octets.as_mut_slice() {
                (*kind, *code) = (ADVERTISEMENT, 0);
            }
            if let Some(said) = read(&octets) {
                prop_assert!(said.prefixes.len() <= PREFIXES_MAX);
            }
        }
    }
}
