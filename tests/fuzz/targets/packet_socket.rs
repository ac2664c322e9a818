//! Any octets as an IP packet on a packet socket: a whole UDP datagram within it, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::net::packet::udp_within;

fuzz_target!(|packet: &[u8]| {
    if let Some(found) = udp_within(packet) {
        assert!(packet.get(found.payload).is_some());
    }
});
