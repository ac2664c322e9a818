//! Any octets on ports 547 and 4011: read, sorted out, answered; what is answered can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::dhcp::v6::packet::Packet;
use pointsman::dhcp::v6::question::{Arrived, Port, ask};
use pointsman::dhcp::v6::reply::{ReplyContext, reply};

fuzz_target!(|octets: &[u8]| {
    let Some((first, octets)) = octets.split_first() else { return };
    let Ok(packet) = Packet::parse(octets) else { return };
    let relays = packet.relays.len();
    let port = if first & 1 == 0 { Port::Dhcp } else { Port::BootServer };
    let peer = "[fe80::5054:ff:fe00:1%2]:546".parse().expect("an address");
    let server_id = [0, 3, 0, 1, 2, 0, 0, 0, 0, 2];
    let arrived = Arrived { packet, port, peer, to_group: first & 2 == 0 };
    let Ok(asked) = ask(arrived, &server_id, |_| None) else { return };
    for file in ["b/token/snponly.efi", "http://[fd77::2]/b/token/boot.ipxe"] {
        let server = "fd77::2".parse().expect("an address");
        if let Ok(reply) = reply(&asked, &ReplyContext { server_id: &server_id, server, file }) {
            // What the relay agents get back is bounded by what they sent.
            if let Ok(back) = Packet::parse(&reply.octets) {
                assert_eq!(back.relays.len(), relays);
            }
        }
    }
});
