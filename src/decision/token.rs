//! The token of a boot session: what a client must know to load anything.
//!
//! A token is in every path that a client is told (`b/<token>/...`). It is signed, not stored: any server that has the
//! key knows the session again, also after a restart in the middle of a boot. It cannot be guessed, and it is written
//! in no log.

use aws_lc_rs::{constant_time, hmac, rand};

use crate::boot::{Architecture, HardwareAddress, SessionId};

/// The secret that signs tokens; servers that stand in for each other share it.
pub struct TokenKey {
    key: hmac::Key,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenContent {
    pub(super) session: SessionId,
    pub(super) hardware: HardwareAddress,
    pub(super) architecture: Architecture,
    /// When it was issued, in Unix seconds.
    pub(super) issued: u32,
}

/// Why a text opens no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token, or signed by another key.
    #[error("not a token of this server")]
    Forged,
    /// Older than [`TokenKey::LIFETIME_S`].
    #[error("the token is too old; boot the machine again")]
    Expired,
}

const VERSION: u8 = 1;
const TAG_LEN: usize = 10;
const HEAD_LEN: usize = 14;
/// Digits without the letters i, l, o and u, which people and old fonts confuse.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Base32 of head, 16 octets of hardware address and tag.
const TEXT_LEN_MAX: usize = (HEAD_LEN + 16 + TAG_LEN).div_ceil(5) * 8;

impl TokenKey {
    /// How long a token opens its session, in seconds: an installer may load files for hours.
    pub const LIFETIME_S: u32 = 12 * 3600;
    /// Length of the secret, in octets.
    pub const LEN: usize = 32;

    /// The key with this secret.
    pub fn new(secret: &[u8; Self::LEN]) -> TokenKey {
        TokenKey { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// A new secret from the operating system's random numbers.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub fn random_secret() -> std::io::Result<[u8; Self::LEN]> {
        let mut secret = [0; Self::LEN];
        rand::fill(&mut secret).map_err(|_| std::io::Error::other("no random numbers from the operating system"))?;
        Ok(secret)
    }

    pub(super) fn seal(&self, content: &TokenContent) -> String {
        let mut octets = Vec::with_capacity(HEAD_LEN + 16 + TAG_LEN);
        octets.push(VERSION);
        octets.extend_from_slice(&content.session.0);
        octets.extend_from_slice(&content.architecture.code().to_be_bytes());
        octets.extend_from_slice(&content.issued.to_be_bytes());
        octets.push(content.hardware.octets().len() as u8);
        octets.extend_from_slice(content.hardware.octets());
        let tag = hmac::sign(&self.key, &octets);
        octets.extend_from_slice(&tag.as_ref()[..TAG_LEN]);
        encode(&octets)
    }

    pub(super) fn open(&self, token: &str, now: u32) -> Result<TokenContent, TokenError> {
        let octets = decode(token).ok_or(TokenError::Forged)?;
        let (body, tag) = octets.split_last_chunk::<TAG_LEN>().ok_or(TokenError::Forged)?;
        let expected = hmac::sign(&self.key, body);
        constant_time::verify_slices_are_equal(&expected.as_ref()[..TAG_LEN], tag).map_err(|_| TokenError::Forged)?;
        let content = read(body).ok_or(TokenError::Forged)?;
        if now.saturating_sub(content.issued) > Self::LIFETIME_S {
            return Err(TokenError::Expired);
        }
        Ok(content)
    }
}

fn read(body: &[u8]) -> Option<TokenContent> {
    let (&[VERSION], rest) = body.split_first_chunk()? else { return None };
    let (id, rest) = rest.split_first_chunk::<6>()?;
    let (architecture, rest) = rest.split_first_chunk::<2>()?;
    let (issued, rest) = rest.split_first_chunk::<4>()?;
    let (len, hardware) = rest.split_first()?;
    if usize::from(*len) != hardware.len() {
        return None;
    }
    Some(TokenContent {
        session: SessionId(*id),
        hardware: HardwareAddress::new(hardware).ok()?,
        architecture: Architecture::from_code(u16::from_be_bytes(*architecture)),
        issued: u32::from_be_bytes(*issued),
    })
}

fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0_u32, 0);
    for octet in octets {
        bits = bits << 8 | u32::from(*octet);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(DIGITS[(bits >> count & 31) as usize]));
        }
    }
    if count > 0 {
        text.push(char::from(DIGITS[(bits << (5 - count) & 31) as usize]));
    }
    text
}

/// The octets of a token; letters may come in either case, as Windows boot code changes it.
fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > TEXT_LEN_MAX {
        return None;
    }
    let mut octets = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte.to_ascii_lowercase())?;
        bits = bits << 5 | digit as u32;
        count += 5;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
        }
    }
    // What is left over must be padding: fewer than five bits, all zero, else two texts would be one token.
    (count < 5 && bits & ((1 << count) - 1) == 0).then_some(octets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(hardware: &[u8]) -> TokenContent {
        TokenContent {
            session: SessionId([1, 2, 3, 4, 5, 6]),
            hardware: HardwareAddress::new(hardware).unwrap(),
            architecture: Architecture::X64_UEFI,
            issued: 1_000_000,
        }
    }

    #[test]
    fn a_token_opens_its_session_in_either_case_until_it_expires() {
        let key = TokenKey::new(&[7; 32]);
        let token = key.seal(&content(&[0x52, 0x54, 0, 1, 2, 3]));
        assert_eq!(token.len(), 48);
        assert_eq!(key.open(&token, 1_000_100), Ok(content(&[0x52, 0x54, 0, 1, 2, 3])));
        assert_eq!(key.open(&token.to_uppercase(), 1_000_100).map(|c| c.session.0[0]), Ok(1));
        assert_eq!(key.open(&token, 1_000_000 + TokenKey::LIFETIME_S + 1), Err(TokenError::Expired));
        assert_eq!(TokenKey::new(&[8; 32]).open(&token, 1_000_100), Err(TokenError::Forged));
    }

    #[test]
    fn no_other_text_opens_it() {
        let key = TokenKey::new(&[7; 32]);
        let token = key.seal(&content(&[2; 6]));
        for index in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[index] = if other[index] == b'0' { b'1' } else { b'0' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(key.open(&other, 1_000_100), Err(TokenError::Forged));
        }
        assert_eq!(key.open(&format!("{token}0"), 1_000_100), Err(TokenError::Forged));
        assert_eq!(key.open(&"0".repeat(100_000), 1_000_100), Err(TokenError::Forged));
    }

    proptest! {
        #[test]
        fn any_hardware_address_comes_back(hardware in proptest::collection::vec(any::<u8>(), 1..=16)) {
            let key = TokenKey::new(&[9; 32]);
            let token = key.seal(&content(&hardware));
            prop_assert!(token.len() <= TEXT_LEN_MAX);
            prop_assert_eq!(key.open(&token, 1_000_000), Ok(content(&hardware)));
        }

        #[test]
        fn any_text_is_taken_without_panic(text in "\\PC*") {
            prop_assert!(TokenKey::new(&[9; 32]).open(&text, 0).is_err());
        }
    }
}
