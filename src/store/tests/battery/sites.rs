//! Sites that may ask, and what upstreams last decided.

use super::*;
use store::{Asked, LastKnown, SiteEntry, SiteToken, StoreError, TokenProblem};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a site enrolls once", |place| Box::pin(once(place))),
    ("of two who race with a token, one wins", |place| Box::pin(race(place))),
    ("a token is good for its time", |place| Box::pin(expired(place))),
    ("a site that is added again gets another certificate", |place| Box::pin(again(place))),
    ("a revoked site stays out until it begins anew", |place| Box::pin(revoked(place))),
    ("a bearer token lets in", |place| Box::pin(bearer(place))),
    ("sites are listed, seen and removed", |place| Box::pin(listed(place))),
    ("the last decision is known", |place| Box::pin(known(place))),
    ("old decisions go", |place| Box::pin(forgotten(place))),
];

fn print_of(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn token_problem<T: std::fmt::Debug>(result: Result<T, StoreError>) -> TokenProblem {
    match result {
        Err(StoreError::Token(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

async fn add(store: &Store, site: &str, token: &str) {
    store.add_site(&name(site), SiteToken::Enrollment(token, at(100)), at(0)).await.unwrap();
}

async fn by(store: &Store, fingerprint: char) -> Option<SiteEntry> {
    store.site_by_fingerprint(&print_of(fingerprint), LIMIT).await.unwrap()
}

async fn once(place: Place) {
    let store = place.open();
    add(&store, "lyon", "secret").await;
    let site = store.site_to_enroll("secret", at(1), LIMIT).await.unwrap();
    assert_eq!((site.name.as_str(), site.token_until, site.enrolled), ("lyon", Some(at(100)), None));
    assert_eq!(by(&store, 'a').await, None);
    let site = store.enroll_site("secret", &print_of('A'), at(1), LIMIT).await.unwrap();
    assert_eq!((site.name.as_str(), site.token_until, site.enrolled), ("lyon", None, Some(at(1))));
    assert_eq!(by(&store, 'a').await, Some(site));
    // The same change again, as after a broken connection; and another certificate with the same token.
    assert!(store.enroll_site("secret", &print_of('a'), at(1), LIMIT).await.is_ok());
    assert_eq!(token_problem(store.enroll_site("secret", &print_of('b'), at(2), LIMIT).await), TokenProblem::Used);
    assert_eq!(token_problem(store.site_to_enroll("secret", at(2), LIMIT).await), TokenProblem::Used);
    for token in ["", "Secret", "secret ", &"x".repeat(10_000), "a\0b"] {
        assert_eq!(token_problem(store.enroll_site(token, &print_of('b'), at(2), LIMIT).await), TokenProblem::Unknown);
        assert_eq!(store.site_by_token(token, LIMIT).await.unwrap(), None);
    }
    for fingerprint in ["", "a", "\0", &"é".repeat(32), &print_of('g')] {
        assert!(store.enroll_site("secret", fingerprint, at(2), LIMIT).await.is_err());
        assert_eq!(store.site_by_fingerprint(fingerprint, LIMIT).await.unwrap(), None);
    }
    // No token and nothing that stands for it can be read from the table.
    assert_eq!(store.site_by_token("secret", LIMIT).await.unwrap(), None);
}

async fn race(place: Place) {
    let store = place.open();
    add(&store, "lyon", "secret").await;
    let mut tasks = Vec::new();
    for digit in "0123456789abcdef".chars() {
        let store = place.open();
        tasks.push(tokio::spawn(async move {
            store.enroll_site("secret", &print_of(digit), at(1), LIMIT).await.map(|_| digit)
        }));
    }
    let mut won = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(digit) => won.push(digit),
            error => assert_eq!(token_problem(error), TokenProblem::Used),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    assert!(by(&store, won[0]).await.is_some());
}

async fn expired(place: Place) {
    let store = place.open();
    add(&store, "lyon", "secret").await;
    for second in [100, 101] {
        let problem = token_problem(store.enroll_site("secret", &print_of('a'), at(second), LIMIT).await);
        assert_eq!(problem, TokenProblem::Expired);
        assert_eq!(token_problem(store.site_to_enroll("secret", at(second), LIMIT).await), TokenProblem::Expired);
    }
    assert!(store.enroll_site("secret", &print_of('a'), at(99), LIMIT).await.is_ok());
}

async fn again(place: Place) {
    let store = place.open();
    add(&store, "lyon", "one").await;
    store.enroll_site("one", &print_of('a'), at(1), LIMIT).await.unwrap();
    add(&store, "lyon", "two").await;
    add(&store, "lyon", "three").await;
    assert_eq!(token_problem(store.enroll_site("two", &print_of('b'), at(2), LIMIT).await), TokenProblem::Unknown);
    assert!(by(&store, 'a').await.is_some(), "it goes on until the new one is issued");
    store.enroll_site("three", &print_of('c'), at(3), LIMIT).await.unwrap();
    assert_eq!(by(&store, 'a').await, None);
    assert_eq!(by(&store, 'c').await.map(|site| (site.added, site.enrolled)), Some((at(0), Some(at(3)))));
}

async fn revoked(place: Place) {
    let store = place.open();
    add(&store, "lyon", "one").await;
    store.enroll_site("one", &print_of('a'), at(1), LIMIT).await.unwrap();
    store.add_site(&name("lyon"), SiteToken::Bearer("bear"), at(2)).await.unwrap();
    add(&store, "lyon", "two").await;
    assert!(store.revoke_site(&name("lyon"), at(5)).await.unwrap());
    assert!(!store.revoke_site(&name("lyon"), at(6)).await.unwrap());
    assert_eq!(by(&store, 'a').await.unwrap().revoked, Some(at(5)));
    assert_eq!(store.site_by_token("bear", LIMIT).await.unwrap().unwrap().revoked, Some(at(5)));
    assert_eq!(token_problem(store.enroll_site("two", &print_of('b'), at(6), LIMIT).await), TokenProblem::Revoked);
    add(&store, "lyon", "three").await;
    assert_eq!(by(&store, 'a').await, None);
    assert_eq!(store.site_by_token("bear", LIMIT).await.unwrap(), None);
    assert!(store.enroll_site("two", &print_of('b'), at(6), LIMIT).await.is_err());
    let site = store.enroll_site("three", &print_of('c'), at(7), LIMIT).await.unwrap();
    assert_eq!((site.revoked, site.has_bearer), (None, false));
}

async fn bearer(place: Place) {
    let store = place.open();
    let site = name("probe");
    store.add_site(&site, SiteToken::Bearer("one"), at(1)).await.unwrap();
    let found = store.site_by_token("one", LIMIT).await.unwrap().unwrap();
    assert_eq!((found.name, found.has_bearer, found.enrolled, found.added), (site.clone(), true, None, at(1)));
    store.add_site(&site, SiteToken::Bearer("two"), at(2)).await.unwrap();
    assert_eq!(store.site_by_token("one", LIMIT).await.unwrap(), None);
    assert!(store.site_by_token("two", LIMIT).await.unwrap().is_some());
    // It is no enrollment token.
    assert_eq!(token_problem(store.enroll_site("two", &print_of('b'), at(2), LIMIT).await), TokenProblem::Unknown);
}

async fn listed(place: Place) {
    let store = place.open();
    for number in 0..3 {
        add(&store, &format!("site-{number}"), &format!("secret-{number}")).await;
    }
    let listed = store.sites(None).await.unwrap();
    assert_eq!(listed.iter().map(|site| site.name.as_str()).collect::<Vec<_>>(), ["site-0", "site-1", "site-2"]);
    assert_eq!(store.sites(Some(&name("site-1"))).await.unwrap(), listed[2..]);
    let seen = async || store.site(&name("site-0")).await.unwrap().unwrap().last_seen;
    assert_eq!(seen().await, None);
    for (second, last) in [(10, 10), (30, 10), (70, 10), (71, 71), (20, 71)] {
        store.site_seen(&name("site-0"), at(second), LIMIT).await.unwrap();
        assert_eq!(seen().await, Some(at(last)), "{second}");
    }
    store.remove_site(&name("site-0")).await.unwrap();
    assert_eq!(token_problem(store.site_to_enroll("secret-0", at(1), LIMIT).await), TokenProblem::Unknown);
    let error = store.remove_site(&name("site-11")).await.unwrap_err().to_string();
    assert_eq!(error, "there is no site `site-11`; did you mean `site-1`?");
    let error = store.revoke_site(&name("x"), at(1)).await.unwrap_err().to_string();
    assert_eq!(error, "there is no site `x`; `pointsman site add x` adds it");
}

async fn known(place: Place) {
    let store = place.open();
    let (machine, limit) = ("52:54:00:00:00:01", LIMIT);
    assert_eq!(store.last_known("main", machine, limit).await.unwrap(), []);
    let verdict =
        |answer: &str, second| LastKnown { question: Asked::AllowBoot, answer: answer.into(), decided: at(second) };
    // Longer than any text of a row, and whole again, whatever stands where it is cut.
    let most = LastKnown::ANSWER_LEN_MAX;
    let mut text = ["x".repeat(most % 3), "€".repeat(most / 3)].concat();
    let long = LastKnown { question: Asked::BootImages, answer: text.clone(), decided: at(1) };
    assert_eq!(text.len(), most);
    store.keep_last_known("main", machine, &long, limit).await.unwrap();
    store.keep_last_known("main", machine, &verdict("{}", 2), limit).await.unwrap();
    assert_eq!(store.last_known("main", machine, limit).await.unwrap(), [verdict("{}", 2), long]);
    // A shorter one leaves nothing of the longer one; an older one comes too late.
    let short = LastKnown { question: Asked::BootImages, answer: "\"é'; --\"".into(), decided: at(5) };
    for new in [short.clone(), verdict("late", 1), verdict("", 2)] {
        store.keep_last_known("main", machine, &new, limit).await.unwrap();
    }
    assert_eq!(store.last_known("main", machine, limit).await.unwrap(), [verdict("", 2), short]);
    assert_eq!(store.last_known("other", machine, limit).await.unwrap(), []);
    assert_eq!(store.last_known("main", "52:54:00:00:00:02", limit).await.unwrap(), []);
    text.push('x');
    for (machine, answer) in [(machine, text.as_str()), (machine, "\0"), (&"m".repeat(129), "{}"), ("\0", "{}")] {
        let error = store.keep_last_known("main", machine, &verdict(answer, 9), limit).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{error}");
    }
}

async fn forgotten(place: Place) {
    let store = place.open();
    for number in 0..600 {
        let decided = at(number % 2);
        let known = LastKnown { question: Asked::AllowBoot, answer: "{}".into(), decided };
        store.keep_last_known("main", &number.to_string(), &known, LIMIT).await.unwrap();
    }
    let year = 366 * 24 * 3600;
    let pruned = store.prune(LIMIT, 300, at(year), LIMIT).await.unwrap();
    assert_eq!(pruned.last_known, 0);
    // Beyond what so many boots leave, the oldest go.
    let pruned = store.prune(LIMIT, 295, at(year), LIMIT).await.unwrap();
    assert_eq!(pruned.last_known, 10);
    let pruned = store.prune(LIMIT, 300, at(year + 1), LIMIT).await.unwrap();
    assert_eq!(pruned.last_known, 290);
    assert_eq!(store.last_known("main", "0", LIMIT).await.unwrap(), []);
    assert_eq!(store.last_known("main", "1", LIMIT).await.unwrap().len(), 1);
    let pruned = store.prune(LIMIT, 1, at(year + 1), LIMIT).await.unwrap();
    assert_eq!(pruned.last_known, 298);
}
