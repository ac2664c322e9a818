//! `pointsman group`: machines that are assigned things together.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output::{say, say_json};
use super::store::{Desk, at_desk};
use super::table::Table;
use super::times::local;
use crate::store::{Group as Entry, Name};

/// Put machines into groups, which are assigned images together
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman group add lab --title \"Physics lab\"
  pointsman group join lab lab-07 lab-08
  pointsman assign group:lab debian --always")]
pub(super) struct Group {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// Add a group
    Add {
        /// Its name
        name: Name,
        /// What it is
        #[arg(long, value_name = "TEXT")]
        title: Option<String>,
    },
    /// Remove a group with what is assigned to it; its machines stay
    Remove {
        /// Its name
        name: Name,
    },
    /// List the groups
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put machines into a group
    Join {
        /// The group
        group: Name,
        /// The machines
        #[arg(required = true)]
        machines: Vec<Name>,
    },
    /// Take machines out of a group
    Leave {
        /// The group
        group: Name,
        /// The machines
        #[arg(required = true)]
        machines: Vec<Name>,
    },
}

pub(super) fn run(command: &Group, file: &Path) -> anyhow::Result<ExitCode> {
    at_desk(file, async |desk| match &command.command {
        GroupCommand::Add { name, title } => {
            desk.store.add_group(name, title.as_deref(), desk.now).await?;
            say(&format!("added the group {name}"));
            Ok(())
        }
        GroupCommand::Remove { name } => {
            desk.store.remove_group(name).await?;
            say(&format!("removed the group {name}; its machines stay"));
            Ok(())
        }
        GroupCommand::List { json } => list(&desk, *json).await,
        GroupCommand::Join { group, machines } => {
            for machine in machines {
                let was_new = desk.store.join_group(group, machine).await?;
                say(&format!("{machine} is in {group}{}", if was_new { "" } else { ", as it was before" }));
            }
            Ok(())
        }
        GroupCommand::Leave { group, machines } => {
            for machine in machines {
                let was_in = desk.store.leave_group(group, machine).await?;
                say(&format!("{machine} is {} {group}", if was_in { "no more in" } else { "not in" }));
            }
            Ok(())
        }
    })
}

async fn list(desk: &Desk, json: bool) -> anyhow::Result<()> {
    let mut found: Vec<Entry> = Vec::new();
    loop {
        let page = desk.store.groups(found.last().map(|group| &group.name)).await?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    if json {
        return say_json(&found);
    }
    let mut table = Table::new(&["name", "machines", "title", "since"]);
    for group in &found {
        let title = group.title.clone().unwrap_or_default();
        table.row([group.name.to_string(), group.machines.to_string(), title, local(group.created)]);
    }
    table.print("No groups. `pointsman group add NAME` adds one.");
    Ok(())
}
