//! The menu that PXE firmware itself shows, before anything was loaded (PXE 2.1, section 2.2: option 43).
//!
//! **Invariant**: a menu that exists fits the wire: its first line is the machine's own disk, and no client stops with
//! PXE-E74 on it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FileName, Line};

/// A menu for firmware. Its first line is always the machine's own disk; then come the entries.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct BootMenu {
    prompt: Line,
    timeout_s: u8,
    local: Line,
    entries: Vec<MenuEntry>,
}

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MenuEntry {
    /// What the screen shows.
    pub title: Line,
    /// What it does.
    #[serde(flatten)]
    pub boots: MenuBoots,
}

/// What a line of the menu boots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MenuBoots {
    /// An image of `boot_images`, by its id: the machine's loader starts it without a menu of its own.
    Image(String),
    /// A boot loader, by a name of the loaders folders.
    Loader(FileName),
}

/// Why a menu cannot be shown by firmware.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootMenuError {
    /// Nothing but the own disk.
    #[error("the PXE menu has no entries; leave the menu out to boot without one")]
    Empty,
    /// More than EDK2 takes.
    #[error("the PXE menu has {0} entries; firmware takes at most {max}: show them in a menu of boot_images", max = BootMenu::ENTRIES_MAX)]
    Entries(usize),
    /// Titles and prompt are too long together.
    #[error("titles and prompt of the PXE menu have {0} octets together; at most {max} fit: use shorter or fewer ones, or a menu of boot_images", max = BootMenu::TEXT_LEN_MAX)]
    Text(usize),
    /// Firmware has no other characters.
    #[error("`{0}` in the PXE menu is empty or not plain ASCII; firmware shows nothing else")]
    Characters(String),
}

impl BootMenu {
    /// Entries beside the own disk: EDK2 takes 24 lines.
    pub const ENTRIES_MAX: usize = 23;
    /// Octets of all titles and the prompt. Option 43 has 255, of which each line costs ten besides its text at most.
    pub const TEXT_LEN_MAX: usize = 200;
    /// Seconds until the own disk starts, where nothing else is said.
    pub const TIMEOUT_S: u8 = 3;

    /// A menu. After `timeout_s` seconds the own disk starts; 0 is at once, 255 waits for ever.
    ///
    /// # Errors
    /// When firmware would stop on it, or show something else.
    pub fn new(prompt: Line, timeout_s: u8, local: Line, entries: Vec<MenuEntry>) -> Result<BootMenu, BootMenuError> {
        if entries.is_empty() {
            return Err(BootMenuError::Empty);
        }
        if entries.len() > BootMenu::ENTRIES_MAX {
            return Err(BootMenuError::Entries(entries.len()));
        }
        let texts = || entries.iter().map(|entry| &entry.title).chain([&prompt, &local]).map(Line::as_str);
        if let Some(text) = texts().find(|text| text.is_empty() || !text.bytes().all(|c| matches!(c, b' '..=b'~'))) {
            return Err(BootMenuError::Characters(text.chars().take(SHOWN_MAX).collect()));
        }
        // Types, counts and addresses of the wire: each line costs 3 octets in sub-option 9 and 7 in sub-option 8.
        let text_len: usize = texts().map(str::len).sum();
        let wire_len = text_len + 10 * (entries.len() + 1) + WIRE_FIXED;
        if text_len > BootMenu::TEXT_LEN_MAX || wire_len > WIRE_MAX {
            return Err(BootMenuError::Text(text_len));
        }
        Ok(BootMenu { prompt, timeout_s, local, entries })
    }

    /// What the screen shows while it waits.
    pub fn prompt(&self) -> &Line {
        &self.prompt
    }

    /// Seconds until the own disk starts.
    pub fn timeout_s(&self) -> u8 {
        self.timeout_s
    }

    /// What the line of the own disk is called.
    pub fn local(&self) -> &Line {
        &self.local
    }

    /// The lines behind the own disk.
    pub fn entries(&self) -> &[MenuEntry] {
        &self.entries
    }
}

impl fmt::Display for BootMenu {
    /// Its lines, and what takes the first of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = |entry: &MenuEntry| match &entry.boots {
            MenuBoots::Image(id) => format!("`{}` boots {id}", entry.title),
            MenuBoots::Loader(name) => format!("`{}` loads {name}", entry.title),
        };
        let entries: Vec<_> = self.entries.iter().map(entry).collect();
        write!(f, "`{}`", self.local)?;
        match self.timeout_s {
            0 => f.write_str(" at once")?,
            255 => {}
            seconds => write!(f, " after {seconds} s")?,
        }
        write!(f, ", {}", entries.join(", "))
    }
}

/// Octets of option 43 that no menu changes: sub-option 6, the heads of 8, 9 and 10, the time-out, the end.
const WIRE_FIXED: usize = 3 + 2 + 2 + 3 + 1;
/// Octets of one option.
const WIRE_MAX: usize = 255;
/// Characters of a wrong text that a message shows.
const SHOWN_MAX: usize = 60;

/// A menu as it is written down.
#[derive(Serialize, Deserialize)]
struct Parts {
    prompt: Line,
    timeout_s: u8,
    local: Line,
    entries: Vec<MenuEntry>,
}

impl TryFrom<Parts> for BootMenu {
    type Error = BootMenuError;

    fn try_from(parts: Parts) -> Result<BootMenu, BootMenuError> {
        BootMenu::new(parts.prompt, parts.timeout_s, parts.local, parts.entries)
    }
}

impl From<BootMenu> for Parts {
    fn from(menu: BootMenu) -> Parts {
        let BootMenu { prompt, timeout_s, local, entries } = menu;
        Parts { prompt, timeout_s, local, entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu(titles: &[&str]) -> Result<BootMenu, BootMenuError> {
        let entry = |title: &&str| MenuEntry { title: Line::clean(title), boots: MenuBoots::Image("debian".into()) };
        let entries = titles.iter().map(entry).collect();
        BootMenu::new(Line::clean("Press F8 for the menu"), 3, Line::clean("Local disk"), entries)
    }

    #[test]
    fn a_menu_that_firmware_would_stop_on_is_none() {
        assert_eq!(menu(&[]), Err(BootMenuError::Empty));
        assert_eq!(menu(&["x"; 24]), Err(BootMenuError::Entries(24)));
        assert!(matches!(menu(&["x".repeat(180).as_str()]), Err(BootMenuError::Text(_))));
        assert!(matches!(menu(&["x"; 23]), Err(BootMenuError::Text(_))), "the lines themselves need room");
        assert_eq!(menu(&["Größe"]), Err(BootMenuError::Characters("Größe".into())));
        assert!(menu(&["Debian", "Memory test"]).is_ok());
    }

    #[test]
    fn what_comes_from_elsewhere_is_checked_as_well() {
        let good = menu(&["Debian"]).unwrap();
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<BootMenu>(&text).unwrap(), good);
        let bad = text.replace("Debian", &"x".repeat(300));
        assert!(serde_json::from_str::<BootMenu>(&bad).is_err());
    }
}
