//! How a menu looks, and the key before it. Builds without `console`, `colour` and `cpair` (most for a BIOS) go on with
//! their own look: the first command that they lack skips the others.
//!
//! iPXE has eight colors by number, and pairs of them by use. What is black by default, green or yellow is in no pair of a
//! menu, so that these numbers are free for colors of our own. Blue is what all lines have behind them; left alone, it is
//! transparent before a picture.

use super::images::LOCAL;
use super::{Command, Label, SessionUrls, Text};
use crate::boot::{Color, Colors, Look, Prompt};

const PLAIN: Label = Label::Place("plain");

/// Numbers of colors.
const RED: u8 = 1;
const GREEN: u8 = 2;
const YELLOW: u8 = 3;
const BLUE: u8 = 4;
const CYAN: u8 = 6;

/// Pairs: the lines, and the line under the cursor. That of the headings is cyan on blue.
const NORMAL: u8 = 1;
const SELECTED: u8 = 2;

/// What comes before a menu that looks so.
pub(super) fn look(look: &Look, urls: &SessionUrls) -> Vec<Command> {
    let mut script = Vec::new();
    if look.picture.is_some() || look.size.is_some() {
        let picture = look.picture.as_ref().map(|source| urls.source(source));
        script.push(Command::Console { picture, size: look.size }.ignored());
    }
    let mut colors = colors(&look.colors).into_iter();
    if let Some(first) = colors.next() {
        script.push(first.or_goto(&PLAIN));
        script.extend(colors.map(Command::ignored));
        script.push(Command::Label(PLAIN));
    }
    script
}

fn colors(colors: &Colors) -> Vec<Command> {
    let Colors { text, background, selected_text, selected_background, heading } = colors;
    let numbered =
        [(text, GREEN), (background, BLUE), (selected_text, YELLOW), (selected_background, RED), (heading, CYAN)];
    let define = |(color, number): (&Option<Color>, u8)| {
        color.map(|color| Command::Colour { number, basic: nearest(color), color })
    };
    let mut script: Vec<_> = numbered.into_iter().filter_map(define).collect();
    // White stays what it is for alerts.
    if text.is_some() {
        script.push(Command::Cpair { pair: NORMAL, foreground: GREEN, background: BLUE });
    }
    if selected_text.is_some() {
        script.push(Command::Cpair { pair: SELECTED, foreground: YELLOW, background: RED });
    }
    script
}

/// The color of the eight for screens that have no others: each of red, green and blue is there or not.
fn nearest(Color(parts): Color) -> u8 {
    parts.iter().enumerate().map(|(bit, part)| u8::from(*part >= 0x80) << bit).sum()
}

/// Waits for the key; without it the machine starts from its disk.
pub(super) fn prompt(prompt: &Prompt) -> Command {
    let text = Text::screen(prompt.text().as_str());
    let command = match prompt.key() {
        Some(key) => Command::Press(key, text, prompt.timeout()),
        None => Command::Prompt(text, prompt.timeout()),
    };
    command.or_goto(&LOCAL)
}
