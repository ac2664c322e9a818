//! Which messages are questions to us: what gives out addresses is another server's business.
//!
//! | port | message | answered |
//! |---|---|---|
//! | 547 | SOLICIT of boot firmware | ADVERTISE without an address |
//! | 547 | INFORMATION-REQUEST of a boot client | REPLY |
//! | 547 | SOLICIT of iPXE | never: it takes nothing from a server without addresses |
//! | 547 | everything else | never |
//! | 4011 | REQUEST, INFORMATION-REQUEST of a PXE client that names us or nobody | REPLY |
//!
//! **Invariant**: no socket, no clock, no decision.

use std::net::{Ipv6Addr, SocketAddrV6};

use super::super::client::{Caller, NotACaller, Speaker};
pub use super::super::question::Port;
use super::client;
use super::packet::{MessageType, Packet, code};
use crate::boot::HardwareAddress;

/// The port of DHCPv6 servers and relay agents.
pub const SERVER_PORT: u16 = 547;
/// Every DHCPv6 server and relay agent of a link (RFC 8415 section 7.1).
pub const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// Every DHCPv6 server of a site, for relay agents (the same section).
pub const ALL_SERVERS_OF_SITE: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 1, 3);

/// A packet as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// What it is.
    pub packet: Packet,
    /// Where it came to.
    pub port: Port,
    /// Address and port that it came from.
    pub peer: SocketAddrV6,
    /// Whether it was sent to a group, as clients of our own link must.
    pub to_group: bool,
}

/// A packet that is a question to us.
#[derive(Debug, Clone)]
pub struct Asked {
    /// How it arrived.
    pub arrived: Arrived,
    /// Who asks.
    pub caller: Caller,
}

/// Why a packet is no question to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dropped {
    /// A message type that is left to the DHCPv6 server.
    MessageType,
    /// Not a message that RFC 8415 section 16 lets a server answer.
    Invalid,
    /// No boot client, or iPXE where it takes nothing from us.
    VendorClass,
    /// A client without identifier.
    Identity,
    /// It names another server (option 2).
    OtherServer,
}

impl Dropped {
    /// Every reason.
    pub const ALL: [Dropped; 5] =
        [Dropped::MessageType, Dropped::Invalid, Dropped::VendorClass, Dropped::Identity, Dropped::OtherServer];

    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Dropped::MessageType => "message-type",
            Dropped::Invalid => "invalid",
            Dropped::VendorClass => "vendor-class",
            Dropped::Identity => "identity",
            Dropped::OtherServer => "other-server",
        }
    }
}

/// Sorts out what is no question to us. `server_id` is our DUID; `remembered` is what is known of a client's DUID.
///
/// # Errors
/// Why the packet gets silence.
pub fn ask(
    arrived: Arrived,
    server_id: &[u8],
    remembered: impl FnOnce(&[u8]) -> Option<HardwareAddress>,
) -> Result<Asked, Dropped> {
    let message = &arrived.packet.message;
    let options = &message.options;
    match (arrived.port, message.message_type) {
        (Port::Dhcp, MessageType::Solicit) => {
            if options.has(code::SERVER_ID) {
                return Err(Dropped::Invalid);
            }
        }
        (Port::Dhcp | Port::BootServer, MessageType::InformationRequest) => {
            if [code::IA_NA, code::IA_TA, code::IA_PD].into_iter().any(|code| options.has(code)) {
                return Err(Dropped::Invalid);
            }
        }
        (Port::BootServer, MessageType::Request) => {}
        _ => return Err(Dropped::MessageType),
    }
    // RFC 8415 section 18.4: who sends to our own address without being told so gets no answer. On 4011 nobody sends
    // otherwise, and no relay agent has a part in it.
    let is_relayed = !arrived.packet.relays.is_empty();
    let is_sent_rightly = match arrived.port {
        Port::Dhcp => is_relayed || arrived.to_group,
        Port::BootServer => !is_relayed,
    };
    if !is_sent_rightly {
        return Err(Dropped::Invalid);
    }
    if options.get(code::SERVER_ID).is_some_and(|named| named != server_id) {
        return Err(Dropped::OtherServer);
    }
    let caller = client::caller(&arrived.packet, *arrived.peer.ip(), remembered).map_err(|reason| match reason {
        NotACaller::VendorClass => Dropped::VendorClass,
        NotACaller::Identity => Dropped::Identity,
    })?;
    let takes_nothing = match (arrived.port, caller.speaker) {
        (Port::Dhcp, Speaker::Ipxe) => arrived.packet.message.message_type == MessageType::Solicit,
        // HTTP Boot has no second step.
        (Port::BootServer, speaker) => speaker != Speaker::Firmware,
        (Port::Dhcp, _) => false,
    };
    if takes_nothing {
        return Err(Dropped::VendorClass);
    }
    Ok(Asked { arrived, caller })
}
