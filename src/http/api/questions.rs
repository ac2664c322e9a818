//! The two questions, asked by a site server for a machine of its own.
//!
//! **Invariant**: what is not known in time is no answer: neither a verdict nor images of a policy that stands in for
//! lateness leave this server, so that the site's own policy decides.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;

use super::message::answer;
use super::refusal::Refusal;
use super::stamps::Stamped;
use super::{ApiState, Connection};
use crate::api::{ImagesAnswer, Question, VerdictAnswer};
use crate::boot::{BootDecision, Line, Stage, Verdict};

/// *May this machine boot?*
pub(super) async fn allow_boot(
    State(state): State<Arc<ApiState>>,
    Extension(via): Extension<Connection>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked = state.message(&via, request, Stamped::Question, |question: &Question| question.stamp).await?;
    let question = &asked.content;
    let boot = state.boot(&asked.site, question, asked.now);
    if question.stage == Stage::Http {
        boot.session.set_machine(&boot.machine);
    }
    let decision = state.engine.allow_boot(&boot.session, question.stage, boot.network, asked.now).await;
    let answered = VerdictAnswer { answer: opinion(&decision)?, handler: Line::clean(&decision.handler) };
    Ok(answer(&answered))
}

/// Stands before what a site server cannot ask for.
const CANNOT_ASK: &str = "Not offered here, because this site server is too old to ask for it:";

/// *What does it boot?*
pub(super) async fn boot_images(
    State(state): State<Arc<ApiState>>,
    Extension(via): Extension<Connection>,
    request: Request,
) -> Result<Response, Refusal> {
    let asked = state.message(&via, request, Stamped::Question, |question: &Question| question.stamp).await?;
    let boot = state.boot(&asked.site, &asked.content, asked.now);
    boot.session.set_machine(&boot.machine);
    let verdict = state.engine.allow_boot(&boot.session, Stage::Http, boot.network.clone(), asked.now).await;
    let allowed = opinion(&verdict)?;
    if !verdict.verdict.allows() {
        return Ok(answer(&ImagesAnswer { answer: allowed, images: None, handler: Line::clean(&verdict.handler) }));
    }
    let decision = state.engine.boot_images(&boot.session, boot.network, boot.machine, asked.now).await;
    let answered = match (opinion(&decision)?, decision.images.clone()) {
        (Some(verdict), images) if asked.content.asks => (Some(verdict), images),
        // A site that does not know questions would boot what they guard.
        (Some(verdict), images) => {
            (Some(verdict), images.map(|images| images.without_questions(|_| true, &Line::clean(CANNOT_ASK))))
        }
        // Nobody named an image; whether the machine may boot was said before, if it was.
        (None, _) => (allowed, None),
    };
    let handler = Line::clean(&decision.handler);
    Ok(answer(&ImagesAnswer { answer: answered.0, images: answered.1, handler }))
}

/// What was decided; nothing where nobody had an opinion.
fn opinion(decision: &BootDecision) -> Result<Option<Verdict>, Refusal> {
    if decision.is_late() {
        return Err(Refusal::Pending);
    }
    Ok((!decision.is_of_nobody()).then(|| decision.verdict.clone()))
}
