//! Broadcasts, several interfaces and addresses that change, in network namespaces: a client in one, the server in the
//! other. Needs root and the `ip` program; without them there is nothing to test and the test says so.
//!
//! The test runs itself in the namespaces: `ROLE` says as what.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop, and speaks to its other half"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pointsman::dhcp::packet::{Header, Message, Operation, Writer};
use pointsman::dhcp::{BootAnswers, Counters, DhcpAnswer, DhcpDecision, DhcpQuestion, DhcpServer, ServerOptions};
use pointsman::net::udp::{BindOptions, RecvBatch, UdpSocket};
use tokio_util::sync::CancellationToken;

const ROLE: &str = "POINTSMAN_TEST_ROLE";
const DEVICE: &str = "POINTSMAN_TEST_DEVICE";

#[test]
fn each_interface_is_answered_from_its_own_address() {
    match std::env::var(ROLE).as_deref() {
        Ok("server") => runtime().block_on(serve()),
        Ok(_) => runtime().block_on(ask(&std::env::var(DEVICE).unwrap())),
        Err(_) => with_namespaces(),
    }
}

fn with_namespaces() {
    let Some(net) = Namespaces::new() else {
        println!("not tested: network namespaces need root");
        return;
    };
    net.connect("eth7", "10.178.1.2/24");
    net.connect("eth8", "10.178.2.2/24");
    let server = net.start("server", &net.server, "");
    // (1) broadcast, (35) two interfaces
    assert_eq!(net.offer("eth7"), "10.178.1.2 10.178.1.2 10.178.1.2 eth7");
    assert_eq!(net.offer("eth8"), "10.178.2.2 10.178.2.2 10.178.2.2 eth8");
    // (36) an interface that is added while the server runs
    net.connect("eth9", "10.178.3.2/24");
    assert_eq!(net.offer("eth9"), "10.178.3.2 10.178.3.2 10.178.3.2 eth9");
    // (37) an address that changes
    let s = &net.server;
    assert!(ip(&format!("-n {s} address del 10.178.1.2/24 dev eth7")));
    assert!(ip(&format!("-n {s} address add 10.178.1.77/24 dev eth7")));
    assert_eq!(net.offer("eth7"), "10.178.1.77 10.178.1.77 10.178.1.77 eth7");
    drop(server);
}

fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Two namespaces, removed at the end.
struct Namespaces {
    server: String,
    client: String,
}

impl Namespaces {
    fn new() -> Option<Namespaces> {
        let id = std::process::id();
        let both = Namespaces { server: format!("pmt{id}s"), client: format!("pmt{id}c") };
        let made = ip(&format!("netns add {}", both.server)) && ip(&format!("netns add {}", both.client));
        made.then_some(both)
    }

    /// A wire between the two; the client's end has no address, as before a lease.
    fn connect(&self, device: &str, address: &str) {
        let (s, c) = (&self.server, &self.client);
        assert!(ip(&format!("-n {s} link add {device} type veth peer name {device} netns {c}")));
        assert!(ip(&format!("-n {s} address add {address} dev {device}")));
        assert!(ip(&format!("-n {s} link set {device} up")) && ip(&format!("-n {c} link set {device} up")));
    }

    fn start(&self, role: &str, namespace: &str, device: &str) -> Running {
        let own = std::env::current_exe().unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(own).args(["--nocapture", "--test-threads=1"]);
        let child = command.env(ROLE, role).env(DEVICE, device).stdout(Stdio::piped()).spawn().unwrap();
        Running(Some(child))
    }

    /// `siaddr`, option 54, source address, and the interface that the question was seen on.
    fn offer(&self, device: &str) -> String {
        let mut client = self.start("client", &self.client, device);
        let output = client.0.take().unwrap().wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let offer = text.lines().find_map(|line| line.split("OFFER ").nth(1));
        offer.unwrap_or_else(|| panic!("no offer on {device}: {text}")).to_owned()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        ip(&format!("netns delete {}", self.server));
        ip(&format!("netns delete {}", self.client));
    }
}

struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
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

async fn serve() {
    let options = ServerOptions::default();
    let server = DhcpServer::bind(&options, Arc::new(Interface), Arc::new(Counters::default())).unwrap();
    server.run(CancellationToken::new()).await;
}

/// A PC BIOS without an address: broadcasts until it is answered, at most ten seconds.
async fn ask(device: &str) {
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 68);
    let options = BindOptions { broadcast: true, device: Some(device.to_owned()), ..BindOptions::new(any) };
    let socket = UdpSocket::bind(&options).unwrap();
    let mut received = RecvBatch::new(1, 1500);
    for _ in 0..50 {
        let everybody = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), 67);
        // Fails while the wire comes up.
        let _ = socket.send(&discover(), everybody, None).await;
        let reply = tokio::time::timeout(Duration::from_millis(200), socket.recv_batch(&mut received)).await;
        if reply.is_err() {
            continue;
        }
        let datagram = received.iter().next().expect("a datagram");
        assert_eq!((datagram.peer.port(), datagram.destination), (67, IpAddr::V4(Ipv4Addr::BROADCAST)));
        let offer = Message::parse(datagram.payload).unwrap();
        let identifier = offer.address(54).unwrap();
        let file = String::from_utf8_lossy(offer.file());
        println!("OFFER {} {identifier} {} {file}", offer.header.siaddr, datagram.peer.ip());
        return;
    }
}

fn discover() -> Vec<u8> {
    let zero = Ipv4Addr::UNSPECIFIED;
    let mut chaddr = [0; 16];
    chaddr[..6].copy_from_slice(&[0x52, 0x54, 0, 1, 2, 3]);
    let header = Header {
        op: Operation::Request,
        htype: 1,
        hlen: 6,
        hops: 0,
        xid: 7,
        secs: 0,
        flags: 0,
        ciaddr: zero,
        yiaddr: zero,
        siaddr: zero,
        giaddr: zero,
        chaddr,
    };
    let mut writer = Writer::new(&header, &[]);
    writer.option(53, &[1]).option(60, b"PXEClient:Arch:00000:UNDI:002001").option(93, &[0, 0]);
    writer.finish()
}
