//! Who answers on this segment: a DISCOVER as some kind of client sends it, and every OFFER that comes back.
//!
//! No address is taken: there is no REQUEST to a DHCP server, and what it set aside is free again after its own time. Each
//! boot server among those that answered is then asked on port 4011, as firmware would.
//!
//! **Invariant**: what a client takes of it and what is wrong is `dhcp`'s to say; this asks and listens. A flood of offers
//! ends at a limit.

mod ask;
mod report;
mod words;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::boot::{Architecture, HardwareAddress};
use crate::dhcp::offer::{Offer, Taker};
use crate::dhcp::packet::{Message, MessageType, Operation, PACKET_LEN_MAX};
use crate::net::interfaces::Interfaces;
use crate::net::udp::{BindError, BindOptions, RecvBatch, UdpSocket};

pub use report::{OfferReport, Report};

/// Whom to ask as, and where.
#[derive(Debug, Clone)]
pub struct Probe {
    /// What kind of client asks.
    pub taker: Taker,
    /// Its architecture.
    pub architecture: Architecture,
    /// Its MAC address, as the packet says it; frames leave with the interface's own.
    pub mac: HardwareAddress,
    /// Its UUID.
    pub uuid: Uuid,
    /// The interface that is asked on.
    pub interface: String,
    /// How long offers are gathered.
    pub wait: Duration,
    /// The port of DHCP servers.
    pub dhcp_port: u16,
    /// The port of PXE boot servers.
    pub boot_server_port: u16,
}

/// Why nobody could be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No such interface.
    #[error("there is no interface `{name}`; this host has {known}")]
    NoInterface {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// The port of DHCP clients is taken by a program that does not share it.
    #[error(
        "{0}\n  the answers come to UDP port 68, which a DHCP client of this host has for itself: probe from an interface of \
         another host, or stop that client for the time of the probe"
    )]
    PortTaken(BindError),
    /// The same of DHCPv6.
    #[error(
        "{0}\n  the answers come to UDP port 546, which a DHCPv6 client of this host has for itself: probe from an interface of \
         another host, or stop that client for the time of the probe"
    )]
    PortTaken6(BindError),
    /// Nothing of IPv6 goes without an address of the link.
    #[error(
        "{interface} has no link-local IPv6 address: it is down, or IPv6 is switched off there \
         (`sysctl net.ipv6.conf.{interface}.disable_ipv6`)"
    )]
    NoIpv6 {
        /// The interface.
        interface: String,
    },
    /// The ports of clients are below 1024, and one interface is listened on.
    #[error("UDP port {0} of {1} needs root, or CAP_NET_BIND_SERVICE and CAP_NET_RAW: `sudo pointsman probe ...`")]
    NotPermitted(u16, String),
    /// Any other reason not to get the port.
    #[error("{0}")]
    Bind(BindError),
    /// The packet does not leave.
    #[error("cannot send on {interface}: {error}; is the interface up?")]
    Send {
        /// The interface.
        interface: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The system.
    #[error("cannot listen: {0}")]
    System(#[from] std::io::Error),
}

/// An offer with the time that it took.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) offer: Offer,
    pub(super) after: Duration,
}

/// What a boot server said on port 4011.
#[derive(Debug, Clone)]
pub(super) enum BootServer {
    /// Its answer.
    Answered(Box<Offer>),
    /// Nothing, after several tries.
    Silent,
    /// It was not asked: the interface has no address that it could answer to.
    NotAsked,
}

/// Everything that was heard.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) offers: Vec<Arrived>,
    pub(super) boot_servers: Vec<(Ipv4Addr, BootServer)>,
}

/// DHCP clients listen here.
const CLIENT_PORT: u16 = 68;
/// More offers than any network has.
const OFFERS_MAX: usize = 64;
/// How long a server may take that is asked alone, for each try.
const TRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(2)];

impl Probe {
    /// Asks, and reports what came. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When there is no such interface, the port of DHCP clients cannot be had, or nothing can be sent.
    pub async fn run(&self) -> Result<Report, ProbeError> {
        let interfaces = Interfaces::read()?;
        let Some(interface) = interfaces.by_name(&self.interface) else {
            let known: Vec<_> = interfaces.list.iter().map(|interface| interface.name.as_str()).collect();
            return Err(ProbeError::NoInterface { name: self.interface.clone(), known: known.join(", ") });
        };
        let own = interface.addresses.iter().find_map(|net| match net.addr() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let everybody = SocketAddr::from((Ipv4Addr::BROADCAST, self.dhcp_port));
        let offers = self.gather(everybody).await?;
        let mut boot_servers = Vec::new();
        for (server, item) in self.boot_servers(&offers) {
            boot_servers.push((server, self.ask_boot_server(server, own, item).await?));
        }
        Ok(report::report(self, &Heard { offers, boot_servers }))
    }

    /// Sends the DISCOVER there, and gathers what is broadcast on the interface.
    async fn gather(&self, to: SocketAddr) -> Result<Vec<Arrived>, ProbeError> {
        let options = BindOptions {
            device: Some(self.interface.clone()),
            broadcast: true,
            // A DHCP client of this host that shares its port stays undisturbed: answers are broadcasts, and reach both.
            reuse_address: true,
            ..BindOptions::new(SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT_PORT)))
        };
        let socket = UdpSocket::bind(&options).map_err(|error| match error {
            error @ BindError::InUse { .. } => ProbeError::PortTaken(error),
            BindError::NotPermitted { .. } => ProbeError::NotPermitted(CLIENT_PORT, self.interface.clone()),
            error => ProbeError::Bind(error),
        })?;
        let xid = Uuid::new_v4().as_fields().0;
        let mut offers = Vec::new();
        let started = Instant::now();
        // A second DISCOVER where the first brought nothing, as firmware does: some servers check an address first.
        for secs in [0, self.wait.as_secs() as u16] {
            let sent = socket.send(&ask::discover(self, xid, secs), to, None).await;
            sent.map_err(|error| ProbeError::Send { interface: self.interface.clone(), error })?;
            self.listen(&socket, xid, started, &mut offers).await?;
            if !offers.is_empty() {
                break;
            }
        }
        Ok(offers)
    }

    async fn listen(
        &self,
        socket: &UdpSocket,
        xid: u32,
        started: Instant,
        offers: &mut Vec<Arrived>,
    ) -> Result<(), ProbeError> {
        let deadline = tokio::time::Instant::now() + self.wait;
        let mut batch = RecvBatch::new(8, PACKET_LEN_MAX);
        while offers.len() < OFFERS_MAX {
            let Ok(received) = tokio::time::timeout_at(deadline, socket.recv_batch(&mut batch)).await else { break };
            received?;
            for datagram in batch.iter() {
                let offer = read(datagram.payload, datagram.peer, xid, &[Some(MessageType::Offer), None]);
                let is_ours = |offer: &Offer| offer.message.header.chaddr.starts_with(self.mac.octets());
                let arrived = offer.filter(is_ours).map(|offer| Arrived { offer, after: started.elapsed() });
                offers.extend(arrived);
            }
        }
        offers.truncate(OFFERS_MAX);
        Ok(())
    }

    /// The boot servers that firmware may ask, with the first item of their menu where they have one.
    fn boot_servers(&self, offers: &[Arrived]) -> Vec<(Ipv4Addr, Option<u16>)> {
        let asks = matches!(self.taker, Taker::Bios | Taker::Uefi | Taker::Ipxe);
        let pxe = offers.iter().map(|arrived| &arrived.offer).filter(|offer| asks && offer.is_pxe());
        let mut servers: Vec<(Ipv4Addr, Option<u16>)> = Vec::new();
        for offer in pxe {
            let server = offer.next_server().unwrap_or_else(|| offer.server());
            // Type 0 is the local disk, for which nobody is asked.
            let item = offer.vendor_options().menu.iter().map(|item| item.kind).find(|kind| *kind != 0);
            if !servers.iter().any(|(known, _)| *known == server) {
                servers.push((server, item));
            }
        }
        servers
    }

    async fn ask_boot_server(
        &self,
        server: Ipv4Addr,
        own: Option<Ipv4Addr>,
        item: Option<u16>,
    ) -> Result<BootServer, ProbeError> {
        let Some(own) = own else { return Ok(BootServer::NotAsked) };
        let xid = Uuid::new_v4().as_fields().0;
        let packet = ask::boot_server_request(self, xid, own, server, item);
        let to = SocketAddr::from((server, self.boot_server_port));
        let answer = exchange(own, to, &packet, xid).await?;
        Ok(answer.map_or(BootServer::Silent, |answer| BootServer::Answered(Box::new(answer))))
    }
}

/// Whether a boot server answers a REQUEST on port 4011 from this address.
pub(super) async fn boot_server_answers(probe: &Probe, own: Ipv4Addr, server: Ipv4Addr) -> Result<bool, ProbeError> {
    Ok(matches!(probe.ask_boot_server(server, Some(own), None).await?, BootServer::Answered(_)))
}

/// Whether a server on this host answers a DISCOVER that a relay agent on the same address brings. The agent asks to be
/// answered at the port that it sent from (RFC 8357): port 67 is the server's.
pub(super) async fn relayed_discover_answers(probe: &Probe, server: Ipv4Addr) -> Result<bool, ProbeError> {
    let xid = Uuid::new_v4().as_fields().0;
    let packet = ask::relayed_discover(probe, xid, server);
    let to = SocketAddr::from((server, probe.dhcp_port));
    Ok(exchange(server, to, &packet, xid).await?.is_some())
}

/// The offers that a relay agent brings back to the interface of the probe, when it is sent a DISCOVER there as by a machine.
pub(super) async fn offers_by_relay(probe: &Probe, relay: Ipv4Addr) -> Result<Vec<Offer>, ProbeError> {
    let arrived = probe.gather(SocketAddr::from((relay, probe.dhcp_port))).await?;
    Ok(arrived.into_iter().map(|arrived| arrived.offer).collect())
}

/// Sends a packet from an address of ours, some times, until its answer comes.
async fn exchange(own: Ipv4Addr, to: SocketAddr, packet: &[u8], xid: u32) -> Result<Option<Offer>, ProbeError> {
    let socket = UdpSocket::bind(&BindOptions::new(SocketAddr::from((own, 0)))).map_err(ProbeError::Bind)?;
    let mut batch = RecvBatch::new(1, PACKET_LEN_MAX);
    for wait in TRIES {
        // A port that is closed says so by an error of the next call.
        let _ = socket.send(packet, to, None).await;
        let deadline = tokio::time::Instant::now() + wait;
        while let Ok(received) = tokio::time::timeout_at(deadline, socket.recv_batch(&mut batch)).await {
            received?;
            let wanted = [Some(MessageType::Ack), Some(MessageType::Offer)];
            let answer = batch.iter().find_map(|datagram| read(datagram.payload, datagram.peer, xid, &wanted));
            if answer.is_some() {
                return Ok(answer);
            }
        }
    }
    Ok(None)
}

/// A server's answer to this transaction.
fn read(octets: &[u8], peer: SocketAddr, xid: u32, types: &[Option<MessageType>]) -> Option<Offer> {
    let message = Message::parse(octets).ok()?;
    let is_answer = message.header.op == Operation::Reply && message.header.xid == xid;
    let IpAddr::V4(sender) = peer.ip() else { return None };
    (is_answer && types.contains(&message.message_type())).then_some(Offer { sender, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A probe that is not sent.
    pub(super) fn probe_as(taker: Taker) -> Probe {
        let architecture = match taker {
            Taker::Bios | Taker::RaspberryPi => Architecture::X86_BIOS,
            Taker::Http => Architecture::X64_UEFI_HTTP,
            Taker::Uefi | Taker::Ipxe => Architecture::X64_UEFI,
        };
        Probe {
            taker,
            architecture,
            mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56].into(),
            uuid: Uuid::from_u128(7),
            interface: "lo".into(),
            wait: Duration::from_millis(50),
            dhcp_port: 67,
            boot_server_port: 4011,
        }
    }

    fn answer(change: impl FnOnce(&mut Vec<u8>)) -> Offer {
        let mut octets = ask::discover(&probe_as(Taker::Uefi), 9, 0);
        octets[0] = 2;
        octets[242] = 2;
        octets[20..24].copy_from_slice(&[10, 0, 0, 2]);
        change(&mut octets);
        let peer = SocketAddr::from(([10, 0, 0, 2], 67));
        read(&octets, peer, 9, &[Some(MessageType::Offer)]).unwrap()
    }

    fn reported(offers: Vec<Offer>, boot_servers: Vec<(Ipv4Addr, BootServer)>) -> Report {
        let arrived = |offer| Arrived { offer, after: Duration::from_millis(5) };
        let heard = Heard { offers: offers.into_iter().map(arrived).collect(), boot_servers };
        report::report(&probe_as(Taker::Uefi), &heard)
    }

    #[test]
    fn only_answers_to_the_question_are_read() {
        let question = ask::discover(&probe_as(Taker::Uefi), 9, 0);
        let peer = SocketAddr::from(([10, 0, 0, 2], 67));
        assert!(read(&question, peer, 9, &[Some(MessageType::Discover)]).is_none(), "a question is no answer");
        assert!(read(b"x", peer, 9, &[None]).is_none());
        assert_eq!(answer(|_| {}).server(), Ipv4Addr::new(10, 0, 0, 2));
    }

    #[test]
    fn nobody_a_lease_alone_and_a_silent_boot_server_are_no_good_reports() {
        let lease = || answer(|octets| octets[16..20].copy_from_slice(&[10, 0, 0, 50]));
        let proxy = || answer(|_| {});
        let server = Ipv4Addr::new(10, 0, 0, 2);
        assert!(!reported(vec![], vec![]).is_good());
        assert!(reported(vec![], vec![]).lines().concat().contains("Nobody answered"));
        let plain = answer(|octets| {
            octets[16..20].copy_from_slice(&[10, 0, 0, 50]);
            let class = octets.windows(9).position(|part| part == b"PXEClient").unwrap();
            octets[class..class + 9].copy_from_slice(b"nothing!!");
        });
        assert!(!reported(vec![plain.clone()], vec![]).is_good());
        let silent = reported(vec![plain.clone(), proxy()], vec![(server, BootServer::Silent)]);
        assert!(!silent.is_good() && silent.lines().concat().contains("PXE-E18"), "{:?}", silent.lines());
        let with_file = answer(|octets| octets[108..111].copy_from_slice(b"a.0"));
        let good = reported(vec![plain, proxy()], vec![(server, BootServer::Answered(Box::new(with_file)))]);
        assert!(good.is_good(), "{:?}", good.lines());
        assert!(good.lines().concat().contains("loads a.0 from 10.0.0.2"), "{:?}", good.lines());
        assert_eq!(good.offers[1].boot_server_file.as_deref(), Some("a.0"));
        assert!(lease().leases());
    }

    #[tokio::test]
    async fn an_interface_that_is_not_there_is_told_with_those_that_are() {
        let probe = Probe { interface: "nosuch0".into(), ..probe_as(Taker::Uefi) };
        let error = probe.run().await.unwrap_err().to_string();
        assert!(error.contains("`nosuch0`") && error.contains("lo"), "{error}");
    }
}
