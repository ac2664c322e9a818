//! `pointsman history`: the boots that the servers of this store have seen.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::output::{complain, say, say_json};
use super::store::{Desk, at_desk};
use super::table::Table;
use super::times::{local, past};
use crate::boot::{HardwareAddress, SessionId};
use crate::store::{BootEntry, BootFilter, Name};

/// Show the boots that were seen: who, when, what was decided, and what became of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman history                          the last boots
  pointsman history lab-07 --since 7d        of one machine
  pointsman history 52:54:00:12:34:56        by an adapter, also of machines that nobody knows
  pointsman history --session 0001abcdefff   the whole story of one boot, with facts and trail
  pointsman history --since 1h --json")]
pub(super) struct History {
    /// A machine, or the MAC address that booted
    #[arg(value_name = "MACHINE|MAC")]
    who: Option<String>,
    /// Only boots since then: 1d, 90m, or a moment
    #[arg(long, value_name = "AGE", value_parser = past)]
    since: Option<Timestamp>,
    /// One boot, by the id in the log
    #[arg(long, value_name = "ID", conflicts_with_all = ["who", "since"])]
    session: Option<SessionId>,
    /// The most to show
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Boots in one question.
const PAGE: usize = 500;

pub(super) fn run(command: &History, file: &Path) -> anyhow::Result<ExitCode> {
    at_desk(file, async |desk| match command.session {
        Some(session) => story(&desk, session, command.json).await,
        None => boots(&desk, command).await,
    })
}

async fn boots(desk: &Desk, command: &History) -> anyhow::Result<()> {
    // What can be an address is one; names of machines have no colons.
    let who = command.who.as_deref();
    let is_mac = |who: &&str| who.contains(':') || (who.contains(['-', '.']) && super::machine::mac(who).is_ok());
    let mac: Option<HardwareAddress> =
        who.filter(is_mac).map(super::machine::mac).transpose().map_err(anyhow::Error::msg)?;
    let machine: Option<Name> = who.filter(|_| mac.is_none()).map(str::parse).transpose()?;
    let mut found: Vec<BootEntry> = Vec::new();
    while found.len() < command.limit {
        let limit = PAGE.min(command.limit - found.len());
        let before = found.last().map(|boot| (boot.started, boot.session));
        let filter = BootFilter { machine: machine.as_ref(), mac, since: command.since, before, limit };
        let page = desk.store.boots(filter).await?;
        let is_last = page.len() < limit;
        found.extend(page);
        if is_last {
            break;
        }
    }
    if let (Some(name), true) = (&machine, found.is_empty()) {
        // A machine that was removed has its history still; a name that was mistyped has none.
        desk.store.machine(name).await?;
    }
    if command.json {
        return say_json(&found);
    }
    let mut table = Table::new(&["started", "machine", "mac", "arch", "verdict", "by", "images", "result", "session"]);
    for boot in &found {
        table.row(cells(boot));
    }
    table.print("No boots. A server that runs writes them down, unless [store] history = false.");
    if found.len() >= command.limit {
        complain(&format!("the last {}; --limit shows more", found.len()));
    }
    Ok(())
}

fn cells(boot: &BootEntry) -> [String; 9] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let verdict = match &boot.reason {
        Some(reason) if !reason.is_empty() => format!("{}: {reason}", text(&boot.verdict)),
        _ => text(&boot.verdict),
    };
    [
        local(boot.started),
        text(&boot.machine),
        boot.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        text(&boot.arch),
        verdict,
        text(&boot.handler),
        text(&boot.images),
        text(&boot.result),
        boot.session.to_string(),
    ]
}

async fn story(desk: &Desk, session: SessionId, json: bool) -> anyhow::Result<()> {
    let Some(boot) = desk.store.boot(session).await? else {
        anyhow::bail!("there is no boot `{session}`; `pointsman history` lists them");
    };
    if json {
        return say_json(&boot);
    }
    let names = ["started", "machine", "mac", "arch", "verdict", "by", "images", "result", "session"];
    let mut table = Table::new(&["what", "is"]);
    names.iter().zip(cells(&boot)).for_each(|(name, cell)| table.row([(*name).to_owned(), cell]));
    table.lines().iter().skip(1).for_each(|line| say(line));
    for (name, text) in [("facts", &boot.facts), ("trail", &boot.trail)] {
        if let Some(value) = text.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok()) {
            say(name);
            serde_json::to_string_pretty(&value)?.lines().for_each(|line| say(&format!("  {line}")));
        }
    }
    let mut events = Table::new(&["at", "what", "detail"]);
    boot.events.iter().for_each(|event| events.row([local(event.at), event.name.clone(), event.detail.clone()]));
    events.print("nothing was told of it since it was decided");
    Ok(())
}
