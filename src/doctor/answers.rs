//! Whether the running server answers on each service, asked as machines ask.
//!
//! **Invariant**: one question each, that changes nothing; silence is told after seconds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use uuid::Uuid;

use super::probe::{Probe, boot_server_answers};
use super::{Found, Patient, shown};
use crate::boot::Architecture;
use crate::dhcp::offer::Taker;
use crate::net::interfaces::Interfaces;
use crate::tls;

/// How long the server may take: it is on this host.
const PATIENCE: Duration = Duration::from_secs(3);
/// The MAC address of what asks on DHCP's ports: nobody's, from the range that is free for local use.
const OWN_MAC: [u8; 6] = [0x02, 0, 0, 0, 0x64, 0x72];

/// Where this host's own server is reached: the address of the configuration, else one of its interfaces, else loopback.
fn own_address(patient: &Patient) -> IpAddr {
    let server = &patient.config.server;
    let of_interface = || {
        let interfaces = Interfaces::read().ok()?;
        let interface = interfaces.by_name(server.interfaces.first()?)?;
        interface.addresses.iter().map(ipnet::IpNet::addr).find(IpAddr::is_ipv4)
    };
    server.address.or_else(of_interface).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The port, when it is known: port 0 is another one at each start.
pub(super) fn known(port: u16, found: &mut Found) -> Option<u16> {
    if port == 0 {
        found.skipped("the port is 0: the kernel chooses it at each start");
        return None;
    }
    Some(port)
}

const NOT_RUNNING: &str =
    "is the server running (`pointsman serve`)? does a firewall on this host drop packets to itself?";

pub(super) async fn tftp(patient: &Patient) -> Found {
    let mut found = Found::default();
    if !patient.config.tftp.enabled {
        found.skipped("[tftp] is off");
        return found;
    }
    let Some(port) = known(patient.config.tftp.port, &mut found) else { return found };
    let to = SocketAddr::new(own_address(patient), port);
    match ask_tftp(to).await {
        Ok(Some(words)) => found.ok(format!("{to} answers: {words}")),
        Ok(None) => found.fail(format!("{to} does not answer a read request"), NOT_RUNNING),
        Err(error) => found.fail(format!("{to} cannot be asked: {error}"), NOT_RUNNING),
    }
    found
}

/// Asks for a file that is not there: any answer will do.
async fn ask_tftp(to: SocketAddr) -> std::io::Result<Option<String>> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    let mut buffer = [0; 1500];
    socket.send_to(b"\x00\x01pointsman-doctor\x00octet\x00", to).await?;
    let Ok(received) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await else { return Ok(None) };
    let (length, _) = received?;
    Ok(match buffer.get(..length) {
        Some([0, 5, _, code, ..]) => Some(format!("error {code}, as for any path that is not of a boot")),
        Some([0, 3 | 6, ..]) => Some("it has a file of the name that was made up".into()),
        _ => Some("with something that is no TFTP".into()),
    })
}

pub(super) async fn http(patient: &Patient) -> Found {
    let mut found = Found::default();
    let Some(port) = known(patient.config.http.port, &mut found) else { return found };
    let to = SocketAddr::new(own_address(patient), port);
    match timeout(PATIENCE, ask_http(to)).await {
        Ok(Ok(answer)) => judge_http(to, &answer, &mut found),
        Ok(Err(error)) => found.fail(format!("{to} cannot be reached: {error}"), NOT_RUNNING),
        Err(_) => found.fail(format!("{to} does not answer in {} s", PATIENCE.as_secs()), NOT_RUNNING),
    }
    found
}

async fn ask_http(to: SocketAddr) -> std::io::Result<String> {
    const ANSWER_LEN_MAX: u64 = 16 * 1024;
    let mut stream = TcpStream::connect(to).await?;
    stream
        .write_all(format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", to.ip()).as_bytes())
        .await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn judge_http(to: SocketAddr, answer: &str, found: &mut Found) {
    let status = answer.lines().next().unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    match status.split(' ').nth(1) {
        Some("200") => found.ok(format!("{to} answers, and is ready")),
        Some("503") => found.warn(
            format!("{to} answers, and is not ready: {}", body.trim().replace('\n', "; ")),
            "machines get what stands in for the answer until this is back",
        ),
        _ => found.fail(
            format!("{to} answers `{}`", crate::nearest::cut(status)),
            "another web server has this port: stop it, or choose another with http.port",
        ),
    }
}

pub(super) async fn https(patient: &Patient) -> Found {
    let mut found = Found::default();
    let https = &patient.config.https;
    if !https.enabled {
        found.skipped("[https] is off");
        return found;
    }
    let Some(port) = known(https.port, &mut found) else { return found };
    let address = own_address(patient);
    let authority = https.certificate.clone().unwrap_or_else(|| patient.config.server.state.join("ca.pem"));
    let Ok(pem) = std::fs::read_to_string(&authority) else {
        found.skipped(format!("{} cannot be read, so that nobody knows whom to trust", shown(&authority)));
        return found;
    };
    // The private CA's certificate has the addresses; a site's own has names, as a rule.
    let names = https.certificate_names(&patient.config.server);
    let name = names.first().filter(|_| https.certificate.is_some()).cloned().unwrap_or_else(|| address.to_string());
    let to = SocketAddr::new(address, port);
    match timeout(PATIENCE, tls::greet(to, &name, &pem)).await {
        Ok(Ok(words)) => found.ok(format!("{to} answers as {name}: {words}")),
        Ok(Err(error)) => found.fail(
            format!("{to} as {name}: {error}"),
            "a machine that trusts the same CA would not load from here either; `pointsman doctor --only certificate` looks \
             at the chain",
        ),
        Err(_) => found.fail(format!("{to} does not answer in {} s", PATIENCE.as_secs()), NOT_RUNNING),
    }
    found
}

/// As iPXE, which is answered whether it may boot or not: only a rule that ignores it is silent.
pub(super) fn questioner(patient: &Patient) -> Probe {
    Probe {
        taker: Taker::Ipxe,
        architecture: Architecture::X64_UEFI,
        mac: OWN_MAC.into(),
        uuid: Uuid::nil(),
        interface: String::new(),
        wait: PATIENCE,
        dhcp_port: patient.config.dhcp.port,
        boot_server_port: patient.config.dhcp.boot_server_port,
    }
}

pub(super) const SILENT: &str = "is the server running? is a rule silent for an unknown iPXE (`pointsman decide --mac 02:00:00:00:64:72 \
                      --stage discover`)? does a firewall drop the packets?";

pub(super) async fn boot_server(patient: &Patient) -> Found {
    let mut found = Found::default();
    let Some(server) = dhcp_address(patient, &mut found) else { return found };
    if !patient.config.dhcp.boot_server {
        found.skipped("dhcp.boot_server is off");
        return found;
    }
    let Some(port) = known(patient.config.dhcp.boot_server_port, &mut found) else { return found };
    match boot_server_answers(&questioner(patient), server, server).await {
        Ok(true) => found.ok(format!("{server}:{port} answers a REQUEST")),
        Ok(false) => found.fail(format!("{server}:{port} does not answer a REQUEST (PXE-E55, PXE-E18)"), SILENT),
        Err(error) => found.skipped(error.to_string()),
    }
    found
}

pub(super) fn dhcp_address(patient: &Patient, found: &mut Found) -> Option<Ipv4Addr> {
    if !patient.config.dhcp.enabled {
        found.skipped("[dhcp] is off");
        return None;
    }
    match own_address(patient) {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => {
            found.skipped(format!("the server has {address} only, and this is DHCP for IPv4"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::relay::relay;
    use super::super::tests::patient;
    use super::*;

    /// Ports of loopback where nobody is.
    fn closed() -> [u16; 4] {
        let sockets = [(); 4].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        sockets.map(|socket| socket.local_addr().unwrap().port())
    }

    #[tokio::test]
    async fn services_that_are_off_or_without_a_port_are_skipped() {
        let (_folder, off) =
            patient("[dhcp]\nenabled = false\n[tftp]\nenabled = false\n[https]\nenabled = false\n[http]\nport = 0");
        for found in [tftp(&off).await, http(&off).await, https(&off).await, boot_server(&off).await, relay(&off).await]
        {
            assert_eq!(found.states(), [State::Skipped], "{}", found.words());
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_run_fails_everywhere() {
        let [http_port, tftp_port, dhcp_port, boot_server_port] = closed();
        let lines = format!(
            "[server]\naddress = \"127.0.0.1\"\n[http]\nport = {http_port}\n[tftp]\nport = {tftp_port}\n[dhcp]\nport = \
             {dhcp_port}\nboot_server_port = {boot_server_port}"
        );
        let (_folder, patient) = patient(&lines);
        for found in [tftp(&patient).await, http(&patient).await, boot_server(&patient).await, relay(&patient).await] {
            assert_eq!(found.states(), [State::Fail], "{}", found.words());
        }
        // Without a CA nobody is trusted.
        assert_eq!(https(&patient).await.states(), [State::Skipped]);
    }

    #[test]
    fn what_http_says_is_judged() {
        let judged = |answer: &str| {
            let mut found = Found::default();
            judge_http("127.0.0.1:80".parse().unwrap(), answer, &mut found);
            found.states()
        };
        assert_eq!(judged("HTTP/1.1 200 OK\r\n\r\nready\n"), [State::Ok]);
        assert_eq!(judged("HTTP/1.1 503 Service Unavailable\r\n\r\nmain: down\n"), [State::Warn]);
        assert_eq!(judged("HTTP/1.1 404 Not Found\r\n\r\n"), [State::Fail]);
        assert_eq!(judged("SSH-2.0-x"), [State::Fail]);
    }
}
