//! The load generator: a thousand clients on one socket, each with a loopback address of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use pointsman::net::udp::{BindOptions, RecvBatch, SendBatch, Source, UdpSocket};
use pointsman::tftp::packet::{self, Packet};

use crate::Case;

/// What a client waits before it repeats its last packet.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);
const GENERATOR_BUFFER: usize = 512 * 1024 * 1024;

/// One simulated client, after RFC 7440.
struct Client {
    number: usize,
    round: usize,
    address: Ipv4Addr,
    peer: Option<SocketAddr>,
    blksize: usize,
    window: u64,
    next: u64,
    unacknowledged: u64,
    gap_acknowledged: bool,
    heard_at: Instant,
    last_sent: Vec<u8>,
}

struct Generator {
    case: Case,
    server: SocketAddr,
    clients: Vec<Client>,
    out: SendBatch,
    bytes: u64,
    random: u64,
}

/// Loads `server` for `time`; gives the octets received in order, and the time it took.
pub(crate) async fn generate(case: Case, server: SocketAddr, time: Duration) -> (u64, Duration) {
    let socket = UdpSocket::bind(&BindOptions {
        receive_buffer: GENERATOR_BUFFER,
        send_buffer: 4 * 1024 * 1024,
        ..BindOptions::new(SocketAddr::from(([0, 0, 0, 0], 0)))
    })
    .expect("a socket");
    let started = Instant::now();
    let mut generator = Generator {
        case,
        server,
        clients: Vec::new(),
        out: SendBatch::default(),
        bytes: 0,
        random: 88_172_645_463_325_252,
    };
    let mut batch = RecvBatch::new(256, 2_048);
    // Staggered, as the kernel's queue of the smallest peer holds some 200 requests.
    while generator.clients.len() < case.clients {
        for _ in 0..16.min(case.clients - generator.clients.len()) {
            generator.add(Instant::now());
        }
        socket.send_batch(&mut generator.out).await;
        let wait = tokio::time::timeout(Duration::from_millis(2), socket.recv_batch(&mut batch));
        if wait.await.is_ok() {
            generator.receive(&batch);
            socket.send_batch(&mut generator.out).await;
        }
    }
    let mut looked_at = Instant::now();
    while started.elapsed() < time {
        let wait = tokio::time::timeout(Duration::from_millis(50), socket.recv_batch(&mut batch));
        if wait.await.is_ok() {
            generator.receive(&batch);
        }
        if looked_at.elapsed() > Duration::from_millis(50) {
            looked_at = Instant::now();
            generator.repeat(looked_at);
        }
        if !generator.out.is_empty() {
            socket.send_batch(&mut generator.out).await;
        }
    }
    let (bytes, elapsed) = (generator.bytes, started.elapsed());
    generator.abort_all();
    socket.send_batch(&mut generator.out).await;
    (bytes, elapsed)
}

impl Generator {
    fn add(&mut self, now: Instant) {
        let number = self.clients.len();
        self.clients.push(Client {
            number,
            round: 0,
            address: Ipv4Addr::LOCALHOST,
            peer: None,
            blksize: 512,
            window: 1,
            next: 1,
            unacknowledged: 0,
            gap_acknowledged: false,
            heard_at: now,
            last_sent: Vec::new(),
        });
        self.begin(number, now);
    }

    /// Asks for the file from an address that this client has not used before.
    fn begin(&mut self, number: usize, now: Instant) {
        let (blksize, window) = (self.case.blksize.to_string(), self.case.windowsize.to_string());
        let mut options = vec![("blksize", blksize.as_str())];
        if self.case.windowsize > 1 {
            options.push(("windowsize", window.as_str()));
        }
        let request = packet::read_request("file", &options);
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        client.round += 1;
        let (low, high) = ((client.number % 250 + 1) as u8, (client.number / 250) as u8);
        let round = client.round % 12_000;
        let (r, q) = ((round % 200 + 16) as u8, (round / 200) as u8 * 4);
        client.address = Ipv4Addr::new(127, r, q + high, low);
        client.peer = None;
        client.blksize = 512;
        client.window = 1;
        client.next = 1;
        client.unacknowledged = 0;
        client.gap_acknowledged = false;
        client.heard_at = now;
        client.last_sent = request;
        let source = Source { address: client.address.into(), ifindex: 0 };
        self.out.push(&client.last_sent, self.server, Some(source));
    }

    fn receive(&mut self, batch: &RecvBatch) {
        let now = Instant::now();
        for datagram in batch.iter() {
            if self.is_lost() {
                continue;
            }
            let IpAddr::V4(address) = datagram.destination else {
                continue;
            };
            let [_, _, c, d] = address.octets();
            let number = usize::from(c % 4) * 250 + usize::from(d) - 1;
            let known = self.clients.get(number).is_some_and(|c| c.address == address);
            if let (true, Ok(packet)) = (known, Packet::parse(datagram.payload)) {
                self.take(number, &packet, datagram.peer, now);
            }
        }
    }

    fn take(&mut self, number: usize, packet: &Packet<'_>, peer: SocketAddr, now: Instant) {
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        if client.peer.is_some_and(|known| known != peer) {
            return;
        }
        client.peer = Some(peer);
        client.heard_at = now;
        match packet {
            Packet::OptionAck(options) if client.next == 1 => {
                for option in options {
                    let value = String::from_utf8_lossy(option.value).parse::<usize>();
                    match (option.name, value) {
                        (b"blksize", Ok(value)) => client.blksize = value,
                        (b"windowsize", Ok(value)) => client.window = value as u64,
                        _ => {}
                    }
                }
                self.acknowledge(number, 0);
            }
            Packet::Data { block, payload } => self.take_block(number, *block, payload.len(), now),
            _ => {}
        }
    }

    fn take_block(&mut self, number: usize, block: u16, length: usize, now: Instant) {
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        let distance = block.wrapping_sub(client.next as u16);
        if distance == 0 {
            client.next += 1;
            client.gap_acknowledged = false;
            client.unacknowledged += 1;
            self.bytes += length as u64;
            let is_last = length < client.blksize;
            if is_last || client.unacknowledged >= client.window {
                client.unacknowledged = 0;
                let acknowledged = client.next - 1;
                self.acknowledge(number, acknowledged);
            }
            if is_last {
                self.begin(number, now);
            }
            return;
        }
        let is_gap = distance < 0x8000 && !client.gap_acknowledged;
        let is_repeated = block == (client.next as u16).wrapping_sub(1);
        if is_gap || is_repeated {
            client.gap_acknowledged = is_gap;
            client.unacknowledged = 0;
            let acknowledged = client.next - 1;
            self.acknowledge(number, acknowledged);
        }
    }

    fn acknowledge(&mut self, number: usize, block: u64) {
        let is_lost = self.is_lost();
        let Some(client) = self.clients.get_mut(number) else {
            return;
        };
        client.last_sent = packet::ack(block as u16).to_vec();
        if let (Some(peer), false) = (client.peer, is_lost) {
            let source = Source { address: client.address.into(), ifindex: 0 };
            self.out.push(&client.last_sent, peer, Some(source));
        }
    }

    fn repeat(&mut self, now: Instant) {
        for client in &mut self.clients {
            if now.duration_since(client.heard_at) > CLIENT_TIMEOUT {
                client.heard_at = now;
                let source = Source { address: client.address.into(), ifindex: 0 };
                let to = client.peer.unwrap_or(self.server);
                self.out.push(&client.last_sent, to, Some(source));
            }
        }
    }

    fn abort_all(&mut self) {
        let abort = packet::error(packet::ErrorCode::NotDefined, "TFTP Aborted");
        for client in &self.clients {
            if let Some(peer) = client.peer {
                let source = Source { address: client.address.into(), ifindex: 0 };
                self.out.push(&abort, peer, Some(source));
            }
        }
    }

    /// Xorshift: the same sequence for every server.
    fn is_lost(&mut self) -> bool {
        if self.case.loss == 0 {
            return false;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1_000 < u64::from(self.case.loss)
    }
}
