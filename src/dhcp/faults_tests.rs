//! Each fault is found where it is, and nowhere else.

use super::super::packet::{MessageType, Operation};
use super::super::sample::{MACHINE_ID, Sample, sample};
use super::*;

const DHCP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PROXY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const RIVAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

fn packet(server: Ipv4Addr, address: [u8; 4]) -> Sample {
    let reply = sample(MessageType::Offer).with(54, &server.octets()).with(97, &MACHINE_ID);
    reply.header(|header| (header.op, header.yiaddr, header.siaddr) = (Operation::Reply, address.into(), server))
}

fn proxy(server: Ipv4Addr) -> Sample {
    packet(server, [0; 4]).with(60, b"PXEClient")
}

fn lease() -> Sample {
    packet(DHCP, [10, 0, 0, 50])
}

fn offers(packets: &[Sample]) -> Vec<Offer> {
    let sender = |packet: &Sample| if packet.header.siaddr.is_unspecified() { PROXY } else { packet.header.siaddr };
    packets.iter().map(|packet| Offer { sender: sender(packet), message: packet.message() }).collect()
}

fn found(taker: Taker, packets: &[Sample]) -> Vec<String> {
    faults(taker, &offers(packets), 0).iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_offer_has_no_fault() {
    let good = proxy(PROXY).with(43, &[6, 1, 8, 255]).with(67, b"a.0\0").with(175, &[1, 1, 1]);
    for taker in [Taker::Bios, Taker::Uefi, Taker::Ipxe] {
        assert_eq!(found(taker, &[good.clone(), lease()]), [""; 0], "{taker:?}");
    }
    assert_eq!(found(Taker::Uefi, &[lease()]), [""; 0]);
}

#[test]
fn each_fault_is_told() {
    let has = |taker, packet: Sample, beside: &[Sample], words: &str| {
        let told = found(taker, &[&[packet][..], beside].concat());
        assert!(told.len() == 1 && told[0].contains(words), "{words}: {told:?}");
    };
    let good = || proxy(PROXY).with(67, b"a.0\0");
    has(Taker::Uefi, good().with(43, &[6, 1, 3]), &[], "PXE-E21");
    has(Taker::Bios, good().with(43, &[6, 1, 7, 9, 4, 0, 0, 1, b'x']), &[], "PXE-E77");
    has(Taker::Uefi, good().with(43, &[6, 1, 8, 8, 7, 0x80, 0, 1, 10, 0, 0, 9]), &[], "TFTP from 10.0.0.9");
    has(Taker::Bios, proxy(PROXY).with(43, &[6, 1, 8]), &[], "PXE-E53");
    has(Taker::Uefi, good().with(60, b"PXEClient:Arch:00007"), &[], "option 60 is longer");
    has(Taker::Uefi, good().without(97), &[], "option 97");
    has(Taker::Bios, proxy(PROXY).with(67, b"a.0"), &[], "rubbish");
    has(
        Taker::Uefi,
        good().with(54, &RIVAL.octets()),
        &[],
        "option 54 says 10.0.0.3, but the packet came from 10.0.0.2",
    );
    let mut nowhere = good().without(54);
    nowhere.header.siaddr = Ipv4Addr::UNSPECIFIED;
    has(Taker::Uefi, nowhere, &[], "neither siaddr nor option 54");
    has(Taker::RaspberryPi, good(), &[], "Raspberry Pi Boot");
    let http = |url: &str| packet(PROXY, [0; 4]).with(60, b"HTTPClient").with(67, url.as_bytes());
    has(Taker::Http, http("x.efi"), &[lease()], "no http or https URL");
    has(Taker::Http, http("http://boot.example/x"), &[lease()], "DNS");
    assert_eq!(found(Taker::Http, &[http("http://boot.example/x"), lease().with(6, &[10, 0, 0, 53])]), [""; 0]);
    has(Taker::Ipxe, good(), &[lease().with(67, b"own.efi")], "175 = 01 01 01");
    has(Taker::Ipxe, good().with(175, b"https://boot.example/"), &[], "2Pint");
}

#[test]
fn servers_that_are_in_each_other_s_way_quarrel() {
    let told = |taker, packets: &[Sample]| quarrels(taker, &offers(packets));
    assert_eq!(told(Taker::Uefi, &[lease(), proxy(PROXY)]), []);
    assert_eq!(told(Taker::Uefi, &[lease().with(60, b"PXEClient")]), []);
    // The same server twice, as on two addresses of a relay.
    assert_eq!(told(Taker::Uefi, &[lease(), proxy(PROXY), proxy(PROXY)]), []);
    let rivals = [Conflict::RivalProxy(PROXY), Conflict::RivalProxy(RIVAL)];
    assert_eq!(told(Taker::Uefi, &[proxy(PROXY), lease(), proxy(RIVAL)]), rivals);
    let both = told(Taker::Bios, &[lease().with(60, b"PXEClient"), proxy(PROXY)]);
    assert_eq!(both, [Conflict::PxeClient(DHCP), Conflict::RivalProxy(PROXY)]);
    let silent = [lease().with(175, &[176, 1, 1]), proxy(PROXY)];
    assert_eq!(told(Taker::Ipxe, &silent), [Conflict::NoPxeDhcp(DHCP)]);
    assert_eq!(told(Taker::Uefi, &silent), []);
    let http = |server| packet(server, [0; 4]).with(60, b"HTTPClient").with(67, b"http://10.0.0.2/x");
    assert_eq!(told(Taker::Http, &[http(PROXY), http(RIVAL), lease()]), rivals);
}
