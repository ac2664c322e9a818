//! The handler between a chain that asks it and upstreams that answer, or do not.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::boot::{ImageKind, Record, Stage};
use crate::upstream::tests::{Reply, Server, config, json, request};

/// A handler in a folder of its own.
struct Made {
    handler: ReferralHandler,
    upstreams: Upstreams,
    _folder: TempDir,
}

/// The handler of this section, on upstreams called `main`, `second` and so on.
fn made(servers: &[&Server], handler: &str, upstream: &str) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let names = &["main", "second", "third"][..servers.len()];
    let mut text = format!("[[handler]]\nkind = \"referral\"\nupstreams = {names:?}\n{handler}\n");
    names.iter().zip(servers).for_each(|(name, server)| text += &server.section(name, upstream));
    let config = config(folder.path(), &text);
    let databases = Databases::open(&config, None).unwrap();
    let upstreams = Upstreams::open(&config, None).unwrap();
    let crate::config::HandlerSection::Referral(section) = &config.handlers[1] else { panic!("no referral") };
    let handler = ReferralHandler::build(section, "referral", &config, &databases, &upstreams).unwrap();
    Made { handler, upstreams, _folder: folder }
}

fn health() -> Reply {
    json(&format!("{{\"versions\": [1], \"site\": \"lyon\", \"now\": \"{}\"}}", Timestamp::now()))
}

/// A server that allows all, and answers with this image.
async fn allowing(image: &'static str) -> Server {
    Server::start(move |line, _| answer(line, image)).await
}

fn answer(line: &str, image: &str) -> Reply {
    if line.contains("health") {
        return health();
    }
    if line.contains("events") {
        return Reply::Say(204, String::new());
    }
    json(&format!(
        r#"{{"answer": {{"verdict": "allow"}}, "handler": "script", "images": {{"images": [
            {{"id": "{image}", "title": "I", "assignment": "a1", "kind": "chain", "source": {{"file": "x"}}}},
            {{"id": "disk", "title": "D", "kind": "local"}}],
            "menu": {{"title": "M", "default": "disk", "timeout_s": 5}}}}}}"#
    ))
}

fn silent() -> impl Fn(&str, usize) -> Reply + Send + Sync {
    |_: &str, _: usize| Reply::Nothing
}

fn failing() -> impl Fn(&str, usize) -> Reply + Send + Sync {
    |_: &str, _: usize| Reply::Say(500, String::new())
}

/// What was given, and why.
fn explained<T: std::fmt::Debug>(answer: Answer<T>) -> (Option<T>, String) {
    match answer {
        Answer::Explained { given, why, .. } => (given, why),
        Answer::Pass => (None, String::new()),
        other => panic!("{other:?}"),
    }
}

fn ids(images: &BootImages) -> Vec<&str> {
    images.images().iter().map(|image| image.id.as_str()).collect()
}

fn notice(images: &BootImages) -> String {
    images.notice().iter().map(|line| format!("{line}\n")).collect()
}

fn named(upstream: &str, style: Option<&str>) -> BootRequest {
    let mut record: Record = [("upstream", upstream)].into_iter().collect();
    if let Some(style) = style {
        record.insert("upstream_style", style);
    }
    BootRequest { record: Some(Arc::new(record)), ..request(1) }
}

#[tokio::test]
async fn the_first_that_answers_decides_and_keeps_the_boot() {
    let (one, two) = (Server::start(failing()).await, allowing("two").await);
    let made = made(&[&one, &two], "", "");
    let (given, why) = explained(made.handler.allow_boot(&request(1)).await.unwrap());
    assert_eq!(given, Some(Verdict::allow()));
    assert!(why.starts_with("by upstream second: script in "), "{why}");
    one.becomes(|line, _| answer(line, "one"));
    let (images, _) = explained(made.handler.boot_images(&request(1)).await.unwrap());
    assert_eq!(ids(&images.unwrap()), ["two", "disk"], "this boot stays where it was decided");
    let (images, why) = explained(made.handler.boot_images(&request(2)).await.unwrap());
    let images = images.unwrap();
    assert_eq!(ids(&images), ["one", "disk"], "another boot begins at the first: {why}");
    assert_eq!(images.assignments().collect::<Vec<_>>(), ["referral~main~a1"]);
}

#[tokio::test]
async fn while_firmware_waits_the_second_is_asked_beside_one_that_is_silent() {
    let (one, two) = (Server::start(silent()).await, allowing("two").await);
    let made = made(&[&one, &two], "", "");
    let asked = BootRequest { stage: Stage::Discover, ..request(1) };
    let begun = std::time::Instant::now();
    let (given, why) = explained(made.handler.allow_boot(&asked).await.unwrap());
    assert_eq!(given, Some(Verdict::allow()), "{why}");
    assert!(begun.elapsed() >= Duration::from_millis(200), "the first one has its share: {:?}", begun.elapsed());
    assert_eq!(one.requests().len(), 1);
}

#[tokio::test]
async fn a_denial_and_no_opinion_are_answers() {
    let two = allowing("two").await;
    for (reply, verdict) in
        [(r#"{"answer": {"verdict": "deny", "reason": "stolen"}}"#, Some(Verdict::deny("stolen"))), ("{}", None)]
    {
        let one = Server::start(move |_, _| json(reply)).await;
        let made = made(&[&one, &two], "", "");
        let (given, why) = explained(made.handler.allow_boot(&request(1)).await.unwrap());
        assert_eq!((given, why.contains("no opinion")), (verdict.clone(), verdict.is_none()));
        let (images, _) = explained(made.handler.boot_images(&request(1)).await.unwrap());
        assert_eq!(
            images.as_ref().map(|images| (ids(images), notice(images))),
            verdict.map(|_| (vec![], "stolen\n".into()))
        );
    }
    assert!(two.requests().is_empty(), "nobody else is asked");
}

#[tokio::test]
async fn a_script_names_the_upstream_and_the_style() {
    let (one, two) = (allowing("one").await, allowing("two").await);
    let made = made(&[&one, &two], "machines = \"named\"", "script = \"http://up/boot.ipxe\"");
    assert_eq!(made.handler.allow_boot(&request(1)).await, Ok(Answer::Pass));
    let (given, why) = explained(made.handler.allow_boot(&named("second", None)).await.unwrap());
    assert!(given == Some(Verdict::allow()) && why.contains("second"), "{why}");
    // At the second question it need not be said again.
    let (images, _) = explained(made.handler.boot_images(&request(1)).await.unwrap());
    assert_eq!(ids(&images.unwrap()), ["two", "disk"]);
    assert_eq!(made.handler.boot_images(&request(2)).await, Ok(Answer::Pass));
    let (given, why) = explained(made.handler.allow_boot(&named("main", Some("redirect"))).await.unwrap());
    assert!(matches!(given, Some(Verdict::Refer(_))) && why == "handed over to upstream main", "{why}");
    let (images, _) = explained(made.handler.boot_images(&named("main", Some("redirect"))).await.unwrap());
    assert!(matches!(images.unwrap().images()[0].kind, ImageKind::Referral { .. }));
    assert!(one.requests().is_empty());
    let error = made.handler.allow_boot(&named("secnd", None)).await.unwrap_err().to_string();
    assert!(error.contains("no [upstream.secnd]") && error.contains("did you mean `second`?"), "{error}");
    let error = made.handler.allow_boot(&named("zzz", None)).await.unwrap_err().to_string();
    assert!(error.contains("there are main, second"), "{error}");
    let error = made.handler.allow_boot(&named("main", Some("push"))).await.unwrap_err().to_string();
    assert!(error.contains("use `ask` or `redirect`"), "{error}");
}

#[tokio::test]
async fn without_an_answer_each_on_error_does_what_it_says() {
    let server = Server::start(failing()).await;
    let check = async |on_error: &str, verdict: Option<&str>, images: Option<&[&str]>, screen: &str| {
        let made = made(&[&server], &format!("on_error = \"{on_error}\"\nretry_wait = \"9s\""), "");
        let given = made.handler.allow_boot(&request(1)).await;
        let word = given.as_ref().ok().and_then(|answer| explained(answer.clone()).0).map(|verdict| verdict.name());
        assert_eq!(word, verdict, "{on_error}: {given:?}");
        assert_eq!(given.is_err(), on_error == "last_known");
        let (given, why) = explained(made.handler.boot_images(&request(1)).await.unwrap());
        assert!(why.contains("upstream `main` failed (HTTP 500)"), "{why}");
        assert_eq!(given.as_ref().map(ids).as_deref(), images, "{on_error}");
        let shown = given.as_ref().map(notice).unwrap_or_default();
        assert!(shown.contains(screen), "{on_error}: {shown}");
        assert!(given.is_none() || shown.contains("The boot server main does not answer"), "{shown}");
    };
    check("next", None, None, "").await;
    check("local", Some("allow"), Some(&[]), "from its own disk").await;
    check("retry", Some("allow"), Some(&["retry"]), "asked again in 9 s").await;
    check("last_known", None, Some(&[]), "Nothing is known of earlier decisions").await;
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn offered(images: &BootImages) -> BootEvent {
    BootEvent::Offered {
        images: images.images().iter().map(|image| image.id.clone()).collect(),
        assignments: images.assignments().map(str::to_owned).collect(),
    }
}

#[tokio::test]
async fn what_was_handed_out_is_known_later_but_nothing_that_is_done_once() {
    let server = allowing("install").await;
    let made = made(&[&server], "last_known_for = \"30d\"", "");
    let handler = &made.handler;
    let (images, _) = explained(handler.boot_images(&request(1)).await.unwrap());
    let images = images.unwrap();
    handler.boot_event(&request(1), &offered(&images)).await.unwrap();
    assert!(handler.memory.images(&request(1)).await.is_none(), "in a dry run nothing is kept");
    made.upstreams.watch();
    let (images, _) = explained(handler.boot_images(&request(1)).await.unwrap());
    assert!(handler.memory.images(&request(1)).await.is_none(), "a question keeps nothing");
    handler.boot_event(&request(1), &offered(&images.unwrap())).await.unwrap();
    until("kept", async || handler.memory.verdict(&request(1)).await.is_some()).await;
    until("kept", async || handler.memory.images(&request(1)).await.is_some()).await;
    server.becomes(failing());
    let later = |days: i64| {
        let now = Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        BootRequest { now, session: crate::boot::SessionId([9; 6]), ..request(1) }
    };
    let (verdict, why) = explained(handler.allow_boot(&later(3)).await.unwrap());
    assert!(
        verdict == Some(Verdict::allow()) && why.contains("last known, decided 3 days ago by upstream main"),
        "{why}"
    );
    let (images, why) = explained(handler.boot_images(&later(3)).await.unwrap());
    let images = images.unwrap();
    assert!(why.starts_with("last known, decided 3 days ago"), "{why}");
    assert_eq!((ids(&images), images.assignments().count()), (vec!["disk"], 0));
    let screen = notice(&images);
    assert!(screen.contains("3 days ago; what is to be installed waits"), "{screen}");
    assert!(handler.allow_boot(&later(31)).await.is_err());
    let (images, _) = explained(handler.boot_images(&later(31)).await.unwrap());
    assert!(notice(&images.unwrap()).contains("is 31 days old"));
    assert!(handler.allow_boot(&BootRequest { now: later(3).now, ..request(2) }).await.is_err(), "another machine");
}

#[tokio::test]
async fn a_refusal_is_kept_when_it_is_given_and_outlives_the_upstream() {
    let server = Server::start(|line, _| match line.contains("health") {
        true => health(),
        false => json(r#"{"answer": {"verdict": "deny", "reason": "stolen"}}"#),
    })
    .await;
    let made = made(&[&server], "on_error = \"local\"", "");
    made.upstreams.watch();
    let _ = made.handler.allow_boot(&request(1)).await.unwrap();
    until("kept", async || made.handler.memory.verdict(&request(1)).await.is_some()).await;
    server.becomes(failing());
    let (verdict, _) = explained(made.handler.allow_boot(&request(1)).await.unwrap());
    assert_eq!(verdict, Some(Verdict::deny("stolen")));
    let (verdict, _) = explained(made.handler.allow_boot(&request(2)).await.unwrap());
    assert_eq!(verdict, Some(Verdict::allow()), "another machine starts from its disk, and its screen says why");
}

/// The events that a server was told, as JSON.
fn told(server: &Server) -> Vec<serde_json::Value> {
    let body = |text: &String| serde_json::from_str::<serde_json::Value>(text.split_once("\r\n\r\n")?.1).ok();
    let events = server.requests();
    events
        .iter()
        .filter(|text| text.contains("/events"))
        .filter_map(body)
        .map(|report| report["event"].clone())
        .collect()
}

#[tokio::test]
async fn events_find_the_upstream_and_are_told_in_its_own_words() {
    let (one, two) = (allowing("one").await, allowing("two").await);
    let made = made(&[&one, &two], "", "");
    let (handler, asked) = (&made.handler, named("second", None));
    let (images, _) = explained(handler.boot_images(&asked).await.unwrap());
    handler.boot_event(&request(1), &offered(&images.unwrap())).await.unwrap();
    let started = |assignment: &str| BootEvent::Started { image: "two".into(), assignment: assignment.into() };
    handler.boot_event(&request(1), &started("referral~second~a1")).await.unwrap();
    // Those of other handlers, and of the store.
    handler.boot_event(&request(1), &started("sql~a1")).await.unwrap();
    handler.boot_event(&request(1), &started("a1")).await.unwrap();
    handler.boot_event(&request(1), &BootEvent::Done).await.unwrap();
    let file = "@second/d/linux".to_owned();
    handler.boot_noticed(
        &request(1),
        &BootEvent::FileSent { file, octets: 5, elapsed: Duration::ZERO, by: crate::decision::Carrier::Elsewhere },
    );
    until("told", async || told(&two).len() == 4).await;
    let expect = serde_json::json!([
        {"kind": "offered", "images": ["two", "disk"], "assignments": ["a1"]},
        {"kind": "started", "image": "two", "assignment": "a1"},
        {"kind": "done"},
        {"kind": "sent", "file": "d/linux", "octets": 5, "elapsed_ms": 0},
    ]);
    assert_eq!(serde_json::Value::Array(told(&two)), expect);
    assert!(told(&one).is_empty());
    let error = handler.boot_event(&request(1), &started("referral~gone~a1")).await.unwrap_err();
    assert!(error.message.contains("no [upstream.gone]"), "{error}");
}

#[tokio::test]
async fn who_cannot_be_told_lets_nothing_begin() {
    let server = allowing("one").await;
    let made = made(&[&server], "", "");
    let event = BootEvent::Started { image: "one".into(), assignment: "referral~main~a1".into() };
    server.becomes(|_, _| Reply::Say(409, r#"{"problem": "it is spent"}"#.into()));
    let error = made.handler.boot_event(&request(1), &event).await.unwrap_err();
    assert!(error.is_refusal && error.message == "it is spent", "{error}");
    server.becomes(failing());
    let error = made.handler.boot_event(&request(1), &event).await.unwrap_err();
    assert!(!error.is_refusal, "{error}");
    let error = made.handler.boot_event(&request(1), &BootEvent::Done).await.unwrap_err();
    assert!(!error.is_refusal, "the installer says it again: {error}");
}

#[tokio::test]
async fn the_end_of_a_boot_that_began_elsewhere_is_told_to_all_and_of_a_local_one_to_nobody() {
    let (one, two) = (allowing("one").await, allowing("two").await);
    let made = made(&[&one, &two], "", "");
    let sent = BootEvent::FileSent {
        file: "snponly.efi".into(),
        octets: 5,
        elapsed: Duration::ZERO,
        by: crate::decision::Carrier::Elsewhere,
    };
    made.handler.boot_noticed(&request(7), &sent);
    made.handler.boot_event(&request(7), &BootEvent::Done).await.unwrap();
    one.becomes({
        let begun = std::time::Instant::now();
        move |line, _| if begun.elapsed() < Duration::from_secs(1) { Reply::Close } else { answer(line, "one") }
    });
    made.handler.boot_event(&request(8), &BootEvent::Done).await.unwrap();
    until("the one that was away is told again", async || told(&one).len() >= 2 && told(&two).len() == 1).await;
    let asked: crate::api::Report = serde_json::from_str(two.requests()[0].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(asked.about.session, request(8).session);
}
