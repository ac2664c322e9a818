//! The scripts around the decision: before it, in its place, and after a failure.

use std::time::Duration;

use super::{Command, Label, SessionUrls, Stored, Text, Word};
use crate::boot::{FACTS, Line, Platform};

/// How often a client asks before it gives up and lets the firmware go on.
const ATTEMPTS_MAX: u32 = 10;
/// How long it waits between two attempts.
const RETRY_WAIT: Duration = Duration::from_secs(5);
/// How long a message stays on the screen before the machine goes on.
const READING_TIME: Duration = Duration::from_secs(10);

const AGAIN: Label = Label::Place("again");
const QUERY: Label = Label::Place("query");
const RETRY: Label = Label::Place("retry");
const GIVE_UP: Label = Label::Place("give-up");

/// Facts whose settings iPXE keeps as bytes, not as text: they have a text form of their own that needs no encoding
/// in a URL, while the encoding (`:uristring`) would take the bytes themselves.
const NOT_TEXT: [&str; 9] = ["busid", "dhcp_server", "gateway", "ip", "mac", "memsize", "netmask", "sysmac", "uuid"];

/// The script beside iPXE's own file: gets an address, then loads the bootstrap script from the first of `urls` that
/// answers (HTTPS, then HTTP where the site allows it).
pub fn autoexec(urls: &[SessionUrls], platform: Platform) -> Vec<Command> {
    let mut script = vec![Command::Set(Stored::Attempt, Text::new("0")), Command::Label(AGAIN)];
    script.push(Command::Inc(Stored::Attempt));
    script.push(Command::Dhcp.or_goto(&RETRY));
    script.extend(urls.iter().map(|urls| taken_over_by(urls.boot()).ignored()));
    script.extend(retry(platform));
    script
}

/// The script that tells the server what this machine is and runs the answer: as a form where the build can, as a
/// query where it cannot. Nothing tells which builds can, so it is tried.
pub fn bootstrap(urls: &SessionUrls, platform: Platform) -> Vec<Command> {
    introduction(urls.script(), platform)
}

/// The same for a machine that has no session yet: it introduces itself at this URL.
pub fn introduction(url: Word, platform: Platform) -> Vec<Command> {
    let mut script = vec![Command::Set(Stored::Attempt, Text::new("0")), Command::Label(AGAIN)];
    script.push(Command::Inc(Stored::Attempt));
    script.push(Command::Params.or_goto(&QUERY));
    script.extend(
        FACTS.iter().map(|fact| Command::Param {
            name: Word::new(fact.name),
            value: Text::default().and_setting(fact.setting),
        }),
    );
    script.push(taken_over_by(url.clone().and("##params")).or_goto(&RETRY));
    script.push(Command::Label(QUERY));
    script.push(taken_over_by(query(url)).or_goto(&RETRY));
    script.extend(retry(platform));
    script
}

/// The script for a machine that may not boot: shows why, then leaves to the disk.
pub fn denied(reason: &Line, platform: Platform) -> Vec<Command> {
    let mut script = vec![
        Command::Echo(Text::new("This machine may not boot from the network.")),
        Command::Echo(Text::screen(reason.as_str())),
        Command::Prompt(Text::new("Press a key to start from the local disk at once."), READING_TIME).ignored(),
    ];
    script.extend(local(platform));
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

/// Leaves to the machine's own disk. On EFI the status must not be 0, or some firmware opens its setup menu; a BIOS goes
/// on with its next boot device only if the disk cannot be started from here.
pub(super) fn local(platform: Platform) -> Vec<Command> {
    match platform {
        Platform::Bios => vec![Command::SanbootDisk.ignored(), Command::Exit(0)],
        Platform::Efi | Platform::Other => vec![Command::Exit(1)],
    }
}

fn taken_over_by(url: Word) -> Command {
    Command::Chain { url, arguments: Text::default(), replace: true }
}

fn query(url: Word) -> Word {
    FACTS.iter().enumerate().fold(url, |url, (index, fact)| {
        let url = url.and(&format!("{}{}=", if index == 0 { '?' } else { '&' }, fact.name));
        if NOT_TEXT.contains(&fact.name) {
            url.and_setting(fact.setting)
        } else {
            url.and_setting_encoded(fact.setting)
        }
    })
}

fn retry(platform: Platform) -> Vec<Command> {
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
    script.extend(local(platform));
    script
}
