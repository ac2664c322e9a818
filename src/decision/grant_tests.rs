//! Grants: what is signed comes back, and nothing else does.

use proptest::prelude::*;

use super::*;
use crate::boot::{Architecture, Client};

const MINUTE: Duration = Duration::from_secs(60);

fn sessions(secret: u8) -> Sessions {
    Sessions::new(TokenKey::new(&[secret; 32]), 100)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn begin(sessions: &Sessions) -> Session {
    sessions.begin(Client::new([2, 0, 0, 0, 0, 1].into(), Architecture::X64_UEFI), 1, at(0))
}

fn ann(groups: &[&str]) -> Person {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    Person { name: Line::clean("änn"), method: Method::Login, groups, at: at(0) }
}

#[test]
fn another_server_with_the_key_takes_it_up_until_it_expires() {
    let one = sessions(1);
    let session = begin(&one);
    assert_eq!(session.person(at(0)), None);
    one.grant(&session, &ann(&["imaging", "lab"]), MINUTE, at(0)).unwrap();
    let text = session.grant(at(59)).unwrap();
    assert_eq!((session.person(at(60)), session.grant(at(60))), (None, None));
    let token = one.token(&session, true, at(0));
    let other = sessions(1);
    let taken = other.resume(&token, at(5)).unwrap();
    assert_eq!(taken.person(at(5)), None);
    other.redeem(&taken, &text, at(5)).unwrap();
    assert_eq!(*taken.person(at(5)).unwrap(), ann(&["imaging", "lab"]));
    assert_eq!(other.redeem(&taken, &text, at(60)), Err(GrantError::Expired));
    assert_eq!(taken.person(at(60)), None);
    assert_eq!(sessions(2).redeem(&taken, &text, at(5)), Err(GrantError::Forged));
}

#[test]
fn what_is_of_another_boot_or_of_one_that_is_over_is_refused() {
    let sessions = sessions(1);
    let (one, other) = (begin(&sessions), begin(&sessions));
    sessions.grant(&one, &ann(&[]), MINUTE, at(0)).unwrap();
    let text = one.grant(at(0)).unwrap();
    assert_eq!(sessions.redeem(&other, &text, at(1)), Err(GrantError::OtherBoot));
    assert_eq!(other.person(at(1)), None);
    one.end_person();
    assert_eq!(one.person(at(1)), None);
    assert_eq!(sessions.redeem(&one, &text, at(1)), Err(GrantError::Over));
    assert_eq!(sessions.grant(&one, &ann(&[]), MINUTE, at(1)), Err(GrantError::Over));
}

#[test]
fn no_altered_digit_and_no_token_passes() {
    let sessions = sessions(1);
    let session = begin(&sessions);
    sessions.grant(&session, &ann(&["lab"]), MINUTE, at(0)).unwrap();
    let text = session.grant(at(0)).unwrap();
    let fresh = begin(&sessions);
    for index in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[index] = if other[index] == b'0' { b'1' } else { b'0' };
        let other = String::from_utf8(other).unwrap();
        assert_eq!(sessions.redeem(&fresh, &other, at(1)), Err(GrantError::Forged));
    }
    let token = sessions.token(&session, true, at(0));
    assert_eq!(sessions.redeem(&fresh, &token, at(1)), Err(GrantError::Forged));
    assert!(sessions.resume(&text, at(1)).is_err());
}

#[test]
fn more_groups_than_fit_are_refused_and_not_cut() {
    let sessions = sessions(1);
    let session = begin(&sessions);
    let long = "g".repeat(64);
    let groups: Vec<&str> = (0..10).map(|_| long.as_str()).collect();
    assert_eq!(sessions.grant(&session, &ann(&groups), MINUTE, at(0)), Err(GrantError::TooLong));
    assert_eq!(session.person(at(0)), None);
}

proptest! {
    #[test]
    fn any_person_comes_back(name in "[^\\p{C}$]{1,40}", groups in proptest::collection::vec("[a-z ]{1,20}", 0..8)) {
        let sessions = sessions(1);
        let (session, fresh) = (begin(&sessions), begin(&sessions));
        let person = Person { name: Line::clean(&name), groups, ..ann(&[]) };
        sessions.grant(&session, &person, MINUTE, at(0)).unwrap();
        let text = session.grant(at(0)).unwrap();
        prop_assert_eq!(sessions.redeem(&fresh, &text, at(0)), Err(GrantError::OtherBoot));
        let (read, _) = sessions.key.open_grant(&text, session.id(), unix_seconds(at(0))).unwrap();
        prop_assert_eq!(read, person);
    }

    #[test]
    fn any_text_is_taken_without_panic(text in "\\PC*") {
        let sessions = sessions(1);
        let session = begin(&sessions);
        prop_assert!(sessions.redeem(&session, &text, at(0)).is_err());
    }
}
