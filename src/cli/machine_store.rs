//! `pointsman machine`: one machine of the store, or a table of them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::machine::{mac, uuid};
use super::machines::{Machines, allowed, groups, list, macs};
use super::output::{complain, say, say_json};
use super::store::{Desk, at_desk};
use super::table::Table;
use super::times::local;
use crate::boot::HardwareAddress;
use crate::nearest::{cut, remedy};
use crate::store::{MachineEntry, MachineTable, Name};

/// Add, change, list and remove machines, or import them from a table
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman machine add lab-07 --mac 52:54:00:12:34:56
  pointsman machine show lab-07                  with its assignments
  pointsman machine set lab-07 --title \"Third desk\"
  pointsman machine import machines.csv
  pointsman machine remove lab-07")]
pub(super) struct Machine {
    #[command(subcommand)]
    command: MachineCommand,
}

#[derive(Debug, Subcommand)]
enum MachineCommand {
    /// Add a machine
    Add(Described),
    /// Change a machine: what is not given stays as it is
    Set(Set),
    /// Show a machine with its assignments
    Show(Named),
    /// Remove a machine with everything that was to be done on it; its history stays
    Remove(Named),
    /// List the machines with their last boots; `pointsman machines` is the same
    List(Machines),
    /// Add or change the machines of a CSV file: all of them, or none
    Import(Import),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman machine add lab-07 --mac 52:54:00:12:34:56
  pointsman machine add lab-08 --uuid 4c4c4544-0057-5810-804a-c3c04f463732 --manufacturer \"Dell Inc.\" --serial 7XK3N22
  pointsman machine add kiosk --mac 52:54:00:12:34:57 --attribute owner=library --deny \"not before June\"

A machine is found by its UUID, its manufacturer and serial number, and its MAC addresses; give what you know.")]
struct Described {
    /// Its name: letters, digits, `.`, `_` and `-`
    name: Name,
    /// Address of a network adapter; may be given several times, and replaces those known
    #[arg(long, value_name = "MAC", value_parser = mac)]
    mac: Vec<HardwareAddress>,
    /// System UUID, as the BIOS setup shows it
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    uuid: Option<Uuid>,
    /// Manufacturer, as the machine reports it; belongs to the serial number
    #[arg(long, value_name = "TEXT")]
    manufacturer: Option<String>,
    /// Serial number
    #[arg(long, value_name = "TEXT")]
    serial: Option<String>,
    /// Host name, where it is not the name
    #[arg(long, value_name = "TEXT")]
    hostname: Option<String>,
    /// It may not boot from the network, and is told why
    #[arg(long, value_name = "REASON", conflicts_with = "allow")]
    deny: Option<String>,
    /// It may boot from the network
    #[arg(long)]
    allow: bool,
    /// Something that scripts read as request.record.NAME; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    attribute: Vec<(String, String)>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman machine set lab-07 --deny \"stolen in May\"
  pointsman machine set lab-07 --allow --attribute owner=physics
  pointsman machine set lab-07 --mac 52:54:00:12:34:56 --mac 52:54:00:12:34:57
  pointsman machine set lab-07 --forget serial --forget owner")]
struct Set {
    #[command(flatten)]
    described: Described,
    /// Something that is not known of it any more: hostname, uuid, manufacturer, serial, mac, or an attribute; may be
    /// given several times
    #[arg(long, value_name = "WHAT")]
    forget: Vec<String>,
}

#[derive(Debug, Args)]
struct Named {
    /// Its name
    name: Name,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman machine import machines.csv
  inventory-export | pointsman machine import -

The first line names the columns: name (needed), hostname, uuid, manufacturer, serial, mac and groups (several,
separated by spaces), allow (yes or no), reason; any other column is something that scripts read as
request.record.COLUMN. A machine that is there already is changed in the columns that the table has.")]
struct Import {
    /// The CSV file; - is standard input
    file: PathBuf,
}

pub(super) fn run(command: &Machine, file: &Path) -> anyhow::Result<ExitCode> {
    match &command.command {
        MachineCommand::Add(described) => at_desk(file, async |desk| add(&desk, described).await),
        MachineCommand::Set(described) => at_desk(file, async |desk| set(&desk, described).await),
        MachineCommand::Show(named) => at_desk(file, async |desk| show(&desk, named).await),
        MachineCommand::Remove(named) => at_desk(file, async |desk| {
            desk.store.remove_machine(&named.name).await?;
            say(&format!("removed {}", named.name));
            Ok(())
        }),
        MachineCommand::List(machines) => list(machines, file),
        MachineCommand::Import(import) => at_desk(file, async |desk| import_table(&desk, import).await),
    }
}

async fn add(desk: &Desk, described: &Described) -> anyhow::Result<()> {
    let mut entry = MachineEntry::new(described.name.clone(), desk.now);
    described.apply(&mut entry);
    let sharers = desk.store.add_machine(entry).await?;
    say(&format!("added {}", described.name));
    tell_sharers(&described.name, &sharers);
    desk.warn_when_nobody_asks();
    Ok(())
}

async fn set(desk: &Desk, Set { described, forget }: &Set) -> anyhow::Result<()> {
    let known = desk.store.machine(&described.name).await?;
    let mut changed = known.clone();
    for what in forget {
        forgotten(&mut changed, what)?;
    }
    described.apply(&mut changed);
    if changed == known {
        anyhow::bail!(
            "nothing to change: {} is so already; `pointsman machine set --help` shows what there is",
            known.name
        );
    }
    // Applied to what is there when it is written.
    let sharers = desk
        .store
        .set_machine(&described.name, desk.now, |entry| {
            forget.iter().for_each(|what| drop(forgotten(entry, what)));
            described.apply(entry);
        })
        .await?;
    say(&format!("changed {}", described.name));
    tell_sharers(&described.name, &sharers);
    Ok(())
}

/// Takes out what is not known any more.
fn forgotten(entry: &mut MachineEntry, what: &str) -> anyhow::Result<()> {
    match what {
        "hostname" => entry.hostname = None,
        "uuid" => entry.uuid = None,
        "manufacturer" => entry.manufacturer = None,
        "serial" => entry.serial = None,
        "mac" => entry.macs.clear(),
        attribute if entry.attributes.remove(attribute).is_some() => {}
        other => {
            let known = ["hostname", "uuid", "manufacturer", "serial", "mac"].into_iter();
            let known: Vec<_> = known.chain(entry.attributes.keys().map(String::as_str)).collect();
            anyhow::bail!("{} has no `{}` to forget; {}", entry.name, cut(other), remedy(other, known));
        }
    }
    Ok(())
}

/// Machines that share a key are told apart by the others, as far as there are any.
fn tell_sharers(name: &Name, sharers: &[Name]) {
    if !sharers.is_empty() {
        let others: Vec<_> = sharers.iter().map(ToString::to_string).collect();
        let others = others.join(", ");
        complain(&format!(
            "note: {name} has an address, UUID or serial number of {others}; give what tells them apart"
        ));
    }
}

impl Described {
    fn apply(&self, entry: &mut MachineEntry) {
        let given = |text: &Option<String>, known: &mut Option<String>| {
            if let Some(text) = text {
                *known = Some(text.clone());
            }
        };
        given(&self.hostname, &mut entry.hostname);
        given(&self.manufacturer, &mut entry.manufacturer);
        given(&self.serial, &mut entry.serial);
        entry.uuid = self.uuid.or(entry.uuid);
        if !self.mac.is_empty() {
            entry.macs = self.mac.iter().copied().collect();
        }
        if let Some(reason) = &self.deny {
            (entry.allow, entry.reason) = (false, Some(reason.clone()));
        }
        if self.allow {
            (entry.allow, entry.reason) = (true, None);
        }
        entry.attributes.extend(self.attribute.iter().cloned());
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, e.g. owner=physics")?;
    Ok((name.trim().to_ascii_lowercase(), value.to_owned()))
}

async fn show(desk: &Desk, named: &Named) -> anyhow::Result<()> {
    let entry = desk.store.machine(&named.name).await?;
    if named.json {
        return say_json(&entry);
    }
    let or = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut table = Table::new(&["what", "is"]);
    table.row(["name", entry.name.as_str()]);
    table.row(["hostname", &or(&entry.hostname)]);
    table.row(["uuid", &entry.uuid.map(|uuid| uuid.to_string()).unwrap_or_default()]);
    table.row(["manufacturer", &or(&entry.manufacturer)]);
    table.row(["serial", &or(&entry.serial)]);
    table.row(["mac", &macs(&entry)]);
    table.row(["groups", &groups(&entry)]);
    table.row(["may boot", &allowed(&entry)]);
    for (name, value) in &entry.attributes {
        table.row([name, value]);
    }
    table.row(["changed", &local(entry.changed)]);
    table.lines().iter().skip(1).for_each(|line| say(line));
    say(&format!("`pointsman assignments {}` shows what it is to boot, `history` what it booted", entry.name));
    Ok(())
}

/// The most shared addresses of an import that are told.
const SHARED_MAX: usize = 10;

async fn import_table(desk: &Desk, import: &Import) -> anyhow::Result<()> {
    let is_input = import.file == Path::new("-");
    let source: Box<dyn Read> = match is_input {
        true => Box::new(std::io::stdin()),
        false => Box::new(
            File::open(&import.file)
                .map_err(|error| anyhow::anyhow!("cannot read {}: {error}", import.file.display()))?,
        ),
    };
    let name = if is_input { "standard input".to_owned() } else { import.file.display().to_string() };
    let table = MachineTable::read(source, desk.now)
        .map_err(|problems| anyhow::anyhow!("{name} has problems; nothing was imported\n{}", problems.join("\n")))?;
    let bar = ProgressBar::new(table.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} machines") {
        bar.set_style(style);
    }
    let done = desk.store.import(&table, desk.now, |count| bar.set_position(count as u64)).await;
    bar.finish_and_clear();
    let done = done?;
    say(&format!("{} machines added, {} changed, {} as they were", done.added, done.changed, done.same));
    let shared = table.shared_macs();
    for (mac, names) in shared.iter().take(SHARED_MAX) {
        let names: Vec<_> = names.iter().take(5).map(ToString::to_string).collect();
        complain(&format!("note: {mac} is of {}; it alone tells them not apart", names.join(", ")));
    }
    if shared.len() > SHARED_MAX {
        complain(&format!("note: {} more addresses are of several machines", shared.len() - SHARED_MAX));
    }
    desk.warn_when_nobody_asks();
    Ok(())
}
