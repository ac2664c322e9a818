//! Any octets on ports 67 and 4011: read, sorted out, answered; what is answered can be read again.
#![no_main]

use std::net::{Ipv4Addr, SocketAddrV4};

use libfuzzer_sys::fuzz_target;
use pointsman::dhcp::packet::Message;
use pointsman::dhcp::question::{Port, ask};
use pointsman::dhcp::reply::{ReplyContext, Style, Told, reply};

fuzz_target!(|octets: &[u8]| {
    let Some((first, octets)) = octets.split_first() else { return };
    let Ok(message) = Message::parse(octets) else { return };
    let port = if first & 1 == 0 { Port::Dhcp } else { Port::BootServer };
    let server = Ipv4Addr::new(10, 0, 0, 2);
    let peer = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 9), 68);
    let Ok(asked) = ask(message, port, peer, |address| address == server) else { return };
    for file in ["b/token/snponly.efi", "http://10.0.0.2/b/token/boot.ipxe"] {
        for style in [Style::Binl, Style::Pxe10] {
            let context = ReplyContext { server, next_server: None, told: Told::File(file), style };
            if let Ok(reply) = reply(&asked, &context) {
                assert!((300..=1472).contains(&reply.octets.len()));
                assert!(Message::parse(&reply.octets).is_ok());
            }
        }
    }
});
