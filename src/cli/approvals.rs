//! `pointsman approvals`, `approve` and `deny`: boots that wait for somebody to agree.

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::output::{say, say_json};
use super::store::{Desk, at_desk};
use super::table::Table;
use super::times::local;
use crate::boot::{Ask, Line};
use crate::store::{Approval, ApprovalState, Ruling, Store};

/// List the machines that wait for somebody to approve their boot
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman approvals
  pointsman approve 4k7m2x
  pointsman deny 52:54:00:00:00:07 --reason \"not before the exam is over\"")]
pub(super) struct Approvals {
    /// Also those that were decided, or whose machines do not wait any more
    #[arg(long)]
    all: bool,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Let a machine that waits for approval go on
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman approve 4k7m2x                          the number that the machine's screen shows
  pointsman approve 52:54:00:00:00:07 --as ann --groups imaging

The boot goes on within seconds; the next one is asked anew.")]
pub(super) struct Approve {
    /// Its number, or the machine's MAC address
    which: String,
    /// Who approves; the account that runs this command when absent
    #[arg(long = "as", value_name = "NAME", env = "USER")]
    by: Option<String>,
    /// The groups that this gives, as scripts see them in request.person.groups
    #[arg(long, value_name = "GROUP,...", value_delimiter = ',')]
    groups: Vec<String>,
}

/// Do not let a machine that waits for approval go on
#[derive(Debug, Args)]
#[command(after_help = "Example:
  pointsman deny 4k7m2x --reason \"ask in room 12\"")]
pub(super) struct Deny {
    /// Its number, or the machine's MAC address
    which: String,
    /// Who denies; the account that runs this command when absent
    #[arg(long = "as", value_name = "NAME", env = "USER")]
    by: Option<String>,
    /// What the machine's screen shows
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// A machine comes every few seconds; after so long without it waits no more.
const WAITING: SignedDuration = SignedDuration::from_secs(60);

pub(super) fn list(command: &Approvals, file: &Path) -> anyhow::Result<ExitCode> {
    at_desk(file, async |desk| {
        let found = desk.store.approvals(command.all, since(desk.now), Store::PATIENCE).await?;
        if command.json {
            return say_json(&found.iter().map(in_json).collect::<Vec<_>>());
        }
        let mut table = Table::new(&["number", "machine", "asked", "state", "for"]);
        for approval in &found {
            let [mac, asked] = [approval.mac.to_string(), local(approval.asked)];
            table.row([&approval.id, &mac, &asked, approval.state.name(), &what(approval)]);
        }
        table.print("no machine waits for approval");
        Ok(())
    })
}

pub(super) fn approve(command: &Approve, file: &Path) -> anyhow::Result<ExitCode> {
    if let Some(bad) = command.groups.iter().find(|group| !Ask::is_group(group)) {
        bail!("`{bad}` is no name of a group");
    }
    if command.groups.len() > Ask::GROUPS_MAX {
        bail!("at most {} groups", Ask::GROUPS_MAX);
    }
    let ruling = Ruling { by: by(command.by.as_deref()), agreed: Ok(command.groups.clone()) };
    at_desk(file, async |desk| rule(&desk, &command.which, &ruling, "approved").await)
}

pub(super) fn deny(command: &Deny, file: &Path) -> anyhow::Result<ExitCode> {
    let ruling = Ruling { by: by(command.by.as_deref()), agreed: Err(Line::clean(&command.reason)) };
    at_desk(file, async |desk| rule(&desk, &command.which, &ruling, "denied").await)
}

async fn rule(desk: &Desk, which: &str, ruling: &Ruling, done: &str) -> anyhow::Result<()> {
    let approval = desk.store.rule(which, ruling, since(desk.now), desk.now, Store::PATIENCE).await?;
    say(&format!("{done} {} for {}: {}", approval.id, approval.mac, what(&approval)));
    Ok(())
}

fn since(now: Timestamp) -> Timestamp {
    now.checked_sub(WAITING).unwrap_or(Timestamp::MIN)
}

fn by(name: Option<&str>) -> Line {
    let name: String = name.unwrap_or("operator").chars().take(64).collect();
    Line::clean(&name)
}

fn what(approval: &Approval) -> String {
    match approval.image.as_str() {
        "" => approval.title.to_string(),
        image => format!("{} ({image})", approval.title),
    }
}

fn in_json(approval: &Approval) -> serde_json::Value {
    let mut value = json!({
        "id": approval.id,
        "session": approval.session.to_string(),
        "mac": approval.mac.to_string(),
        "image": approval.image,
        "title": approval.title,
        "asked": approval.asked,
        "last_asked": approval.last_asked,
        "state": approval.state.name(),
    });
    let more = match &approval.state {
        ApprovalState::Pending => json!({}),
        ApprovalState::Approved { by, at, groups } => json!({"by": by, "at": at, "groups": groups}),
        ApprovalState::Denied { by, reason } => json!({"by": by, "reason": reason}),
    };
    if let (Some(value), serde_json::Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}
