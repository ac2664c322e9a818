//! What it costs to lean on an upstream: a decision that is asked for, and a file that comes from the cache.
//!
//! `cargo bench --bench referral [-- ROUNDS]`: two daemons on loopback, an upstream with the rules and the images, and a
//! site that asks it. Both are measured in turn, so that other load on the machine falls on both:
//!
//! * *decision*: a machine comes to `/boot` with its facts and gets its script, each a boot of its own; the site's way
//!   has the upstream's in it, *may I boot?* and *what do I boot?* one after the other;
//! * *file*: 64 MiB from the images folder of the upstream's own machines, and from the cache of the site.
//!
//! The WAN's own time comes on top: two round trips for a decision.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark on a terminal")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");
const FILE_LEN: usize = 64 * 1024 * 1024;
/// What one measurement of files moves.
const MOVED: usize = 1024 * 1024 * 1024;
/// How long one measurement of decisions takes.
const RUN: Duration = Duration::from_secs(3);

const RULES: &str = "fn allow_boot(request) { allow() }\n\
                     fn boot_images(request) { linux(#{ id: \"d\", kernel: \"big/file\", cmdline: request.mac }) }\n";

fn main() {
    let argument = std::env::args().skip(1).find(|argument| argument != "--bench");
    if argument.as_deref() == Some("test") {
        return;
    }
    let rounds: usize = argument.map_or(3, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (upstream, site) = start(folder.path());
    println!("{:<24} {:>12} {:>12} {:>12} {:>8}", "", "upstream", "site", "", "ratio");
    for callers in [1, 64] {
        let pairs: Vec<_> = (0..rounds).map(|_| (decisions(&upstream, callers), decisions(&site, callers))).collect();
        let median = |of: &dyn Fn(&(Decided, Decided)) -> f64| median(pairs.iter().map(of).collect());
        let (ours, theirs) = (median(&|pair| pair.0.median_ms), median(&|pair| pair.1.median_ms));
        println!(
            "{:<24} {ours:>9.2} ms {theirs:>9.2} ms {:>+9.2} ms",
            format!("decision, {callers} callers"),
            theirs - ours
        );
        let (ours, theirs) = (median(&|pair| pair.0.p99_ms), median(&|pair| pair.1.p99_ms));
        println!("{:<24} {ours:>9.2} ms {theirs:>9.2} ms {:>+9.2} ms", "  99 of 100 within", theirs - ours);
        let (ours, theirs) = (median(&|pair| pair.0.per_second), median(&|pair| pair.1.per_second));
        println!("{:<24} {ours:>10.0}/s {theirs:>10.0}/s {:>12} {:>8.2}", "  in a second", "", theirs / ours);
    }
    // Everything is in the cache from the first machine on.
    files(&site, 1);
    for clients in [1, 16] {
        let pairs: Vec<_> = (0..rounds).map(|_| (files(&upstream, clients), files(&site, clients))).collect();
        let (ours, theirs) = (median(pairs.iter().map(|p| p.0).collect()), median(pairs.iter().map(|p| p.1).collect()));
        let label = format!("file, {clients} clients");
        println!("{label:<24} {ours:>7.0} MB/s {theirs:>7.0} MB/s {:>12} {:>8.2}", "", theirs / ours);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A running daemon.
struct Running {
    child: Child,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn run(config: &Path, arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).arg("--config").arg(config).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// An upstream, and a site that asks it.
fn start(folder: &Path) -> (Running, Running) {
    let api = free_port();
    let rules = "[[handler]]\nkind = \"script\"\nallow_boot = \"rules.rhai\"\nboot_images = \"rules.rhai\"\n";
    let above = write_site(&folder.join("upstream"), &format!("{rules}[api]\nenabled = true\nport = {api}\n"));
    std::fs::write(folder.join("upstream/rules.rhai"), RULES).unwrap();
    std::fs::create_dir_all(folder.join("upstream/images/big")).unwrap();
    let file: Vec<u8> = (0..FILE_LEN as u32 / 4).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(folder.join("upstream/images/big/file"), file).unwrap();
    let upstream = serve(&above);
    let url = format!("https://127.0.0.1:{api}");
    let referral = "[[handler]]\nkind = \"referral\"\nupstreams = [\"main\"]\n";
    let below = write_site(&folder.join("site"), &format!("{referral}[upstream.main]\nurl = {url:?}\n"));
    let added = run(&above, &["site", "add", "bench"]);
    let token = added.split_whitespace().find(|word| word.starts_with("pm1.")).unwrap();
    run(&below, &["site", "enroll", "main", &url, "--token", token]);
    (upstream, serve(&below))
}

fn write_site(folder: &Path, more: &str) -> PathBuf {
    run(Path::new("unused"), &["init", folder.to_str().unwrap()]);
    let config = format!(
        "[server]\naddress = \"127.0.0.1\"\n[dhcp]\nenabled = false\n[tftp]\nenabled = false\n[https]\nenabled = false\n\
         [http]\nport = 0\nentry = true\n[log]\nformat = \"json\"\n[store]\nhistory = false\n{more}"
    );
    let file = folder.join("pointsman.toml");
    std::fs::write(&file, config).unwrap();
    file
}

fn serve(config: &Path) -> Running {
    let mut child =
        Command::new(PROGRAM).arg("--config").arg(config).arg("serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let serving = lines.find(|line| line.contains("\"serving\"")).unwrap();
    // The log is read to its end, so that nobody waits for it.
    std::thread::spawn(move || lines.for_each(drop));
    let (_, rest) = serving.split_once("\"http\":").unwrap();
    let port = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    Running { child, port }
}

struct Decided {
    median_ms: f64,
    p99_ms: f64,
    per_second: f64,
}

/// Machines that nobody has seen before, each gets its script.
fn decisions(server: &Running, callers: usize) -> Decided {
    static MACHINES: AtomicU32 = AtomicU32::new(0);
    let begun = Instant::now();
    let mut times: Vec<f64> = std::thread::scope(|scope| {
        let caller = || {
            let mut times = Vec::new();
            let mut connection = BufReader::new(TcpStream::connect(("127.0.0.1", server.port)).unwrap());
            while begun.elapsed() < RUN {
                let [a, b, c, d] = MACHINES.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                let path = format!("/boot?mac=02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}&platform=efi&buildarch=x86_64");
                let asked = Instant::now();
                let script = get(&mut connection, &path);
                times.push(asked.elapsed().as_secs_f64() * 1000.0);
                assert!(script.contains("big/file"), "{script}");
            }
            times
        };
        let callers: Vec<_> = (0..callers).map(|_| scope.spawn(caller)).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    times.sort_by(f64::total_cmp);
    let per_second = times.len() as f64 / begun.elapsed().as_secs_f64();
    Decided { median_ms: times[times.len() / 2], p99_ms: times[times.len() * 99 / 100], per_second }
}

/// Megabytes in a second.
fn files(server: &Running, clients: usize) -> f64 {
    let mut connection = BufReader::new(TcpStream::connect(("127.0.0.1", server.port)).unwrap());
    let script = get(&mut connection, "/boot?mac=02:ff:00:00:00:01&platform=efi&buildarch=x86_64");
    let url = script.split_whitespace().find(|word| word.ends_with("big/file")).unwrap();
    let path = &url[url.find("/b/").unwrap()..];
    let (each, begun) = ((MOVED / FILE_LEN).div_ceil(clients), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut connection =
                    BufReader::with_capacity(1 << 20, TcpStream::connect(("127.0.0.1", server.port)).unwrap());
                for _ in 0..each {
                    let length = request(&mut connection, path);
                    let copied = std::io::copy(&mut connection.by_ref().take(length), &mut std::io::sink()).unwrap();
                    assert_eq!(copied, FILE_LEN as u64);
                }
            });
        }
    });
    (each * clients * FILE_LEN) as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

fn get(connection: &mut BufReader<TcpStream>, path: &str) -> String {
    let length = request(connection, path);
    let mut body = String::new();
    connection.take(length).read_to_string(&mut body).unwrap();
    body
}

/// Sends a request and reads the head of its answer; the length of the body.
fn request(connection: &mut BufReader<TcpStream>, path: &str) -> u64 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).unwrap();
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        connection.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            return length;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
}
