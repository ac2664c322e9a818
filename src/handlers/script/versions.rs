//! Versions of firmware, compared as vendors number them.
//!
//! The rules, in order:
//!
//! 1. Lenovo's code (`N2IETA5W`, `M1AKT4DA`): where both have one of the same family (its first five characters), its
//!    sixth and seventh character count, digits before letters: 98 < 99 < A0.
//! 2. What stands in parentheses behind it (`N2IETA5W (1.83 )`), else behind a word such as `v`, `Ver.` or `Rev`
//!    (`L01 v02.75`), is the version; else all of it is.
//! 3. A date as SMBIOS writes it (`05/11/2023`) is read as year, month, day; so is `2023/05/11`.
//! 4. Runs of digits are numbers, runs of letters words without regard to case; what is between them only divides.
//!    Part by part: the end comes first, then words in the order of the alphabet, then numbers. Numbers that are 0 at
//!    the end do not count: 1.9 is 1.9.0.
//! 5. `F21a` as Gigabyte numbers it is a beta of F21, and comes before it.
//!
//! **Invariant**: an order: `compare(a, b)` is the opposite of `compare(b, a)`, and any text has its place.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;
use rhai::{Engine, ImmutableString};

/// Registers the functions.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("compare_versions", |one: ImmutableString, other: ImmutableString| compare(&one, &other) as i64);
    engine.register_fn("version_at_least", |version: ImmutableString, least: ImmutableString| {
        compare(&version, &least) != Ordering::Less
    });
}

/// A part of a version. The order of the kinds is that of rule 4.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A word of a version that is not finished.
    Beta(String),
    End,
    Word(String),
    /// Its digits without zeros in front: first by how many, then one by one.
    Number(usize, String),
}

/// Which of two versions is the later one.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (shorten(one), shorten(other));
    if let (Some(one), Some(other)) = (lenovo(one), lenovo(other))
        && one.0 == other.0
    {
        return one.1.cmp(&other.1);
    }
    let (one, other) = (parts(version(one)), parts(version(other)));
    let at = |parts: &[Part], index: usize| parts.get(index).cloned().unwrap_or(Part::End);
    let differing = (0..one.len().max(other.len())).map(|index| at(&one, index).cmp(&at(&other, index)));
    differing.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Only so much of a text is looked at: no version is as long.
fn shorten(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LEN_MAX)).unwrap_or_default().trim()
}

/// The family and the revision of Lenovo's code.
fn lenovo(text: &str) -> Option<(String, String)> {
    static CODE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)^([A-Z0-9]{3}[EKC]T)([0-9A-Z]{2})[A-Z](?:[^A-Z0-9]|$)").ok());
    let found = CODE.as_ref()?.captures(text)?;
    let group = |index| found.get(index).map(|group: regex::Match<'_>| group.as_str().to_ascii_uppercase());
    Some((group(1)?, group(2)?))
}

/// The part of a text that is the version.
fn version(text: &str) -> &str {
    static IN_PARENTHESES: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)\(\s*v?\s*([0-9][^()]*)\)\s*$").ok());
    static BEHIND_WORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)(?:^|[\s_(-])(?:(?:version|ver|revision|rev|release)(?:[\s.:]+|([0-9]))|v[\s.]*([0-9]))").ok()
    });
    if let Some(found) = IN_PARENTHESES.as_ref().and_then(|pattern| pattern.captures(text)?.get(1)) {
        return found.as_str();
    }
    let Some(found) = BEHIND_WORD.as_ref().and_then(|pattern| pattern.captures(text)) else { return text };
    // A digit right behind the word is the first of the version.
    let digit = found.get(1).or_else(|| found.get(2)).map(|digit| digit.start());
    let start = digit.or_else(|| found.get(0).map(|all| all.end())).unwrap_or(0);
    text.get(start..).filter(|rest| !rest.trim().is_empty()).unwrap_or(text)
}

fn parts(text: &str) -> Vec<Part> {
    static DATE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}|[0-9]{2})$").ok());
    static BETA: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[Ff]([0-9]+)([a-z])$").ok());
    let text = text.trim();
    let group = |found: &regex::Captures<'_>, index| found.get(index).map_or("", |group| group.as_str()).to_owned();
    if let Some(found) = DATE.as_ref().and_then(|pattern| pattern.captures(text)) {
        let year = match group(&found, 3) {
            // Before SMBIOS 2.3 a year had two digits.
            year if year.len() == 2 && *year >= *"80" => format!("19{year}"),
            year if year.len() == 2 => format!("20{year}"),
            year => year,
        };
        return [year, group(&found, 1), group(&found, 2)].iter().map(|digits| number(digits)).collect();
    }
    if let Some(found) = BETA.as_ref().and_then(|pattern| pattern.captures(text)) {
        return vec![Part::Word("f".into()), number(&group(&found, 1)), Part::Beta(group(&found, 2))];
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let same: fn(char) -> bool = match first {
            c if c.is_ascii_digit() => |c| c.is_ascii_digit(),
            c if c.is_alphabetic() => |c| c.is_alphabetic(),
            _ => |c| !c.is_ascii_digit() && !c.is_alphabetic(),
        };
        let (run, after) = rest.split_at(rest.find(|c| !same(c)).unwrap_or(rest.len()));
        rest = after;
        if first.is_ascii_digit() {
            parts.push(number(run));
        } else if first.is_alphabetic() {
            parts.push(Part::Word(run.to_lowercase()));
        }
    }
    while parts.last() == Some(&number("0")) {
        parts.pop();
    }
    parts
}

fn number(digits: &str) -> Part {
    let digits = digits.trim_start_matches('0');
    Part::Number(digits.len(), digits.to_owned())
}

/// The most octets of a text that are looked at.
const LEN_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_as_vendors_number_them() {
        let cases = [
            // Dell
            ("1.9.0", "<", "1.10.0"),
            ("1.9", "=", "1.9.0"),
            ("A9", "<", "A24"),
            ("a05", "=", "A5"),
            ("A24", "<", "1.0.3"),
            ("2.18.1", ">", "2.9.4"),
            // HP
            ("L01 v02.75", ">", "L01 v02.07"),
            ("L01 v02.75", "=", "02.75"),
            ("N75 Ver. 01.57", "<", "N75 Ver. 01.60"),
            ("N75 Ver. 01.57", "<", "1.60"),
            ("Q78 Ver. 01.15.00", "=", "01.15"),
            ("68ICF Ver. F.60", ">", "F.7"),
            ("786F9 v01.16", "<", "786F9 v01.20"),
            // Lenovo
            ("N2IETA5W (1.83 )", ">", "N2IET98W (1.76 )"),
            ("N2IETA5W (1.83 )", ">", "1.9 "),
            ("N2IETA5W (1.83 )", "<", "1.84"),
            ("N2IETA5W", ">", "N2IET99W"),
            ("N2IETA5W", "<", "N2IETB0W"),
            ("N2IETA5W (1.83 )", "=", "n2ieta5w"),
            ("M1AKT4DA", ">", "M1AKT49A"),
            ("M1AKT4DA", "<", "M1AKT50A"),
            ("M1AKT59A", "<", "M1AKT5AA"),
            ("GSCN35WW", ">", "GSCN34WW"),
            ("8BCN40WW(V2.04)", "<", "8BCN41WW(V2.05)"),
            // Supermicro
            ("3.4a", ">", "3.4"),
            ("3.4a", "<", "3.4b"),
            ("3.4a", "<", "3.5"),
            ("1.0b", "<", "1.1"),
            // Gigabyte, whose letters are betas
            ("F21", "<", "F22"),
            ("F9", "<", "F21"),
            ("F21a", "<", "F21"),
            ("F21a", ">", "F20"),
            ("F21a", "<", "F21b"),
            // ASUS, ASRock, MSI, Fujitsu, Intel, Microsoft
            ("0805", "<", "1804"),
            ("P4.60", ">", "P4.50"),
            ("7B79v1I", ">", "7B79v1H"),
            ("E7C02AMS.3G0", ">", "E7C02AMS.3F0"),
            ("V5.0.0.11 R1.25.0 for D3410-B1x", ">", "V5.0.0.11 R1.9.0 for D3410-B1x"),
            ("BNKBL357.86A.0081.2019.1230.1430", ">", "BNKBL357.86A.0079.2019.0611.1424"),
            ("238.167.768", ">", "238.40.768"),
            // Dates
            ("2023/05/11", "<", "2023/11/05"),
            ("05/11/2023", ">", "12/01/2022"),
            ("05/11/2023", "=", "2023/05/11"),
            ("12/01/99", "<", "01/02/03"),
            // Others
            ("", "<", "0.1"),
            ("", "=", "0"),
            ("VirtualBox", "<", "1"),
            ("BIOS Version: 1.12", ">", "1.9"),
            ("rel-1.16.3-0-ga6ed6b701f0a-prebuilt.qemu.org", ">", "rel-1.9.3-0-ga6ed6b7"),
            ("99999999999999999999999999", "<", "100000000000000000000000000"),
        ];
        for (one, sign, other) in cases {
            let expect = match sign {
                "<" => Ordering::Less,
                "=" => Ordering::Equal,
                _ => Ordering::Greater,
            };
            assert_eq!(
                compare(one, other),
                expect,
                "{one} {sign} {other}: {:?}",
                (parts(version(one)), parts(version(other)))
            );
            assert_eq!(compare(other, one), expect.reverse(), "{other} and {one}");
        }
    }

    proptest! {
        #[test]
        fn any_two_texts_have_an_order(one in "\\PC{0,20}", other in "[0-9A-Za-z. ()/v]{0,20}") {
            prop_assert_eq!(compare(&one, &other), compare(&other, &one).reverse());
            prop_assert_eq!(compare(&one, &one), Ordering::Equal);
        }

        #[test]
        fn what_is_later_than_a_later_one_is_later(texts in prop::array::uniform3("[0-9]{1,2}(\\.[0-9]{1,2}){0,3}[a-c]?")) {
            let [a, b, c] = &texts;
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le(), "{a} {b} {c}");
            }
        }
    }
}
