//! `pointsman machines`: the machines that the store knows with their last boots, and those that it does not.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::output::{complain, say_json};
use super::store::{Desk, at_desk};
use super::table::Table;
use super::times::{local, past};
use crate::store::{MachineEntry, Name, Seen, Store};

/// List the machines of the store with their last boots
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman machines
  pointsman machines --group lab --json
  pointsman machines --strangers 7d     who booted in the last week and is not in the store")]
pub(super) struct Machines {
    /// Only those of a group
    #[arg(long, value_name = "GROUP")]
    group: Option<Name>,
    /// Adapters that booted since then, and belong to no machine of the store: 1d, 90m, or a moment
    #[arg(long, value_name = "AGE", value_parser = past, conflicts_with = "group")]
    strangers: Option<Timestamp>,
    /// The most to list
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// A machine with its last boot.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    machine: MachineEntry,
    last_boot: Option<Seen>,
}

pub(super) fn list(command: &Machines, file: &Path) -> anyhow::Result<ExitCode> {
    at_desk(file, async |desk| {
        if let Some(since) = command.strangers {
            return strangers(&desk, since, command.json).await;
        }
        if let Some(group) = &command.group {
            desk.store.find_group(group).await?;
        }
        let mut found: Vec<Listed> = Vec::new();
        loop {
            let limit = Store::PAGE_MAX.min(command.limit - found.len());
            let after = found.last().map(|listed| listed.machine.name.clone());
            let page = desk.store.machines(command.group.as_ref(), after.as_ref(), limit).await?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
            let mut seen = desk.store.seen(&first.name, &last.name, desk.now).await?;
            let is_last = page.len() < limit;
            let listed = |machine: MachineEntry| Listed { last_boot: seen.remove(&machine.name), machine };
            found.extend(page.into_iter().map(listed));
            if is_last || found.len() >= command.limit {
                break;
            }
        }
        if command.json {
            return say_json(&found);
        }
        let mut table = Table::new(&["name", "mac", "groups", "may boot", "last boot", "result", "boots in 24 h"]);
        for Listed { machine, last_boot } in &found {
            let boot = last_boot.as_ref();
            table.row([
                machine.name.to_string(),
                macs(machine),
                groups(machine),
                allowed(machine),
                boot.map(|seen| local(seen.at)).unwrap_or_default(),
                boot.and_then(|seen| seen.result.clone().or_else(|| seen.verdict.clone())).unwrap_or_default(),
                boot.map(|seen| seen.boots_24h.to_string()).unwrap_or_default(),
            ]);
        }
        table.print("No machines. `pointsman machine add NAME --mac MAC` adds one.");
        if found.len() == command.limit {
            let of = match &command.group {
                Some(group) => format!("the first {} machines of {group}", found.len()),
                None => format!("{} of {} machines", found.len(), desk.store.machine_count().await?),
            };
            complain(&format!("{of}; --limit shows more"));
        }
        Ok(())
    })
}

async fn strangers(desk: &Desk, since: Timestamp, json: bool) -> anyhow::Result<()> {
    let found = desk.store.strangers(since).await?;
    if json {
        return say_json(&found);
    }
    let mut table = Table::new(&["mac", "last boot", "boots"]);
    found.iter().for_each(|one| table.row([one.mac.to_string(), local(one.at), one.boots.to_string()]));
    table.print("No strangers since then.");
    Ok(())
}

pub(super) fn macs(entry: &MachineEntry) -> String {
    entry.macs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

pub(super) fn groups(entry: &MachineEntry) -> String {
    entry.groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

pub(super) fn allowed(entry: &MachineEntry) -> String {
    match (entry.allow, &entry.reason) {
        (true, _) => "yes".into(),
        (false, Some(reason)) => format!("no: {reason}"),
        (false, None) => "no".into(),
    }
}
