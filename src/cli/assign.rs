//! `pointsman assign`, `unassign` and `assignments`: what machines are to boot.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::output::{complain, say, say_json};
use super::store::{Desk, at_desk};
use super::table::Table;
use super::times::{self, local, moment};
use crate::store::{Assigned, Assignment, AssignmentFilter, Mode, Name, NewAssignment, SpentBy, State, Target};

/// Assign an image to a machine, a group, all machines or unknown ones
///
/// By default the image is offered once, in a menu; --mandatory starts it by itself. An assignment that is done once is
/// spent when the machine begins to load the image; --spent-by says otherwise. A server need not be told.
#[derive(Debug, Args)]
#[command(after_help = AFTER_ASSIGN)]
pub(super) struct Assign {
    /// A machine, group:NAME, all (known machines) or unknown (machines)
    #[arg(value_name = "MACHINE|group:NAME|all|unknown")]
    target: Target,
    /// The image
    image: Name,
    /// Once for each machine; the default for machines and groups
    #[arg(long, conflicts_with = "always")]
    once: bool,
    /// At every boot, until it is taken back; the default for all and unknown
    #[arg(long)]
    always: bool,
    /// It starts by itself; without this somebody picks it in the menu
    #[arg(long)]
    mandatory: bool,
    /// Seconds before a mandatory image starts; 0 starts it without a menu
    #[arg(long, value_name = "SECONDS", requires = "mandatory")]
    countdown: Option<u32>,
    /// Not offered before
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    not_before: Option<Timestamp>,
    /// Not offered any more from then on
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    not_after: Option<Timestamp>,
    /// What spends it: script (the boot script was handed out), image (the machine begins to load the image), or done
    /// (the installer says so; until then it is offered again)
    #[arg(long, value_name = "EVENT", default_value = "image")]
    spent_by: SpentBy,
    /// Place in the menu; lower is higher
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_hyphen_values = true)]
    sort_order: i32,
}

const AFTER_ASSIGN: &str = "Examples:
  pointsman assign lab-07 debian --mandatory             install once, at the next boot
  pointsman assign lab-07 debian --mandatory --spent-by done --not-before \"2026-11-22 22:00\"
  pointsman assign group:lab debian --mandatory          once for each machine that is in the group now
  pointsman assign all rescue --always                   in the menu of every known machine
  pointsman assign unknown inventory --always --mandatory --countdown 0

A MOMENT is 2026-11-22T22:00:00+01:00, \"2026-11-22 22:00\" (local time), or +2h from now.";

/// Take an assignment back
///
/// A machine that loads the image already goes on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman unassign a7k3m9qz          the assignment of this id
  pointsman unassign lab-07            every open assignment of the machine
  pointsman unassign lab-07 debian     that of this image")]
pub(super) struct Unassign {
    /// The id of an assignment, or whose they are: a machine, group:NAME, all or unknown
    what: String,
    /// Only those of this image
    image: Option<Name>,
}

/// List assignments and their states
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pointsman assignments                everything that is open
  pointsman assignments lab-07 --all   of one machine, also what is done, failed or expired
  pointsman assignments --state failed --json")]
pub(super) struct Assignments {
    /// Only those of a machine, group:NAME, all or unknown
    target: Option<Target>,
    /// Only those in this state: standing, assigned, offered, started, done, failed or expired
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// Also those that are done, failed or expired
    #[arg(long)]
    all: bool,
    /// The most to list
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    limit: usize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Assignments in one question.
const PAGE: usize = 500;

pub(super) fn assign(command: &Assign, file: &Path) -> anyhow::Result<ExitCode> {
    at_desk(file, async |desk| {
        let mut new = NewAssignment::new(command.target.clone(), command.image.clone());
        let is_always = matches!(command.target, Target::All | Target::Unknown) || command.always;
        new.mode = if is_always && !command.once { Mode::Always } else { Mode::Once };
        new.mandatory = command.mandatory;
        new.countdown = command.countdown;
        new.not_before = command.not_before;
        new.not_after = command.not_after;
        new.spent_by = command.spent_by;
        new.sort_order = command.sort_order;
        let assigned = desk.store.assign(&new, desk.now).await?;
        tell(&assigned, &new);
        desk.warn_when_nobody_asks();
        Ok(())
    })
}

fn tell(assigned: &Assigned, new: &NewAssignment) {
    let how = match (new.mode, new.mandatory) {
        (Mode::Once, true) => "once, mandatory",
        (Mode::Once, false) => "once, when somebody picks it",
        (Mode::Always, true) => "at every boot, mandatory",
        (Mode::Always, false) => "in the menu of every boot",
    };
    match assigned.new.as_slice() {
        [(target, id)] => say(&format!("assigned {} to {target}: {how} ({id})", new.image)),
        several => say(&format!("assigned {} to {} machines: {how}", new.image, several.len())),
    }
    for (machine, id) in &assigned.already {
        say(&format!("{machine} has it open already ({id})"));
    }
    for id in &assigned.superseded {
        say(&format!("{id} was begun and never reported done; it is closed"));
    }
}

pub(super) fn unassign(command: &Unassign, file: &Path) -> anyhow::Result<ExitCode> {
    at_desk(file, async |desk| {
        let known = desk.store.assignment(&command.what).await;
        let found = match (known, command.what.parse::<Target>()) {
            (Ok(assignment), _) => vec![assignment],
            (Err(_), Ok(target)) => {
                desk.check_target(&target).await?;
                let filter = AssignmentFilter { target: Some(target), ..AssignmentFilter::default() };
                list(&desk, &filter, usize::MAX).await?
            }
            (Err(error), Err(_)) => return Err(error.into()),
        };
        let is_meant = |assignment: &Assignment| command.image.as_ref().is_none_or(|image| *image == assignment.image);
        let meant: Vec<_> = found.into_iter().filter(is_meant).collect();
        if meant.is_empty() {
            anyhow::bail!("`{}` has no such open assignment; `pointsman assignments` lists them", command.what);
        }
        for assignment in meant {
            desk.store.unassign(&assignment.id).await?;
            say(&format!("took {} back from {} ({})", assignment.image, assignment.target, assignment.id));
        }
        Ok(())
    })
}

pub(super) fn assignments(command: &Assignments, file: &Path) -> anyhow::Result<ExitCode> {
    at_desk(file, async |desk| {
        if let Some(target) = &command.target {
            desk.check_target(target).await?;
        }
        let filter = AssignmentFilter { target: command.target.clone(), state: command.state, with_final: command.all };
        let found = list(&desk, &filter, command.limit).await?;
        if command.json {
            return say_json(&found);
        }
        let mut table = Table::new(&["id", "for", "image", "how", "state", "since", "when", "reason"]);
        for assignment in &found {
            table.row(cells(assignment));
        }
        table.print("No assignments. `pointsman assign MACHINE IMAGE` makes one; `--all` lists those that ended.");
        if found.len() >= command.limit {
            complain(&format!("the newest {}; --limit shows more", found.len()));
        }
        Ok(())
    })
}

/// Page by page, the newest first.
async fn list(desk: &Desk, filter: &AssignmentFilter, limit: usize) -> anyhow::Result<Vec<Assignment>> {
    let mut found: Vec<Assignment> = Vec::new();
    while found.len() < limit {
        let page = desk.store.assignments(filter, found.last(), PAGE.min(limit - found.len())).await?;
        let is_last = page.len() < PAGE.min(limit - found.len());
        found.extend(page);
        if is_last {
            break;
        }
    }
    Ok(found)
}

fn cells(assignment: &Assignment) -> [String; 8] {
    let how = match (assignment.mandatory, assignment.countdown) {
        (true, Some(seconds)) => format!("{}, mandatory after {seconds} s", assignment.mode.name()),
        (true, None) => format!("{}, mandatory", assignment.mode.name()),
        (false, _) => assignment.mode.name().to_owned(),
    };
    let when = match (assignment.not_before, assignment.not_after) {
        (None, None) => String::new(),
        (Some(from), None) => format!("from {}", times::local(from)),
        (None, Some(to)) => format!("until {}", times::local(to)),
        (Some(from), Some(to)) => format!("{} to {}", times::local(from), times::local(to)),
    };
    [
        assignment.id.clone(),
        assignment.target.to_string(),
        assignment.image.to_string(),
        how,
        assignment.state.name().to_owned(),
        local(assignment.changed),
        when,
        assignment.reason.clone().unwrap_or_default(),
    ]
}
