//! `pointsman people`: hashes for the configuration, and trying whether somebody can be verified.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::output::{complain, say};
use super::secret::{new_secret, read_secret};
use crate::boot::{Ask, Line, Method};
use crate::observe::{LogTarget, start_logging};
use crate::people::{Answer, People as Verifier, SecretHash};
use crate::store::Store;

/// The people at the machines: make a hash for the configuration, try whether somebody can be verified
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman people hash               type a PIN or password; prints the line for [people.pin.NAME]
                                      or [people.user.NAME]
  pointsman people hash < pin.txt     the same from a file; never as an argument
  pointsman people verify ann         type ann's password; asks the configuration, else the directory
  pointsman people verify --pin")]
pub(super) struct People {
    #[command(subcommand)]
    command: PeopleCommand,
}

#[derive(Debug, Subcommand)]
enum PeopleCommand {
    /// Print the hash of a PIN or password that is typed, or comes by standard input
    Hash,
    /// Try whether a person can be verified, as a machine would
    ///
    /// A wrong password is counted for the user name, as everywhere.
    Verify {
        /// The user name
        #[arg(required_unless_present = "pin")]
        name: Option<String>,
        /// Try a PIN
        #[arg(long, conflicts_with = "name")]
        pin: bool,
    },
}

/// A PIN that is guessed within the attempts that anybody has.
const SECRET_LEN_MIN: usize = 4;

pub(super) fn run(command: &People, file: &Path) -> anyhow::Result<ExitCode> {
    match &command.command {
        PeopleCommand::Hash => hash(),
        PeopleCommand::Verify { name, .. } => verify(name.as_deref(), file),
    }
}

fn hash() -> anyhow::Result<ExitCode> {
    let secret = new_secret("PIN or password")?;
    if secret.chars().count() < SECRET_LEN_MIN {
        anyhow::bail!("that is too short; use at least {SECRET_LEN_MIN} characters, and better 6 for a PIN");
    }
    let hash = SecretHash::text_of(&secret).map_err(anyhow::Error::msg)?;
    say(&format!("hash = \"{hash}\""));
    Ok(ExitCode::SUCCESS)
}

fn verify(name: Option<&str>, file: &Path) -> anyhow::Result<ExitCode> {
    let config = super::read_config(file)?;
    start_logging(&config.log, LogTarget::Stderr);
    let people =
        Verifier::open(&config, Some(Store::open(&config)?)).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let secret = read_secret(if name.is_some() { "Password" } else { "PIN" })?;
    let method = if name.is_some() { Method::Login } else { Method::Pin };
    let ask = Ask::new(method, Line::default(), Vec::new())?;
    let answer = Answer { user: name.unwrap_or_default().to_owned(), secret };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let verified = runtime.block_on(people.verify_here(&ask, &answer, Timestamp::now()));
    match verified {
        Ok(person) if person.groups.is_empty() => say(&format!("{} is verified, and in no group", person.name)),
        Ok(person) => say(&format!("{} is verified; groups: {}", person.name, person.groups.join(", "))),
        Err(refusal) => {
            complain(&format!("not verified: {refusal}"));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
