//! The conformance cases of port 67 and of iPXE; those of port 4011 are in `boot_server_tests.rs`.

use std::net::Ipv4Addr;

use super::super::packet::{Message, MessageType, PacketError};
use super::super::question::Dropped;
use super::super::sample::*;
use super::*;

#[test]
fn a_bios_client_gets_an_offer_with_its_file_and_bit_3() {
    let request = discover(0).with(code::VENDOR_CLASS, b"PXEClient:Arch:00000:UNDI:002001");
    let offer = request.answer("undionly.kpxe");
    let sent = request.octets();
    assert_eq!(offer.octets(0..1), [2], "op");
    assert_eq!(offer.octets(1..3), &sent[1..3], "htype and hlen");
    assert_eq!(offer.octets(3..4), [0], "hops");
    assert_eq!(offer.octets(4..8), &sent[4..8], "xid");
    assert_eq!(offer.octets(8..10), [0, 0], "secs");
    assert_eq!(offer.octets(10..12), [0x80, 0], "flags");
    assert_eq!(offer.octets(12..20), [0; 8], "ciaddr and yiaddr");
    assert_eq!(offer.octets(20..24), SERVER.octets(), "siaddr");
    assert_eq!(offer.octets(24..28), [0; 4], "giaddr");
    assert_eq!(offer.octets(28..44), &sent[28..44], "chaddr");
    assert_eq!(offer.octets(44..108), [0; 64], "sname");
    assert_eq!(offer.file(), "undionly.kpxe");
    assert_eq!(offer.codes(), [53, 54, 60, 43]);
    assert_eq!(offer.option(53), Some(&[2][..]));
    assert_eq!(offer.option(54), Some(&SERVER.octets()[..]));
    assert_eq!(offer.option(60), Some(&b"PXEClient"[..]));
    assert_eq!(offer.option(43), Some(&[6, 1, 8, 255][..]));
    assert_eq!(offer.reply.octets.len(), 300);
    assert_eq!(offer.destination(), "255.255.255.255:68");
    assert_eq!(offer.reply.message_type, MessageType::Offer);
}

#[test]
fn a_uefi_client_gets_an_offer_without_option_43_and_comes_to_4011() {
    let offer = discover(7).answer("snponly.efi");
    assert_eq!(offer.codes(), [53, 54, 60]);
    assert_eq!(offer.octets(20..24), SERVER.octets());
    assert_eq!(offer.file(), "snponly.efi");
}

#[test]
fn style_pxe10_gives_a_uefi_client_its_file_in_the_offer() {
    let offer = discover(7).answer_with(|context| context.style = Style::Pxe10).unwrap();
    assert_eq!(offer.option(43), Some(&[6, 1, 8, 255][..]));
    assert_eq!(offer.file(), FILE);
    let styles = Styles { overrides: vec![(Architecture::X64_UEFI, Style::Pxe10)], ..Styles::default() };
    assert_eq!(styles.of(Architecture::X64_UEFI), Style::Pxe10);
    assert_eq!(styles.of(Architecture::ARM64_UEFI), Style::Binl);
    assert_eq!(styles.of(Architecture::X86_BIOS), Style::Pxe10);
}

#[test]
fn a_uefi_client_whose_tftp_server_is_elsewhere_does_not_look_for_4011_there() {
    let elsewhere = Ipv4Addr::new(10, 0, 0, 9);
    let offer = discover(7).answer_with(|context| context.next_server = Some(elsewhere)).unwrap();
    assert_eq!(offer.octets(20..24), elsewhere.octets());
    assert_eq!(offer.option(54), Some(&SERVER.octets()[..]));
    assert_eq!(offer.option(43), Some(&[6, 1, 8, 255][..]));
}

#[test]
fn a_discover_without_option_60_gets_silence() {
    assert_eq!(discover(0).without(60).ask().unwrap_err(), Dropped::VendorClass);
}

#[test]
fn other_vendor_classes_get_silence() {
    for class in ["MSFT 5.0", "AAPLBSDPC/i386", "docsis3.0", "PXE", "PXEClien", "xPXEClient", ""] {
        let asked = discover(0).with(60, class.as_bytes()).ask();
        assert_eq!(asked.unwrap_err(), Dropped::VendorClass, "{class}");
    }
}

#[test]
fn the_bare_class_with_user_class_ipxe_is_ipxe() {
    let asked = discover(7).with(60, b"PXEClient").with(77, b"iPXE").ask().unwrap();
    assert_eq!(asked.caller.speaker, Speaker::Ipxe);
    assert_eq!(asked.caller.client.architecture, Architecture::X64_UEFI);
}

#[test]
fn the_class_is_compared_as_a_prefix() {
    assert_eq!(discover(7).with(60, b"PXEClientX:whatever").ask().unwrap().caller.speaker, Speaker::Firmware);
}

#[test]
fn a_request_on_67_gets_silence() {
    let request = discover(7).with(53, &[3]);
    assert_eq!(request.ask().unwrap_err(), Dropped::MessageType);
    let with_control = request.with(43, &[6, 1, 8, 255]);
    assert_eq!(with_control.ask().unwrap_err(), Dropped::MessageType, "it names no line of a menu");
}

#[test]
fn inform_release_decline_and_bootp_on_67_get_silence() {
    for message_type in [4u8, 5, 6, 7, 8, 9, 0, 255] {
        assert_eq!(discover(0).with(53, &[message_type]).ask().unwrap_err(), Dropped::MessageType, "{message_type}");
    }
    assert_eq!(discover(0).without(53).ask().unwrap_err(), Dropped::MessageType);
    assert_eq!(discover(0).with(53, &[1, 1]).ask().unwrap_err(), Dropped::MessageType);
}

#[test]
fn another_servers_offer_gets_silence() {
    let offer = discover(7).header(|header| header.op = Operation::Reply).with(53, &[2]);
    assert_eq!(offer.ask().unwrap_err(), Dropped::FromServer);
}

#[test]
fn short_cut_off_and_foreign_packets_are_errors() {
    let good = discover(0).octets();
    for length in 0..240 {
        assert_eq!(Message::parse(&good[..length]), Err(PacketError::Length(length)));
    }
    let mut cookie = good.clone();
    cookie[236] = 0;
    assert_eq!(Message::parse(&cookie), Err(PacketError::Cookie));
    assert_eq!(Message::parse(&[&good[..240], &[53]].concat()), Err(PacketError::OptionLength(53)));
    assert_eq!(Message::parse(&[&good[..240], &[53, 2, 1]].concat()), Err(PacketError::OptionLength(53)));
}

#[test]
fn the_machine_id_is_echoed_unchanged_and_shown_in_canonical_form() {
    let request = discover(7).with(97, &MACHINE_ID);
    let client = request.ask().unwrap().caller.client;
    assert_eq!(client.uuid().unwrap().to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(request.answer(FILE).option(97), Some(&MACHINE_ID[..]));
}

#[test]
fn a_missing_short_or_zero_machine_id_is_no_identity_and_no_obstacle() {
    for value in [None, Some(vec![0]), Some(vec![0; 17]), Some(vec![0; 16]), Some(vec![255; 17])] {
        let request = value.iter().fold(discover(7), |request, value| request.with(97, value));
        assert_eq!(request.ask().unwrap().caller.client.uuid(), None, "{value:?}");
        assert_eq!(request.answer(FILE).option(97), value.as_deref(), "{value:?}");
    }
}

#[test]
fn the_client_identifier_is_echoed() {
    let offer = discover(7).with(61, &[1, 2, 3, 4, 5, 6, 7]).answer(FILE);
    assert_eq!(offer.option(61), Some(&[1, 2, 3, 4, 5, 6, 7][..]));
}

fn relayed(information: &[u8]) -> Sample {
    let giaddr = Ipv4Addr::new(10, 1, 0, 1);
    discover(7).header(|header| header.giaddr = giaddr).with(82, information).from("10.1.0.254:1067")
}

#[test]
fn a_relayed_client_is_answered_through_its_relay() {
    let information = [1, 2, 7, 8, 2, 1, 9];
    let offer = relayed(&information).with(61, &[1, 2]).with(97, &MACHINE_ID).answer(FILE);
    assert_eq!(offer.destination(), "10.1.0.1:67");
    assert_eq!(offer.octets(24..28), [10, 1, 0, 1]);
    assert_eq!(offer.octets(10..12), [0x80, 0]);
    assert_eq!(offer.options.last(), Some(&(82, information.to_vec())));
    assert_eq!(offer.codes(), [53, 54, 60, 97, 61, 82]);
    let relay = relayed(&information).ask().unwrap().relay.unwrap();
    assert_eq!((relay.circuit_id, relay.remote_id), (vec![7, 8], vec![9]));
}

#[test]
fn link_selection_names_the_subnet_and_the_relay_still_gets_the_answer() {
    let request = relayed(&[5, 4, 10, 7, 0, 0]);
    let network = crate::boot::Network { relay: request.ask().unwrap().relay, ..Default::default() };
    assert_eq!(network.subnet_address(), Some(Ipv4Addr::new(10, 7, 0, 0).into()));
    assert_eq!(request.answer(FILE).destination(), "10.1.0.1:67");
}

#[test]
fn a_server_identifier_override_does_not_change_option_54() {
    let offer = relayed(&[11, 4, 10, 1, 0, 1]).answer(FILE);
    assert_eq!(offer.option(54), Some(&SERVER.octets()[..]));
}

#[test]
fn a_relay_that_names_its_port_is_answered_there() {
    assert_eq!(relayed(&[19, 0]).answer(FILE).destination(), "10.1.0.1:1067");
}

#[test]
fn a_giaddr_that_is_no_host_gets_silence() {
    for giaddr in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
        assert_eq!(discover(7).header(|header| header.giaddr = giaddr).ask().unwrap_err(), Dropped::Relay);
    }
}

#[test]
fn relay_information_without_room_is_left_out() {
    let information = [&[1, 253][..], &[7; 253]].concat();
    let request = relayed(&information).without(57).with(61, &[1; 40]);
    let offer = request.answer(FILE);
    assert!(offer.reply.lacks_relay_information);
    assert_eq!(offer.option(82), None);
    assert_eq!(offer.option(61), Some(&[1; 40][..]));
    assert!(!request.with(57, &1472u16.to_be_bytes()).answer(FILE).reply.lacks_relay_information);
}

#[test]
fn a_maximum_message_size_of_576_bounds_the_reply_to_548_octets() {
    let long = "x".repeat(254);
    for size in [Some(576u16), Some(0), Some(300), None] {
        let request = discover(7).with(97, &MACHINE_ID).with(61, &[1; 255]).with(82, &[9; 255]).without(57);
        let request = size.iter().fold(request, |request, size| request.with(57, &size.to_be_bytes()));
        let offer = request.answer(&long);
        assert!(offer.reply.octets.len() <= 548, "{size:?}: {}", offer.reply.octets.len());
        assert_eq!(offer.option(97), Some(&MACHINE_ID[..]), "{size:?}");
    }
}

#[test]
fn a_reply_never_exceeds_1472_octets() {
    let request = discover(7).with(57, &0xff00u16.to_be_bytes()).with(61, &[1; 700]).with(97, &[0; 300]);
    assert!(request.with(82, &[9; 5]).answer(FILE).reply.octets.len() <= 1472);
}

#[test]
fn a_guid_in_chaddr_is_copied() {
    let guid: [u8; 16] = std::array::from_fn(|index| index as u8 + 1);
    let request = discover(7).header(|header| (header.hlen, header.chaddr) = (16, guid));
    assert_eq!(request.ask().unwrap().caller.client.hardware.octets(), guid);
    assert_eq!(request.answer(FILE).octets(28..44), guid);
}

#[test]
fn infiniband_is_known_by_its_client_identifier() {
    let request = discover(7).header(|header| (header.htype, header.hlen, header.chaddr) = (32, 0, [0; 16]));
    assert_eq!(request.ask().unwrap_err(), Dropped::Identity);
    let identifier: Vec<u8> = (0..21).collect();
    let request = request.with(61, &identifier);
    assert_eq!(request.ask().unwrap().caller.client.hardware.octets(), &identifier[5..]);
    let offer = request.answer(FILE);
    assert_eq!((offer.octets(1..3), offer.option(61)), (&[32, 0][..], Some(&identifier[..])));
}

#[test]
fn a_file_name_of_127_octets_fits_the_header_and_a_longer_one_goes_to_option_67() {
    let name = "x".repeat(128);
    let offer = discover(0).with(82, &[9, 0]).answer(&name[..127]);
    assert_eq!((offer.file(), offer.option(67)), (&name[..127], None));
    let offer = discover(0).with(82, &[9, 0]).answer(&name);
    assert_eq!(offer.file(), "");
    assert_eq!(offer.option(67), Some(&[name.as_bytes(), &[0]].concat()[..]));
    assert_eq!(offer.codes(), [53, 54, 60, 43, 67, 82]);
    assert_eq!(discover(0).try_answer(&"x".repeat(255)).unwrap_err(), NoReply::FileLength(255));
}

#[test]
fn denied_firmware_and_ignored_clients_get_silence_but_denied_ipxe_is_told() {
    let (deny, ignore) = (Verdict::deny("no"), Verdict::ignore("no"));
    for speaker in [Speaker::Firmware, Speaker::HttpBoot, Speaker::Ipxe] {
        assert!(answers(&Verdict::allow(), speaker));
        assert!(!answers(&ignore, speaker));
        assert_eq!(answers(&deny, speaker), speaker == Speaker::Ipxe);
    }
}

#[test]
fn ipxe_gets_its_url_with_priority_and_needs_no_4011() {
    let offer = ipxe_discover().answer(URL);
    assert_eq!(offer.octets(20..24), SERVER.octets());
    assert_eq!(offer.file(), URL);
    assert_eq!(offer.option(175), Some(&[1, 1, 1][..]));
    assert_eq!(offer.codes(), [53, 54, 60, 175]);
}

#[test]
fn firmware_gets_no_option_175() {
    assert_eq!(discover(0).answer(FILE).option(175), None);
    assert_eq!(discover(7).answer(FILE).option(175), None);
}

#[test]
fn ipxe_never_gets_a_loader() {
    for file in ["b/t/snponly.efi", "undionly.kpxe", "", "http://h/b/t/snponly.efi", "tftp://h/UNDIONLY.KPXE?x#y"] {
        assert_eq!(ipxe_discover().try_answer(file).unwrap_err(), NoReply::LoaderForIpxe, "{file}");
    }
    for host_like_a_loader in ["http://boot.com/boot.ipxe", "http://10.0.0.0"] {
        assert!(ipxe_discover().try_answer(host_like_a_loader).is_ok());
    }
}

#[test]
fn ipxe_that_http_boot_loaded_is_ipxe_and_gets_an_offer_that_it_takes() {
    let request = ipxe_discover().with(60, b"HTTPClient:Arch:00016:UNDI:003000").with(93, &[0, 16]);
    assert_eq!(request.ask().unwrap().caller.speaker, Speaker::Ipxe);
    assert_eq!(request.answer(URL).option(60), Some(&b"PXEClient"[..]));
}

#[test]
fn http_boot_gets_a_url_in_option_67_and_the_header() {
    let request = discover(16).with(60, b"HTTPClient:Arch:00016:UNDI:003000").with(82, &[9, 0]);
    let offer = request.answer("http://10.0.0.2/b/t/snponly.efi");
    assert_eq!(offer.option(60), Some(&b"HTTPClient"[..]));
    assert_eq!(offer.option(67), Some(&b"http://10.0.0.2/b/t/snponly.efi"[..]));
    assert_eq!(offer.file(), "http://10.0.0.2/b/t/snponly.efi");
    assert_eq!(offer.codes(), [53, 54, 60, 67, 82]);
    assert_eq!(request.try_answer("b/t/snponly.efi").unwrap_err(), NoReply::NoUrlForHttpBoot);
    assert_eq!(discover(7).try_answer(URL).unwrap_err(), NoReply::UrlForFirmware);
}

#[test]
fn a_nul_that_edk2_writes_behind_option_67_hits_no_option() {
    let request = discover(16).with(60, b"HTTPClient:Arch:00016").with(82, &[9, 0]);
    let octets = request.answer("http://10.0.0.2/x.efi").reply.octets;
    let at = octets.windows(2).position(|pair| pair == [67, 21]).unwrap();
    assert_eq!(octets[at + 2 + 21..at + 2 + 21 + 3], [0, 82, 2]);
}
