//! DISCOVER to OFFER through real sockets, against dnsmasq as proxyDHCP server in the same run.
//!
//! `cargo bench --bench dhcp` (root: it makes two network namespaces with a veth pair, and removes them). A load
//! generator plays a relay agent in one of them; the servers take turns in the other, each held to one core:
//!
//! * *saturated*: always 128 questions under way; answers a second, and CPU time per answer (utime + stime).
//! * *paced*: 10,000 questions a second; latency at the 50th and 99th percentile, and loss.
//!
//! Pointsman is there twice: with a fixed decision, where what is measured is DHCP, and as the whole program with the site
//! that `pointsman init` writes, where a script looks every machine up in a table. dnsmasq answers from its configuration.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures may stop and print")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pointsman::dhcp::counters::Counters;
use pointsman::dhcp::packet::{Header, MessageType, Operation, Writer, code};
use pointsman::dhcp::server::{BootAnswers, DhcpAnswer, DhcpDecision, DhcpQuestion, DhcpServer, ServerOptions};
use pointsman::net::udp::{BindOptions, RecvBatch, SendBatch, UdpSocket};
use tokio_util::sync::CancellationToken;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 177, 0, 2);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 177, 0, 1);
const UNDER_WAY: usize = 128;
const PER_SECOND: u64 = 10_000;
const ROUNDS: usize = 5;
const SATURATED: Duration = Duration::from_secs(3);
const PACED: Duration = Duration::from_secs(3);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("server") => runtime().block_on(serve()),
        Some("load") => runtime().block_on(load(arguments.get(2).and_then(|pid| pid.parse().ok()).unwrap())),
        _ => compare(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Makes the namespaces; removes them when dropped.
struct Namespaces {
    server: String,
    load: String,
}

impl Namespaces {
    fn new() -> Option<Namespaces> {
        let id = std::process::id();
        let both = Namespaces { server: format!("pmb{id}s"), load: format!("pmb{id}l") };
        let (s, l) = (both.server.as_str(), both.load.as_str());
        let steps = [
            format!("netns add {s}"),
            format!("netns add {l}"),
            format!("-n {s} link add veth0 type veth peer name veth0 netns {l}"),
            format!("-n {s} address add {SERVER}/24 dev veth0"),
            format!("-n {l} address add {RELAY}/24 dev veth0"),
            format!("-n {s} link set veth0 up"),
            format!("-n {l} link set veth0 up"),
            format!("-n {s} link set lo up"),
        ];
        let made = steps
            .iter()
            .all(|step| Command::new("ip").args(step.split(' ')).status().is_ok_and(|status| status.success()));
        made.then_some(both)
    }

    fn command(namespace: &str, core: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "taskset", "-c", &core.to_string(), program]);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.load] {
            let _ = Command::new("ip").args(["netns", "delete", namespace]).stderr(Stdio::null()).status();
        }
    }
}

struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn compare() {
    let Some(namespaces) = Namespaces::new() else {
        println!("dhcp: skipped; network namespaces need root and the `ip` program");
        return;
    };
    let own = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    println!(
        "{:<10} {:>9} {:>12} {:>8} {:>8} {:>8} {:>6}",
        "", "answers/s", "us CPU each", "p50 us", "p99 us", "max us", "lost"
    );
    let site = site();
    let config = site.path().join("pointsman.toml");
    let config = config.to_str().unwrap();
    let program = env!("CARGO_BIN_EXE_pointsman");
    let contenders: [(&str, &str, &[&str]); 3] = [
        ("dnsmasq", "dnsmasq", &DNSMASQ),
        ("fixed", &own, &["server"]),
        ("script", program, &["serve", "--config", config]),
    ];
    for _ in 0..ROUNDS {
        for (name, program, arguments) in contenders {
            let mut command = Namespaces::command(&namespaces.server, 0, program);
            let server = match command.args(arguments).stdout(Stdio::null()).spawn() {
                Ok(child) => Stopped(child),
                Err(error) => {
                    println!("{name}: {error}");
                    continue;
                }
            };
            let mut load = Namespaces::command(&namespaces.load, 1, &own);
            let output = load.args(["load", &server.0.id().to_string()]).stderr(Stdio::inherit()).output().unwrap();
            print!("{name:<10} {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

const DNSMASQ: [&str; 10] = [
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--port=0",
    "--user=root",
    "--quiet-dhcp",
    "--log-facility=/dev/null",
    "--pid-file=",
    "--leasefile-ro",
    "--dhcp-range=10.177.0.0,proxy",
    "--pxe-service=X86-64_EFI,boot,b/token/snponly.efi",
];

/// The site that `init` writes, with something in the loader's place: it is named here, not loaded.
fn site() -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    let site = folder.path().to_str().unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_pointsman")).args(["init", site]).stdout(Stdio::null()).status();
    assert!(made.unwrap().success(), "`pointsman init` failed");
    let _ = std::fs::create_dir(folder.path().join("loaders"));
    std::fs::write(folder.path().join("loaders/snponly.efi"), b"MZ").unwrap();
    folder
}

/// Always the same answer, at once.
struct Fixed;

impl BootAnswers for Fixed {
    fn answer(self: Arc<Self>, _question: DhcpQuestion) -> BoxFuture<'static, DhcpDecision> {
        let file = "b/ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOP/snponly.efi".to_owned();
        std::future::ready(DhcpAnswer::Boot { file, next_server: None }.into()).boxed()
    }
}

async fn serve() {
    let server = DhcpServer::bind(&ServerOptions::default(), Arc::new(Fixed), Arc::new(Counters::default())).unwrap();
    server.run(CancellationToken::new()).await;
}

/// The DISCOVER that OVMF sends, through a relay.
fn discover() -> Vec<u8> {
    let header = Header {
        op: Operation::Request,
        htype: 1,
        hlen: 6,
        hops: 1,
        xid: 0,
        secs: 0,
        flags: Header::BROADCAST,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        yiaddr: Ipv4Addr::UNSPECIFIED,
        siaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: RELAY,
        chaddr: [0x52, 0x54, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    };
    let requested = [
        1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97, 128, 129,
        130, 131, 132, 133, 134, 135,
    ];
    let mut writer = Writer::new(&header, &[]);
    writer
        .option(code::MESSAGE_TYPE, &[MessageType::Discover.code()])
        .option(code::MAXIMUM_MESSAGE_SIZE, &1472u16.to_be_bytes())
        .option(55, &requested)
        .option(code::MACHINE_ID, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
        .option(code::NETWORK_INTERFACE, &[1, 3, 0])
        .option(code::ARCHITECTURE, &[0, 7])
        .option(code::VENDOR_CLASS, b"PXEClient:Arch:00007:UNDI:003000");
    writer.finish()
}

/// A relay agent with many clients.
struct Relay {
    socket: UdpSocket,
    packet: Vec<u8>,
    next: u32,
    asked_at: Vec<Option<Instant>>,
    questions: SendBatch,
    replies: RecvBatch,
}

const REMEMBERED: usize = 1 << 16;

impl Relay {
    fn new() -> Relay {
        let address = SocketAddr::new(IpAddr::V4(RELAY), 67);
        let options = BindOptions { receive_buffer: 8 << 20, send_buffer: 4 << 20, ..BindOptions::new(address) };
        Relay {
            socket: UdpSocket::bind(&options).unwrap(),
            packet: discover(),
            next: 0,
            asked_at: vec![None; REMEMBERED],
            questions: SendBatch::default(),
            replies: RecvBatch::new(256, 1500),
        }
    }

    /// Sends questions of as many clients; each has its own hardware address.
    async fn ask(&mut self, count: usize) {
        let now = Instant::now();
        for _ in 0..count {
            self.next = self.next.wrapping_add(1);
            self.packet[4..8].copy_from_slice(&self.next.to_be_bytes());
            // None of the machines that the site's table blocks: 52:54:00:00:00:04 would get silence.
            self.packet[30..34].copy_from_slice(&(0x10000 + self.next % 1000).to_be_bytes());
            self.asked_at[self.next as usize % REMEMBERED] = Some(now);
            self.questions.push(&self.packet, SocketAddr::new(IpAddr::V4(SERVER), 67), None);
        }
        self.socket.send_batch(&mut self.questions).await;
    }

    /// Takes what comes within `patience`; the latency of each.
    async fn take(&mut self, patience: Duration, latencies: &mut Vec<Duration>) -> usize {
        let received = self.socket.recv_batch(&mut self.replies);
        if tokio::time::timeout(patience, received).await.is_err() {
            return 0;
        }
        let now = Instant::now();
        let before = latencies.len();
        for reply in self.replies.iter().filter(|reply| reply.payload.len() >= 240) {
            let xid = u32::from_be_bytes(reply.payload[4..8].try_into().unwrap());
            latencies.extend(self.asked_at[xid as usize % REMEMBERED].take().map(|at| now - at));
        }
        latencies.len() - before
    }
}

async fn load(server: u32) {
    let mut relay = Relay::new();
    let mut latencies = Vec::new();
    let begin = Instant::now();
    while latencies.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(10), "the server does not answer");
        relay.ask(1).await;
        relay.take(Duration::from_millis(100), &mut latencies).await;
    }
    let (per_second, cpu) = saturate(&mut relay, server).await;
    while relay.take(Duration::from_millis(200), &mut latencies).await > 0 {}
    // An answer that still comes is none of the next phase.
    relay.asked_at.fill(None);
    let (mut latencies, asked) = pace(&mut relay).await;
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_micros();
    let lost = asked - latencies.len();
    println!("{per_second:>9.0} {cpu:>12.2} {:>8} {:>8} {:>8} {lost:>6}", at(0.5), at(0.99), at(1.0));
}

async fn saturate(relay: &mut Relay, server: u32) -> (f64, f64) {
    let mut latencies = Vec::with_capacity(1 << 20);
    let cpu_before = cpu_time(server);
    let begin = Instant::now();
    relay.ask(UNDER_WAY).await;
    while begin.elapsed() < SATURATED {
        match relay.take(Duration::from_millis(100), &mut latencies).await {
            0 => relay.ask(UNDER_WAY).await,
            answered => relay.ask(answered).await,
        }
    }
    let elapsed = begin.elapsed();
    let cpu = cpu_time(server) - cpu_before;
    (latencies.len() as f64 / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / latencies.len() as f64)
}

/// Ten questions every millisecond.
async fn pace(relay: &mut Relay) -> (Vec<Duration>, usize) {
    let mut latencies = Vec::with_capacity(1 << 20);
    let (begin, mut asked) = (Instant::now(), 0);
    while begin.elapsed() < PACED {
        let due = (begin.elapsed().as_micros() as u64 * PER_SECOND / 1_000_000) as usize;
        let now = (due.saturating_sub(asked)).min(50);
        if now > 0 {
            relay.ask(now).await;
            asked += now;
        }
        relay.take(Duration::from_micros(500), &mut latencies).await;
    }
    let end = Instant::now() + Duration::from_secs(1);
    while latencies.len() < asked && Instant::now() < end {
        relay.take(Duration::from_millis(100), &mut latencies).await;
    }
    (latencies, asked)
}

/// User and system time of a process, in ticks of 10 ms.
fn cpu_time(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
