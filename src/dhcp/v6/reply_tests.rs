use super::super::packet::{Packet, by_relay};
use super::super::question::{Arrived, Dropped, ask};
use super::super::sample;
use super::*;

const OUR_ID: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 2];
const CLIENT: &str = "[fe80::5054:ff:fe77:1%2]:546";

fn arrive(octets: &[u8], port: Port, to_group: bool) -> Result<Asked, Dropped> {
    let peer = if port == Port::Dhcp { CLIENT } else { "[fd77::1be]:4011" };
    let packet = Packet::parse(octets).unwrap();
    ask(Arrived { packet, port, peer: peer.parse().unwrap(), to_group }, OUR_ID, |_| None)
}

fn told(asked: &Asked, file: &str) -> Result<Reply, NoReply> {
    reply(asked, &ReplyContext { server_id: OUR_ID, server: "fd77::2".parse().unwrap(), file })
}

fn read(reply: &Reply) -> Packet {
    Packet::parse(&reply.octets).unwrap()
}

#[test]
fn a_solicit_is_answered_as_edk2_takes_a_proxy() {
    let asked = arrive(&sample::edk2_solicit(), Port::Dhcp, true).unwrap();
    let reply = told(&asked, "b/token/snponly.efi").unwrap();
    assert_eq!(reply.destination, CLIENT.parse().unwrap());
    let message = read(&reply).message;
    assert_eq!((message.message_type, message.xid), (MessageType::Advertise, 0x00a2_ea2a));
    let options = &message.options;
    assert_eq!(options.get(code::CLIENT_ID), Some(&sample::EDK2_DUID[..]));
    assert_eq!(options.get(code::SERVER_ID), Some(OUR_ID));
    assert_eq!(options.get(code::BOOT_FILE_URL), Some(&b"tftp://[fd77::2]/b/token/snponly.efi"[..]));
    assert_eq!(options.get(code::VENDOR_CLASS), Some(&b"\0\0\x01\x57\0\x09PXEClient"[..]));
    // An address, a preference or a wrong size in option 60 would each keep EDK2 from booting.
    for absent in [code::IA_NA, 7, 60] {
        assert!(!options.has(absent), "{absent}");
    }
    // EDK2's HTTP Boot takes the URL up to the next zero octet.
    let at = reply.octets.windows(4).position(|four| four == b".efi").unwrap();
    assert_eq!(reply.octets[at + 4], 0);
}

#[test]
fn the_second_question_is_answered_where_it_came_from() {
    let mut request = sample::edk2(MessageType::Request, &sample::EDK2_DUID, "PXEClient:Arch:00007", 7);
    request.option(code::SERVER_ID, OUR_ID);
    let asked = arrive(&request.finish(), Port::BootServer, false).unwrap();
    let reply = told(&asked, "/b/token/a b;mode=x.efi").unwrap();
    assert_eq!(reply.destination, "[fd77::1be]:4011".parse().unwrap());
    let message = read(&reply).message;
    assert_eq!(message.message_type, MessageType::Reply);
    let url = message.options.get(code::BOOT_FILE_URL);
    assert_eq!(url, Some(&b"tftp://[fd77::2]/b/token/a%20b%3Bmode%3Dx.efi"[..]));
}

#[test]
fn what_is_no_question_gets_silence() {
    let firmware = |kind| sample::edk2(kind, &sample::EDK2_DUID, "PXEClient:Arch:00007", 7);
    let dropped = |octets: &[u8], port, to_group| arrive(octets, port, to_group).err();
    // It accepts the DHCPv6 server's lease.
    let request = firmware(MessageType::Request).finish();
    assert_eq!(dropped(&request, Port::Dhcp, true), Some(Dropped::MessageType));
    assert_eq!(dropped(&firmware(MessageType::Reply).finish(), Port::Dhcp, true), Some(Dropped::MessageType));
    assert_eq!(dropped(&firmware(MessageType::Other(8)).finish(), Port::Dhcp, true), Some(Dropped::MessageType));
    assert_eq!(dropped(&sample::edk2_solicit(), Port::Dhcp, false), Some(Dropped::Invalid));
    let mut named = firmware(MessageType::Solicit);
    named.option(code::SERVER_ID, OUR_ID);
    assert_eq!(dropped(&named.finish(), Port::Dhcp, true), Some(Dropped::Invalid));
    let mut with_address = firmware(MessageType::InformationRequest);
    with_address.option(code::IA_NA, &[0; 12]);
    assert_eq!(dropped(&with_address.finish(), Port::Dhcp, true), Some(Dropped::Invalid));
    let mut others = firmware(MessageType::Request);
    others.option(code::SERVER_ID, &[0, 3, 0, 1, 9]);
    assert_eq!(dropped(&others.finish(), Port::BootServer, false), Some(Dropped::OtherServer));
    assert_eq!(dropped(&sample::edk2_solicit(), Port::BootServer, false), Some(Dropped::MessageType));
    let http = sample::edk2(MessageType::Request, &sample::EDK2_DUID, "HTTPClient:Arch:00016", 16).finish();
    assert_eq!(dropped(&http, Port::BootServer, false), Some(Dropped::VendorClass));
    let relayed = by_relay("fd01::1".parse().unwrap(), "fe80::1".parse().unwrap(), &[], &request);
    assert_eq!(dropped(&relayed, Port::BootServer, false), Some(Dropped::Invalid));
}

#[test]
fn ipxe_is_told_its_script_where_it_takes_it() {
    // It wants an address with it, which we have not.
    assert_eq!(arrive(&sample::ipxe(MessageType::Solicit), Port::Dhcp, true).err(), Some(Dropped::VendorClass));
    let asked = arrive(&sample::ipxe(MessageType::InformationRequest), Port::Dhcp, true).unwrap();
    let reply = told(&asked, "http://[fd77::2]/b/token/boot.ipxe").unwrap();
    let message = read(&reply).message;
    assert_eq!(message.message_type, MessageType::Reply);
    assert_eq!(message.options.get(code::BOOT_FILE_URL), Some(&b"http://[fd77::2]/b/token/boot.ipxe"[..]));
    assert_eq!(told(&asked, "b/token/snponly.efi"), Err(NoReply::LoaderForIpxe));
}

#[test]
fn http_boot_gets_urls_and_says_so() {
    let http = sample::edk2(MessageType::Solicit, &sample::EDK2_DUID, "HTTPClient:Arch:00016:UNDI:003000", 16).finish();
    let asked = arrive(&http, Port::Dhcp, true).unwrap();
    let reply = told(&asked, "http://[fd77::2]/b/token/snponly.efi").unwrap();
    let options = read(&reply).message.options;
    assert_eq!(options.get(code::VENDOR_CLASS), Some(&b"\0\0\x01\x57\0\x0aHTTPClient"[..]));
    assert_eq!(told(&asked, "b/token/snponly.efi"), Err(NoReply::NoUrlForHttpBoot));
    let pxe = arrive(&sample::edk2_solicit(), Port::Dhcp, true).unwrap();
    assert_eq!(told(&pxe, "http://[fd77::2]/x"), Err(NoReply::UrlForPxe));
    assert!(told(&pxe, "tftp://[fd77::9]/x").is_ok());
    assert!(matches!(told(&pxe, &"x".repeat(1_300)), Err(NoReply::TooLong(_))));
}

#[test]
fn a_relay_agent_is_answered_on_its_port() {
    let (link, client) = ("fd01::1".parse().unwrap(), "fe80::1".parse().unwrap());
    let peer = "[fd01::1]:7777".parse().unwrap();
    for (option, port) in [(code::INTERFACE_ID, SERVER_PORT), (code::RELAY_PORT, 7777)] {
        let octets = by_relay(link, client, &[(option, &[0, 1])], &sample::edk2_solicit());
        let packet = Packet::parse(&octets).unwrap();
        let asked = ask(Arrived { packet, port: Port::Dhcp, peer, to_group: false }, OUR_ID, |_| None).unwrap();
        let reply = told(&asked, "x.efi").unwrap();
        assert_eq!(reply.destination.port(), port);
        let back = read(&reply);
        assert_eq!((back.relays[0].link, back.relays[0].peer), (link, client));
        assert_eq!(back.relays[0].options.get(option), Some(&[0, 1][..]));
    }
}

#[test]
fn every_reason_has_its_name() {
    let names: std::collections::BTreeSet<_> = Dropped::ALL.into_iter().map(Dropped::name).collect();
    assert_eq!(names.len(), Dropped::ALL.len());
}
