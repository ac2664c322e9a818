//! The tables of IPv6 and multicast.

use serde::Deserialize;

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
