//! Any octets on port 69: read; a request is negotiated, and nothing is granted that was not asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::tftp::options::{Limits, negotiate};
use pointsman::tftp::packet::Packet;

fuzz_target!(|octets: &[u8]| {
    if let Ok(Packet::Read(request)) = Packet::parse(octets) {
        let limits = Limits { blksize_max: 1468, windowsize_max: 64 };
        let negotiation = negotiate(&request.options, 1_000_000, limits);
        assert!((8..=1468).contains(&negotiation.agreed.blksize));
        assert!((1..=64).contains(&negotiation.agreed.windowsize));
    }
});
