//! The server on loopback, with clients behind a relay that names its port (RFC 8357): no privilege is needed.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Notify;

use super::super::packet::{Message, MessageType, Operation, code};
use super::super::question::Dropped;
use super::super::sample::{Sample, boot_server_request, discover, ipxe_discover};
use super::*;
use crate::net::advertise::AdvertiseRule;
use crate::net::udp::{BindOptions, Source};

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// A bound for a test that fails; nothing waits for it otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers by the last octet of the MAC address.
#[derive(Default)]
struct Scripted {
    released: Notify,
}

const QUICK: u8 = 1;
const IGNORED: u8 = 2;
const SLOW: u8 = 3;
const NEVER: u8 = 4;
const PANICS: u8 = 5;
const PANICS_LATER: u8 = 6;
const HELD_BACK: u8 = 7;
const HELD_BACK_LATER: u8 = 8;
const DELAY: Duration = Duration::from_secs(3);
const LOADER: &str = "b/t/loader";

impl BootAnswers for Scripted {
    fn answer(self: Arc<Self>, question: DhcpQuestion) -> BoxFuture<'static, DhcpDecision> {
        let boot = |file: &str| DhcpAnswer::Boot { file: file.to_owned(), next_server: None };
        let kind = question.client.hardware.octets()[5];
        assert_ne!(kind, PANICS, "before any future");
        async move {
            match kind {
                IGNORED => return DhcpAnswer::Silent.into(),
                SLOW => self.released.notified().await,
                NEVER => std::future::pending().await,
                PANICS_LATER => {
                    tokio::task::yield_now().await;
                    panic!("in the middle of it");
                }
                _ => {}
            }
            let network = format!("{:?} {:?} {}", question.stage, question.network.server, question.network.interface);
            assert!(network.ends_with(" Some(127.0.0.1) lo"), "{network}");
            if kind == HELD_BACK_LATER {
                tokio::task::yield_now().await;
            }
            let delay = if matches!(kind, HELD_BACK | HELD_BACK_LATER) { DELAY } else { Duration::ZERO };
            DhcpDecision { answer: boot(LOADER), treatment: Treatment { delay, ..Treatment::default() } }
        }
        .boxed()
    }
}

struct Running {
    answers: Arc<Scripted>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    discover: SocketAddr,
    boot_server: SocketAddr,
    client: tokio::net::UdpSocket,
}

async fn running() -> Running {
    let options =
        ServerOptions { listen: Listen::Address(LOOPBACK), port: 0, boot_server_port: Some(0), ..Default::default() };
    running_with(&options).await
}

async fn running_with(options: &ServerOptions) -> Running {
    let (answers, counters) = (Arc::new(Scripted::default()), Arc::new(Counters::default()));
    let server = DhcpServer::bind(options, Arc::clone(&answers) as _, Arc::clone(&counters)).unwrap();
    let address = |port| server.local_addresses(port).next().unwrap();
    let (discover, boot_server) = (address(Port::Dhcp), address(Port::BootServer));
    let stop = CancellationToken::new();
    let task = tokio::spawn(server.run(stop.clone()));
    let client = tokio::net::UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    Running { answers, counters, stop, task, discover, boot_server, client }
}

fn of(kind: u8, sample: Sample) -> Sample {
    sample.with(82, &[1, 1, 7, 19, 0]).header(|header| {
        header.giaddr = LOOPBACK;
        header.chaddr[5] = kind;
        header.xid = u32::from(kind);
    })
}

impl Running {
    async fn send(&self, sample: &Sample) {
        self.client.send_to(&sample.octets(), self.discover).await.unwrap();
    }

    async fn receive(&self) -> (Message, SocketAddr) {
        let mut room = [0; 2048];
        let (length, from) = tokio::time::timeout(PATIENCE, self.client.recv_from(&mut room)).await.unwrap().unwrap();
        (Message::parse(&room[..length]).unwrap(), from)
    }

    /// Waits until a counter says so.
    async fn counted(&self, wanted: impl Fn(&Counters) -> bool) {
        let until = async {
            while !wanted(&self.counters) {
                tokio::task::yield_now().await;
            }
        };
        let outcomes = || self.counters.outcomes().collect::<Vec<_>>();
        tokio::time::timeout(PATIENCE, until).await.unwrap_or_else(|_| panic!("{:?}", outcomes()));
    }
}

#[tokio::test]
async fn a_relayed_discover_is_offered_its_loader() {
    let server = running().await;
    server.send(&of(QUICK, discover(7))).await;
    let (offer, from) = server.receive().await;
    assert_eq!(from, server.discover);
    assert_eq!(offer.message_type(), Some(MessageType::Offer));
    assert_eq!((offer.file(), offer.header.siaddr), (LOADER.as_bytes(), LOOPBACK));
    assert_eq!(offer.option(code::RELAY_INFORMATION), Some(&[1, 1, 7, 19, 0][..]));
    server.counted(|counters| counters.offers.value() == 1 && counters.relayed.value() == 1).await;
}

#[tokio::test]
async fn a_request_on_the_boot_server_port_is_acknowledged_from_there() {
    let server = running().await;
    server.client.send_to(&boot_server_request().octets(), server.boot_server).await.unwrap();
    let (ack, from) = server.receive().await;
    assert_eq!(from, server.boot_server);
    assert_eq!((ack.message_type(), ack.file()), (Some(MessageType::Ack), LOADER.as_bytes()));
    server.counted(|counters| counters.acks.value() == 1).await;
}

#[tokio::test]
async fn an_ignored_client_gets_no_packet() {
    let server = running().await;
    server.send(&of(IGNORED, discover(7))).await;
    server.send(&of(QUICK, discover(7))).await;
    assert_eq!(server.receive().await.0.header.xid, u32::from(QUICK), "only the second is answered");
    assert_eq!(server.counters.ignored.value(), 1);
}

#[tokio::test]
async fn ipxe_gets_no_packet_rather_than_a_loader() {
    let server = running().await;
    server.send(&of(QUICK, ipxe_discover())).await;
    server.counted(|counters| counters.unusable.value() == 1).await;
}

#[tokio::test]
async fn a_slow_decision_delays_nobody_else() {
    let server = running().await;
    server.send(&of(SLOW, discover(7))).await;
    for _ in 0..100 {
        server.send(&of(QUICK, discover(0))).await;
        assert_eq!(server.receive().await.0.header.xid, u32::from(QUICK));
    }
    server.answers.released.notify_one();
    assert_eq!(server.receive().await.0.header.xid, u32::from(SLOW));
    assert_eq!(server.counters.offers.value(), 101);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_more_than_two_seconds_is_not_sent() {
    let server = running().await;
    let start = tokio::time::Instant::now();
    server.send(&of(NEVER, discover(7))).await;
    // The paused clock jumps to the next deadline whenever all tasks wait.
    while server.counters.late.value() == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!(server.counters.offers.value(), 0);
}

#[tokio::test]
async fn a_decision_that_panics_ends_nothing_but_itself() {
    let server = running().await;
    server.send(&of(PANICS, discover(7))).await;
    server.send(&of(PANICS_LATER, discover(7))).await;
    server.counted(|counters| counters.panicked.value() == 2).await;
    server.send(&of(QUICK, discover(7))).await;
    server.receive().await;
}

#[tokio::test]
async fn questions_beyond_the_limit_are_dropped_while_others_wait() {
    let server = running().await;
    let never = of(NEVER, discover(7));
    for _ in 0..WAITING_MAX + 5 {
        server.send(&never).await;
    }
    server.counted(|counters| counters.overloaded.value() == 5).await;
    server.send(&of(QUICK, discover(7))).await;
    assert_eq!(server.receive().await.0.header.xid, u32::from(QUICK));
}

#[tokio::test]
async fn after_a_flood_of_nonsense_a_client_is_served() {
    let server = running().await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let template = of(QUICK, discover(7)).octets();
    for round in 0..3000_usize {
        let mut octets: Vec<u8> = (0..round % 700).map(|_| random()).collect();
        if round % 3 == 0 {
            octets.splice(..octets.len().min(240), template[..240].iter().copied());
        }
        server.client.send_to(&octets, server.discover).await.unwrap();
        let outcomes = |counters: &Counters| counters.received.value() > round as u64;
        server.counted(outcomes).await;
    }
    assert!(server.counters.malformed.value() > 1500);
    server.send(&of(QUICK, discover(7))).await;
    while server.receive().await.0.header.xid != u32::from(QUICK) {}
}

#[tokio::test]
async fn every_packet_is_counted_once() {
    let server = running().await;
    server.send(&of(QUICK, discover(7))).await;
    server.send(&of(IGNORED, discover(7))).await;
    server.send(&of(QUICK, discover(7)).with(53, &[3])).await;
    server.send(&of(QUICK, discover(7)).without(60)).await;
    server.send(&of(QUICK, discover(7)).header(|header| header.op = Operation::Reply)).await;
    server.client.send_to(b"nonsense", server.discover).await.unwrap();
    server.counted(|counters| counters.received.value() == 6 && counters.malformed.value() == 1).await;
    let beside = ["received", "relayed", "without-relay-information"];
    let sum: u64 = server.counters.outcomes().filter(|(name, _)| !beside.contains(name)).map(|(_, n)| n).sum();
    assert_eq!(sum, 6);
    assert_eq!(server.counters.dropped(Dropped::MessageType).value(), 1);
    assert_eq!(server.counters.dropped(Dropped::FromServer).value(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_is_held_back_delays_nobody_else() {
    for kind in [HELD_BACK, HELD_BACK_LATER] {
        let server = running().await;
        let start = tokio::time::Instant::now();
        server.send(&of(kind, discover(7))).await;
        server.counted(|counters| counters.received.value() == 1).await;
        server.send(&of(QUICK, discover(7))).await;
        server.counted(|counters| counters.offers.value() == 1).await;
        assert!(start.elapsed() < DELAY);
        while server.counters.offers.value() < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
        let answered = [server.receive().await.0.header.xid, server.receive().await.0.header.xid];
        assert_eq!(answered, [u32::from(QUICK), u32::from(kind)]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_when_the_server_ends_is_not_sent() {
    for kind in [HELD_BACK, HELD_BACK_LATER] {
        let server = running().await;
        let start = tokio::time::Instant::now();
        server.send(&of(kind, discover(7))).await;
        server.counted(|counters| counters.received.value() == 1).await;
        server.stop.cancel();
        server.task.await.unwrap();
        assert!(start.elapsed() < DELAY);
        assert_eq!(server.counters.offers.value(), 0);
    }
}

#[tokio::test]
async fn a_request_on_4011_is_never_held_back() {
    let server = running().await;
    let request = boot_server_request().header(|header| header.chaddr[5] = HELD_BACK);
    server.client.send_to(&request.octets(), server.boot_server).await.unwrap();
    assert_eq!(server.receive().await.0.message_type(), Some(MessageType::Ack));
}

#[tokio::test]
async fn the_advertised_address_is_told_and_the_own_one_sends() {
    let told = Ipv4Addr::new(192, 0, 2, 10);
    let rule = AdvertiseRule { interface: Some("lo".into()), subnet: None, address: told.into() };
    let advertise = Advertise::new(vec![rule]);
    let options = ServerOptions {
        listen: Listen::Address(LOOPBACK),
        port: 0,
        boot_server_port: Some(0),
        advertise,
        ..Default::default()
    };
    let server = running_with(&options).await;
    server.send(&of(QUICK, discover(7))).await;
    let (offer, from) = server.receive().await;
    assert_eq!(
        (offer.header.siaddr, offer.address(code::SERVER_IDENTIFIER), from),
        (told, Some(told), server.discover)
    );
    // iPXE names us by it, and is answered.
    let request = boot_server_request().with(54, &told.octets());
    server.client.send_to(&request.octets(), server.boot_server).await.unwrap();
    assert_eq!(server.receive().await.0.message_type(), Some(MessageType::Ack));
}

#[tokio::test]
async fn the_server_ends_when_it_is_told_to() {
    let server = running().await;
    server.stop.cancel();
    tokio::time::timeout(PATIENCE, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_that_another_holds_is_named_with_its_holder() {
    let other = std::net::UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let options =
        ServerOptions { listen: Listen::Address(LOOPBACK), port, boot_server_port: Some(0), ..Default::default() };
    let bound = DhcpServer::bind(&options, Arc::new(Scripted::default()), Arc::default());
    let text = bound.err().unwrap().to_string();
    assert!(text.contains(&format!("port {port}")) && text.contains(&format!("pid {}", std::process::id())), "{text}");
}

#[tokio::test]
async fn beside_a_dhcp_server_broadcasts_reach_both_and_unicast_only_the_other() {
    let mut first = BindOptions::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
    (first.reuse_address, first.broadcast) = (true, true);
    let dhcp_server = UdpSocket::bind(&first).unwrap();
    let port = dhcp_server.local_addr().port();
    let options = ServerOptions { sharing: Sharing::Socket, port, boot_server_port: Some(0), ..Default::default() };
    let counters = Arc::new(Counters::default());
    let server = DhcpServer::bind(&options, Arc::new(Scripted::default()), Arc::clone(&counters)).unwrap();
    tokio::spawn(server.run(CancellationToken::new()));
    let client = UdpSocket::bind(&first_on(LOOPBACK)).unwrap();
    let loopback = crate::net::interfaces::Interfaces::read().unwrap().with_address(LOOPBACK.into()).unwrap().index;
    let source = Some(Source { address: LOOPBACK.into(), ifindex: loopback });
    let octets = of(QUICK, discover(7)).octets();
    client.send(&octets, SocketAddr::new(LOOPBACK.into(), port), source).await.unwrap();
    client.send(&octets, SocketAddr::new(Ipv4Addr::BROADCAST.into(), port), source).await.unwrap();
    let mut batch = crate::net::udp::RecvBatch::new(4, 1500);
    let mut seen = 0;
    while seen < 2 {
        tokio::time::timeout(PATIENCE, dhcp_server.recv_batch(&mut batch)).await.unwrap().unwrap();
        seen += batch.iter().count();
    }
    let answered = tokio::time::timeout(PATIENCE, client.recv_batch(&mut batch)).await;
    answered.unwrap().unwrap();
    assert_eq!(counters.received.value(), 1, "the broadcast, and not the unicast before it");
}

fn first_on(address: Ipv4Addr) -> BindOptions {
    BindOptions { broadcast: true, ..BindOptions::new(SocketAddr::new(address.into(), 0)) }
}

#[tokio::test]
async fn another_servers_broadcast_is_warned_of_once() {
    let watching = watching_socket(0).unwrap();
    let port = watching.local_addr().port();
    let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
    let task = tokio::spawn(watch(watching, Arc::clone(&counters), stop.clone()));
    // Not one of this host's addresses, though on loopback: what `sender` is to the watcher.
    let stranger = Ipv4Addr::new(127, 0, 0, 99);
    let offer = super::super::sample::sample(MessageType::Offer).with(60, b"PXEClient").with(54, &[10, 0, 0, 9]);
    let octets = offer.header(|header| header.op = Operation::Reply).octets();
    let other = UdpSocket::bind(&first_on(stranger)).unwrap();
    let loopback = crate::net::interfaces::Interfaces::read().unwrap().with_address(LOOPBACK.into()).unwrap().index;
    let source = Some(Source { address: stranger.into(), ifindex: loopback });
    let until = async {
        while counters.conflicts.value() == 0 {
            other.send(&octets, SocketAddr::new(Ipv4Addr::BROADCAST.into(), port), source).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, until).await.unwrap();
    stop.cancel();
    task.await.unwrap();
    assert_eq!(counters.conflicts.value(), 1);
}
