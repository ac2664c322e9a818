//! Who is told of decisions and events: the metrics.

use std::sync::Arc;

use crate::boot::{BootDecision, BootRequest};
use crate::decision::{BootEvent, Observer, Question};
use crate::observe::Metrics;

pub(super) struct Observing(pub(super) Arc<Metrics>);

impl Observer for Observing {
    fn decided(&self, _: Question, _: &BootRequest, decision: &BootDecision) {
        self.0.count_decision(decision);
    }

    fn happened(&self, _: &BootRequest, _: &BootEvent) {}
}
