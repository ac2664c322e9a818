//! What other products' clients and servers say: fields of the front doors, file names of a Raspberry Pi, answers of
//! pixiecore's API.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::boot::{FileName, HardwareAddress, Machine};
use pointsman::daemon::raspberry_pi_places;
use pointsman::http::facts_of_fields;
use pointsman::upstream::read_pixiecore;

fuzz_target!(|octets: &[u8]| {
    if let Ok(name) = FileName::parse(octets) {
        let hardware = HardwareAddress::from([0xb8, 0x27, 0xeb, 0, 0, 8]);
        for place in raspberry_pi_places(&name, hardware) {
            // A name may begin with two dots; no part of the path may be them.
            assert!(place.as_str().starts_with("raspberry-pi/") && place.as_str().split('/').all(|part| part != ".."));
        }
    }
    // Whatever is in the answer, its addresses are absolute and its words of one line.
    if let Ok(images) = read_pixiecore(octets, "http://10.0.0.3/v1/") {
        assert_eq!(images.images().len(), 1);
    }
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let fields: Vec<(String, String)> =
        text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect();
    for (_, value) in facts_of_fields(&fields).iter() {
        assert!(value.as_str().len() <= Machine::VALUE_LEN_MAX && !value.as_str().chars().any(char::is_control));
    }
});
