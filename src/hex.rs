//! Octets as hexadecimal digits, and back.

/// Two digits in lower case for each octet.
pub(crate) fn digits(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The octets of digits in either case; none when they are something else, or not in pairs.
pub(crate) fn octets(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        assert_eq!(digits(&[0, 0xab, 0xff]), "00abff");
        assert_eq!(octets("00ABff"), Some(vec![0, 0xab, 0xff]));
        assert_eq!(octets(""), Some(Vec::new()));
        for text in ["0", "+f", "0x", "é", "00 "] {
            assert_eq!(octets(text), None, "{text}");
        }
    }
}
