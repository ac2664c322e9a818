//! What is read again from where others could have written: rows of the database, paths with tokens, hashes of secrets.
#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pointsman::boot::{BootMenu, Manner, Verdict};
use pointsman::decision::{Sessions, TokenKey};
use pointsman::people::SecretHash;
use pointsman::store::Recorded;

static SESSIONS: LazyLock<Sessions> = LazyLock::new(|| Sessions::new(TokenKey::new(&[7; 32]), 100));

fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Ok(request) = Recorded::read(text) {
        let again = Recorded::of(&request).write();
        assert!(again.is_none_or(|again| Recorded::read(&again).is_ok()));
    }
    if let Ok(verdict) = serde_json::from_str::<Verdict>(text) {
        let _ = verdict.manner().map(Manner::delay);
    }
    if let Ok(menu) = serde_json::from_str::<BootMenu>(text) {
        let shown: usize = menu.entries().iter().map(|entry| entry.title.as_str().len()).sum();
        assert!(!menu.entries().is_empty() && shown <= BootMenu::TEXT_LEN_MAX);
    }
    let _ = SecretHash::read(text);
    // Nobody guesses a token.
    assert!(SESSIONS.resume(text, Timestamp::UNIX_EPOCH).is_err());
});
