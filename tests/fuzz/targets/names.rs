//! Texts that become names, addresses, tokens and lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::boot::{Architecture, FileName, HardwareAddress, Line, SessionId, Source};
use pointsman::chainload::ConfigFile;
use pointsman::paths;

fuzz_target!(|octets: &[u8]| {
    if let Ok(name) = FileName::parse(octets) {
        assert!(name.components().all(|part| !part.is_empty() && part != ".." && part != "."));
        assert!(!name.as_str().starts_with('/'));
        let _ = paths::parse(&name);
        let _ = ConfigFile::parse(&name);
    }
    let Ok(text) = std::str::from_utf8(octets) else { return };
    assert!(Line::new(Line::clean(text).as_str()).is_ok());
    let _ = text.parse::<HardwareAddress>();
    let _ = text.parse::<Architecture>();
    let _ = text.parse::<SessionId>();
    let _ = text.parse::<Source>();
});
