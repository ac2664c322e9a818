//! Any octets as what several servers offer, by DHCP and by DHCPv6: each kind of client chooses, and what is wrong is told.
#![no_main]

use std::net::{Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use pointsman::dhcp::faults::{faults, quarrels};
use pointsman::dhcp::offer::{Offer, Taker};
use pointsman::dhcp::packet::Message;
use pointsman::dhcp::selection::select;
use pointsman::dhcp::v6::packet::Packet;
use pointsman::dhcp::v6::selection::{self as v6, Offer6};

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
    let packets = octets.chunks(length).filter_map(|packet| Packet::parse(packet).ok());
    let offers: Vec<Offer6> =
        packets.map(|packet| Offer6 { sender: Ipv6Addr::LOCALHOST, message: packet.message }).collect();
    offers.iter().for_each(|offer| drop((offer.address(), offer.refusal(), offer.url())));
    for taker in [Taker::Uefi, Taker::Http, Taker::Ipxe] {
        let choice = v6::select(taker, &offers);
        for at in [choice.lease, choice.boot].into_iter().flatten() {
            assert!(at < offers.len());
        }
    }
});
