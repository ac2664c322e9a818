//! Any client against the shipped table of quirks, and any pattern against any words of a client.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pointsman::boot::{Architecture, Client, HardwareAddress, Machine};
use pointsman::quirks::{Quirk, Quirks};

static SHIPPED: LazyLock<Quirks> = LazyLock::new(|| Quirks::with(Vec::new()));

fuzz_target!(|asked: (u16, [u8; 6], &str, &str, &str)| {
    let (code, address, words, pattern, product) = asked;
    let mut client = Client::new(HardwareAddress::from(address), Architecture::from_code(code));
    client.vendor_class = words.to_owned();
    let mut machine = Machine::default();
    machine.insert("product", product);
    let manner = SHIPPED.manner(&client, &machine);
    assert_eq!(manner.out_of_range(), None);
    let own = serde_json::json!({
        "name": "own", "match": { "vendor_class": [pattern], "product": [pattern] }, "set": { "delay_ms": 1 },
    });
    let Ok(own) = serde_json::from_value::<Quirk>(own) else { return };
    let found = Quirks::with(vec![own]).manner(&client, &machine).delay_ms == Some(1);
    // No text lacks a pattern that is made of stars.
    assert!(found || pattern.is_empty() || !pattern.bytes().all(|octet| octet == b'*'));
});
