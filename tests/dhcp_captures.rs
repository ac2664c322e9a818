//! Every packet that real firmware and iPXE sent to ports 67 and 4011 in `tests/captures/dhcp`, with the answer that it
//! gets, against `replies.txt`. `UPDATE_GOLDEN=1 cargo test --test dhcp_captures` writes that file anew; read the
//! difference as if it were code, because it is what machines will see.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use pointsman::boot::Network;
use pointsman::dhcp::client::Speaker;
use pointsman::dhcp::neighbors::conflicts;
use pointsman::dhcp::packet::{Message, MessageType, Operation};
use pointsman::dhcp::question::{Asked, Port, ask};
use pointsman::dhcp::reply::{Reply, ReplyContext, Styles, Told, Treatment, reply};

/// The captures' network has its DHCP server at .1; we would be at .2.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// One UDP datagram of a capture.
struct Datagram {
    source: SocketAddrV4,
    destination: SocketAddrV4,
    payload: Vec<u8>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures/dhcp")
}

/// Reads a capture of Ethernet frames, in the byte order that tcpdump writes on PCs.
fn read_pcap(octets: &[u8]) -> Vec<Datagram> {
    assert_eq!(octets[..4], 0xa1b2_c3d4_u32.to_le_bytes(), "a pcap file");
    let mut datagrams = Vec::new();
    let mut rest = &octets[24..];
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let (frame, behind) = rest[16..].split_at(length);
        rest = behind;
        let ip = &frame[14..];
        let udp = &ip[usize::from(ip[0] & 15) * 4..];
        let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&ip[at..at + 4]).unwrap());
        let port = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
        let end = usize::from(port(4));
        datagrams.push(Datagram {
            source: SocketAddrV4::new(address(12), port(0)),
            destination: SocketAddrV4::new(address(16), port(2)),
            payload: udp[8..end].to_vec(),
        });
    }
    datagrams
}

/// Captures by name, then the single packets of `packets.json`.
fn captures() -> Vec<(String, Vec<Datagram>)> {
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".pcap"))
        .collect();
    names.sort();
    assert!(names.len() > 40);
    let mut captures: Vec<_> = names
        .into_iter()
        .map(|name| {
            let datagrams = read_pcap(&std::fs::read(folder().join(&name)).unwrap());
            (name, datagrams)
        })
        .collect();
    let packets: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("packets.json")).unwrap()).unwrap();
    for (name, packet) in packets.as_object().unwrap() {
        let text = |key: &str| packet[key].as_str().unwrap();
        let hex = text("hex").as_bytes();
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let datagram = Datagram {
            source: text("src").parse().unwrap(),
            destination: text("dst").parse().unwrap(),
            payload: hex.chunks(2).map(octet).collect(),
        };
        captures.push((format!("packets.json {name}"), vec![datagram]));
    }
    captures
}

/// What a site with the usual loaders would answer.
fn file_for(asked: &Asked) -> String {
    let loader = match asked.caller.client.architecture.machine().code() {
        0 => "undionly.kpxe",
        6 => "snponly-ia32.efi",
        11 => "snponly-arm64.efi",
        _ => "snponly.efi",
    };
    match asked.caller.speaker {
        Speaker::Firmware => format!("b/TOKEN/{loader}"),
        Speaker::HttpBoot => format!("http://{SERVER}/b/TOKEN/{loader}"),
        Speaker::Ipxe => format!("http://{SERVER}/b/TOKEN/boot.ipxe"),
    }
}

fn describe_question(asked: &Asked, text: &mut String) {
    let client = &asked.caller.client;
    write!(text, "  {} {} {}", asked.caller.speaker.name(), client.hardware, client.architecture).unwrap();
    write!(text, " class {:?}", client.vendor_class).unwrap();
    if !client.user_class.is_empty() {
        write!(text, " user class {:?}", client.user_class).unwrap();
    }
    if let Some((major, minor)) = client.undi {
        write!(text, " undi {major}.{minor}").unwrap();
    }
    match client.uuid() {
        Some(uuid) => writeln!(text, " uuid {uuid}").unwrap(),
        None => writeln!(text, " no uuid").unwrap(),
    }
    if let Some(build) = &client.ipxe {
        let features: Vec<_> = build.features.iter().copied().collect();
        let nic = build.nic.map(|nic| nic.to_string()).unwrap_or_default();
        writeln!(text, "  ipxe {:?} {nic} {}", build.version, features.join(" ")).unwrap();
    }
    if let Some(relay) = &asked.relay {
        let network = Network { relay: Some(relay.clone()), ..Network::default() };
        let subnet = network.subnet_address().unwrap();
        writeln!(text, "  relay {} circuit {:?} subnet of {subnet}", relay.giaddr, ascii(&relay.circuit_id)).unwrap();
    }
}

/// Reads the reply with a reader of its own.
fn describe_reply(reply: &Reply, request: &[u8], text: &mut String) {
    let octets = &reply.octets;
    writeln!(text, "  -> {} {:?}, {} octets", reply.destination, reply.message_type, octets.len()).unwrap();
    let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&octets[at..at + 4]).unwrap());
    let same = |from: usize, to: usize| if octets[from..to] == request[from..to] { "same" } else { "CHANGED" };
    writeln!(
        text,
        "     op {} htype+hlen {} hops {} xid {} secs {} flags {:02x}{:02x} chaddr {}",
        octets[0],
        same(1, 3),
        octets[3],
        same(4, 8),
        u16::from_be_bytes([octets[8], octets[9]]),
        octets[10],
        octets[11],
        same(28, 44)
    )
    .unwrap();
    let (ciaddr, yiaddr, siaddr, giaddr) = (address(12), address(16), address(20), address(24));
    writeln!(text, "     ciaddr {ciaddr} yiaddr {yiaddr} siaddr {siaddr} giaddr {giaddr}").unwrap();
    let end = octets[108..236].iter().position(|octet| *octet == 0).unwrap();
    writeln!(text, "     sname {:?} file {:?}", ascii(&octets[44..45]), ascii(&octets[108..108 + end])).unwrap();
    let mut at = 240;
    while octets[at] != 255 {
        if octets[at] == 0 {
            writeln!(text, "     pad").unwrap();
            at += 1;
            continue;
        }
        let value = &octets[at + 2..at + 2 + usize::from(octets[at + 1])];
        let shown = match octets[at] {
            60 | 67 => ascii(value),
            54 => address(at + 2).to_string(),
            _ => value.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(" "),
        };
        writeln!(text, "     {:>3} {shown}", octets[at]).unwrap();
        at += 2 + value.len();
    }
    assert!(octets[at + 1..].iter().all(|octet| *octet == 0));
}

fn ascii(octets: &[u8]) -> String {
    octets.escape_ascii().to_string().trim_end_matches("\\x00").to_owned()
}

fn transcript() -> String {
    let (mut text, mut known) = (String::new(), HashMap::new());
    for (name, datagrams) in captures() {
        writeln!(text, "{name}").unwrap();
        for datagram in &datagrams {
            let mut exchange = String::new();
            describe(datagram, &mut exchange);
            let Some((first_line, rest)) = exchange.split_once('\n') else { continue };
            // The same question with the same answer is shown once.
            if rest.lines().count() < 2 {
                text.push_str(&exchange);
            } else if let Some(number) = known.get(&exchange) {
                writeln!(text, "{first_line}\n  as #{number}").unwrap();
            } else {
                write!(text, "#{} {exchange}", known.len() + 1).unwrap();
                known.insert(exchange, known.len() + 1);
            }
        }
        writeln!(text).unwrap();
    }
    text
}

fn describe(datagram: &Datagram, text: &mut String) {
    let message = Message::parse(&datagram.payload).expect("real packets are well-formed");
    let kind = message.message_type().map_or_else(|| "BOOTP".to_owned(), |kind| format!("{kind:?}").to_uppercase());
    if message.header.op == Operation::Reply {
        for conflict in conflicts(&message, *datagram.source.ip()) {
            writeln!(text, "{} > {} {kind}\n  !! {conflict}", datagram.source, datagram.destination).unwrap();
        }
        return;
    }
    let port = if datagram.destination.port() == 4011 { Port::BootServer } else { Port::Dhcp };
    writeln!(text, "{} > {} {kind}", datagram.source, datagram.destination).unwrap();
    // The captures' boot server is us, whichever address it has there.
    let is_ours = |address| address == SERVER || address == *datagram.destination.ip();
    let asked = match ask(message, port, datagram.source, is_ours) {
        Ok(asked) => asked,
        Err(reason) => {
            writeln!(text, "  -> silence: {}", reason.name()).unwrap();
            return;
        }
    };
    describe_question(&asked, text);
    let file = file_for(&asked);
    let style = Styles::default().of(asked.caller.client.architecture);
    let treatment = &Treatment::default();
    let context = ReplyContext { server: SERVER, next_server: None, told: Told::File(&file), style, treatment };
    match reply(&asked, &context) {
        Ok(reply) => describe_reply(&reply, &datagram.payload, text),
        Err(reason) => writeln!(text, "  -> silence: {reason}").unwrap(),
    }
}

#[test]
fn real_clients_get_the_answers_on_record() {
    let path = folder().join("replies.txt");
    let now = transcript();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    let differs = golden.lines().zip(now.lines()).enumerate().find(|(_, (golden, now))| golden != now);
    assert_eq!(differs, None, "line, golden, now; `UPDATE_GOLDEN=1` takes over what is meant");
    assert_eq!(golden.lines().count(), now.lines().count());
}

#[test]
fn the_captures_have_every_kind_of_question() {
    let (mut offers, mut acks, mut silences, mut others) = (0, 0, 0, 0);
    for datagram in captures().into_iter().flat_map(|(_, datagrams)| datagrams) {
        let message = Message::parse(&datagram.payload).unwrap();
        if message.header.op == Operation::Reply {
            continue;
        }
        let port = if datagram.destination.port() == 4011 { Port::BootServer } else { Port::Dhcp };
        match (ask(message.clone(), port, datagram.source, |_| true), message.message_type()) {
            (Ok(_), Some(MessageType::Discover)) => offers += 1,
            (Ok(_), Some(MessageType::Request)) => acks += 1,
            (Err(_), Some(MessageType::Request)) => silences += 1,
            // U-Boot asks with a vendor class of its own first.
            (Err(_), Some(MessageType::Discover)) => others += 1,
            (other, kind) => panic!("{kind:?}: {other:?}"),
        }
    }
    assert!(offers > 60 && acks > 10 && silences > 60 && others == 1, "{offers} {acks} {silences} {others}");
}
