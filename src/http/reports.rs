//! What a machine reports: an assignment begins, an image could not be loaded, an installer is done or failed.
//!
//! | answer to an installer | means |
//! |---|---|
//! | 200 | noted; saying it again is harmless |
//! | 403, 404 | this machine may not boot, or the token is too old or not ours |
//! | 409 | refused, with the reason; asking again does not help |
//! | 503 with `Retry-After` | could not be noted; ask again, as `curl --retry` does |
//!
//! **Invariant**: a machine begins an assignment only on the script that succeeds, and gets that only once the start was
//! noted. Whatever else comes to pass ends in a script that fails, or in none.

use axum::body::{Body, to_bytes};
use axum::extract::{Form, FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use tracing::{info, warn};

use super::answers::{later, refused_file, script, shown_reason, text};
use super::boot::Asked;
use super::form::{FORM_TIME_MAX, field, query};
use crate::boot::Line;
use crate::decision::BootEvent;
use crate::ipxe::{self, SessionUrls};
use crate::observe::Funnel;

/// The longest reason that is read, in octets; it is cut to a [`Line`].
const REASON_LEN_MAX: usize = 16 * 1024;
/// The longest id of an image, in octets.
const IMAGE_LEN_MAX: usize = 64;
/// Stands where a failed installer does not say why.
const NO_REASON: &str = "no reason given";

impl Asked {
    /// iPXE is about to load an image that does an assignment.
    pub(super) async fn start(&self, uri: &Uri) -> Response {
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision) {
            return response;
        }
        if let Some(reason) = shown_reason(&decision.verdict) {
            return script(&ipxe::not_started(&reason));
        }
        let Some(event) = started(&query(uri)) else {
            return script(&ipxe::not_started(&Line::clean("The report names no image and no assignment.")));
        };
        let Err(error) = self.report(&event).await else {
            info!(session = %self.session.id(), mac = %self.session.client().hardware, ?event, "assignment started");
            return script(&ipxe::started());
        };
        self.held_by(&error).unwrap_or_else(|| script(&ipxe::not_started(&Line::clean(&error.message))))
    }

    /// An image did not boot: notes it, and says so on the client's screen.
    pub(super) async fn load_failed(&self, uri: &Uri) -> Response {
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision).or_else(|| self.refused_script(&decision.verdict)) {
            return response;
        }
        let pairs = query(uri);
        let id = Line::clean(&field(&pairs, "image").chars().take(IMAGE_LEN_MAX).collect::<String>());
        let error = u32::from_str_radix(field(&pairs, "error"), 16).ok();
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
        // The engine logs what goes wrong; the machine goes on either way.
        let _ = self.report(&BootEvent::LoadFailed { image: id.as_str().to_owned(), error }).await;
        script(&ipxe::failed(&title, error))
    }

    /// The installer failed, and may say why: in the query, in a form, or as plain text.
    pub(super) async fn installer_failed(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let pairs = query(&head.uri);
        let said = match field(&pairs, "reason") {
            "" => {
                let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
                said_in_body(kind, body).await
            }
            said => said.to_owned(),
        };
        let said = Line::clean(said.trim());
        let reason = if said.is_empty() { Line::clean(NO_REASON) } else { said };
        self.installer(BootEvent::Failed { reason }).await
    }

    /// What an installer says of its end.
    pub(super) async fn installer(&self, event: BootEvent) -> Response {
        let decision = self.allowed().await;
        if let Some(response) = self.held(&decision).or_else(|| refused_file(&decision.verdict)) {
            return response;
        }
        let is_over = event == BootEvent::Done;
        match self.report(&event).await {
            Ok(()) => {
                if is_over {
                    self.session.end_person();
                }
                info!(session = %self.session.id(), mac = %self.session.client().hardware, ?event, "installer reported");
                text(StatusCode::OK, "noted\n")
            }
            Err(error) if error.is_refusal => text(StatusCode::CONFLICT, &format!("{error}\n")),
            Err(_) => later("this could not be noted; say it again\n"),
        }
    }
}

/// What [`SessionUrls::start`] says, read again.
fn started(pairs: &[(String, String)]) -> Option<BootEvent> {
    let image = field(pairs, "image");
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let assignment = match field(pairs, "assignment_hex") {
        "" => field(pairs, "assignment").to_owned(),
        digits => decoded(digits)?,
    };
    let is_image = (1..=IMAGE_LEN_MAX).contains(&image.len()) && image.bytes().all(known);
    let is_assignment = (1..=SessionUrls::ASSIGNMENT_LEN_MAX).contains(&assignment.len());
    (is_image && is_assignment).then(|| BootEvent::Started { image: image.to_owned(), assignment })
}

/// Text in hexadecimal digits.
fn decoded(digits: &str) -> Option<String> {
    let pair = |pair: &[u8]| {
        let &[high, low] = pair else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        Some(digit(high)? << 4 | digit(low)?)
    };
    String::from_utf8(digits.as_bytes().chunks(2).map(pair).collect::<Option<_>>()?).ok()
}

/// The reason in a body: the field of a form, else the text as it is. What does not come, or is too long, says nothing:
/// that the installer failed is noted all the same.
async fn said_in_body(kind: &str, body: Body) -> String {
    let read = tokio::time::timeout(FORM_TIME_MAX, to_bytes(body, REASON_LEN_MAX)).await;
    let Ok(Ok(octets)) = read else { return String::new() };
    if kind.starts_with("application/x-www-form-urlencoded") {
        let form = Request::post("/").header(CONTENT_TYPE, kind).body(Body::from(octets.clone()));
        let pairs = match form {
            Ok(form) => Form::<Vec<(String, String)>>::from_request(form, &()).await.map(|Form(pairs)| pairs),
            Err(_) => Ok(Vec::new()),
        };
        if let Some((_, reason)) = pairs.unwrap_or_default().into_iter().find(|(name, _)| name == "reason") {
            return reason;
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}
