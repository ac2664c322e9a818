//! `pointsman scripts`: new scripts on their way to be the live ones, and back.

mod diff;
mod status;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::output::{complain, say, say_json};
use super::table::Table;
use super::times::local;
use crate::config::{Config, HandlerSection, ScriptSection};
use crate::database::Databases;
use crate::handlers::rollout::Desk;
use crate::handlers::{Cases, try_scripts};

/// Try new scripts beside the live ones, make them live, and go back
///
/// The candidate is a folder beside the live scripts. As soon as it is there, a running server asks it whatever the live
/// scripts have answered, and tells what it would do otherwise; with `canary_percent` and its like it really answers some
/// machines. No command here needs the server to run; it takes over what changes by itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman scripts stage              copy scripts/ to scripts.next/, and edit there
  pointsman scripts diff               what was edited
  pointsman scripts status             does it load, and what would it do otherwise?
  pointsman scripts promote            make it live; the old scripts are kept
  pointsman scripts rollback           bring back what was live before
  pointsman scripts list               all that was live before")]
pub(super) struct Scripts {
    /// The handler of the configuration whose scripts are meant, where several have scripts
    #[arg(long, global = true, value_name = "NAME")]
    handler: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a candidate: a copy of the live scripts, or of another folder
    #[command(after_help = "Examples:
  pointsman scripts stage
  pointsman scripts stage --from ~/rules     from a checkout of your own")]
    Stage {
        /// Copy this folder
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Show which scripts are live, which are the candidate, and what became of it
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the scripts that were live before
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the lines in which the candidate differs from the live scripts
    #[command(after_help = "Examples:
  pointsman scripts diff
  pointsman scripts diff 7             from a revision to the live scripts")]
    Diff {
        /// A revision, by its number or the beginning of its digest, instead of the candidate
        #[arg(value_name = "REVISION")]
        revision: Option<String>,
    },
    /// Make the candidate live: in one step, and only if it loads and its cases pass
    Promote {
        /// Also if it does not load or cases fail
        #[arg(long)]
        force: bool,
    },
    /// Make scripts live that were before; the last ones, or a revision
    #[command(after_help = "Examples:
  pointsman scripts rollback           once more brings back what you rolled back from
  pointsman scripts rollback 7         `pointsman scripts list` shows the numbers")]
    Rollback {
        /// A revision, by its number or the beginning of its digest
        #[arg(value_name = "REVISION")]
        revision: Option<String>,
        /// Also if they do not load any more or cases fail
        #[arg(long)]
        force: bool,
    },
}

/// The scripts that are meant, with all handlers that they are the scripts of.
struct Work<'a> {
    config: &'a Config,
    databases: Databases,
    sections: Vec<(&'a str, &'a ScriptSection)>,
    desk: Desk,
}

pub(super) fn run(command: &Scripts, file: &Path) -> anyhow::Result<ExitCode> {
    let config = super::read_config(file)?;
    let work = Work::find(&config, command.handler.as_deref())?;
    if work.desk.recover()? {
        complain("an earlier `pointsman scripts` was broken off; what it began is finished");
    }
    match &command.command {
        Command::Stage { from } => stage(&work, from.as_deref())?,
        Command::Status { json } => status::show(&work, *json)?,
        Command::List { json } => list(&work, *json)?,
        Command::Diff { revision } => diff(&work, revision.as_deref())?,
        Command::Promote { force } => promote(&work, *force)?,
        Command::Rollback { revision, force } => roll_back(&work, revision.as_deref(), *force)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl<'a> Work<'a> {
    fn find(config: &'a Config, handler: Option<&str>) -> anyhow::Result<Work<'a>> {
        let scripts = config.handlers.iter().filter_map(|section| match section {
            HandlerSection::Script(script) => Some((section.display_name(), script)),
            HandlerSection::Sql(_) | HandlerSection::Referral(_) => None,
        });
        let all: Vec<(&str, &ScriptSection)> = scripts.collect();
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        let chosen = match handler {
            Some(wanted) => all.iter().find(|(name, _)| *name == wanted),
            None => all.first(),
        };
        let Some((_, chosen)) = chosen else {
            match handler {
                Some(wanted) => bail!("no handler with scripts is called `{wanted}`; there is {}", names.join(", ")),
                None => bail!("no handler of the configuration has scripts"),
            }
        };
        let sections: Vec<_> = all.iter().filter(|(_, script)| script.scripts == chosen.scripts).copied().collect();
        if handler.is_none() && sections.len() < all.len() {
            bail!("several folders have scripts; say whose are meant: --handler {}", names.join(", --handler "));
        }
        let databases = Databases::open(config, None).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        Ok(Work { config, databases, sections, desk: Desk::of(chosen) })
    }

    /// Tries the scripts of a folder with every handler. The revision is that of the first.
    fn try_folder(&self, folder: &Path) -> Tried {
        let mut tried = Tried::default();
        for (name, section) in &self.sections {
            match try_scripts(self.config, section, folder, &self.databases) {
                Ok((revision, Cases { passed, failures, .. })) => {
                    tried.revision.get_or_insert(revision);
                    tried.passed += passed;
                    tried.failures.extend(failures);
                }
                Err(errors) => tried.errors.extend(errors),
            }
            tried.handlers.push((*name).to_owned());
        }
        if !tried.errors.is_empty() {
            tried.revision = None;
        }
        tried
    }

    fn live_folder(&self) -> &Path {
        self.sections.first().map_or(Path::new("scripts"), |(_, section)| &section.scripts)
    }
}

/// How scripts did when they were tried.
#[derive(Default)]
struct Tried {
    handlers: Vec<String>,
    /// None where they do not load.
    revision: Option<String>,
    passed: usize,
    failures: Vec<String>,
    errors: Vec<String>,
}

impl Tried {
    /// Refuses scripts that are not good, unless that is overridden; then says what was.
    fn may_be_live(&self, what: &str, force: bool) -> anyhow::Result<()> {
        let wrong: Vec<&String> = self.errors.iter().chain(&self.failures).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let wrong = wrong.into_iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        let does = if self.errors.is_empty() { "has cases that fail" } else { "does not load" };
        if !force {
            bail!("{what} {does}; nothing was changed (--force makes it live all the same)\n{wrong}");
        }
        complain(&format!("--force: {what} {does}, and becomes live all the same\n{wrong}"));
        if self.errors.is_empty() {
            complain("a running server goes on with the old scripts until the cases pass");
        } else {
            complain("a running server goes on with the old scripts, and does not start again with these");
        }
        Ok(())
    }
}

fn stage(work: &Work<'_>, from: Option<&Path>) -> anyhow::Result<()> {
    let staged = work.desk.stage(from)?;
    let folder = work.desk.candidate().display();
    say(&format!("staged: {} files in {folder}", staged.files));
    say("Edit there; then:");
    say("  pointsman scripts status     does it load, and what would it do otherwise?");
    say("  pointsman scripts promote    make it live");
    Ok(())
}

fn promote(work: &Work<'_>, force: bool) -> anyhow::Result<()> {
    let candidate = work.desk.candidate();
    // Without a candidate there is nothing to try: the desk says so.
    let tried = work.desk.has_candidate().then(|| work.try_folder(candidate));
    if let Some(tried) = &tried {
        tried.may_be_live(&format!("the candidate {}", candidate.display()), force)?;
    }
    let live = work.try_folder(work.live_folder()).revision.unwrap_or_default();
    let old = work.desk.promote(&live)?;
    let revision = tried.and_then(|tried| tried.revision).unwrap_or_default();
    say(&format!("promoted: {} is now revision {revision}", work.live_folder().display()));
    say(&format!("what was live is kept as revision {} ({}) in {}", old.number, old.revision, old.folder.display()));
    say_what_follows();
    Ok(())
}

fn roll_back(work: &Work<'_>, revision: Option<&str>, force: bool) -> anyhow::Result<()> {
    let to = work.desk.find(revision)?;
    let tried = work.try_folder(&to.folder);
    tried.may_be_live(&format!("revision {} ({})", to.number, to.revision), force)?;
    let live = work.try_folder(work.live_folder()).revision.unwrap_or_default();
    let old = work.desk.roll_back(&to, &live)?;
    say(&format!("rolled back: {} is revision {} ({}) again", work.live_folder().display(), to.number, to.revision));
    say(&format!("what was live is kept as revision {} ({}) in {}", old.number, old.revision, old.folder.display()));
    say_what_follows();
    Ok(())
}

fn say_what_follows() {
    say("A running server takes them over within a second and logs `reloaded`, or what is wrong.");
    say("`pointsman scripts rollback` brings back what was live.");
}

fn list(work: &Work<'_>, json: bool) -> anyhow::Result<()> {
    let revisions = work.desk.revisions()?;
    if json {
        return say_json(&revisions);
    }
    let mut table = Table::new(&["number", "revision", "live until", "folder"]);
    for revision in revisions {
        let folder = revision.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        table.row([revision.number.to_string(), revision.revision, local(revision.until), folder]);
    }
    table.print("No scripts were live before these.");
    Ok(())
}

fn diff(work: &Work<'_>, revision: Option<&str>) -> anyhow::Result<()> {
    let live = work.live_folder();
    let (old, new) = match revision {
        Some(revision) => (work.desk.find(Some(revision))?.folder, live.to_owned()),
        None if !work.desk.has_candidate() => {
            bail!("there is no candidate to compare; `pointsman scripts stage` makes one")
        }
        None => (live.to_owned(), work.desk.candidate().to_owned()),
    };
    let lines = diff::folders(&old, &new)?;
    if lines.is_empty() {
        say(&format!("{} and {} are the same", old.display(), new.display()));
    }
    lines.iter().for_each(|line| say(line));
    Ok(())
}
