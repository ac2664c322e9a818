//! Reading the history of boots.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{BootEntry, EventEntry, Name, Store, StoreError};
use crate::boot::{HardwareAddress, Record, SessionId, Value};

/// Which boots are listed; the newest come first.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootFilter<'a> {
    /// Those of this machine.
    pub machine: Option<&'a Name>,
    /// Those by this adapter; looked at when no machine is given.
    pub mac: Option<HardwareAddress>,
    /// Those since then.
    pub since: Option<Timestamp>,
    /// Those that began before then, or at the same time with a smaller id: where the next page begins.
    pub before: Option<(Timestamp, SessionId)>,
    /// The most; at most 500.
    pub limit: usize,
}

/// The last boot of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The boot.
    pub session: SessionId,
    /// When it began.
    pub at: Timestamp,
    /// `allow`, `deny` or `ignore`.
    pub verdict: Option<String>,
    /// The last thing that is known of it.
    pub result: Option<String>,
    /// How many boots there were in the day before now.
    pub boots_24h: u64,
}

/// An adapter that booted, and belongs to no machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stranger {
    /// Its address.
    pub mac: HardwareAddress,
    /// When its last boot began.
    pub at: Timestamp,
    /// How many boots there were.
    pub boots: u64,
}

static BOOTS: Statement = Statement::new("SELECT {summary} FROM boot b WHERE b.started >= :since {boots}");

static BOOTS_OF_MACHINE: Statement =
    Statement::new("SELECT {summary} FROM boot b WHERE b.machine = :machine AND b.started >= :since {boots}");

static BOOTS_OF_MAC: Statement =
    Statement::new("SELECT {summary} FROM boot b WHERE b.mac = :mac AND b.started >= :since {boots}");

static BOOT: Statement = Statement::new("SELECT {summary}, b.facts, b.trail FROM boot b WHERE b.session = :session");

static EVENTS: Statement = Statement::new(
    "SELECT id, happened, name, detail FROM boot_event WHERE session = :session ORDER BY happened, id LIMIT 1000",
);

/// The last boot of each machine of a page.
static SEEN: Statement = Statement::new(
    "SELECT m.name, b.session, b.started, b.verdict, b.result, \
     (SELECT COUNT(*) FROM boot c WHERE c.machine = m.name AND c.started >= :day) AS boots_24h \
     FROM machine m JOIN boot b ON b.session = \
     (SELECT d.session FROM boot d WHERE d.machine = m.name ORDER BY d.started DESC LIMIT 1) \
     WHERE m.name >= :first AND m.name <= :last",
);

static STRANGERS: Statement = Statement::new(
    "SELECT b.mac, MAX(b.started) AS last_started, COUNT(*) AS boots FROM boot b \
     WHERE b.machine IS NULL AND b.mac IS NOT NULL AND b.started >= :since \
     AND NOT EXISTS (SELECT 1 FROM machine_mac k WHERE k.mac = b.mac) \
     GROUP BY b.mac ORDER BY last_started DESC LIMIT 500",
);

impl Store {
    /// Boots, the newest first, without their facts and trails.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn boots(&self, filter: BootFilter<'_>) -> Result<Vec<BootEntry>, StoreError> {
        let (before, before_session) = match filter.before {
            Some((at, session)) => (at.as_millisecond(), session.to_string()),
            None => (i64::MAX, String::new()),
        };
        let values = parameters([
            ("machine", filter.machine.map(ToString::to_string).into()),
            ("mac", filter.mac.map(|mac| mac.to_string()).into()),
            ("since", Value::Integer(filter.since.map_or(i64::MIN, Timestamp::as_millisecond))),
            ("before", Value::Integer(before)),
            ("before_session", before_session.into()),
            ("limit", Value::Integer(filter.limit.min(500) as i64)),
        ]);
        let statement = match (filter.machine, filter.mac) {
            (Some(_), _) => &BOOTS_OF_MACHINE,
            (None, Some(_)) => &BOOTS_OF_MAC,
            (None, None) => &BOOTS,
        };
        self.fresh(statement, &values, Self::PATIENCE).await?.iter().map(BootEntry::read).collect()
    }

    /// A boot with what happened in it, if it is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn boot(&self, session: SessionId) -> Result<Option<BootEntry>, StoreError> {
        let values = parameters([("session", session.to_string().into())]);
        let rows = self.fresh(&BOOT, &values, Self::PATIENCE).await?;
        let Some(mut boot) = rows.first().map(BootEntry::read).transpose()? else { return Ok(None) };
        let events = self.fresh(&EVENTS, &values, Self::PATIENCE).await?;
        boot.events = events.iter().map(EventEntry::read).collect::<Result<_, _>>()?;
        Ok(Some(boot))
    }

    /// The last boot of each machine from `first` to `last`, by name.
    ///
    /// # Errors
    /// When the database fails, or there are more than a page of them.
    pub async fn seen(&self, first: &Name, last: &Name, now: Timestamp) -> Result<BTreeMap<Name, Seen>, StoreError> {
        let day = now.checked_sub(jiff::SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
        let values =
            parameters([("first", first.as_str().into()), ("last", last.as_str().into()), ("day", millis(day))]);
        let rows = self.fresh(&SEEN, &values, Self::PATIENCE).await?;
        let read = |record: &Record| {
            let row = Row(record);
            let seen = Seen {
                session: row.parsed("session")?,
                at: row.moment_given("started")?,
                verdict: row.optional("verdict"),
                result: row.optional("result"),
                boots_24h: row.number("boots_24h").unwrap_or(0).unsigned_abs(),
            };
            Ok((row.parsed("name")?, seen))
        };
        rows.iter().map(read).collect()
    }

    /// Adapters that booted since then and belong to no machine, neither at that time nor now, the newest first; at
    /// most 500.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn strangers(&self, since: Timestamp) -> Result<Vec<Stranger>, StoreError> {
        let rows = self.fresh(&STRANGERS, &parameters([("since", millis(since))]), Self::PATIENCE).await?;
        let read = |record: &Record| {
            let row = Row(record);
            let boots = row.number("boots").unwrap_or(0).unsigned_abs();
            Ok(Stranger { mac: row.parsed("mac")?, at: row.moment_given("last_started")?, boots })
        };
        rows.iter().map(read).collect()
    }
}
