//! Rows from the site's own queries, on a database of its own.
//!
//! **Invariant**: a query gets nothing but bound values, each a fact, a column of the machine's row, or what happened.

use std::time::Duration;

use async_trait::async_trait;

use crate::boot::{Line, Record, Value};
use crate::config::SqlSection;
use crate::database::{Database, Query, Rows};
use crate::decision::{BootEvent, HandlerError};
use crate::store::Store;

use super::build::{self, Checked};
use super::own;
use super::parameters::{self, Facts};
use super::source::{Asked, BETWEEN, Source};
use crate::handlers::identity::Candidate;

/// The queries of one handler.
pub(super) struct Queries {
    /// The handler's name, which its assignments begin with.
    handler: String,
    pub(super) database: Database,
    /// Where images are described whose rows have no `kind`.
    store: Store,
    pub(super) machine: Query,
    /// None where the row is all that is wanted of the database.
    pub(super) images: Option<Query>,
    pub(super) unknown_images: Option<Query>,
    offered: Option<Query>,
    pub(super) started: Option<Query>,
    done: Option<Query>,
    failed: Option<Query>,
}

/// What a query that notes an event asks with, beside the facts.
pub(super) const OF_EVENTS: [&str; 4] = ["event", "assignment", "image", "reason"];
/// What a query for images asks with, beside the facts and the columns of the machine's row.
pub(super) const OF_MACHINE: &str = "machine_id";
/// What a column of the machine's row is called that has the name of a fact.
pub(super) const MACHINE_COLUMN: &str = "machine_";

/// The longest name of an assignment in events, in octets.
const ASSIGNMENT_LEN_MAX: usize = 128;

impl Queries {
    /// Reads the queries of a configuration. Every problem is told with its key.
    ///
    /// # Errors
    /// Pairs of what is wrong and what to do.
    pub(super) fn read(
        name: &str,
        section: &SqlSection,
        database: Database,
        store: Store,
    ) -> Result<Queries, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let mut read = |key: &str, text: &Option<String>, more: Option<&[&str]>| {
            let query = Query::parse(text.as_deref()?).map_err(|error| (format!("{key}: {error}"), String::new()));
            let query = query.map_err(|problem| problems.push(problem)).ok()?;
            // A query for images has the columns of the machine's row as parameters, which only the database knows.
            let Some(more) = more else { return Some(query) };
            let mut told: Vec<&str> = Vec::new();
            for name in query.parameters() {
                if !parameters::is_known(name) && !more.contains(&name) && !told.contains(&name) {
                    told.push(name);
                    problems.push((format!("{key}: there is no parameter `:{name}`"), parameters::help(name, more)));
                }
            }
            Some(query)
        };
        let machine = read("machine", &section.machine, Some(&[]));
        let images = read("images", &section.images, None);
        let unknown_images = read("unknown_images", &section.unknown_images, Some(&[]));
        let [offered, started, done, failed] = [
            ("offered", &section.offered),
            ("started", &section.started),
            ("done", &section.done),
            ("failed", &section.failed),
        ]
        .map(|(key, text)| read(key, text, Some(&OF_EVENTS)));
        match machine {
            Some(machine) if problems.is_empty() => {
                let handler = name.to_owned();
                Ok(Queries {
                    handler,
                    database,
                    store,
                    machine,
                    images,
                    unknown_images,
                    offered,
                    started,
                    done,
                    failed,
                })
            }
            _ => Err(problems),
        }
    }

    /// Every query with its key.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Query)> {
        let optional = [
            ("images", &self.images),
            ("unknown_images", &self.unknown_images),
            ("offered", &self.offered),
            ("started", &self.started),
            ("done", &self.done),
            ("failed", &self.failed),
        ];
        std::iter::once(("machine", &self.machine))
            .chain(optional.into_iter().filter_map(|(key, query)| Some((key, query.as_ref()?))))
    }

    /// The assignment in the site's words, when it is one of this handler's.
    fn own<'a>(&self, assignment: &'a str) -> Option<&'a str> {
        assignment.strip_prefix(&self.handler)?.strip_prefix(BETWEEN)
    }

    async fn find(
        &self,
        query: &Query,
        asked: &Asked<'_>,
        facts: Facts<'_>,
        machine: Option<&Candidate>,
    ) -> Result<Rows, HandlerError> {
        let values = values(query, facts, machine, &[])?;
        self.database.rows(query, &values, asked.left()).await.map_err(|error| HandlerError::new(error.to_string()))
    }

    /// Runs a query that notes an event; how many rows it changed.
    async fn note(
        &self,
        query: &Option<Query>,
        asked: &Asked<'_>,
        event: &BootEvent,
        more: &[(&str, Value)],
    ) -> Result<Option<u64>, HandlerError> {
        let Some(query) = query else { return Ok(None) };
        let mut more = more.to_vec();
        more.push(("event", event.name().into()));
        let values = values(query, asked.facts(), None, &more)?;
        let changed = self.database.execute(query, &values, asked.left()).await;
        changed.map(Some).map_err(|error| HandlerError::new(error.to_string()))
    }
}

/// The values of a query's parameters.
fn values(
    query: &Query,
    facts: Facts<'_>,
    machine: Option<&Candidate>,
    more: &[(&str, Value)],
) -> Result<Record, HandlerError> {
    let mut values = Record::default();
    for name in query.parameters() {
        let more = more.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let is_of_event = OF_EVENTS.contains(&name);
        let value = more.or_else(|| facts.value(name)).or_else(|| of_machine(name, machine?));
        let value = value.or(is_of_event.then_some(Value::Null));
        let Some(value) = value else {
            let columns: Vec<&str> =
                machine.iter().flat_map(|machine| machine.record.iter().map(|(name, _)| name)).collect();
            let help = parameters::help(name, &columns);
            let problem =
                format!("there is no fact and no column of the machine's row for the parameter `:{name}`; {help}");
            return Err(HandlerError::new(problem));
        };
        if values.get(name).is_none() && !values.insert(name, value) {
            return Err(HandlerError::new(format!("a query has more than {} parameters", Record::COLUMNS_MAX)));
        }
    }
    Ok(values)
}

/// A column of the machine's row, in the database's own type.
fn of_machine(name: &str, machine: &Candidate) -> Option<Value> {
    let column = machine.record.get(name).or_else(|| machine.record.get(name.strip_prefix(MACHINE_COLUMN)?));
    column.cloned()
}

#[async_trait]
impl Source for Queries {
    async fn machines(&self, asked: &Asked<'_>) -> Result<Rows, HandlerError> {
        self.find(&self.machine, asked, asked.search(), None).await
    }

    async fn images(&self, asked: &Asked<'_>, machine: Option<&Candidate>) -> Result<Rows, HandlerError> {
        match if machine.is_some() { &self.images } else { &self.unknown_images } {
            Some(query) => self.find(query, asked, asked.facts(), machine).await,
            None => Ok(Rows::default()),
        }
    }

    async fn described(&self, image: &str, asked: &Asked<'_>) -> Result<Option<Record>, HandlerError> {
        own::described(&self.store, image, asked).await
    }

    async fn happened(&self, asked: &Asked<'_>, event: &BootEvent) -> Result<(), HandlerError> {
        match event {
            BootEvent::Offered { assignments, .. } => {
                for assignment in assignments.iter().filter_map(|assignment| self.own(assignment)) {
                    self.note(&self.offered, asked, event, &[("assignment", assignment.into())]).await?;
                }
            }
            BootEvent::Started { image, assignment } => {
                let Some(assignment) = self.own(assignment) else { return Ok(()) };
                let more = [("assignment", assignment.into()), ("image", image.as_str().into())];
                if self.note(&self.started, asked, event, &more).await?.unwrap_or(0) == 0 {
                    let assignment = Line::clean(assignment);
                    return Err(HandlerError::refused(format!(
                        "assignment {assignment} is taken, or not open any more"
                    )));
                }
            }
            BootEvent::LoadFailed { image, error } => {
                let reason = match error {
                    Some(error) => format!("iPXE could not load it: error {error:08x}"),
                    None => "iPXE could not load it".to_owned(),
                };
                self.note(&self.failed, asked, event, &[("image", image.as_str().into()), ("reason", reason.into())])
                    .await?;
            }
            BootEvent::Done => drop(self.note(&self.done, asked, event, &[]).await?),
            BootEvent::Failed { reason } => {
                self.note(&self.failed, asked, event, &[("reason", reason.as_str().into())]).await?;
            }
            BootEvent::FileSent { .. } | BootEvent::Person { .. } => {}
        }
        Ok(())
    }

    async fn check(&self, limit: Duration) -> Checked {
        build::check(self, limit).await
    }

    fn assignment(&self, id: &str) -> Result<String, String> {
        if self.started.is_none() {
            return Err("it is done once, but the handler has no `started` query that would spend it; give one".into());
        }
        let name = format!("{}{BETWEEN}{id}", self.handler);
        if name.len() > ASSIGNMENT_LEN_MAX {
            return Err(format!(
                "its `assignment` is too long; with the handler's name at most {ASSIGNMENT_LEN_MAX} octets fit"
            ));
        }
        Ok(name)
    }
}
