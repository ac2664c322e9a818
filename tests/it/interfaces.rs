//! Broadcasts, several interfaces and addresses that change: a client in one network namespace, the server in another.
//! Needs root.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pointsman::dhcp::packet::Message;
use pointsman::dhcp::{
    BootAnswers, Counters, DhcpAnswer, DhcpDecision, DhcpQuestion, DhcpServer, ServerOptions, Sharing,
};
use pointsman::net::udp::{BindOptions, RecvBatch, UdpSocket};
use tokio_util::sync::CancellationToken;

use crate::lan::{Caller, Lan};

#[test]
fn each_interface_is_answered_from_its_own_address() {
    let (lan, stop) = (Lan::new(), CancellationToken::new());
    lan.connect("eth7", "10.178.1.2/24");
    lan.connect("eth8", "10.178.2.2/24");
    std::thread::scope(|scope| {
        // Its thread ends with the test, also with one that fails.
        let _stops = stop.clone().drop_guard();
        let server = stop.clone();
        scope.spawn(|| lan.within("boot", || runtime().block_on(serve(server))));
        // (1) broadcast, (35) two interfaces
        assert_eq!(offer(&lan, "eth7"), "10.178.1.2 10.178.1.2 10.178.1.2 eth7");
        assert_eq!(offer(&lan, "eth8"), "10.178.2.2 10.178.2.2 10.178.2.2 eth8");
        // (36) an interface that is added while the server runs
        lan.connect("eth9", "10.178.3.2/24");
        assert_eq!(offer(&lan, "eth9"), "10.178.3.2 10.178.3.2 10.178.3.2 eth9");
        // (37) an address that changes
        lan.readdress("eth7", "10.178.1.2/24", "10.178.1.77/24");
        assert_eq!(offer(&lan, "eth7"), "10.178.1.77 10.178.1.77 10.178.1.77 eth7");
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Tells the client which interface it was seen on.
struct Interface;

impl BootAnswers for Interface {
    fn answer(self: Arc<Self>, question: DhcpQuestion) -> BoxFuture<'static, DhcpDecision> {
        let file = question.network.interface.to_string();
        std::future::ready(DhcpAnswer::Boot { file, next_server: None }.into()).boxed()
    }
}

async fn serve(stop: CancellationToken) {
    let options = ServerOptions { sharing: Sharing::Never, ..ServerOptions::default() };
    DhcpServer::bind(&options, Arc::new(Interface), Arc::new(Counters::default())).unwrap().run(stop).await;
}

/// `siaddr`, option 54, source address, and the interface that the question was seen on: for a PC BIOS without an address,
/// which broadcasts until it is answered, at most ten seconds.
fn offer(lan: &Lan, device: &str) -> String {
    lan.within("client", || runtime().block_on(ask(device)))
}

async fn ask(device: &str) -> String {
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 68);
    let options = BindOptions { broadcast: true, device: Some(device.to_owned()), ..BindOptions::new(any) };
    let socket = UdpSocket::bind(&options).unwrap();
    let mut received = RecvBatch::new(1, 1500);
    let zero = Ipv4Addr::UNSPECIFIED;
    let discover = Caller::firmware(3, 0).packet(1, 7, zero, zero, &[]);
    for _ in 0..50 {
        let everybody = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), 67);
        // Fails while the wire comes up.
        let _ = socket.send(&discover, everybody, None).await;
        let reply = tokio::time::timeout(Duration::from_millis(200), socket.recv_batch(&mut received)).await;
        if reply.is_err() {
            continue;
        }
        let datagram = received.iter().next().expect("a datagram");
        assert_eq!((datagram.peer.port(), datagram.destination), (67, IpAddr::V4(Ipv4Addr::BROADCAST)));
        let offer = Message::parse(datagram.payload).unwrap();
        let identifier = offer.address(54).unwrap();
        let file = crate::lan::text(offer.file());
        return format!("{} {identifier} {} {file}", offer.header.siaddr, datagram.peer.ip());
    }
    panic!("no offer on {device}");
}
