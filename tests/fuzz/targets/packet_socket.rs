//! Any octets as a packet of IPv4 or IPv6 on a packet socket, and as a router's advertisement: what is whole within it, or
//! nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::Ipv6Addr;

use pointsman::net::packet::udp_within;
use pointsman::net::{packet_v6, router};

fuzz_target!(|packet: &[u8]| {
    if let Some(found) = udp_within(packet) {
        assert!(packet.get(found.payload).is_some());
    }
    if let Some(found) = packet_v6::udp_within(packet) {
        assert!(packet.get(found.payload).is_some());
    }
    let _ = router::parse(packet, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
});
