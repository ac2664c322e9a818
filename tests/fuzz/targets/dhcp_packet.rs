//! Any octets on ports 67 and 4011: read, sorted out, answered; what is answered can be read again.
#![no_main]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pointsman::boot::Verdict;
use pointsman::dhcp::packet::Message;
use pointsman::dhcp::question::{Port, ask};
use pointsman::dhcp::reply::{ReplyContext, Style, Told, Treatment, answers, reply};

fuzz_target!(|octets: &[u8]| {
    let Some((first, octets)) = octets.split_first() else { return };
    let Ok(message) = Message::parse(octets) else { return };
    let port = if first & 1 == 0 { Port::Dhcp } else { Port::BootServer };
    let server = Ipv4Addr::new(10, 0, 0, 2);
    let peer = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 9), 68);
    let Ok(asked) = ask(message, port, peer, |address| address == server) else { return };
    assert!(answers(&Verdict::allow(), asked.caller.speaker));
    let treatment = Treatment {
        style: None,
        delay: Duration::ZERO,
        is_whole: first & 16 != 0,
        file_option: first & 2 != 0,
        file_len: (first & 4 != 0).then_some(1 << 20),
        ipxe_url: (first & 8 != 0).then(|| "http://10.0.0.2/".to_owned()),
    };
    let servers = [server; 3];
    let told = [
        Told::File("b/token/snponly.efi"),
        Told::File("http://10.0.0.2/b/token/boot.ipxe"),
        Told::BootServers(&servers, "Boot from elsewhere"),
    ];
    for told in told {
        for style in [Style::Binl, Style::Pxe10] {
            let context = ReplyContext { server, next_server: None, told, style, treatment: &treatment };
            if let Ok(reply) = reply(&asked, &context) {
                assert!((300..=1472).contains(&reply.octets.len()));
                assert!(Message::parse(&reply.octets).is_ok());
            }
        }
    }
});
