//! What a client of a boot session asks for, and the scripts among it; its files are in [`super::boot_files`].
//!
//! **Invariant**: nothing is answered before the session's verdict is known, and nothing is handed out that does an
//! assignment before this was noted.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::header::{ALLOW, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tracing::{debug, info};

use super::answers::{later, leaves_ipxe_alone, script, shown_reason, text};
use super::form::{facts_in, field, fields_of};
use super::told::Told;
use super::{Bootstrap, Connection, HttpState};
use crate::boot::{BootDecision, BootImages, FileName, Line, Machine, Platform, SessionId, Stage, Verdict};
use crate::decision::{BootEvent, HandlerError, Progress, Session, TokenError};
use crate::ipxe::{self, Command, Leaving, SessionUrls};
use crate::observe::{EventLabel, Funnel};
use crate::paths::{self, Wanted};

/// How often a boot is held before what stands in for the answer is final.
const HOLDS_MAX: u32 = 6;

/// How often each boot was told to wait.
pub(super) struct Holds(moka::sync::Cache<SessionId, u32>);

impl Default for Holds {
    fn default() -> Self {
        Holds(moka::sync::Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_secs(600)).build())
    }
}

impl Holds {
    /// Counts once more; `false` when it is enough.
    fn once_more(&self, session: SessionId) -> bool {
        let held = self.0.get(&session).unwrap_or(0);
        self.0.insert(session, held + 1);
        held < HOLDS_MAX
    }
}

/// One request with a token in its path.
pub(super) struct Asked {
    pub(super) state: Arc<HttpState>,
    pub(super) via: Connection,
    pub(super) session: Arc<Session>,
    pub(super) now: Timestamp,
}

/// `/b/<token>/...`
pub(super) async fn session(
    State(state): State<Arc<HttpState>>,
    Extension(via): Extension<Connection>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    let Some((token, wanted)) = wanted(&path) else { return text(StatusCode::NOT_FOUND, "not found\n") };
    if let Some(allowed) = methods_but(request.method(), &wanted) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allowed)], "not by this method\n").into_response();
    }
    let now = Timestamp::now();
    let session = match state.engine.resume(&token, now) {
        Ok(session) => session,
        Err(error) => return without_session(error, &wanted, &via),
    };
    state.engine.sessions().note_address(&session, via.peer.ip());
    debug!(session = %session.id(), peer = %via.peer, secure = via.secure, method = %request.method(), ?wanted, "request");
    let told = Told::of(&request, &path, &session, &via);
    let asked = Asked { state, via, session, now };
    let response = match wanted {
        Wanted::Bootstrap | Wanted::Autoexec => asked.first_script(&wanted, &request.into_parts().0).await,
        Wanted::Script => asked.script(request).await,
        Wanted::Person => asked.person(request).await,
        Wanted::Start => asked.start(request.uri()).await,
        Wanted::Begin(beginning) => asked.begin(&beginning).await,
        Wanted::ByHttp => asked.by_http().await,
        Wanted::LoadFailed => asked.load_failed(request.uri()).await,
        Wanted::Done => asked.installer(BootEvent::Done).await,
        Wanted::Failed => asked.installer_failed(request).await,
        Wanted::Image(name) => asked.image(&name, &request.into_parts().0).await,
        Wanted::Loader(name) => asked.loader(&name, &request.into_parts().0).await,
    };
    told.note(&asked.state.engine, &response, now);
    response
}

/// The methods that this path has, when it lacks the one that was used. HEAD changes nothing, so that a report has none.
fn methods_but(method: &Method, wanted: &Wanted) -> Option<&'static str> {
    let (has_head, has_post) = match wanted {
        Wanted::Bootstrap | Wanted::Autoexec | Wanted::Image(_) | Wanted::Loader(_) => (true, false),
        Wanted::Script => (true, true),
        Wanted::Person => (false, true),
        Wanted::Start | Wanted::Begin(_) | Wanted::ByHttp | Wanted::LoadFailed => (false, false),
        Wanted::Done | Wanted::Failed => (false, true),
    };
    let lacks = (*method == Method::HEAD && !has_head) || (*method == Method::POST && !has_post);
    lacks.then_some(match (has_head, has_post) {
        (true, _) => "GET, HEAD",
        (false, true) => "GET, POST",
        (false, false) => "GET",
    })
}

fn wanted(path: &str) -> Option<(String, Wanted)> {
    let name = FileName::parse(format!("b/{path}").as_bytes()).ok()?;
    paths::parse(&name).map(|(token, wanted)| (token.to_owned(), wanted))
}

/// A forged token opens nothing and says nothing. One that was good once says what to do.
fn without_session(error: TokenError, wanted: &Wanted, via: &Connection) -> Response {
    debug!(peer = %via.peer, %error, "no session");
    match (error, wanted) {
        (TokenError::Forged, _) => text(StatusCode::NOT_FOUND, "not found\n"),
        (
            TokenError::Expired,
            Wanted::Image(_) | Wanted::Loader(_) | Wanted::Begin(_) | Wanted::ByHttp | Wanted::Done | Wanted::Failed,
        ) => text(StatusCode::FORBIDDEN, &format!("{error}\n")),
        // It fails on every platform, as what asks for `start.ipxe` relies on.
        (TokenError::Expired, _) => script(&ipxe::denied(&Line::clean(&error.to_string()), Platform::Other)),
    }
}

impl Asked {
    /// The decision endpoint.
    async fn script(&self, request: Request) -> Response {
        let is_head = request.method() == Method::HEAD;
        let fields = match fields_of(request).await {
            Ok(fields) => fields,
            Err(response) => return response,
        };
        if !is_head {
            self.redeem(field(&fields, "grant"));
        }
        let mut machine = facts_in(&fields);
        if machine.is_empty() {
            machine = (*self.session.machine()).clone();
        }
        self.decided(machine, is_head).await
    }

    /// The script for a machine with these facts. HEAD changes nothing.
    pub(super) async fn decided(&self, machine: Machine, is_head: bool) -> Response {
        let decision = self.evaluated(machine).await;
        if let Some(response) = self.held(&decision).or_else(|| self.refused_script(&decision.verdict)) {
            return response;
        }
        let images =
            chosen(self.settled(decision.images.clone().unwrap_or_default()), self.session.choice().as_deref());
        if is_head {
            return script(&self.booting(images));
        }
        self.served(images, &[]).await
    }

    /// What the rules say to a machine with these facts, and to who is there.
    pub(super) async fn evaluated(&self, machine: Machine) -> Arc<BootDecision> {
        // Not when the request came: somebody may have been verified since.
        self.state.engine.boot_images(&self.session, self.via.network(), machine, Timestamp::now()).await
    }

    /// The script with these images, behind these commands, once it is noted that it is handed out.
    pub(super) async fn served(&self, images: BootImages, before: &[Command]) -> Response {
        let images = match self.offered(images).await {
            Ok(images) => images,
            Err(response) => return response,
        };
        self.advanced(Progress::ScriptServed, Funnel::script_served, "script served");
        script(&[before, &self.booting(images)].concat())
    }

    /// The commands that boot one of these.
    fn booting(&self, images: BootImages) -> Vec<Command> {
        let images = match self.state.site.look() {
            Some(look) => images.with_look(&look),
            None => images,
        };
        ipxe::images(&images, self.leaving(), &self.urls())
    }

    /// The addresses of the session, with our word of who is there.
    pub(super) fn urls(&self) -> SessionUrls {
        self.state.site.urls(&self.session, &self.via).with_grant(self.session.grant(Timestamp::now()))
    }

    /// Notes what is about to be handed out. Without an assignment nobody needs to agree; those of which it cannot be
    /// noted are left out, after some patience, and the screen says so.
    pub(super) async fn offered(&self, images: BootImages) -> Result<BootImages, Response> {
        if images.ask().is_some() {
            return Ok(images);
        }
        let event = |images: &BootImages| BootEvent::Offered {
            images: images.images().iter().map(|image| image.id.clone()).collect(),
            assignments: images.assignments().map(str::to_owned).collect(),
        };
        if images.assignments().next().is_none() {
            self.state.engine.happened(&self.session, &event(&images), Timestamp::now());
            return Ok(images);
        }
        let Err(error) = self.report(&event(&images)).await else { return Ok(images) };
        if let Some(response) = self.held_by(&error) {
            return Err(response);
        }
        let reason = Line::clean(&format!("Left out what this machine was assigned: {error}"));
        let images = images.without_assignments().with_notice([reason]);
        self.state.engine.happened(&self.session, &event(&images), Timestamp::now());
        Ok(images)
    }

    /// A script that needs no decision but the verdict.
    async fn first_script(&self, wanted: &Wanted, head: &Parts) -> Response {
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision).or_else(|| self.refused_script(&decision.verdict)) {
            return response;
        }
        if *wanted == Wanted::Autoexec && leaves_ipxe_alone(&decision.verdict) {
            return text(StatusCode::NOT_FOUND, "not found\n");
        }
        let site = &self.state.site;
        let commands = match wanted {
            Wanted::Autoexec => ipxe::autoexec(&site.autoexec_urls(&self.session, &self.via), self.leaving()),
            _ => {
                let agent = head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
                let told = Bootstrap { agent, is_look: head.method == Method::HEAD, leaving: self.leaving() };
                site.bootstrap(&self.session, &self.via, told)
            }
        };
        script(&commands)
    }

    pub(super) async fn allowed(&self) -> Arc<BootDecision> {
        self.state.engine.allow_boot(&self.session, Stage::Http, self.via.network(), self.now).await
    }

    /// Tells the handlers what happened.
    pub(super) async fn report(&self, event: &BootEvent) -> Result<(), HandlerError> {
        // Not when the request came: an offer is after the decision that it follows from.
        let reported = self.state.engine.report(&self.session, self.via.network(), event, Timestamp::now()).await;
        if let Err(error) = &reported {
            let event = if error.is_refusal { "refused" } else { "not-noted" };
            self.state.metrics.assignments.get_or_create(&EventLabel { event }).inc();
        }
        reported
    }

    /// While the decision is pending: iPXE waits and asks again (since 2014).
    pub(super) fn held(&self, decision: &BootDecision) -> Option<Response> {
        (decision.is_late() && self.state.holds.once_more(self.session.id()))
            .then(|| later("the decision is pending; ask again\n"))
    }

    /// While an event cannot be noted, as when a database is restarted. A no is final.
    pub(super) fn held_by(&self, error: &HandlerError) -> Option<Response> {
        let may_wait = !error.is_refusal && self.state.holds.once_more(self.session.id());
        may_wait.then(|| later("this could not be noted; ask again\n"))
    }

    pub(super) fn refused_script(&self, verdict: &Verdict) -> Option<Response> {
        Some(script(&ipxe::denied(&shown_reason(verdict)?, self.leaving())))
    }

    /// What runs the machine: what iPXE says of itself, else what the firmware said.
    fn platform(&self) -> Platform {
        match self.session.machine().get("platform") {
            Some("efi") => Platform::Efi,
            Some("pcbios") => Platform::Bios,
            _ => self.session.client().architecture.platform(),
        }
    }

    /// How the machine gets to its own disk.
    pub(super) fn leaving(&self) -> Leaving {
        Leaving { platform: self.platform(), method: self.state.engine.manner_of(&self.session).local_boot }
    }

    fn advanced(&self, progress: Progress, step: Funnel, what: &str) {
        if self.session.advance(progress) {
            let client = self.session.client();
            info!(session = %self.session.id(), mac = %client.hardware, peer = %self.via.peer, "{what}");
            self.state.metrics.count_boot(step, client.architecture, "allow");
        }
    }
}

/// Only the image that was chosen in the menu of the firmware. One that is assigned, and boots without a menu, is not
/// overruled; one that is not among the images, or needs an answer first, is to be chosen once more.
fn chosen(images: BootImages, choice: Option<&str>) -> BootImages {
    let Some(id) = choice.filter(|_| images.ask().is_none()) else { return images };
    match images.images().iter().find(|image| image.id == id) {
        Some(image) if image.choice.needs.is_none() => images.only(id).unwrap_or(images),
        Some(_) => images,
        None => {
            let why = format!("`{id}`, chosen in the boot menu, is not offered to this machine.");
            images.with_notice([Line::clean(&why)])
        }
    }
}
