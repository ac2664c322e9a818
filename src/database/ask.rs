//! Asking a database: the time limit, the attempts, and the last answer when there is no new one.
//!
//! **Invariant**: a call ends within its limit, and a connection that did not come to the end of its statement is
//! closed. There is one probe for a database that is down, and it ends with the last [`Database`].

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::counts::one;
use super::driver::Connection;
use super::error::Failure;
use super::health::BackOff;
use super::memory::Question;
use super::pool::{Lease, NoLease, Purpose};
use super::{Database, DatabaseError, Inner, Query, Rows, Transaction};
use crate::boot::{Record, Value};

/// How long a probe waits for a connection.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// How many connections may break under a statement.
const CONNECTIONS_BROKEN_MAX: u32 = 2;

/// How often a statement is tried that lost against another one.
const CONFLICTS_MAX: u32 = 5;

/// Whether a caller waits for the end of an outage that has just begun.
#[derive(Clone, Copy)]
enum Patience<'a> {
    /// It wants to know.
    None,
    /// It has nothing to fall back on: it waits for a server that restarts.
    Restart,
    /// It waits unless the answer to this is remembered.
    Unless(Option<&'a Question>),
}

/// What is asked of a connection.
#[derive(Clone, Copy)]
enum Job<'a> {
    Rows(&'a Query, &'a [&'a Value]),
    Execute(&'a Query, &'a [&'a Value]),
    Columns(&'a Query),
    Ping,
    Begin,
}

/// What came of it.
enum Done {
    Rows(Vec<Record>),
    Changed(u64),
    Columns(Vec<String>),
    Nothing,
}

impl Database {
    /// What a query finds. When the database fails, the last answer to the same question stands in, with its age, for
    /// as long as `stale_while_error` says.
    ///
    /// # Errors
    /// When it fails and nothing is remembered.
    pub async fn rows(&self, query: &Query, parameters: &Record, limit: Duration) -> Result<Rows, DatabaseError> {
        let values = query.values(parameters);
        let memory = &self.inner.memory;
        let question = memory.question(query, &values);
        match self.read(query, &values, Patience::Unless(question.as_ref()), limit).await {
            Ok(records) => {
                memory.remember(question, &records);
                Ok(Rows { records, age: None })
            }
            Err(error @ DatabaseError::TooManyRows { .. }) => Err(error),
            Err(error) => {
                let (records, age) = memory.recall(question.as_ref()).ok_or(error)?;
                one(&self.inner.counts.stale);
                Ok(Rows { records, age: Some(age) })
            }
        }
    }

    /// What a query finds now; nothing stands in.
    ///
    /// # Errors
    /// Any [`DatabaseError`].
    pub async fn fresh_rows(
        &self,
        query: &Query,
        parameters: &Record,
        limit: Duration,
    ) -> Result<Vec<Record>, DatabaseError> {
        self.read(query, &query.values(parameters), Patience::Restart, limit).await
    }

    async fn read(
        &self,
        query: &Query,
        values: &[&Value],
        patience: Patience<'_>,
        limit: Duration,
    ) -> Result<Vec<Record>, DatabaseError> {
        match self.ask(Job::Rows(query, values), patience, limit).await? {
            Done::Rows(records) => Ok(records),
            Done::Changed(_) | Done::Columns(_) | Done::Nothing => Ok(Vec::new()),
        }
    }

    /// Runs a statement that changes something; returns how many rows it changed. It must be safe to run twice: it is
    /// run again when the connection breaks.
    ///
    /// # Errors
    /// Any [`DatabaseError`].
    pub async fn execute(&self, query: &Query, parameters: &Record, limit: Duration) -> Result<u64, DatabaseError> {
        match self.ask(Job::Execute(query, &query.values(parameters)), Patience::Restart, limit).await? {
            Done::Changed(rows) => Ok(rows),
            Done::Rows(_) | Done::Columns(_) | Done::Nothing => Ok(0),
        }
    }

    /// Begins a transaction, which ends within `limit` as a whole.
    ///
    /// # Errors
    /// Any [`DatabaseError`].
    pub async fn begin(&self, limit: Duration) -> Result<Transaction<'_>, DatabaseError> {
        let deadline = Instant::now() + limit;
        let (lease, _) = self.limited(Job::Begin, Patience::Restart, deadline, limit).await?;
        Ok(Transaction { database: self, lease, deadline, limit, is_spoiled: false })
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self, limit: Duration) -> Result<(), DatabaseError> {
        self.ask(Job::Ping, Patience::None, limit).await.map(drop)
    }

    /// Has the database read a query without running it; returns the names of the result's columns in lower case.
    ///
    /// # Errors
    /// Any [`DatabaseError`]; [`DatabaseError::Refused`] says what is wrong with the query.
    pub async fn describe(&self, query: &Query, limit: Duration) -> Result<Vec<String>, DatabaseError> {
        match self.ask(Job::Columns(query), Patience::None, limit).await? {
            Done::Columns(names) => Ok(names),
            Done::Rows(_) | Done::Changed(_) | Done::Nothing => Ok(Vec::new()),
        }
    }

    async fn ask(&self, job: Job<'_>, patience: Patience<'_>, limit: Duration) -> Result<Done, DatabaseError> {
        let (lease, done) = self.limited(job, patience, Instant::now() + limit, limit).await?;
        lease.give_back();
        Ok(done)
    }

    async fn limited(
        &self,
        job: Job<'_>,
        patience: Patience<'_>,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(Lease<'_>, Done), DatabaseError> {
        match timeout_at(deadline, self.attempts(job, patience)).await {
            Ok(Ok(done)) => {
                self.answered();
                Ok(done)
            }
            Ok(Err(error)) => {
                self.count(&error);
                Err(error)
            }
            Err(_) => Err(self.timed_out(limit)),
        }
    }

    /// Tries until there is an answer or a reason to give up.
    async fn attempts(&self, job: Job<'_>, patience: Patience<'_>) -> Result<(Lease<'_>, Done), DatabaseError> {
        let Inner { name, pool, counts, .. } = &*self.inner;
        let purpose = if matches!(job, Job::Execute(..) | Job::Begin) { Purpose::Write } else { Purpose::Read };
        let (mut broken, mut conflicts) = (0, 0);
        loop {
            let mut lease = self.lease(purpose, patience).await?;
            match self.run(job, &mut lease).await {
                Ok(done) => return Ok((lease, done)),
                Err(Failure::Broken(_)) if broken < CONNECTIONS_BROKEN_MAX => {
                    drop(lease);
                    pool.clear();
                    broken += 1;
                }
                Err(Failure::Again(_)) if conflicts < CONFLICTS_MAX => {
                    lease.give_back();
                    conflicts += 1;
                    // The other one is likely to be done by then.
                    tokio::time::sleep(Duration::from_millis(5 << conflicts)).await;
                }
                Err(failure) => {
                    if failure.is_of_statement() {
                        lease.give_back();
                    }
                    return Err(failure.into_error(name));
                }
            }
            one(&counts.repeated);
        }
    }

    /// A connection; for who is patient, after an outage.
    async fn lease(&self, purpose: Purpose, patience: Patience<'_>) -> Result<Lease<'_>, DatabaseError> {
        let Inner { pool, monitor, counts, memory, .. } = &*self.inner;
        let mut refused = 0;
        loop {
            if monitor.is_down() {
                let is_patient = match patience {
                    Patience::None => false,
                    Patience::Restart => true,
                    Patience::Unless(question) => !memory.knows(question),
                };
                monitor.ready(is_patient).await?;
            }
            match pool.lease(purpose, monitor).await {
                Ok(lease) if lease.is_used => return Ok(lease),
                Ok(lease) => {
                    one(&counts.connected);
                    monitor.up();
                    return Ok(lease);
                }
                Err(NoLease::WentDown) => {}
                Err(NoLease::Failed(Failure::Again(_))) if refused < CONFLICTS_MAX || pool.has_connections() => {
                    // The server gives no more connections. One of ours may become free, or one of somebody else.
                    refused = (refused + 1).min(CONFLICTS_MAX);
                    tokio::time::sleep(Duration::from_millis(5 << refused)).await;
                }
                Err(NoLease::Failed(failure)) => self.went_down(failure),
            }
        }
    }

    async fn run(&self, job: Job<'_>, lease: &mut Lease<'_>) -> Result<Done, Failure> {
        let connection = &mut lease.connection;
        match job {
            Job::Rows(query, values) => connection.rows(query, values, self.unreadable()).await.map(Done::Rows),
            Job::Execute(query, values) => connection.execute(query, values).await.map(Done::Changed),
            Job::Columns(query) => connection.columns(query).await.map(Done::Columns),
            Job::Ping => connection.ping().await.map(|()| Done::Nothing),
            Job::Begin => connection.begin().await.map(|()| Done::Nothing),
        }
    }

    pub(super) fn unreadable(&self) -> &AtomicU64 {
        &self.inner.counts.unreadable
    }

    pub(super) fn answered(&self) {
        one(&self.inner.counts.answered);
        self.inner.monitor.answered();
    }

    /// A failure outside of an attempt that could be made again.
    pub(super) fn failed(&self, failure: Failure) -> DatabaseError {
        let error = failure.into_error(&self.inner.name);
        self.count(&error);
        error
    }

    fn count(&self, error: &DatabaseError) {
        let counts = &self.inner.counts;
        one(if error.is_outage() { &counts.unreachable } else { &counts.refused });
    }

    pub(super) fn timed_out(&self, limit: Duration) -> DatabaseError {
        if let Some(outage) = self.inner.monitor.outage() {
            self.count(&outage);
            return outage;
        }
        one(&self.inner.counts.timed_out);
        if self.inner.monitor.timed_out() {
            self.probe();
        }
        DatabaseError::Limit { name: self.inner.name.clone(), limit }
    }

    /// No connection could be made.
    fn went_down(&self, failure: Failure) {
        self.inner.went_down(failure);
        self.probe();
    }

    /// Tries in the background until the database answers.
    fn probe(&self) {
        if self.inner.monitor.begin_probe() {
            tokio::spawn(probe(Probing(Arc::downgrade(&self.inner))));
        }
    }
}

impl Inner {
    fn went_down(&self, failure: Failure) {
        let may_pass = !matches!(failure, Failure::Refused(_) | Failure::Outdated(_));
        self.monitor.down(&failure.message(), may_pass);
    }

    /// A new connection that answered.
    async fn try_connection(&self) -> Result<Connection, Failure> {
        if self.monitor.is_down() {
            // What others left behind may be all the connections that the server gives.
            self.pool.clear();
        }
        let attempt = async {
            let mut connection = self.pool.driver().connect().await?;
            connection.ping().await.map(|()| connection)
        };
        let late = |_| Failure::Broken(format!("no answer within {PROBE_LIMIT:?}"));
        timeout(PROBE_LIMIT, attempt).await.map_err(late)?
    }
}

/// The right to probe, which ends with it, however the probe ends.
struct Probing(Weak<Inner>);

impl Drop for Probing {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.monitor.end_probe();
        }
    }
}

/// Ends when the database answers or nobody has it any more.
async fn probe(probing: Probing) {
    let mut back_off = BackOff::new();
    // After calls that timed out it is tried at once; after a connection that failed, a little later.
    let mut is_due = probing.0.upgrade().is_some_and(|inner| !inner.monitor.is_down());
    loop {
        if !is_due {
            tokio::time::sleep(back_off.next()).await;
        }
        is_due = false;
        let Some(inner) = probing.0.upgrade() else { return };
        match inner.try_connection().await {
            Ok(connection) => {
                one(&inner.counts.connected);
                inner.pool.clear();
                inner.pool.keep(connection);
                // First the right, then the news: whoever finds it down again after that can begin a new probe.
                drop(probing);
                inner.monitor.up();
                return;
            }
            // It gives no more connections, so that it is there: it was the queries that took long.
            Err(Failure::Again(_)) if !inner.monitor.is_down() => return,
            Err(failure) => inner.went_down(failure),
        }
    }
}
