//! The engine: asks the handlers, and answers whatever they do.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::boot::{BootDecision, BootImages, BootRequest, Client, Machine, Network, Outcome, Stage, Step, Verdict};

use super::flight::{Decided, Flight, FlightKey};
use super::log::{DecisionLog, image_ids};
use super::{Answer, HandlerError, Policy, RequestHandler, Session, Sessions, TokenError};

/// What decides: the handlers in the order they are asked, and the policy for when they do not answer. A reload makes
/// a new one and swaps it in whole.
pub struct World {
    /// Asked in this order until one answers.
    pub handlers: Vec<Arc<dyn RequestHandler>>,
    /// What stands in for an answer.
    pub policy: Policy,
}

/// Answers every question, in bounded time, and closed where it cannot tell.
pub struct DecisionEngine {
    era: ArcSwap<Era>,
    sessions: Sessions,
    background: TaskTracker,
    /// Bounds what goes on in the background.
    places: Arc<Semaphore>,
    log: Arc<DecisionLog>,
    observer: Observer,
}

/// A world with its number, so that both are read at once: no old answer is kept as a new one.
struct Era {
    generation: u64,
    world: Arc<World>,
}

/// Evaluations that may go on in the background at a time; one more lives as long as somebody waits for it.
const BACKGROUND_MAX: usize = 4096;

/// Is told of every decision that was evaluated, not of those remembered.
pub type Observer = Arc<dyn Fn(&BootDecision) + Send + Sync>;

impl DecisionEngine {
    /// An engine with these handlers and sessions.
    pub fn new(world: World, sessions: Sessions) -> DecisionEngine {
        DecisionEngine {
            era: ArcSwap::from_pointee(Era { generation: 0, world: Arc::new(world) }),
            sessions,
            background: TaskTracker::new(),
            places: Arc::new(Semaphore::new(BACKGROUND_MAX)),
            log: Arc::default(),
            observer: Arc::new(|_| ()),
        }
    }

    /// The same engine, with somebody who is told of every evaluated decision.
    pub fn observed(self, observer: Observer) -> DecisionEngine {
        DecisionEngine { observer, ..self }
    }

    /// Swaps in new handlers and policy; what was remembered of the old ones is asked anew.
    pub fn replace(&self, world: World) {
        let world = Arc::new(world);
        self.era.rcu(|era| Era { generation: era.generation + 1, world: Arc::clone(&world) });
    }

    /// The sessions that the engine knows.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The session that a DHCP packet belongs to.
    pub fn session_for(&self, client: &Client, xid: u32, stage: Stage, now: Timestamp) -> Arc<Session> {
        self.sessions.for_packet(client, xid, stage, now)
    }

    /// The session of the token in a path.
    ///
    /// # Errors
    /// When the token is forged or too old.
    pub fn resume(&self, token: &str, now: Timestamp) -> Result<Arc<Session>, TokenError> {
        self.sessions.resume(token, now)
    }

    /// May this machine boot? All questions of one boot get one answer; at most one evaluation runs at a time.
    pub async fn allow_boot(
        &self,
        session: &Arc<Session>,
        stage: Stage,
        network: Network,
        now: Timestamp,
    ) -> Arc<BootDecision> {
        let era = self.era.load_full();
        let world = Arc::clone(&era.world);
        let network = session.placed(network, stage);
        let key = FlightKey { generation: era.generation, facts: 0 };
        if let Some(is_allowed) = session.token_allows {
            session.verdict.preset(key, of_token(is_allowed));
        }
        if let Some(decision) = session.verdict.decided(key, &world.policy) {
            return decision;
        }
        let limit = world.policy.limits.allow_boot_at(stage);
        let start = || -> BoxFuture<'static, Decided> {
            let request = self.request(session, stage, network, (*session.machine()).clone(), now);
            self.evaluation(&world, request, Question::AllowBoot)
        };
        let (flight, is_new) = session.verdict.join(key, &world.policy, start);
        self.wait(session, stage, &world.policy, flight, is_new, limit).await
    }

    /// What does this machine boot? The verdict comes first: a machine that may not boot gets no images.
    pub async fn boot_images(
        &self,
        session: &Arc<Session>,
        network: Network,
        machine: Machine,
        now: Timestamp,
    ) -> Arc<BootDecision> {
        session.set_machine(&machine);
        let verdict = self.allow_boot(session, Stage::Http, network.clone(), now).await;
        if !verdict.verdict.allows() {
            return verdict;
        }
        let era = self.era.load_full();
        let world = Arc::clone(&era.world);
        let network = session.placed(network, Stage::Http);
        let mut hasher = DefaultHasher::new();
        machine.hash(&mut hasher);
        let key = FlightKey { generation: era.generation, facts: hasher.finish() };
        let limit = world.policy.limits.boot_images;
        let start = || -> BoxFuture<'static, Decided> {
            let request = self.request(session, Stage::Http, network, machine, now);
            self.evaluation(&world, request, Question::BootImages)
        };
        let (flight, is_new) = session.images.join(key, &world.policy, start);
        self.wait(session, Stage::Http, &world.policy, flight, is_new, limit).await
    }

    /// Waits until background evaluations have ended: for an orderly stop.
    pub async fn drain(&self) {
        self.background.close();
        self.background.wait().await;
    }

    /// The stand-in for an answer that is not there in time.
    fn late(&self, session: &Session, stage: Stage, policy: &Policy, limit: Duration) -> BootDecision {
        let detail = format!("no answer within {} ms", limit.as_millis());
        if self.log.has_room(Timestamp::now()) {
            warn!(
                session = %session.id(), mac = %session.client().hardware, stage = stage.name(),
                limit_ms = limit.as_millis() as u64, "decision is late; on_timeout stands in, the work goes on"
            );
        }
        let verdict = policy.on_timeout.verdict(&detail);
        let elapsed_us = micros(limit);
        let step = Step { handler: "policy".into(), outcome: Outcome::TimedOut, detail, elapsed_us };
        BootDecision { verdict, images: None, handler: "policy".into(), trail: vec![step], elapsed_us }
    }

    fn evaluation(&self, world: &Arc<World>, request: BootRequest, question: Question) -> BoxFuture<'static, Decided> {
        let (world, log, observer) = (Arc::clone(world), Arc::clone(&self.log), Arc::clone(&self.observer));
        async move {
            let decision = evaluate(&world, &request, question, &log).await;
            log.write(question.name(), &request, &decision);
            observer(&decision);
            Decided { decision: Arc::new(decision), at: Instant::now() }
        }
        .boxed()
    }

    fn request(
        &self,
        session: &Session,
        stage: Stage,
        network: Network,
        machine: Machine,
        now: Timestamp,
    ) -> BootRequest {
        BootRequest { session: session.id(), stage, client: (*session.client()).clone(), network, machine, now }
    }

    /// Most evaluations are ready at once. One that is not goes on in the background, whether or not this client is
    /// still there when it ends: its next packet finds the answer.
    async fn wait(
        &self,
        session: &Session,
        stage: Stage,
        policy: &Policy,
        mut flight: Flight,
        is_new: bool,
        limit: Duration,
    ) -> Arc<BootDecision> {
        if let Some(decided) = (&mut flight).now_or_never() {
            return decided.decision;
        }
        if is_new && let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            self.background.spawn(flight.clone().map(move |_| drop(place)));
        }
        match tokio::time::timeout(limit, flight).await {
            Ok(decided) => decided.decision,
            Err(_) => Arc::new(self.late(session, stage, policy, limit)),
        }
    }
}

/// What the token of a session says that this server did not see begin: the rules were asked then, with facts that are
/// not known any more. They are asked again when they change.
fn of_token(is_allowed: bool) -> BootDecision {
    let (verdict, detail) = match is_allowed {
        true => (Verdict::Allow, "the session's token says that the boot was allowed"),
        false => (Verdict::deny("this boot was denied; start the machine again to ask anew"), "denied by its token"),
    };
    let step = Step { handler: "token".into(), outcome: Outcome::Given, detail: detail.into(), elapsed_us: 0 };
    BootDecision { verdict, images: None, handler: "token".into(), trail: vec![step], elapsed_us: 0 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    AllowBoot,
    BootImages,
}

impl Question {
    fn name(self) -> &'static str {
        match self {
            Question::AllowBoot => "allow_boot",
            Question::BootImages => "boot_images",
        }
    }
}

/// What a handler or the policy says to either question.
enum Said {
    Verdict(Verdict),
    Images(BootImages),
}

async fn evaluate(world: &World, request: &BootRequest, question: Question, log: &DecisionLog) -> BootDecision {
    let started = Instant::now();
    let mut trail = Vec::new();
    let work = ask(world, request, question, log, &mut trail);
    let said = match tokio::time::timeout(world.policy.limits.work, work).await {
        Ok(said) => said,
        Err(_) => {
            let detail = format!("given up after {} s", world.policy.limits.work.as_secs());
            let verdict = world.policy.on_timeout.verdict(&detail);
            trail.push(policy_step(Outcome::TimedOut, detail, micros(started.elapsed())));
            Said::Verdict(verdict)
        }
    };
    let (verdict, images) = match said {
        Said::Verdict(verdict) => (verdict, None),
        Said::Images(images) => (Verdict::Allow, Some(images)),
    };
    let handler = trail.last().map_or_else(String::new, |step| step.handler.clone());
    BootDecision { verdict, images, handler, trail, elapsed_us: micros(started.elapsed()) }
}

async fn ask(
    world: &World,
    request: &BootRequest,
    question: Question,
    log: &DecisionLog,
    trail: &mut Vec<Step>,
) -> Said {
    for handler in &world.handlers {
        let started = Instant::now();
        let answer = ask_one(&**handler, request, question).await;
        let mut step = |outcome, detail: String| {
            let handler = handler.name().to_owned();
            trail.push(Step { handler, outcome, detail, elapsed_us: micros(started.elapsed()) });
        };
        match answer {
            Ok(Answer::Given(said)) => {
                step(Outcome::Given, summary(&said));
                return said;
            }
            Ok(Answer::Pass) => step(Outcome::Passed, String::new()),
            Err(error) => {
                if log.has_room(request.now) {
                    warn!(
                    session = %request.session, mac = %request.client.hardware, stage = request.stage.name(),
                    handler = handler.name(), %error, "handler failed"
                    );
                }
                step(Outcome::Failed, error.message);
                if let Some(fallback) = world.policy.on_error.fallback() {
                    let verdict = fallback.verdict("the server could not decide; see its log");
                    trail.push(policy_step(Outcome::Policy, format!("on_error: {}", verdict.name()), 0));
                    return allowed_means_disk(verdict, question);
                }
            }
        }
    }
    match question {
        Question::AllowBoot => {
            let verdict = world.policy.unknown.verdict("no rule knows this machine");
            trail.push(policy_step(Outcome::Policy, format!("unknown: {}", verdict.name()), 0));
            Said::Verdict(verdict)
        }
        // An allowed machine for which nobody names an image has nothing to boot but its own disk.
        Question::BootImages => {
            trail.push(policy_step(Outcome::Policy, "no handler named an image: local disk".into(), 0));
            Said::Images(BootImages::none())
        }
    }
}

/// Where the policy allows but no image is known, the machine's own disk is what it boots.
fn allowed_means_disk(verdict: Verdict, question: Question) -> Said {
    match question {
        Question::BootImages if verdict.allows() => Said::Images(BootImages::none()),
        _ => Said::Verdict(verdict),
    }
}

/// Asks one handler; its panic is its failure, and nobody else's.
async fn ask_one(
    handler: &dyn RequestHandler,
    request: &BootRequest,
    question: Question,
) -> Result<Answer<Said>, HandlerError> {
    let asked = async {
        match question {
            Question::AllowBoot => Ok(handler.allow_boot(request).await?.map(Said::Verdict)),
            Question::BootImages => Ok(handler.boot_images(request).await?.map(Said::Images)),
        }
    };
    match AssertUnwindSafe(asked).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => Err(HandlerError::new("the handler panicked; this is a defect, please report it")),
    }
}

impl<T> Answer<T> {
    /// The answer with its content turned into something else.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Answer::Given(content) => Answer::Given(turn(content)),
            Answer::Pass => Answer::Pass,
        }
    }
}

fn policy_step(outcome: Outcome, detail: String, elapsed_us: u64) -> Step {
    Step { handler: "policy".into(), outcome, detail, elapsed_us }
}

fn summary(said: &Said) -> String {
    match said {
        Said::Verdict(Verdict::Allow) => "allow".into(),
        Said::Verdict(verdict) => format!("{}: {}", verdict.name(), verdict.reason()),
        Said::Images(images) => image_ids(images),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
