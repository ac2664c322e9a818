//! Relay agents: whether this server answers what they bring, and whether one that is named brings it.
//!
//! What the first question proves ends at this host. The second goes to the agent as a machine's DISCOVER would, comes back
//! to this server with the agent's address (`giaddr`), and the answer goes to the agent, which broadcasts it on the network
//! where it was asked: that of this host. So both halves of the way are seen, and whether the agent names this server; not,
//! whether broadcasts of the machines' own network reach the agent.
//!
//! **Invariant**: DISCOVER only; what is concluded of the offers is apart from the asking.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::answers::{SILENT, dhcp_address, known, questioner};
use super::neighbors::own_addresses;
use super::probe::{Probe, offers_by_relay, relayed_discover_answers};
use super::{Found, Patient};
use crate::dhcp::offer::Offer;
use crate::net::interfaces::Interfaces;

/// How long a host takes to say that nobody has the port.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);

pub(super) async fn relay(patient: &Patient) -> Found {
    let mut found = Found::default();
    let Some(server) = dhcp_address(patient, &mut found) else { return found };
    let Some(port) = known(patient.config.dhcp.port, &mut found) else { return found };
    match relayed_discover_answers(&questioner(patient), server).await {
        Ok(true) => found.ok(format!(
            "{server}:{port} answers a DISCOVER that a relay agent on this host brings{}",
            if patient.relay.is_none() { "; `--relay ADDRESS` asks by way of a router's" } else { "" }
        )),
        Ok(false) => {
            found.fail(format!("{server}:{port} does not answer a DISCOVER that a relay agent brings"), SILENT)
        }
        Err(error) => found.skipped(error.to_string()),
    }
    if let Some(agent) = patient.relay {
        by_way_of(patient, agent, &mut found).await;
    }
    found
}

async fn by_way_of(patient: &Patient, agent: Ipv4Addr, found: &mut Found) {
    let to = SocketAddr::from((agent, patient.config.dhcp.port));
    let own = match way_to(to).await {
        Ok(Way { own, refused: false }) => own,
        Ok(Way { refused: true, .. }) => {
            return found.fail(
                format!("{agent} says that nobody listens on its UDP port {}", to.port()),
                "no relay agent runs there: configure one (`ip helper-address`, `dhcrelay`), or name the right address",
            );
        }
        Err(error) => {
            return found.fail(
                format!("there is no way to {agent}: {error}"),
                "answers to what this relay agent brings are lost: give this host a route to it",
            );
        }
    };
    let interfaces = Interfaces::read().unwrap_or_default();
    let Some(interface) = interfaces.with_address(IpAddr::V4(own)) else {
        return found.skipped(format!("{own}, by which {agent} is reached, is on no interface of this host"));
    };
    let probe = Probe { interface: interface.name.clone(), ..questioner(patient) };
    match offers_by_relay(&probe, agent).await {
        Ok(offers) => judge(agent, own, &offers, &own_addresses(patient), found),
        Err(error) => found.skipped(error.to_string().replace('\n', " ")),
    }
}

/// From where an address is reached, and whether it says that nobody listens.
struct Way {
    own: Ipv4Addr,
    refused: bool,
}

async fn way_to(to: SocketAddr) -> std::io::Result<Way> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(to).await?;
    let IpAddr::V4(own) = socket.local_addr()?.ip() else { return Err(std::io::ErrorKind::AddrNotAvailable.into()) };
    // No agent passes on what is no packet of DHCP.
    socket.send(&[0]).await?;
    let answer = timeout(REFUSAL_WAIT, socket.recv(&mut [0; 16])).await;
    let refused = matches!(answer, Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused);
    Ok(Way { own, refused })
}

fn judge(agent: Ipv4Addr, own: Ipv4Addr, offers: &[Offer], own_addresses: &[Ipv4Addr], found: &mut Found) {
    let servers: Vec<Ipv4Addr> = offers.iter().map(Offer::server).collect();
    if servers.iter().any(|server| own_addresses.contains(server)) {
        return found.ok(format!(
            "relay agent {agent} brings a DISCOVER to this server, and its answer back; whether machines' broadcasts reach the \
             agent is seen by `pointsman probe` on their network"
        ));
    }
    match servers.as_slice() {
        [] => found.warn(
            format!("nothing came back by way of {agent}"),
            format!(
                "it may take no DISCOVER from this side, or answer on another network than {own}'s: run `pointsman probe` on a \
                 host of the machines' network. If it is silent there too, the agent must name {own}, and packets of UDP 67 \
                 must pass both ways"
            ),
        ),
        [first, ..] => found.fail(
            format!("relay agent {agent} brings a DISCOVER to {first}, and not to this server, or its answer is lost"),
            format!("name {own} as a second server there (`ip helper-address {own}`), and let UDP 67 pass both ways"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::tests::patient;
    use super::*;
    use crate::dhcp::packet::{Header, Message, Operation, Writer};

    fn offer_of(server: Ipv4Addr) -> Offer {
        let zero = Ipv4Addr::UNSPECIFIED;
        let header = Header {
            op: Operation::Reply,
            htype: 1,
            hlen: 6,
            hops: 0,
            xid: 7,
            secs: 0,
            flags: 0,
            ciaddr: zero,
            yiaddr: zero,
            siaddr: server,
            giaddr: zero,
            chaddr: [0; 16],
        };
        let mut writer = Writer::new(&header, &[]);
        writer.option(53, &[2]).option(54, &server.octets());
        Offer { sender: server, message: Message::parse(&writer.finish()).unwrap() }
    }

    #[test]
    fn what_comes_back_is_judged() {
        let (agent, own, other) = ([10, 0, 2, 1].into(), Ipv4Addr::new(10, 0, 2, 2), Ipv4Addr::new(10, 0, 2, 3));
        let judged = |servers: &[Ipv4Addr]| {
            let offers: Vec<Offer> = servers.iter().map(|server| offer_of(*server)).collect();
            let mut found = Found::default();
            judge(agent, own, &offers, &[own], &mut found);
            (found.states(), found.words())
        };
        assert_eq!(judged(&[other, own]).0, [State::Ok]);
        let (states, words) = judged(&[other]);
        assert!(states == [State::Fail] && words.contains("ip helper-address 10.0.2.2"), "{words}");
        let (states, words) = judged(&[]);
        assert!(states == [State::Warn] && words.contains("pointsman probe"), "{words}");
    }

    #[tokio::test]
    async fn a_host_without_an_agent_says_so() {
        let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let lines = format!("[server]\naddress = \"127.0.0.1\"\n[dhcp]\nport = {port}");
        let (_folder, mut patient) = patient(&lines);
        patient.relay = Some(Ipv4Addr::LOCALHOST);
        let mut found = Found::default();
        by_way_of(&patient, Ipv4Addr::LOCALHOST, &mut found).await;
        assert!(found.states() == [State::Fail] && found.words().contains("nobody listens"), "{}", found.words());
    }
}
