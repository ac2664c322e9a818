//! Who holds a port: read from `/proc`, for an error that names the culprit.
//!
//! The kernel lists sockets with their inode (`/proc/net/udp`, `/proc/net/tcp`), and processes list the inodes they
//! have open (`/proc/PID/fd`). Without privilege other users' processes stay hidden: then the answer
//! is `None`, and the error says less.
//!
//! **Invariant**: this is best effort, it never fails and never delays anything but an error.

use std::{fmt, fs};

/// A process that has a port open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// Process id.
    pub pid: u32,
    /// The process's short name (`comm`).
    pub name: String,
}

impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Finds a process that holds UDP `port` in this network namespace, if this process may see it.
pub fn find_udp_port_holder(port: u16) -> Option<PortHolder> {
    find_port_holder(["/proc/net/udp", "/proc/net/udp6"], port)
}

/// Whether any process of this network namespace holds UDP `port`, seen or not.
pub fn is_udp_port_held(port: u16) -> bool {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    tables.iter().any(|table| !inodes_on_port(table, port).is_empty())
}

/// Finds a process that holds TCP `port` in this network namespace, if this process may see it.
pub fn find_tcp_port_holder(port: u16) -> Option<PortHolder> {
    find_port_holder(["/proc/net/tcp", "/proc/net/tcp6"], port)
}

fn find_port_holder(tables: [&str; 2], port: u16) -> Option<PortHolder> {
    holders(&sockets_on_port(&tables, port)).next()
}

/// Everybody who has a port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// Whether any socket has it.
    pub is_bound: bool,
    /// The processes that this one may see.
    pub processes: Vec<PortHolder>,
}

/// Everybody who has UDP `port` in this network namespace.
pub fn udp_holders(port: u16) -> Holders {
    all_holders(sockets_on_port(&["/proc/net/udp", "/proc/net/udp6"], port))
}

/// Everybody who has UDP `port` of IPv6.
pub fn udp6_holders(port: u16) -> Holders {
    all_holders(sockets_on_port(&["/proc/net/udp6"], port))
}

/// Everybody who listens on TCP `port`, or has a connection there, in this network namespace.
pub fn tcp_holders(port: u16) -> Holders {
    all_holders(sockets_on_port(&["/proc/net/tcp", "/proc/net/tcp6"], port))
}

/// The processes that have packet sockets, which hear every port of an interface.
pub fn packet_socket_holders() -> Vec<PortHolder> {
    let table = fs::read_to_string("/proc/net/packet").unwrap_or_default();
    let inodes = table.lines().skip(1).filter_map(|line| line.split_whitespace().last());
    let sockets: Vec<String> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
    holders(&sockets).collect()
}

fn all_holders(sockets: Vec<String>) -> Holders {
    Holders { is_bound: !sockets.is_empty(), processes: holders(&sockets).collect() }
}

/// The sockets on a port, as links in `/proc/PID/fd` name them.
fn sockets_on_port(tables: &[&str], port: u16) -> Vec<String> {
    let texts = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    let inodes: Vec<u64> = texts.flat_map(|text| inodes_on_port(&text, port)).collect();
    // Connections that are over have no socket any more.
    inodes.iter().filter(|inode| **inode != 0).map(|inode| format!("socket:[{inode}]")).collect()
}

/// The processes that hold any of these sockets.
fn holders(sockets: &[String]) -> impl Iterator<Item = PortHolder> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().take_while(|_| !sockets.is_empty());
    processes.filter_map(|process| {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok())?;
        let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        holds_any(pid, sockets).then(|| PortHolder { pid, name: name().trim().to_owned() })
    })
}

fn holds_any(pid: u32, links: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
}

/// The inodes of the sockets on `port` in the text of `/proc/net/udp`.
fn inodes_on_port(table: &str, port: u16) -> Vec<u64> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let local = fields.nth(1)?;
            let inode = fields.nth(7)?;
            local.ends_with(&suffix).then(|| inode.parse().ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn reads_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             412: 00000000:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 18361 2 0000000000000000 0\n\
             413: 0100007F:0046 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2 0000000000000000 0\n";
        assert_eq!(inodes_on_port(table, 69), [18361]);
        assert_eq!(inodes_on_port(table, 70), [99]);
        assert!(inodes_on_port("garbage\n: :0045", 69).is_empty());
    }

    #[test]
    fn finds_this_very_process() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let holder = find_udp_port_holder(socket.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(is_udp_port_held(socket.local_addr().unwrap().port()) && !is_udp_port_held(1));
    }
}
