//! What the server tells of itself: log lines and metrics.

mod logging;
mod metrics;

pub use logging::{LogTarget, start_logging};
pub use prometheus_client::metrics::counter::Counter;

pub use metrics::{
    BootLabels, EventLabel, Funnel, HandlerLabels, Kind, Labels, Metrics, OutcomeLabel, ReadLabelled, ReasonLabel,
};
