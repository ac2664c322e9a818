//! Shows on the metrics page what becomes of scripts that are not live yet.

use std::sync::Arc;

use crate::observe::{Kind, Metrics};

use super::shared::Shared;

/// Shows what became of questions, and whether candidates can be asked.
pub(super) fn show(metrics: &Metrics, shared: &Arc<Shared>) {
    // The metrics are shown by what is shared: held strongly both ways, neither would ever end.
    let of = Arc::downgrade(shared);
    let rollouts = move || of.upgrade().map(|shared| shared.site.load().rollouts.clone());
    let of = rollouts.clone();
    let read = move || {
        let labelled = |(handler, outcome, count): (String, &str, u64)| {
            (vec![("handler", handler), ("outcome", outcome.to_owned())], count)
        };
        of().iter().flat_map(|rollouts| rollouts.counts()).map(labelled).collect()
    };
    metrics.watch_labelled(
        Kind::Counter,
        "script_candidate_questions",
        "Questions that candidate scripts were asked in the shadow or answered as a canary, by what became of them",
        Box::new(read),
    );
    let read = move || {
        let labelled = |(handler, is_good): (String, bool)| (vec![("handler", handler)], u64::from(is_good));
        rollouts().iter().flat_map(|rollouts| rollouts.candidates()).map(labelled).collect()
    };
    metrics.watch_labelled(
        Kind::Gauge,
        "script_candidate_loaded",
        "Whether the candidate scripts of a handler load",
        Box::new(read),
    );
}
