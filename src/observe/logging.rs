//! Log lines: text for people, JSON for machines, to standard output or standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{LogFormat, LogSection};

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The daemon's: standard output, as systemd and containers expect.
    Stdout,
    /// Commands' that print their result to standard output.
    Stderr,
}

/// Installs the logger of this process; a second call does nothing.
pub fn start_logging(section: &LogSection, target: LogTarget) {
    let filter = filter(&section.level);
    let is_terminal = match target {
        LogTarget::Stdout => std::io::stdout().is_terminal(),
        LogTarget::Stderr => std::io::stderr().is_terminal(),
    };
    let writer = match target {
        LogTarget::Stdout => fmt::writer::BoxMakeWriter::new(std::io::stdout),
        LogTarget::Stderr => fmt::writer::BoxMakeWriter::new(std::io::stderr),
    };
    let layer = match section.format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(is_terminal).with_target(false).with_writer(writer).boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}

/// What is logged. rustls warns of every iPXE and EDK2 handshake, because they name an IP address where a host name belongs;
/// it is heard only where the site asks for it.
fn filter(level: &str) -> Targets {
    let filter: Targets = level.parse().unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
    match level.contains("rustls") || level == "off" {
        true => filter,
        false => filter.with_target("rustls", tracing::Level::ERROR),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn rustls_is_quiet_unless_asked_for() {
        assert!(!filter("info").would_enable("rustls::msgs::handshake", &Level::WARN));
        assert!(filter("info").would_enable("pointsman::dhcp", &Level::INFO));
        assert!(filter("info,rustls=debug").would_enable("rustls::msgs", &Level::DEBUG));
        assert!(!filter("off").would_enable("pointsman", &Level::ERROR));
        assert!(!filter("off").would_enable("rustls_platform_verifier", &Level::ERROR));
    }
}
