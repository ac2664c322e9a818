//! Amounts of octets, and octets in a second, as people write them.

use serde::Deserialize;

/// Units and their octets; the longest that fits is taken.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Units of a rate that count bits, and how many bits each has.
const BIT_UNITS: [(&str, u64); 4] = [("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000), ("bit", 1)];

/// Octets of `"500MB"`, `"20 GiB"`.
pub(super) fn octets(text: &str) -> Option<u64> {
    amount(text, &UNITS)
}

/// Octets in a second of `"2MB/s"`, `"20Mbit/s"`; at least one.
pub(super) fn rate(text: &str) -> Option<u64> {
    let amount_text = text.trim().strip_suffix("/s")?;
    let octets = octets(amount_text).or_else(|| Some(amount(amount_text, &BIT_UNITS)?.div_ceil(8)));
    octets.filter(|octets| *octets > 0)
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let (whole, part) = number.trim().split_once('.').unwrap_or((number.trim(), "0"));
    let is_digits = |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(part) {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(part.len()).ok()?);
    let part = u128::from(part.parse::<u64>().ok()?) * u128::from(*unit) / u128::from(scale);
    whole.parse::<u64>().ok()?.checked_mul(*unit)?.checked_add(u64::try_from(part).ok()?)
}

/// Reads an amount of octets.
pub(super) fn octets_of<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    octets(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("`{text}` is no size; write it like \"500MB\", \"20GB\" or \"16GiB\""))
    })
}

/// Reads a rate that may be absent.
pub(super) fn rate_of<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    rate(&text).map(Some).ok_or_else(|| {
        serde::de::Error::custom(format!("`{text}` is no rate; write it like \"2MB/s\" or \"20Mbit/s\""))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_and_rates_are_read_as_people_write_them() {
        for (text, expect) in [("500MB", 500_000_000), ("1.5 GiB", 3 << 29), ("7B", 7), ("20 GB", 20_000_000_000)] {
            assert_eq!(octets(text), Some(expect), "{text}");
        }
        for text in ["", "MB", "5", "-5MB", "5 mb", "1.MB", "99999999999999TB", "1e3MB", "5MB/s"] {
            assert_eq!(octets(text), None, "{text}");
        }
        for (text, expect) in [("2MB/s", 2_000_000), ("20Mbit/s", 2_500_000), ("1bit/s", 1), (" 1.5 kB/s", 1_500)] {
            assert_eq!(rate(text), Some(expect), "{text}");
        }
        for text in ["0MB/s", "2MB", "20 Mbps", "/s"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_amount_or_none(text in "\\PC{0,20}|[0-9.]{0,30} ?(kB|TB|GiB|Mbit)(/s)?") {
            let _ = (octets(&text), rate(&text));
        }
    }
}
