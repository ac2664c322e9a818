//! The name of a file as a client asks for it, cleaned and safe to look up.
//!
//! Boot code writes names in many ways: Windows with backslashes, GRUB with a leading slash, some ROMs
//! with bytes behind the end. [`FileName::parse`] is the one place that knows them.
//!
//! **Invariant**: a `FileName` is relative, has at least one component, and no component is empty, `.`
//! or `..`; it holds no NUL and no control character. It says nothing about what exists.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name accepted, in bytes (a TFTP request has 512 by RFC 2347, a path 4,096 on Linux).
const NAME_MAX: usize = 1_024;
/// Longest component, in bytes: what Linux file systems take.
const COMPONENT_MAX: usize = 255;

/// A relative file name of which no component leads upwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct FileName(String);

/// Why a name is not one that we look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// Nothing is left after cleaning.
    #[error("the file name is empty")]
    Empty,
    /// The name or one of its components is longer than any file's.
    #[error("the file name is too long (at most {NAME_MAX} bytes, {COMPONENT_MAX} for each part)")]
    TooLong,
    /// A component is `..`.
    #[error("the file name has a '..' part; names are relative to the served directory")]
    Parent,
    /// It starts with a drive letter, as in `C:\`.
    #[error("the file name starts with a drive letter; names are relative to the served directory")]
    Drive,
    /// It holds NUL, another control character, or bytes that are not UTF-8.
    #[error("the file name holds a control character or bytes that are not UTF-8")]
    Character,
}

impl FileName {
    /// Cleans and checks a name from the network.
    ///
    /// Backslashes become slashes (Windows boot code), empty and `.` components vanish, and so do a
    /// leading slash (GRUB) and a trailing one. Control bytes and bytes that are no UTF-8 at the *end*
    /// are dropped: ROMs that forget the terminator, or send 0xFF behind it. Percent signs are kept as
    /// they are: iPXE sends decoded names.
    pub fn parse(raw: &[u8]) -> Result<Self, FileNameError> {
        if raw.len() > NAME_MAX {
            return Err(FileNameError::TooLong);
        }
        let text = without_junk_at_end(raw).ok_or(FileNameError::Character)?;
        if text.chars().any(char::is_control) {
            return Err(FileNameError::Character);
        }
        let mut clean = String::with_capacity(text.len());
        for component in text.split(['/', '\\']) {
            match component {
                "" | "." => continue,
                ".." => return Err(FileNameError::Parent),
                _ if component.len() > COMPONENT_MAX => return Err(FileNameError::TooLong),
                _ if clean.is_empty() && has_drive_letter(component) => {
                    return Err(FileNameError::Drive);
                }
                _ => {}
            }
            if !clean.is_empty() {
                clean.push('/');
            }
            clean.push_str(component);
        }
        if clean.is_empty() {
            return Err(FileNameError::Empty);
        }
        Ok(Self(clean))
    }

    /// The name with single slashes between its components, without one in front.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its components; there is at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The last component.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// What stands in front of the last component, without the slash; none for a name at the top.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, FileNameError> {
        Self::parse(text.as_bytes())
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name up to the first byte after which only junk comes; none if the middle is no UTF-8.
fn without_junk_at_end(raw: &[u8]) -> Option<&str> {
    let mut rest = raw;
    loop {
        match std::str::from_utf8(rest) {
            Ok(text) => return Some(text.trim_end_matches(char::is_control)),
            Err(_) => {
                let is_junk = |byte: &u8| *byte < 0x20 || *byte >= 0x80;
                rest = match rest.split_last() {
                    Some((last, shorter)) if is_junk(last) => shorter,
                    _ => return None,
                };
            }
        }
    }
}

fn has_drive_letter(component: &str) -> bool {
    matches!(component.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(raw: &[u8], expect: &str) {
        assert_eq!(FileName::parse(raw).unwrap().as_str(), expect, "{:?}", String::from_utf8_lossy(raw));
    }

    #[test]
    fn names_are_cleaned_as_boot_code_writes_them() {
        check(b"undionly.kpxe", "undionly.kpxe");
        check(b"/grub/x86_64-efi/core.efi", "grub/x86_64-efi/core.efi");
        check(br"\Boot\BCD", "Boot/BCD");
        check(br"\\Boot\\\Fonts//wgl4.ttf", "Boot/Fonts/wgl4.ttf");
        check(b"./a/./b/", "a/b");
        check(b"ipxe.efi\xff", "ipxe.efi");
        check(b"ipxe.efi\xff\xff\x01\xfe", "ipxe.efi");
        check(b"pxelinux.0\r\n", "pxelinux.0");
        check(b"pxelinux.0\0\0\0", "pxelinux.0");
        check(b"a%2e%2e/b", "a%2e%2e/b");
        check(b"..a/b..", "..a/b..");
        check("menü".as_bytes(), "menü");
        check(b"a/C:/x", "a/C:/x");
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let refuse = |raw: &[u8], expect| assert_eq!(FileName::parse(raw).unwrap_err(), expect);
        refuse(b"../etc/passwd", FileNameError::Parent);
        refuse(br"..\..\etc\passwd", FileNameError::Parent);
        refuse(b"/../x", FileNameError::Parent);
        refuse(b"a/..", FileNameError::Parent);
        refuse(b"a/..\xff", FileNameError::Parent);
        refuse(br"C:\Windows\win.ini", FileNameError::Drive);
        refuse(b"/c:x", FileNameError::Drive);
        refuse(b"a\0b", FileNameError::Character);
        refuse(b"a\nb", FileNameError::Character);
        refuse(b"a\xffb", FileNameError::Character);
        refuse(b"", FileNameError::Empty);
        refuse(b"///\\.", FileNameError::Empty);
        refuse(&[b'a'; 256], FileNameError::TooLong);
        refuse(&b"a/".repeat(600), FileNameError::TooLong);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_safe_name_or_an_error(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            assert_safe(&raw)?;
        }

        #[test]
        fn any_mix_of_hostile_parts_gives_a_safe_name_or_an_error(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "..", ".", "/", "\\", "a", "C:", "\0", "\u{7f}", "é", "//", "...", "%2e", " ",
                ]),
                0..12,
            ),
            tail in proptest::collection::vec(any::<u8>(), 0..3),
        ) {
            let mut raw = parts.concat().into_bytes();
            raw.extend(tail);
            assert_safe(&raw)?;
        }
    }

    fn assert_safe(raw: &[u8]) -> Result<(), TestCaseError> {
        let Ok(name) = FileName::parse(raw) else {
            return Ok(());
        };
        prop_assert!(!name.as_str().starts_with('/') && !name.as_str().ends_with('/'));
        prop_assert!(!name.as_str().contains(['\\', '\0']));
        prop_assert!(!name.as_str().chars().any(char::is_control));
        for component in name.components() {
            prop_assert!(!matches!(component, "" | "." | ".."));
        }
        prop_assert_eq!(FileName::parse(name.as_str().as_bytes()), Ok(name));
        Ok(())
    }
}
