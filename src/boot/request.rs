//! One question of one client.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Client, Identity, Machine, Person, Record, SessionId};

/// One question from one client: who asks, at which stage of its boot, seen from where.
#[derive(Clone, Debug)]
pub struct BootRequest {
    /// The boot that the question belongs to.
    pub session: SessionId,
    /// How far the boot has come.
    pub stage: Stage,
    /// The client, as its DHCP packets describe it.
    pub client: Client,
    /// Where it was seen.
    pub network: Network,
    /// What it reported of itself; empty before [`Stage::Http`].
    pub machine: Machine,
    /// What a handler that was asked before and had no opinion knows of the machine.
    pub record: Option<Arc<Record>>,
    /// Which machine of the site it is.
    pub identity: Arc<Identity>,
    /// Who is at the machine, once that was asked and verified.
    pub person: Option<Arc<Person>>,
    /// The entries of the quirk table that the client matches.
    pub quirks: Vec<Arc<str>>,
    /// The image that was chosen in the menu of the firmware.
    pub choice: Option<Arc<str>>,
    /// When the question arrived.
    pub now: Timestamp,
}

impl BootRequest {
    /// A question of which no more is known than who asks, and when.
    pub fn new(session: SessionId, stage: Stage, client: Client, now: Timestamp) -> BootRequest {
        BootRequest {
            session,
            stage,
            client,
            network: Network::default(),
            machine: Machine::default(),
            record: None,
            identity: Arc::default(),
            person: None,
            quirks: Vec::new(),
            choice: None,
            now,
        }
    }
}

/// How far a boot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// DISCOVER on UDP 67.
    Discover,
    /// REQUEST or INFORM to the PXE boot server on UDP 4011.
    BootServer,
    /// A file by TFTP.
    Tftp,
    /// A script or file by HTTP or HTTPS; the machine's facts are known once the bootstrap script ran.
    Http,
}

impl Stage {
    /// Every stage, in the order of a boot.
    pub const ALL: [Stage; 4] = [Stage::Discover, Stage::BootServer, Stage::Tftp, Stage::Http];

    /// The name in scripts, logs and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Discover => "discover",
            Stage::BootServer => "boot-server",
            Stage::Tftp => "tftp",
            Stage::Http => "http",
        }
    }
}

/// The text names no stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no stage; use discover, boot-server, tftp or http")]
pub struct UnknownStage(String);

impl FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Stage::ALL.into_iter().find(|stage| stage.name() == text).ok_or_else(|| UnknownStage(text.to_owned()))
    }
}

/// Where a client was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Name of the interface that the packet came in on; empty when not known.
    pub interface: Arc<str>,
    /// Our own address that the client was answered from.
    pub server: Option<IpAddr>,
    /// The client's address, once it has one.
    pub client: Option<IpAddr>,
    /// What a relay agent said.
    pub relay: Option<Relay>,
    /// Name of the site: this server's own, or that of the site server which asks for the client; empty where none is
    /// configured.
    pub site: Arc<str>,
}

/// What a relay agent said of the client's place (RFC 2131 `giaddr`, RFC 3046 option 82).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// `giaddr`: the relay's address on the client's network.
    pub giaddr: Ipv4Addr,
    /// Agent circuit id (sub-option 1): the switch port, in the relay's own coding.
    pub circuit_id: Vec<u8>,
    /// Agent remote id (sub-option 2).
    pub remote_id: Vec<u8>,
    /// Link selection (sub-option 5, RFC 3527): the client's subnet, when it is not giaddr's.
    pub link_selection: Option<Ipv4Addr>,
}

impl Network {
    /// An address on the client's own subnet: link selection, else `giaddr`, else the client's, else ours.
    pub fn subnet_address(&self) -> Option<IpAddr> {
        let relay = self.relay.as_ref().map(|relay| IpAddr::V4(relay.link_selection.unwrap_or(relay.giaddr)));
        relay.or(self.client).or(self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_selection_names_the_subnet_before_giaddr() {
        let mut relay = Relay {
            giaddr: Ipv4Addr::new(10, 1, 0, 1),
            circuit_id: Vec::new(),
            remote_id: Vec::new(),
            link_selection: Some(Ipv4Addr::new(10, 7, 0, 0)),
        };
        let network = |relay| Network { relay: Some(relay), ..Network::default() };
        assert_eq!(network(relay.clone()).subnet_address(), Some(Ipv4Addr::new(10, 7, 0, 0).into()));
        relay.link_selection = None;
        assert_eq!(network(relay).subnet_address(), Some(Ipv4Addr::new(10, 1, 0, 1).into()));
    }

    #[test]
    fn stages_parse_by_name() {
        for stage in Stage::ALL {
            assert_eq!(stage.name().parse(), Ok(stage));
        }
        assert!("dhcp".parse::<Stage>().is_err());
    }
}
