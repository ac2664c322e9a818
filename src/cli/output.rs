//! What commands print. A reader that went away (`| head`) is no error.

use std::io::{IsTerminal, Write};

/// Prints a line to standard output.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Prints a line to standard error.
pub(super) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints a value as JSON.
pub(super) fn say_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A mark before a line: green, yellow or red on a terminal.
pub(super) fn mark(kind: Mark) -> String {
    let (word, color) = match kind {
        Mark::Good => ("ok", 32),
        Mark::Note => ("note", 33),
        Mark::Bad => ("PROBLEM", 31),
    };
    paint(&format!("{word:>7}"), color)
}

/// Text in a color of the terminal, by its number; plain where the output is no terminal.
pub(super) fn paint(text: &str, color: u8) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
}

/// What a line reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Good,
    Note,
    Bad,
}

/// Asks on standard error, without a new line.
pub(super) fn ask(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}
