//! `pointsman explain`: the whole story of one boot.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use jiff::tz::TimeZone;

use super::explain_code;
use super::output::{complain, say, say_json};
use super::store::{Desk, at_desk};
use super::times::local;
use crate::boot::{HardwareAddress, SessionId};
use crate::config::Config;
use crate::doctor::codes::{self, Typed};
use crate::handlers::script::ScriptHandler;
use crate::nearest::nearest;
use crate::review::Story;
use crate::site::{Purpose, Site};
use crate::store::{BootEntry, BootFilter, Name, StoreError};

/// Tell the whole story of a boot, or what a code on a screen means
///
/// Of a boot: each packet and request, what the rules saw, which line answered, and how it ended. Of a code: what the
/// machine means, why that happens, where to look, and which check of `pointsman doctor` covers it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman explain 52:54:00:12:34:56           the last boot by this adapter
  pointsman explain lab-07                      the last boot of this machine
  pointsman explain lab-07 --boot 2             the one before it
  pointsman explain 0001abcdefff                one boot, by the session id in the log or in `pointsman history`
  pointsman explain lab-07 --json
  pointsman explain PXE-E55                     a code on a screen: what it means, and where to look
  pointsman explain https://ipxe.org/2d12618e   the same of iPXE, by the first six digits; 2d1261 will do

A code is looked up in the program's own table. Of a boot it reads what a server wrote into the store, and asks nobody else. Where the scripts are still those that answered, the
lines that ran are shown.")]
pub(super) struct Explain {
    /// The MAC address that booted, a machine, the session id of one boot, or a code
    #[arg(value_name = "MAC|SESSION|MACHINE|CODE")]
    who: String,
    /// Which boot, counted from the last one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    boot: u32,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// How wide the text is.
const WIDTH: usize = 100;
/// Boots in one question to the store.
const PAGE: usize = 500;

pub(super) fn run(command: &Explain, file: &Path) -> anyhow::Result<ExitCode> {
    let story = || at_desk(file, async |desk| explain(&desk, command).await);
    match codes::read(&command.who) {
        Typed::Code(code) => explain_code::tell(&code, command.json),
        // Digits may be the name of a machine: then it is one, unless the table knows them.
        Typed::Perhaps(digits) if explain_code::is_known(&digits) => explain_code::tell(&digits, command.json),
        Typed::Perhaps(digits) => story().or_else(|error| match explain_code::tell(&digits, command.json) {
            Ok(done) => Ok(done),
            Err(unknown) => Err(unknown.context(error)),
        }),
        Typed::Other => story(),
    }
}

async fn explain(desk: &Desk, command: &Explain) -> anyhow::Result<()> {
    let found = find(desk, &command.who, command.boot as usize).await?;
    let (kept, broken) = desk.store.questions_of(found.boot.session).await?;
    let scripts = scripts(&desk.config);
    let folder = format!("{}/", desk.config.folder().display());
    let story = Story::tell_in(found.boot, &kept, broken, &scripts, if folder == "./" { "" } else { &folder });
    if command.json {
        return say_json(&story);
    }
    let colors = std::io::stdout().is_terminal();
    story.lines(WIDTH, &TimeZone::system(), colors).iter().for_each(|line| say(line));
    if let Some(before) = found.before {
        let number = command.boot + 1;
        complain(&format!(
            "the boot before it began {}: pointsman explain {} --boot {number}",
            local(before),
            command.who
        ));
    }
    Ok(())
}

/// A boot, and when the one before it began.
pub(super) struct FoundBoot {
    pub(super) boot: BootEntry,
    before: Option<jiff::Timestamp>,
}

/// The boot that is meant by a MAC address, a session id or the name of a machine; the `number`th from the last.
///
/// # Errors
/// When there is none, with what to try.
pub(super) async fn find(desk: &Desk, who: &str, number: usize) -> anyhow::Result<FoundBoot> {
    let who = who.trim();
    // Both have twelve digits where a MAC address has no colons.
    if let Ok(session) = who.parse::<SessionId>()
        && let Some(boot) = desk.store.boot(session).await?
    {
        return Ok(FoundBoot { boot, before: None });
    }
    let mac: Option<HardwareAddress> = super::machine::mac(who).ok();
    let machine: Option<Name> = if mac.is_none() { who.parse().ok() } else { None };
    if mac.is_none() && machine.is_none() {
        bail!("`{who}` is no MAC address, no session id and no name of a machine");
    }
    let (mut before, mut left) = (None, number);
    loop {
        let limit = (left + 1).min(PAGE);
        let filter = BootFilter { machine: machine.as_ref(), mac, since: None, before, limit };
        let page = desk.store.boots(filter).await?;
        if let Some(boot) = page.get(left - 1) {
            let Some(whole) = desk.store.boot(boot.session).await? else { bail!("the boot was removed just now") };
            return Ok(FoundBoot { boot: whole, before: page.get(left).map(|boot| boot.started) });
        }
        left -= page.len();
        before = page.last().map(|boot| (boot.started, boot.session));
        if page.len() < limit {
            break;
        }
    }
    if left < number {
        bail!("there are only {} boots of {who}; `pointsman history {who}` lists them", number - left);
    }
    bail!(nothing(desk, who, machine.as_ref()).await?)
}

/// Why nothing was found, and what to try.
async fn nothing(desk: &Desk, who: &str, machine: Option<&Name>) -> anyhow::Result<String> {
    if let Some(name) = machine {
        match desk.store.machine(name).await {
            Ok(_) => {}
            Err(error @ StoreError::NotFound { .. }) => return Ok(format!("no boot is known of `{who}`: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    let mut text = format!("no boot of {who} is written down");
    if !desk.config.store.history {
        text.push_str("; [store] history is false: set it to true, reload the server, and boot the machine again");
        return Ok(text);
    }
    let recent = desk.store.boots(BootFilter { limit: PAGE, ..BootFilter::default() }).await?;
    if recent.is_empty() {
        text.push_str("; nor is any other: does the server run, with this configuration?");
        return Ok(text);
    }
    let macs: Vec<String> = recent.iter().filter_map(|boot| Some(boot.mac?.to_string())).collect();
    let plain = super::machine::mac(who).map_or_else(|_| who.to_owned(), |mac| mac.to_string());
    match nearest(&plain, macs.iter().map(String::as_str)).filter(|_| machine.is_none()) {
        Some(meant) => text.push_str(&format!("; did you mean {meant}?")),
        None => text.push_str(
            "; its packets do not reach this server (look at the switch's relay and at the firewall), or it has another \
             address: `pointsman history --since 1h` lists what booted",
        ),
    }
    Ok(text)
}

/// The scripts as they are now; none where the site has a problem.
fn scripts(config: &Config) -> Vec<Arc<ScriptHandler>> {
    match Site::load(config.clone(), Purpose::DryRun) {
        Ok(site) => site.handlers.into_iter().filter_map(|built| built.script).collect(),
        Err(_) => {
            complain(
                "note: the site has problems now, so that no line of a script is shown; `pointsman check` lists them",
            );
            Vec::new()
        }
    }
}
