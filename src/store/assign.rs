//! What people do with assignments: make them, take them back, look at them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::assignment::{Assignment, AssignmentFilter, Mode, SpentBy, State, Target};
use super::change::Change;
use super::name::new_id;
use super::row::{Row, flag, millis};
use super::sql::{Statement, parameters};
use super::{Name, Store, StoreError, Thing};
use crate::boot::{Record, Value};

/// What is to be assigned.
#[derive(Clone, Debug)]
pub struct NewAssignment {
    /// Which machines; for `once` a group stands for those that are in it now.
    pub target: Target,
    /// What they boot.
    pub image: Name,
    /// Once, or at every boot.
    pub mode: Mode,
    /// Whether it boots by itself.
    pub mandatory: bool,
    /// How long a mandatory one can still be stopped, in seconds.
    pub countdown: Option<u32>,
    /// Its place in the menu; lower ones come first.
    pub sort_order: i32,
    /// When it counts as taken.
    pub spent_by: SpentBy,
    /// It is not offered before this.
    pub not_before: Option<Timestamp>,
    /// It is not offered from this on.
    pub not_after: Option<Timestamp>,
}

impl NewAssignment {
    /// An image for some machines, in the menu of their next boot, once.
    pub fn new(target: Target, image: Name) -> NewAssignment {
        NewAssignment {
            target,
            image,
            mode: Mode::Once,
            mandatory: false,
            countdown: None,
            sort_order: 0,
            spent_by: SpentBy::Image,
            not_before: None,
            not_after: None,
        }
    }

    fn check(&self, now: Timestamp) -> Result<(), StoreError> {
        let wrong = |what: &str| Err(StoreError::Invalid(what.to_owned()));
        match (self.mode, &self.target) {
            (Mode::Once, Target::All) => {
                return wrong(
                    "`all` machines cannot have an image once; put those meant into a group, or use --always",
                );
            }
            (Mode::Once, Target::Unknown) => {
                return wrong("nobody can tell whether a machine that is not known had it; use --always");
            }
            _ => {}
        }
        if self.countdown.is_some_and(|seconds| seconds > Assignment::COUNTDOWN_MAX) {
            return wrong("a countdown is at most a day");
        }
        if self.countdown.is_some() && !self.mandatory {
            return wrong("only a mandatory image has a countdown; add --mandatory, or leave it out");
        }
        if self.not_after.is_some_and(|end| end <= now || self.not_before.is_some_and(|start| start >= end)) {
            return wrong("the time in which it is offered ends before it begins, or has passed");
        }
        Ok(())
    }

    fn columns(&self, target: &Target, now: Timestamp) -> (String, Record) {
        let id = new_id();
        let state = if self.mode == Mode::Always { State::Standing } else { State::Assigned };
        let columns = parameters([
            ("id", id.as_str().into()),
            ("scope", target.scope().into()),
            ("machine", target.machine().map(ToString::to_string).into()),
            ("group_name", target.group().map(ToString::to_string).into()),
            ("image", self.image.as_str().into()),
            ("mode", self.mode.name().into()),
            ("mandatory", flag(self.mandatory)),
            ("countdown", self.countdown.map(i64::from).into()),
            ("sort_order", Value::Integer(self.sort_order.into())),
            ("spent_by", self.spent_by.name().into()),
            ("state", state.name().into()),
            ("not_before", self.not_before.map(|at| at.as_millisecond()).into()),
            ("not_after", self.not_after.map(|at| at.as_millisecond()).into()),
            ("open_key", self.open_key(target).into()),
            ("created", millis(now)),
            ("changed", millis(now)),
        ]);
        (id, columns)
    }

    /// What there can be one of at a time.
    fn open_key(&self, target: &Target) -> String {
        format!("{} {target}/{}", self.mode.name(), self.image)
    }
}

/// What became of an order to assign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// The new assignments.
    pub new: Vec<(Target, String)>,
    /// Machines that have the same image open already, with the assignment; they are left as they are.
    pub already: Vec<(Name, String)>,
    /// Earlier assignments that were begun and never reported done; they are closed.
    pub superseded: Vec<String>,
}

static INSERT: Statement = Statement::new(
    "INSERT INTO assignment (id, scope, machine, group_name, image, mode, mandatory, countdown, sort_order, spent_by, \
     state, not_before, not_after, offers, open_key, created, changed) VALUES (:id, :scope, :machine, :group_name, \
     :image, :mode, :mandatory, :countdown, :sort_order, :spent_by, :state, :not_before, :not_after, 0, :open_key, \
     :created, :changed)",
);

static HAS_IMAGE: Statement = Statement::new("SELECT id FROM image WHERE id = :image");

static OPEN: Statement = Statement::new("SELECT id FROM assignment WHERE open_key = :open_key");

/// A machine with what it has open of this image.
static OF_MACHINE: Statement = Statement::new(
    "SELECT m.name AS machine, a.id, a.state, a.spent_by FROM machine m \
     LEFT JOIN assignment a ON a.machine = m.name AND a.image = :image AND a.mode = 'once' AND a.open_key IS NOT NULL \
     WHERE m.name = :machine",
);

/// The machines of a group with what they have open of this image.
static OF_MEMBERS: Statement = Statement::new(
    "SELECT g.machine, a.id, a.state, a.spent_by FROM group_member g \
     LEFT JOIN assignment a ON a.machine = g.machine AND a.image = :image AND a.mode = 'once' \
     AND a.open_key IS NOT NULL WHERE g.group_name = :group_name AND g.machine > :after ORDER BY g.machine LIMIT 500",
);

static SUPERSEDE: Statement = Statement::new(
    "UPDATE assignment SET state = 'expired', open_key = NULL, reason = 'assigned anew before it was reported done', \
     changed = :changed WHERE id = :id AND state = 'started'",
);

static FIND: Statement = Statement::new("SELECT {assignment} FROM assignment a WHERE a.id = :id");

static PAGE: Statement = Statement::new("SELECT {assignment} FROM assignment a WHERE a.id <> '' {page}");

static PAGE_OF_MACHINE: Statement =
    Statement::new("SELECT {assignment} FROM assignment a WHERE a.machine = :machine {page}");

static PAGE_OF_GROUP: Statement =
    Statement::new("SELECT {assignment} FROM assignment a WHERE a.group_name = :group_name {page}");

static PAGE_OF_SCOPE: Statement = Statement::new("SELECT {assignment} FROM assignment a WHERE a.scope = :scope {page}");

static DELETE: Statement = Statement::new("DELETE FROM assignment WHERE id = :id");

impl Store {
    /// Assigns an image. What is done once by a group is one assignment for each machine that is in it now.
    ///
    /// # Errors
    /// When there is no such target or image, it makes no sense, or the machine has the same open already.
    pub async fn assign(&self, new: &NewAssignment, now: Timestamp) -> Result<Assigned, StoreError> {
        new.check(now)?;
        self.image(&new.image).await?;
        match &new.target {
            Target::Machine(name) => drop(self.machine(name).await?),
            Target::Group(name) => self.find_group(name).await?,
            Target::All | Target::Unknown => {}
        }
        let mut change = self.change(Self::PATIENCE * 20).await?;
        // Looked at again within the change: an image is not removed while it is being assigned.
        if change.row(&HAS_IMAGE, &parameters([("image", new.image.as_str().into())])).await?.is_none() {
            return Err(StoreError::Conflict { what: Thing::Image, name: new.image.to_string() });
        }
        let assigned = match new.mode {
            Mode::Always => always(&mut change, new, now).await?,
            Mode::Once => once(&mut change, new, now).await?,
        };
        change.commit().await?;
        Ok(assigned)
    }

    /// An assignment by its id.
    ///
    /// # Errors
    /// When there is none.
    pub async fn assignment(&self, id: &str) -> Result<Assignment, StoreError> {
        let rows = self.fresh(&FIND, &parameters([("id", id.into())]), Self::PATIENCE).await?;
        rows.first().map(Assignment::read).unwrap_or_else(|| Err(no_assignment(id)))
    }

    /// Takes an assignment back; a machine that loads it already goes on.
    ///
    /// # Errors
    /// When there is none.
    pub async fn unassign(&self, id: &str) -> Result<(), StoreError> {
        match self.execute(&DELETE, &parameters([("id", id.into())]), Self::PATIENCE).await? {
            0 => Err(no_assignment(id)),
            _ => Ok(()),
        }
    }

    /// Assignments, the newest first, those older than `before`; at most 500.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn assignments(
        &self,
        filter: &AssignmentFilter,
        before: Option<&Assignment>,
        limit: usize,
    ) -> Result<Vec<Assignment>, StoreError> {
        let state = filter.state.map(State::name).unwrap_or_default();
        let with_final = filter.with_final || filter.state.is_some_and(State::is_final);
        let name = |name: Option<&Name>| Value::from(name.map(ToString::to_string));
        let target = filter.target.as_ref();
        let values = parameters([
            ("machine", name(target.and_then(Target::machine))),
            ("group_name", name(target.and_then(Target::group))),
            ("scope", target.map(Target::scope).unwrap_or_default().into()),
            ("state", state.into()),
            ("with_final", flag(with_final)),
            ("before", Value::Integer(before.map_or(i64::MAX, |before| before.created.as_millisecond()))),
            ("before_id", before.map(|before| before.id.as_str()).unwrap_or_default().into()),
            ("limit", Value::Integer(limit.min(500) as i64)),
        ]);
        let statement = match target {
            None => &PAGE,
            Some(Target::Machine(_)) => &PAGE_OF_MACHINE,
            Some(Target::Group(_)) => &PAGE_OF_GROUP,
            Some(Target::All | Target::Unknown) => &PAGE_OF_SCOPE,
        };
        self.fresh(statement, &values, Self::PATIENCE).await?.iter().map(Assignment::read).collect()
    }
}

async fn always(change: &mut Change<'_>, new: &NewAssignment, now: Timestamp) -> Result<Assigned, StoreError> {
    let (id, columns) = new.columns(&new.target, now);
    let open = change.row(&OPEN, &parameters([("open_key", new.open_key(&new.target).into())])).await?;
    if let Some(open) = open {
        return Err(exists(&Row(&open).text("id")?));
    }
    change.execute(&INSERT, &columns).await?;
    Ok(Assigned { new: vec![(new.target.clone(), id)], ..Assigned::default() })
}

async fn once(change: &mut Change<'_>, new: &NewAssignment, now: Timestamp) -> Result<Assigned, StoreError> {
    let mut assigned = Assigned::default();
    let mut after = String::new();
    loop {
        let values = parameters([
            ("image", new.image.as_str().into()),
            ("machine", new.target.machine().map(ToString::to_string).into()),
            ("group_name", new.target.group().map(ToString::to_string).into()),
            ("after", after.as_str().into()),
        ]);
        let statement = if new.target.group().is_some() { &OF_MEMBERS } else { &OF_MACHINE };
        let rows = change.rows(statement, &values).await?;
        let Some(last) = rows.last() else { break };
        after = Row(last).text("machine")?;
        one_each(change, new, now, &rows, &mut assigned).await?;
        if new.target.machine().is_some() {
            break;
        }
    }
    match (&new.target, assigned.already.first()) {
        (Target::Machine(_), Some((_, id))) => Err(exists(id)),
        (Target::Group(group), None) if assigned.new.is_empty() => Err(StoreError::Invalid(format!(
            "group `{group}` has no machine; `pointsman group join {group} MACHINE` puts one into it"
        ))),
        _ => Ok(assigned),
    }
}

/// Assigns to the machines of these rows that have nothing open of the image.
async fn one_each(
    change: &mut Change<'_>,
    new: &NewAssignment,
    now: Timestamp,
    rows: &[Record],
    assigned: &mut Assigned,
) -> Result<(), StoreError> {
    let (mut closed, mut inserted) = (Vec::new(), Vec::new());
    // One at a time could be open; were the table edited, a machine would stand here twice.
    let machines: BTreeMap<String, &Record> =
        rows.iter().map(|row| Ok((Row(row).text("machine")?, row))).collect::<Result<_, StoreError>>()?;
    for (machine, row) in machines {
        let row = Row(row);
        let machine: Name = machine.parse().map_err(|_| StoreError::Row { column: "machine" })?;
        if let Some(id) = row.optional("id") {
            let (state, spent_by): (State, SpentBy) = (row.parsed("state")?, row.parsed("spent_by")?);
            if state != State::Started || spent_by == SpentBy::Done {
                assigned.already.push((machine, id));
                continue;
            }
            closed.push(parameters([("id", id.as_str().into()), ("changed", millis(now))]));
            assigned.superseded.push(id);
        }
        let target = Target::Machine(machine);
        let (id, columns) = new.columns(&target, now);
        inserted.push(columns);
        assigned.new.push((target, id));
    }
    change.batch(&SUPERSEDE, &closed).await?;
    change.batch(&INSERT, &inserted).await
}

fn exists(id: &str) -> StoreError {
    let remedy = format!("it is the same image for the same machines; `pointsman unassign {id}` takes it back");
    StoreError::Exists { what: Thing::Assignment, name: id.to_owned(), remedy }
}

pub(super) fn no_assignment(id: &str) -> StoreError {
    let remedy = "`pointsman assignments` shows them".to_owned();
    StoreError::NotFound { what: Thing::Assignment, name: crate::nearest::cut(id).to_owned(), remedy }
}
