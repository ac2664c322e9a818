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

mod load;
mod servers;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pointsman::files::{Content, FileRoot};
use pointsman::tftp::{ReadRequest, Refusal, TftpConfig, TftpServer, TftpSource, TransferOutcome};
use tokio_util::sync::CancellationToken;

use load::generate;
use servers::{Server, cpu_seconds, servers};

const FILE_SIZE: usize = 4 * 1024 * 1024 + 77;

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
