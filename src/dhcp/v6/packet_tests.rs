use proptest::prelude::*;

use super::super::sample;
use super::*;

#[test]
fn reads_what_edk2_sends() {
    let packet = Packet::parse(&sample::edk2_solicit()).unwrap();
    assert!(packet.relays.is_empty());
    let message = packet.message;
    assert_eq!((message.message_type, message.xid), (MessageType::Solicit, 0x00a2_ea2a));
    assert_eq!(message.options.get(code::ARCHITECTURE), Some(&[0, 7][..]));
    assert_eq!(message.options.get(code::NETWORK_INTERFACE), Some(&[1, 3, 0][..]));
    assert!(message.options.has(code::IA_NA) && !message.options.has(code::SERVER_ID));
    assert_eq!(message.options.get(code::BOOT_FILE_URL), None);
}

#[test]
fn refuses_what_is_cut_off_or_too_much() {
    assert_eq!(Packet::parse(&[]), Err(PacketError::Length(0)));
    assert_eq!(Packet::parse(&[1, 0, 0]), Err(PacketError::Length(3)));
    assert_eq!(Packet::parse(&[1; PACKET_LEN_MAX + 1]), Err(PacketError::Length(PACKET_LEN_MAX + 1)));
    // An option of four octets that has two; half an option.
    assert_eq!(Packet::parse(&[1, 0, 0, 0, 0, 1, 0, 4, 9, 9]), Err(PacketError::OptionLength(1)));
    assert_eq!(Packet::parse(&[1, 0, 0, 0, 0, 59, 0]), Err(PacketError::OptionLength(59)));
    assert_eq!(Packet::parse(&[1, 0, 0, 0, 7]), Err(PacketError::OptionLength(0x700)));
    let empty = [0, 6, 0, 0].repeat(OPTIONS_MAX);
    assert!(Packet::parse(&[&[1, 0, 0, 0][..], &empty].concat()).is_ok());
    let one_more = [&[1, 0, 0, 0][..], &empty, &[0, 6, 0, 0]].concat();
    assert_eq!(Packet::parse(&one_more), Err(PacketError::Options));
}

#[test]
fn unwraps_relay_agents_and_wraps_the_reply_for_them() {
    let client: Ipv6Addr = "fe80::1".parse().unwrap();
    let (near, far): (Ipv6Addr, Ipv6Addr) = ("fd01::1".parse().unwrap(), "fd02::1".parse().unwrap());
    let solicit = sample::edk2_solicit();
    let first = by_relay(near, client, &[(code::INTERFACE_ID, b"port 7")], &solicit);
    let second = by_relay(far, near, &[(code::RELAY_PORT, &[0, 0])], &first);
    let packet = Packet::parse(&second).unwrap();
    let hops: Vec<_> = packet.relays.iter().map(|hop| (hop.link, hop.peer)).collect();
    assert_eq!(hops, [(far, near), (near, client)]);
    assert_eq!(packet.message, Packet::parse(&solicit).unwrap().message);

    let mut writer = Writer::new(MessageType::Advertise, packet.message.xid);
    writer.option(code::BOOT_FILE_URL, b"tftp://[fd01::9]/x");
    let reply = writer.finish();
    let wrapped = for_relays(&packet.relays, reply.clone());
    assert_eq!(wrapped.first(), Some(&RELAY_REPL));
    let back = Packet::parse(&wrapped).unwrap();
    assert_eq!(back.relays[0].options.get(code::RELAY_PORT), Some(&[0, 0][..]));
    assert_eq!(back.relays[0].options.get(code::INTERFACE_ID), None);
    assert_eq!(back.relays[1].options.get(code::INTERFACE_ID), Some(&b"port 7"[..]));
    assert_eq!(back.relays[1].peer, client);
    assert_eq!(back.message, Packet::parse(&reply).unwrap().message);
}

#[test]
fn a_chain_of_relay_agents_has_its_limit() {
    let mut packet = sample::edk2_solicit();
    for _ in 0..RELAYS_MAX {
        packet = by_relay(Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, &[], &packet);
    }
    assert_eq!(Packet::parse(&packet).map(|packet| packet.relays.len()), Ok(RELAYS_MAX));
    packet = by_relay(Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, &[], &packet);
    assert_eq!(Packet::parse(&packet), Err(PacketError::Relays));
    let nothing = [&[RELAY_FORW, 0][..], &[0; 32]].concat();
    assert_eq!(Packet::parse(&nothing), Err(PacketError::NothingRelayed));
    assert_eq!(Packet::parse(&nothing[..20]), Err(PacketError::Length(20)));
}

proptest! {
    #[test]
    fn any_octets_parse_or_fail_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..700)) {
        let _ = Packet::parse(&octets);
    }

    #[test]
    fn any_message_in_any_relay_parses_or_fails(
        kind in 0_u8..14,
        options in proptest::collection::vec((0_u16..140, proptest::collection::vec(any::<u8>(), 0..20)), 0..12),
        depth in 0_usize..10,
    ) {
        let mut writer = Writer::new(MessageType::from_code(kind), 0x0012_3456);
        for (code, value) in &options {
            writer.option(*code, value);
        }
        let mut octets = writer.finish();
        for _ in 0..depth {
            octets = by_relay(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, &[], &octets);
        }
        if let Ok(packet) = Packet::parse(&octets)
            && kind < RELAY_FORW
        {
            prop_assert_eq!(packet.relays.len(), depth);
            prop_assert_eq!(packet.message.message_type.code(), kind);
            for (code, _) in &options {
                let first = options.iter().find(|(other, _)| other == code).map(|(_, value)| value.as_slice());
                prop_assert_eq!(packet.message.options.get(*code), first);
            }
        }
    }

    #[test]
    fn texts_end_where_they_are_cut_off(list in proptest::collection::vec(any::<u8>(), 0..60)) {
        prop_assert!(texts(&list).map(|text| text.len() + 2).sum::<usize>() <= list.len());
    }
}
