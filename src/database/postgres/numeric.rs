//! `numeric`: decimal text and the four-digit groups that the server sends and takes.
//!
//! **Invariant**: exact in both directions; nothing becomes a binary fraction on the way.

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;

/// The most digits on either side of the point.
const DIGITS_MAX: usize = 1000;

/// Reads what the server sent: count, weight, sign, scale, groups.
pub(super) fn read(octets: &[u8]) -> Option<String> {
    let words: Vec<u16> = octets.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [count, weight, sign, scale, groups @ ..] = words.as_slice() else { return None };
    match *sign {
        0xc000 => return Some("NaN".into()),
        0xd000 => return Some("Infinity".into()),
        0xf000 => return Some("-Infinity".into()),
        POSITIVE | NEGATIVE if groups.len() == usize::from(*count) => {}
        _ => return None,
    }
    let (weight, scale) = (i32::from(weight.cast_signed()), usize::from(*scale));
    if weight > 1000 || scale > DIGITS_MAX || groups.iter().any(|group| *group > 9999) {
        return None;
    }
    let group = |place: i32| {
        let at = usize::try_from(weight - place).ok();
        at.and_then(|at| groups.get(at)).copied().unwrap_or_default()
    };
    let whole: String = (0..=weight.max(0)).rev().map(|place| format!("{:04}", group(place))).collect();
    let whole = whole.trim_start_matches('0');
    let places = i32::try_from(scale.div_ceil(4)).ok()?;
    let mut fraction: String = (1..=places).map(|place| format!("{:04}", group(-place))).collect();
    fraction.truncate(scale);
    let sign = if *sign == NEGATIVE { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// Writes plain decimal text for the server; `None` when it is none.
pub(super) fn write(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (POSITIVE, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.len() <= DIGITS_MAX && part.bytes().all(|digit| digit.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let scale = u16::try_from(fraction.len()).ok()?;
    let fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let weight = i16::try_from(whole.len() / 4).ok()? - 1;
    let digits = format!("{whole}{fraction}");
    let groups: Vec<u16> =
        (0..digits.len()).step_by(4).map(|at| digits[at..at + 4].parse().unwrap_or_default()).collect();
    let count = u16::try_from(groups.len()).ok()?;
    let words = [count, weight.cast_unsigned(), sign, scale].into_iter().chain(groups);
    Some(words.flat_map(u16::to_be_bytes).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_comes_back() {
        for text in ["0", "1", "-1", "10000", "12345678", "0.5", "-0.05", "123.4500", "0.00012", "99999999.99999999"] {
            assert_eq!(read(&write(text).unwrap()).as_deref(), Some(text));
        }
        assert_eq!(read(&write("+007").unwrap()).as_deref(), Some("7"));
        assert_eq!(read(&write(".5").unwrap()).as_deref(), Some("0.5"));
    }

    #[test]
    fn nonsense_is_none() {
        for text in ["", "-", ".", "1e5", "0x10", "1.2.3", "--1", "NaN", "١"] {
            assert_eq!(write(text), None, "{text}");
        }
        for octets in [&[][..], &[0, 1], &[0, 1, 0, 0, 0, 0, 0, 0], &[0, 0, 0x7f, 0xff, 0, 0, 0, 0]] {
            assert_eq!(read(octets), None, "{octets:?}");
        }
        assert_eq!(read(&[0, 0, 0, 0, 0xc0, 0, 0, 0]).as_deref(), Some("NaN"));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&octets);
        }

        #[test]
        fn any_decimal_comes_back(text in "-?[1-9][0-9]{0,20}(\\.[0-9]{1,20})?") {
            prop_assert_eq!(read(&write(&text).unwrap()), Some(text));
        }
    }
}
