//! Who is told of decisions and events: the metrics, the history and webhooks.

use std::sync::Arc;

use jiff::Timestamp;

use crate::boot::{BootDecision, BootRequest};
use crate::decision::{BootEvent, Exchange, Observer, Question, Session, Transport};
use crate::events::Events;
use crate::observe::{EventLabel, Metrics};

use super::history::HistorySender;

/// Tells all; waits for none.
pub(super) struct Observing {
    pub(super) metrics: Arc<Metrics>,
    /// Absent where the site keeps no history.
    pub(super) history: Option<HistorySender>,
    /// Webhooks.
    pub(super) events: Events,
}

impl Observer for Observing {
    fn decided(&self, question: Question, request: &BootRequest, decision: &BootDecision) {
        self.metrics.count_decision(decision);
        if let Some(history) = &self.history {
            history.decided(question, request, decision);
        }
        self.events.decided(question, request, decision);
    }

    fn happened(&self, request: &BootRequest, event: &BootEvent) {
        let count = match event {
            BootEvent::Offered { assignments, .. } => assignments.len() as u64,
            BootEvent::FileSent { .. } | BootEvent::Person { .. } => 0,
            BootEvent::Started { .. } | BootEvent::LoadFailed { .. } | BootEvent::Done | BootEvent::Failed { .. } => 1,
        };
        if count > 0 {
            self.metrics.assignments.get_or_create(&EventLabel { event: event.name() }).inc_by(count);
        }
        if let Some(history) = &self.history {
            history.happened(request, event);
        }
        self.events.happened(request, event);
    }

    fn wants(&self, session: &Session, by: Transport, now: Timestamp) -> bool {
        self.history.as_ref().is_some_and(|history| history.wants(session.id(), by, now))
    }

    fn exchanged(&self, session: &Session, exchange: &Exchange, at: Timestamp) {
        if let Some(history) = &self.history {
            history.exchanged(session, exchange, at);
        }
    }

    fn compared(&self, question: Question, request: &BootRequest, would: &str) {
        if let Some(history) = &self.history {
            history.compared(question, request, would);
        }
    }
}
