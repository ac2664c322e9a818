//! The token of a boot session: what a client must know to load anything.
//!
//! A token is in every path that a client is told (`b/<token>/...`). It is signed, not stored: any server that has the
//! key knows the session again, also after a restart in the middle of a boot. It cannot be guessed, and it is written
//! in no log.

use aws_lc_rs::{constant_time, hmac, rand};

use crate::boot::{Architecture, HardwareAddress, MachineId, SessionId};

/// The secret that signs tokens; servers that stand in for each other share it.
pub struct TokenKey {
    pub(super) key: hmac::Key,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenContent {
    pub(super) session: SessionId,
    pub(super) hardware: HardwareAddress,
    pub(super) architecture: Architecture,
    /// The machine's id, so that rules that know it decide alike after a restart.
    pub(super) machine_id: Option<MachineId>,
    /// The verdict when the client was given the token.
    pub(super) is_allowed: bool,
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
const HEAD_LEN: usize = 15;
const ALLOWED: u8 = 1;
const HAS_MACHINE_ID: u8 = 2;
/// Digits without the letters i, l, o and u, which people and old fonts confuse.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Base32 of head, 16 octets of hardware address, machine id and tag.
const TEXT_LEN_MAX: usize = (HEAD_LEN + 16 + 16 + TAG_LEN).div_ceil(5) * 8;

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

    /// The id of a boot at a site, of which the site says these octets: it cannot choose one that is another's.
    pub(super) fn id_of(&self, octets: &[u8]) -> SessionId {
        // No token begins like this, so that nothing signed here is good as one.
        let signed = hmac::sign(&self.key, &[b"boot of a site\0", octets].concat());
        SessionId(signed.as_ref().first_chunk().copied().unwrap_or_default())
    }

    pub(super) fn seal(&self, content: &TokenContent) -> String {
        let mut octets = Vec::with_capacity(HEAD_LEN + 16 + 16 + TAG_LEN);
        let flags = if content.is_allowed { ALLOWED } else { 0 };
        let flags = flags | if content.machine_id.is_some() { HAS_MACHINE_ID } else { 0 };
        octets.extend([VERSION, flags]);
        octets.extend_from_slice(&content.session.0);
        octets.extend_from_slice(&content.architecture.code().to_be_bytes());
        octets.extend_from_slice(&content.issued.to_be_bytes());
        octets.push(content.hardware.octets().len() as u8);
        octets.extend_from_slice(content.hardware.octets());
        octets.extend(content.machine_id.into_iter().flat_map(MachineId::wire));
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
    let (&[VERSION, flags], rest) = body.split_first_chunk()? else { return None };
    let (id, rest) = rest.split_first_chunk::<6>()?;
    let (architecture, rest) = rest.split_first_chunk::<2>()?;
    let (issued, rest) = rest.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first()?;
    let (hardware, machine_id) = rest.split_at_checked(usize::from(*len))?;
    let machine_id = match flags & HAS_MACHINE_ID {
        0 if machine_id.is_empty() => None,
        0 => return None,
        _ => Some(MachineId::from_wire(machine_id.try_into().ok()?)),
    };
    Some(TokenContent {
        session: SessionId(*id),
        hardware: HardwareAddress::new(hardware).ok()?,
        architecture: Architecture::from_code(u16::from_be_bytes(*architecture)),
        machine_id,
        is_allowed: flags & ALLOWED != 0,
        issued: u32::from_be_bytes(*issued),
    })
}

pub(super) fn encode(octets: &[u8]) -> String {
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
    decode_up_to(TEXT_LEN_MAX, text)
}

/// The same, of a text of at most so many digits.
pub(super) fn decode_up_to(len_max: usize, text: &str) -> Option<Vec<u8>> {
    if text.len() > len_max {
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
            machine_id: hardware.len().is_multiple_of(2).then(|| MachineId::from_wire([7; 16])),
            is_allowed: hardware.len() > 3,
            issued: 1_000_000,
        }
    }

    #[test]
    fn a_token_opens_its_session_in_either_case_until_it_expires() {
        let key = TokenKey::new(&[7; 32]);
        let token = key.seal(&content(&[0x52, 0x54, 0, 1, 2, 3]));
        assert_eq!(token.len(), 76);
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
