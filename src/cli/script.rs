//! `pointsman script`: the contract between the server and the site's scripts, on a terminal and in editors.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::output::say;
use crate::handlers::script::{definitions, help};

/// What scripts can read and call, for people and for editors
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Script {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Help(Help),
    Definitions(Definitions),
}

/// Explain a field of the request or a function: types, options, an example
///
/// Without a name: everything there is, by what it is for.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman script help
  pointsman script help request.serial
  pointsman script help linux")]
struct Help {
    /// A field, a fact, a part of the time or a function
    name: Option<String>,
}

/// Write definition files, so that an editor with the Rhai language server completes and explains
///
/// The files are made from the same tables as the documentation. Write them into the folder of the scripts, or below
/// it; they are never run.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  pointsman script definitions /etc/pointsman/definitions")]
struct Definitions {
    /// The folder; made when it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(command: &Script) -> anyhow::Result<ExitCode> {
    match &command.command {
        Command::Help(Help { name: None }) => say(help::overview().trim_end()),
        Command::Help(Help { name: Some(name) }) => {
            say(help::detail(name).map_err(|error| anyhow::anyhow!(error))?.trim_end());
        }
        Command::Definitions(Definitions { folder }) => {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            for (name, text) in definitions::files() {
                let file = folder.join(name);
                std::fs::write(&file, text).with_context(|| file.display().to_string())?;
                say(&format!("wrote {}", file.display()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
