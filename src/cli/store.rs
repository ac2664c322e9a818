//! What the commands of the store have in common: they open it, do one thing, and say what they did.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;

use super::output::complain;
use crate::config::{Config, HandlerSection};
use crate::observe::{LogTarget, start_logging};
use crate::store::{Store, Target};

/// How long a person waits to hear that the database does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How every SQLite file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// What a command works with.
pub(super) struct Desk {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) now: Timestamp,
}

/// Opens the store of the site, which is made at its first use, and does something with it.
pub(super) fn at_desk<F, T>(file: &Path, work: F) -> anyhow::Result<ExitCode>
where
    F: FnOnce(Desk) -> T,
    T: Future<Output = anyhow::Result<()>>,
{
    at_desk_with(file, async |desk| work(desk).await.map(|()| ExitCode::SUCCESS))
}

/// The same, where the work says what the exit code is.
pub(super) fn at_desk_with<F, T>(file: &Path, work: F) -> anyhow::Result<ExitCode>
where
    F: FnOnce(Desk) -> T,
    T: Future<Output = anyhow::Result<ExitCode>>,
{
    let mut config = super::read_config(file)?;
    // What goes wrong is the command's answer already.
    config.log.level = "off".into();
    start_logging(&config.log, LogTarget::Stderr);
    if config.store.database.is_none() {
        check_file(&config.server.state.join(Store::FILE_NAME))?;
    }
    let store = Store::open(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        store.database().ping(PATIENCE).await?;
        work(Desk { config, store, now: Timestamp::now() }).await
    })
}

/// What SQLite would say in three words, before it is asked. Nothing in this process has the file open yet.
fn check_file(file: &Path) -> anyhow::Result<()> {
    let shown = file.display();
    let mut start = Vec::new();
    match File::options().read(true).write(true).open(file) {
        Ok(opened) => drop(opened.take(SQLITE.len() as u64).read_to_end(&mut start)?),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!("no permission to open the store {shown}; run this as root, or as the account of the server")
        }
        Err(error) => bail!("cannot open the store {shown}: {error}; name another folder with `state` in [server]"),
    }
    if start.is_empty() || start == SQLITE {
        return Ok(());
    }
    bail!("the store {shown} is not a SQLite file; move it away, or name another folder with `state` in [server]")
}

impl Desk {
    /// Says so when no handler of the site ever asks the store.
    pub(super) fn warn_when_nobody_asks(&self) {
        let asks = |handler: &HandlerSection| matches!(handler, HandlerSection::Sql(sql) if sql.database.is_none());
        if !self.config.handlers.iter().any(asks) {
            let file = self.config.file.display();
            complain(&format!("note: no handler asks the store yet; add [[handler]] with kind = \"sql\" to {file}"));
        }
    }

    /// An error where the machine or group is not there: an empty answer would say the same of a name that was mistyped.
    pub(super) async fn check_target(&self, target: &Target) -> anyhow::Result<()> {
        match target {
            Target::Machine(name) => drop(self.store.machine(name).await?),
            Target::Group(name) => self.store.find_group(name).await?,
            Target::All | Target::Unknown => {}
        }
        Ok(())
    }
}
