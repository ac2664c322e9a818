//! A network of its own for tests beside real DHCP servers: namespaces on one bridge, removed at the end. Needs root.
//!
//! ```text
//! client (no address yet) --- bridge --- boot 10.178.4.2
//!                                   `--- dhcp 10.178.4.1
//! ```
//!
//! [`super::lan_ipv6`] adds IPv6, and a router with another network behind it.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use pointsman::dhcp::packet::{Header, Message, MessageType, Operation, Writer};
use socket2::{Domain, Protocol, Socket, Type};

use crate::harness::PATIENCE;

pub(crate) const BOOT: Ipv4Addr = Ipv4Addr::new(10, 178, 4, 2);
pub(crate) const DHCP: Ipv4Addr = Ipv4Addr::new(10, 178, 4, 1);
/// The interface in each namespace.
pub(crate) const DEVICE: &str = "eth0";

/// The namespaces of a test.
pub(crate) struct Lan {
    id: String,
}

static MADE: AtomicU32 = AtomicU32::new(0);

pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Lan {
    pub(crate) fn new() -> Lan {
        assert!(
            nix::unistd::geteuid().is_root(),
            "network namespaces need root: tests/run --quick leaves these tests out"
        );
        let lan = Lan { id: format!("pml{}x{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)) };
        for part in ["lan", "boot", "dhcp", "client"] {
            ip(&format!("netns add {}", lan.namespace(part)));
            ip(&format!("-n {} link set lo up", lan.namespace(part)));
        }
        let bridge = lan.namespace("lan");
        ip(&format!("-n {bridge} link add br0 type bridge stp_state 0 forward_delay 0"));
        ip(&format!("-n {bridge} link set br0 up"));
        for part in ["boot", "dhcp", "client"] {
            let other = lan.namespace(part);
            ip(&format!("-n {bridge} link add {part} type veth peer name {DEVICE} netns {other}"));
            ip(&format!("-n {bridge} link set {part} master br0 up"));
            ip(&format!("-n {other} link set {DEVICE} up"));
        }
        lan.give("boot", BOOT);
        lan.give("dhcp", DHCP);
        lan
    }

    /// A cable between the `boot` and the `client` namespace, of which only the first end has an address.
    pub(crate) fn connect(&self, device: &str, address: &str) {
        let (boot, client) = (self.namespace("boot"), self.namespace("client"));
        ip(&format!("-n {boot} link add {device} type veth peer name {device} netns {client}"));
        ip(&format!("-n {boot} address add {address} dev {device}"));
        ip(&format!("-n {boot} link set {device} up"));
        ip(&format!("-n {client} link set {device} up"));
    }

    /// Another address for an interface of `boot`.
    pub(crate) fn readdress(&self, device: &str, old: &str, new: &str) {
        let boot = self.namespace("boot");
        ip(&format!("-n {boot} address del {old} dev {device}"));
        ip(&format!("-n {boot} address add {new} dev {device}"));
    }

    pub(crate) fn namespace(&self, part: &str) -> String {
        format!("{}-{part}", self.id)
    }

    pub(crate) fn give(&self, part: &str, address: Ipv4Addr) {
        ip(&format!("-n {} address replace {address}/24 dev {DEVICE}", self.namespace(part)));
    }

    /// A program there, which ends with the test.
    pub(crate) fn command(&self, part: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(part), "setpriv", "--pdeathsig", "KILL", "--", program]);
        command
    }

    /// Runs something in a namespace: sockets that it makes are there.
    pub(crate) fn within<T: Send>(&self, part: &str, run: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.namespace(part))).unwrap();
        let there = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            run()
        };
        match std::thread::scope(|scope| scope.spawn(there).join()) {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Starts a program and keeps what it says.
    pub(crate) fn start(&self, command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said: Arc<Mutex<String>> = Arc::default();
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    said.lock().unwrap().push_str(&(line + "\n"));
                }
            });
        }
        Running { child, said }
    }

    /// The DHCP server of this make, in `part` at `address`, with these lines in its configuration.
    pub(crate) fn dhcp_server(&self, make: &str, part: &str, folder: &Path, more: &str) -> Running {
        let folder = folder.to_owned();
        let write = |name: &str, text: &str| -> PathBuf {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        };
        let mut command = match make {
            "isc" => {
                let subnet = "subnet 10.178.4.0 netmask 255.255.255.0 { range 10.178.4.100 10.178.4.199; }";
                let file = write("dhcpd.conf", &format!("authoritative;\ndefault-lease-time 600;\n{more}\n{subnet}\n"));
                let leases = write("dhcpd.leases", "");
                let mut command = self.command(part, "/usr/sbin/dhcpd");
                command.args(["-4", "-f", "-d", "-cf"]).arg(file).arg("-lf").arg(leases).arg("--no-pid").arg(DEVICE);
                command
            }
            "kea" => {
                let more = if more.is_empty() { String::new() } else { format!(",{more}") };
                let file = write(
                    "kea.conf",
                    &format!(
                        r#"{{ "Dhcp4": {{
                            "interfaces-config": {{ "interfaces": ["{DEVICE}"] }},
                            "lease-database": {{ "type": "memfile", "persist": false }},
                            "authoritative": true, "valid-lifetime": 600,
                            "loggers": [{{ "name": "kea-dhcp4", "severity": "INFO", "output_options": [{{ "output": "stdout" }}] }}],
                            "subnet4": [{{ "id": 1, "subnet": "10.178.4.0/24",
                                "pools": [{{ "pool": "10.178.4.100 - 10.178.4.199" }}] }}]
                            {more}
                        }} }}"#
                    ),
                );
                let mut command = self.command(part, "/usr/sbin/kea-dhcp4");
                command.env("KEA_PIDFILE_DIR", &folder).env("KEA_LOCKFILE_DIR", "none").arg("-c").arg(file);
                command
            }
            "dnsmasq" => {
                let file = write("dnsmasq.conf", &format!("dhcp-range=10.178.4.100,10.178.4.199,600\n{more}\n"));
                let leases = folder.join("dnsmasq.leases");
                let mut command = self.command(part, "/usr/sbin/dnsmasq");
                command.args(["--keep-in-foreground", "--port=0", "--user=root", "--log-dhcp", "--log-facility=-"]);
                command.args(["--dhcp-authoritative", "--no-ping", "--pid-file="]);
                command.arg(format!("--interface={DEVICE}")).arg(format!("--conf-file={}", file.display()));
                command.arg(format!("--dhcp-leasefile={}", leases.display()));
                command
            }
            other => panic!("no DHCP server `{other}`"),
        };
        self.start(&mut command)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for part in ["far", "router", "client", "dhcp", "boot", "lan"] {
            let _ = Command::new("ip").args(["netns", "delete", &self.namespace(part)]).stderr(Stdio::null()).status();
        }
    }
}

/// A program that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it said this.
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_until(&|said| said.contains(text), text);
    }

    pub(crate) fn wait_until(&self, is_it: &dyn Fn(&str) -> bool, what: &str) {
        let since = Instant::now();
        while !is_it(&self.said()) {
            assert!(since.elapsed() < PATIENCE, "`{what}` was never said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end, in vain it fails; whether it ended well.
    pub(crate) fn ended_well(&mut self) -> bool {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(since.elapsed() < PATIENCE, "it does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A DHCP client: its packets.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) mac: [u8; 6],
    pub(crate) options: Vec<(u8, Vec<u8>)>,
}

/// What a boot client asks for.
const ASKED_FOR: [u8; 9] = [1, 3, 6, 43, 54, 60, 66, 67, 175];

impl Caller {
    /// Firmware of this architecture.
    pub(crate) fn firmware(last: u8, architecture: u16) -> Caller {
        let class = if [15, 16, 17, 18, 19].contains(&architecture) { "HTTPClient" } else { "PXEClient" };
        let class = format!("{class}:Arch:{architecture:05}:UNDI:003016");
        let options = vec![
            (60, class.into_bytes()),
            (93, architecture.to_be_bytes().to_vec()),
            (94, vec![1, 3, 16]),
            (55, ASKED_FOR.to_vec()),
        ];
        Caller { mac: [0x52, 0x54, 0, 4, 4, last], options }
    }

    /// iPXE on such a machine.
    pub(crate) fn ipxe(last: u8, architecture: u16) -> Caller {
        let mut caller = Caller::firmware(last, architecture);
        caller.options.push((77, b"iPXE".to_vec()));
        caller.options.push((175, vec![0x13, 1, 1, 0x27, 1, 1, 235, 3, 1, 21, 1]));
        caller
    }

    /// An operating system, which asks for no boot file.
    pub(crate) fn plain(last: u8) -> Caller {
        Caller { mac: [0x52, 0x54, 0, 4, 4, last], options: vec![(55, ASKED_FOR.to_vec())] }
    }

    pub(crate) fn mac(&self) -> String {
        self.mac.map(|octet| format!("{octet:02x}")).join(":")
    }

    pub(crate) fn packet(
        &self,
        kind: u8,
        xid: u32,
        ciaddr: Ipv4Addr,
        giaddr: Ipv4Addr,
        more: &[(u8, &[u8])],
    ) -> Vec<u8> {
        let zero = Ipv4Addr::UNSPECIFIED;
        let mut chaddr = [0; 16];
        chaddr[..6].copy_from_slice(&self.mac);
        let flags = if ciaddr == zero { 0x8000 } else { 0 };
        let header = Header {
            op: Operation::Request,
            htype: 1,
            hlen: 6,
            hops: u8::from(giaddr != zero),
            xid,
            secs: 0,
            flags,
            ciaddr,
            yiaddr: zero,
            siaddr: zero,
            giaddr,
            chaddr,
        };
        let mut writer = Writer::new(&header, &[]);
        writer.option(53, &[kind]);
        for (code, octets) in
            self.options.iter().map(|(code, octets)| (*code, octets.as_slice())).chain(more.iter().copied())
        {
            writer.option(code, octets);
        }
        writer.finish()
    }

    /// Broadcasts a DISCOVER until these offers have come: each by one of the tests. In this order.
    pub(crate) fn offers(
        &self,
        lan: &Lan,
        wanted: &[&(dyn Fn(&Message) -> bool + Sync)],
    ) -> Vec<(Message, SocketAddr)> {
        lan.within("client", || {
            let socket = client_socket(68);
            let xid = u32::from(self.mac[5]) + 7;
            let packet = self.packet(1, xid, Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, &[]);
            let mut found: Vec<Option<(Message, SocketAddr)>> = wanted.iter().map(|_| None).collect();
            let since = Instant::now();
            let mut seen = Vec::new();
            while found.iter().any(Option::is_none) {
                assert!(since.elapsed() < PATIENCE, "{} got only {seen:#?}", self.mac());
                // Fails while the wire comes up.
                let _ = socket.send_to(&packet, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67));
                while let Some((message, peer)) = received(&socket, xid) {
                    let is_offer = message.message_type() == Some(MessageType::Offer);
                    let place = wanted.iter().position(|is_it| is_offer && is_it(&message));
                    seen.push(format!("{} from {peer}", text(message.file())));
                    if let Some(place) = place {
                        found[place] = Some((message, peer));
                    }
                }
            }
            found.into_iter().flatten().collect()
        })
    }

    /// The offer of an address.
    pub(crate) fn offer(&self, lan: &Lan) -> Message {
        self.offers(lan, &[&|message: &Message| !message.header.yiaddr.is_unspecified()]).remove(0).0
    }
}

/// A socket on [`DEVICE`] of the namespace that this runs in.
pub(crate) fn client_socket(port: u16) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind_device(Some(DEVICE.as_bytes())).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.into()
}

/// The next reply with this number; none when nothing comes for a while.
pub(crate) fn received(socket: &UdpSocket, xid: u32) -> Option<(Message, SocketAddr)> {
    let mut buffer = [0; 2048];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).ok()?;
        let message = Message::parse(&buffer[..length]).ok()?;
        if message.header.op == Operation::Reply && message.header.xid == xid {
            return Some((message, peer));
        }
    }
}

/// Text up to the first NUL.
pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).trim_end_matches('\0').to_owned()
}

/// The boot file of a reply: option 67, else the header.
pub(crate) fn boot_file(message: &Message) -> String {
    text(message.option(67).unwrap_or(message.file()))
}

/// A file by TFTP, without options; `None` when the server refuses it.
pub(crate) fn tftp(lan: &Lan, server: Ipv4Addr, name: &str) -> Option<Vec<u8>> {
    let request = [&[0, 1][..], name.as_bytes(), b"\0octet\0"].concat();
    lan.within("client", || {
        let socket = client_socket(0);
        let (mut file, mut next, mut packet) = (Vec::new(), 1_u16, request);
        let mut peer = SocketAddr::from((server, 69));
        let since = Instant::now();
        loop {
            assert!(since.elapsed() < PATIENCE, "{name} never came");
            socket.send_to(&packet, peer).unwrap();
            let mut buffer = [0; 1024];
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            match buffer[..length] {
                [0, 5, ..] => return None,
                [0, 3, high, low, ref data @ ..] if u16::from_be_bytes([high, low]) == next => {
                    file.extend_from_slice(data);
                    peer = from;
                    packet = vec![0, 4, high, low];
                    next = next.wrapping_add(1);
                    if data.len() < 512 {
                        let _ = socket.send_to(&packet, peer);
                        return Some(file);
                    }
                }
                _ => {}
            }
        }
    })
}
