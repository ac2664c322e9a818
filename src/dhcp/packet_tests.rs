use proptest::prelude::*;

use super::super::question::{Port, ask};
use super::super::reply::{ReplyContext, Style, Told, Treatment, reply};
use super::super::sample::*;
use super::*;

/// A packet that is nothing but a fixed part and these option octets.
fn with_options(options: &[u8]) -> Vec<u8> {
    let octets = sample(MessageType::Discover).octets();
    [&octets[..240], options].concat()
}

#[test]
fn a_missing_end_is_tolerated() {
    let message = Message::parse(&with_options(&[53, 1, 1, 60, 3, b'P', b'X', b'E'])).unwrap();
    assert_eq!(message.message_type(), Some(MessageType::Discover));
    assert_eq!(message.option(60), Some(&b"PXE"[..]));
}

#[test]
fn fragments_are_joined_wherever_they_stand() {
    let message = Message::parse(&with_options(&[77, 2, b'i', b'P', 53, 1, 1, 0, 0, 77, 2, b'X', b'E', 255])).unwrap();
    assert_eq!(message.option(77), Some(&b"iPXE"[..]));
    assert_eq!(message.options().map(|(code, _)| code).collect::<Vec<_>>(), [53, 77]);
}

#[test]
fn nothing_behind_end_is_read() {
    let message = Message::parse(&with_options(&[53, 1, 1, 255, 60, 200])).unwrap();
    assert_eq!(message.option(60), None);
}

#[test]
fn overloaded_fields_are_read_in_the_order_options_file_sname() {
    let mut octets = with_options(&[53, 1, 1, 52, 1, 3, 77, 1, b'a', 255]);
    octets[108..113].copy_from_slice(&[77, 2, b'b', b'c', 255]);
    octets[44..48].copy_from_slice(&[77, 1, b'd', 255]);
    let message = Message::parse(&octets).unwrap();
    assert_eq!((message.option(77), message.file()), (Some(&b"abcd"[..]), &b""[..]));
    octets[245] = 2;
    assert_eq!(Message::parse(&octets).unwrap().option(77), Some(&b"ad"[..]));
    octets[245] = 1;
    assert_eq!(Message::parse(&octets).unwrap().option(77), Some(&b"abc"[..]));
    octets[109] = 200;
    assert_eq!(Message::parse(&octets), Err(PacketError::OptionLength(77)));
}

#[test]
fn a_hardware_length_above_16_is_an_error() {
    let mut octets = discover(7).octets();
    octets[2] = 17;
    assert_eq!(Message::parse(&octets), Err(PacketError::HardwareLength(17)));
    octets[2] = 16;
    assert!(Message::parse(&octets).is_ok());
}

#[test]
fn a_jumbo_packet_is_refused_before_it_is_read() {
    assert_eq!(Message::parse(&vec![1; 1501]), Err(PacketError::Length(1501)));
}

#[test]
fn long_values_are_written_in_fragments_and_empty_ones_are_kept() {
    let mut writer = Writer::new(&sample(MessageType::Discover).header, b"file");
    let long: Vec<u8> = (0..=255).chain(0..=255).collect();
    let octets = {
        writer.option(61, &long).option(80, &[]);
        writer.finish()
    };
    let message = Message::parse(&octets).unwrap();
    assert_eq!((message.option(61), message.option(80)), (Some(&long[..]), Some(&[][..])));
    assert_eq!(message.file(), b"file");
}

#[test]
fn the_header_is_read_as_it_is_written() {
    let address = |last| Ipv4Addr::new(10, 0, 0, last);
    let header = Header {
        op: Operation::Reply,
        htype: 32,
        hlen: 0,
        hops: 2,
        xid: 0xdead_beef,
        secs: 0x0102,
        flags: 0x8001,
        ciaddr: address(1),
        yiaddr: address(2),
        siaddr: address(3),
        giaddr: address(4),
        chaddr: std::array::from_fn(|index| index as u8),
    };
    assert_eq!(Message::parse(&Writer::new(&header, b"").finish()).unwrap().header, header);
}

/// What a hostile packet could make us do: everything that the server does with one.
fn run_through(octets: &[u8]) -> Option<usize> {
    let message = Message::parse(octets).ok()?;
    let values: usize = message.options().map(|(_, value)| value.len()).sum();
    assert!(values <= octets.len(), "no more memory than the packet");
    let limit = message.reply_len_max();
    assert!(limit <= REPLY_LEN_MAX);
    let mut longest = None;
    for port in [Port::Dhcp, Port::BootServer] {
        let Ok(asked) = ask(message.clone(), port, "10.0.0.9:68".parse().ok()?, |_| true) else { continue };
        for file in ["b/t/loader", "http://10.0.0.2/boot.ipxe", &"x".repeat(200)] {
            for style in [Style::Binl, Style::Pxe10] {
                let treatment = &Treatment { file_option: true, file_len: Some(99_999), ..Treatment::default() };
                let told = Told::File(file);
                let context = ReplyContext { server: SERVER, next_server: None, told, style, treatment };
                let Ok(reply) = reply(&asked, &context) else { continue };
                assert!((REPLY_LEN_MIN..=limit).contains(&reply.octets.len()));
                let read = Message::parse(&reply.octets).unwrap();
                assert_eq!(read.address(code::SERVER_IDENTIFIER), Some(SERVER));
                // A second reader, which is no code of ours.
                v4::Message::decode(&mut Decoder::new(&reply.octets)).unwrap();
                longest = longest.max(Some(reply.octets.len()));
            }
        }
    }
    longest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_octets_are_a_message_or_an_error(octets in proptest::collection::vec(any::<u8>(), 0..1600)) {
        run_through(&octets);
    }

    #[test]
    fn any_options_are_a_message_or_an_error(options in proptest::collection::vec(any::<u8>(), 0..1260)) {
        run_through(&with_options(&options));
    }

    #[test]
    fn well_formed_options_of_any_content_are_answered_within_limits(
        options in proptest::collection::vec((1u8..255, proptest::collection::vec(any::<u8>(), 0..255)), 0..6),
        hlen in 0u8..=16,
        size in any::<u16>(),
    ) {
        let mut sample = discover(7).with(57, &size.to_be_bytes()).header(|header| header.hlen = hlen);
        sample.options.extend(options.into_iter().filter(|(code, _)| !matches!(code, 53 | 57 | 60 | 52)));
        let answered = run_through(&sample.octets());
        prop_assert!(answered.is_some() || hlen == 0 || sample.octets().len() > PACKET_LEN_MAX);
    }

    #[test]
    fn mutated_packets_are_a_message_or_an_error(
        which in 0usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut octets = match which {
            0 => discover(0).with(97, &MACHINE_ID).with(94, &[1, 2, 1]),
            1 => ipxe_discover().with(61, &[1, 2, 3, 4, 5, 6, 7]),
            2 => boot_server_request().with(43, &[6, 1, 8, 255]),
            _ => discover(16).with(60, b"HTTPClient:Arch:00016").with(82, &[1, 4, 1, 2, 3, 4, 19, 0]),
        }
        .octets();
        for (at, value) in changes {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        run_through(&octets);
        run_through(&octets[..cut.index(octets.len())]);
    }
}
