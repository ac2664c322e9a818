//! Machines that another server takes over, and answers that tell a machine to ask again.

use super::*;
use crate::boot::{FactsForm, FirmwareHandOver, Referral, ScriptHandOver};

/// Refers every machine; names images while it has some.
struct Refers {
    firmware: FirmwareHandOver,
    script: bool,
    images: Mutex<Option<ImageKind>>,
    asked: AtomicUsize,
}

impl Refers {
    fn new(firmware: FirmwareHandOver, script: bool) -> Arc<Refers> {
        Arc::new(Refers { firmware, script, images: Mutex::default(), asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl RequestHandler for Refers {
    fn name(&self) -> &str {
        "refers"
    }
    async fn allow_boot(&self, _: &BootRequest) -> Result<Answer<Verdict>, HandlerError> {
        let url = "http://up/boot.ipxe".parse().unwrap();
        let script = self.script.then_some(ScriptHandOver { url, facts: FactsForm::Query });
        let (upstream, firmware) = (Line::clean("main"), self.firmware.clone());
        Ok(Answer::Given(Verdict::Refer(Referral { upstream, firmware, script })))
    }
    async fn boot_images(&self, _: &BootRequest) -> Result<Answer<BootImages>, HandlerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let Some(kind) = self.images.lock().unwrap().clone() else { return Ok(Answer::Pass) };
        let image = BootImage {
            id: "own".into(),
            title: Line::clean("own"),
            assignment: None,
            verify: None,
            choice: Default::default(),
            kind,
        };
        Ok(Answer::Given(BootImages::new(vec![image], None).unwrap()))
    }
}

fn referring(handler: &Arc<Refers>) -> DecisionEngine {
    let handlers = vec![Arc::clone(handler) as Arc<dyn RequestHandler>];
    let world = World {
        handlers,
        policy: Policy::default(),
        site: "".into(),
        keys: Default::default(),
        quirks: Default::default(),
    };
    DecisionEngine::new(world, Sessions::new(TokenKey::new(&[1; 32]), 10))
}

async fn decided(engine: &DecisionEngine, session: &Arc<Session>) -> Arc<BootDecision> {
    engine.boot_images(session, Network::default(), Machine::default(), Timestamp::now()).await
}

#[tokio::test(start_paused = true)]
async fn a_machine_goes_on_where_it_is_referred_to_unless_a_handler_names_an_image() {
    let handler = Refers::new(FirmwareHandOver::Loader, true);
    let engine = referring(&handler);
    let first = session(&engine, 1);
    let decision = decided(&engine, &first).await;
    let images = decision.images.clone().unwrap();
    let expected = ImageKind::Referral { url: "http://up/boot.ipxe".parse().unwrap(), facts: FactsForm::Query };
    assert_eq!((&images.images()[0].kind, decision.verdict.name()), (&expected, "refer"));
    let last = decision.trail.last().unwrap();
    assert_eq!(
        (last.outcome, last.detail.as_str()),
        (Outcome::Policy, "no handler named an image: handed over to main")
    );
    *handler.images.lock().unwrap() = Some(ImageKind::Shell);
    let decision = decided(&engine, &session(&engine, 2)).await;
    assert_eq!(decision.images.clone().unwrap().images()[0].id, "own");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_to_boot_gets_no_images() {
    let handler = Refers::new(FirmwareHandOver::Silence, false);
    *handler.images.lock().unwrap() = Some(ImageKind::Shell);
    let engine = referring(&handler);
    let decision = decided(&engine, &session(&engine, 1)).await;
    assert_eq!((decision.verdict.name(), &decision.images), ("refer", &None));
    assert_eq!(handler.asked.load(Ordering::SeqCst), 0);
}

/// Of the first answer only that it allowed is known after a restart: the handler names the hand-over then.
#[tokio::test(start_paused = true)]
async fn a_restarted_server_asks_its_handler() {
    let handler = Refers::new(FirmwareHandOver::Loader, true);
    let before = referring(&handler);
    let first = session(&before, 1);
    let allows = verdict(&before, &first).await.allows();
    let now = Timestamp::now();
    let token = before.sessions().token(&first, allows, now);
    let kind = ImageKind::Referral { url: "http://up/boot.ipxe".parse().unwrap(), facts: FactsForm::Query };
    *handler.images.lock().unwrap() = Some(kind.clone());
    let after = referring(&handler);
    let resumed = after.resume(&token, now).unwrap();
    let decision = decided(&after, &resumed).await;
    assert_eq!(decision.images.clone().unwrap().images()[0].kind, kind, "{decision:?}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_told_to_ask_again_gets_a_new_answer() {
    let handler = Refers::new(FirmwareHandOver::Loader, true);
    *handler.images.lock().unwrap() = Some(ImageKind::Retry { wait: Duration::from_secs(15) });
    let engine = referring(&handler);
    let session = session(&engine, 1);
    let kind = |decision: Arc<BootDecision>| decision.images.clone().unwrap().images()[0].kind.name();
    assert_eq!(kind(decided(&engine, &session).await), "retry");
    *handler.images.lock().unwrap() = Some(ImageKind::Shell);
    assert_eq!(kind(decided(&engine, &session).await), "retry", "a key that is held down does not hammer the handlers");
    tokio::time::advance(Duration::from_secs(15)).await;
    assert_eq!(kind(decided(&engine, &session).await), "shell");
    *handler.images.lock().unwrap() = Some(ImageKind::Poweroff);
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(kind(decided(&engine, &session).await), "shell", "another answer holds for the whole boot");
}
