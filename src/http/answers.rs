//! What the routes of a boot answer with.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

use crate::boot::{Line, Verdict};
use crate::ipxe::{self, Command};

/// How long a client waits before it asks again for what is pending, or could not be noted.
pub(super) const HOLD_S: u64 = 5;
/// Shown where the verdict is silence, and its reason for the log only.
const NOTHING_HERE: &str = "This server has nothing for this machine.";

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
pub(super) fn leaves_ipxe_alone(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refer(referral) if !referral.tells_ipxe())
}

/// Why a machine may not have a file; none when it may.
pub(super) fn refused_file(verdict: &Verdict) -> Option<Response> {
    match verdict {
        Verdict::Allow(_) => None,
        Verdict::Deny { reason } => Some(text(StatusCode::FORBIDDEN, &format!("access denied: {reason}\n"))),
        Verdict::Refer(referral) if referral.goes_on() => None,
        Verdict::Ignore { .. } | Verdict::Refer(_) => Some(text(StatusCode::NOT_FOUND, "not found\n")),
    }
}

/// A configuration file that was made for one machine.
pub(super) fn made_text(made: String) -> Response {
    ([(CONTENT_TYPE, "text/plain"), (CACHE_CONTROL, "no-store")], made).into_response()
}

/// A script for iPXE.
pub(super) fn script(commands: &[Command]) -> Response {
    ([(CONTENT_TYPE, "text/plain"), (CACHE_CONTROL, "no-store")], ipxe::render(commands)).into_response()
}

/// The answer to a client that asks again, as iPXE and `curl --retry` do.
pub(super) fn later(body: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, HOLD_S.to_string())], body).into_response()
}

/// A line for who reads it.
pub(super) fn text(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain")], text.to_owned()).into_response()
}
