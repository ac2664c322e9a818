//! `[[quirk]]`: what the site knows of its firmware, before the shipped table.

use std::sync::Arc;

use toml::de::{DeTable, DeValue, ValueDeserializer};

use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::Config;
use super::parse::Reader;
use crate::boot::Style;
use crate::nearest::nearest;
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
            if quirk.matches.is_everybody() && !quirk.switches_off() {
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

impl Config {
    /// What the site's entries would not do, although nothing is wrong with them: each in a sentence with its remedy.
    pub fn doubts_of_quirks(&self) -> Vec<String> {
        self.quirks
            .own()
            .iter()
            .filter_map(|quirk| Some(format!("[[quirk]] `{}` {}", quirk.name, self.doubt(quirk)?)))
            .collect()
    }

    fn doubt(&self, quirk: &Quirk) -> Option<String> {
        let (matches, manner) = (&quirk.matches, &quirk.manner);
        if quirk.switches_off() {
            let mut shipped = Quirks::shipped_names();
            let is_known = shipped.any(|name| name == &*quirk.name);
            return (!is_known).then(|| match nearest(&quirk.name, Quirks::shipped_names()) {
                Some(near) => {
                    format!("sets nothing and switches nothing off: no shipped entry has this name; is `{near}` meant?")
                }
                None => "sets nothing and switches nothing off: no shipped entry has this name".to_owned(),
            });
        }
        if matches.ipxe == Some(false) && !matches.nic.is_empty() {
            return Some("is never met: firmware does not tell its `nic`, only iPXE does; leave `ipxe` out".to_owned());
        }
        // What is settled with firmware, by its first packets.
        let early = [
            ("style", manner.style.is_some()),
            ("loader", manner.loader.is_some()),
            ("file_size", manner.file_size.is_some()),
        ];
        let early = early.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| format!("`{name}`"));
        let early: Vec<String> = early.collect();
        let by_model = !matches.product.is_empty() || !matches.manufacturer.is_empty();
        if by_model && !early.is_empty() {
            return Some(format!(
                "comes too late for {}: the model is known once iPXE has reported it; use `oui`, or a rule",
                early.join(", ")
            ));
        }
        if (matches.ipxe == Some(true) || !matches.nic.is_empty()) && !early.is_empty() {
            return Some(format!(
                "comes too late for {}: only iPXE is meant, which runs by then; use `oui`, `arch` or `vendor_class`",
                early.join(", ")
            ));
        }
        let is_in_vain = manner.style == Some(Style::Binl) && !self.dhcp.boot_server;
        is_in_vain.then(|| {
            "sets style = \"binl\" in vain: dhcp.boot_server is off, so that nobody answers on 4011".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn doubts(quirk: &str) -> String {
        let text = format!("[dhcp]\nboot_server = false\n[[handler]]\nkind = \"script\"\n[[quirk]]\n{quirk}\n");
        Config::parse(Path::new("x.toml"), &text).unwrap().doubts_of_quirks().join("\n")
    }

    #[test]
    fn what_an_entry_would_not_do_is_told() {
        for (quirk, told) in [
            ("name = \"exit-opens-setpu\"\nset = {}", "is `exit-opens-setup` meant?"),
            ("name = \"mine\"\nmatch = { oui = [\"02\"] }", "switches nothing off"),
            ("name = \"a\"\nmatch = { product = [\"X*\"] }\nset = { loader = \"a.efi\" }", "too late for `loader`"),
            ("name = \"a\"\nmatch = { nic = [\"pci:*\"] }\nset = { style = \"pxe10\" }", "too late for `style`"),
            ("name = \"a\"\nmatch = { nic = [\"x\"], ipxe = false }\nset = { delay_ms = 1 }", "is never met"),
            ("name = \"a\"\nmatch = { oui = [\"02\"] }\nset = { style = \"binl\" }", "in vain"),
        ] {
            let doubts = doubts(quirk);
            assert!(doubts.contains(told), "{quirk}: {doubts}");
        }
        for quirk in [
            "name = \"exit-opens-setup\"\nset = {}",
            "name = \"a\"\nmatch = { product = [\"X*\"] }\nset = { local_boot = \"reboot\" }",
            "name = \"a\"\nmatch = { oui = [\"02\"] }\nset = { loader = \"a.efi\" }",
        ] {
            assert_eq!(doubts(quirk), "", "{quirk}");
        }
    }
}
