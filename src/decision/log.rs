//! The one `info` line of each decision, within what a log can take.
//!
//! Anybody on the network can make up MAC addresses, and each is a decision. A room full of machines fits well below the
//! limit; a flood beyond it is counted and told once a second instead of filling the disk.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{debug, info, warn};

use crate::boot::{BootDecision, BootImages, BootRequest};

/// Lines in one second.
const LINES_PER_SECOND_MAX: u64 = 2000;

/// Writes the lines of decisions.
#[derive(Default)]
pub(super) struct DecisionLog {
    /// The second that is counted, in Unix time.
    second: AtomicU64,
    lines: AtomicU64,
}

impl DecisionLog {
    /// Writes the line of a decision.
    pub(super) fn write(&self, question: &'static str, request: &BootRequest, decision: &BootDecision) {
        if !self.has_room(u64::try_from(request.now.as_second()).unwrap_or(0)) {
            return;
        }
        let client = &request.client;
        info!(
            target: "pointsman::decision",
            question,
            session = %request.session,
            mac = %client.hardware,
            uuid = client.uuid().map(tracing::field::display),
            arch = %client.architecture,
            stage = request.stage.name(),
            handler = decision.handler,
            verdict = decision.verdict.name(),
            reason = decision.verdict.reason(),
            images = decision.images.as_ref().map(image_ids),
            ms = decision.elapsed_us as f64 / 1000.0,
            "boot decided"
        );
        debug!(session = %request.session, trail = ?decision.trail, "trail");
    }

    /// Takes the place of one line; tells what was left out when a new second begins.
    fn has_room(&self, second: u64) -> bool {
        if self.second.swap(second, Ordering::Relaxed) != second {
            let left_out = self.lines.swap(0, Ordering::Relaxed).saturating_sub(LINES_PER_SECOND_MAX);
            if left_out > 0 {
                warn!(left_out, "decisions of the last second were not all logged: somebody asks with many addresses");
            }
        }
        self.lines.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND_MAX
    }
}

/// The images of an answer in a few words.
pub(super) fn image_ids(images: &BootImages) -> String {
    if images.images().is_empty() {
        return "local disk".into();
    }
    images.images().iter().map(|image| image.id.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_off_and_the_next_second_is_free_again() {
        let log = DecisionLog::default();
        let written = (0..LINES_PER_SECOND_MAX * 3).filter(|_| log.has_room(7)).count();
        assert_eq!(written as u64, LINES_PER_SECOND_MAX);
        assert!(log.has_room(8));
    }
}
