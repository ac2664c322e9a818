//! A reader of scripts, for tests only: does with a script what iPXE's own reader does, from its rules, not from
//! [`super::render`]. Settings have no value here, unless a test gives them one.

use std::collections::BTreeMap;

/// What a line does, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Label(String),
    /// The arguments, after the settings were put in.
    Run(Vec<String>),
    /// `||`, `&&` or `;` between two commands.
    Between(String),
}

/// Reads a script; `None` when iPXE would not take it for one.
pub(super) fn read(script: &str, settings: &BTreeMap<&str, &str>) -> Option<Vec<Read>> {
    let body = script.strip_prefix("#!ipxe\n")?;
    let mut read = Vec::new();
    for line in logical_lines(body) {
        let mut rest = line.trim_start_matches(white);
        if let Some(label) = rest.strip_prefix(':') {
            let end = label.find(white).unwrap_or(label.len());
            read.push(Read::Label(label[..end].to_owned()));
            rest = &label[end..];
        }
        read_commands(rest, settings, &mut read);
    }
    Some(read)
}

fn white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn logical_lines(body: &str) -> Vec<String> {
    let (mut lines, mut open) = (Vec::new(), String::new());
    for line in body.split('\n') {
        open.push_str(line.strip_suffix('\r').unwrap_or(line));
        if open.ends_with('\\') {
            open.pop();
            continue;
        }
        lines.push(std::mem::take(&mut open));
    }
    lines.push(open);
    lines.retain(|line| !line.is_empty());
    lines
}

fn read_commands(line: &str, settings: &BTreeMap<&str, &str>, read: &mut Vec<Read>) {
    let mut arguments = Vec::new();
    for token in line.split(white).filter(|token| !token.is_empty()) {
        if token.starts_with('#') {
            break;
        }
        if ["||", "&&", ";"].contains(&token) {
            read.push(Read::Run(std::mem::take(&mut arguments)));
            read.push(Read::Between(token.to_owned()));
        } else {
            arguments.push(expand(token, settings));
        }
    }
    if !arguments.is_empty() {
        read.push(Read::Run(arguments));
    }
}

/// Replaces the innermost setting that is complete, from the left, until none is left.
fn expand(token: &str, settings: &BTreeMap<&str, &str>) -> String {
    let mut text = token.to_owned();
    for _ in 0..1000 {
        let Some(first) = text.find("${") else { break };
        let Some(end) = text[first..].find('}').map(|end| first + end) else { break };
        let Some(start) = text[..end].rfind("${") else { break };
        let name = &text[start + 2..end];
        let value = settings.get(name).copied().unwrap_or_default();
        text = format!("{}{value}{}", &text[..start], &text[end + 1..]);
    }
    text
}

/// The arguments of a command without its options, as iPXE's own option parser leaves them: options end at `--` or at
/// the first argument that does not begin with `-`.
pub(super) fn operands(arguments: &[String]) -> &[String] {
    let mut rest = arguments.get(1..).unwrap_or_default();
    while let [first, after @ ..] = rest {
        if first == "--" {
            return after;
        }
        if !first.starts_with('-') {
            break;
        }
        rest = after;
    }
    rest
}
