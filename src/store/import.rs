//! Machines from a table: all of it, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use jiff::Timestamp;
use serde::Serialize;

use super::change::Change;
use super::group::{JOIN, ensure_group};
use super::machine::{DELETE_MACS, INSERT, PAGE, UPDATE, write_macs};
use super::row::millis;
use super::sql::{Statement, parameters};
use super::{MachineEntry, Name, NameError, Store, StoreError, Thing};
use crate::boot::{HardwareAddress, HardwareAddressError, Value};

/// The most machines of one import.
const MACHINES_MAX: usize = 1_000_000;

/// The most problems that are told at once.
const PROBLEMS_MAX: usize = 20;

/// How long an import may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3600);

static LEAVE_ALL: Statement = Statement::new("DELETE FROM group_member WHERE machine = :machine");

/// Machines as a table gives them.
#[derive(Clone, Debug, Default)]
pub struct MachineTable {
    /// What the table has; the rest of a machine that is there already stays as it is.
    columns: BTreeSet<String>,
    machines: Vec<MachineEntry>,
}

impl MachineTable {
    /// How many machines it has.
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// Reads comma-separated values with a heading: `name`, `hostname`, `uuid`, `manufacturer`, `serial`, `mac` and
    /// `groups` (several, separated by spaces), `allow` (yes or no) and `reason`; any other column is an attribute.
    ///
    /// # Errors
    /// Every problem with its line, up to a number of them.
    pub fn read(table: impl Read, now: Timestamp) -> Result<MachineTable, Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(table);
        let headings: Vec<String> = match reader.headers() {
            Ok(headings) => headings.iter().map(str::to_ascii_lowercase).collect(),
            Err(error) => return Err(vec![unread(&error)]),
        };
        if !headings.iter().any(|heading| heading == "name") {
            let found = crate::nearest::cut(&headings.join(", ")).to_owned();
            let help = if found.contains([';', '\t']) { "; separate them by commas" } else { "" };
            return Err(vec![format!("line 1: no column `name`; the columns are {found}{help}")]);
        }
        let columns: BTreeSet<String> = headings.iter().cloned().collect();
        if columns.len() < headings.len() {
            return Err(vec!["line 1: a column is there twice".to_owned()]);
        }
        let (mut machines, mut problems, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for row in reader.records() {
            let line = row.as_ref().ok().and_then(csv::StringRecord::position).map(csv::Position::line);
            let at = line.map_or(String::new(), |line| format!("line {line}: "));
            let cells = row.map_err(|error| unread(&error));
            match cells.and_then(|row| machine(headings.iter().map(String::as_str).zip(row.iter()), now)) {
                Ok(machine) if !names.insert(machine.name.clone()) => {
                    problems.push(format!("{at}machine `{}` is there twice", machine.name));
                }
                Ok(machine) => machines.push(machine),
                Err(problem) => problems.push(format!("{at}{problem}")),
            }
            if problems.len() >= PROBLEMS_MAX || machines.len() > MACHINES_MAX {
                problems.push("the rest was not read".to_owned());
                break;
            }
        }
        if problems.is_empty() { Ok(MachineTable { columns, machines }) } else { Err(problems) }
    }

    /// Addresses that several machines of the table have, each with these machines: probably mistyped, as none of them is
    /// known by such an address alone.
    pub fn shared_macs(&self) -> Vec<(HardwareAddress, Vec<&Name>)> {
        let mut machines: BTreeMap<HardwareAddress, Vec<&Name>> = BTreeMap::new();
        for machine in &self.machines {
            machine.macs.iter().for_each(|mac| machines.entry(*mac).or_default().push(&machine.name));
        }
        machines.retain(|_, names| names.len() > 1);
        machines.into_iter().collect()
    }

    /// A machine of the table, with the rest of what is known of it.
    fn merged(&self, given: &MachineEntry, found: Option<&MachineEntry>) -> Result<MachineEntry, StoreError> {
        let Some(found) = found else { return given.clone().checked() };
        let has = |column: &str| self.columns.contains(column);
        let mut attributes = found.attributes.clone();
        attributes.retain(|name, _| !has(name));
        attributes.extend(given.attributes.clone());
        let pick = |column: &str| if has(column) { given } else { found };
        MachineEntry {
            name: found.name.clone(),
            hostname: pick("hostname").hostname.clone(),
            uuid: pick("uuid").uuid,
            manufacturer: pick("manufacturer").manufacturer.clone(),
            serial: pick("serial").serial.clone(),
            macs: pick("mac").macs.clone(),
            groups: pick("groups").groups.clone(),
            allow: pick("allow").allow,
            reason: pick("reason").reason.clone(),
            attributes,
            created: found.created,
            changed: found.changed,
        }
        .checked()
    }
}

/// What the reader of the table found, in words that say what to do.
fn unread(error: &csv::Error) -> String {
    let line = error.position().map_or(String::new(), |at| format!("line {}: ", at.line()));
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{line}{len} cells, but the first line names {expected_len}; quote cells that have a comma")
        }
        csv::ErrorKind::Utf8 { .. } => format!("{line}the text is not UTF-8; save the table as CSV in UTF-8"),
        _ => error.to_string(),
    }
}

fn machine<'a>(cells: impl Iterator<Item = (&'a str, &'a str)>, now: Timestamp) -> Result<MachineEntry, String> {
    let cells: BTreeMap<&str, &str> = cells.filter(|(_, text)| !text.is_empty()).collect();
    let name = cells.get("name").ok_or("no name")?.parse::<Name>().map_err(|error| error.to_string())?;
    let mut entry = MachineEntry::new(name, now);
    for (column, text) in cells {
        let words = || text.split([' ', ',', ';']).filter(|word| !word.is_empty());
        let wrong = |error: &dyn std::fmt::Display| format!("column `{column}`: {error}");
        match column {
            "name" => {}
            "hostname" => entry.hostname = Some(text.to_owned()),
            "manufacturer" => entry.manufacturer = Some(text.to_owned()),
            "serial" => entry.serial = Some(text.to_owned()),
            "reason" => entry.reason = Some(text.to_owned()),
            "uuid" => entry.uuid = Some(text.parse().map_err(|_| wrong(&format!("`{text}` is no UUID")))?),
            "mac" => {
                let macs = words().map(str::parse).collect::<Result<_, HardwareAddressError>>();
                entry.macs = macs.map_err(|error| wrong(&error))?;
            }
            "groups" => {
                let groups = words().map(str::parse).collect::<Result<_, NameError>>();
                entry.groups = groups.map_err(|error| wrong(&error))?;
            }
            "allow" => entry.allow = truth(text).ok_or_else(|| wrong(&format!("`{text}` is neither yes nor no")))?,
            attribute => drop(entry.attributes.insert(attribute.to_owned(), text.to_owned())),
        }
    }
    Ok(entry)
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Some(true),
        "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Machines that are new.
    pub added: u64,
    /// Machines that were there and are now as the table says.
    pub changed: u64,
    /// Machines that were so already.
    pub same: u64,
}

impl Store {
    /// Adds the machines of a table, and makes those that are there as the table says; groups that it names are added.
    /// All of it happens, or nothing. `progress` is told how many are done.
    ///
    /// # Errors
    /// When a machine makes no sense, the database fails, or somebody else changes one of the machines meanwhile.
    pub async fn import(
        &self,
        table: &MachineTable,
        now: Timestamp,
        mut progress: impl FnMut(usize),
    ) -> Result<Imported, StoreError> {
        let mut change = self.change(PATIENCE).await?;
        let known = known(&mut change).await?;
        let merged = table.machines.iter().map(|given| table.merged(given, known.get(&given.name)));
        let machines = all(merged)?;
        let groups: BTreeSet<_> = machines.iter().flat_map(|machine| &machine.groups).collect();
        for group in groups {
            ensure_group(&mut change, group, now).await?;
        }
        let mut imported = Imported::default();
        for (done, machine) in machines.iter().enumerate() {
            match known.get(&machine.name) {
                Some(found) if found == machine => imported.same += 1,
                Some(_) => {
                    replace(&mut change, machine, now).await?;
                    imported.changed += 1;
                }
                None => {
                    change.execute(&INSERT, &machine.columns()).await?;
                    write_macs(&mut change, machine).await?;
                    join_all(&mut change, machine).await?;
                    imported.added += 1;
                }
            }
            progress(done + 1);
        }
        change.commit().await?;
        Ok(imported)
    }
}

/// All of them, or what is wrong with the first ones.
fn all(machines: impl Iterator<Item = Result<MachineEntry, StoreError>>) -> Result<Vec<MachineEntry>, StoreError> {
    let (mut good, mut problems) = (Vec::new(), Vec::new());
    for machine in machines {
        match machine {
            Ok(machine) => good.push(machine),
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    problems.truncate(PROBLEMS_MAX);
    if problems.is_empty() { Ok(good) } else { Err(StoreError::Invalid(problems.join("\n"))) }
}

/// Every machine that is there.
async fn known(change: &mut Change<'_>) -> Result<BTreeMap<Name, MachineEntry>, StoreError> {
    let mut known = BTreeMap::new();
    let mut after = String::new();
    loop {
        let limit = Value::Integer(Store::PAGE_MAX as i64);
        let rows = change.rows(&PAGE, &parameters([("after", after.as_str().into()), ("limit", limit)])).await?;
        for row in &rows {
            let machine = MachineEntry::read(row)?;
            after = machine.name.to_string();
            known.insert(machine.name.clone(), machine);
        }
        if rows.len() < Store::PAGE_MAX {
            return Ok(known);
        }
    }
}

async fn replace(change: &mut Change<'_>, machine: &MachineEntry, now: Timestamp) -> Result<(), StoreError> {
    let mut columns = MachineEntry { changed: machine.later(now), ..machine.clone() }.columns();
    columns.insert("seen", millis(machine.changed));
    columns.insert("machine", machine.name.as_str());
    if change.execute(&UPDATE, &columns).await? == 0 {
        return Err(StoreError::Conflict { what: Thing::Machine, name: machine.name.to_string() });
    }
    change.execute(&DELETE_MACS, &columns).await?;
    write_macs(change, machine).await?;
    change.execute(&LEAVE_ALL, &columns).await?;
    join_all(change, machine).await
}

async fn join_all(change: &mut Change<'_>, machine: &MachineEntry) -> Result<(), StoreError> {
    let row =
        |group: &Name| parameters([("group_name", group.as_str().into()), ("machine", machine.name.as_str().into())]);
    let rows: Vec<_> = machine.groups.iter().map(row).collect();
    change.batch(&JOIN, &rows).await
}
