//! What was asked and answered, whole: so that a boot can be explained, and asked again of other scripts.
//!
//! **Invariant**: a row that cannot be read costs no other.

use jiff::Timestamp;

use super::history::BootEntry;
use super::name::new_number;
use super::recorded::{Recorded, RecordedError, read_decision};
use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{Name, Store, StoreError};
use crate::boot::{BootDecision, BootRequest, HardwareAddress, Record, SessionId, Stage, Value};
use crate::decision::Question;

/// A question that was evaluated, with its answer, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionEntry {
    id: i64,
    asked: Timestamp,
    question: Question,
    stage: Stage,
    /// JSON; absent where it is too long.
    request: Option<String>,
    /// JSON; absent where it is too long.
    decision: Option<String>,
}

impl QuestionEntry {
    /// What is kept of a question; written once, however often it is tried.
    pub fn new(question: Question, request: &BootRequest, decision: &BootDecision) -> QuestionEntry {
        let fits = |text: &String| text.len() <= BootEntry::JSON_LEN_MAX;
        QuestionEntry {
            id: new_number(),
            asked: request.now,
            question,
            stage: request.stage,
            request: Recorded::of(request).write(),
            decision: serde_json::to_string(decision).ok().filter(fits),
        }
    }

    pub(super) fn columns(&self, session: SessionId) -> Record {
        parameters([
            ("session", session.to_string().into()),
            ("id", Value::Integer(self.id)),
            ("asked", millis(self.asked)),
            ("question", self.question.name().into()),
            ("stage", self.stage.name().into()),
            ("request", self.request.clone().into()),
            ("decision", self.decision.clone().into()),
        ])
    }
}

/// A question as it was kept. Its texts are read when they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The boot.
    pub session: SessionId,
    /// When it was asked.
    pub asked: Timestamp,
    /// Which question.
    pub question: Question,
    /// How far the boot was.
    pub stage: Stage,
    /// The machine, by its name at that time.
    pub machine: Option<String>,
    request: Option<String>,
    decision: Option<String>,
}

impl Kept {
    /// The request, as the rules saw it.
    ///
    /// # Errors
    /// When it was too long to be kept, or cannot be read.
    pub fn request(&self) -> Result<BootRequest, RecordedError> {
        self.request.as_deref().ok_or(RecordedError::NotKept).and_then(Recorded::read)
    }

    /// The answer.
    ///
    /// # Errors
    /// When it was too long to be kept, or cannot be read.
    pub fn decision(&self) -> Result<BootDecision, RecordedError> {
        self.decision.as_deref().ok_or(RecordedError::NotKept).and_then(read_decision)
    }

    fn read(record: &Record) -> Result<Kept, StoreError> {
        let row = Row(record);
        let question = match row.text("question")?.as_str() {
            "allow_boot" => Question::AllowBoot,
            "boot_images" => Question::BootImages,
            _ => return Err(StoreError::Row { column: "question" }),
        };
        Ok(Kept {
            session: row.parsed("session")?,
            asked: row.moment_given("asked")?,
            question,
            stage: row.parsed("stage")?,
            machine: row.optional("machine"),
            request: row.optional("request"),
            decision: row.optional("decision"),
        })
    }
}

/// Which questions are read; the newest come first.
#[derive(Clone, Debug, Default)]
pub struct QuestionFilter<'a> {
    /// Those of this machine.
    pub machine: Option<&'a Name>,
    /// Those of this adapter; looked at when no machine is given.
    pub mac: Option<HardwareAddress>,
    /// Those since then.
    pub since: Option<Timestamp>,
}

/// Where the next page of questions begins.
#[derive(Clone, Debug)]
pub struct After {
    asked: i64,
    session: String,
    id: i64,
}

/// A page of questions.
#[derive(Clone, Debug)]
pub struct QuestionPage {
    /// Those that can be read, the newest first.
    pub kept: Vec<Kept>,
    /// How many rows could not be read.
    pub broken: usize,
    /// Where the next page begins; none behind the last one.
    pub next: Option<After>,
}

/// Questions of one page: some kilobytes each.
const PAGE: i64 = 250;
/// The most questions of one boot; fewer are written.
const BOOT_MAX: i64 = 200;

pub(super) static WRITE: Statement = Statement::each([
    "INSERT INTO question (session, id, asked, question, stage, request, decision) \
     VALUES (:session, :id, :asked, :question, :stage, :request, :decision) ON CONFLICT (session, id) DO NOTHING",
    "INSERT INTO question (session, id, asked, question, stage, request, decision) \
     VALUES (:session, :id, :asked, :question, :stage, :request, :decision) ON CONFLICT (session, id) DO NOTHING",
    "INSERT INTO question (session, id, asked, question, stage, request, decision) \
     VALUES (:session, :id, :asked, :question, :stage, :request, :decision) ON DUPLICATE KEY UPDATE id = id",
]);

static ALL: Statement =
    Statement::new("SELECT {kept} FROM question q JOIN boot b ON b.session = q.session WHERE {kept_page}");

static OF_MACHINE: Statement = Statement::new(
    "SELECT {kept} FROM question q JOIN boot b ON b.session = q.session WHERE b.machine = :machine AND {kept_page}",
);

static OF_MAC: Statement = Statement::new(
    "SELECT {kept} FROM question q JOIN boot b ON b.session = q.session WHERE b.mac = :mac AND {kept_page}",
);

static OF_BOOT: Statement = Statement::new(
    "SELECT {kept} FROM question q JOIN boot b ON b.session = q.session WHERE q.session = :session \
     ORDER BY q.asked, q.id LIMIT :limit",
);

impl Store {
    /// A page of questions, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn questions(
        &self,
        filter: &QuestionFilter<'_>,
        after: Option<&After>,
    ) -> Result<QuestionPage, StoreError> {
        let (asked, session, id) =
            after.map_or((i64::MAX, String::new(), 0), |after| (after.asked, after.session.clone(), after.id));
        let values = parameters([
            ("machine", filter.machine.map(ToString::to_string).into()),
            ("mac", filter.mac.map(|mac| mac.to_string()).into()),
            ("since", Value::Integer(filter.since.map_or(i64::MIN, Timestamp::as_millisecond))),
            ("before", Value::Integer(asked)),
            ("before_session", session.into()),
            ("before_id", Value::Integer(id)),
            ("limit", Value::Integer(PAGE)),
        ]);
        let statement = match (filter.machine, filter.mac) {
            (Some(_), _) => &OF_MACHINE,
            (None, Some(_)) => &OF_MAC,
            (None, None) => &ALL,
        };
        let rows = self.fresh(statement, &values, Self::PATIENCE).await?;
        let next = rows.last().filter(|_| rows.len() as i64 == PAGE).and_then(|record| {
            let row = Row(record);
            Some(After { asked: row.number("asked")?, session: row.text("session").ok()?, id: row.number("id")? })
        });
        let kept: Vec<Kept> = rows.iter().filter_map(|row| Kept::read(row).ok()).collect();
        Ok(QuestionPage { broken: rows.len() - kept.len(), kept, next })
    }

    /// The questions of one boot in their order, and how many rows could not be read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn questions_of(&self, session: SessionId) -> Result<(Vec<Kept>, usize), StoreError> {
        let values = parameters([("session", session.to_string().into()), ("limit", Value::Integer(BOOT_MAX))]);
        let rows = self.fresh(&OF_BOOT, &values, Self::PATIENCE).await?;
        let kept: Vec<Kept> = rows.iter().filter_map(|row| Kept::read(row).ok()).collect();
        let broken = rows.len() - kept.len();
        Ok((kept, broken))
    }
}
