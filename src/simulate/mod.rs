//! A client made of packets: boots against a running server as firmware and iPXE do, and tells each step.
//!
//! It needs no privileges: it speaks to the server as a relay agent on its own address would (RFC 8357), so that no
//! broadcast and no low port is needed. What it says and reads is written anew here, not taken from the server's code.
//!
//! **Invariant**: nothing of the server is used but the vocabulary; the server's own codecs are not.

mod dhcp;
mod http;
mod installer;
mod ipxe;
mod person;
mod report;
mod tftp;
mod words;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use uuid::Uuid;

use crate::boot::{Architecture, HardwareAddress, Platform};

use dhcp::{Asker, DISCOVER, REQUEST, Reply};

/// The program that denied machines are told, which ends at once.
const ABORT: &str = "/abort.0";

pub use installer::Installer;
pub use person::Typed;
pub use report::{Ending, Failure, LoadedFile, Report, Step, Unwatched, Watcher};

/// The machine that is simulated.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its MAC address.
    pub mac: HardwareAddress,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its architecture.
    pub architecture: Architecture,
    /// What its SMBIOS says, by fact name.
    pub facts: Vec<(String, String)>,
    /// Whether its NIC's ROM is iPXE itself, as in virtual machines: then no loader is fetched.
    pub ipxe_rom: bool,
    /// Whether its iPXE build has `params`.
    pub params: bool,
    /// Whether its iPXE build has HTTPS.
    pub https: bool,
    /// The menu item that a person picks; the default when absent.
    pub pick: Option<String>,
    /// The keys that a person presses in menus, whatever is shown.
    pub keys: Vec<char>,
    /// What a person types who is asked.
    pub typed: Typed,
    /// What is reported when it booted.
    pub installer: Installer,
}

impl Machine {
    fn is_efi(&self) -> bool {
        self.architecture.platform() == Platform::Efi
    }

    fn fact(&self, name: &str) -> &str {
        self.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// The server that is asked.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address.
    pub address: Ipv4Addr,
    /// Port of proxyDHCP.
    pub dhcp_port: u16,
    /// Port of the PXE boot server.
    pub boot_server_port: u16,
    /// Port of TFTP.
    pub tftp_port: u16,
    /// CA certificate (PEM) to trust for HTTPS; the system's CAs when absent.
    pub ca: Option<PathBuf>,
}

/// Why a simulated boot could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StepError(String);

impl StepError {
    fn new(text: impl Into<String>) -> StepError {
        StepError(text.into())
    }
}

impl From<std::io::Error> for StepError {
    fn from(error: std::io::Error) -> Self {
        StepError(error.to_string())
    }
}

/// Boots a machine against a server.
///
/// # Errors
/// When the boot broke off: the server fell silent in the middle, or refused what it had offered.
pub async fn boot(machine: &Machine, server: &Server, watcher: Arc<dyn Watcher>) -> Result<Report, Failure> {
    let mut report = Report::new(watcher);
    let ended = run(machine, server, &mut report).await;
    told(ended, report)
}

/// Starts a machine's iPXE at this URL, as where its DHCP server names it; `server` is not asked by DHCP.
///
/// # Errors
/// As [`boot`].
pub async fn boot_from(
    url: &str,
    machine: &Machine,
    server: &Server,
    watcher: Arc<dyn Watcher>,
) -> Result<Report, Failure> {
    let mut report = Report::new(watcher);
    let ended = match http::Http::new(server.ca.as_deref(), Arc::clone(&report.watcher)) {
        Ok(http) => run_ipxe(machine, &http, url, &mut report).await,
        Err(error) => Err(error),
    };
    told(ended, report)
}

fn told(ended: Result<Ending, StepError>, mut report: Report) -> Result<Report, Failure> {
    match ended {
        Ok(ending) => {
            report.ending = ending;
            Ok(report)
        }
        Err(error) => Err(Failure { error, report: Box::new(report) }),
    }
}

async fn run(machine: &Machine, server: &Server, report: &mut Report) -> Result<Ending, StepError> {
    let local = local_address(server.address).await?;
    let http = http::Http::new(server.ca.as_deref(), Arc::clone(&report.watcher))?;
    let (mut is_elsewhere, mut has_picked) = (false, false);
    if !machine.ipxe_rom {
        let Some(offer) = discover(machine, server, local, Asker::Firmware, report).await? else {
            return Ok(Ending::NoOffer);
        };
        if machine.architecture.is_http() {
            report.note(&format!("UEFI HTTP Boot of {}", hidden(&offer.file)));
            let loaded = http.load(&offer.file, None).await?;
            report.note(&format!("loader: {} octets", loaded.len));
        } else {
            match load_by_tftp(machine, server, local, &offer, report).await? {
                Firmware::Loaded(from) => (is_elsewhere, has_picked) = (from.is_elsewhere, from.has_picked),
                Firmware::LocalDisk => return Ok(Ending::LocalDisk),
            }
        }
    }
    let pick = machine.pick.clone().filter(|_| !has_picked);
    let ipxe = Machine { architecture: machine.architecture.machine(), pick, ..machine.clone() };
    let Some(offer) = discover(&ipxe, server, local, Asker::Ipxe, report).await? else {
        // What runs is another server's, and so is what it is told.
        return Ok(if is_elsewhere { Ending::Chained } else { Ending::NoOffer });
    };
    if !offer.file.contains("://") {
        return Err(StepError::new(format!("iPXE was offered `{}`, which is no URL", hidden(&offer.file))));
    }
    run_ipxe(&ipxe, &http, &offer.file, report).await
}

/// What iPXE does with the script at this URL, and what the installer that it starts reports.
async fn run_ipxe(machine: &Machine, http: &http::Http, url: &str, report: &mut Report) -> Result<Ending, StepError> {
    let mut running = ipxe::Ipxe::new(http, machine, report, url);
    let ending = running.chain(url).await?;
    if matches!(ending, Ending::Booted | Ending::Chained | Ending::Sanboot(_)) {
        let said = machine.installer.report(http, running.command_line(), running.script_url()).await?;
        said.iter().for_each(|said| report.note(said));
    } else if machine.installer != Installer::Silent {
        report.failures.push("nothing was booted that could report".into());
    }
    Ok(ending)
}

/// What the firmware came to.
enum Firmware {
    Loaded(Loaded),
    /// The line of its menu that is the machine's own disk.
    LocalDisk,
}

/// Where the firmware's loader is from.
#[derive(Default)]
struct Loaded {
    /// Whether it is another server's.
    is_elsewhere: bool,
    /// Whether a person picked it in the firmware's menu.
    has_picked: bool,
}

/// Firmware's way to its loader: a UEFI machine without discovery control asks on 4011 first, and one that was given a menu
/// asks the boot servers of the line that was chosen.
async fn load_by_tftp(
    machine: &Machine,
    server: &Server,
    local: Ipv4Addr,
    offer: &Reply,
    report: &mut Report,
) -> Result<Firmware, StepError> {
    let mut loaded = Loaded::default();
    let mut chosen = offer.clone();
    let takes_file = offer.discovery_control.is_some_and(|control| control & 8 != 0) && !offer.file.is_empty();
    if let Some(first) = offer.menu.first().filter(|_| !takes_file) {
        let line = match machine.pick.as_ref().filter(|_| offer.menu_timeout != Some(0)) {
            Some(pick) => {
                loaded.has_picked = true;
                let found = offer.menu.iter().find(|line| line.text.eq_ignore_ascii_case(pick));
                found.ok_or_else(|| StepError::new(format!("the firmware's menu has no line `{pick}`")))?
            }
            None => first,
        };
        let shown: Vec<_> = offer.menu.iter().map(|line| line.text.as_str()).collect();
        report.note(&format!("firmware menu: {} -> {}", shown.join(" | "), line.text));
        if line.kind == 0 {
            return Ok(Firmware::LocalDisk);
        }
        // Without bit 0 everybody is asked, on port 67.
        let by_broadcast = offer.discovery_control.is_some_and(|control| control & 1 == 0);
        let port = if by_broadcast { server.dhcp_port } else { server.boot_server_port };
        chosen = discover_boot_server(machine, (server, port), local, line, report).await?;
    } else if machine.is_efi() && offer.discovery_control.is_none_or(|control| control & 8 == 0) {
        let to = SocketAddr::from((offer.next_server.unwrap_or(server.address), server.boot_server_port));
        let packet = |xid| dhcp::packet(machine, Asker::Firmware, REQUEST, xid, Some(local), None);
        let Some(ack) = ask(local, to, packet).await? else {
            return Err(StepError::new(format!("no answer on port {} (PXE-E55)", to.port())));
        };
        report.note(&format!("REQUEST to port 4011 -> ACK: {}", hidden(&ack.file)));
        chosen = ack;
    }
    let next_server = chosen.next_server.unwrap_or(server.address);
    let from = SocketAddr::from((next_server, server.tftp_port));
    let loader = tftp::load(local.into(), from, &chosen.file, machine.is_efi()).await?;
    report.note(&format!("TFTP: {} ({} octets)", hidden(&chosen.file), loader.len()));
    if chosen.file.ends_with(ABORT) {
        report.note("the program says why the machine may not boot, and ends");
        return Ok(Firmware::LocalDisk);
    }
    loaded.is_elsewhere = next_server != server.address;
    if machine.is_efi() && !loaded.is_elsewhere {
        let autoexec = chosen
            .file
            .rsplit_once('/')
            .map_or("autoexec.ipxe".into(), |(folder, _)| format!("{folder}/autoexec.ipxe"));
        match tftp::load(local.into(), from, &autoexec, false).await {
            Ok(script) => report.note(&format!("TFTP: autoexec.ipxe ({} octets)", script.len())),
            Err(error) => report.note(&format!("TFTP: autoexec.ipxe: {error}")),
        }
    }
    Ok(Firmware::Loaded(loaded))
}

/// Asks the boot servers of a list, one after the other.
async fn discover_boot_server(
    machine: &Machine,
    (server, port): (&Server, u16),
    local: Ipv4Addr,
    line: &dhcp::MenuLine,
    report: &mut Report,
) -> Result<Reply, StepError> {
    // A broadcast reaches our server; this program has no privilege to send one.
    let everybody = [server.address];
    let addresses = if port == server.boot_server_port { line.addresses.as_slice() } else { &everybody };
    for address in addresses {
        let to = SocketAddr::from((*address, port));
        let packet = |xid| {
            let request = dhcp::packet(machine, Asker::Firmware, REQUEST, xid, Some(local), None);
            dhcp::with_boot_item(request, line.kind)
        };
        let answer = ask(local, to, packet).await?;
        if let Some(ack) =
            answer.filter(|ack| !ack.file.is_empty() && ack.boot_item.is_none_or(|kind| kind == line.kind))
        {
            report.note(&format!("boot server {address}: REQUEST -> ACK: {}", hidden(&ack.file)));
            return Ok(Reply { next_server: ack.next_server.or(Some(*address)), ..ack });
        }
        report.note(&format!("boot server {address}: no answer"));
    }
    Err(StepError::new("no boot server of the list answered (PXE-E78)"))
}

/// DISCOVER on port 67, with the firmware's patience.
async fn discover(
    machine: &Machine,
    server: &Server,
    local: Ipv4Addr,
    asker: Asker,
    report: &mut Report,
) -> Result<Option<Reply>, StepError> {
    let to = SocketAddr::from((server.address, server.dhcp_port));
    let packet = |xid| dhcp::packet(machine, asker, DISCOVER, xid, None, Some(local));
    let who = match asker {
        Asker::Firmware => "firmware",
        Asker::Ipxe => "iPXE",
    };
    let offer = ask(local, to, packet).await?;
    match &offer {
        Some(offer) => report.note(&format!("{who} DISCOVER -> OFFER: {}", hidden(&offer.file))),
        None => report.note(&format!("{who} DISCOVER -> no offer")),
    }
    Ok(offer)
}

/// Sends a packet up to three times and waits for its reply.
async fn ask(local: Ipv4Addr, to: SocketAddr, packet: impl Fn(u32) -> Vec<u8>) -> Result<Option<Reply>, StepError> {
    let socket = UdpSocket::bind((local, 0)).await?;
    let xid = Uuid::new_v4().as_fields().0;
    let packet = packet(xid);
    let mut buffer = vec![0; 2048];
    for wait in [1, 2, 2] {
        socket.send_to(&packet, to).await?;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(wait);
        while let Ok(received) = tokio::time::timeout_at(deadline, socket.recv_from(&mut buffer)).await {
            let (len, _) = received?;
            if let Some(reply) = buffer.get(..len).and_then(|bytes| dhcp::read(bytes, xid)) {
                return Ok(Some(reply));
            }
        }
    }
    Ok(None)
}

/// Our own address on the way to the server.
async fn local_address(server: Ipv4Addr) -> Result<Ipv4Addr, StepError> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((server, 9)).await?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => Err(StepError::new(format!("no IPv4 address on the way to {server}, only {address}"))),
    }
}

/// A path or URL without the token, for people to read.
pub(crate) fn hidden(path: &str) -> String {
    let token = path.split('/').find(|part| part.len() >= 32 && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    match token {
        Some(token) => path.replace(token, "…"),
        None => path.to_owned(),
    }
}
