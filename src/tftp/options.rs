//! Option negotiation (RFC 2347): what was asked and what is allowed give what is agreed.
//!
//! **Invariant**: never answers an option that was not asked for, never raises a number, and keeps the
//! client's spelling and order: EDK2 compares names by case and refuses anything unasked with ERROR 8.

use std::time::Duration;

use super::packet::{self, RequestOption};

/// RFC 1350's block size, in octets.
pub const BLKSIZE_DEFAULT: u16 = 512;
/// RFC 2348's smallest and largest block size.
const BLKSIZE_RANGE: std::ops::RangeInclusive<u64> = 8..=65_464;
/// RFC 2349's timeouts, in seconds.
const TIMEOUT_RANGE: std::ops::RangeInclusive<u64> = 1..=255;
/// RFC 7440's window sizes, in blocks.
const WINDOWSIZE_RANGE: std::ops::RangeInclusive<u64> = 1..=65_535;

/// What this server allows a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest block size, in octets.
    pub blksize_max: u16,
    /// Largest window, in blocks.
    pub windowsize_max: u16,
}

/// What both sides keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// Octets of a full block.
    pub blksize: u16,
    /// Blocks sent before an ACK is awaited.
    pub windowsize: u16,
    /// The retransmission time that the client asked for.
    pub timeout: Option<Duration>,
    /// The client asked for the file's size.
    pub size_asked: bool,
}

/// The result of a negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiation {
    /// The terms.
    pub agreed: Agreed,
    /// The OACK packet; none when no option was acceptable (the transfer starts with DATA 1).
    pub option_ack: Option<Vec<u8>>,
}

/// Negotiates for a file of `size` octets.
pub fn negotiate(asked: &[RequestOption<'_>], size: u64, limits: Limits) -> Negotiation {
    let mut agreed = Agreed { blksize: BLKSIZE_DEFAULT, windowsize: 1, timeout: None, size_asked: false };
    let mut answers = Vec::new();
    for option in asked {
        if let Some(answer) = answer(option, size, limits, &mut agreed) {
            answers.push((option.name, answer));
        }
    }
    Negotiation { agreed, option_ack: (!answers.is_empty()).then(|| packet::option_ack(answers)) }
}

/// The value to answer, or none to leave the option out.
fn answer(option: &RequestOption<'_>, size: u64, limits: Limits, agreed: &mut Agreed) -> Option<u64> {
    let is = |name: &str| option.name.eq_ignore_ascii_case(name.as_bytes());
    let value = decimal(option.value);
    if is("blksize") {
        let value = value.filter(|v| v >= BLKSIZE_RANGE.start())?;
        let limit = u64::from(limits.blksize_max).min(*BLKSIZE_RANGE.end());
        agreed.blksize = u16::try_from(value.min(limit)).ok()?;
        return Some(u64::from(agreed.blksize));
    }
    if is("windowsize") {
        let value = value.filter(|v| WINDOWSIZE_RANGE.contains(v))?;
        agreed.windowsize = u16::try_from(value).ok()?.min(limits.windowsize_max).max(1);
        return Some(u64::from(agreed.windowsize));
    }
    if is("timeout") {
        // RFC 2349: the same value, or no answer.
        let value = value.filter(|v| TIMEOUT_RANGE.contains(v))?;
        agreed.timeout = Some(Duration::from_secs(value));
        return Some(value);
    }
    if is("tsize") {
        agreed.size_asked = true;
        return Some(size);
    }
    None
}

/// ASCII decimal of any length that fits; no sign, no space.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { blksize_max: 1468, windowsize_max: 16 };

    /// Options as "name=value name=value"; the answer in the same form.
    fn check(asked: &str, expect: &str) -> Agreed {
        let options: Vec<RequestOption<'_>> = asked
            .split_whitespace()
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap();
                RequestOption { name: name.as_bytes(), value: value.as_bytes() }
            })
            .collect();
        let negotiation = negotiate(&options, 3_000_000, LIMITS);
        let mut answer = Vec::new();
        if let Some(packet) = &negotiation.option_ack {
            let Ok(packet::Packet::OptionAck(options)) = packet::Packet::parse(packet) else { panic!("{packet:?}") };
            for option in options {
                let name = String::from_utf8_lossy(option.name);
                let value = String::from_utf8_lossy(option.value);
                answer.push(format!("{name}={value}"));
            }
        }
        assert_eq!(answer.join(" "), expect, "asked {asked}");
        negotiation.agreed
    }

    #[test]
    fn answers_edk2_in_its_spelling_and_order() {
        let agreed = check("tsize=0 blksize=1468 windowsize=4", "tsize=3000000 blksize=1468 windowsize=4");
        assert_eq!((agreed.blksize, agreed.windowsize), (1468, 4));
        check("WindowSize=4 TSIZE=0", "WindowSize=4 TSIZE=3000000");
    }

    #[test]
    fn timeout_0_and_256_are_omitted_and_5_is_echoed() {
        check("timeout=0", "");
        check("timeout=256", "");
        let agreed = check("timeout=5", "timeout=5");
        assert_eq!(agreed.timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_useless_blksize_is_omitted_and_a_large_one_is_clamped() {
        for asked in ["blksize=7", "blksize=abc", "blksize=-1", "blksize=+9", "blksize="] {
            assert_eq!(check(asked, "").blksize, BLKSIZE_DEFAULT);
        }
        check("blksize=70000", "blksize=1468");
        check("blksize=16384", "blksize=1468");
        check("blksize=8", "blksize=8");
        check("blksize=99999999999999999999999", "");
    }

    #[test]
    fn windowsize_is_clamped_or_omitted() {
        check("windowsize=64", "windowsize=16");
        check("windowsize=0", "");
        check("windowsize=65536", "");
    }

    #[test]
    fn an_unknown_option_is_omitted() {
        check("blksize=1024 msftwindow=31416 multicast=", "blksize=1024");
    }

    #[test]
    fn with_only_unknown_options_there_is_no_oack() {
        check("msftwindow=31416 rollover=0", "");
    }

    proptest! {
        #[test]
        fn never_answers_more_than_was_asked(
            // The parser gives no name twice.
            names in prop::sample::subsequence(
                vec!["blksize", "windowsize", "timeout", "tsize", "x"], 0..=5),
            values in proptest::collection::vec("[0-9a]{0,6}", 6),
        ) {
            let asked: Vec<RequestOption<'_>> = names
                .iter()
                .zip(&values)
                .map(|(name, value)| RequestOption { name: name.as_bytes(), value: value.as_bytes() })
                .collect();
            let Some(packet) = negotiate(&asked, 77, LIMITS).option_ack else { return Ok(()) };
            let Ok(packet::Packet::OptionAck(answers)) = packet::Packet::parse(&packet) else {
                return Err(TestCaseError::fail("no OACK"));
            };
            for answer in answers {
                let of_request = asked.iter().find(|o| o.name == answer.name);
                prop_assert!(of_request.is_some());
                if answer.name != b"tsize" {
                    let asked = of_request.and_then(|o| decimal(o.value)).unwrap_or(0);
                    prop_assert!(decimal(answer.value).unwrap_or(u64::MAX) <= asked);
                }
            }
        }
    }
}
