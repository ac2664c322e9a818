//! What the commands of the store have in common: they open it, do one thing, and say what they did.

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use super::output::complain;
use crate::config::{Config, HandlerSection};
use crate::observe::{LogTarget, start_logging};
use crate::store::Store;

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
    let mut config = super::read_config(file)?;
    // What goes wrong is the command's answer already.
    config.log.level = "off".into();
    start_logging(&config.log, LogTarget::Stderr);
    let store = Store::open(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(Desk { config, store, now: Timestamp::now() }))?;
    Ok(ExitCode::SUCCESS)
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
}
