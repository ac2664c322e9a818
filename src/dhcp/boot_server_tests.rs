//! The conformance cases of port 4011.

use std::net::Ipv4Addr;

use super::super::pxe::BootItem;
use super::super::question::Dropped;
use super::super::sample::*;
use super::*;
use crate::boot::{Line, MenuBoots, MenuEntry};

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

/// Conformance case 54.
#[test]
fn a_boot_item_is_echoed_and_one_with_credentials_gets_silence() {
    let chosen = |layer: [u8; 2]| boot_server_request().with(43, &[71, 4, 0x80, 1, layer[0], layer[1], 255]);
    assert_eq!(chosen([0x80, 0]).ask().unwrap_err(), Dropped::BootItem);
    assert_eq!(chosen([0, 0]).with(77, b"iPXE").ask().unwrap_err(), Dropped::BootItem, "iPXE has menus of its own");
    let asked = chosen([0, 0]).ask().unwrap();
    assert_eq!((asked.boot_item.unwrap().entry(), asked.stage()), (Some(1), Stage::BootServer));
    let ack = chosen([0, 0]).answer(FILE);
    assert_eq!(ack.option(53), Some(&[5][..]));
    assert_eq!(ack.option(43), Some(&[71, 4, 0x80, 1, 0, 0, 255][..]));
    assert_eq!((ack.file(), ack.destination().as_str()), (FILE, "10.0.0.50:4011"));
    let local = BootItem { kind: 0, layer: 0 };
    assert_eq!(local.entry(), None);
}

/// Conformance case 9.
#[test]
fn a_boot_item_may_be_asked_for_on_port_67_as_well() {
    let mut request = boot_server_request().with(43, &[71, 4, 0x80, 1, 0, 0, 255]).from("10.0.0.50:68");
    request.port = Port::Dhcp;
    let ack = request.answer(FILE);
    assert_eq!((ack.option(53), ack.option(43)), (Some(&[5][..]), Some(&[71, 4, 0x80, 1, 0, 0, 255][..])));
    assert_eq!((ack.destination().as_str(), ack.file()), ("10.0.0.50:68", FILE));
    assert_eq!(ack.octets(12..16), [10, 0, 0, 50], "ciaddr");
    let without = request.clone().without(43);
    assert_eq!(without.ask().unwrap_err(), Dropped::MessageType, "a lease is accepted: the DHCP server's business");
    assert_eq!(request.clone().with(54, &[10, 0, 0, 3]).ask().unwrap_err(), Dropped::OtherServer);
    let nobody = request.header(|header| header.ciaddr = Ipv4Addr::UNSPECIFIED).from("0.0.0.0:68").answer(FILE);
    assert_eq!((nobody.destination().as_str(), nobody.octets(10..12)), ("255.255.255.255:68", &[0x80, 0][..]));
}

#[test]
fn a_menu_has_the_own_disk_first_and_one_address_for_every_line() {
    let menu = menu();
    let offered = |request: Sample| request.answer_with(|context| context.told = Told::Menu(&menu));
    for request in [discover(0), discover(7), boot_server_request()] {
        let reply = offered(request).unwrap();
        let expected = [
            &[6, 1, 3][..],
            &[8, 14, 0x80, 0, 1, 10, 0, 0, 2, 0x80, 1, 1, 10, 0, 0, 2],
            &[9, 31, 0, 0, 10][..],
            b"Local disk",
            &[0x80, 0, 6][..],
            b"Debian",
            &[0x80, 1, 6][..],
            b"Memory",
            &[10, 9, 3][..],
            b"Press F8",
            &[255],
        ];
        assert_eq!(reply.option(43).unwrap(), expected.concat());
        assert_eq!((reply.file(), reply.octets(20..24)), ("", &SERVER.octets()[..]));
    }
    assert_eq!(offered(ipxe_discover()).unwrap_err(), NoReply::Menu("ipxe"));
    // Where port 4011 is not served, a choice comes by broadcast.
    let whole = Treatment { is_whole: true, ..Treatment::default() };
    let reply = discover(7).answer_with(|context| (context.told, context.treatment) = (Told::Menu(&menu), &whole));
    assert_eq!(reply.unwrap().option(43).unwrap()[..3], [6, 1, 2]);
}

fn menu() -> BootMenu {
    let entry = |title: &str| MenuEntry { title: Line::clean(title), boots: MenuBoots::Image("x".into()) };
    let entries = vec![entry("Debian"), entry("Memory")];
    BootMenu::new(Line::clean("Press F8"), 3, Line::clean("Local disk"), entries).unwrap()
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
