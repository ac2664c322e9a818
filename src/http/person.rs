//! Who is at the machine: what a person answers is verified here, and boot_images asked again with who it is.
//!
//! What iPXE sends: `image` (the one that was chosen; empty for the boot as a whole), `user_hex` and `secret_hex` (what was
//! typed, in hexadecimal digits), `grant` (our own signed word, from an earlier script), and the machine's facts. Anything
//! else that a client says of itself is not read.
//!
//! **Invariant**: nothing of the answer is logged but the name of who was verified; an image that a question guards is
//! in no script before the answer was good.

use std::time::Duration;

use axum::extract::Request;
use axum::http::Method as HttpMethod;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use super::answers::script;
use super::boot::Asked;
use super::form::{facts_in, field, fields_of};
use crate::boot::{Ask, BootImages, Line, Machine, Method, Person};
use crate::decision::BootEvent;
use crate::ipxe::{self, Command};
use crate::observe::OutcomeLabel;
use crate::people::{Answer, People, Refusal};
use crate::store::{Approval, ApprovalRequest, ApprovalState};

/// How long the store may take when a machine comes for an approval.
const STORE_TIME_MAX: Duration = Duration::from_secs(5);

/// Stands before what is not asked for by HTTP.
const HTTPS_ONLY: &str = "Not offered here, because it is asked for by HTTPS only:";

impl Asked {
    /// A person answered.
    pub(super) async fn person(&self, request: Request) -> Response {
        let before = ipxe::forget_secrets(request.method() == HttpMethod::GET);
        let fields = match fields_of(request).await {
            Ok(fields) => fields,
            Err(response) => return response,
        };
        self.redeem(field(&fields, "grant"));
        let mut machine = facts_in(&fields);
        if machine.is_empty() {
            machine = (*self.session.machine()).clone();
        }
        let decision = self.evaluated(machine.clone()).await;
        if let Some(response) = self.held(&decision).or_else(|| self.refused_script(&decision.verdict)) {
            return response;
        }
        let offered = self.settled(decision.images.clone().unwrap_or_default());
        let chosen = field(&fields, "image");
        let asked = match chosen {
            "" => offered.ask().cloned(),
            id => offered
                .images()
                .iter()
                .find(|image| image.id == id)
                .and_then(|image| image.choice.needs.as_deref().cloned()),
        };
        let images = match asked {
            // It was answered meanwhile, or the rules have changed.
            None => only(offered, chosen),
            Some(ask) if ask.method() == Method::Approval => match self.approved(&ask, chosen).await {
                Approved::Waiting(commands) => return script(&commands),
                Approved::Not(why) => left(offered, why, false),
                Approved::By(person) => match self.welcome(person) {
                    Ok(()) => return self.goes_on(machine, chosen, &[]).await,
                    Err(why) => left(offered, why, false),
                },
            },
            Some(ask) => match self.verified(&ask, &fields).await {
                Ok(()) => return self.goes_on(machine, chosen, &before).await,
                Err((why, may_try_again)) => left(offered, why, may_try_again),
            },
        };
        self.served(images, &before).await
    }

    /// Takes up a grant that a client brings; whatever is wrong with it, the person is asked again.
    pub(super) fn redeem(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        let sessions = self.state.engine.sessions();
        if let Err(error) = sessions.redeem(&self.session, text, self.now) {
            let mac = self.session.client().hardware;
            warn!(session = %self.session.id(), %mac, peer = %self.via.peer, %error, "a grant is refused");
            self.count("refused_grant");
        }
    }

    /// Images without the questions that who is there has answered, and without those that must not be asked here.
    pub(super) fn settled(&self, images: BootImages) -> BootImages {
        let person = self.session.person(self.now);
        if let (Some(ask), Some(person)) = (images.ask(), &person)
            && ask.is_answered_by(person)
        {
            let mac = self.session.client().hardware;
            warn!(session = %self.session.id(), %mac, name = %person.name, "the rules ask again who was just verified");
            let why = format!("The rules of this site ask again for what {} has answered.", person.name);
            return BootImages::none().with_notice([Line::clean(&why)]);
        }
        let images = images.without_answered(person.as_deref());
        match self.must_not_ask() {
            true => images.without_questions(Ask::is_secret, &Line::clean(HTTPS_ONLY)),
            false => images,
        }
    }

    /// Whether nothing secret may be typed here.
    fn must_not_ask(&self) -> bool {
        !self.via.secure && self.state.site.people().is_some_and(|people| people.requires_https())
    }

    /// After somebody was verified: what the rules say now, and of it only what was chosen.
    async fn goes_on(&self, machine: Machine, chosen: &str, before: &[Command]) -> Response {
        let decision = self.evaluated(machine).await;
        if let Some(response) = self.held(&decision).or_else(|| self.refused_script(&decision.verdict)) {
            return response;
        }
        let offered = self.settled(decision.images.clone().unwrap_or_default());
        let is_settled = offered.images().iter().any(|image| image.id == chosen && image.choice.needs.is_none());
        let images = if is_settled { only(offered, chosen) } else { offered };
        self.served(images, before).await
    }

    /// Verifies what was typed; else why not, and whether trying again makes sense.
    async fn verified(&self, ask: &Ask, fields: &[(String, String)]) -> Result<(), (Line, bool)> {
        let (mac, session) = (self.session.client().hardware, self.session.id());
        let Some(people) = self.state.site.people() else { return Err((shown(&Refusal::Nobody), false)) };
        let refused = |refusal: Refusal| {
            warn!(%session, %mac, method = ask.method().name(), outcome = refusal.name(), "nobody was verified");
            self.count(refusal.name());
            (shown(&refusal), refusal.may_try_again())
        };
        let text = |name| String::from_utf8(crate::hex::octets(field(fields, name))?).ok();
        let (Some(user), Some(secret)) = (text("user_hex"), text("secret_hex")) else {
            return Err(refused(Refusal::Empty));
        };
        let answer = Answer { user, secret };
        let person = people.verify(ask, mac, &answer, self.now).await.map_err(refused)?;
        self.welcome(person).map_err(|why| (why, false))
    }

    /// Somebody was verified: signs it, and tells.
    fn welcome(&self, person: Person) -> Result<(), Line> {
        let (mac, session) = (self.session.client().hardware, self.session.id());
        let lifetime = self.state.site.people().map_or(Duration::ZERO, |people| people.grant());
        let now = Timestamp::now();
        if let Err(error) = self.state.engine.sessions().grant(&self.session, &person, lifetime, now) {
            warn!(%session, %mac, name = %person.name, %error, "verified, and not granted");
            return Err(Line::clean(&format!("Verified, but {error}.")));
        }
        info!(%session, %mac, name = %person.name, method = person.method.name(), groups = ?person.groups, "person verified");
        self.count("verified");
        let event = BootEvent::Person { name: person.name, method: person.method };
        self.state.engine.happened(&self.session, &event, now);
        Ok(())
    }

    /// How the request for approval of this boot, or of an image in it, stands.
    async fn approved(&self, ask: &Ask, chosen: &str) -> Approved {
        let nobody = || Approved::Not(shown(&Refusal::Unavailable));
        let Some(people) = self.state.site.people() else { return nobody() };
        let Some(approval) = self.asked_for_approval(&people, ask, chosen).await else { return nobody() };
        let waited = self.now.duration_since(approval.asked);
        match approval.state {
            ApprovalState::Denied { reason, .. } if reason.is_empty() => Approved::Not(Line::clean("Not approved.")),
            ApprovalState::Denied { reason, .. } => Approved::Not(Line::clean(&format!("Not approved: {reason}"))),
            ApprovalState::Approved { by, at, groups } => {
                let lifetime = SignedDuration::try_from(people.grant()).unwrap_or(SignedDuration::ZERO);
                if self.now.duration_since(at) > lifetime {
                    return Approved::Not(Line::clean("The approval is too old; start the machine again."));
                }
                match ask.is_for(&groups) {
                    true => Approved::By(Person { name: by, method: Method::Approval, groups, at }),
                    false => Approved::Not(Line::clean(&format!("{by} approved, and may not do this."))),
                }
            }
            ApprovalState::Pending if waited > SignedDuration::try_from(ask.wait()).unwrap_or(SignedDuration::ZERO) => {
                Approved::Not(Line::clean("Nobody approved in time."))
            }
            ApprovalState::Pending => {
                let urls = self.urls();
                Approved::Waiting(ipxe::waiting(ask.title(), &approval.id, chosen, self.leaving(), &urls))
            }
        }
    }

    async fn asked_for_approval(&self, people: &People, ask: &Ask, chosen: &str) -> Option<Approval> {
        let (session, mac) = (self.session.id(), self.session.client().hardware);
        let request = ApprovalRequest { session, mac, image: chosen.to_owned(), title: ask.title().clone() };
        let asked = people.store()?.ask_approval(&request, self.now, STORE_TIME_MAX).await;
        let approval = asked.map_err(|error| warn!(%session, %mac, %error, "an approval cannot be asked for")).ok()?;
        if approval.asked == approval.last_asked {
            info!(%session, %mac, id = approval.id, title = %approval.title, "waits for approval");
        }
        Some(approval)
    }

    fn count(&self, outcome: &'static str) {
        self.state.metrics.people.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

/// How a request for approval stands.
enum Approved {
    /// Nobody decided: this script comes again.
    Waiting(Vec<Command>),
    /// No, for this reason.
    Not(Line),
    /// Yes.
    By(Person),
}

/// Only what was chosen, where it is there.
fn only(offered: BootImages, chosen: &str) -> BootImages {
    offered.only(chosen).unwrap_or(offered)
}

fn shown(refusal: &Refusal) -> Line {
    Line::clean(&refusal.to_string())
}

/// What a machine is left with where nobody was verified: the menu, or the question where trying again makes sense, else
/// its disk.
fn left(offered: BootImages, why: Line, may_try_again: bool) -> BootImages {
    match may_try_again || offered.menu().is_some() || offered.images().len() > 1 {
        true => offered.with_notice([why]),
        false => BootImages::none().with_notice([why]),
    }
}
