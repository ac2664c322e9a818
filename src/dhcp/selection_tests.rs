//! Each rule by which clients choose, with offers made option by option.

use super::super::sample::{Sample, sample};
use super::*;
use crate::dhcp::packet::{MessageType, Operation};

const DHCP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PROXY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const RIVAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const TAKE_FILE: &[u8] = &[6, 1, 8, 255];

fn offer_of(server: Ipv4Addr, address: [u8; 4]) -> Sample {
    let reply = sample(MessageType::Offer).with(54, &server.octets());
    reply.header(|header| (header.op, header.yiaddr, header.siaddr) = (Operation::Reply, address.into(), server))
}

fn lease() -> Sample {
    offer_of(DHCP, [10, 0, 0, 50])
}

fn proxy(server: Ipv4Addr) -> Sample {
    offer_of(server, [0; 4]).with(60, b"PXEClient")
}

fn chosen(taker: Taker, packets: &[Sample]) -> Choice {
    select(taker, &offers(packets))
}

fn offers(packets: &[Sample]) -> Vec<Offer> {
    packets.iter().map(|packet| Offer { sender: packet.header.siaddr, message: packet.message() }).collect()
}

/// Where it gets its address, what it boots by, and what it does.
fn check(taker: Taker, packets: &[Sample], lease: Option<usize>, boot: Option<usize>, step: &str) {
    let choice = chosen(taker, packets);
    let did = match &choice.step {
        Step::Load { file, server: Some(server) } => format!("{file} from {server}"),
        Step::Load { file, server: None } => file.clone(),
        Step::AskBootServer { server } => format!("4011 of {server}"),
        Step::Menu => "menu".into(),
        Step::Fail { code } => (*code).to_owned(),
    };
    assert_eq!((choice.lease, choice.boot, did.as_str()), (lease, boot, step), "{taker:?}");
}

#[test]
fn a_bios_takes_the_proxy_s_file_with_bit_3_and_else_asks_4011() {
    let direct = proxy(PROXY).with(43, TAKE_FILE).with(67, b"a.0");
    check(Taker::Bios, &[lease(), direct.clone()], Some(0), Some(1), "a.0 from 10.0.0.2");
    check(Taker::Bios, &[proxy(RIVAL), direct.clone(), lease()], Some(2), Some(1), "a.0 from 10.0.0.2");
    check(Taker::Bios, &[lease(), proxy(PROXY)], Some(0), Some(1), "4011 of 10.0.0.2");
    check(Taker::Bios, &[direct], None, Some(0), "PXE-E52");
    check(Taker::Bios, &[], None, None, "PXE-E51");
    check(Taker::Bios, &[lease()], Some(0), Some(0), "PXE-E53");
    check(Taker::Bios, &[lease().with(67, b"b.0")], Some(0), Some(0), "b.0 from 10.0.0.1");
}

#[test]
fn a_bios_stops_on_option_43_that_leads_nowhere() {
    check(Taker::Bios, &[lease(), proxy(PROXY).with(43, &[6, 1, 7])], Some(0), Some(1), "PXE-E77");
    check(Taker::Bios, &[lease(), proxy(PROXY).with(43, &[6, 1, 3])], Some(0), Some(1), "PXE-E74");
    let menu = proxy(PROXY).with(43, &[6, 1, 3, 9, 5, 0x80, 0, 2, b'P', b'i', 10, 2, 0, b'P']);
    check(Taker::Bios, &[lease(), menu], Some(0), Some(1), "menu");
}

#[test]
fn a_bios_prefers_a_lease_that_is_the_boot_server_too() {
    let both = lease().with(60, b"PXEClient").with(43, TAKE_FILE).with(67, b"own.0");
    let other = proxy(PROXY).with(43, TAKE_FILE).with(67, b"a.0");
    check(Taker::Bios, &[lease(), other, both], Some(2), Some(2), "own.0 from 10.0.0.1");
}

#[test]
fn uefi_asks_4011_even_when_the_offer_has_a_file() {
    check(Taker::Uefi, &[lease(), proxy(PROXY).with(67, b"a.efi")], Some(0), Some(1), "4011 of 10.0.0.2");
    let mut bare = proxy(PROXY);
    bare.header.siaddr = Ipv4Addr::UNSPECIFIED;
    check(Taker::Uefi, &[lease(), bare], Some(0), Some(1), "4011 of 10.0.0.2");
}

#[test]
fn uefi_prefers_discovery_control_to_none_and_a_proxy_to_a_file_of_the_dhcp_server() {
    let direct = proxy(RIVAL).with(43, TAKE_FILE).with(67, b"r.efi");
    check(Taker::Uefi, &[lease(), proxy(PROXY), direct], Some(0), Some(2), "r.efi from 10.0.0.3");
    let with_file = lease().with(67, b"from-dhcp.efi");
    check(Taker::Uefi, &[with_file.clone(), proxy(PROXY)], Some(0), Some(1), "4011 of 10.0.0.2");
    check(Taker::Uefi, &[with_file], Some(0), Some(0), "from-dhcp.efi from 10.0.0.1");
}

#[test]
fn uefi_uses_no_proxy_beside_a_dhcp_server_that_says_pxeclient() {
    let binl = lease().with(60, b"PXEClient");
    check(Taker::Uefi, &[binl.clone(), proxy(PROXY)], Some(0), Some(0), "4011 of 10.0.0.1");
    // Not even the better class, unless another server gives a plain lease.
    let direct = proxy(PROXY).with(43, TAKE_FILE).with(67, b"a.efi");
    check(Taker::Uefi, &[binl.clone(), direct.clone()], Some(0), Some(0), "4011 of 10.0.0.1");
    check(Taker::Uefi, &[binl, direct, lease()], Some(2), Some(1), "a.efi from 10.0.0.2");
}

#[test]
fn uefi_takes_the_first_listed_server_for_tftp_and_stops_without_a_menu() {
    let listed = proxy(PROXY).with(43, &[6, 1, 8, 8, 7, 0x80, 0, 1, 10, 0, 0, 9]).with(67, b"a.efi");
    check(Taker::Uefi, &[lease(), listed], Some(0), Some(1), "a.efi from 10.0.0.9");
    check(Taker::Uefi, &[lease(), proxy(PROXY).with(43, &[6, 1, 3])], Some(0), Some(1), "PXE-E21");
    check(Taker::Uefi, &[proxy(PROXY)], None, None, "PXE-E16");
    check(Taker::Uefi, &[lease(), proxy(PROXY).without(60)], Some(0), None, "PXE-E16");
}

#[test]
fn http_boot_takes_the_proxy_s_url_and_a_name_only_with_dns() {
    let http = |url: &str| offer_of(PROXY, [0; 4]).with(60, b"HTTPClient").with(67, url.as_bytes());
    let url = "http://10.0.0.2/x.efi";
    check(Taker::Http, &[lease(), http(url)], Some(0), Some(1), url);
    check(Taker::Http, &[lease(), proxy(PROXY).with(67, b"x.efi")], Some(0), None, "PXE-E16");
    check(Taker::Http, &[http(url)], None, None, "PXE-E16");
    let name = "https://boot.example/x.efi";
    check(Taker::Http, &[lease(), http(name)], Some(0), None, "PXE-E16");
    check(Taker::Http, &[lease().with(6, &[10, 0, 0, 53]), http(name)], Some(0), Some(1), name);
    check(Taker::Http, &[lease(), http("http://[fd00::2]:8080/x")], Some(0), Some(1), "http://[fd00::2]:8080/x");
}

#[test]
fn ipxe_takes_the_dhcp_server_s_file_unless_the_proxy_has_priority() {
    let url = b"http://10.0.0.2/b/boot.ipxe";
    let own = lease().with(67, b"from-dhcp.efi");
    check(Taker::Ipxe, &[own.clone(), proxy(PROXY).with(67, url)], Some(0), Some(0), "from-dhcp.efi from 10.0.0.1");
    let prior = proxy(PROXY).with(67, url).with(175, &[1, 1, 1]);
    check(Taker::Ipxe, &[own, prior.clone()], Some(0), Some(1), "http://10.0.0.2/b/boot.ipxe");
    check(Taker::Ipxe, &[lease(), proxy(PROXY).with(67, url)], Some(0), Some(1), "http://10.0.0.2/b/boot.ipxe");
    check(Taker::Ipxe, &[prior], None, None, "4c1060");
    check(Taker::Ipxe, &[lease()], Some(0), None, "2d03e1");
}

#[test]
fn ipxe_stops_listening_once_it_has_both_and_asks_4011_where_the_offer_lacks_the_file() {
    let late = proxy(RIVAL).with(67, b"http://10.0.0.3/x").with(175, &[1, 1, 9]);
    check(Taker::Ipxe, &[proxy(PROXY), lease(), late.clone()], Some(1), Some(0), "4011 of 10.0.0.2");
    // Before that the higher priority wins, and of equals the later.
    check(Taker::Ipxe, &[late.clone(), proxy(PROXY), lease()], Some(2), Some(0), "http://10.0.0.3/x");
    let equal = proxy(PROXY).with(67, b"http://10.0.0.2/y").with(175, &[1, 1, 9]);
    check(Taker::Ipxe, &[late, equal, lease()], Some(2), Some(1), "http://10.0.0.2/y");
}

#[test]
fn ipxe_ignores_proxies_where_the_dhcp_server_says_so() {
    let silent = lease().with(175, &[176, 1, 1]);
    let prior = proxy(PROXY).with(67, b"http://10.0.0.2/x").with(175, &[1, 1, 1]);
    check(Taker::Ipxe, &[prior, silent], Some(1), None, "2d03e1");
}

#[test]
fn a_raspberry_pi_takes_the_offer_with_its_text() {
    let pi = proxy(PROXY).with(43, b"\x06\x01\x03\x0a\x04\x00PXE\x09\x14\x00\x00\x11Raspberry Pi Boot\xff");
    check(Taker::RaspberryPi, &[lease(), proxy(RIVAL), pi], Some(0), Some(2), "bootcode.bin from 10.0.0.2");
    let choice = chosen(Taker::RaspberryPi, &[lease(), proxy(RIVAL)]);
    assert!(matches!(choice.step, Step::Fail { .. }) && choice.boot.is_none());
}

#[test]
fn the_answer_of_port_4011_is_taken_with_a_file_only() {
    let answer = offers(&[proxy(PROXY).with(53, &[5]).with(67, b"a.efi"), proxy(PROXY).with(53, &[5])]);
    let after = |taker, answer| after_boot_server(taker, PROXY, answer);
    let loads = Step::Load { file: "a.efi".into(), server: Some(PROXY) };
    assert_eq!(after(Taker::Uefi, Some(&answer[0])), loads);
    assert_eq!(after(Taker::Uefi, Some(&answer[1])), Step::fail("PXE-E18"));
    assert_eq!(after(Taker::Uefi, None), Step::fail("PXE-E18"));
    assert_eq!(after(Taker::Bios, Some(&answer[1])), Step::fail("PXE-E53"));
    assert_eq!(after(Taker::Bios, None), Step::fail("PXE-E55"));
}

proptest::proptest! {
    /// Whatever servers send, there is a choice, and it names offers that are there.
    #[test]
    fn any_offers_give_a_choice(
        packets in proptest::collection::vec(
            (proptest::bool::ANY, proptest::option::of(0..3usize), proptest::collection::vec(0u8..=255, 0..60),
             proptest::collection::vec(0u8..=255, 0..40), 0u8..8),
            0..6,
        )
    ) {
        let packets: Vec<Sample> = packets
            .into_iter()
            .map(|(leases, class, vendor, ipxe, kind)| {
                let packet = offer_of(PROXY, if leases { [10, 0, 0, 50] } else { [0; 4] });
                let class = class.map(|at| [&b"PXEClient"[..], b"HTTPClient", b"MSFT 5.0"][at]);
                let packet = packet.with(43, &vendor).with(175, &ipxe).with(53, &[kind]).with(67, &vendor);
                class.iter().fold(packet, |packet, class| packet.with(60, class))
            })
            .collect();
        let offers = offers(&packets);
        for taker in [Taker::Bios, Taker::Uefi, Taker::Http, Taker::Ipxe, Taker::RaspberryPi] {
            let choice = select(taker, &offers);
            for at in [choice.lease, choice.boot].into_iter().flatten() {
                proptest::prop_assert!(at < offers.len());
                let _ = crate::dhcp::faults::faults(taker, &offers, at);
            }
            let _ = crate::dhcp::faults::quarrels(taker, &offers);
        }
    }
}
