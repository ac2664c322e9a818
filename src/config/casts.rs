//! The tables of IPv6 and multicast.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;

use super::amounts::rate_of;

/// `[dhcp6]`: boot options by DHCPv6.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dhcp6Section {
    /// Whether to answer DHCPv6 at all.
    pub enabled: bool,
    /// Port of DHCPv6.
    pub port: u16,
    /// Port of the PXE boot server.
    pub boot_server_port: u16,
}

impl Default for Dhcp6Section {
    fn default() -> Self {
        // Off: a site that has DHCPv6 boot options of its own is not to get a second answer without having asked for it.
        Dhcp6Section { enabled: false, port: 547, boot_server_port: 4011 }
    }
}

/// `[tftp.multicast]`: one stream of a file for many machines that ask for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MulticastSection {
    /// Whether requests with the option `multicast` are served by streams.
    pub enabled: bool,
    /// Addresses of the streams' groups.
    #[serde(deserialize_with = "groups")]
    pub groups: Ipv4Net,
    /// Port of the groups.
    pub port: u16,
    /// How far streams go: 1 stays on the link.
    pub hops: u8,
    /// Octets in a second of all streams together.
    #[serde(deserialize_with = "rate_of")]
    pub rate: Option<u64>,
    /// Whether MTFTP of PXE is served too.
    pub mtftp: bool,
    /// Port of its requests.
    pub mtftp_port: u16,
    /// The group that its clients listen to.
    #[serde(deserialize_with = "group")]
    pub mtftp_group: Ipv4Addr,
    /// The port that they listen on.
    pub mtftp_client_port: u16,
}

impl Default for MulticastSection {
    fn default() -> Self {
        MulticastSection {
            enabled: false,
            groups: Ipv4Net::new_assert(Ipv4Addr::new(239, 255, 77, 0), 24),
            port: 1758,
            hops: 1,
            rate: Some(10_000_000),
            mtftp: false,
            mtftp_port: 1759,
            mtftp_group: Ipv4Addr::new(239, 255, 1, 1),
            mtftp_client_port: 3001,
        }
    }
}

fn groups<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Ipv4Net, D::Error> {
    let text = String::deserialize(deserializer)?;
    let groups = text.parse::<Ipv4Net>().ok().filter(|net| net.network().is_multicast() && net.prefix_len() >= 8);
    groups.ok_or_else(|| {
        serde::de::Error::custom(format!("`{text}` is no range of groups; write it like \"239.255.77.0/24\""))
    })
}

fn group<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Ipv4Addr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().ok().filter(Ipv4Addr::is_multicast).ok_or_else(|| {
        serde::de::Error::custom(format!("`{text}` is no address of a group; write it like \"239.255.1.1\""))
    })
}
