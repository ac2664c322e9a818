//! What the sql handler asks: which machine may this be, and what does it boot?
//!
//! Answers are rows with the column names that a site's own queries have too. The questions hold neither the time nor
//! the session, so that the last answer to the same question can stand in for a lost database.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;
use uuid::Uuid;

use super::machine::MachineEntry;
use super::name::fold_serial;
use super::row::Row;
use super::sql::{Statement, parameters};
use super::{Mode, Name, SpentBy, State, Store, StoreError};
use crate::boot::{HardwareAddress, Line, Record, SessionId, Value};
use crate::database::Rows;
use crate::nearest::cut;
use crate::pace::Pace;

/// What a machine claims to be known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// System UUID.
    pub uuid: Option<Uuid>,
    /// Serial number, as firmware reports it.
    pub serial: Option<String>,
    /// The address of the adapter that booted.
    pub mac: Option<HardwareAddress>,
    /// The system's own address, which adapters may pass through.
    pub sysmac: Option<HardwareAddress>,
}

static CANDIDATES: Statement = Statement::new(
    "SELECT {machine} FROM (SELECT name FROM machine WHERE uuid = :uuid \
     UNION SELECT name FROM machine WHERE serial_key = :serial_key \
     UNION SELECT machine FROM machine_mac WHERE mac = :mac \
     UNION SELECT machine FROM machine_mac WHERE mac = :sysmac) f \
     JOIN machine m ON m.name = f.name ORDER BY m.name",
);

static IMAGES_OF: Statement = Statement::new(
    "SELECT {assignment}, i.title, i.kind, i.attributes FROM assignment a JOIN image i ON i.id = a.image \
     WHERE a.machine = :machine AND a.open_key IS NOT NULL \
     UNION ALL SELECT {assignment}, i.title, i.kind, i.attributes FROM group_member g \
     JOIN assignment a ON a.group_name = g.group_name JOIN image i ON i.id = a.image \
     WHERE g.machine = :machine AND a.open_key IS NOT NULL \
     UNION ALL SELECT {assignment}, i.title, i.kind, i.attributes FROM assignment a \
     JOIN image i ON i.id = a.image WHERE a.scope = 'all' AND a.open_key IS NOT NULL",
);

static UNKNOWN_IMAGES: Statement = Statement::new(
    "SELECT {assignment}, i.title, i.kind, i.attributes FROM assignment a JOIN image i ON i.id = a.image \
     WHERE a.scope = 'unknown' AND a.open_key IS NOT NULL",
);

static IMAGE: Statement = Statement::new("SELECT id AS image, title, kind, attributes FROM image WHERE id = :image");

impl Store {
    /// Every machine that has one of these keys: `machine_id`, `hostname`, `allow`, `reason`, `uuid`, `manufacturer`,
    /// `serial`, `mac`, `groups` (both separated by spaces), and its attributes. One question to the database.
    ///
    /// # Errors
    /// When the database fails and the same question was not answered lately.
    pub async fn candidates(&self, keys: &Keys, limit: Duration) -> Result<Rows, StoreError> {
        let values = parameters([
            ("uuid", keys.uuid.map(|uuid| uuid.to_string()).into()),
            ("serial_key", keys.serial.as_deref().and_then(fold_serial).into()),
            ("mac", keys.mac.map(|mac| mac.to_string()).into()),
            ("sysmac", keys.sysmac.map(|mac| mac.to_string()).into()),
        ]);
        let found = self.rows(&CANDIDATES, &values, limit).await?;
        let records = found.records.iter().map(|record| MachineEntry::read(record).map(|entry| entry.record()));
        Ok(Rows { records: records.collect::<Result<_, _>>()?, age: found.age })
    }

    /// What a machine boots: `image`, `title`, `kind`, the image's attributes, `mandatory`, `countdown` (seconds),
    /// `available_from`, `expires` (RFC 3339), `sort_order`, `once` and `assignment`. An image that comes by several
    /// ways is there once. When the rows are remembered ones, nothing that is done once is among them.
    ///
    /// # Errors
    /// When the database fails and the same question was not answered lately.
    pub async fn images_of(&self, machine: &str, session: SessionId, limit: Duration) -> Result<Rows, StoreError> {
        let found = self.rows(&IMAGES_OF, &parameters([("machine", machine.into())]), limit).await?;
        Ok(images(&found, Some(session)))
    }

    /// What machines boot that are not known; columns as those of [`Store::images_of`].
    ///
    /// # Errors
    /// As [`Store::images_of`].
    pub async fn unknown_images(&self, limit: Duration) -> Result<Rows, StoreError> {
        Ok(images(&self.rows(&UNKNOWN_IMAGES, &Record::default(), limit).await?, None))
    }

    /// The image of this id, for a row of a site's own query that only names it: `image`, `title`, `kind` and its
    /// attributes; no row when there is none.
    ///
    /// # Errors
    /// As [`Store::images_of`].
    pub async fn image_row(&self, image: &str, limit: Duration) -> Result<Rows, StoreError> {
        let Ok(id) = image.parse::<Name>() else { return Ok(Rows::default()) };
        let found = self.rows(&IMAGE, &parameters([("image", id.as_str().into())]), limit).await?;
        let records = found.records.iter().map(|record| {
            let mut image = Record::default();
            describe(&mut image, record)?;
            Ok(image)
        });
        Ok(Rows { records: records.collect::<Result<_, StoreError>>()?, age: found.age })
    }
}

/// Orders the rows, and leaves out what is not to be given out in this boot.
fn images(found: &Rows, session: Option<SessionId>) -> Rows {
    let mut images = Vec::new();
    for row in &found.records {
        // A row that was edited by hand costs itself only: one for all machines would else leave each without anything.
        match Offer::read(row).and_then(|offer| Ok((offer.record(row)?, offer))) {
            Ok((record, offer)) if offer.is_open(session, found.age.is_some()) => images.push((offer, record)),
            Ok(_) => {}
            Err(error) if PACE.take(Timestamp::now().as_second(), LOG_LINES_PER_SECOND_MAX).is_free => {
                let assignment = Line::clean(cut(&row.text("id").unwrap_or_default()));
                warn!(%assignment, %error, "an assignment does not count");
            }
            Err(_) => {}
        }
    }
    // What is done once stands before what always stands, mandatory before available, then in the site's order.
    images.sort_by_key(|(offer, _)| offer.rank());
    let mut seen = BTreeSet::new();
    images.retain(|(offer, _)| seen.insert(offer.image.clone()));
    images.sort_by_key(|(offer, _)| (offer.sort_order, offer.rank()));
    Rows { records: images.into_iter().map(|(_, record)| record).collect(), age: found.age }
}

/// Rows that make no sense are told of so often in a second.
const LOG_LINES_PER_SECOND_MAX: u64 = 10;
static PACE: LazyLock<Pace> = LazyLock::new(Pace::default);

/// A row of an assignment with its image, as far as it decides whether and where the image is shown.
struct Offer {
    id: String,
    image: String,
    mode: Mode,
    state: State,
    spent_by: SpentBy,
    offered_session: Option<SessionId>,
    is_mandatory: bool,
    scope: String,
    sort_order: i64,
    available_from: Option<Timestamp>,
    expires: Option<Timestamp>,
}

impl Offer {
    fn read(record: &Record) -> Result<Offer, StoreError> {
        let row = Row(record);
        Ok(Offer {
            id: row.text("id")?,
            image: row.text("image")?,
            mode: row.parsed("mode")?,
            state: row.parsed("state")?,
            spent_by: row.parsed("spent_by")?,
            offered_session: row.optional_parsed("offered_session")?,
            is_mandatory: row.flag("mandatory"),
            scope: row.text("scope")?,
            sort_order: row.number("sort_order").unwrap_or(0),
            available_from: row.moment("not_before")?,
            expires: row.moment("not_after")?,
        })
    }

    fn is_open(&self, session: Option<SessionId>, is_stale: bool) -> bool {
        match (self.mode, self.state) {
            (Mode::Always, _) => true,
            (Mode::Once, _) if is_stale => false,
            (Mode::Once, State::Assigned | State::Offered) => true,
            (Mode::Once, State::Started) => match self.spent_by {
                SpentBy::Done => true,
                // The same boot asks for its script again: the first one may not have reached it.
                SpentBy::Script => session.is_some() && session == self.offered_session,
                SpentBy::Image => false,
            },
            (Mode::Once, State::Standing | State::Done | State::Failed | State::Expired) => false,
        }
    }

    fn rank(&self) -> (bool, bool, usize, String, String) {
        let near = ["machine", "group", "all"].iter().position(|scope| *scope == self.scope).unwrap_or(3);
        (self.mode == Mode::Always, !self.is_mandatory, near, self.image.clone(), self.id.clone())
    }

    fn record(&self, found: &Record) -> Result<Record, StoreError> {
        let mut record = Record::default();
        describe(&mut record, found)?;
        let is_once = self.mode == Mode::Once;
        record.insert("mandatory", self.is_mandatory);
        record.insert("countdown", Row(found).number("countdown"));
        record.insert("available_from", self.available_from.map(|at| at.to_string()));
        record.insert("expires", self.expires.map(|at| at.to_string()));
        record.insert("sort_order", self.sort_order);
        record.insert("once", is_once);
        record.insert("assignment", is_once.then(|| self.id.clone()));
        Ok(record)
    }
}

/// What the image is, from the columns `image`, `title`, `kind` and `attributes`.
fn describe(record: &mut Record, found: &Record) -> Result<(), StoreError> {
    let row = Row(found);
    for (name, text) in row.texts("attributes")? {
        record.insert(&name, text);
    }
    record.insert("image", row.text("image")?);
    record.insert("title", row.text("title")?);
    record.insert("kind", row.text("kind")?);
    Ok(())
}

impl MachineEntry {
    /// The machine as the row of a query.
    pub fn record(&self) -> Record {
        let words = |words: Vec<String>| (!words.is_empty()).then(|| words.join(" "));
        let mut record: Record =
            self.attributes.iter().take(Self::ATTRIBUTES_MAX).map(|(name, text)| (name, text.as_str())).collect();
        record.insert("machine_id", self.name.as_str());
        record.insert("hostname", self.hostname.as_deref().unwrap_or(self.name.as_str()));
        record.insert("allow", self.allow);
        record.insert("reason", self.reason.clone());
        record.insert("uuid", self.uuid.map(|uuid| uuid.to_string()));
        record.insert("manufacturer", self.manufacturer.clone());
        record.insert("serial", self.serial.clone());
        record.insert("mac", words(self.macs.iter().map(ToString::to_string).collect()));
        record.insert("groups", Value::from(words(self.groups.iter().map(ToString::to_string).collect())));
        record
    }
}
