//! Connections that are kept for the next question.
//!
//! The drivers' own pools are not used: they wait for a server that refuses connections until their time is over,
//! where an outage has to be known at once, and they ask the server whether it is there after every single query.
//!
//! **Invariant**: a connection is kept only when its last statement came to its end. Whatever else happens to it - an
//! error, a limit, a caller that went away - it is closed, and nobody inherits half an answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Dialect;
use super::driver::{Connection, Driver};
use super::error::Failure;
use super::health::Monitor;

/// A connection that nobody used for so long is not used again: firewalls forget such ones without a word.
const IDLE_MAX: Duration = Duration::from_secs(300);

pub(super) struct Pool {
    driver: Driver,
    idle: Mutex<Vec<(Connection, Instant)>>,
    connections_max: usize,
    permits: Semaphore,
    /// SQLite has one writer at a time; within this server they queue up here rather than asking again and again.
    writer: Option<Semaphore>,
}

/// A connection in use. Dropped, it is closed.
pub(super) struct Lease<'a> {
    pub(super) connection: Connection,
    /// Whether it was used before: then it may have broken meanwhile.
    pub(super) is_used: bool,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
    _writer: Option<SemaphorePermit<'a>>,
}

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// Why there is no connection.
pub(super) enum NoLease {
    /// The database went down while others had all connections.
    WentDown,
    /// None could be made.
    Failed(Failure),
}

impl Pool {
    pub(super) fn new(driver: Driver, connections_max: u32) -> Pool {
        // A connection to a Microsoft SQL Server is one conversation; one is all that was thought through.
        let connections_max = if driver.dialect() == Dialect::MsSql { 1 } else { connections_max.clamp(1, 1000) };
        let connections_max = connections_max as usize;
        let writer = (driver.dialect() == Dialect::Sqlite).then(|| Semaphore::new(1));
        Pool { driver, idle: Mutex::default(), connections_max, permits: Semaphore::new(connections_max), writer }
    }

    pub(super) fn driver(&self) -> &Driver {
        &self.driver
    }

    /// A connection that was kept, or a new one.
    pub(super) async fn lease(&self, purpose: Purpose, monitor: &Monitor) -> Result<Lease<'_>, NoLease> {
        let writer = match &self.writer {
            Some(writer) if purpose == Purpose::Write => Some(permit(writer, monitor).await?),
            _ => None,
        };
        let _permit = permit(&self.permits, monitor).await?;
        if let Some(connection) = self.take_idle() {
            return Ok(Lease { connection, is_used: true, pool: self, _permit, _writer: writer });
        }
        let connection = self.driver.connect().await.map_err(NoLease::Failed)?;
        Ok(Lease { connection, is_used: false, pool: self, _permit, _writer: writer })
    }

    /// The one that was used last; those below it may grow old and go.
    fn take_idle(&self) -> Option<Connection> {
        let mut old = Vec::new();
        let mut idle = self.idle();
        let connection = loop {
            match idle.pop() {
                None => break None,
                Some((connection, since)) if since.elapsed() < IDLE_MAX && self.driver.is_current(&connection) => {
                    break Some(connection);
                }
                Some(useless) => old.push(useless),
            }
        };
        drop(idle);
        connection
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        // A list of connections is whole at any time.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are connections: kept, in use, or about to be made.
    pub(super) fn has_connections(&self) -> bool {
        !self.idle().is_empty() || self.permits.available_permits() < self.connections_max
    }

    /// Keeps a connection whose last statement came to its end.
    pub(super) fn keep(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() < self.connections_max {
            idle.push((connection, Instant::now()));
        }
    }

    /// Closes what is not in use: when one connection broke, the others probably did too.
    pub(super) fn clear(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }
}

impl Lease<'_> {
    /// Returns the connection for the next question.
    pub(super) fn give_back(self) {
        self.pool.keep(self.connection);
    }
}

async fn permit<'a>(permits: &'a Semaphore, monitor: &Monitor) -> Result<SemaphorePermit<'a>, NoLease> {
    if let Ok(permit) = permits.try_acquire() {
        return Ok(permit);
    }
    tokio::select! {
        // Nobody closes the semaphore.
        Ok(permit) = permits.acquire() => Ok(permit),
        () = monitor.went_down() => Err(NoLease::WentDown),
    }
}
