//! A story as lines for a terminal or a mail.
//!
//! **Invariant**: no line is longer than the width, whatever a machine or a database said, and nothing moves the cursor.

use jiff::tz::TimeZone;

use super::gaps::span;
use super::moments::{Moment, Tone};
use super::story::Story;

/// Columns before the text: time, and the word for what happened.
const TIME: usize = 9;
const NAME: usize = 12;

impl Story {
    /// The lines, at most `width` columns each; with colors for a terminal.
    pub fn lines(&self, width: usize, zone: &TimeZone, colors: bool) -> Vec<String> {
        let width = width.max(TIME + NAME + 20);
        let mut lines = Vec::new();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let boot = &self.boot;
        let mac = boot.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let mut head = vec![format!("boot {}", boot.session)];
        head.extend([text(&boot.machine), mac, text(&boot.arch)].into_iter().filter(|part| !part.is_empty()));
        let began = boot.started.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        wrap(&format!("{}, began {began}", head.join(", ")), width, 2, &mut lines);
        lines.push(String::new());
        for moment in &self.moments {
            self.moment(moment, width, colors, &mut lines);
        }
        if !self.moments.is_empty() {
            lines.push(String::new());
        }
        for (number, line) in self.ending.iter().enumerate() {
            let start = lines.len();
            wrap(&if number == 0 { format!("End: {line}") } else { format!("     {line}") }, width, 5, &mut lines);
            if number == 0 {
                paint(lines.get_mut(start..).unwrap_or_default(), "1", colors);
            }
        }
        for note in &self.notes {
            wrap(&format!("Note: {note}"), width, 6, &mut lines);
        }
        lines
    }

    fn moment(&self, moment: &Moment, width: usize, colors: bool, lines: &mut Vec<String>) {
        let since = moment.at.duration_since(self.boot.started);
        let seconds = since.as_secs_f64().max(0.0);
        let time = if seconds < 1000.0 { format!("+{seconds:.3} s") } else { format!("+{}", span(since)) };
        let took = match moment.elapsed_us {
            None => String::new(),
            Some(us) if us >= 10_000_000 => format!(" ({:.0} s)", us as f64 / 1e6),
            Some(us) if us >= 1_000_000 => format!(" ({:.1} s)", us as f64 / 1e6),
            Some(us) => format!(" ({:.1} ms)", us as f64 / 1000.0),
        };
        let start = lines.len();
        let indent = TIME + NAME + 2;
        let first = format!("{time:>TIME$} {:<NAME$} {}{took}", moment.name, moment.text);
        wrap(&first, width, indent, lines);
        let color = match moment.tone {
            Tone::Good => "32",
            Tone::Note => "33",
            Tone::Bad => "31",
            Tone::Plain => "",
        };
        paint(lines.get_mut(start..).unwrap_or_default(), color, colors);
        let start = lines.len();
        for line in &moment.lines {
            wrap(&format!("{:indent$}{line}", ""), width, indent + 2, lines);
        }
        paint(lines.get_mut(start..).unwrap_or_default(), "2", colors);
    }
}

fn paint(lines: &mut [String], color: &str, colors: bool) {
    if colors && !color.is_empty() {
        lines.iter_mut().for_each(|line| *line = format!("\x1b[{color}m{line}\x1b[0m"));
    }
}

/// Breaks a text at spaces into lines of at most `width` characters; those behind the first are indented. A script's line
/// keeps the spaces that it begins with.
fn wrap(text: &str, width: usize, indent: usize, lines: &mut Vec<String>) {
    let clean: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut rest = clean.as_slice();
    let mut is_first = true;
    loop {
        let before = if is_first { 0 } else { indent };
        let room = width.saturating_sub(before).max(10);
        let line = |part: &[char]| format!("{:before$}{}", "", part.iter().collect::<String>()).trim_end().to_owned();
        if rest.len() <= room {
            lines.push(line(rest));
            return;
        }
        let leading = rest.iter().take_while(|c| **c == ' ').count();
        let head = rest.get(..=room).unwrap_or(rest);
        let at = head.iter().rposition(|c| *c == ' ').filter(|at| *at > leading.max(room / 3)).unwrap_or(room);
        let (part, left) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        lines.push(line(part));
        rest = left.get(left.iter().take_while(|c| **c == ' ').count()..).unwrap_or_default();
        is_first = false;
    }
}
