//! What an iPXE build says of itself: its version, of what day that is, and whether such a build can speak to our HTTPS.
//!
//! **Invariant**: pure; a file that says nothing is no error, and what a version does not tell is not guessed.

use jiff::civil::{Date, date};

/// iPXE has a key exchange in common with us from this day on (ECDHE).
const ECDHE: Date = date(2024, 1, 31);
/// iPXE takes certificates with EC keys from this day on.
const ECDSA: Date = date(2025, 12, 19);
/// iPXE of this release can do both, and what calls itself so is never older.
const BOTH: (u8, u8, u8) = (2, 0, 0);

/// Why a build with HTTPS cannot speak to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooOld {
    /// It has no key exchange in common with us.
    KeyExchange,
    /// It does not know the EC key of our certificate.
    EcKey,
}

/// Whether a build with HTTPS can speak to us, by its version as its file or `User-Agent` has it. `has_ec_key` is of our
/// certificate. None when it does not tell of what day it is.
pub fn speaks_tls(version: &str, has_ec_key: bool) -> Option<Result<(), TooOld>> {
    let day = day_of(version)?;
    Some(match day {
        day if day < ECDHE => Err(TooOld::KeyExchange),
        day if has_ec_key && day < ECDSA => Err(TooOld::EcKey),
        _ => Ok(()),
    })
}

/// The same by the three numbers of option 175 alone: what calls itself 1.x may be of any day.
pub fn release_speaks_tls(numbers: (u8, u8, u8)) -> Option<Result<(), TooOld>> {
    (numbers >= BOTH).then_some(Ok(()))
}

/// Major, minor and patch of a version such as `1.21.1+git20250501.0de0ae1`.
pub fn numbers_of(version: &str) -> Option<(u8, u8, u8)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u8>().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

/// The day of a build: of its git date, else of its release. What is built between two releases may be newer.
fn day_of(version: &str) -> Option<Date> {
    if let Some((_, git)) = version.split_once("git") {
        let digits = git.trim_start_matches(['-', '.']).get(..8)?;
        let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i16>().ok();
        return Date::new(number(0..4)?, i8::try_from(number(4..6)?).ok()?, i8::try_from(number(6..8)?).ok()?).ok();
    }
    let release = version.split([' ', '+']).next()?;
    match release.split('.').next()?.parse::<u32>().ok()? {
        0 => None,
        // What is built behind a release calls itself by it, with a plus.
        1 if version.contains('+') => None,
        1 if release.starts_with("1.20") => Some(date(2020, 1, 2)),
        1 if release.starts_with("1.21") => Some(date(2020, 12, 31)),
        // Builds from a tree without tags call themselves 1.0.0.
        1 => None,
        _ => Some(date(2026, 3, 6)),
    }
}

/// Version and HTTPS of an iPXE build, from the strings in the file. Compressed builds (BIOS) do not tell.
pub(super) fn identify(octets: &[u8]) -> (Option<String>, Option<bool>) {
    let strings = || octets.split(|octet| *octet == 0);
    if !strings().any(|string| string == b"iPXE/%s") {
        return (None, None);
    }
    let version = strings().find(|string| is_version(string)).map(|string| String::from_utf8_lossy(string).into());
    (version, Some(strings().any(|string| string == b"https")))
}

/// `1.21.1`, `1.0.0+git-20190125.36a4c85-5.1`, `2.0.0 (ab12c)`.
fn is_version(string: &[u8]) -> bool {
    if string.len() < 5 || string.len() > 64 || !string.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ') {
        return false;
    }
    let end = string.iter().position(|octet| !octet.is_ascii_digit() && *octet != b'.').unwrap_or(string.len());
    let (number, rest) = string.split_at(end);
    let parts: Vec<_> = number.split(|octet| *octet == b'.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty()) && matches!(rest.first(), None | Some(b'+' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_tells_its_day() {
        for (version, day) in [
            ("1.21.1+git20250501.0de0ae1+dfsg-1", Some(date(2025, 5, 1))),
            ("1.0.0+git-20190125.36a4c85-5.1", Some(date(2019, 1, 25))),
            ("1.21.1", Some(date(2020, 12, 31))),
            ("1.21.1+ (g4e456)", None),
            ("2.0.0 (ab12c)", Some(date(2026, 3, 6))),
            ("1.0.0+", None),
            ("1.0.0 (3fe2)", None),
            ("1.21.1+git-x", None),
            ("", None),
        ] {
            assert_eq!(day_of(version), day, "{version}");
        }
    }

    #[test]
    fn what_speaks_tls_with_us_follows_from_the_day_and_our_key() {
        let (exchange, key) = (Some(Err(TooOld::KeyExchange)), Some(Err(TooOld::EcKey)));
        for (version, by_rsa, by_ec) in [
            ("1.21.1", exchange, exchange),
            ("1.21.1+git20240130", exchange, exchange),
            ("1.21.1+git20240131", Some(Ok(())), key),
            ("1.21.1+git20251219", Some(Ok(())), Some(Ok(()))),
            ("2.0.0", Some(Ok(())), Some(Ok(()))),
            ("1.0.0+", None, None),
        ] {
            assert_eq!((speaks_tls(version, false), speaks_tls(version, true)), (by_rsa, by_ec), "{version}");
        }
        assert_eq!((release_speaks_tls((1, 21, 1)), release_speaks_tls((2, 0, 0))), (None, Some(Ok(()))));
    }

    #[test]
    fn numbers_are_read_as_ipxe_writes_them() {
        assert_eq!(numbers_of("1.21.1+ (g4e456)"), Some((1, 21, 1)));
        assert_eq!((numbers_of("2.0"), numbers_of("x"), numbers_of("1.2.999")), (None, None, None));
    }
}
