//! Groups of machines, so that one word stands for all of them.

use jiff::Timestamp;
use serde::Serialize;

use super::change::Change;
use super::name::cut;
use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{MachineEntry, Name, Store, StoreError, Thing};
use crate::boot::Record;

/// A group of machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name; unique.
    pub name: Name,
    /// What it is for.
    pub title: Option<String>,
    /// How many machines are in it.
    pub machines: u64,
    /// When it was added.
    pub created: Timestamp,
}

impl Group {
    fn read(record: &Record) -> Result<Group, StoreError> {
        let row = Row(record);
        Ok(Group {
            name: row.parsed("name")?,
            title: row.optional("title"),
            machines: row.number("machines").unwrap_or(0).unsigned_abs(),
            created: row.moment_given("created")?,
        })
    }
}

static ALL: Statement = Statement::new(
    "SELECT w.name, w.title, w.created, (SELECT COUNT(*) FROM group_member g WHERE g.group_name = w.name) AS machines \
     FROM machine_group w WHERE w.name > :after ORDER BY w.name LIMIT 500",
);

static FIND: Statement = Statement::new("SELECT name FROM machine_group WHERE name = :name");

static NAMES: Statement = Statement::new("SELECT name FROM machine_group ORDER BY name LIMIT 1000");

static INSERT: Statement =
    Statement::new("INSERT INTO machine_group (name, title, created) VALUES (:name, :title, :created)");

static DELETE: Statement = Statement::new("DELETE FROM machine_group WHERE name = :name");

static MEMBERSHIPS: Statement =
    Statement::new("SELECT group_name FROM group_member WHERE machine = :machine ORDER BY group_name");

static MACHINE: Statement = Statement::new("SELECT name FROM machine WHERE name = :machine");

pub(super) static JOIN: Statement =
    Statement::new("INSERT INTO group_member (group_name, machine) VALUES (:group_name, :machine)");

static LEAVE: Statement =
    Statement::new("DELETE FROM group_member WHERE group_name = :group_name AND machine = :machine");

impl Store {
    /// Adds a group.
    ///
    /// # Errors
    /// When there is one of that name.
    pub async fn add_group(&self, name: &Name, title: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
        let mut change = self.change(Self::PATIENCE).await?;
        if change.row(&FIND, &parameters([("name", name.as_str().into())])).await?.is_some() {
            let remedy = format!("`pointsman group join {name} MACHINE` puts machines into it");
            return Err(StoreError::Exists { what: Thing::Group, name: name.to_string(), remedy });
        }
        insert_group(&mut change, name, title, now).await?;
        change.commit().await
    }

    /// Groups by name, those after `after`; at most 500.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn groups(&self, after: Option<&Name>) -> Result<Vec<Group>, StoreError> {
        let values = parameters([("after", after.map(Name::as_str).unwrap_or_default().into())]);
        self.fresh(&ALL, &values, Self::PATIENCE).await?.iter().map(Group::read).collect()
    }

    /// Removes a group with what is assigned to it; its machines stay.
    ///
    /// # Errors
    /// When there is none.
    pub async fn remove_group(&self, name: &Name) -> Result<(), StoreError> {
        match self.execute(&DELETE, &parameters([("name", name.as_str().into())]), Self::PATIENCE).await? {
            0 => Err(self.no_group(name).await?),
            _ => Ok(()),
        }
    }

    /// Puts a machine into a group; `false` when it was in it.
    ///
    /// # Errors
    /// When there is no such machine or group, or the machine is in too many.
    pub async fn join_group(&self, group: &Name, machine: &Name) -> Result<bool, StoreError> {
        let values = parameters([
            ("name", group.as_str().into()),
            ("group_name", group.as_str().into()),
            ("machine", machine.as_str().into()),
        ]);
        let mut change = self.change(Self::PATIENCE).await?;
        let is_there = change.row(&FIND, &values).await?.is_some();
        let has_machine = change.row(&MACHINE, &values).await?.is_some();
        if !is_there || !has_machine {
            drop(change);
            return Err(if is_there { self.no_machine(machine).await? } else { self.no_group(group).await? });
        }
        let joined = change.rows(&MEMBERSHIPS, &values).await?;
        if joined.iter().any(|row| row.text("group_name").as_deref() == Some(group.as_str())) {
            return Ok(false);
        }
        if joined.len() >= MachineEntry::GROUPS_MAX {
            let most = MachineEntry::GROUPS_MAX;
            let what = format!("machine `{machine}` is in {most} groups, which is the most; let it leave one first");
            return Err(StoreError::Invalid(what));
        }
        change.execute(&JOIN, &values).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Takes a machine out of a group; `false` when it was not in it.
    ///
    /// # Errors
    /// When there is no such machine or group.
    pub async fn leave_group(&self, group: &Name, machine: &Name) -> Result<bool, StoreError> {
        let values = parameters([("group_name", group.as_str().into()), ("machine", machine.as_str().into())]);
        if self.execute(&LEAVE, &values, Self::PATIENCE).await? > 0 {
            return Ok(true);
        }
        self.find_group(group).await?;
        self.machine(machine).await?;
        Ok(false)
    }

    /// Checks that there is such a group.
    ///
    /// # Errors
    /// When there is none; the error names the one that was probably meant.
    pub async fn find_group(&self, name: &Name) -> Result<(), StoreError> {
        let rows = self.fresh(&FIND, &parameters([("name", name.as_str().into())]), Self::PATIENCE).await?;
        if rows.is_empty() { Err(self.no_group(name).await?) } else { Ok(()) }
    }

    /// The error that names the nearest group.
    async fn no_group(&self, name: &Name) -> Result<StoreError, StoreError> {
        let rows = self.fresh(&NAMES, &Record::default(), Self::PATIENCE).await?;
        let names: Vec<_> = rows.iter().filter_map(|row| row.text("name")).collect();
        let remedy = match crate::nearest::nearest(name.as_str(), names.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("`pointsman group add {name}` adds it"),
        };
        Ok(StoreError::NotFound { what: Thing::Group, name: name.to_string(), remedy })
    }
}

/// Adds a group within a change, where it is not there yet.
pub(super) async fn ensure_group(change: &mut Change<'_>, name: &Name, now: Timestamp) -> Result<(), StoreError> {
    match change.row(&FIND, &parameters([("name", name.as_str().into())])).await? {
        Some(_) => Ok(()),
        None => insert_group(change, name, None, now).await,
    }
}

async fn insert_group(
    change: &mut Change<'_>,
    name: &Name,
    title: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let title = title.map(|title| cut(title.trim(), 255));
    let values = parameters([("name", name.as_str().into()), ("title", title.into()), ("created", millis(now))]);
    change.execute(&INSERT, &values).await?;
    Ok(())
}
