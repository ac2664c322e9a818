//! What happened: one row for each boot, and what was told of it afterwards.
//!
//! **Invariant**: what is written twice is there once, so that a batch whose outcome is not known is written again.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::name::{cut, new_number};
use super::question;
use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{Name, QuestionEntry, Store, StoreError};
use crate::boot::{HardwareAddress, Record, SessionId, Value};

/// A boot, as far as it is known. What is not known yet is absent, and leaves what was written before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootEntry {
    /// The boot.
    pub session: SessionId,
    /// When its first packet came.
    pub started: Timestamp,
    /// When it was last heard of.
    pub last_event: Timestamp,
    /// The address of the adapter that booted.
    pub mac: Option<HardwareAddress>,
    /// System UUID.
    pub uuid: Option<Uuid>,
    /// Client system architecture.
    pub arch: Option<String>,
    /// The machine, by its name at that time.
    pub machine: Option<String>,
    /// `allow`, `deny` or `ignore`.
    pub verdict: Option<String>,
    /// Why not.
    pub reason: Option<String>,
    /// Who decided: a handler's name, or `policy`.
    pub handler: Option<String>,
    /// The images that it was given, by id, separated by spaces.
    pub images: Option<String>,
    /// The last thing that is known of it: `offered`, `started`, `done`, ...
    pub result: Option<String>,
    /// JSON: what the machine said of itself.
    #[serde(serialize_with = "json")]
    pub facts: Option<String>,
    /// JSON: how the decision came about.
    #[serde(serialize_with = "json")]
    pub trail: Option<String>,
    /// What was told of it since the last time it was written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventEntry>,
    /// What was asked of it since the last time it was written.
    #[serde(skip)]
    pub questions: Vec<QuestionEntry>,
}

/// Something that happened in a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventEntry {
    #[serde(skip)]
    id: i64,
    /// When.
    pub at: Timestamp,
    /// What: `offered`, `started`, `sent`, ...
    pub name: String,
    /// The image, the file, the reason.
    pub detail: String,
}

impl EventEntry {
    /// Something that happened; written once, however often it is tried.
    pub fn new(at: Timestamp, name: &str, detail: &str) -> EventEntry {
        EventEntry { id: new_number(), at, name: cut(name, 16), detail: cut(detail, 1000) }
    }

    pub(super) fn read(record: &Record) -> Result<EventEntry, StoreError> {
        let row = Row(record);
        Ok(EventEntry {
            id: row.number("id").unwrap_or(0),
            at: row.moment_given("happened")?,
            name: row.text("name")?,
            detail: row.optional("detail").unwrap_or_default(),
        })
    }

    fn columns(&self, session: SessionId) -> Record {
        parameters([
            ("session", session.to_string().into()),
            ("id", Value::Integer(self.id)),
            ("happened", millis(self.at)),
            ("name", self.name.as_str().into()),
            ("detail", self.detail.as_str().into()),
        ])
    }
}

impl BootEntry {
    /// The longest JSON text of a boot, in octets; a longer one is left out.
    pub const JSON_LEN_MAX: usize = 60 << 10;

    /// A boot of which only the beginning is known.
    pub fn new(session: SessionId, started: Timestamp) -> BootEntry {
        BootEntry {
            session,
            started,
            last_event: started,
            mac: None,
            uuid: None,
            arch: None,
            machine: None,
            verdict: None,
            reason: None,
            handler: None,
            images: None,
            result: None,
            facts: None,
            trail: None,
            events: Vec::new(),
            questions: Vec::new(),
        }
    }

    pub(super) fn read(record: &Record) -> Result<BootEntry, StoreError> {
        let row = Row(record);
        Ok(BootEntry {
            session: row.parsed("session")?,
            started: row.moment_given("started")?,
            last_event: row.moment_given("last_event")?,
            mac: row.optional_parsed("mac")?,
            uuid: row.optional_parsed("uuid")?,
            arch: row.optional("arch"),
            machine: row.optional("machine"),
            verdict: row.optional("verdict"),
            reason: row.optional("reason"),
            handler: row.optional("handler"),
            images: row.optional("images"),
            result: row.optional("result"),
            facts: row.optional("facts"),
            trail: row.optional("trail"),
            events: Vec::new(),
            questions: Vec::new(),
        })
    }

    /// The row of entries of one boot, as if they were written one after the other.
    fn columns(group: &[&BootEntry]) -> Record {
        fn latest<'a, T>(group: &[&'a BootEntry], of: impl Fn(&'a BootEntry) -> Option<T>) -> Option<T> {
            group.iter().rev().find_map(|entry| of(entry))
        }
        let text = |max, of: fn(&BootEntry) -> Option<&str>| Value::from(latest(group, of).map(|text| cut(text, max)));
        let json = |of: fn(&BootEntry) -> Option<&str>| {
            let fits = |text: &&str| text.len() <= Self::JSON_LEN_MAX && !text.contains('\0');
            Value::from(latest(group, of).filter(fits).map(str::to_owned))
        };
        let judged = latest(group, |entry| entry.verdict.as_ref().map(|_| entry));
        let reason = judged.and_then(|entry| entry.reason.as_deref());
        let session = latest(group, |entry| Some(entry.session.to_string()));
        parameters([
            ("session", session.into()),
            ("started", group.iter().map(|entry| entry.started).min().map_or(Value::Null, millis)),
            ("last_event", group.iter().map(|entry| entry.last_event).max().map_or(Value::Null, millis)),
            ("mac", latest(group, |entry| entry.mac).map(|mac| mac.to_string()).into()),
            ("uuid", latest(group, |entry| entry.uuid).map(|uuid| uuid.to_string()).into()),
            ("arch", text(32, |entry| entry.arch.as_deref())),
            ("machine", text(Name::LEN_MAX, |entry| entry.machine.as_deref())),
            ("verdict", text(8, |entry| entry.verdict.as_deref())),
            ("reason", Value::from(reason.map(|text| cut(text, 255)))),
            ("handler", text(64, |entry| entry.handler.as_deref())),
            ("images", text(1000, |entry| entry.images.as_deref())),
            ("result", text(16, |entry| entry.result.as_deref())),
            ("facts", json(|entry| entry.facts.as_deref())),
            ("trail", json(|entry| entry.trail.as_deref())),
        ])
    }

    /// Whether this and the next entry make one row. What has a result and what comes later without one do not: another
    /// server may have written a result in between, which is the newer one.
    fn goes_with(&self, next: &BootEntry) -> bool {
        self.session == next.session
            && self.last_event <= next.last_event
            && (self.result.is_none() || next.result.is_some())
    }
}

/// JSON that was stored, as JSON; what is none becomes a text.
fn json<S: serde::Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let read = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::from(text.as_str()));
    text.as_ref().map(read).serialize(serializer)
}

static WRITE: Statement = Statement::each([
    "INSERT INTO boot {boot} ON CONFLICT (session) DO UPDATE SET {merged}, \
     started = min(boot.started, excluded.started), last_event = max(boot.last_event, excluded.last_event)",
    "INSERT INTO boot {boot} ON CONFLICT (session) DO UPDATE SET {merged}, \
     started = least(boot.started, excluded.started), last_event = greatest(boot.last_event, excluded.last_event)",
    "INSERT INTO boot {boot} ON DUPLICATE KEY UPDATE {merged}, \
     started = least(started, VALUES(started)), last_event = greatest(last_event, VALUES(last_event))",
]);

static WRITE_EVENT: Statement = Statement::each([
    "INSERT INTO boot_event (session, id, happened, name, detail) \
     VALUES (:session, :id, :happened, :name, :detail) ON CONFLICT (session, id) DO NOTHING",
    "INSERT INTO boot_event (session, id, happened, name, detail) \
     VALUES (:session, :id, :happened, :name, :detail) ON CONFLICT (session, id) DO NOTHING",
    "INSERT INTO boot_event (session, id, happened, name, detail) \
     VALUES (:session, :id, :happened, :name, :detail) ON DUPLICATE KEY UPDATE id = id",
]);

/// The rows of entries that are sorted by their boots. No boot is twice in one round, and its later row is in a later one.
fn rounds(entries: &[&BootEntry]) -> Vec<Vec<Record>> {
    let mut rounds: Vec<Vec<Record>> = Vec::new();
    for boot in entries.chunk_by(|entry, next| entry.session == next.session) {
        for (round, group) in boot.chunk_by(|entry, next| entry.goes_with(next)).enumerate() {
            let row = BootEntry::columns(group);
            match rounds.get_mut(round) {
                Some(rows) => rows.push(row),
                None => rounds.push(vec![row]),
            }
        }
    }
    rounds
}

impl Store {
    /// Writes boots and what happened in them. Two entries of one boot are written one after the other, and several
    /// servers may write what each of them saw of it. After an error the same batch can be written again.
    ///
    /// # Errors
    /// When the database fails; nothing of the batch is written then.
    pub async fn write(&self, batch: &[BootEntry]) -> Result<(), StoreError> {
        // In one order, so that two writers do not wait for each other.
        let mut entries: Vec<_> = batch.iter().collect();
        entries.sort_by_key(|entry| entry.session);
        let boots = rounds(&entries);
        let events = entries.iter().flat_map(|entry| entry.events.iter().map(|event| event.columns(entry.session)));
        let events: Vec<_> = events.collect();
        let questions =
            entries.iter().flat_map(|entry| entry.questions.iter().map(|asked| asked.columns(entry.session)));
        let questions: Vec<_> = questions.collect();
        let mut change = self.change(Self::PATIENCE).await?;
        for rows in &boots {
            change.insert(&WRITE, rows).await?;
        }
        change.insert(&WRITE_EVENT, &events).await?;
        change.insert(&question::WRITE, &questions).await?;
        change.commit().await
    }
}
