//! The servers under test: how each is started, and what CPU time it has taken.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pointsman::tftp::packet;

/// A server under test.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    line: Vec<String>,
    pub(crate) child: Child,
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
    pub(crate) fn restart_if_dead(&mut self) {
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

pub(crate) fn servers(directory: &Path, ours_only: bool) -> Vec<Server> {
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
pub(crate) fn cpu_seconds(root: u32) -> f64 {
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
