//! Who answers boot clients of a segment by DHCPv6, and what its routers say: [`super::probe`] for IPv6.
//!
//! Firmware sends SOLICIT. iPXE does what routers tell it: SOLICIT where addresses come by DHCPv6 (flag M),
//! INFORMATION-REQUEST where the rest does (flag O). No address is taken: there is no REQUEST to a DHCPv6 server. A boot
//! server that UEFI PXE would ask on port 4011 is asked.
//!
//! **Invariant**: what a client takes of it is `dhcp::v6`'s to say; this asks and listens. A flood of answers ends at a
//! limit.

mod ask;
mod report;

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::probe::ProbeError;
use crate::boot::Architecture;
use crate::dhcp::offer::Taker;
use crate::dhcp::v6::packet::{MessageType, PACKET_LEN_MAX, Packet};
use crate::dhcp::v6::question::{ALL_SERVERS, SERVER_PORT};
use crate::dhcp::v6::selection::{Choice6, Offer6, Step6, select};
use crate::net::interfaces::{Interface, Interfaces};
use crate::net::router::{self, Advertisement};
use crate::net::udp::{BindError, BindOptions, RecvBatch, UdpSocket};

pub use report::{AnswerReport, Report6, RouterReport};

/// Whom to ask as, and where.
#[derive(Debug, Clone)]
pub struct Probe6 {
    /// What kind of client asks: UEFI PXE, UEFI HTTP Boot or iPXE.
    pub taker: Taker,
    /// Its architecture.
    pub architecture: Architecture,
    /// Its UUID, which is its DUID. Servers know its MAC address from the link: that of the interface.
    pub uuid: Uuid,
    /// The interface that is asked on.
    pub interface: String,
    /// How long answers are gathered.
    pub wait: Duration,
    /// The port of PXE boot servers.
    pub boot_server_port: u16,
}

/// An answer with the time that it took.
#[derive(Debug, Clone)]
struct Arrived {
    offer: Offer6,
    after: Duration,
}

/// What a boot server said on port 4011.
#[derive(Debug, Clone)]
enum BootServer {
    Answered(Box<Offer6>),
    Silent,
    /// The interface has no address that it could answer to.
    NotAsked,
}

/// Everything that was heard.
#[derive(Debug, Clone)]
struct Heard {
    /// Why not, where routers could not be heard.
    routers: Result<Vec<Advertisement>, String>,
    question: MessageType,
    arrived: Vec<Arrived>,
    choice: Choice6,
    boot_server: Option<BootServer>,
    own: Option<Ipv6Addr>,
}

/// DHCPv6 clients listen here.
const CLIENT_PORT: u16 = 546;
/// More answers than any network has.
const ANSWERS_MAX: usize = 64;
/// How long routers are listened to: they wait half a second at most (RFC 4861 section 6.2.6).
const ROUTERS_WAIT: Duration = Duration::from_millis(1_500);
/// How long a boot server may take, for each try.
const TRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(2)];

impl Probe6 {
    /// Asks, and reports what came. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When there is no such interface, it has no IPv6, the port of DHCPv6 clients cannot be had, or nothing can be sent.
    pub async fn run(&self) -> Result<Report6, ProbeError> {
        let interfaces = Interfaces::read()?;
        let Some(interface) = interfaces.by_name(&self.interface) else {
            let known: Vec<_> = interfaces.list.iter().map(|interface| interface.name.as_str()).collect();
            return Err(ProbeError::NoInterface { name: self.interface.clone(), known: known.join(", ") });
        };
        let Some(of_link) = addresses(interface).find(Ipv6Addr::is_unicast_link_local) else {
            return Err(ProbeError::NoIpv6 { interface: self.interface.clone() });
        };
        let own = addresses(interface).find(|address| !address.is_unicast_link_local());
        let routers = router::ask(&self.interface, interface.index, ROUTERS_WAIT.min(self.wait)).await;
        let routers = routers.map_err(|error| error.to_string());
        let question = self.question(routers.as_deref().unwrap_or_default());
        let arrived = self.gather(of_link, interface.index, question).await?;
        let offers: Vec<Offer6> = arrived.iter().map(|arrived| arrived.offer.clone()).collect();
        let choice = select(self.taker, &offers);
        let boot_server = match (&choice.step, choice.boot.and_then(|at| offers.get(at))) {
            (Step6::AskBootServer { server }, Some(offer)) => Some(self.ask_boot_server(*server, own, offer).await?),
            _ => None,
        };
        Ok(report::report(self, &Heard { routers, question, arrived, choice, boot_server, own }))
    }

    /// iPXE asks for an address only where a router says that there is one. Where none was heard, it is asked for.
    fn question(&self, routers: &[Advertisement]) -> MessageType {
        let asks_for_address =
            self.taker != Taker::Ipxe || routers.is_empty() || routers.iter().any(|one| one.is_managed);
        if asks_for_address { MessageType::Solicit } else { MessageType::InformationRequest }
    }

    async fn gather(&self, own: Ipv6Addr, ifindex: u32, question: MessageType) -> Result<Vec<Arrived>, ProbeError> {
        // The address of the link: a DHCPv6 client of this host that has the port for every address is passed by.
        let socket = bind(SocketAddrV6::new(own, CLIENT_PORT, 0, ifindex), Some(&self.interface))?;
        let xid = transaction();
        let servers = SocketAddr::from(SocketAddrV6::new(ALL_SERVERS, SERVER_PORT, 0, ifindex));
        let (started, mut arrived) = (Instant::now(), Vec::new());
        // Once more where the first brought nothing, as clients do.
        for elapsed in [Duration::ZERO, self.wait] {
            let sent = socket.send(&ask::question(self, question, xid, elapsed), servers, None).await;
            sent.map_err(|error| ProbeError::Send { interface: self.interface.clone(), error })?;
            self.listen(&socket, xid, started, &mut arrived).await?;
            if !arrived.is_empty() {
                break;
            }
        }
        Ok(arrived)
    }

    async fn listen(
        &self,
        socket: &UdpSocket,
        xid: u32,
        started: Instant,
        arrived: &mut Vec<Arrived>,
    ) -> Result<(), ProbeError> {
        let deadline = tokio::time::Instant::now() + self.wait;
        let mut batch = RecvBatch::new(8, PACKET_LEN_MAX);
        while arrived.len() < ANSWERS_MAX {
            let Ok(received) = tokio::time::timeout_at(deadline, socket.recv_batch(&mut batch)).await else { break };
            received?;
            for datagram in batch.iter() {
                let offer = read(datagram.payload, datagram.peer, xid);
                arrived.extend(offer.map(|offer| Arrived { offer, after: started.elapsed() }));
            }
        }
        arrived.truncate(ANSWERS_MAX);
        Ok(())
    }

    async fn ask_boot_server(
        &self,
        server: Ipv6Addr,
        own: Option<Ipv6Addr>,
        offer: &Offer6,
    ) -> Result<BootServer, ProbeError> {
        let Some(own) = own else { return Ok(BootServer::NotAsked) };
        let socket = bind(SocketAddrV6::new(own, 0, 0, 0), None)?;
        let xid = transaction();
        let packet = ask::boot_server_request(self, xid, offer.server_id());
        let mut batch = RecvBatch::new(1, PACKET_LEN_MAX);
        for wait in TRIES {
            // A port that is closed says so by an error of the next call.
            let _ = socket.send(&packet, SocketAddr::from((server, self.boot_server_port)), None).await;
            let deadline = tokio::time::Instant::now() + wait;
            while let Ok(received) = tokio::time::timeout_at(deadline, socket.recv_batch(&mut batch)).await {
                received?;
                if let Some(answer) = batch.iter().find_map(|datagram| read(datagram.payload, datagram.peer, xid)) {
                    return Ok(BootServer::Answered(Box::new(answer)));
                }
            }
        }
        Ok(BootServer::Silent)
    }
}

fn addresses(interface: &Interface) -> impl Iterator<Item = Ipv6Addr> {
    interface.addresses.iter().filter_map(|net| match net.addr() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    })
}

fn bind(address: SocketAddrV6, device: Option<&str>) -> Result<UdpSocket, ProbeError> {
    let options = BindOptions {
        device: device.map(str::to_owned),
        reuse_address: device.is_some(),
        ..BindOptions::new(address.into())
    };
    UdpSocket::bind(&options).map_err(|error| match error {
        error @ BindError::InUse { .. } => ProbeError::PortTaken6(error),
        BindError::NotPermitted { address, device } => {
            ProbeError::NotPermitted(address.port(), device.unwrap_or_default())
        }
        error => ProbeError::Bind(error),
    })
}

/// A transaction id: 24 bits.
fn transaction() -> u32 {
    Uuid::new_v4().as_fields().0 & 0x00ff_ffff
}

/// A server's answer to this transaction.
fn read(octets: &[u8], peer: SocketAddr, xid: u32) -> Option<Offer6> {
    let packet = Packet::parse(octets).ok()?;
    let IpAddr::V6(sender) = peer.ip() else { return None };
    let message = packet.message;
    let is_answer = matches!(message.message_type, MessageType::Advertise | MessageType::Reply) && message.xid == xid;
    (is_answer && packet.relays.is_empty()).then_some(Offer6 { sender, message })
}

#[cfg(test)]
#[path = "probe6/tests.rs"]
mod tests;
