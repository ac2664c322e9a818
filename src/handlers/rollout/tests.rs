//! Candidates beside live scripts: who answers, and what is told.

use std::sync::Mutex;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::boot::{Architecture, Client, SessionId, Stage};
use crate::config::HandlerSection;
use crate::database::Databases;
use crate::decision::Question;
use crate::handlers::{Built, Purpose, build};
use crate::upstream::Upstreams;

const LIVE: &str = "fn allow_boot(request) { if request.mac.ends_with(\"01\") { deny(\"no\") } else { allow() } }\n\
                    fn boot_images(request) { local_disk() }\n";

/// A site with these scripts, live and candidate, and these keys of the handler.
fn site(live: &str, candidate: &str, keys: &str) -> (TempDir, Config, Built) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("scripts", live), ("scripts.next", candidate)] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("site.rhai"), text).unwrap();
    }
    let text = format!(
        "[[handler]]\nkind = \"script\"\nallow_boot = \"scripts/site.rhai\"\nboot_images = \"scripts/site.rhai\"\n{keys}\n"
    );
    let config = Config::parse(&folder.path().join("pointsman.toml"), &text).unwrap();
    let built = built(&config);
    (folder, config, built)
}

fn built(config: &Config) -> Built {
    let databases = Databases::open(config, None).unwrap();
    let upstreams = Upstreams::open(config, None).unwrap();
    build(config, &databases, &upstreams, Purpose::Serve).unwrap_or_else(|problems| panic!("{problems}")).remove(0)
}

fn begin(config: &Config, built: &Built, before: Option<&Rollouts>) -> Rollouts {
    Rollouts::begin([("script", built.candidate.as_ref())].into_iter(), before, &config.server.state)
}

fn request(last: u8) -> BootRequest {
    BootRequest::new(
        SessionId([0, 0, 0, 0, 0, last]),
        Stage::Discover,
        Client::new([0x52, 0x54, 0, 0, 0, last].into(), Architecture::X64_UEFI),
        Timestamp::UNIX_EPOCH,
    )
}

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn decided(&self, _: Question, _: &BootRequest, _: &crate::boot::BootDecision) {}
    fn happened(&self, _: &BootRequest, _: &BootEvent) {}
    fn compared(&self, question: Question, request: &BootRequest, would: &str) {
        self.0.lock().unwrap().push(format!("{} {}: {would}", request.client.hardware, question.name()));
    }
}

fn count(rollouts: &Rollouts, outcome: &str) -> u64 {
    rollouts.counts().iter().find(|(_, name, _)| *name == outcome).map_or(0, |(_, _, count)| *count)
}

async fn settled(rollouts: &Rollouts, questions: u64) {
    let since = std::time::Instant::now();
    while ["same", "different", "failed", "dropped"].iter().map(|name| count(rollouts, name)).sum::<u64>() < questions {
        assert!(since.elapsed() < Duration::from_secs(30), "{:?}", rollouts.counts());
        tokio::task::yield_now().await;
    }
}

fn verdict(answer: &Result<Answer<Verdict>, HandlerError>) -> (&'static str, String) {
    match answer {
        Ok(Answer::Explained { given: Some(verdict), why, .. }) => (verdict.name(), why.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_shadow_answers_nobody_and_tells_what_it_would_say() {
    let (_folder, config, built) = site(LIVE, "fn allow_boot(request) { deny(\"closed\") }", "");
    let rollouts = begin(&config, &built, None);
    let told = Arc::new(Told::default());
    rollouts.tell(Arc::clone(&told) as _);
    for last in [1, 2, 3, 2] {
        let answer = built.handler.allow_boot(&request(last)).await;
        assert_eq!(verdict(&answer).0, if last == 1 { "deny" } else { "allow" });
    }
    built.handler.boot_images(&request(1)).await.unwrap();
    settled(&rollouts, 5).await;
    assert_eq!((count(&rollouts, "different"), count(&rollouts, "same")), (5, 0), "the reason differs as well");
    let mut told = told.0.lock().unwrap().clone();
    told.sort();
    assert_eq!(told.len(), 5, "each is in the history of its boot");
    assert!(told[0].contains("52:54:00:00:00:01 allow_boot: would deny: closed"), "{told:?}");
    assert!(told[0].contains("reason: \"no\" -> \"closed\""), "{told:?}");
    assert!(told[1].contains("boot_images: would have no opinion"), "{told:?}");
}

#[tokio::test]
async fn the_same_answers_are_counted_and_a_failure_is_one() {
    let (_folder, config, built) =
        site(LIVE, &LIVE.replace("local_disk()", "if true { throw \"oh\" } local_disk()"), "");
    let rollouts = begin(&config, &built, None);
    built.handler.allow_boot(&request(1)).await.unwrap();
    built.handler.boot_images(&request(1)).await.unwrap();
    settled(&rollouts, 2).await;
    assert_eq!((count(&rollouts, "same"), count(&rollouts, "failed")), (1, 1));
    rollouts.save();
    let kept = Progress::read(&Progress::file(&config.server.state, "script")).unwrap();
    assert_eq!((kept.same, kept.failed, kept.examples.len()), (1, 1, 1));
    assert!(
        kept.examples[0].words.contains("would fail: ") && kept.examples[0].words.contains("site.rhai:2"),
        "{kept:?}"
    );
}

#[tokio::test]
async fn a_canary_answers_its_machines_and_the_live_scripts_the_others() {
    let candidate = "fn allow_boot(request) { if request.mac.ends_with(\"03\") { throw \"oh\" } deny(\"new\") }";
    let keys = "shadow = false\ncanary_machines = [\"52:54:00:00:00:02\", \"52:54:00:00:00:03\"]";
    let (_folder, config, built) = site(LIVE, candidate, keys);
    let rollouts = begin(&config, &built, None);
    let (one, two) = (built.handler.allow_boot(&request(4)).await, built.handler.allow_boot(&request(2)).await);
    assert_eq!((verdict(&one), verdict(&two)), (("allow", String::new()), ("deny", "canary".into())));
    let revision = |answer: &_| script::account(answer).unwrap().scripts.clone();
    assert_ne!(revision(&one), revision(&two), "the trail says whose answer it is");
    let three = built.handler.allow_boot(&request(3)).await;
    let (name, why) = verdict(&three);
    assert!(name == "allow" && why.starts_with("the canary failed, the live scripts answered: "), "{why}");
    assert!(why.contains("site.rhai:1"), "{why}");
    assert_eq!((count(&rollouts, "canary"), count(&rollouts, "canary_failed")), (1, 1));
    assert_eq!((count(&rollouts, "same"), count(&rollouts, "different")), (0, 0));
}

#[tokio::test]
async fn a_canary_that_is_slow_does_not_keep_a_machine_waiting() {
    let slow = "fn allow_boot(request) { loop {} }";
    let keys = "allow_boot_limit = \"200ms\"\ncanary_percent = 100\n[decision]\nallow_boot_limit = \"60ms\"";
    let (_folder, _config, built) = site(LIVE, slow, keys);
    let answer = built.handler.allow_boot(&request(2)).await;
    let (name, why) = verdict(&answer);
    assert!(name == "allow" && why.contains("no answer within 30 ms"), "{why}");
}

#[test]
fn a_candidate_that_does_not_load_or_whose_cases_fail_answers_nobody() {
    let (_folder, _, broken) = site(LIVE, "fn allow_boot(request { }", "canary_percent = 100");
    let errors = broken.candidate.unwrap().state.err().unwrap();
    assert!(errors.len() == 1 && errors[0].contains("scripts.next/site.rhai:1:"), "{errors:?}");

    let (folder, config, _) = site(LIVE, "fn allow_boot(request) { deny(\"new\") }", "canary_percent = 100");
    let case = "[[case]]\nname = \"a\"\nquestion = \"allow_boot\"\nexpect = \"allow\"\n";
    std::fs::write(folder.path().join("scripts.next/site.cases.toml"), case).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for purpose in [Purpose::Serve, Purpose::DryRun] {
        let (databases, upstreams) = (Databases::open(&config, None).unwrap(), Upstreams::open(&config, None).unwrap());
        let built = build(&config, &databases, &upstreams, purpose).unwrap().remove(0);
        assert_eq!(built.candidate.unwrap().state.ok().unwrap().failures.len(), 1);
        assert_eq!(verdict(&runtime.block_on(built.handler.allow_boot(&request(2)))).0, "allow", "{purpose:?}");
    }
}

#[tokio::test]
async fn what_was_counted_goes_on_through_a_reload() {
    let (folder, config, one) = site(LIVE, LIVE, "");
    let before = begin(&config, &one, None);
    let told = Arc::new(Told::default());
    before.tell(Arc::clone(&told) as _);
    one.handler.allow_boot(&request(1)).await.unwrap();
    settled(&before, 1).await;
    let again = built(&config);
    let after = begin(&config, &again, Some(&before));
    again.handler.allow_boot(&request(1)).await.unwrap();
    settled(&after, 2).await;
    assert_eq!(count(&after, "same"), 2);
    std::fs::write(folder.path().join("scripts.next/site.rhai"), "fn allow_boot(request) { ignore(\"x\") }").unwrap();
    let changed = built(&config);
    let after = begin(&config, &changed, Some(&after));
    changed.handler.allow_boot(&request(1)).await.unwrap();
    settled(&after, 3).await;
    assert_eq!((count(&after, "same"), count(&after, "different")), (2, 1));
    assert_eq!(told.0.lock().unwrap().len(), 1);
    after.save();
    let kept = Progress::read(&Progress::file(&config.server.state, "script")).unwrap();
    assert_eq!((kept.same, kept.different), (0, 1), "a new candidate begins at nothing");
    let HandlerSection::Script(section) = &config.handlers[0] else { panic!("{:?}", config.handlers) };
    std::fs::remove_dir_all(&section.candidate).unwrap();
    let without = built(&config);
    assert!(without.candidate.is_none());
    assert_eq!(count(&begin(&config, &without, Some(&after)), "different"), 1, "a counter does not go back");
}

#[tokio::test]
async fn where_nobody_is_served_nothing_is_compared() {
    let (_folder, config, built) = site(LIVE, "fn allow_boot(request) { deny(\"closed\") }", "");
    built.handler.allow_boot(&request(2)).await.unwrap();
    assert!(!Progress::file(&config.server.state, "script").exists());
}
