//! Questions to the person at the machine: a PIN, a user name and a password, and waiting for somebody to approve.
//!
//! Builds since June 2024 have forms of any lines; the others have `login`, with a user name and a password. What is
//! typed goes to the server in hexadecimal digits, because iPXE before 2021 takes the percent-encoding of some
//! characters off a URL. It is forgotten at once.

use std::time::Duration;

use super::facts::Told;
use super::images::{FAILED, LOCAL};
use super::scripts::{Leaving, local};
use super::{Command, Label, SessionUrls, Stored, Text};
use crate::boot::{Ask, BootImage, Line, Method};

/// How often an answer is sent that does not reach the server.
const ATTEMPTS_MAX: u32 = 20;
/// How long the title of a question is shown by builds that cannot show it beside the question.
const TITLE_TIME: Duration = Duration::from_secs(15);
/// The time between two looks whether somebody has approved.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// How long a message stays before the machine tries again.
const UNREACHED_TIME: Duration = Duration::from_secs(5);
/// The lines of a screen.
const SCREEN_LINES: usize = 30;

/// Asks before anything is offered; who does not answer gets the disk.
pub(super) fn first(question: &Ask, urls: &SessionUrls) -> Vec<Command> {
    asking(question, "", urls, &LOCAL, &LOCAL)
}

/// Asks before this image is booted; who does not answer goes on at `left`.
pub(super) fn before(question: &Ask, image: &BootImage, urls: &SessionUrls, left: &Label) -> Vec<Command> {
    asking(question, &image.id, urls, left, &FAILED)
}

/// The script of a machine that waits for somebody to approve it. `number` is what it is approved by; `image` what was
/// chosen, empty for the boot as a whole.
pub fn waiting(
    title: &Line,
    number: &str,
    image: &str,
    leaving: impl Into<Leaving>,
    urls: &SessionUrls,
) -> Vec<Command> {
    let [again, query] = [Label::Place("again"), Label::Place("query")];
    let mut script = vec![
        Command::Echo(Text::screen(title.as_str())),
        Command::Echo(Text::new(&format!("Waiting for approval. Number: {number}"))),
        Command::Set(Stored::Attempt, Text::new("0")),
        Command::Label(again.clone()),
        Command::Inc(Stored::Attempt),
        Command::GotoIfEqual(Stored::Attempt, ATTEMPTS_MAX, LOCAL),
        Command::Sleep(LOOK_AGAIN).ignored(),
    ];
    script.extend(answer(image, urls).commands(&query, &again));
    script.extend([Command::Label(LOCAL), Command::Echo(Text::new("Starting from the local disk."))]);
    script.extend(local(leaving.into()));
    script
}

/// What comes before the script that follows an answer: nothing of it stays on the machine. iPXE shows the URLs that it
/// loads: where the answer was in one (`is_shown`), it is moved off the screen.
pub fn forget_secrets(is_shown: bool) -> Vec<Command> {
    let mut script = vec![Command::Clear(Stored::Password).ignored(), Command::Clear(Stored::Username).ignored()];
    if is_shown {
        script.extend((0..SCREEN_LINES).map(|_| Command::Echo(Text::default())));
    }
    script
}

fn answer(image: &str, urls: &SessionUrls) -> Told {
    Told::by_form(urls.person()).saying("image", Text::new(image)).with_grant(urls)
}

fn asking(question: &Ask, image: &str, urls: &SessionUrls, left: &Label, unreached: &Label) -> Vec<Command> {
    let place = |name| match image {
        "" => Label::Place(name),
        id => Label::Within(name, id.to_owned()),
    };
    let [begin, send, login, query, again] = ["ask", "send", "login", "query", "again"].map(place);
    let mut script = vec![Command::Set(Stored::Attempt, Text::new("0")), Command::Label(begin.clone())];
    let mut told = answer(image, urls);
    if question.method() != Method::Approval {
        script.extend([Stored::Username, Stored::Password].map(|stored| Command::Clear(stored).ignored()));
        script.extend(typed(question, &login, &send, left));
        script.push(Command::Label(send));
        for (name, stored) in [("user_hex", Stored::Username), ("secret_hex", Stored::Password)] {
            told = told.saying(name, Text::default().and_setting_as(stored.name(), "hexraw")).forgetting(stored);
        }
    }
    script.extend(told.commands(&query, &again));
    script.extend([
        Command::Label(again),
        Command::Inc(Stored::Attempt),
        Command::GotoIfEqual(Stored::Attempt, ATTEMPTS_MAX, unreached.clone()),
        Command::Prompt(Text::new("The boot server cannot be reached. Trying again."), UNREACHED_TIME).ignored(),
        Command::Goto(begin),
    ]);
    script
}

/// Has the answer typed into [`Stored::Username`] and [`Stored::Password`], and goes on at `send`.
fn typed(question: &Ask, login: &Label, send: &Label, left: &Label) -> Vec<Command> {
    let title = Text::screen(question.title().as_str());
    let field = |stored, title, is_secret| Command::Field { stored, title: Text::new(title), is_secret };
    let (fields, hint) = match question.method() {
        Method::Pin => (
            vec![field(Stored::Password, "PIN", true)],
            "Type the PIN as the password; leave the user name empty. Press a key.",
        ),
        Method::Login | Method::Approval => (
            vec![field(Stored::Username, "User name", false), field(Stored::Password, "Password", true)],
            "Press a key.",
        ),
    };
    let mut script = vec![Command::Form(title.clone()).or_goto(login)];
    script.extend(fields);
    script.extend([
        Command::Present.or_goto(left),
        Command::Goto(send.clone()),
        Command::Label(login.clone()),
        // `login` has the screen for itself.
        Command::Echo(title),
        Command::Prompt(Text::new(hint), TITLE_TIME).ignored(),
        Command::Login.or_goto(left),
    ]);
    script
}
