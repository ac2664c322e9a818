use proptest::prelude::*;

use super::*;

fn address(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

#[test]
fn a_packet_is_read_as_it_was_made() {
    let (from, to) = (address("10.0.0.2:67"), address("255.255.255.255:68"));
    let packet = ip_packet(from, to, b"hello");
    let found = udp_within(&packet).unwrap();
    assert_eq!((found.source, found.destination, &packet[found.payload.clone()]), (from, to, &b"hello"[..]));
    // A frame has 46 octets at least.
    let filled = [&packet[..], &[0; 20]].concat();
    assert_eq!(udp_within(&filled), Some(found));
}

/// RFC 1071: the sum over everything, with its checksum, is all ones.
#[test]
fn the_checksum_is_right() {
    for payload in [&b"hello"[..], b"", b"four", &[0xff; 300]] {
        let packet = ip_packet(address("10.0.0.2:67"), address("10.0.0.9:67"), payload);
        let length = u16::try_from(packet.len() - IP_HEADER_LEN).unwrap().to_be_bytes();
        let whole = [&packet[12..20], &[0, UDP], &length, &packet[IP_HEADER_LEN..]].concat();
        assert_eq!(fold(sum(&whole)), 0xffff);
    }
}

#[test]
fn what_is_no_whole_datagram_is_left() {
    let packet = ip_packet(address("10.0.0.2:67"), address("10.0.0.9:67"), b"hello");
    let changed = |at: usize, to: u8| {
        let mut packet = packet.clone();
        packet[at] = to;
        udp_within(&packet)
    };
    assert!(changed(0, 0x45).is_some());
    let cases = [("version 6", 0, 0x65), ("header of 16", 0, 0x44), ("header beyond", 0, 0x4f), ("TCP", 9, 6)];
    let more = [
        ("more fragments", 6, 0x20),
        ("a later fragment", 7, 1),
        ("longer", 3, 200),
        ("UDP longer", 25, 99),
        ("UDP 7", 25, 7),
    ];
    for (what, at, to) in cases.into_iter().chain(more) {
        assert_eq!(changed(at, to), None, "{what}");
    }
    assert_eq!(udp_within(&packet[..30]), None);
    assert!(changed(6, 0x40).is_some(), "do not fragment");
}

proptest! {
    #[test]
    fn any_octets_are_read_or_not(octets in proptest::collection::vec(any::<u8>(), 0..80), first in 0x40_u8..0x50) {
        let mut octets = octets;
        if let [a, _, _, _, _, _, _, _, _, protocol, ..] = octets.as_mut_slice() {
            (*a, *protocol) = (first, UDP);
        }
        if let Some(found) = udp_within(&octets) {
            prop_assert!(octets.get(found.payload).is_some());
        }
    }
}
