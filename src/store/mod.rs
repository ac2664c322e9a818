//! What Pointsman itself keeps in a database: machines, images, groups, assignments, the history of boots, the site
//! servers that ask this one, and what upstreams last decided.
//!
//! The tables are those of `migrations/`, the same on SQLite, PostgreSQL and MySQL or MariaDB. The sql handler asks
//! [`Store::candidates`] and [`Store::images_of`], and tells what happened by the transitions ([`Store::offered`] and
//! its like). People add, change and assign by the commands. Several servers may share one store.
//!
//! **Invariant**: every change of an assignment is one conditional statement, so that of two who want the same, one
//! wins; and what was remembered of a lost database never yields an assignment that is done once.

mod approval;
mod assign;
mod assignment;
mod boots;
mod change;
mod error;
mod failure;
mod group;
mod history;
mod image;
mod import;
mod last_known;
mod lookup;
mod machine;
mod name;
mod note;
mod prune;
mod question;
mod recorded;
mod row;
mod schema;
mod site;
mod sql;
#[cfg(test)]
mod tests;
mod transition;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::boot::Record;
use crate::config::Config;
use crate::database::{Database, Dialect, Rows};

use change::Change;
use sql::Statement;

pub use approval::{Approval, ApprovalRequest, ApprovalState, Ruling};
pub use assign::{Assigned, NewAssignment};
pub use assignment::{Assignment, AssignmentFilter, Mode, SpentBy, State, Target, UnknownWord};
pub use boots::{BootFilter, Seen, Stranger};
pub use error::{StoreError, Thing};
pub use failure::Attempt;
pub use group::Group;
pub use history::{BootEntry, EventEntry};
pub use image::{IfThere, ImageEntry};
pub use import::{Imported, MachineTable};
pub use last_known::{Asked, LastKnown};
pub use lookup::Keys;
pub use machine::MachineEntry;
pub use name::{Name, NameError, fold_serial};
pub use note::{Note, NoteChange, NoteValue};
pub use prune::Pruned;
pub use question::{After, Kept, QuestionEntry, QuestionFilter, QuestionPage};
pub use recorded::{Recorded, RecordedError};
pub use site::{SiteEntry, SiteToken, TokenProblem};
pub use transition::LoopGuard;

/// The store: a database with our tables in it. Clones share it.
#[derive(Clone)]
pub struct Store {
    database: Database,
    /// Whether the tables are known to be there; asked once.
    is_prepared: Arc<AtomicBool>,
    preparing: Arc<Mutex<()>>,
}

impl Store {
    /// The name of the store's file in the state folder, where no database is configured for it.
    pub const FILE_NAME: &str = "pointsman.db";

    /// How long a change that a person asked for may take.
    pub const PATIENCE: Duration = Duration::from_secs(30);

    /// The store that the configuration names. Nothing is opened before it is used; tables are made at first use.
    ///
    /// # Errors
    /// When the configured database cannot hold a store, or its password cannot be read.
    pub fn open(config: &Config) -> Result<Store, StoreError> {
        let named = config.store.database.as_ref().and_then(|name| Some((name, config.databases.get(name)?)));
        match named {
            Some((name, section)) => Store::on(Database::open(name, section, config.folder())?),
            None => Store::on(Database::sqlite("store", &config.server.state.join(Self::FILE_NAME))),
        }
    }

    /// A store in this database.
    ///
    /// # Errors
    /// When it is of a kind that cannot hold one.
    pub fn on(database: Database) -> Result<Store, StoreError> {
        match database.dialect() {
            Dialect::Sqlite | Dialect::Postgres | Dialect::MySql => {
                Ok(Store { database, is_prepared: Arc::default(), preparing: Arc::default() })
            }
            Dialect::MsSql => Err(StoreError::Unsuitable(format!("`{}`, a Microsoft SQL Server", database.name()))),
        }
    }

    /// The database that it is in.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Rows, or the last answer to the same question when the database fails.
    async fn rows(&self, statement: &Statement, values: &Record, limit: Duration) -> Result<Rows, StoreError> {
        self.prepare(limit).await?;
        Ok(self.database.rows(statement.of(self.database.dialect()), values, limit).await?)
    }

    /// Rows as they are now.
    async fn fresh(&self, statement: &Statement, values: &Record, limit: Duration) -> Result<Vec<Record>, StoreError> {
        self.prepare(limit).await?;
        Ok(self.database.fresh_rows(statement.of(self.database.dialect()), values, limit).await?)
    }

    /// Changes rows; how many.
    async fn execute(&self, statement: &Statement, values: &Record, limit: Duration) -> Result<u64, StoreError> {
        self.prepare(limit).await?;
        Ok(self.database.execute(statement.of(self.database.dialect()), values, limit).await?)
    }

    /// Several changes that happen together or not at all.
    async fn change(&self, limit: Duration) -> Result<Change<'_>, StoreError> {
        self.prepare(limit).await?;
        Ok(Change::new(self.database.dialect(), self.database.begin(limit).await?))
    }
}
