//! The engine with handlers of every temper, in simulated time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::boot::{Architecture, BootDecision, BootImage, BootImages, BootRequest, Client, ImageKind, Line};
use crate::boot::{Machine, Network, Outcome, Record, Stage, Verdict};

mod referral;

use super::{
    Answer, BootEvent, DecisionEngine, Fallback, HandlerError, Observer, OnError, Policy, Question, RequestHandler,
    Session, Sessions, TimeLimits, TokenKey, World,
};

/// What a fake handler does when asked.
#[derive(Clone)]
enum Temper {
    Allows,
    Denies(&'static str),
    Silent,
    Broken,
    Panics,
    Slow(Duration),
    Endless,
}

struct Fake {
    name: &'static str,
    temper: Temper,
    asked: AtomicUsize,
}

impl Fake {
    fn new(name: &'static str, temper: Temper) -> Arc<Fake> {
        Arc::new(Fake { name, temper, asked: AtomicUsize::new(0) })
    }

    async fn act<T>(&self, given: T) -> Result<Answer<T>, HandlerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.temper {
            Temper::Silent => return Ok(Answer::Pass),
            Temper::Broken => return Err(HandlerError::new("the database is gone")),
            #[expect(clippy::panic, reason = "this is what the test is about")]
            Temper::Panics => panic!("a defect in a handler"),
            Temper::Slow(time) => tokio::time::sleep(time).await,
            Temper::Endless => std::future::pending().await,
            Temper::Allows | Temper::Denies(_) => {}
        }
        Ok(Answer::Given(given))
    }
}

#[async_trait]
impl RequestHandler for Fake {
    fn name(&self) -> &str {
        self.name
    }

    async fn allow_boot(&self, _: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        match self.temper {
            Temper::Denies(reason) => self.act(Verdict::deny(reason)).await,
            _ => self.act(Verdict::allow()).await,
        }
    }

    async fn boot_images(&self, request: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        let id = request.machine.get("serial").unwrap_or("none").to_owned();
        let image = BootImage {
            id,
            title: Line::clean(self.name),
            assignment: None,
            verify: None,
            choice: Default::default(),
            kind: ImageKind::LOCAL,
        };
        self.act(BootImages::new(vec![image], None).map_err(|error| HandlerError::new(error.to_string()))?).await
    }
}

fn engine(handlers: &[&Arc<Fake>], policy: Policy) -> DecisionEngine {
    let handlers = handlers.iter().map(|fake| Arc::clone(fake) as Arc<dyn RequestHandler>).collect();
    DecisionEngine::new(
        World { handlers, policy, site: "".into(), keys: Default::default(), quirks: Default::default() },
        Sessions::new(TokenKey::new(&[1; 32]), 1000),
    )
}

fn session(engine: &DecisionEngine, last: u8) -> Arc<Session> {
    let client = Client::new([2, 0, 0, 0, 0, last].into(), Architecture::X64_UEFI);
    engine.session_for(&client, 1, Stage::Discover, Timestamp::now())
}

async fn verdict(engine: &DecisionEngine, session: &Arc<Session>) -> Verdict {
    engine.allow_boot(session, Stage::Discover, Network::default(), Timestamp::now()).await.verdict.clone()
}

async fn images(engine: &DecisionEngine, session: &Arc<Session>, serial: &str) -> Vec<String> {
    let mut machine = Machine::default();
    machine.insert("serial", serial);
    let decision = engine.boot_images(session, Network::default(), machine, Timestamp::now()).await;
    let images = decision.images.clone().unwrap_or_default();
    images.images().iter().map(|image| image.id.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_handler_with_an_opinion_decides() {
    let (silent, denies, allows) = (
        Fake::new("silent", Temper::Silent),
        Fake::new("denies", Temper::Denies("not today")),
        Fake::new("allows", Temper::Allows),
    );
    let engine = engine(&[&silent, &denies, &allows], Policy::default());
    let decision = engine.allow_boot(&session(&engine, 1), Stage::Discover, Network::default(), Timestamp::now()).await;
    assert_eq!(decision.verdict, Verdict::deny("not today"));
    assert_eq!(decision.handler, "denies");
    let trail: Vec<_> = decision.trail.iter().map(|step| (step.handler.as_str(), step.outcome)).collect();
    assert_eq!(trail, [("silent", Outcome::Passed), ("denies", Outcome::Given)]);
    assert_eq!(allows.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_knows_the_machine() {
    for (unknown, expect) in [(Fallback::Ignore, "ignore"), (Fallback::Deny, "deny"), (Fallback::Allow, "allow")] {
        let engine = engine(&[&Fake::new("silent", Temper::Silent)], Policy { unknown, ..Policy::default() });
        assert_eq!(verdict(&engine, &session(&engine, 1)).await.name(), expect);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_closed_unless_the_policy_says_otherwise() {
    let allows = Fake::new("allows", Temper::Allows);
    for temper in [Temper::Broken, Temper::Panics] {
        for (on_error, expect) in
            [(OnError::Deny, "deny"), (OnError::Ignore, "ignore"), (OnError::Allow, "allow"), (OnError::Next, "allow")]
        {
            let broken = Fake::new("broken", temper.clone());
            let engine = engine(&[&broken, &allows], Policy { on_error, ..Policy::default() });
            let session = session(&engine, 1);
            let decision = engine.allow_boot(&session, Stage::Discover, Network::default(), Timestamp::now()).await;
            assert_eq!(decision.verdict.name(), expect, "{on_error:?}");
            assert_eq!(decision.trail[0].outcome, Outcome::Failed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_questions_of_one_boot_agree_and_ask_once() {
    let allows = Fake::new("allows", Temper::Allows);
    let engine = engine(&[&allows], Policy::default());
    let session = session(&engine, 1);
    for stage in Stage::ALL {
        let decision = engine.allow_boot(&session, stage, Network::default(), Timestamp::now()).await;
        assert!(decision.verdict.allows());
    }
    assert_eq!(allows.asked.load(Ordering::SeqCst), 1);
    assert_eq!(images(&engine, &session, "A1").await, ["A1"]);
    assert_eq!(images(&engine, &session, "A1").await, ["A1"]);
    assert_eq!(allows.asked.load(Ordering::SeqCst), 2, "the same facts are one question");
    assert_eq!(images(&engine, &session, "B2").await, ["B2"], "other facts are another");
}

#[tokio::test(start_paused = true)]
async fn repeats_share_one_evaluation() {
    let slow = Fake::new("slow", Temper::Slow(Duration::from_millis(200)));
    let engine = Arc::new(engine(&[&slow], Policy::default()));
    let session = session(&engine, 1);
    let asks = (0..50).map(|_| verdict(&engine, &session));
    let verdicts = futures_util::future::join_all(asks).await;
    assert!(verdicts.iter().all(Verdict::allows));
    assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_ready_for_the_next_packet() {
    let slow = Fake::new("slow", Temper::Slow(Duration::from_secs(3)));
    let engine = engine(&[&slow], Policy::default());
    let session = session(&engine, 1);
    assert_eq!(verdict(&engine, &session).await.name(), "ignore", "on_timeout stands in after 500 ms");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(verdict(&engine, &session).await.allows());
    assert_eq!(slow.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endless_handler_delays_nobody_else_and_ends() {
    let endless = Fake::new("endless", Temper::Endless);
    let limits = TimeLimits { work: Duration::from_secs(5), ..TimeLimits::default() };
    let engine = engine(&[&endless], Policy { limits, on_timeout: Fallback::Deny, ..Policy::default() });
    let (one, other) = (session(&engine, 1), session(&engine, 2));
    let started = tokio::time::Instant::now();
    let (first, second) = tokio::join!(verdict(&engine, &one), verdict(&engine, &other));
    assert_eq!((first.name(), second.name()), ("deny", "deny"));
    assert_eq!(started.elapsed(), Duration::from_millis(500));
    tokio::time::timeout(Duration::from_secs(6), engine.drain()).await.expect("work ends at its limit");
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_asked_anew_after_a_while_and_after_a_reload() {
    let denies = Fake::new("denies", Temper::Denies("no"));
    let engine = engine(&[&denies], Policy::default());
    let session = session(&engine, 1);
    verdict(&engine, &session).await;
    verdict(&engine, &session).await;
    assert_eq!(denies.asked.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_secs(61)).await;
    verdict(&engine, &session).await;
    assert_eq!(denies.asked.load(Ordering::SeqCst), 2);
    let allows = Fake::new("allows", Temper::Allows);
    engine.replace(World {
        handlers: vec![allows],
        policy: Policy::default(),
        site: "".into(),
        keys: Default::default(),
        quirks: Default::default(),
    });
    assert!(verdict(&engine, &session).await.allows());
}

#[tokio::test(start_paused = true)]
async fn a_denied_machine_gets_no_images() {
    let denies = Fake::new("denies", Temper::Denies("no"));
    let engine = engine(&[&denies], Policy::default());
    let session = session(&engine, 1);
    let decision = engine.boot_images(&session, Network::default(), Machine::default(), Timestamp::now()).await;
    assert_eq!((decision.verdict.name(), decision.images.is_none()), ("deny", true));
    assert_eq!(denies.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_allowed_machine_without_images_boots_its_disk() {
    struct OnlyAllows;
    #[async_trait]
    impl RequestHandler for OnlyAllows {
        fn name(&self) -> &str {
            "only-allows"
        }
        async fn allow_boot(&self, _: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
            Ok(Answer::Given(Verdict::allow()))
        }
        async fn boot_images(&self, _: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
            Ok(Answer::Pass)
        }
    }
    let world = World {
        handlers: vec![Arc::new(OnlyAllows)],
        policy: Policy::default(),
        site: "".into(),
        keys: Default::default(),
        quirks: Default::default(),
    };
    let engine = DecisionEngine::new(world, Sessions::new(TokenKey::new(&[1; 32]), 10));
    let session = session(&engine, 1);
    let decision = engine.boot_images(&session, Network::default(), Machine::default(), Timestamp::now()).await;
    assert_eq!(decision.images, Some(BootImages::none()));
}

/// Allows machines that no relay agent speaks for.
struct ByRelay;

#[async_trait]
impl RequestHandler for ByRelay {
    fn name(&self) -> &str {
        "by-relay"
    }
    async fn allow_boot(&self, request: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        let denied = request.network.relay.is_some();
        Ok(Answer::Given(if denied { Verdict::deny("that switch port") } else { Verdict::allow() }))
    }
    async fn boot_images(&self, _: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        Ok(Answer::Pass)
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_denied_for_its_place_stays_denied_on_protocols_that_do_not_know_it() {
    let world = World {
        handlers: vec![Arc::new(ByRelay)],
        policy: Policy::default(),
        site: "".into(),
        keys: Default::default(),
        quirks: Default::default(),
    };
    let engine = DecisionEngine::new(world, Sessions::new(TokenKey::new(&[1; 32]), 10));
    let session = session(&engine, 1);
    let relay = crate::boot::Relay {
        giaddr: [10, 7, 0, 1].into(),
        circuit_id: vec![4],
        remote_id: Vec::new(),
        link_selection: None,
    };
    let relayed = Network { relay: Some(relay), ..Network::default() };
    let now = Timestamp::now();
    assert_eq!(engine.allow_boot(&session, Stage::Discover, relayed, now).await.verdict.name(), "deny");
    tokio::time::sleep(Duration::from_secs(61)).await;
    let by_http = engine.allow_boot(&session, Stage::Http, Network::default(), now).await;
    assert_eq!(by_http.verdict, Verdict::deny("that switch port"));
}

#[tokio::test(start_paused = true)]
async fn a_session_taken_up_by_its_token_keeps_the_verdict_until_the_rules_change() {
    let now = Timestamp::now();
    for is_allowed in [true, false] {
        let before = engine(&[&Fake::new("before", Temper::Allows)], Policy::default());
        let token = before.sessions().token(&session(&before, 1), is_allowed, now);
        let (denies, allows) = (Fake::new("denies", Temper::Denies("new rule")), Fake::new("allows", Temper::Allows));
        let after = engine(&[&allows], Policy::default());
        let resumed = after.resume(&token, now).unwrap();
        assert_eq!(verdict(&after, &resumed).await.allows(), is_allowed);
        assert_eq!(allows.asked.load(Ordering::SeqCst), 0, "its facts are not known any more");
        after.replace(World {
            handlers: vec![denies],
            policy: Policy::default(),
            site: "".into(),
            keys: Default::default(),
            quirks: Default::default(),
        });
        assert_eq!(verdict(&after, &resumed).await, Verdict::deny("new rule"));
    }
}

fn row(id: &str) -> Record {
    [("machine_id", id)].into_iter().collect()
}

/// Keeps what is known of the machines of decisions.
#[derive(Default)]
struct Known(Mutex<Vec<Option<String>>>);

impl Observer for Known {
    fn decided(&self, _: Question, request: &BootRequest, _: &BootDecision) {
        let known = request.record.as_ref().and_then(|record| record.text("machine_id"));
        self.0.lock().unwrap().push(known);
    }
    fn happened(&self, _: &BootRequest, _: &BootEvent) {}
}

/// Says how it came about.
struct Explains;

#[async_trait]
impl RequestHandler for Explains {
    fn name(&self) -> &str {
        "explains"
    }
    async fn allow_boot(&self, _: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        Ok(Answer::Explained {
            given: Some(Verdict::allow()),
            why: "lab-07 by uuid".into(),
            known: Some(row("lab-07")),
            account: None,
        })
    }
    async fn boot_images(&self, _: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        Ok(Answer::Explained { given: None, why: "nothing for lab-07".into(), known: None, account: None })
    }
}

#[tokio::test(start_paused = true)]
async fn the_trail_tells_how_an_answer_came_about() {
    let world = World {
        handlers: vec![Arc::new(Explains)],
        policy: Policy::default(),
        site: "".into(),
        keys: Default::default(),
        quirks: Default::default(),
    };
    let known = Arc::new(Known::default());
    let engine =
        DecisionEngine::new(world, Sessions::new(TokenKey::new(&[1; 32]), 10)).observed(Arc::clone(&known) as _);
    let (session, now) = (session(&engine, 1), Timestamp::now());
    let allowed = engine.allow_boot(&session, Stage::Discover, Network::default(), now).await;
    assert_eq!((allowed.verdict.name(), allowed.trail[0].detail.as_str()), ("allow", "allow (lab-07 by uuid)"));
    let images = engine.boot_images(&session, Network::default(), Machine::default(), now).await;
    let step = &images.trail[0];
    assert_eq!((step.outcome, step.detail.as_str()), (Outcome::Passed, "nothing for lab-07"));
    assert_eq!(*known.0.lock().unwrap(), [Some("lab-07".to_owned()), None]);
}
