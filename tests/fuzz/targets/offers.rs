//! Any octets as what several servers offer: each kind of client chooses, and what is wrong is told.
#![no_main]

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use pointsman::dhcp::faults::{faults, quarrels};
use pointsman::dhcp::offer::{Offer, Taker};
use pointsman::dhcp::packet::Message;
use pointsman::dhcp::selection::select;

fuzz_target!(|octets: &[u8]| {
    let Some((count, octets)) = octets.split_first() else { return };
    let length = (octets.len() / (usize::from(*count) % 4 + 1)).max(1);
    let messages = octets.chunks(length).filter_map(|packet| Message::parse(packet).ok());
    let offers: Vec<Offer> = messages.map(|message| Offer { sender: Ipv4Addr::new(10, 0, 0, 1), message }).collect();
    for taker in [Taker::Bios, Taker::Uefi, Taker::Http, Taker::Ipxe, Taker::RaspberryPi] {
        let choice = select(taker, &offers);
        for at in [choice.lease, choice.boot].into_iter().flatten() {
            assert!(at < offers.len());
        }
        for at in 0..offers.len() {
            faults(taker, &offers, at).iter().for_each(|fault| drop(fault.to_string()));
        }
        quarrels(taker, &offers);
    }
});
