//! Machines: what they are called, what they are known by, and what else scripts want to know of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::change::Change;
use super::name::{cut, fold_serial};
use super::row::{Row, flag, millis, object};
use super::sql::{Statement, parameters};
use super::{Name, Store, StoreError, Thing};
use crate::boot::{HardwareAddress, MachineId, Record, Value};

/// A machine as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineEntry {
    /// What people call it; unique.
    pub name: Name,
    /// Its host name; the name where it has none of its own.
    pub hostname: Option<String>,
    /// System UUID (SMBIOS type 1).
    pub uuid: Option<Uuid>,
    /// Manufacturer (SMBIOS type 1), which the serial number belongs to.
    pub manufacturer: Option<String>,
    /// Serial number (SMBIOS type 1).
    pub serial: Option<String>,
    /// The addresses of its network adapters.
    pub macs: BTreeSet<HardwareAddress>,
    /// The groups that it is in.
    pub groups: BTreeSet<Name>,
    /// Whether it may boot from the network.
    pub allow: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Whatever else scripts want to know: `request.record.NAME`.
    pub attributes: BTreeMap<String, String>,
    /// When it was added.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
}

impl MachineEntry {
    /// The most addresses that a machine has.
    pub const MACS_MAX: usize = 16;
    /// The most groups that a machine is in.
    pub const GROUPS_MAX: usize = 15;
    /// The most attributes that a machine has.
    pub const ATTRIBUTES_MAX: usize = 50;
    /// The longest text of a machine, in characters.
    pub const TEXT_LEN_MAX: usize = 255;
    /// What an attribute cannot be called, because the row has such a column already.
    pub const COLUMNS: [&str; 10] =
        ["machine_id", "hostname", "allow", "reason", "uuid", "manufacturer", "serial", "mac", "groups", "name"];

    /// A machine of which only the name is known.
    pub fn new(name: Name, now: Timestamp) -> MachineEntry {
        MachineEntry {
            name,
            hostname: None,
            uuid: None,
            manufacturer: None,
            serial: None,
            macs: BTreeSet::new(),
            groups: BTreeSet::new(),
            allow: true,
            reason: None,
            attributes: BTreeMap::new(),
            created: now,
            changed: now,
        }
    }

    /// Cleans the texts and checks that it makes sense.
    ///
    /// # Errors
    /// When there is nothing that it could be known by, too much of something, or a name that is none.
    pub fn checked(mut self) -> Result<MachineEntry, StoreError> {
        for text in [&mut self.hostname, &mut self.manufacturer, &mut self.serial, &mut self.reason] {
            *text = text.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        }
        let texts = [&self.hostname, &self.manufacturer, &self.serial, &self.reason];
        let is_bad = |text: &&String| text.chars().count() > Self::TEXT_LEN_MAX || text.chars().any(char::is_control);
        if let Some(text) = texts.into_iter().flatten().find(is_bad) {
            let (shown, max) = (crate::nearest::cut(text), Self::TEXT_LEN_MAX);
            return Err(self.wrong(&format!("`{shown}` is not one line of at most {max} characters")));
        }
        if self.uuid.is_none() && self.serial.is_none() && self.macs.is_empty() {
            return Err(self.wrong("nothing to know it by; give it a MAC address, a UUID or a serial number"));
        }
        if self.uuid.is_some_and(|uuid| MachineId::from_uuid(uuid).is_placeholder()) {
            return Err(self.wrong("that UUID is what firmware without one says; leave it out"));
        }
        if self.macs.len() > Self::MACS_MAX {
            return Err(self.wrong(&format!("{} MAC addresses; up to {} fit", self.macs.len(), Self::MACS_MAX)));
        }
        if self.groups.len() > Self::GROUPS_MAX {
            return Err(self.wrong(&format!("{} groups; it can be in {}", self.groups.len(), Self::GROUPS_MAX)));
        }
        self.check_attributes()?;
        Ok(self)
    }

    fn check_attributes(&self) -> Result<(), StoreError> {
        if self.attributes.len() > Self::ATTRIBUTES_MAX {
            return Err(self.wrong(&format!("more than {} attributes", Self::ATTRIBUTES_MAX)));
        }
        for (name, text) in &self.attributes {
            let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            if !name.bytes().all(good) || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > 64 {
                let shown = crate::nearest::cut(name);
                return Err(
                    self.wrong(&format!("`{shown}` names no attribute; use lower-case letters, digits and `_`"))
                );
            }
            if Self::COLUMNS.contains(&name.as_str()) {
                return Err(self.wrong(&format!("an attribute cannot be called `{name}`; that is a column already")));
            }
            if text.chars().count() > 1000 {
                return Err(self.wrong(&format!("the attribute `{name}` is longer than 1000 characters")));
            }
        }
        Ok(())
    }

    /// Now, but later than its last change: two changes in one millisecond must not look like one.
    pub(super) fn later(&self, now: Timestamp) -> Timestamp {
        now.max(self.changed.saturating_add(jiff::SignedDuration::from_millis(1)).unwrap_or(now))
    }

    fn wrong(&self, what: &str) -> StoreError {
        StoreError::Invalid(format!("machine `{}`: {what}", self.name))
    }

    pub(super) fn read(record: &Record) -> Result<MachineEntry, StoreError> {
        let row = Row(record);
        let words = |column| row.optional(column).unwrap_or_default();
        let macs = words("mac");
        let groups = words("group_names");
        Ok(MachineEntry {
            name: row.parsed("name")?,
            hostname: row.optional("hostname"),
            uuid: row.optional_parsed("uuid")?,
            manufacturer: row.optional("manufacturer"),
            serial: row.optional("serial"),
            macs: macs.split(' ').filter_map(|mac| mac.parse().ok()).collect(),
            groups: groups.split(' ').filter_map(|name| name.parse().ok()).collect(),
            allow: row.flag("allow"),
            reason: row.optional("reason"),
            attributes: row.texts("attributes")?,
            created: row.moment_given("created")?,
            changed: row.moment_given("changed")?,
        })
    }

    pub(super) fn columns(&self) -> Record {
        parameters([
            ("name", self.name.as_str().into()),
            ("hostname", self.hostname.clone().into()),
            ("uuid", self.uuid.map(|uuid| uuid.to_string()).into()),
            ("manufacturer", self.manufacturer.clone().into()),
            ("serial", self.serial.clone().into()),
            ("serial_key", self.serial.as_deref().and_then(fold_serial).into()),
            ("allow", flag(self.allow)),
            ("reason", self.reason.as_deref().map(|reason| cut(reason, Self::TEXT_LEN_MAX)).into()),
            ("attributes", object(&self.attributes)),
            ("created", millis(self.created)),
            ("changed", millis(self.changed)),
        ])
    }
}

static FIND: Statement = Statement::new("SELECT {machine} FROM machine m WHERE m.name = :name");

pub(super) static PAGE: Statement =
    Statement::new("SELECT {machine} FROM machine m WHERE m.name > :after ORDER BY m.name LIMIT :limit");

static PAGE_OF_GROUP: Statement = Statement::new(
    "SELECT {machine} FROM group_member b JOIN machine m ON m.name = b.machine \
     WHERE b.group_name = :group_name AND b.machine > :after ORDER BY b.machine LIMIT :limit",
);

pub(super) static INSERT: Statement = Statement::new(
    "INSERT INTO machine (name, hostname, uuid, manufacturer, serial, serial_key, allow, reason, attributes, created, \
     changed) VALUES (:name, :hostname, :uuid, :manufacturer, :serial, :serial_key, :allow, :reason, :attributes, \
     :created, :changed)",
);

/// Only when nobody else changed it since it was read.
pub(super) static UPDATE: Statement = Statement::new(
    "UPDATE machine SET hostname = :hostname, uuid = :uuid, manufacturer = :manufacturer, serial = :serial, \
     serial_key = :serial_key, allow = :allow, reason = :reason, attributes = :attributes, changed = :changed \
     WHERE name = :name AND changed = :seen",
);

static DELETE: Statement = Statement::new("DELETE FROM machine WHERE name = :name");

static INSERT_MAC: Statement = Statement::new("INSERT INTO machine_mac (mac, machine) VALUES (:mac, :machine)");

pub(super) static DELETE_MACS: Statement = Statement::new("DELETE FROM machine_mac WHERE machine = :machine");

static SHARERS: Statement = Statement::new(
    "SELECT name FROM machine WHERE uuid = :uuid AND name <> :name \
     UNION SELECT name FROM machine WHERE serial_key = :serial_key AND name <> :name \
     UNION SELECT o.machine FROM machine_mac s JOIN machine_mac o ON o.mac = s.mac \
     WHERE s.machine = :name AND o.machine <> :name ORDER BY name LIMIT 20",
);

static NAMES_FROM: Statement = Statement::new("SELECT name FROM machine WHERE name >= :name ORDER BY name LIMIT 500");

static NAMES_BEFORE: Statement =
    Statement::new("SELECT name FROM machine WHERE name < :name ORDER BY name DESC LIMIT 500");

static COUNT: Statement = Statement::new("SELECT COUNT(*) AS machines FROM machine");

impl Store {
    /// The most machines that one page of [`Store::machines`] has.
    pub const PAGE_MAX: usize = 500;

    /// Adds a machine. The names of other machines that are known by the same address, UUID or serial number are
    /// returned: they will be told apart by what else is known of them.
    ///
    /// # Errors
    /// When there is a machine of that name, or the entry makes no sense.
    pub async fn add_machine(&self, entry: MachineEntry) -> Result<Vec<Name>, StoreError> {
        let entry = entry.checked()?;
        let mut change = self.change(Self::PATIENCE).await?;
        if change.row(&FIND, &parameters([("name", entry.name.as_str().into())])).await?.is_some() {
            let remedy = format!("`pointsman machine set {}` changes it", entry.name);
            return Err(StoreError::Exists { what: Thing::Machine, name: entry.name.to_string(), remedy });
        }
        change.execute(&INSERT, &entry.columns()).await?;
        write_macs(&mut change, &entry).await?;
        let sharers = sharers(&mut change, &entry).await?;
        change.commit().await?;
        Ok(sharers)
    }

    /// Changes a machine; returns what [`Store::add_machine`] does. Its groups are left as they are.
    ///
    /// # Errors
    /// When there is no such machine, the outcome makes no sense, or somebody else changes it at the same time.
    pub async fn set_machine(
        &self,
        name: &Name,
        now: Timestamp,
        set: impl FnOnce(&mut MachineEntry),
    ) -> Result<Vec<Name>, StoreError> {
        let found = self.machine(name).await?;
        let mut entry = found.clone();
        set(&mut entry);
        entry.name.clone_from(&found.name);
        entry.changed = found.later(now);
        let entry = entry.checked()?;
        let mut change = self.change(Self::PATIENCE).await?;
        let mut columns = entry.columns();
        columns.insert("seen", millis(found.changed));
        if change.execute(&UPDATE, &columns).await? == 0 {
            return Err(StoreError::Conflict { what: Thing::Machine, name: entry.name.to_string() });
        }
        change.execute(&DELETE_MACS, &parameters([("machine", entry.name.as_str().into())])).await?;
        write_macs(&mut change, &entry).await?;
        let sharers = sharers(&mut change, &entry).await?;
        change.commit().await?;
        Ok(sharers)
    }

    /// A machine by its name.
    ///
    /// # Errors
    /// When there is none; the error names the one that was probably meant.
    pub async fn machine(&self, name: &Name) -> Result<MachineEntry, StoreError> {
        let rows = self.fresh(&FIND, &parameters([("name", name.as_str().into())]), Self::PATIENCE).await?;
        match rows.first() {
            Some(row) => MachineEntry::read(row),
            None => Err(self.no_machine(name).await?),
        }
    }

    /// Machines by name, those after `after`; at most [`Store::PAGE_MAX`]. The last one's name is where the next page
    /// begins.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn machines(
        &self,
        group: Option<&Name>,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<MachineEntry>, StoreError> {
        let values = parameters([
            ("group_name", group.map(|group| group.to_string()).into()),
            ("after", after.map(Name::as_str).unwrap_or_default().into()),
            ("limit", Value::Integer(limit.min(Self::PAGE_MAX) as i64)),
        ]);
        let statement = if group.is_some() { &PAGE_OF_GROUP } else { &PAGE };
        self.fresh(statement, &values, Self::PATIENCE).await?.iter().map(MachineEntry::read).collect()
    }

    /// How many machines there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn machine_count(&self) -> Result<u64, StoreError> {
        let rows = self.fresh(&COUNT, &Record::default(), Self::PATIENCE).await?;
        Ok(rows.first().and_then(|row| Row(row).number("machines")).unwrap_or(0).unsigned_abs())
    }

    /// Removes a machine with everything that was to be done on it; its history stays.
    ///
    /// # Errors
    /// When there is none.
    pub async fn remove_machine(&self, name: &Name) -> Result<(), StoreError> {
        match self.execute(&DELETE, &parameters([("name", name.as_str().into())]), Self::PATIENCE).await? {
            0 => Err(self.no_machine(name).await?),
            _ => Ok(()),
        }
    }

    /// The error that names the nearest machine, of those whose names sort near the one given.
    pub(super) async fn no_machine(&self, name: &Name) -> Result<StoreError, StoreError> {
        let values = parameters([("name", name.as_str().into())]);
        let mut rows = self.fresh(&NAMES_FROM, &values, Self::PATIENCE).await?;
        rows.extend(self.fresh(&NAMES_BEFORE, &values, Self::PATIENCE).await?);
        let names: Vec<_> = rows.iter().filter_map(|row| row.text("name")).collect();
        let remedy = match crate::nearest::nearest(name.as_str(), names.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`pointsman machine list` shows them, `pointsman machine add` adds one".to_owned(),
        };
        Ok(StoreError::NotFound { what: Thing::Machine, name: name.to_string(), remedy })
    }
}

pub(super) async fn write_macs(change: &mut Change<'_>, entry: &MachineEntry) -> Result<(), StoreError> {
    let row =
        |mac: &HardwareAddress| parameters([("mac", mac.to_string().into()), ("machine", entry.name.as_str().into())]);
    let rows: Vec<_> = entry.macs.iter().map(row).collect();
    change.batch(&INSERT_MAC, &rows).await
}

async fn sharers(change: &mut Change<'_>, entry: &MachineEntry) -> Result<Vec<Name>, StoreError> {
    let rows = change.rows(&SHARERS, &entry.columns()).await?;
    rows.iter().map(|row| Row(row).parsed("name")).collect()
}
