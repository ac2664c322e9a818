//! `pointsman explain CODE`: what a machine's screen says.

use std::process::ExitCode;

use anyhow::bail;

use super::output::{say, say_json};
use crate::doctor::codes::{Code, Known, look_up};

/// Whether the table has the code itself.
pub(super) fn is_known(code: &str) -> bool {
    matches!(look_up(code), Known::Code(_))
}

/// Tells what is known of a code.
///
/// # Errors
/// When nothing is, with the codes nearest to it.
pub(super) fn tell(code: &str, json: bool) -> anyhow::Result<ExitCode> {
    let known = look_up(code);
    if let Known::Nothing { nearest } = &known {
        let near = if nearest.is_empty() { String::new() } else { format!("; near it are {}", nearest.join(", ")) };
        bail!("no code `{code}` is known{near}\n  codes look like PXE-E55 or https://ipxe.org/2d12618e");
    }
    if json {
        say_json(&known)?;
        return Ok(ExitCode::SUCCESS);
    }
    match known {
        Known::Code(row) => row_in_words(code, &row),
        Known::Class { kind, part, like } => {
            say(&format!("{code}: {part}: {kind} (iPXE); no more is known of this number"));
            for row in like {
                say("");
                row_in_words(row.codes.first().copied().unwrap_or_default(), &row);
            }
        }
        Known::Nothing { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn row_in_words(code: &str, row: &Code) {
    say(&format!("{code}: {}", row.means));
    say(&format!("  why      {}", plain(row.causes)));
    say(&format!("  look at  {}", plain(row.look_at)));
    if !row.check.is_empty() {
        say(&format!("  check    pointsman doctor --only {}", row.check));
    }
}

/// A link of the documents as their file.
fn plain(text: &str) -> String {
    let Some((before, rest)) = text.split_once('[') else { return text.to_owned() };
    match rest.split_once("](").and_then(|(_, rest)| rest.split_once(')')) {
        Some((page, after)) => format!("{before}docs/{page}{after}"),
        None => text.to_owned(),
    }
}
