//! How the upstreams are, on the metrics page.

use std::sync::Arc;

use crate::observe::{Kind, Metrics};
use crate::upstream::Upstream;

use super::shared::Shared;

/// Shows whether each upstream answers, and what became of what it was asked.
pub(super) fn show(metrics: &Metrics, shared: &Arc<Shared>) {
    // The metrics are shown by what is shared: held strongly both ways, neither would ever end.
    let of = Arc::downgrade(shared);
    let read = move |each: fn(&Upstream) -> Vec<Line>| {
        let site = of.upgrade().map(|shared| shared.site.load_full());
        site.iter().flat_map(|site| site.upstreams.iter().flat_map(each).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let reading = read.clone();
    metrics.watch_labelled(
        Kind::Gauge,
        "upstream_up",
        "Whether an upstream answers, as far as known",
        Box::new(move || read(up)),
    );
    metrics.watch_labelled(
        Kind::Counter,
        "upstream_requests",
        "Requests to upstreams, by what became of them",
        Box::new(move || reading(requests)),
    );
}

type Line = (Vec<(&'static str, String)>, u64);

fn up(upstream: &Upstream) -> Vec<Line> {
    vec![(vec![("upstream", upstream.name().to_owned())], u64::from(!upstream.is_down()))]
}

fn requests(upstream: &Upstream) -> Vec<Line> {
    let name = upstream.name();
    let line =
        |(outcome, count): (&str, u64)| (vec![("upstream", name.to_owned()), ("outcome", outcome.to_owned())], count);
    upstream.counts().into_iter().map(line).collect()
}
