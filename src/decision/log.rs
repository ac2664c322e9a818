//! The one `info` line of each decision, within what a log can take.
//!
//! Anybody on the network can make up MAC addresses, and each is a decision. A room full of machines fits well below the
//! limit; a flood beyond it is counted and told once a second instead of filling the disk.

use jiff::Timestamp;
use tracing::{debug, info, warn};

use crate::boot::{BootDecision, BootImages, BootRequest, IdentityStatus};
use crate::pace::Pace;

/// Lines in one second.
const LINES_PER_SECOND_MAX: u64 = 2000;

/// Writes the lines of decisions.
#[derive(Default)]
pub(super) struct DecisionLog {
    pace: Pace,
}

impl DecisionLog {
    /// Writes the line of a decision.
    pub(super) fn write(&self, question: &'static str, request: &BootRequest, decision: &BootDecision) {
        if !self.has_room(request.now) {
            return;
        }
        let client = &request.client;
        info!(
            target: "pointsman::decision",
            question,
            session = %request.session,
            site = Some(&*request.network.site).filter(|site| !site.is_empty()),
            mac = %client.hardware,
            uuid = client.uuid().map(tracing::field::display),
            arch = %client.architecture,
            stage = request.stage.name(),
            identity = Some(&*request.identity).filter(|who| who.status != IdentityStatus::Unknown).map(tracing::field::display),
            handler = decision.handler,
            verdict = decision.verdict.name(),
            reason = decision.verdict.reason(),
            images = decision.images.as_ref().map(image_ids),
            ms = decision.elapsed_us as f64 / 1000.0,
            "boot decided"
        );
        debug!(session = %request.session, trail = ?decision.trail, "trail");
    }

    /// Whether one more line about this request may be written; tells what was left out when a new second begins.
    pub(super) fn has_room(&self, now: Timestamp) -> bool {
        let room = self.pace.take(now.as_second(), LINES_PER_SECOND_MAX);
        if room.left_out > 0 {
            let left_out = room.left_out;
            warn!(left_out, "decisions of the last second were not all logged: somebody asks with many addresses");
        }
        room.is_free
    }
}

/// The images of an answer in a few words.
pub(super) fn image_ids(images: &BootImages) -> String {
    if let Some(question) = images.ask() {
        return format!("ask {}", question.method().name());
    }
    if images.images().is_empty() {
        return "local disk".into();
    }
    images.images().iter().map(|image| image.id.as_str()).collect::<Vec<_>>().join(", ")
}
