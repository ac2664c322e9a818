//! What no single key can tell: names that must exist, keys that need each other, keys that shut each other out.
//!
//! **Invariant**: nothing is opened here: this is what the file alone can say.

mod database;
mod people;
mod script;
mod upstream;
mod web;

use super::Config;

/// What is wrong, and what to do.
pub(super) type Broken = (String, String);

/// Every rule that a configuration breaks.
pub(super) fn broken(config: &Config) -> Vec<Broken> {
    let mut broken = Vec::new();
    database::check(config, &mut broken);
    people::check(config, &mut broken);
    upstream::check(config, &mut broken);
    script::check(config, &mut broken);
    web::check(config, &mut broken);
    super::events::check(&config.events, &mut broken);
    broken
}

/// Whether this can be the name of a database, a query, an upstream or a storage.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
