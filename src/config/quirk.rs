//! `[[quirk]]`: what the site knows of its firmware, before the shipped table.

use std::sync::Arc;

use toml::de::{DeTable, DeValue, ValueDeserializer};

use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::parse::Reader;
use crate::quirks::{Quirk, Quirks};

impl Reader<'_> {
    /// The site's entries before the shipped ones. Each wrong entry is a problem of its own.
    pub(super) fn quirks(&mut self, table: &mut DeTable<'_>) -> Arc<Quirks> {
        let Some(value) = table.remove("quirk") else { return Arc::new(Quirks::with(Vec::new())) };
        let span = value.span();
        let DeValue::Array(entries) = value.into_inner() else {
            self.problem(span.start, "`quirk` must be a list of tables", "write `[[quirk]]` with two brackets");
            return Arc::default();
        };
        let mut quirks: Vec<Quirk> = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let start = entry.span().start;
            let deserializer: ValueDeserializer<'_> = entry.into_deserializer();
            let quirk = match Quirk::deserialize(deserializer) {
                Ok(quirk) => quirk,
                Err(error) => {
                    let start = error.span().map_or(start, |span| span.start);
                    self.problem(start, format!("quirk[{index}]: {}", error.message()), "docs/quirks.md has examples");
                    continue;
                }
            };
            if quirk.matches.is_everybody() {
                let what = format!("quirk[{index}].match: `{}` has no condition and means every client", quirk.name);
                self.problem(start, what, "write at least one, such as match = { arch = [\"x86-bios\"] }");
            }
            if let Some(what) = quirk.manner.out_of_range() {
                self.problem(start, format!("quirk[{index}].set: {what}"), "");
            }
            if quirks.iter().any(|other| other.name == quirk.name) {
                self.problem(start, format!("quirk[{index}].name: `{}` is there twice", quirk.name), "rename one");
            }
            quirks.push(quirk);
        }
        Arc::new(Quirks::with(quirks))
    }
}
