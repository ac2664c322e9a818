//! Boots that wait for somebody to agree.
//!
//! **Invariant**: a decision is made once: it changes a row that is pending, and none other.

use std::time::Duration;

use jiff::Timestamp;

use super::name::cut;
use super::row::{Row, millis};
use super::sql::{Statement, parameters};
use super::{Store, StoreError};
use crate::boot::{HardwareAddress, Line, Record, SessionId, Value};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRequest {
    /// The boot.
    pub session: SessionId,
    /// Its machine.
    pub mac: HardwareAddress,
    /// The image that was chosen; empty for the boot as a whole.
    pub image: String,
    /// What the question says.
    pub title: Line,
}

/// How a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalState {
    /// Nobody decided.
    Pending,
    /// Somebody agreed.
    Approved {
        /// Who.
        by: Line,
        /// When.
        at: Timestamp,
        /// The groups that this gives.
        groups: Vec<String>,
    },
    /// Somebody did not.
    Denied {
        /// Who.
        by: Line,
        /// Why.
        reason: Line,
    },
}

impl ApprovalState {
    /// The word in the table and in lists.
    pub fn name(&self) -> &'static str {
        match self {
            ApprovalState::Pending => "pending",
            ApprovalState::Approved { .. } => "approved",
            ApprovalState::Denied { .. } => "denied",
        }
    }
}

/// A request as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// What people call it.
    pub id: String,
    /// The boot.
    pub session: SessionId,
    /// Its machine.
    pub mac: HardwareAddress,
    /// The image that was chosen; empty for the boot as a whole.
    pub image: String,
    /// What the question says.
    pub title: Line,
    /// When the machine first asked.
    pub asked: Timestamp,
    /// When it last came for the answer.
    pub last_asked: Timestamp,
    /// How it stands.
    pub state: ApprovalState,
}

/// What somebody decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Who.
    pub by: Line,
    /// Whether they agree; if so, with the groups that this gives, else why not.
    pub agreed: Result<Vec<String>, Line>,
}

/// The letters of an id: none that is taken for another.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The longest text of a column, in characters.
const TEXT_LEN_MAX: usize = 255;
/// The most requests of a list.
const LIST_MAX: i64 = 500;

static ASK: Statement = Statement::each([
    "INSERT INTO approval {columns} ON CONFLICT (session, image) DO UPDATE SET last_asked = excluded.last_asked",
    "INSERT INTO approval {columns} ON CONFLICT (session, image) DO UPDATE SET last_asked = excluded.last_asked",
    "INSERT INTO approval {columns} ON DUPLICATE KEY UPDATE last_asked = VALUES(last_asked)",
]);

static FIND: Statement = Statement::new("SELECT {approval} FROM approval WHERE session = :session AND image = :image");

static LIST: Statement = Statement::new(
    "SELECT {approval} FROM approval WHERE :all = 1 OR (state = 'pending' AND last_asked >= :since) \
     ORDER BY asked DESC, id LIMIT :limit",
);

static PENDING: Statement = Statement::new(
    "SELECT {approval} FROM approval WHERE state = 'pending' AND last_asked >= :since AND (id = :id OR mac = :mac) \
     ORDER BY asked DESC LIMIT :limit",
);

static RULE: Statement = Statement::new(
    "UPDATE approval SET state = :state, decided = :now, decided_by = :by, person_groups = :groups, reason = :reason \
     WHERE id = :id AND state = 'pending'",
);

impl Approval {
    fn read(record: &Record) -> Result<Approval, StoreError> {
        let row = Row(record);
        let by = || Line::clean(&row.optional("decided_by").unwrap_or_default());
        let state = match row.text("state")?.as_str() {
            "pending" => ApprovalState::Pending,
            "approved" => {
                let groups = row.optional("person_groups").unwrap_or_else(|| "[]".into());
                let groups = serde_json::from_str(&groups).map_err(|_| StoreError::Row { column: "person_groups" })?;
                ApprovalState::Approved { by: by(), at: row.moment_given("decided")?, groups }
            }
            "denied" => {
                ApprovalState::Denied { by: by(), reason: Line::clean(&row.optional("reason").unwrap_or_default()) }
            }
            _ => return Err(StoreError::Row { column: "state" }),
        };
        Ok(Approval {
            id: row.text("id")?,
            session: row.parsed("session")?,
            mac: row.parsed("mac")?,
            image: row.optional("image").unwrap_or_default(),
            title: Line::clean(&row.text("title")?),
            asked: row.moment_given("asked")?,
            last_asked: row.moment_given("last_asked")?,
            state,
        })
    }
}

/// A new id: six letters.
fn new_id() -> Result<String, StoreError> {
    let mut random = [0; 6];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| StoreError::Invalid("no random numbers from the operating system".into()))?;
    Ok(random.iter().filter_map(|octet| DIGITS.get(usize::from(*octet & 31))).map(|digit| char::from(*digit)).collect())
}

impl Store {
    /// Asks for an approval, or comes again for the answer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask_approval(
        &self,
        request: &ApprovalRequest,
        now: Timestamp,
        limit: Duration,
    ) -> Result<Approval, StoreError> {
        let values = parameters([
            ("id", new_id()?.into()),
            ("session", request.session.to_string().into()),
            ("mac", request.mac.to_string().into()),
            ("image", request.image.clone().into()),
            ("title", cut(request.title.as_str(), TEXT_LEN_MAX).into()),
            ("now", millis(now)),
        ]);
        self.execute(&ASK, &values, limit).await?;
        let rows = self.fresh(&FIND, &values, limit).await?;
        rows.first().map(Approval::read).unwrap_or(Err(StoreError::Row { column: "id" }))
    }

    /// The requests whose machines came for the answer since then; with `all` those that are over as well.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn approvals(&self, all: bool, since: Timestamp, limit: Duration) -> Result<Vec<Approval>, StoreError> {
        let values = parameters([
            ("all", Value::Integer(i64::from(all))),
            ("since", millis(since)),
            ("limit", Value::Integer(LIST_MAX)),
        ]);
        self.fresh(&LIST, &values, limit).await?.iter().map(Approval::read).collect()
    }

    /// Decides the one request with this id, or of the machine with this address, whose machine came for the answer
    /// since then.
    ///
    /// # Errors
    /// When there is none that is pending, or more than one, or the database fails.
    pub async fn rule(
        &self,
        which: &str,
        ruling: &Ruling,
        since: Timestamp,
        now: Timestamp,
        limit: Duration,
    ) -> Result<Approval, StoreError> {
        // Six letters may all be hexadecimal digits: what looks like an address may be an id too.
        let mac = which.parse::<HardwareAddress>().map_or(Value::Null, |mac| mac.to_string().into());
        let which = which.to_lowercase();
        let values = parameters([
            ("id", which.as_str().into()),
            ("mac", mac),
            ("since", millis(since)),
            ("limit", Value::Integer(2)),
        ]);
        let found = self.fresh(&PENDING, &values, limit).await?;
        let approval = match &*found {
            [one] => Approval::read(one)?,
            [] => return Err(not_pending(&which)),
            _ => {
                let what = format!("several requests of {which} are pending; name one by its number");
                return Err(StoreError::Invalid(what));
            }
        };
        let (state, groups, reason) = match &ruling.agreed {
            Ok(groups) => ("approved", Value::Text(serde_json::json!(groups).to_string()), Value::Null),
            Err(reason) => ("denied", Value::Null, cut(reason.as_str(), TEXT_LEN_MAX).into()),
        };
        let values = parameters([
            ("id", approval.id.as_str().into()),
            ("state", state.into()),
            ("now", millis(now)),
            ("by", cut(ruling.by.as_str(), TEXT_LEN_MAX).into()),
            ("groups", groups),
            ("reason", reason),
        ]);
        match self.execute(&RULE, &values, limit).await? {
            0 => Err(not_pending(&which)),
            _ => Ok(approval),
        }
    }
}

fn not_pending(which: &str) -> StoreError {
    StoreError::Invalid(format!(
        "no machine waits for approval of `{which}`; `pointsman approvals` lists those that do"
    ))
}
