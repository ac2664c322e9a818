//! Any text as a configuration.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pointsman::config::Config;

fuzz_target!(|text: &str| {
    if let Err(problems) = Config::parse(Path::new("pointsman.toml"), text) {
        assert!(!problems.to_string().is_empty());
    }
});
