//! The conformance cases of port 4011.

use std::net::Ipv4Addr;

use super::super::question::Dropped;
use super::super::sample::*;

#[test]
fn a_uefi_request_is_acknowledged_to_where_it_came_from() {
    let request = boot_server_request().with(97, &MACHINE_ID);
    let ack = request.answer(FILE);
    assert_eq!(ack.destination(), "10.0.0.50:4011");
    assert_eq!(ack.option(53), Some(&[5][..]));
    assert_eq!(ack.codes(), [53, 54, 60, 97]);
    assert_eq!(ack.file(), FILE);
    assert_eq!(ack.octets(20..24), SERVER.octets());
    assert_eq!(ack.octets(12..16), [10, 0, 0, 50], "ciaddr");
    assert_eq!(ack.octets(16..20), [0; 4], "yiaddr");
    assert_eq!(ack.octets(4..8), &request.octets()[4..8], "xid");
    assert_eq!(ack.octets(10..12), [0, 0], "flags of a unicast reply are the client's");
}

#[test]
fn an_ipxe_request_that_names_us_is_acknowledged_to_port_68() {
    let request = boot_server_request().with(54, &SERVER.octets()).with(77, b"iPXE").from("10.0.0.50:68");
    let ack = request.answer(URL);
    assert_eq!((ack.destination().as_str(), ack.option(53)), ("10.0.0.50:68", Some(&[5][..])));
    assert_eq!(ack.option(175), Some(&[1, 1, 1][..]));
}

#[test]
fn a_request_to_another_server_gets_silence() {
    assert_eq!(boot_server_request().with(54, &[10, 0, 0, 3]).ask().unwrap_err(), Dropped::OtherServer);
}

#[test]
fn a_request_without_option_60_gets_silence() {
    assert_eq!(boot_server_request().without(60).ask().unwrap_err(), Dropped::VendorClass);
}

#[test]
fn http_boot_has_no_business_on_4011() {
    let request = boot_server_request().with(60, b"HTTPClient:Arch:00016:UNDI:003000");
    assert_eq!(request.ask().unwrap_err(), Dropped::VendorClass);
}

#[test]
fn a_boot_item_gets_silence_because_there_are_no_menus() {
    for layer in [[0, 0], [0x80, 0]] {
        let item = [71, 4, 0x80, 1, layer[0], layer[1], 255];
        assert_eq!(boot_server_request().with(43, &item).ask().unwrap_err(), Dropped::BootItem);
    }
}

#[test]
fn windows_boot_programs_that_want_a_wds_server_get_silence() {
    assert_eq!(boot_server_request().with(250, &[1, 0]).ask().unwrap_err(), Dropped::Wds);
}

#[test]
fn an_inform_is_answered_like_a_request() {
    let request = boot_server_request();
    let inform = request.clone().with(53, &[8]);
    assert_eq!(inform.answer(FILE).reply, request.answer(FILE).reply);
}

#[test]
fn a_discover_on_4011_gets_an_offer_to_its_source() {
    let offer = boot_server_request().with(53, &[1]).from("10.0.0.50:68").answer(FILE);
    assert_eq!((offer.destination().as_str(), offer.option(53)), ("10.0.0.50:68", Some(&[2][..])));
}

#[test]
fn the_reply_goes_to_whatever_port_asked() {
    assert_eq!(boot_server_request().from("10.0.0.50:49152").answer(FILE).destination(), "10.0.0.50:49152");
}

#[test]
fn a_rom_without_source_address_is_answered_at_ciaddr_or_by_broadcast() {
    let request = boot_server_request().from("0.0.0.0:68");
    assert_eq!(request.answer(FILE).destination(), "10.0.0.50:68");
    let broadcast = request.header(|header| header.ciaddr = Ipv4Addr::UNSPECIFIED).answer(FILE);
    assert_eq!(broadcast.destination(), "255.255.255.255:68");
    assert_eq!(broadcast.octets(10..12), [0x80, 0]);
}

#[test]
fn a_bios_request_gets_bit_3_here_too() {
    let ack = boot_server_request().with(60, b"PXEClient:Arch:00000:UNDI:002001").with(93, &[0, 0]).answer(FILE);
    assert_eq!(ack.option(43), Some(&[6, 1, 8, 255][..]));
}
