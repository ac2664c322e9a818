//! The grant: our signed word that a person was verified in a boot.
//!
//! It is kept in the session, and goes with the client's next questions, so that another server with the same key,
//! or this one after a restart, knows it as well. What a client says of itself is never believed.
//!
//! **Invariant**: [`Session::person`] is somebody only after [`Sessions::grant`], or after [`Sessions::redeem`] of a text
//! that we signed for this very session and whose time is not over.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use jiff::Timestamp;

use super::session::{Session, Sessions, unix_seconds};
use super::token::{TokenKey, decode_up_to, encode};
use crate::boot::{Ask, Line, Method, Person, SessionId};

/// Who is at the machine of a session.
#[derive(Default)]
pub(super) enum Held {
    /// Nobody was verified.
    #[default]
    Nobody,
    /// This one, until then; and our signed word of it.
    Somebody { person: Arc<Person>, until: u32, text: String },
    /// The boot is over: nobody any more.
    Over,
}

/// Why a grant is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not signed by us, or altered.
    #[error("not a grant of this server")]
    Forged,
    /// Its time is over.
    #[error("the grant has expired")]
    Expired,
    /// It was given to another boot.
    #[error("a grant of another boot")]
    OtherBoot,
    /// The installer said that it is done: the boot is over.
    #[error("the boot that it was given to is over")]
    Over,
    /// More than a grant holds.
    #[error("the name and the groups of the person have more than {max} octets", max = GRANT_LEN_MAX)]
    TooLong,
}

const VERSION: u8 = 1;
const TAG_LEN: usize = 16;
/// Version, session, two times, method.
const HEAD_LEN: usize = 1 + 6 + 4 + 4 + 1;
/// The longest name with all groups, each with its length before it, in octets: it goes through queries of URLs.
const GRANT_LEN_MAX: usize = 640;
/// Nothing else that the key signs begins like this.
const PURPOSE: &[u8] = b"grant\0";

impl TokenKey {
    fn seal_grant(&self, session: SessionId, person: &Person, until: u32) -> Result<String, GrantError> {
        let mut octets = vec![VERSION];
        octets.extend_from_slice(&session.0);
        octets.extend_from_slice(&until.to_be_bytes());
        octets.extend_from_slice(&unix_seconds(person.at).to_be_bytes());
        octets.push(match person.method {
            Method::Pin => 1,
            Method::Login => 2,
            Method::Approval => 3,
        });
        for text in std::iter::once(person.name.as_str()).chain(person.groups.iter().map(String::as_str)) {
            octets.push(u8::try_from(text.len()).map_err(|_| GrantError::TooLong)?);
            octets.extend_from_slice(text.as_bytes());
        }
        if octets.len() > HEAD_LEN + GRANT_LEN_MAX || person.groups.len() > Ask::GROUPS_MAX {
            return Err(GrantError::TooLong);
        }
        let tag = self.tag(&octets);
        octets.extend_from_slice(tag.as_ref().get(..TAG_LEN).unwrap_or_default());
        Ok(encode(&octets))
    }

    fn open_grant(&self, text: &str, session: SessionId, now: u32) -> Result<(Person, u32), GrantError> {
        let len_max = (HEAD_LEN + GRANT_LEN_MAX + TAG_LEN).div_ceil(5) * 8;
        let octets = decode_up_to(len_max, text).ok_or(GrantError::Forged)?;
        let (body, tag) = octets.split_last_chunk::<TAG_LEN>().ok_or(GrantError::Forged)?;
        let expected = self.tag(body);
        let expected = expected.as_ref().get(..TAG_LEN).unwrap_or_default();
        constant_time::verify_slices_are_equal(expected, tag).map_err(|_| GrantError::Forged)?;
        let (of, until, person) = read(body).ok_or(GrantError::Forged)?;
        if of != session {
            return Err(GrantError::OtherBoot);
        }
        if now >= until {
            return Err(GrantError::Expired);
        }
        Ok((person, until))
    }

    fn tag(&self, body: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, &[PURPOSE, body].concat())
    }
}

fn read(body: &[u8]) -> Option<(SessionId, u32, Person)> {
    let (&[VERSION], rest) = body.split_first_chunk()? else { return None };
    let (session, rest) = rest.split_first_chunk::<6>()?;
    let (until, rest) = rest.split_first_chunk::<4>()?;
    let (at, rest) = rest.split_first_chunk::<4>()?;
    let (method, mut rest) = rest.split_first()?;
    let method = match method {
        1 => Method::Pin,
        2 => Method::Login,
        3 => Method::Approval,
        _ => return None,
    };
    let mut texts = Vec::new();
    while let Some((len, after)) = rest.split_first() {
        let (text, after) = after.split_at_checked(usize::from(*len))?;
        texts.push(std::str::from_utf8(text).ok()?.to_owned());
        rest = after;
    }
    let mut texts = texts.into_iter();
    let name = Line::new(texts.next()?).ok()?;
    let at = Timestamp::from_second(i64::from(u32::from_be_bytes(*at))).ok()?;
    let person = Person { name, method, groups: texts.collect(), at };
    Some((SessionId(*session), u32::from_be_bytes(*until), person))
}

impl Sessions {
    /// A person was verified at the machine of this session: counts for so long from now on, until the boot is over.
    ///
    /// # Errors
    /// When the person is in more groups than a grant holds.
    pub fn grant(
        &self,
        session: &Session,
        person: &Person,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Arc<Person>, GrantError> {
        let lifetime = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let until = unix_seconds(now).saturating_add(lifetime);
        let text = self.key.seal_grant(session.id(), person, until)?;
        // As it is read again elsewhere: with whole seconds.
        let at = Timestamp::from_second(person.at.as_second()).unwrap_or(person.at);
        let person = Arc::new(Person { at, ..person.clone() });
        let mut held = session.person.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*held, Held::Over) {
            return Err(GrantError::Over);
        }
        *held = Held::Somebody { person: Arc::clone(&person), until, text };
        Ok(person)
    }

    /// Takes up a grant that a client brings. A newer one that the session has already stays.
    ///
    /// # Errors
    /// When we did not sign it, or not for this session, or its time is over.
    pub fn redeem(&self, session: &Session, text: &str, now: Timestamp) -> Result<(), GrantError> {
        let (person, until) = self.key.open_grant(text, session.id(), unix_seconds(now))?;
        let mut held = session.person.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Held::Over => return Err(GrantError::Over),
            Held::Somebody { until: known, .. } if *known >= until => return Ok(()),
            Held::Somebody { .. } | Held::Nobody => {}
        }
        *held = Held::Somebody { person: Arc::new(person), until, text: text.to_owned() };
        Ok(())
    }
}

impl Session {
    /// Who is at the machine, as far as that was verified and still counts.
    pub fn person(&self, now: Timestamp) -> Option<Arc<Person>> {
        match &*self.person.lock().unwrap_or_else(PoisonError::into_inner) {
            Held::Somebody { person, until, .. } if unix_seconds(now) < *until => Some(Arc::clone(person)),
            _ => None,
        }
    }

    /// Our signed word of it, for the client's next questions.
    pub fn grant(&self, now: Timestamp) -> Option<String> {
        match &*self.person.lock().unwrap_or_else(PoisonError::into_inner) {
            Held::Somebody { text, until, .. } if unix_seconds(now) < *until => Some(text.clone()),
            _ => None,
        }
    }

    /// Nobody counts as verified, for now.
    pub fn forget_person(&self) {
        let mut held = self.person.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*held, Held::Somebody { .. }) {
            *held = Held::Nobody;
        }
    }

    /// The boot is over: nobody counts as verified in it any more.
    pub fn end_person(&self) {
        *self.person.lock().unwrap_or_else(PoisonError::into_inner) = Held::Over;
    }
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
