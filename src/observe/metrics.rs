//! Every metric, once: names, labels and what they count.

use std::sync::{Mutex, OnceLock, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::boot::{Architecture, BootDecision};

/// The boot funnel: how far boots come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label values")]
pub enum Funnel {
    /// A DISCOVER was answered.
    offered,
    /// A boot loader was fetched to its end.
    loader_fetched,
    /// A boot script was handed out.
    script_served,
    /// A file of an image was fetched to its end.
    image_fetched,
    /// The client reported that its image did not boot.
    failed,
}

/// Labels of the boot funnel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BootLabels {
    /// How far.
    pub step: Funnel,
    /// Client system architecture.
    pub arch: String,
    /// `allow`, `deny` or `ignore`.
    pub verdict: &'static str,
}

/// Labels of decisions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HandlerLabels {
    /// Who answered.
    pub handler: String,
    /// `allow`, `deny` or `ignore`.
    pub verdict: &'static str,
}

/// A label that says why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// Why.
    pub reason: &'static str,
}

/// A label of what happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabel {
    /// What.
    pub event: &'static str,
}

/// A label of what became of something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// What.
    pub outcome: &'static str,
}

/// Counters that somebody else keeps, by outcome, read when the page is asked for.
type Read = Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

/// The labels of a value that somebody else keeps: their names and values.
pub type Labels = Vec<(&'static str, String)>;

/// Values that somebody else keeps, by labels, read when the page is asked for.
pub type ReadLabelled = Box<dyn Fn() -> Vec<(Labels, u64)> + Send + Sync>;

/// What a value that somebody else keeps is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

struct Watched {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    read: ReadLabelled,
}

impl Watched {
    fn show(&self, registry: &mut Registry) {
        match self.kind {
            Kind::Counter => {
                let family: Family<Labels, Counter> = put(registry, self.name, self.help);
                (self.read)().into_iter().for_each(|(labels, value)| {
                    family.get_or_create(&labels).inc_by(value);
                });
            }
            Kind::Gauge => {
                let family: Family<Labels, Gauge> = put(registry, self.name, self.help);
                (self.read)().into_iter().for_each(|(labels, value)| {
                    family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
                });
            }
        }
    }
}

/// The server's metrics, in a registry of their own.
pub struct Metrics {
    registry: Registry,
    watched: Mutex<Vec<Watched>>,
    sessions_known: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
    /// How far boots come.
    pub funnel: Family<BootLabels, Counter>,
    /// Decisions evaluated (not those remembered).
    pub decisions: Family<HandlerLabels, Counter>,
    /// How long evaluations took.
    pub decision_seconds: Histogram,
    /// HTTP responses by status class.
    pub http_responses: Family<ReasonLabel, Counter>,
    /// Octets of file content sent by HTTP and HTTPS.
    pub http_sent: Counter,
    /// Connections that ended in an error before a request, by why.
    pub connections_refused: Family<ReasonLabel, Counter>,
    /// Reloads, by result.
    pub reloads: Family<ReasonLabel, Counter>,
    /// What happened to assignments.
    pub assignments: Family<EventLabel, Counter>,
    /// Requests to the decision API, by what became of them.
    pub api_requests: Family<OutcomeLabel, Counter>,
    /// Answers of people at the machines, by what became of them.
    pub people: Family<OutcomeLabel, Counter>,
    sessions: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("pointsman");
        let r = &mut registry;
        let metrics = Metrics {
            funnel: put(r, "boots", "How far boots come, by architecture and verdict"),
            decisions: put(r, "decisions", "Decisions evaluated, by handler and verdict"),
            decision_seconds: Histogram::new([0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.01, 0.1, 0.5, 2.0, 10.0]),
            http_responses: put(r, "http_responses", "HTTP responses, by status class"),
            http_sent: put(r, "http_sent_bytes", "Octets of file content sent by HTTP and HTTPS"),
            connections_refused: put(r, "connections_refused", "Connections ended before a request, by why"),
            reloads: put(r, "reloads", "Reloads of configuration and scripts, by result"),
            assignments: put(r, "assignments", "What machines reported of assignments, by event"),
            api_requests: put(r, "api_requests", "Requests of site servers, by what became of them"),
            people: put(r, "people", "Answers of people at the machines, by what became of them"),
            sessions: put(r, "sessions", "Boot sessions known"),
            registry: Registry::default(),
            watched: Mutex::default(),
            sessions_known: OnceLock::new(),
        };
        let seconds = metrics.decision_seconds.clone();
        registry.register_with_unit("decision", "How long evaluations took", Unit::Seconds, seconds);
        Metrics { registry, ..metrics }
    }
}

fn put<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: Default + Clone + prometheus_client::registry::Metric,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Shows counters that a transport keeps itself, by outcome.
    pub fn watch(&self, name: &'static str, help: &'static str, read: Read) {
        let labelled = |(outcome, count): (&str, u64)| (vec![("outcome", outcome.to_owned())], count);
        let read = move || read().into_iter().map(labelled).collect();
        self.watch_labelled(Kind::Counter, name, help, Box::new(read));
    }

    /// Shows values that somebody else keeps, by labels of its own.
    pub fn watch_labelled(&self, kind: Kind, name: &'static str, help: &'static str, read: ReadLabelled) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(Watched { name, help, kind, read });
    }

    /// Shows how many sessions are known, as this function counts them.
    pub fn count_sessions(&self, count: Box<dyn Fn() -> u64 + Send + Sync>) {
        let _ = self.sessions_known.set(count);
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        let sessions = self.sessions_known.get().map_or(0, |count| count());
        self.sessions.set(i64::try_from(sessions).unwrap_or(i64::MAX));
        let mut others = Registry::with_prefix("pointsman");
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.iter().for_each(|watched| watched.show(&mut others));
        drop(watched);
        let mut text = String::new();
        // Writing to a string cannot fail; an empty page would show that it did.
        let _ = prometheus_client::encoding::text::encode_registry(&mut text, &others);
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts a step of a boot.
    pub fn count_boot(&self, step: Funnel, architecture: Architecture, verdict: &'static str) {
        self.funnel.get_or_create(&BootLabels { step, arch: architecture.to_string(), verdict }).inc();
    }

    /// Counts a decision that was evaluated.
    pub fn count_decision(&self, decision: &BootDecision) {
        let labels = HandlerLabels { handler: decision.handler.clone(), verdict: decision.verdict.name() };
        self.decisions.get_or_create(&labels).inc();
        self.decision_seconds.observe(decision.elapsed_us as f64 / 1e6);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_metric_under_its_name() {
        let metrics = Metrics::default();
        metrics.count_boot(Funnel::offered, Architecture::X64_UEFI, "allow");
        metrics.count_sessions(Box::new(|| 3));
        metrics.watch("dhcp_packets", "DHCP packets", Box::new(|| vec![("offer", 7)]));
        let up = || vec![(vec![("database", "cm\"db".to_owned())], 1)];
        metrics.watch_labelled(Kind::Gauge, "database_up", "Whether it answers", Box::new(up));
        let counts = || vec![(vec![("database", "a".to_owned()), ("outcome", "failed".to_owned())], 2)];
        metrics.watch_labelled(Kind::Counter, "database_queries", "Queries", Box::new(counts));
        let text = metrics.text();
        assert!(
            text.contains("pointsman_boots_total{step=\"offered\",arch=\"x64-uefi\",verdict=\"allow\"} 1"),
            "{text}"
        );
        for name in [
            "pointsman_dhcp_packets_total{outcome=\"offer\"} 7",
            "pointsman_database_up{database=\"cm\\\"db\"} 1",
            "pointsman_database_queries_total{database=\"a\",outcome=\"failed\"} 2",
            "pointsman_sessions 3",
            "pointsman_decision_seconds_count 0",
            "# EOF",
        ] {
            assert!(text.contains(name), "{name} not in {text}");
        }
    }
}
