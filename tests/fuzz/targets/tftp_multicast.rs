//! Any machines, packets and times: a stream ends, and sends no more than its machines can cause.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use pointsman::tftp::multicast::option::Offer;
use pointsman::tftp::multicast::session::{Flavor, Session};
use pointsman::tftp::packet::Packet;

fuzz_target!(|octets: &[u8]| {
    let _ = Offer::parse(octets);
    let Some((first, octets)) = octets.split_first() else { return };
    let flavor = if first & 1 == 0 { Flavor::Option } else { Flavor::Mtftp };
    let start = Instant::now();
    let Some(mut session) = Session::new(flavor, u64::from(*first) * 16, 16, start) else { return };
    let mut now = start;
    for step in octets.chunks(4) {
        let [what, port, block @ ..] = step else { return };
        let peer = SocketAddr::from(([10, 0, 0, port & 3], u16::from(port >> 2) + 1));
        now += Duration::from_millis(u64::from(what >> 3));
        let sent = match what & 7 {
            0 => session.join(peer, now),
            1 => session.timeout(now),
            2 => session.packet(peer, &Packet::Error { code: 0, text: b"" }, now),
            _ => {
                let block = u16::from(block.first().copied().unwrap_or(0));
                session.packet(peer, &Packet::Ack { block }, now)
            }
        };
        assert!(sent.len() <= 3);
    }
    // Left alone, it ends.
    for _ in 0..5_000 {
        let Some(deadline) = session.deadline() else { return };
        now = now.max(deadline);
        let _ = session.timeout(now);
    }
    assert!(session.deadline().is_none());
});
