//! What happened in a boot at a site.
//!
//! **Invariant**: the site hears that something was noted only when it was.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use jiff::Timestamp;

use super::refusal::Refusal;
use super::stamps::Stamped;
use super::{ApiState, Connection};
use crate::api::{EventFacts, Report};
use crate::boot::BootImages;
use crate::decision::BootEvent;
use crate::observe::EventLabel;

/// Notes an event.
pub(super) async fn happened(
    State(state): State<Arc<ApiState>>,
    Extension(via): Extension<Connection>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let told = state.message(&via, request, Stamped::Report, |report: &Report| report.about.stamp).await?;
    check(&told.content.event)?;
    let boot = state.boot(&told.site, &told.content.about, told.now);
    boot.session.set_machine(&boot.machine);
    let event = BootEvent::from(&told.content.event);
    // What needs nobody's agreement.
    let is_news_only = match &event {
        BootEvent::Offered { assignments, .. } => assignments.is_empty(),
        BootEvent::FileSent { .. } => true,
        _ => false,
    };
    // Not when the message came: an offer is after the decision that it follows from.
    let now = Timestamp::now();
    if is_news_only {
        state.engine.happened(&boot.session, &event, now);
        return Ok(StatusCode::NO_CONTENT);
    }
    match state.engine.report(&boot.session, boot.network, &event, now).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => {
            let event = if error.is_refusal { "refused" } else { "not-noted" };
            state.metrics.assignments.get_or_create(&EventLabel { event }).inc();
            Err(match error.is_refusal {
                true => Refusal::Forbidden(error.message),
                false => Refusal::NotNoted(error.message),
            })
        }
    }
}

/// There cannot be more in an event than in the answer that it follows from.
fn check(event: &EventFacts) -> Result<(), Refusal> {
    let max = BootImages::IMAGES_MAX;
    match event {
        EventFacts::Offered { images, assignments } if images.len() > max || assignments.len() > max => {
            Err(Refusal::Malformed(format!("more than {max} images")))
        }
        _ => Ok(()),
    }
}
