//! The engine: asks the handlers, and answers whatever they do.

use std::hash::{DefaultHasher, Hash, Hasher};
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

use crate::boot::{
    BootDecision, BootRequest, Client, Machine, Manner, Network, Outcome, Referral, Stage, Step, Verdict,
};
use crate::quirks::Quirks;

use super::chain::{Question, evaluate, guarded, micros};
use super::flight::{Decided, Flight, FlightKey};
use super::log::DecisionLog;
use super::trust::{KeyRules, Learnt, trusts};
use super::{BootEvent, Exchange, HandlerError, Policy, RequestHandler, Session, Sessions, TokenError, Transport};

/// What decides: the handlers in the order they are asked, and the policy for when they do not answer. A reload makes
/// a new one and swaps it in whole.
#[derive(Default)]
pub struct World {
    /// Asked in this order until one answers.
    pub handlers: Vec<Arc<dyn RequestHandler>>,
    /// What stands in for an answer.
    pub policy: Policy,
    /// What the site says of the keys of machines.
    pub keys: Arc<KeyRules>,
    /// How firmware is treated that is not as the others.
    pub quirks: Arc<Quirks>,
    /// Name of this site, for the requests that name no other; may be empty.
    pub site: Arc<str>,
}

/// Answers every question, in bounded time, and closed where it cannot tell.
pub struct DecisionEngine {
    era: ArcSwap<Era>,
    sessions: Sessions,
    background: TaskTracker,
    /// Bounds what goes on in the background.
    places: Arc<Semaphore>,
    log: Arc<DecisionLog>,
    /// What was learnt of MAC addresses.
    learnt: Learnt,
    observer: Arc<dyn Observer>,
}

/// A world with its number, so that both are read at once: no old answer is kept as a new one.
struct Era {
    generation: u64,
    world: Arc<World>,
}

/// Evaluations that may go on in the background at a time; one more lives as long as somebody waits for it.
const BACKGROUND_MAX: usize = 4096;

/// Is told what was decided and what happened. It is called in the middle of answering a client, so it must not wait.
pub trait Observer: Send + Sync {
    /// A decision was evaluated; those remembered are not told again.
    fn decided(&self, question: Question, request: &BootRequest, decision: &BootDecision);

    /// Something happened in a boot.
    fn happened(&self, request: &BootRequest, event: &BootEvent);

    /// Whether it wants to be told of one more exchange of this boot; asked before that is put into words.
    fn wants(&self, _session: &Session, _by: Transport, _now: Timestamp) -> bool {
        false
    }

    /// A packet or request came, and this is what was answered. Told only where it is wanted.
    fn exchanged(&self, _session: &Session, _exchange: &Exchange, _at: Timestamp) {}
    /// Scripts that are not live yet would have answered a question in another way: how, in words.
    fn compared(&self, _question: Question, _request: &BootRequest, _would: &str) {}
}

/// Nobody who wants to know.
struct Nobody;

impl Observer for Nobody {
    fn decided(&self, _: Question, _: &BootRequest, _: &BootDecision) {}
    fn happened(&self, _: &BootRequest, _: &BootEvent) {}
}

impl DecisionEngine {
    /// An engine with these handlers and sessions.
    pub fn new(world: World, sessions: Sessions) -> DecisionEngine {
        DecisionEngine {
            era: ArcSwap::from_pointee(Era { generation: 0, world: Arc::new(world) }),
            sessions,
            background: TaskTracker::new(),
            places: Arc::new(Semaphore::new(BACKGROUND_MAX)),
            log: Arc::default(),
            learnt: Learnt::default(),
            observer: Arc::new(Nobody),
        }
    }

    /// The same engine, with somebody who is told of every evaluated decision and every event.
    pub fn observed(self, observer: Arc<dyn Observer>) -> DecisionEngine {
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
            let request = self.request(&world, session, stage, network, (*session.machine()).clone(), now);
            self.evaluation(&world, request, Question::AllowBoot, None)
        };
        let (flight, is_new) = session.verdict.join(key, &world.policy, start);
        self.wait(session, stage, &world.policy, flight, is_new, limit).await
    }

    /// What does this machine boot? The verdict comes first: a machine that may not boot gets no images. One that is
    /// referred is handed over where no handler names an image.
    pub async fn boot_images(
        &self,
        session: &Arc<Session>,
        network: Network,
        machine: Machine,
        now: Timestamp,
    ) -> Arc<BootDecision> {
        self.boot_images_at(session, Stage::Http, network, machine, now).await
    }

    /// The same for a loader that asks by TFTP, where no more is known of the machine than before.
    pub async fn boot_images_at(
        &self,
        session: &Arc<Session>,
        stage: Stage,
        network: Network,
        machine: Machine,
        now: Timestamp,
    ) -> Arc<BootDecision> {
        session.set_machine(&machine);
        let verdict = self.allow_boot(session, stage, network.clone(), now).await;
        if !verdict.verdict.allows() {
            return verdict;
        }
        let era = self.era.load_full();
        let world = Arc::clone(&era.world);
        let network = session.placed(network, stage);
        let mut hasher = DefaultHasher::new();
        (stage as u8).hash(&mut hasher);
        machine.hash(&mut hasher);
        session.person(now).hash(&mut hasher);
        session.choice().hash(&mut hasher);
        let referral = match &verdict.verdict {
            Verdict::Refer(referral) => Some(referral.clone()),
            _ => None,
        };
        referral.hash(&mut hasher);
        let key = FlightKey { generation: era.generation, facts: hasher.finish() };
        let limit = world.policy.limits.boot_images_at(stage);
        let start = || -> BoxFuture<'static, Decided> {
            let request = self.request(&world, session, stage, network, machine, now);
            self.evaluation(&world, request, Question::BootImages, referral)
        };
        let (flight, is_new) = session.images.join(key, &world.policy, start);
        self.wait(session, stage, &world.policy, flight, is_new, limit).await
    }

    /// How a machine is treated: as its rules say, else as the quirk table says of such firmware.
    pub fn manner(&self, session: &Session, verdict: &Verdict) -> Manner {
        let era = self.era.load();
        let client = session.client();
        let mut usual = era.world.quirks.manner(&client, &session.machine());
        if usual.local_boot.is_none() {
            let own = &era.world.policy.local_boot;
            usual.local_boot =
                own.get(&client.architecture).or_else(|| own.get(&client.architecture.machine())).copied();
        }
        match verdict.manner() {
            Some(said) if !said.is_usual() => said.clone().or(&usual),
            _ => usual,
        }
    }

    /// The same by the verdict that this boot has. What a forgotten one said beside yes or no is lost with it.
    pub fn manner_of(&self, session: &Session) -> Manner {
        let era = self.era.load_full();
        let key = FlightKey { generation: era.generation, facts: 0 };
        match session.verdict.decided(key, &era.world.policy) {
            Some(decision) => self.manner(session, &decision.verdict),
            None => self.manner(session, &Verdict::allow()),
        }
    }

    /// Tells the handlers what happened in a boot, one after the other, and then the observer.
    ///
    /// # Errors
    /// When a handler could not note it or forbids it; the client must not go on with what it was about to do, and the
    /// observer is not told.
    pub async fn report(
        &self,
        session: &Arc<Session>,
        network: Network,
        event: &BootEvent,
        now: Timestamp,
    ) -> Result<(), HandlerError> {
        let world = Arc::clone(&self.era.load_full().world);
        let request = self.event_request(&world, session, network, now);
        let limit = world.policy.limits.boot_images;
        for handler in &world.handlers {
            let told = tokio::time::timeout(limit, guarded(handler.boot_event(&request, event)));
            let late = |_| Err(HandlerError::new(format!("no answer within {} ms", limit.as_millis())));
            if let Err(error) = told.await.unwrap_or_else(late) {
                let (name, event) = (handler.name(), event.name());
                warn!(session = %session.id(), mac = %request.client.hardware, handler = name, event, %error, "not noted");
                return Err(error);
            }
        }
        self.observer.happened(&request, event);
        Ok(())
    }

    /// Tells the handlers and the observer what happened in a boot, where nobody can object.
    pub fn happened(&self, session: &Arc<Session>, event: &BootEvent, now: Timestamp) {
        let world = Arc::clone(&self.era.load_full().world);
        let request = self.event_request(&world, session, Network::default(), now);
        world.handlers.iter().for_each(|handler| handler.boot_noticed(&request, event));
        self.observer.happened(&request, event);
    }

    /// Tells the observer of a packet or request that came at a moment, where it wants to know.
    pub fn exchanged(&self, session: &Session, by: Transport, at: Timestamp, exchange: impl FnOnce() -> Exchange) {
        if self.observer.wants(session, by, at) {
            self.observer.exchanged(session, &exchange(), at);
        }
    }

    fn event_request(&self, world: &World, session: &Session, network: Network, now: Timestamp) -> BootRequest {
        let network = session.placed(network, Stage::Http);
        self.request(world, session, Stage::Http, network, (*session.machine()).clone(), now)
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
        let step = Step { handler: "policy".into(), outcome: Outcome::TimedOut, detail, elapsed_us, account: None };
        BootDecision { verdict, images: None, handler: "policy".into(), trail: vec![step], elapsed_us }
    }

    fn evaluation(
        &self,
        world: &Arc<World>,
        mut request: BootRequest,
        question: Question,
        referral: Option<Referral>,
    ) -> BoxFuture<'static, Decided> {
        let (world, log, observer) = (Arc::clone(world), Arc::clone(&self.log), Arc::clone(&self.observer));
        async move {
            let decision = evaluate(&world, &mut request, question, referral.as_ref(), &log).await;
            log.write(question.name(), &request, &decision);
            observer.decided(question, &request, &decision);
            Decided { decision: Arc::new(decision), at: Instant::now() }
        }
        .boxed()
    }

    pub(super) fn world(&self) -> Arc<World> {
        Arc::clone(&self.era.load().world)
    }

    /// Whether there is room in the log for one more line about a failure.
    pub(super) fn may_log(&self, now: Timestamp) -> bool {
        self.log.has_room(now)
    }

    pub(super) fn request(
        &self,
        world: &World,
        session: &Session,
        stage: Stage,
        mut network: Network,
        machine: Machine,
        now: Timestamp,
    ) -> BootRequest {
        if network.site.is_empty() {
            network.site = Arc::clone(&world.site);
        }
        let client = (*session.client()).clone();
        let mut request = BootRequest {
            session: session.id(),
            stage,
            client,
            network,
            machine,
            record: None,
            identity: Arc::default(),
            person: session.person(now),
            quirks: Vec::new(),
            choice: session.choice(),
            now,
        };
        request.quirks =
            world.quirks.of(&request.client, &request.machine).map(|quirk| Arc::clone(&quirk.name)).collect();
        request.identity = Arc::new(trusts(&request, &world.keys, &self.learnt));
        request
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
        true => (Verdict::allow(), "the session's token says that the boot was allowed"),
        false => (Verdict::deny("this boot was denied; start the machine again to ask anew"), "denied by its token"),
    };
    let step =
        Step { handler: "token".into(), outcome: Outcome::Given, detail: detail.into(), elapsed_us: 0, account: None };
    BootDecision { verdict, images: None, handler: "token".into(), trail: vec![step], elapsed_us: 0 }
}
