//! The names that GRUB and PXELINUX look for, each from the most particular to the plainest.
//!
//! GRUB: `grub.cfg-01-MAC`, `grub.cfg-` with the address in hexadecimal digits and fewer and fewer of them, `grub.cfg`.
//! PXELINUX: `pxelinux.cfg/UUID`, `01-MAC`, the address in the same way, `default`. The folder is the loader's matter.
//!
//! **Invariant**: a name says what is asked for, never who asks: whose session it is, the caller knows.

use crate::boot::{FileName, HardwareAddress};

/// Whose language a configuration file is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// GRUB 2.
    Grub,
    /// PXELINUX of the Syslinux project.
    Pxelinux,
}

/// A configuration file that a loader looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// In which language.
    pub syntax: Syntax,
    /// The hardware address in the name.
    pub hardware: Option<HardwareAddress>,
}

/// The plain name of GRUB's.
const GRUB: &str = "grub.cfg";
/// The folder of PXELINUX's.
const PXELINUX: &str = "pxelinux.cfg";

impl Syntax {
    /// The name that is looked for last. Where the site has a file of this name of its own, none is made.
    pub fn plainest(self) -> &'static str {
        match self {
            Syntax::Grub => GRUB,
            Syntax::Pxelinux => "pxelinux.cfg/default",
        }
    }
}

impl ConfigFile {
    /// Reads a name; none when it is no configuration file's.
    pub fn parse(name: &FileName) -> Option<ConfigFile> {
        let last = name.last();
        let is_grub = last.get(..GRUB.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRUB));
        if let Some(rest) = last.get(GRUB.len()..).filter(|_| is_grub) {
            let hardware = if rest.is_empty() { None } else { machine_in(rest.strip_prefix('-')?)? };
            return Some(ConfigFile { syntax: Syntax::Grub, hardware });
        }
        let folder = name.parent()?.rsplit('/').next()?;
        if !folder.eq_ignore_ascii_case(PXELINUX) {
            return None;
        }
        let hardware = if last.eq_ignore_ascii_case("default") { None } else { machine_in(last)? };
        Some(ConfigFile { syntax: Syntax::Pxelinux, hardware })
    }
}

/// What follows: type and hardware address, an address in hexadecimal digits or a UUID. None when it is neither.
fn machine_in(text: &str) -> Option<Option<HardwareAddress>> {
    let is_digit = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(is_digit) {
        return None;
    }
    // Type 1 (Ethernet) to 32 (InfiniBand), then the octets.
    let octets: Vec<&str> = text.split('-').collect();
    let is_hardware = octets.len() > 6 && octets.iter().all(|octet| octet.len() == 2);
    Some(text.get(3..).filter(|_| is_hardware).and_then(|address| address.parse().ok()))
}
