//! `pointsman notes`: what scripts noted of machines.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output::{say, say_json};
use super::store::at_desk;
use super::table::Table;
use crate::boot::HardwareAddress;
use crate::store::{Note, NoteChange, NoteValue, Store};

/// What scripts noted of machines: list, set or clear it
///
/// A script notes something with state.set("name", value) and reads it at a later boot with state.get("name"). A machine
/// is its name where a database knows it, else its UUID, else its MAC address.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Notes {
    #[command(subcommand)]
    action: Action,
}

const AFTER_HELP: &str = "Examples:
  pointsman notes list                          the notes of all machines
  pointsman notes list 52:54:00:12:34:56        those of one machine
  pointsman notes set lab-07 tries 0            try again three times
  pointsman notes clear lab-07                  forget everything about it
  pointsman notes clear lab-07 tries            forget one note";

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists notes
    List {
        /// The machine: its name, UUID or MAC address; all machines when absent
        machine: Option<String>,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Notes something of a machine
    Set {
        /// The machine: its name, UUID or MAC address
        machine: String,
        /// What the note is called
        name: String,
        /// A whole number, true, false, or text
        value: String,
    },
    /// Forgets notes of a machine
    Clear {
        /// The machine: its name, UUID or MAC address
        machine: String,
        /// The note; all of them when absent
        name: Option<String>,
    },
}

/// Runs it.
pub(super) fn run(command: &Notes, config: &Path) -> anyhow::Result<ExitCode> {
    at_desk(config, |desk| async move {
        let store = &desk.store;
        match &command.action {
            Action::List { machine, json } => {
                let notes = match machine {
                    Some(machine) => store.notes(&key(machine), Store::PATIENCE).await?,
                    None => all(store).await?,
                };
                if *json { say_json(&notes) } else { list(&notes) }
            }
            Action::Set { machine, name, value } => {
                let change = [(name.clone(), NoteChange::Set(read(value)))];
                store.change_notes(&key(machine), &change, desk.now, Store::PATIENCE).await?;
                say(&format!("noted: {} {name} = {value}", key(machine)));
                Ok(())
            }
            Action::Clear { machine, name: Some(name) } => {
                let change = [(name.clone(), NoteChange::Clear)];
                store.change_notes(&key(machine), &change, desk.now, Store::PATIENCE).await?;
                say(&format!("cleared: {} {name}", key(machine)));
                Ok(())
            }
            Action::Clear { machine, name: None } => {
                let count = store.clear_notes(&key(machine), Store::PATIENCE).await?;
                say(&format!("cleared: {} notes of {}", count, key(machine)));
                Ok(())
            }
        }
    })
}

async fn all(store: &Store) -> anyhow::Result<Vec<Note>> {
    let mut notes: Vec<Note> = Vec::new();
    loop {
        let after =
            notes.last().map_or((String::new(), String::new()), |note| (note.machine.clone(), note.name.clone()));
        let page = store.all_notes((&after.0, &after.1), Store::PATIENCE).await?;
        if page.is_empty() || notes.len() >= LISTED_MAX {
            return Ok(notes);
        }
        notes.extend(page);
    }
}

fn list(notes: &[Note]) -> anyhow::Result<()> {
    let mut table = Table::new(&["machine", "note", "value", "changed"]);
    for note in notes {
        let value = match &note.value {
            NoteValue::Text(text) => format!("{text:?}"),
            NoteValue::Number(number) => number.to_string(),
            NoteValue::Truth(truth) => truth.to_string(),
        };
        table.row([note.machine.clone(), note.name.clone(), value, format!("{:.0}", note.changed)]);
    }
    table.print("no notes");
    Ok(())
}

/// Whose notes are meant.
fn key(machine: &str) -> String {
    let machine = machine.trim();
    if ["name:", "uuid:", "mac:"].iter().any(|kind| machine.starts_with(kind)) {
        return machine.to_owned();
    }
    if let Some(mac) = machine.parse::<HardwareAddress>().ok().filter(|mac| mac.octets().len() == 6) {
        return format!("mac:{mac}");
    }
    match machine.parse::<uuid::Uuid>() {
        Ok(uuid) => format!("uuid:{uuid}"),
        Err(_) => format!("name:{machine}"),
    }
}

fn read(value: &str) -> NoteValue {
    match value {
        "true" => NoteValue::Truth(true),
        "false" => NoteValue::Truth(false),
        text => text.parse().map_or_else(|_| NoteValue::Text(text.to_owned()), NoteValue::Number),
    }
}

/// The most notes that are listed.
const LISTED_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_and_values_are_understood() {
        assert_eq!(key("52-54-00-12-34-56"), "mac:52:54:00:12:34:56");
        assert_eq!(key("4C4C4544-0057-5810-804A-C3C04F463732"), "uuid:4c4c4544-0057-5810-804a-c3c04f463732");
        assert_eq!((key("lab-07"), key("name:52:54")), ("name:lab-07".to_owned(), "name:52:54".to_owned()));
        assert_eq!(read("-3"), NoteValue::Number(-3));
        assert_eq!(read("true"), NoteValue::Truth(true));
        assert_eq!(read("3a"), NoteValue::Text("3a".into()));
    }
}
