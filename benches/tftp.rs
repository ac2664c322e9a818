//! TFTP beside its peers: tftpd-hpa, atftpd and dnsmasq, on loopback, with one load generator for all.
//!
//! ```text
//! cargo bench --bench tftp                          # a selection of cases
//! cargo bench --bench tftp -- --all                 # every case
//! cargo bench --bench tftp -- --only 1468/16/128    # blksize/windowsize/clients[/loss]
//! cargo bench --bench tftp -- --seconds 1 --runs 5 --ours
//! ```
//!
//! `PEERS_DIRECTORY` names another place than `/usr/sbin` for the peers: Debian does not install tftpd-hpa
//! and atftpd side by side, but `dpkg -x` unpacks both.
//!
//! Needs root (dnsmasq serves TFTP on port 69 only; here on 127.0.0.69). Peers that are not installed are
//! left out. Servers take turns; medians are printed. CPU time is that of the server with its children.
//! Each simulated client has a loopback address of its own; all share one socket of the generator, so that
//! its work per packet is small and the same for every server.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a program for the terminal, on our own machine"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pointsman::files::{Content, FileRoot};
use pointsman::net::udp::{BindOptions, RecvBatch, SendBatch, Source, UdpSocket};
use pointsman::tftp::packet::{self, Packet};
use pointsman::tftp::{ReadRequest, Refusal, TftpConfig, TftpServer, TftpSource, TransferOutcome};
use tokio_util::sync::CancellationToken;

const FILE_SIZE: usize = 4 * 1024 * 1024 + 77;
/// What a client waits before it repeats its last packet.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);
const GENERATOR_BUFFER: usize = 512 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq)]
struct Case {
    blksize: usize,
    windowsize: u64,
    clients: usize,
    /// Packets dropped of 1,000, in each direction.
    loss: u32,
}

impl Case {
    fn name(&self) -> String {
        let Self { blksize, windowsize, clients, loss } = self;
        format!("{blksize}/{windowsize}/{clients}/{}%", f64::from(*loss) / 10.0)
    }
}

#[derive(Clone, Copy, Default)]
struct Figure {
    megabytes_per_second: f64,
    cpu_seconds_per_gigabyte: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, port, directory] = arguments.as_slice()
        && word == "serve"
    {
        return serve(port.parse().expect("a port"), Path::new(directory));
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let flag = |name: &str| arguments.iter().any(|a| a == name);
    let seconds: f64 = value("--seconds").map_or(0.6, |v| v.parse().expect("seconds"));
    let runs: usize = value("--runs").map_or(3, |v| v.parse().expect("runs"));
    let directory = tempfile::tempdir().expect("a directory");
    prepare(directory.path());
    let mut servers = servers(directory.path(), flag("--ours"));
    let only = value("--only");
    println!("blksize/windowsize/clients/loss: MB/s (CPU s per GB), median of {runs} runs of {seconds} s");
    for case in cases(flag("--all")) {
        if only.as_ref().is_some_and(|o| !case.name().starts_with(o.as_str())) {
            continue;
        }
        compare(case, &mut servers, runs, Duration::from_secs_f64(seconds));
    }
}

fn cases(all: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for loss in [0, 10] {
        for blksize in [512, 1468] {
            for windowsize in [1, 4, 16, 64] {
                for clients in [1, 16, 128, 1000] {
                    let selected = blksize == 1468 || (windowsize == 1 && loss == 0);
                    if all || selected {
                        cases.push(Case { blksize, windowsize, clients, loss });
                    }
                }
            }
        }
    }
    cases
}

fn prepare(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let bytes: Vec<u8> = (0..FILE_SIZE).map(|i| (i % 251) as u8).collect();
    std::fs::write(directory.join("file"), bytes).expect("a file");
    for path in [directory.to_path_buf(), directory.join("file")] {
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755));
    }
}

struct Server {
    name: &'static str,
    address: SocketAddr,
    line: Vec<String>,
    child: Child,
}

impl Server {
    fn start(name: &'static str, address: SocketAddr, line: Vec<String>) -> Self {
        let child = Command::new(&line[0])
            .args(&line[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a server");
        let server = Self { name, address, line, child };
        server.wait_until_ready();
        server
    }

    /// atftpd ends under some of the loads.
    fn restart_if_dead(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            *self = Self::start(self.name, self.address, self.line.clone());
        }
    }

    fn wait_until_ready(&self) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let patience = Some(Duration::from_millis(200));
        socket.set_read_timeout(patience).expect("a timeout");
        let ready = (0..50).any(|_| {
            let _ = socket.send_to(&packet::read_request("nosuch", &[]), self.address);
            socket.recv_from(&mut [0; 600]).is_ok()
        });
        assert!(ready, "{} does not answer", self.name);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn servers(directory: &Path, ours_only: bool) -> Vec<Server> {
    let own = std::env::current_exe().expect("our own path");
    let dir = directory.to_str().expect("a plain path");
    let own = own.to_str().expect("a plain path");
    let mut lines: Vec<(&'static str, SocketAddr, Vec<&str>)> =
        vec![("pointsman", "127.0.0.1:16969".parse().unwrap(), vec![own, "serve", "16969", dir])];
    if !ours_only {
        lines.push((
            "tftpd-hpa",
            "127.0.0.1:16970".parse().unwrap(),
            vec!["in.tftpd", "-L", "-u", "root", "-a", "127.0.0.1:16970", "-s", dir],
        ));
        lines.push((
            "atftpd",
            "127.0.0.1:16971".parse().unwrap(),
            vec![
                "atftpd",
                "--daemon",
                "--no-fork",
                "--port",
                "16971",
                "--bind-address",
                "127.0.0.1",
                "--maxthread",
                "2000",
                "--user",
                "root",
                "--group",
                "root",
                "--verbose=1",
                dir,
            ],
        ));
        lines.push((
            "dnsmasq",
            "127.0.0.69:69".parse().unwrap(),
            vec![
                "dnsmasq",
                "-k",
                "-p",
                "0",
                "-C",
                "/dev/null",
                "-u",
                "root",
                "-x",
                "",
                "--enable-tftp",
                "--tftp-max=2000",
                "--bind-interfaces",
                "--listen-address=127.0.0.69",
                "--log-facility=/dev/null",
                "--tftp-root",
                dir,
            ],
        ));
    }
    let peers = std::env::var("PEERS_DIRECTORY").unwrap_or_default();
    let mut servers = Vec::new();
    for (name, address, line) in lines {
        let mut places = [peers.as_str(), "/usr/sbin", "/"].map(|place| Path::new(place).join(line[0])).into_iter();
        let Some(program) = places.find(|place| place.is_file()) else {
            println!("{name} is not installed: left out");
            continue;
        };
        let mut line: Vec<String> = line.into_iter().map(str::to_owned).collect();
        line[0] = program.to_str().expect("a plain path").to_owned();
        servers.push(Server::start(name, address, line));
    }
    servers
}

/// CPU seconds of a process and all that descend from it, with those that have ended.
fn cpu_seconds(root: u32) -> f64 {
    let mut processes: Vec<(u32, u32, u64)> = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let parent = fields.get(1).and_then(|f| f.parse().ok()).unwrap_or(0);
        let ticks = fields.iter().skip(11).take(4);
        let ticks = ticks.filter_map(|f| f.parse::<u64>().ok()).sum();
        processes.push((pid, parent, ticks));
    }
    let mut family = vec![root];
    let mut index = 0;
    while let Some(&parent) = family.get(index) {
        family.extend(processes.iter().filter(|p| p.1 == parent).map(|p| p.0));
        index += 1;
    }
    let ticks: u64 = processes.iter().filter(|p| family.contains(&p.0)).map(|p| p.2).sum();
    ticks as f64 / 100.0
}

fn compare(case: Case, servers: &mut [Server], runs: usize, time: Duration) {
    let mut figures: Vec<Vec<Figure>> = vec![Vec::new(); servers.len()];
    for _ in 0..runs {
        for (server, figures) in servers.iter_mut().zip(&mut figures) {
            server.restart_if_dead();
            figures.push(measure(case, server, time));
        }
    }
    let medians: Vec<Figure> = figures.iter().map(|f| median(f)).collect();
    let mut line = format!("{:<16}", case.name());
    for (server, figure) in servers.iter().zip(&medians) {
        line.push_str(&format!(
            " {} {:7.1} ({:.2})",
            server.name, figure.megabytes_per_second, figure.cpu_seconds_per_gigabyte
        ));
    }
    let (ours, peers) = medians.split_first().expect("our server");
    let best = peers.iter().map(|f| f.megabytes_per_second).fold(0.0, f64::max);
    // tftpd-hpa's processes leave its family, their CPU time is lost to us: it shows next to none.
    let counted = peers.iter().zip(servers.iter().skip(1)).filter(|(_, s)| s.name != "tftpd-hpa");
    let cheapest = counted.map(|(f, _)| f.cpu_seconds_per_gigabyte).fold(f64::MAX, f64::min);
    if best > 0.0 {
        line.push_str(&format!(
            "  x{:.2} cpu x{:.2}",
            ours.megabytes_per_second / best,
            ours.cpu_seconds_per_gigabyte / cheapest
        ));
    }
    println!("{line}");
}

fn median(figures: &[Figure]) -> Figure {
    let middle = |value: fn(&Figure) -> f64| {
        let mut values: Vec<f64> = figures.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    Figure {
        megabytes_per_second: middle(|f| f.megabytes_per_second),
        cpu_seconds_per_gigabyte: middle(|f| f.cpu_seconds_per_gigabyte),
    }
}

fn measure(case: Case, server: &Server, time: Duration) -> Figure {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = cpu_seconds(server.child.id());
    let (bytes, elapsed) = runtime.block_on(generate(case, server.address, time));
    let cpu = cpu_seconds(server.child.id()) - before;
    Figure {
        megabytes_per_second: bytes as f64 / elapsed.as_secs_f64() / 1e6,
        cpu_seconds_per_gigabyte: cpu / (bytes as f64 / 1e9).max(1e-9),
    }
}

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

async fn generate(case: Case, server: SocketAddr, time: Duration) -> (u64, Duration) {
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

struct Directory(FileRoot);

#[async_trait]
impl TftpSource for Directory {
    async fn open(&self, request: &ReadRequest) -> Result<Content, Refusal> {
        self.0.open(&request.file_name).await.map_err(|_| Refusal::NotFound)
    }

    fn finished(&self, _: &ReadRequest, _: &TransferOutcome) {}
}

fn serve(port: u16, directory: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let config = TftpConfig { bind: vec![Ipv4Addr::LOCALHOST.into()], port, ..TftpConfig::default() };
        let source = Directory(FileRoot::new(directory).expect("a directory"));
        let server = TftpServer::bind(config, Arc::new(source)).expect("a server");
        server.run(CancellationToken::new()).await;
    });
}
