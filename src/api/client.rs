//! A client and its place, as messages carry them.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::boot::{Architecture, Client, HardwareAddress, IpxeBuild, Line, MachineId, Network, NicBus, Relay};
use crate::hex;

/// What DHCP told of a client. All of it is the client's own claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFacts {
    /// Its hardware address.
    pub mac: HardwareAddress,
    /// Its UUID (option 97) in canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Its architecture (option 93), by name.
    pub arch: Architecture,
    /// Option 60.
    #[serde(default)]
    pub vendor_class: Line,
    /// Option 77.
    #[serde(default)]
    pub user_class: Line,
    /// Option 94, major and minor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undi: Option<(u8, u8)>,
    /// Whether iPXE asks, rather than the firmware.
    #[serde(default)]
    pub is_ipxe: bool,
    /// The version of that iPXE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipxe_version: Option<(u8, u8, u8)>,
    /// The features of that iPXE.
    #[serde(default)]
    pub ipxe_features: Vec<String>,
    /// The NIC that it booted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic: Option<NicBus>,
    /// Option 12.
    #[serde(default)]
    pub hostname: Line,
}

impl From<&Client> for ClientFacts {
    fn from(client: &Client) -> ClientFacts {
        let ipxe = client.ipxe.as_ref();
        ClientFacts {
            mac: client.hardware,
            uuid: client.machine_id.map(MachineId::uuid),
            arch: client.architecture,
            vendor_class: Line::clean(&client.vendor_class),
            user_class: Line::clean(&client.user_class),
            undi: client.undi,
            is_ipxe: ipxe.is_some(),
            ipxe_version: ipxe.and_then(|build| build.version),
            ipxe_features: ipxe.iter().flat_map(|build| build.features.iter().map(ToString::to_string)).collect(),
            nic: ipxe.and_then(|build| build.nic),
            hostname: Line::clean(&client.hostname),
        }
    }
}

impl From<&ClientFacts> for Client {
    fn from(facts: &ClientFacts) -> Client {
        // What is no feature that we know is passed over.
        let features = facts.ipxe_features.iter().filter_map(|name| IpxeBuild::feature(name)).collect();
        Client {
            machine_id: facts.uuid.map(MachineId::from_uuid),
            vendor_class: facts.vendor_class.as_str().to_owned(),
            user_class: facts.user_class.as_str().to_owned(),
            undi: facts.undi,
            ipxe: facts.is_ipxe.then_some(IpxeBuild { version: facts.ipxe_version, features, nic: facts.nic }),
            hostname: facts.hostname.as_str().to_owned(),
            ..Client::new(facts.mac, facts.arch)
        }
    }
}

/// Where the site server saw a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// The site server's interface.
    #[serde(default)]
    pub interface: Line,
    /// The site server's address that the client was answered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<IpAddr>,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// What a relay agent said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayFacts>,
}

/// What a relay agent said of a client's place (RFC 3046).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayFacts {
    /// The relay's address on the client's network.
    pub giaddr: Ipv4Addr,
    /// Agent circuit id, in hexadecimal digits.
    #[serde(default)]
    pub circuit_id: String,
    /// Agent remote id, in hexadecimal digits.
    #[serde(default)]
    pub remote_id: String,
    /// The client's subnet, when it is not giaddr's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_selection: Option<Ipv4Addr>,
}

impl From<&Network> for NetworkFacts {
    fn from(network: &Network) -> NetworkFacts {
        let relay = |relay: &Relay| RelayFacts {
            giaddr: relay.giaddr,
            circuit_id: hex::digits(&relay.circuit_id),
            remote_id: hex::digits(&relay.remote_id),
            link_selection: relay.link_selection,
        };
        NetworkFacts {
            interface: Line::clean(&network.interface),
            server: network.server,
            client: network.client,
            relay: network.relay.as_ref().map(relay),
        }
    }
}

impl NetworkFacts {
    /// The place as the rules see it, in this site. Ids that are no hexadecimal digits, or longer than an option, are
    /// left out.
    pub fn of_site(&self, site: &str) -> Network {
        let relay = |relay: &RelayFacts| Relay {
            giaddr: relay.giaddr,
            circuit_id: octets(&relay.circuit_id),
            remote_id: octets(&relay.remote_id),
            link_selection: relay.link_selection,
        };
        Network {
            interface: self.interface.as_str().into(),
            server: self.server,
            client: self.client,
            relay: self.relay.as_ref().map(relay),
            site: site.into(),
        }
    }
}

/// The octets of an option.
fn octets(digits: &str) -> Vec<u8> {
    Some(digits).filter(|digits| digits.len() <= 510).and_then(hex::octets).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_and_its_place_arrive_as_they_were_sent() {
        let mut client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
        client.machine_id = Some(MachineId::from_uuid(Uuid::from_u128(7)));
        client.vendor_class = "PXEClient:Arch:00007:UNDI:003016".into();
        client.undi = Some((3, 16));
        client.ipxe = Some(IpxeBuild { version: Some((1, 21, 1)), features: ["http", "efi"].into(), nic: None });
        let relay = Relay {
            giaddr: [10, 1, 0, 1].into(),
            circuit_id: vec![0, 4, 0xff],
            remote_id: Vec::new(),
            link_selection: Some([10, 7, 0, 0].into()),
        };
        let network =
            Network { interface: "eth0".into(), relay: Some(relay), site: "lyon".into(), ..Network::default() };
        let sent = serde_json::to_string(&(ClientFacts::from(&client), NetworkFacts::from(&network))).unwrap();
        let (facts, place): (ClientFacts, NetworkFacts) = serde_json::from_str(&sent).unwrap();
        assert_eq!(Client::from(&facts), client);
        assert_eq!(place.of_site("lyon"), network);
    }

    #[test]
    fn what_is_nonsense_is_left_out() {
        for text in ["f", "xy", &"00".repeat(256), "é"] {
            assert_eq!(octets(text), [0; 0], "{text}");
        }
        let text =
            r#"{"mac": "02:00:00:00:00:01", "arch": "x64-uefi", "is_ipxe": true, "ipxe_features": ["http", "${x}"]}"#;
        let client = Client::from(&serde_json::from_str::<ClientFacts>(text).unwrap());
        assert_eq!(client.ipxe.unwrap().features, ["http"].into());
    }
}
