//! What a client of a boot session asks for: scripts, images and loaders.
//!
//! **Invariant**: nothing is answered before the session's verdict is known, and nothing is handed out that does an
//! assignment before this was noted.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Form, FromRequest, Path, Query, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::files::{self, FileRequest};
use super::told::Told;
use super::{Connection, HttpState};
use crate::boot::{BootDecision, BootImages, FileName, Line, Machine, Platform, SessionId, Stage, Verdict};
use crate::decision::{BootEvent, Carrier, HandlerError, MadeFile, Progress, Session, TokenError};
use crate::files::{Content, OpenError};
use crate::ipxe::{self, Command, Leaving, SessionUrls};
use crate::observe::{EventLabel, Funnel};
use crate::paths::{self, Wanted};

/// How long a client may take to send its form.
pub(super) const FORM_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a client waits before it asks again for what is pending, or could not be noted.
pub(super) const HOLD_S: u64 = 5;
/// How often a boot is held before what stands in for the answer is final.
const HOLDS_MAX: u32 = 6;
/// Shown where the verdict is silence, and its reason for the log only.
const NOTHING_HERE: &str = "This server has nothing for this machine.";

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
        Wanted::Bootstrap | Wanted::Autoexec => asked.first_script(&wanted).await,
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
            return script(&ipxe::images(&images, self.leaving(), &self.urls()));
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
        script(&[before, &ipxe::images(&images, self.leaving(), &self.urls())].concat())
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
    async fn first_script(&self, wanted: &Wanted) -> Response {
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
            _ => ipxe::bootstrap(&site.urls(&self.session, &self.via), self.leaving()),
        };
        script(&commands)
    }

    /// A file of an image.
    async fn image(&self, name: &FileName, head: &Parts) -> Response {
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision).or_else(|| refused_file(&decision.verdict)) {
            return response;
        }
        match self.state.site.images().open(name).await {
            Ok(content) => self.send(name, content, head, Progress::ImageFetched),
            Err(error) => {
                let status = match &error {
                    OpenError::NotFound => StatusCode::NOT_FOUND,
                    OpenError::Denied => StatusCode::FORBIDDEN,
                    OpenError::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
                    // iPXE waits and asks again.
                    OpenError::NotNow(_) => StatusCode::SERVICE_UNAVAILABLE,
                    OpenError::NotGiven(_) => StatusCode::BAD_GATEWAY,
                };
                warn!(session = %self.session.id(), file = %name, %error, "file not served");
                let mut response = text(status, &format!("{name}: {}\n", error.in_public()));
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    response.headers_mut().insert(RETRY_AFTER, HOLD_S.into());
                }
                response
            }
        }
    }

    /// A boot loader.
    async fn loader(&self, name: &FileName, head: &Parts) -> Response {
        let (engine, network) = (&self.state.engine, self.via.network());
        match engine.boot_file(&self.session, Stage::Http, network, name, self.now).await {
            MadeFile::Text(made) => return made_text(made),
            MadeFile::Absent => return text(StatusCode::NOT_FOUND, "not found\n"),
            MadeFile::Late => return later("the file is being made; ask again\n"),
            MadeFile::NoOpinion => {}
        }
        if let Some(file) = self.state.site.made_file(name) {
            return self.config(file, head).await;
        }
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision).or_else(|| refused_file(&decision.verdict)) {
            return response;
        }
        match self.state.site.loader(&self.session.client(), name) {
            Some(content) => self.send(name, content, head, Progress::LoaderFetched),
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn send(&self, name: &FileName, content: Content, head: &Parts, progress: Progress) -> Response {
        let (session, state) = (Arc::clone(&self.session), Arc::clone(&self.state));
        let (length, started, file) = (content.len(), self.now, name.clone());
        let by = if self.via.secure { Carrier::Https } else { Carrier::Http };
        let finished = Box::new(move || {
            let client = session.client();
            let now = Timestamp::now();
            let elapsed = now.duration_since(started).unsigned_abs();
            info!(session = %session.id(), mac = %client.hardware, %file, octets = length, elapsed_ms = elapsed.as_millis() as u64, "file sent");
            state.engine.happened(
                &session,
                &BootEvent::FileSent { file: file.to_string(), octets: length, elapsed, by },
                now,
            );
            let step = if progress == Progress::ImageFetched { Funnel::image_fetched } else { Funnel::loader_fetched };
            if session.advance(progress) {
                state.metrics.count_boot(step, client.architecture, "allow");
            }
        });
        let request = FileRequest {
            name: name.as_str(),
            method: &head.method,
            headers: &head.headers,
            queue: self.via.files.clone(),
            sent: self.state.metrics.http_sent.clone(),
            finished: Some(finished),
        };
        files::respond(content, request)
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

/// The facts in a query or a form; none where the client reports none.
pub(super) async fn facts_of(request: Request) -> Result<Machine, Response> {
    fields_of(request).await.map(|fields| facts_in(&fields))
}

/// The fields of a query or a form.
pub(super) async fn fields_of(request: Request) -> Result<Vec<(String, String)>, Response> {
    let pairs = if request.method() == Method::POST {
        let form = Form::<Vec<(String, String)>>::from_request(request, &());
        match tokio::time::timeout(FORM_TIME_MAX, form).await {
            Ok(Ok(Form(pairs))) => pairs,
            Ok(Err(rejected)) => return Err(rejected.into_response()),
            Err(_) => return Err(text(StatusCode::REQUEST_TIMEOUT, "the form did not come in time\n")),
        }
    } else {
        query(request.uri())
    };
    Ok(pairs)
}

/// The facts among fields.
pub(super) fn facts_in(fields: &[(String, String)]) -> Machine {
    let mut machine = Machine::default();
    for (name, value) in fields {
        machine.insert(name, value);
    }
    machine
}

/// The value of a field; empty when it is not there.
pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
}

/// Why not, as far as the client may know; none when it may.
pub(super) fn shown_reason(verdict: &Verdict) -> Option<Line> {
    match verdict {
        Verdict::Allow(_) => None,
        Verdict::Deny { reason } => Some(reason.clone()),
        Verdict::Ignore { .. } => Some(Line::clean(NOTHING_HERE)),
        Verdict::Refer(referral) if referral.goes_on() => None,
        Verdict::Refer(referral) => {
            Some(Line::clean(&format!("Another server boots this machine: {}", referral.upstream)))
        }
    }
}

/// Whether iPXE shall find nothing beside itself, and ask another server by DHCP.
fn leaves_ipxe_alone(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refer(referral) if !referral.tells_ipxe())
}

pub(super) fn refused_file(verdict: &Verdict) -> Option<Response> {
    match verdict {
        Verdict::Allow(_) => None,
        Verdict::Deny { reason } => Some(text(StatusCode::FORBIDDEN, &format!("access denied: {reason}\n"))),
        Verdict::Refer(referral) if referral.goes_on() => None,
        Verdict::Ignore { .. } | Verdict::Refer(_) => Some(text(StatusCode::NOT_FOUND, "not found\n")),
    }
}

pub(super) fn query(uri: &Uri) -> Vec<(String, String)> {
    Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default()
}

/// A text that was made for one machine.
pub(super) fn made_text(made: String) -> Response {
    ([(CONTENT_TYPE, "text/plain"), (CACHE_CONTROL, "no-store")], made).into_response()
}

pub(super) fn script(commands: &[Command]) -> Response {
    ([(CONTENT_TYPE, "text/plain"), (CACHE_CONTROL, "no-store")], ipxe::render(commands)).into_response()
}

/// The answer to a client that asks again, as iPXE and `curl --retry` do.
pub(super) fn later(body: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, HOLD_S.to_string())], body).into_response()
}

pub(super) fn text(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain")], text.to_owned()).into_response()
}
