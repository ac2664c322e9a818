//! What a client of a boot session asks for: scripts, images and loaders.
//!
//! **Invariant**: nothing is answered before the session's verdict is known.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Form, FromRequest, Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::files::{self, FileRequest};
use super::{Connection, HttpState};
use crate::boot::{BootDecision, FileName, Line, Machine, Outcome, Platform, SessionId, Stage, Verdict};
use crate::decision::{Progress, Session, TokenError};
use crate::files::{Content, OpenError};
use crate::ipxe::{self, Command};
use crate::observe::Funnel;
use crate::paths::{self, Wanted};

/// How long a client may take to send its form.
const FORM_TIME_MAX: Duration = Duration::from_secs(10);
/// How long iPXE waits before it asks again for a decision that is pending.
const HOLD_S: u64 = 5;
/// How often a client is held before what stands in for the decision is final.
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
struct Asked {
    state: Arc<HttpState>,
    via: Connection,
    session: Arc<Session>,
    now: Timestamp,
}

/// `/b/<token>/...`
pub(super) async fn session(
    State(state): State<Arc<HttpState>>,
    Extension(via): Extension<Connection>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    let Some((token, wanted)) = wanted(&path) else { return text(StatusCode::NOT_FOUND, "not found\n") };
    if request.method() == Method::POST && wanted != Wanted::Script {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only script.ipxe takes a form\n");
    }
    let now = Timestamp::now();
    let session = match state.engine.resume(&token, now) {
        Ok(session) => session,
        Err(error) => return without_session(error, &wanted, &via),
    };
    debug!(session = %session.id(), peer = %via.peer, secure = via.secure, method = %request.method(), ?wanted, "request");
    let asked = Asked { state, via, session, now };
    if wanted == Wanted::Script {
        return asked.script(request).await;
    }
    let head = request.into_parts().0;
    match wanted {
        Wanted::Image(name) => asked.image(&name, &head).await,
        Wanted::Loader(name) => asked.loader(&name, &head).await,
        script => asked.other_script(&script, &head.uri).await,
    }
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
        (TokenError::Expired, Wanted::Image(_) | Wanted::Loader(_)) => {
            text(StatusCode::FORBIDDEN, &format!("{error}\n"))
        }
        (TokenError::Expired, _) => script(&ipxe::denied(&Line::clean(&error.to_string()), Platform::Other)),
    }
}

impl Asked {
    /// The decision endpoint.
    async fn script(&self, request: Request) -> Response {
        let machine = match self.facts(request).await {
            Ok(machine) => machine,
            Err(response) => return response,
        };
        let network = self.via.network();
        let decision = self.state.engine.boot_images(&self.session, network, machine, self.now).await;
        if let Some(response) = self.held(&decision).or_else(|| self.refused_script(&decision.verdict)) {
            return response;
        }
        self.advanced(Progress::ScriptServed, Funnel::script_served, "script served");
        let images = decision.images.clone().unwrap_or_default();
        let urls = self.state.site.urls(&self.session, &self.via);
        script(&ipxe::images(&images, self.platform(), &urls))
    }

    /// The facts that the client reports; those known before where it reports none.
    async fn facts(&self, request: Request) -> Result<Machine, Response> {
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
        let mut machine = Machine::default();
        for (name, value) in &pairs {
            machine.insert(name, value);
        }
        Ok(if machine.is_empty() { (*self.session.machine()).clone() } else { machine })
    }

    /// A script that needs no decision but the verdict.
    async fn other_script(&self, wanted: &Wanted, uri: &Uri) -> Response {
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision).or_else(|| self.refused_script(&decision.verdict)) {
            return response;
        }
        let site = &self.state.site;
        let commands = match wanted {
            Wanted::Failed => self.failed(uri).await,
            Wanted::Autoexec => ipxe::autoexec(&site.autoexec_urls(&self.session, &self.via), self.platform()),
            _ => ipxe::bootstrap(&site.urls(&self.session, &self.via), self.platform()),
        };
        script(&commands)
    }

    /// Notes that an image did not boot, and says so on the client's screen.
    async fn failed(&self, uri: &Uri) -> Vec<Command> {
        let pairs = query(uri);
        let field = |name: &str| pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let id = Line::clean(&field("image").chars().take(64).collect::<String>());
        let error = u32::from_str_radix(field("error"), 16).ok();
        let machine = (*self.session.machine()).clone();
        let decision = self.state.engine.boot_images(&self.session, self.via.network(), machine, self.now).await;
        let images = decision.images.iter().flat_map(|images| images.images());
        let title =
            images.into_iter().find(|image| image.id == id.as_str()).map_or(id.clone(), |image| image.title.clone());
        let client = self.session.client();
        let code = error.map(|error| format!("{error:08x}")).unwrap_or_default();
        warn!(
            session = %self.session.id(), mac = %client.hardware, image = %id, error = code,
            "image did not boot; see https://ipxe.org/{code}"
        );
        self.state.metrics.count_boot(Funnel::failed, client.architecture, decision.verdict.name());
        ipxe::failed(&title, error)
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
                };
                warn!(session = %self.session.id(), file = %name, %error, "file not served");
                text(status, &format!("{name}: {error}\n"))
            }
        }
    }

    /// A boot loader.
    async fn loader(&self, name: &FileName, head: &Parts) -> Response {
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
        let (session, metrics) = (Arc::clone(&self.session), Arc::clone(&self.state.metrics));
        let (length, started, file) = (content.len(), self.now, name.clone());
        let finished = Box::new(move || {
            let client = session.client();
            let elapsed_ms = Timestamp::now().duration_since(started).as_millis();
            info!(session = %session.id(), mac = %client.hardware, %file, octets = length, elapsed_ms = elapsed_ms as u64, "file sent");
            let step = if progress == Progress::ImageFetched { Funnel::image_fetched } else { Funnel::loader_fetched };
            if session.advance(progress) {
                metrics.count_boot(step, client.architecture, "allow");
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

    async fn allowed(&self) -> Arc<BootDecision> {
        self.state.engine.allow_boot(&self.session, Stage::Http, self.via.network(), self.now).await
    }

    /// While the decision is pending: iPXE waits and asks again (since 2014).
    fn held(&self, decision: &BootDecision) -> Option<Response> {
        let late = decision.trail.last().is_some_and(|step| step.outcome == Outcome::TimedOut);
        if !late || !self.state.holds.once_more(self.session.id()) {
            return None;
        }
        let body = "the decision is pending; ask again\n";
        Some((StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, HOLD_S.to_string())], body).into_response())
    }

    fn refused_script(&self, verdict: &Verdict) -> Option<Response> {
        let reason = match verdict {
            Verdict::Allow => return None,
            Verdict::Deny { reason } => reason.clone(),
            Verdict::Ignore { .. } => Line::clean(NOTHING_HERE),
        };
        Some(script(&ipxe::denied(&reason, self.platform())))
    }

    /// What runs the machine: what iPXE says of itself, else what the firmware said.
    fn platform(&self) -> Platform {
        match self.session.machine().get("platform") {
            Some("efi") => Platform::Efi,
            Some("pcbios") => Platform::Bios,
            _ => self.session.client().architecture.platform(),
        }
    }

    fn advanced(&self, progress: Progress, step: Funnel, what: &str) {
        if self.session.advance(progress) {
            let client = self.session.client();
            info!(session = %self.session.id(), mac = %client.hardware, peer = %self.via.peer, "{what}");
            self.state.metrics.count_boot(step, client.architecture, "allow");
        }
    }
}

fn refused_file(verdict: &Verdict) -> Option<Response> {
    match verdict {
        Verdict::Allow => None,
        Verdict::Deny { reason } => Some(text(StatusCode::FORBIDDEN, &format!("access denied: {reason}\n"))),
        Verdict::Ignore { .. } => Some(text(StatusCode::NOT_FOUND, "not found\n")),
    }
}

fn query(uri: &Uri) -> Vec<(String, String)> {
    Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default()
}

fn script(commands: &[Command]) -> Response {
    ([(CONTENT_TYPE, "text/plain"), (CACHE_CONTROL, "no-store")], ipxe::render(commands)).into_response()
}

fn text(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain")], text.to_owned()).into_response()
}
