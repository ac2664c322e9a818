//! What machines print when a network boot fails: PXE-Exx and iPXE's eight digits, each with its cause and where to look.
//!
//! The table is data ([`PXE`], [`IPXE`]); `docs/troubleshoot.md` has its rows from here, which a test holds. iPXE's digits
//! are two of the kind of error, two of the source file with the next one its class, then a number within the file; the
//! last two differ between BIOS and EFI builds, so that six digits tell.
//!
//! **Invariant**: text in, a row out; nothing is asked and nothing is read.

mod ipxe;
mod pxe;

use serde::Serialize;

pub use ipxe::IPXE;
pub use pxe::PXE;

/// One code, or codes that are one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Code {
    /// The codes: `PXE-E55`, or the first six digits of iPXE's.
    pub codes: &'static [&'static str],
    /// What the machine says.
    pub means: &'static str,
    /// Why that happens.
    pub causes: &'static str,
    /// Where to look.
    pub look_at: &'static str,
    /// The check of `pointsman doctor` that covers it; empty when none can.
    pub check: &'static str,
}

/// A row of the table: the fields of [`Code`] in their order.
const fn row(
    codes: &'static [&'static str],
    means: &'static str,
    causes: &'static str,
    look_at: &'static str,
    check: &'static str,
) -> Code {
    Code { codes, means, causes, look_at, check }
}

/// What somebody typed who has a code on a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A code and nothing else.
    Code(String),
    /// Digits that may as well be the name of a machine.
    Perhaps(String),
    /// No code.
    Other,
}

/// Reads `PXE-E55`, `e55`, `2d1261`, `https://ipxe.org/2d12618e`, `0x2d12618e`: in upper case with its `PXE-`, or six to
/// eight digits in lower case.
pub fn read(text: &str) -> Typed {
    let text = text.trim().trim_start_matches('(').trim_end_matches(['.', ':', ')', '/']);
    let lower = text.to_ascii_lowercase();
    let marks = ["https://ipxe.org/", "http://ipxe.org/", "ipxe.org/", "0x"];
    let is_marked = marks.iter().find_map(|mark| lower.strip_prefix(mark));
    let digits = is_marked.unwrap_or(&lower);
    let is_ipxe = (6..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    match (is_ipxe, is_marked) {
        (true, Some(_)) => return Typed::Code(digits.to_owned()),
        (true, None) => return Typed::Perhaps(digits.to_owned()),
        (false, _) => {}
    }
    let is_pxe = lower.starts_with("pxe-");
    let short = lower.strip_prefix("pxe-").unwrap_or(&lower);
    let mut letters = short.chars();
    let kind = letters.next().filter(|kind| matches!(kind, 'e' | 'm'));
    let number = letters.as_str();
    let is_number = number.len() == 2 && number.bytes().all(|digit| digit.is_ascii_hexdigit());
    match (kind, is_number || is_pxe) {
        (Some(_), true) if short.len() <= LEN_MAX => Typed::Code(format!("PXE-{}", short.to_ascii_uppercase())),
        _ => Typed::Other,
    }
}

/// The longest code behind `PXE-` that is repeated in an answer.
const LEN_MAX: usize = 12;

/// What is known of a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "known")]
pub enum Known {
    /// The table has it.
    Code(Code),
    /// The table has others of the same kind from the same part of iPXE.
    Class {
        /// What iPXE calls the error.
        kind: &'static str,
        /// The part of iPXE that it comes from.
        part: &'static str,
        /// Rows of the same part.
        like: Vec<Code>,
    },
    /// Nothing is known; these are the nearest codes.
    Nothing {
        /// Codes like it.
        nearest: Vec<&'static str>,
    },
}

/// Looks a code up, as [`read`] gives it.
pub fn look_up(code: &str) -> Known {
    let key = if code.starts_with("PXE-") { code } else { code.get(..6).unwrap_or(code) };
    let all = || PXE.iter().chain(IPXE);
    if let Some(found) = all().find(|row| row.codes.contains(&key)) {
        return Known::Code(*found);
    }
    if let (Some(part), Some(kind)) = (ipxe::part(key), ipxe::kind(key)) {
        let same = |row: &&Code| row.codes.iter().any(|code| ipxe::part(code) == Some(part));
        return Known::Class { kind, part, like: IPXE.iter().filter(same).copied().collect() };
    }
    let mut near: Vec<(f64, &'static str)> = all()
        .flat_map(|row| row.codes)
        .map(|known| (strsim::normalized_damerau_levenshtein(key, known), *known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    Known::Nothing { nearest: near.into_iter().take(NEAREST_MAX).map(|(_, known)| known).collect() }
}

/// How alike codes are that are named as the nearest, 0 to 1.
const LIKENESS_MIN: f64 = 0.6;
/// How many of them are named.
const NEAREST_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(text: &str) -> &'static str {
        match read(text) {
            Typed::Code(code) | Typed::Perhaps(code) => match look_up(&code) {
                Known::Code(row) => row.codes[0],
                Known::Class { part, .. } => part,
                Known::Nothing { .. } => "nothing",
            },
            Typed::Other => "no code",
        }
    }

    #[test]
    fn every_way_of_writing_a_code_finds_its_row() {
        for (text, row) in [
            ("PXE-E55", "PXE-E55"),
            ("pxe-e55:", "PXE-E55"),
            ("E55", "PXE-E55"),
            (" e3b ", "PXE-E36"),
            ("PXE-M0F", "PXE-EA0"),
            ("PXE-EC8", "PXE-EC1"),
            ("2d1261", "2d1261"),
            ("https://ipxe.org/2d12618e", "2d1261"),
            ("http://ipxe.org/2d12613b.", "2d1261"),
            ("(ipxe.org/2d12613b)", "2d1261"),
            ("0x410DE13C", "410de1"),
            ("0216eb8f", "0216eb"),
            ("2d1260", "2d1261"),
        ] {
            assert_eq!(row_of(text), row, "{text}");
        }
    }

    #[test]
    fn an_ipxe_code_that_the_table_lacks_is_known_by_its_class() {
        assert_eq!(row_of("0x4c126f3b"), "TFTP");
        let Known::Class { kind, part, like } = look_up("1c0dea") else { panic!("no class") };
        assert_eq!((kind, part), ("invalid argument", "TLS"));
        assert!(like.iter().any(|row| row.codes.contains(&"410de1")), "{like:?}");
    }

    #[test]
    fn a_code_that_nobody_knows_has_its_nearest() {
        let Known::Nothing { nearest } = look_up("PXE-E57") else { panic!("known") };
        assert!(nearest.contains(&"PXE-E55") && nearest.contains(&"PXE-E51"), "{nearest:?}");
        let Known::Nothing { nearest } = look_up("2df2f1") else { panic!("known") };
        assert!(nearest.len() <= NEAREST_MAX);
    }

    #[test]
    fn machines_addresses_and_sessions_are_no_codes() {
        for text in ["lab-07", "52:54:00:12:34:56", "525400123456", "0001abcdefff", "eve", "m10x", "", "e", "pxe", "E5"]
        {
            assert_eq!(read(text), Typed::Other, "{text}");
        }
        assert_eq!(read("10023456"), Typed::Perhaps("10023456".into()));
    }

    #[test]
    fn each_code_is_in_the_table_once_and_every_row_says_something() {
        let mut seen = std::collections::BTreeSet::new();
        for row in PXE.iter().chain(IPXE) {
            assert!(!row.codes.is_empty() && !row.means.is_empty() && !row.look_at.is_empty(), "{row:?}");
            for code in row.codes {
                assert!(seen.insert(code), "{code} twice");
                let typed = read(code);
                assert!(
                    matches!(&typed, Typed::Code(read) | Typed::Perhaps(read) if read == code),
                    "{code}: {typed:?}"
                );
            }
            let is_check = crate::doctor::CHECKS.iter().any(|check| check.name == row.check);
            assert!(row.check.is_empty() || is_check, "{row:?}: no check has this name");
        }
        assert!(seen.len() > 60, "{}", seen.len());
    }

    proptest::proptest! {
        #[test]
        fn anything_may_be_typed(text in ".{0,40}") {
            if let Typed::Code(code) | Typed::Perhaps(code) = read(&text) {
                let _ = look_up(&code);
            }
        }
    }
}
