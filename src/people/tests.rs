//! Who is verified, and who is not.

use proptest::prelude::*;

use super::hash::tests::cheap;
use super::*;
use crate::database::Database;

fn config(people: &str) -> Config {
    let text = format!("{people}\n[[handler]]\nkind = \"script\"\n");
    Config::parse(std::path::Path::new("/site/pointsman.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}

fn people(folder: &std::path::Path) -> People {
    let text = format!(
        "[people]\nlockout_failures = 2\nlockout = \"10m\"\n\
         [people.user.ann]\nhash = \"{}\"\ngroups = [\"imaging\"]\n\
         [people.pin.lab]\nhash = \"{}\"\ngroups = [\"lab\"]\n[people.pin.same]\nhash = \"{}\"\ngroups = [\"admins\"]\n",
        cheap("ann's"),
        cheap("2468"),
        cheap("2468"),
    );
    let store = Store::on(Database::sqlite("store", &folder.join("pointsman.db"))).unwrap();
    People::open(&config(&text), Some(store)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn ask(method: Method, groups: &[&str]) -> Ask {
    Ask::new(method, Line::clean("?"), groups.iter().map(|&group| group.to_owned()).collect()).unwrap()
}

fn typed(user: &str, secret: &str) -> Answer {
    Answer { user: user.to_owned(), secret: secret.to_owned() }
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_000_000_000 + minute * 60).unwrap()
}

fn machine(number: u8) -> HardwareAddress {
    [2, 0, 0, 0, 0, number].into()
}

#[tokio::test]
async fn a_lock_is_for_the_machine_and_the_name_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let people = people(folder.path());
    let login = ask(Method::Login, &[]);
    let verify = async |from: u8, user: &str, secret: &str, minute: i64| {
        people
            .verify(&login, machine(from), &typed(user, secret), at(minute))
            .await
            .map(|person| person.name.to_string())
    };
    assert_eq!(verify(1, "ann", "x", 0).await, Err(Refusal::Wrong { left: 1 }));
    assert_eq!(verify(1, "ann", "ann's", 0).await, Ok("ann".into()), "who is right begins anew");
    assert_eq!(verify(1, "ann", "x", 1).await, Err(Refusal::Wrong { left: 1 }));
    assert_eq!(verify(1, "ann", "", 1).await, Err(Refusal::Empty));
    assert_eq!(verify(2, "ann", "x", 1).await, Err(Refusal::Wrong { left: 0 }));
    assert_eq!(verify(3, "ann", "ann's", 2).await, Err(Refusal::Locked { minutes: 10 }), "the name");
    assert_eq!(verify(3, "bob", "x", 2).await, Err(Refusal::Wrong { left: 1 }), "what was locked is not counted");
    assert_eq!(verify(3, "eve", "x", 2).await, Err(Refusal::Wrong { left: 0 }));
    assert_eq!(verify(3, "kim", "x", 2).await, Err(Refusal::Locked { minutes: 11 }), "the machine");
    assert_eq!(verify(3, "ann", "ann's", 13).await, Ok("ann".into()), "both have ended");
    let long = "x".repeat(10_000);
    assert_eq!(verify(4, &long, &long, 13).await, Err(Refusal::Wrong { left: 1 }));
}

#[tokio::test]
async fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let people = people(folder.path());
    let login = ask(Method::Login, &[]);
    let answer = typed("ann", "x");
    let guesses = (0..20).map(|_| people.verify(&login, machine(1), &answer, at(0)));
    let refusals = futures_util::future::join_all(guesses).await;
    let wrong = refusals.iter().filter(|refusal| matches!(refusal, Err(Refusal::Wrong { .. }))).count();
    assert!(wrong <= 2, "{refusals:?}");
}

#[tokio::test]
async fn a_pin_is_of_its_groups_and_all_machines_together_guess_no_more_than_that() {
    let folder = tempfile::tempdir().unwrap();
    let people = people(folder.path());
    let verify = async |from: u8, groups: &[&str], secret: &str| {
        let verified = people.verify(&ask(Method::Pin, groups), machine(from), &typed("", secret), at(0)).await;
        verified.map(|person| person.name.to_string())
    };
    assert_eq!(verify(1, &["lab"], "2468").await, Ok("lab".into()));
    assert_eq!(verify(1, &["admins"], "2468").await, Ok("same".into()));
    assert_eq!(verify(1, &["others"], "2468").await, Err(Refusal::NotOneOfThose(Line::clean("lab"))));
    for from in 10..30 {
        assert!(matches!(verify(from, &[], "1111").await, Err(Refusal::Wrong { .. })), "{from}");
    }
    assert!(matches!(verify(50, &[], "2468").await, Err(Refusal::Locked { .. })));
}

#[tokio::test]
async fn where_nothing_can_be_counted_nobody_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("pointsman.db")).unwrap();
    let people = people(folder.path());
    let refused = people.verify(&ask(Method::Pin, &[]), machine(1), &typed("", "2468"), at(0)).await;
    assert_eq!(refused, Err(Refusal::Unavailable));
    let nobody = People::open(&config(""), None).unwrap_or_else(|problems| panic!("{problems}"));
    let refused = nobody.verify(&ask(Method::Login, &[]), machine(1), &typed("ann", "x"), at(0)).await;
    assert_eq!(refused, Err(Refusal::Unavailable));
}

#[test]
fn what_is_wrong_with_people_is_told_at_once() {
    let text = "[people.user.ann]\nhash = \"secret\"\n[people.pin.lab]\nhash = \"1234\"\n[people.ldap]\n\
                url = \"ldaps://x\"\nca = \"nowhere.pem\"\nbase = \"dc=x\"\n";
    let Err(problems) = People::open(&config(text), None) else { panic!("it is taken") };
    let said = problems.to_string();
    for expect in ["people.user.ann.hash", "people.pin.lab.hash", "people hash", "nowhere.pem"] {
        assert!(said.contains(expect), "{expect} not in: {said}");
    }
    assert!(!said.contains("secret") && !said.contains("1234"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_answer_is_taken_without_panic(user in "\\PC{0,40}", secret in "\\PC{0,40}") {
        let folder = tempfile::tempdir().unwrap();
        let people = people(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for method in [Method::Pin, Method::Login, Method::Approval] {
            let answer = typed(&user, &secret);
            prop_assert!(runtime.block_on(people.verify(&ask(method, &[]), machine(1), &answer, at(0))).is_err());
        }
    }
}
