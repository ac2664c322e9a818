use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::super::super::server::{DhcpAnswer, DhcpDecision};
use super::super::packet::{Message, MessageType, by_relay};
use super::super::sample;
use super::*;
use crate::boot::{HardwareAddress, Stage};

/// Tells every machine the same, but for those whose address ends in these.
struct Scripted {
    asked: Mutex<Vec<DhcpQuestion>>,
}

const IGNORED: u8 = 2;
const PANICS: u8 = 3;
const BY_IPV4: u8 = 4;
const LOADER: &str = "b/t/loader";
const PATIENCE: Duration = Duration::from_secs(5);

impl BootAnswers for Scripted {
    fn answer(self: Arc<Self>, question: DhcpQuestion) -> BoxFuture<'static, DhcpDecision> {
        let kind = *question.client.hardware.octets().last().unwrap();
        assert_ne!(kind, PANICS, "before any future");
        self.asked.lock().unwrap().push(question);
        let next_server = (kind == BY_IPV4).then(|| [10, 0, 0, 9].into());
        let answer = match kind {
            IGNORED => DhcpAnswer::Silent,
            _ => DhcpAnswer::Boot { file: LOADER.into(), next_server },
        };
        std::future::ready(answer.into()).boxed()
    }
}

struct Running {
    answers: Arc<Scripted>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    dhcp: SocketAddr,
    boot_server: SocketAddr,
    client: tokio::net::UdpSocket,
}

async fn running() -> Running {
    let answers = Arc::new(Scripted { asked: Mutex::default() });
    let counters = Arc::new(Counters::default());
    let server = Dhcp6Server::bind(Dhcp6Options::default(), Arc::clone(&answers) as _, Arc::clone(&counters)).unwrap();
    let at = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, server.local_addresses(port).next().unwrap().port()));
    let (dhcp, boot_server) = (at(Port::Dhcp), at(Port::BootServer));
    let stop = CancellationToken::new();
    let task = tokio::spawn(server.run(stop.clone()));
    let client = tokio::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    Running { answers, counters, stop, task, dhcp, boot_server, client }
}

impl Running {
    async fn receive(&self) -> Packet {
        let mut room = [0; 1500];
        let length = timeout(PATIENCE, self.client.recv(&mut room)).await.expect("an answer").unwrap();
        Packet::parse(&room[..length]).unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("the server ends").unwrap();
    }
}

/// A SOLICIT of the machine whose address ends in `kind`, by a relay agent that wants its answer where it sent from.
fn solicit(kind: u8) -> Vec<u8> {
    let peer = Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, kind]);
    let duid = [&[0, 4][..], &sample::SMBIOS_UUID].concat();
    let message = sample::edk2(MessageType::Solicit, &duid, "PXEClient:Arch:00007:UNDI:003000", 7).finish();
    by_relay("fd99::1".parse().unwrap(), peer, &[(code::RELAY_PORT, &[0, 0])], &message)
}

fn url(message: &Message) -> &str {
    std::str::from_utf8(message.options.get(code::BOOT_FILE_URL).unwrap()).unwrap()
}

#[tokio::test]
async fn a_boot_goes_from_the_solicit_to_the_second_question() {
    let server = running().await;
    server.client.send_to(&solicit(1), server.dhcp).await.unwrap();
    let packet = server.receive().await;
    assert_eq!(packet.relays.len(), 1);
    let advertise = packet.message;
    assert_eq!(advertise.message_type, MessageType::Advertise);
    assert!(
        url(&advertise).starts_with("tftp://[") && url(&advertise).ends_with("]/b/t/loader"),
        "{}",
        url(&advertise)
    );

    // The machine's UUID is all that the second question says of it.
    let duid = advertise.options.get(code::CLIENT_ID).unwrap();
    let mut request = sample::edk2(MessageType::Request, duid, "PXEClient:Arch:00007:UNDI:003000", 7);
    request.option(code::SERVER_ID, advertise.options.get(code::SERVER_ID).unwrap());
    server.client.send_to(&request.finish(), server.boot_server).await.unwrap();
    let reply = server.receive().await.message;
    assert_eq!(reply.message_type, MessageType::Reply);
    assert_eq!(url(&reply), "tftp://[::1]/b/t/loader");

    let asked = server.answers.asked.lock().unwrap().clone();
    let machine: HardwareAddress = [2, 0, 0, 0, 0, 1].into();
    let of: Vec<_> = asked.iter().map(|question| (question.client.hardware, question.stage)).collect();
    assert_eq!(of, [(machine, Stage::Discover), (machine, Stage::BootServer)]);
    assert_eq!(asked[0].network.client, Some("fd99::1".parse().unwrap()), "a rule by subnet finds the link");
    assert_eq!((server.counters.advertised.value(), server.counters.replied.value()), (1, 1));
    assert_eq!(server.counters.relayed.value(), 1);
    server.end().await;
}

#[tokio::test]
async fn silence_panics_and_answers_that_do_not_fit_stop_nobody() {
    let server = running().await;
    for kind in [IGNORED, PANICS, BY_IPV4] {
        server.client.send_to(&solicit(kind), server.dhcp).await.unwrap();
    }
    for noise in [&b""[..], b"x", &[12; 40], &sample::edk2_solicit()] {
        server.client.send_to(noise, server.dhcp).await.unwrap();
    }
    server.client.send_to(&solicit(1), server.dhcp).await.unwrap();
    assert!(url(&server.receive().await.message).ends_with("loader"));
    let counters = Arc::clone(&server.counters);
    server.end().await;
    let counted = |name| counters.outcomes().find(|(named, _)| *named == name).unwrap().1;
    for name in ["ignored", "panicked", "unusable", "advertise", "invalid"] {
        assert_eq!(counted(name), 1, "{name}");
    }
    assert_eq!((counted("received"), counted("malformed")), (8, 3));
}
