//! The `pointsman` program: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // The one TLS provider of the process; a second installation is refused and the first one stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    pointsman::cli::run(pointsman::cli::Cli::parse())
}
