//! The scripts around the decision: before it, in its place, and after a failure.

use std::time::Duration;

use super::facts::{Told, taken_over_by};
use super::{Command, Label, SessionUrls, Stored, Text, Word};
use crate::boot::{Line, LocalBoot, Platform};

/// How often a client asks before it gives up and lets the firmware go on.
const ATTEMPTS_MAX: u32 = 10;
/// How long it waits between two attempts.
const RETRY_WAIT: Duration = Duration::from_secs(5);
/// How long a message stays on the screen before the machine goes on.
const READING_TIME: Duration = Duration::from_secs(10);

const AGAIN: Label = Label::Place("again");
const KEEP: Label = Label::Place("keep");
const QUERY: Label = Label::Place("query");
const RETRY: Label = Label::Place("retry");
const GIVE_UP: Label = Label::Place("give-up");

/// The script beside iPXE's own file: gets an address, then loads the bootstrap script from the first of `urls` that
/// answers (HTTPS, then HTTP where the site allows it).
pub fn autoexec(urls: &[SessionUrls], leaving: impl Into<Leaving>) -> Vec<Command> {
    first_of(urls.iter().map(SessionUrls::boot), leaving.into())
}

/// The same for a machine that has no session yet: it comes in at the first of these URLs that answers.
pub fn autoexec_without_session(urls: Vec<Word>, leaving: impl Into<Leaving>) -> Vec<Command> {
    first_of(urls.into_iter(), leaving.into())
}

fn first_of(urls: impl Iterator<Item = Word>, leaving: Leaving) -> Vec<Command> {
    let mut script = vec![Command::Set(Stored::Attempt, Text::new("0")), Command::Label(AGAIN)];
    script.push(Command::Inc(Stored::Attempt));
    script.push(Command::Dhcp.or_goto(&RETRY));
    script.extend(urls.map(|url| taken_over_by(url).ignored()));
    script.extend(retry(leaving));
    script
}

/// The script that tells the server what this machine is and runs the answer: as a form where the build can, as a
/// query where it cannot. Nothing tells which builds can, so it is tried.
pub fn bootstrap(urls: &SessionUrls, leaving: impl Into<Leaving>) -> Vec<Command> {
    introduction(urls.script(), leaving)
}

/// The same for a build of which nobody knows whether it can speak to our HTTPS: it tries, and goes on by HTTP.
pub fn bootstrap_by_either(https: &SessionUrls, http: &SessionUrls, leaving: impl Into<Leaving>) -> Vec<Command> {
    let mut script = vec![taken_over_by(https.boot()).ignored()];
    script.extend(bootstrap(http, leaving));
    script
}

/// The script for an iPXE that `lacks` something: it starts this loader, and goes on as it is where that cannot be loaded.
/// A loader that comes back was left for the own disk.
pub fn newer(lacks: &Line, loader: Word, urls: &SessionUrls, leaving: impl Into<Leaving>) -> Vec<Command> {
    let leaving = leaving.into();
    let what = Text::screen(&format!("This iPXE lacks {lacks}. The boot server's own takes its place."));
    let mut script = vec![
        Command::Echo(what),
        Command::Imgfree,
        Command::Kernel { url: loader, name: Word::new("ipxe"), arguments: Text::default() }.or_goto(&KEEP),
        Command::Boot.ignored(),
    ];
    script.extend(local(leaving));
    script.extend([Command::Label(KEEP), Command::Imgfree]);
    script.extend(bootstrap(urls, leaving));
    script
}

/// The same for a machine that has no session yet: it introduces itself at this URL.
pub fn introduction(url: Word, leaving: impl Into<Leaving>) -> Vec<Command> {
    let begun = [Stored::Asked, Stored::Attempt].map(|count| Command::Set(count, Text::new("0")));
    let mut script = Vec::from(begun);
    script.push(Command::Label(AGAIN));
    script.push(Command::Inc(Stored::Attempt));
    script.extend(Told::by_form(url).commands(&QUERY, &RETRY));
    script.extend(retry(leaving.into()));
    script
}

/// The script for a machine that may not boot: shows why, then leaves to the disk.
pub fn denied(reason: &Line, leaving: impl Into<Leaving>) -> Vec<Command> {
    let mut script = vec![
        Command::Echo(Text::new("This machine may not boot from the network.")),
        Command::Echo(Text::screen(reason.as_str())),
        Command::Prompt(Text::new("Press a key to start from the local disk at once."), READING_TIME).ignored(),
    ];
    script.extend(local(leaving.into()));
    script
}

/// The script that shows why an image did not boot, and returns to the script that asked for it.
/// `error` is iPXE's own number, as its error pages have it.
pub fn failed(title: &Line, error: Option<u32>) -> Vec<Command> {
    let what = Text::screen(title.as_str()).and(" did not boot.");
    let why = match error {
        Some(error) => Text::new(&format!("Error {error:08x}; what it means: https://ipxe.org/{error:08x}")),
        None => Text::new("The error is not known."),
    };
    let wait = Command::Prompt(Text::new("Press a key to go on at once."), READING_TIME).ignored();
    vec![Command::Echo(what), Command::Echo(why), wait]
}

/// The script that lets an assignment begin: it does nothing and succeeds.
pub fn started() -> Vec<Command> {
    Vec::new()
}

/// The script that does not let an assignment begin: shows why, and returns with a failure to the script that asked.
/// It never leaves to the disk by itself, where a BIOS iPXE that comes back from it would end with success.
pub fn not_started(reason: &Line) -> Vec<Command> {
    vec![
        Command::Echo(Text::new("This boot does not begin:")),
        Command::Echo(Text::screen(reason.as_str())),
        Command::Prompt(Text::new("Press a key to go on at once."), READING_TIME).ignored(),
        Command::Exit(1),
    ]
}

/// How a script leaves to the machine's own disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// What runs the machine.
    pub platform: Platform,
    /// The way that is known to work for it; the platform's usual one when absent.
    pub method: Option<LocalBoot>,
}

impl From<Platform> for Leaving {
    fn from(platform: Platform) -> Self {
        Leaving { platform, method: None }
    }
}

/// Leaves to the machine's own disk. On EFI the status must not be 0, or some firmware opens its setup menu; a BIOS goes
/// on with its next boot device only if the disk cannot be started from here.
pub(super) fn local(leaving: Leaving) -> Vec<Command> {
    match (leaving.method, leaving.platform) {
        (None | Some(LocalBoot::Sanboot), Platform::Bios) => vec![Command::SanbootDisk.ignored(), Command::Exit(0)],
        // Builds for EFI know no BIOS disk, and go on.
        (Some(LocalBoot::Sanboot), _) => vec![Command::SanbootDisk.ignored(), Command::Exit(1)],
        (None | Some(LocalBoot::ExitFailed), _) => vec![Command::Exit(1)],
        (Some(LocalBoot::Exit), _) => vec![Command::Exit(0)],
        (Some(LocalBoot::Reboot), _) => vec![Command::Reboot.ignored(), Command::Exit(1)],
    }
}

fn retry(leaving: Leaving) -> Vec<Command> {
    let mut script = vec![
        Command::Label(RETRY),
        Command::Set(Stored::Failure, Text::default().and_setting_as("errno", "hexraw")),
        Command::Echo(Text::new("The boot server cannot be reached: https://ipxe.org/").and_setting("failure")),
        Command::GotoIfEqual(Stored::Attempt, ATTEMPTS_MAX, GIVE_UP),
        Command::Prompt(Text::new("Trying again in 5 seconds; press a key to try at once."), RETRY_WAIT).ignored(),
        Command::Goto(AGAIN),
        Command::Label(GIVE_UP),
        Command::Echo(Text::new("Giving up; the firmware goes on.")),
    ];
    script.extend(local(leaving));
    script
}
