//! How fast files come by HTTP and HTTPS, and what that costs the server, beside nginx.
//!
//! `cargo bench --bench http [-- ROUNDS]`: one file of 64 MiB, by 1 and by 64 clients, with and without TLS. Both servers
//! run at the same time as processes of their own and are measured in turn, so that other load on the machine falls on
//! both. The table shows the median of the rounds: what the clients received, and the server's processor time (user and
//! system) for a gigabyte. Without nginx in the path only this server is measured.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark on a terminal")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use pointsman::boot::{Architecture, BootImages, BootRequest, Client, FileName, Stage, Verdict};
use pointsman::cache::Library;
use pointsman::decision::{
    Answer, DecisionEngine, HandlerError, Policy, RequestHandler, Session, Sessions, TokenKey, World,
};
use pointsman::files::{Content, FileRoot};
use pointsman::http::{Connection, HttpState, Limits, Server, Site};
use pointsman::ipxe::SessionUrls;
use pointsman::observe::Metrics;
use pointsman::tls::{Acceptor, ensure_ca};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

const FILE_LEN: usize = 64 * 1024 * 1024;
/// What one measurement moves, at least.
const MOVED_MIN: usize = 2 * 1024 * 1024 * 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(Path::new(&arguments[1])),
        Some("test") => {}
        rounds => compare(rounds.map_or(3, |rounds| rounds.parse().expect("a number of rounds"))),
    }
}

/// A server under test.
struct Tested {
    name: &'static str,
    child: Child,
    path: String,
    http: SocketAddr,
    https: SocketAddr,
}

impl Drop for Tested {
    fn drop(&mut self) {
        // nginx passes the signal on to its workers; a plain kill would leave them.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn compare(rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let file: Vec<u8> = (0..FILE_LEN as u32 / 4).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(folder.path().join("file"), file).unwrap();
    let authority = ensure_ca(folder.path()).unwrap();
    authority.identity(&[], &["127.0.0.1".parse().unwrap()], Timestamp::now()).unwrap();
    let mut servers = vec![start_ours(folder.path())];
    servers.extend(start_nginx(folder.path()));
    println!("{:<22} {:<10} {:>10} {:>12}", "", "", "MB/s", "CPU s/GB");
    for tls in [false, true] {
        for clients in [1, 64] {
            let mut measured = vec![Vec::new(); servers.len()];
            for _ in 0..rounds {
                for (server, results) in servers.iter().zip(&mut measured) {
                    results.push(measure(server, tls, clients, folder.path()));
                }
            }
            let label = format!("{}, {clients} clients", if tls { "HTTPS" } else { "HTTP" });
            for (server, results) in servers.iter().zip(&measured) {
                let median = |pick: fn(&(f64, f64)) -> f64| {
                    let mut values: Vec<f64> = results.iter().map(pick).collect();
                    values.sort_by(f64::total_cmp);
                    values[values.len() / 2]
                };
                println!("{label:<22} {:<10} {:>10.0} {:>12.3}", server.name, median(|r| r.0), median(|r| r.1));
            }
        }
    }
}

/// Megabytes in a second, and seconds of the server's processor time for a gigabyte.
fn measure(server: &Tested, tls: bool, clients: usize, folder: &Path) -> (f64, f64) {
    let each = (MOVED_MIN / FILE_LEN).div_ceil(clients);
    let config = Arc::new(client_config(folder));
    let (before, started) = (cpu_seconds(server.child.id()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..clients {
            let config = Arc::clone(&config);
            scope.spawn(move || {
                let address = if tls { server.https } else { server.http };
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                if tls {
                    let connection = rustls::ClientConnection::new(config, ServerName::from(address.ip())).unwrap();
                    load(rustls::StreamOwned::new(connection, stream), &server.path, each);
                } else {
                    load(stream, &server.path, each);
                }
            });
        }
    });
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds(server.child.id()) - before);
    let moved = (each * clients * FILE_LEN) as f64;
    (moved / 1e6 / elapsed, cpu / (moved / 1e9))
}

fn load(mut stream: impl Read + Write, path: &str, times: usize) {
    let mut buffer = vec![0; 256 * 1024];
    for _ in 0..times {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let (mut read, mut head) = (0, None);
        while head.is_none_or(|head| read < head + FILE_LEN) {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the server closed the connection");
            if head.is_none() {
                assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&buffer[..200]));
                let end = buffer[..count].windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
                head = Some(end + 4);
            }
            read += count;
        }
    }
}

fn client_config(folder: &Path) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // Firmware ends at TLS 1.2.
    let versions = [&rustls::version::TLS12];
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// Processor time of a process and its children, from `/proc`.
fn cpu_seconds(process: u32) -> f64 {
    let ticks = |stat: &str| -> (u32, u64) {
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[1].parse().unwrap(), fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
    };
    let mut total = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let (parent, used) = ticks(&stat);
        if id == process || parent == process {
            total += used;
        }
    }
    // USER_HZ is 100 on every Linux.
    total as f64 / 100.0
}

fn start_ours(folder: &Path) -> Tested {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program).arg("serve").arg(folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (http, https) = (lines.next().unwrap().parse().unwrap(), lines.next().unwrap().parse().unwrap());
    Tested { name: "pointsman", child, path: lines.next().unwrap(), http, https }
}

fn start_nginx(folder: &Path) -> Option<Tested> {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (http, https, at) = (free(), free(), folder.display());
    let config = format!(
        "user root; daemon off; worker_processes auto; pid {at}/nginx.pid; error_log {at}/error.log;
         events {{ worker_connections 1024; }}
         http {{ access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000;
           client_body_temp_path {at}; proxy_temp_path {at}; fastcgi_temp_path {at}; uwsgi_temp_path {at}; scgi_temp_path {at};
           server {{ listen {http}; root {at}; }}
           server {{ listen {https} ssl; root {at}; ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;
             ssl_protocols TLSv1.2; }} }}"
    );
    std::fs::write(folder.join("nginx.conf"), config).unwrap();
    let child = Command::new("nginx").arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg("stderr").spawn().ok()?;
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(https).is_err() {
        assert!(Instant::now() < until, "nginx does not start: {at}/error.log");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(Tested { name: "nginx", child, path: "/file".into(), http, https })
}

struct Everything;

#[async_trait]
impl RequestHandler for Everything {
    fn name(&self) -> &str {
        "everything"
    }

    async fn allow_boot(&self, _: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        Ok(Answer::Given(Verdict::allow()))
    }

    async fn boot_images(&self, _: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        Ok(Answer::Pass)
    }
}

struct Folder(Library);

impl Site for Folder {
    fn images(&self) -> Library {
        self.0.clone()
    }

    fn loader(&self, _: &Client, _: &FileName) -> Option<Content> {
        None
    }

    fn urls(&self, _: &Session, _: &Connection) -> SessionUrls {
        "http://127.0.0.1/".parse().unwrap()
    }

    fn authority(&self) -> Option<Bytes> {
        None
    }
}

#[tokio::main]
async fn serve(folder: &Path) {
    let identity = ensure_ca(folder).unwrap().identity(&[], &["127.0.0.1".parse().unwrap()], Timestamp::now()).unwrap();
    let world = World {
        handlers: vec![Arc::new(Everything)],
        policy: Policy::default(),
        site: "".into(),
        keys: Default::default(),
        quirks: Default::default(),
    };
    let engine = Arc::new(DecisionEngine::new(world, Sessions::new(TokenKey::new(&[1; 32]), 10)));
    let client = Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI);
    let session = engine.session_for(&client, 1, Stage::Discover, Timestamp::now());
    let token = engine.sessions().token(&session, true, Timestamp::now());
    let state =
        HttpState::new(engine, Arc::new(Folder(FileRoot::new(folder).unwrap().into())), Arc::new(Metrics::default()));
    let server = Server::new(state, Limits::default());
    let stop = tokio_util::sync::CancellationToken::new();
    for tls in [None, Some(Acceptor::new(&identity).unwrap())] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        tokio::spawn(Arc::clone(&server).serve(listener, tls, stop.clone()));
    }
    println!("/b/{token}/f/file");
    std::future::pending().await
}
