//! Which packets are questions to us: what a pure proxy never answers is sorted out here, before anybody decides.
//!
//! | port | message | answered |
//! |---|---|---|
//! | 67 | DISCOVER of a boot client | OFFER |
//! | 67 | REQUEST of PXE firmware that names a line of our menu (43.71) | ACK |
//! | 67 | everything else | never: it is the DHCP server's business |
//! | 4011 | REQUEST, INFORM of a PXE client that names us or nobody | ACK |
//! | 4011 | DISCOVER of a PXE client | OFFER |
//!
//! **Invariant**: no socket, no clock, no decision.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::client::{self, Caller, NotACaller, Speaker};
use super::packet::{Message, MessageType, Operation, code};
use super::pxe::{BootItem, VendorOptions};
use crate::boot::{Relay, Stage};

/// The port of DHCP servers and relay agents.
pub const SERVER_PORT: u16 = 67;
/// The port of DHCP clients.
pub const CLIENT_PORT: u16 = 68;
/// The port of PXE boot servers.
pub const BOOT_SERVER_PORT: u16 = 4011;

/// Which of the two ports a packet came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// UDP 67: DISCOVER. By IPv6 UDP 547: SOLICIT.
    Dhcp,
    /// UDP 4011: REQUEST and INFORM to the PXE boot server.
    BootServer,
}

impl Port {
    /// The stage of the boot that a question on this port belongs to.
    pub fn stage(self) -> Stage {
        match self {
            Port::Dhcp => Stage::Discover,
            Port::BootServer => Stage::BootServer,
        }
    }
}

/// A packet that is a question to us.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The packet.
    pub message: Message,
    /// Who asks.
    pub caller: Caller,
    /// What its relay agent said.
    pub relay: Option<Relay>,
    /// Where it came to.
    pub port: Port,
    /// Address and port that it came from.
    pub peer: SocketAddrV4,
    /// The line of our menu that was chosen; never of [`Speaker::Ipxe`], which shows its own.
    pub boot_item: Option<BootItem>,
}

impl Asked {
    /// The stage of the boot that the question belongs to: a menu's line is a boot server's business on either port.
    pub fn stage(&self) -> Stage {
        if self.boot_item.is_some() { Stage::BootServer } else { self.port.stage() }
    }
}

/// Why a packet is no question to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dropped {
    /// A server's packet.
    FromServer,
    /// A message type that a proxy leaves to the DHCP server.
    MessageType,
    /// No boot client.
    VendorClass,
    /// A client without hardware address and identifier.
    Identity,
    /// It names another server (option 54).
    OtherServer,
    /// It asks for a menu item in a way that none of our menus leads to.
    BootItem,
    /// Windows' boot program asks for a WDS server.
    Wds,
    /// `giaddr` is no address of a relay.
    Relay,
}

impl Dropped {
    /// Every reason.
    pub const ALL: [Dropped; 8] = [
        Dropped::FromServer,
        Dropped::MessageType,
        Dropped::VendorClass,
        Dropped::Identity,
        Dropped::OtherServer,
        Dropped::BootItem,
        Dropped::Wds,
        Dropped::Relay,
    ];

    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Dropped::FromServer => "from-server",
            Dropped::MessageType => "message-type",
            Dropped::VendorClass => "vendor-class",
            Dropped::Identity => "identity",
            Dropped::OtherServer => "other-server",
            Dropped::BootItem => "boot-item",
            Dropped::Wds => "wds",
            Dropped::Relay => "relay",
        }
    }
}

/// Sorts out what is no question to us. `is_ours` tells whether an address is one of this server's.
///
/// # Errors
/// Why the packet gets silence.
pub fn ask(
    message: Message,
    port: Port,
    peer: SocketAddrV4,
    is_ours: impl Fn(Ipv4Addr) -> bool,
) -> Result<Asked, Dropped> {
    if message.header.op != Operation::Request {
        return Err(Dropped::FromServer);
    }
    let boot_item = boot_item(&message);
    match (port, message.message_type()) {
        // A client that knows no server of the line it chose asks everybody.
        (Port::Dhcp, Some(MessageType::Request)) if boot_item.is_some() => {}
        // A REQUEST on 67 accepts the DHCP server's lease. A second ACK would race with the true one, and an Intel Boot
        // Agent was seen to loop over it.
        (Port::Dhcp, Some(MessageType::Discover)) => {}
        // INFORM is PXE 2.1's other way to ask; DISCOVER on 4011 comes from some ROMs and tools.
        (Port::BootServer, Some(MessageType::Request | MessageType::Inform | MessageType::Discover)) => {}
        _ => return Err(Dropped::MessageType),
    }
    let caller = client::caller(&message).map_err(|reason| match reason {
        NotACaller::VendorClass => Dropped::VendorClass,
        NotACaller::Identity => Dropped::Identity,
    })?;
    if port == Port::BootServer || boot_item.is_some() {
        check_boot_server_request(&message, &caller, boot_item, is_ours)?;
    }
    let relay = client::relay(&message);
    if relay.as_ref().is_some_and(|relay| relay.giaddr.is_broadcast() || relay.giaddr.is_multicast()) {
        return Err(Dropped::Relay);
    }
    Ok(Asked { message, caller, relay, port, peer, boot_item })
}

/// What was chosen (option 43.71); a DISCOVER chooses nothing.
fn boot_item(message: &Message) -> Option<BootItem> {
    let asks = matches!(message.message_type(), Some(MessageType::Request | MessageType::Inform));
    let octets = message.option(code::VENDOR_OPTIONS).filter(|_| asks)?;
    VendorOptions::decode(octets).boot_item
}

fn check_boot_server_request(
    message: &Message,
    caller: &Caller,
    boot_item: Option<BootItem>,
    is_ours: impl Fn(Ipv4Addr) -> bool,
) -> Result<(), Dropped> {
    // HTTP Boot has no second step.
    if caller.speaker == Speaker::HttpBoot {
        return Err(Dropped::VendorClass);
    }
    if message.address(code::SERVER_IDENTIFIER).is_some_and(|server| !is_ours(server)) {
        return Err(Dropped::OtherServer);
    }
    if message.option(code::WDS).is_some() {
        return Err(Dropped::Wds);
    }
    // iPXE gets no menu of ours, and nobody a signature of its files, which is what bit 15 of the layer asks for.
    match boot_item {
        Some(item) if caller.speaker != Speaker::Firmware || item.wants_credentials() => Err(Dropped::BootItem),
        _ => Ok(()),
    }
}
