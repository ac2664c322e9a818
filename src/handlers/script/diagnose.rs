//! Errors of scripts in the words of somebody who is no programmer: where, what, and the likely fix.

use std::fmt;
use std::path::Path;

use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

use super::api;
use super::csv_file::Broken;
use super::slips::slip;
use super::sources::{LINE_MAX, Sources};
use super::spots;
use crate::nearest::{cut, nearest};

/// One problem in a script, its cases or its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// The file, as the configuration names it.
    pub file: String,
    /// Line and column, from 1, where they are known.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// The likely fix.
    pub hint: Option<String>,
    /// The line of the file.
    pub source_line: Option<String>,
}

/// Every problem that was found, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptErrors(pub Vec<ScriptError>);

impl std::error::Error for ScriptError {}
impl std::error::Error for ScriptErrors {}

impl ScriptError {
    /// A problem of a whole file.
    pub(in crate::handlers) fn of_file(file: impl Into<String>, message: impl Into<String>) -> ScriptError {
        ScriptError { file: file.into(), place: None, message: message.into(), hint: None, source_line: None }
    }

    /// The problem in one line, for a log or a trail.
    pub fn one_line(&self) -> String {
        let mut text = self.heading();
        if let Some(hint) = &self.hint {
            text.push_str("; ");
            text.push_str(hint);
        }
        text.replace('\n', " ")
    }

    fn heading(&self) -> String {
        match self.place {
            Some((line, column)) => format!("{}:{line}:{column}: {}", self.file, self.message),
            None => format!("{}: {}", self.file, self.message),
        }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.heading())?;
        if let (Some((line, column)), Some(source)) = (self.place, &self.source_line) {
            let number = line.to_string();
            let before: String = source.chars().take(column.saturating_sub(1)).map(blank).collect();
            write!(f, "\n  {number} | {source}\n  {:width$} | {before}^", "", width = number.len())?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  fix: {hint}"),
            None => Ok(()),
        }
    }
}

fn blank(c: char) -> char {
    if c == '\t' { c } else { ' ' }
}

impl fmt::Display for ScriptErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

/// A problem that the language found while it read `file`.
pub(super) fn of_parse(error: &ParseError, file: &str, sources: &Sources) -> ScriptError {
    let position = error.position();
    let place = position.line().zip(position.position());
    let word = place.and_then(|place| sources.word_at(file, place));
    let is_constant =
        matches!(error.err_type(), ParseErrorType::VariableUndefined(name) if sources.constants(file).contains(name));
    if let Some(missing) = place.and_then(|place| spots::missing(error.err_type(), file, place, sources)) {
        return at_place(file, missing.place, missing.message, Some(missing.hint), sources);
    }
    if let Some((message, hint)) = slip(error.err_type(), word).filter(|_| !is_constant) {
        return at(file, position, message, Some(hint), sources);
    }
    let hint = match error.err_type() {
        ParseErrorType::VariableUndefined(name) => Some(undefined_variable(name, file, sources)),
        ParseErrorType::ModuleUndefined(name) => {
            Some(format!("import it at the top of the file: import \"{name}\" as {name};"))
        }
        ParseErrorType::Reserved(name) if name == "eval" => {
            Some("a script cannot run text as a script; write a function".to_owned())
        }
        ParseErrorType::Reserved(name) if name == "default" => {
            Some("use another name; in a menu write `default_image`".to_owned())
        }
        ParseErrorType::Reserved(_) => Some("it is a word of the language; use another name".to_owned()),
        ParseErrorType::MissingToken(token, _) => {
            Some(format!("look for a missing `{token}` here or in the line above"))
        }
        ParseErrorType::UnexpectedEOF => {
            Some("the file ends too early: look for a `}` or `)` that is missing".to_owned())
        }
        ParseErrorType::ExprTooDeep => Some("split the expression: give its parts names with `let`".to_owned()),
        _ => None,
    };
    let message = match error.err_type() {
        ParseErrorType::VariableUndefined(name) => format!("there is no variable `{}`", cut(name)),
        ParseErrorType::ModuleUndefined(name) => format!("there is no module `{}`", cut(name)),
        ParseErrorType::Reserved(name) => format!("`{}` is a word of the language", cut(name)),
        kind => lower(&kind.to_string()),
    };
    at(file, position, message, hint, sources)
}

fn undefined_variable(name: &str, file: &str, sources: &Sources) -> String {
    let constants = sources.constants(file);
    if constants.iter().any(|constant| constant == name) {
        return format!("inside a function a constant is written `global::{name}`");
    }
    if api::FUNCTIONS.iter().any(|function| function.name == name) {
        return format!("`{name}` is a function: write `{name}(...)`");
    }
    if api::is_request_field(name) {
        return format!("did you mean `request.{name}`?");
    }
    match nearest(name, constants.iter().map(String::as_str).chain(["request"])) {
        Some("request") => "did you mean `request`?".to_owned(),
        Some(meant) => format!("did you mean `global::{meant}`?"),
        None => format!("declare it first: let {name} = ...; text stands between double quotes: \"{name}\""),
    }
}

/// A problem that ended a run which began in `file`.
pub(super) fn of_run(error: &EvalAltResult, file: &str, sources: &Sources) -> ScriptError {
    let (error, position, file) = innermost(error, file);
    let (message, hint) = explain(error, sources);
    at(&file, position, message, hint, sources)
}

/// The error that began it all, with the place nearest to it that is known.
fn innermost<'a>(error: &'a EvalAltResult, file: &str) -> (&'a EvalAltResult, Position, String) {
    let mut error = error;
    let mut file = file.to_owned();
    let mut known = (error.position(), file.clone());
    loop {
        let inner = match error {
            EvalAltResult::ErrorInFunctionCall(_, source, inner, _) => {
                if !source.is_empty() {
                    file.clone_from(source);
                }
                inner
            }
            EvalAltResult::ErrorInModule(source, inner, _) => {
                if !source.is_empty() {
                    file.clone_from(source);
                }
                inner
            }
            _ => return (error, known.0, known.1),
        };
        error = inner;
        if !error.position().is_none() {
            known = (error.position(), file.clone());
        }
    }
}

fn explain(error: &EvalAltResult, sources: &Sources) -> (String, Option<String>) {
    use EvalAltResult as E;
    match error {
        E::ErrorRuntime(value, _) | E::ErrorTerminated(value, _) => (value.to_string(), None),
        E::ErrorFunctionNotFound(signature, _) => unknown_function(signature, sources),
        E::ErrorStackOverflow(_) => (
            "functions call each other too deeply".to_owned(),
            Some("look for a function that calls itself without an end".to_owned()),
        ),
        E::ErrorTooManyOperations(_) => {
            ("the script takes too many steps".to_owned(), Some("look for an endless loop".to_owned()))
        }
        E::ErrorDataTooLarge(_, _) => (
            "a text, array or map grew too large".to_owned(),
            Some("in one value fit 256 KiB of text and 1,024 elements in all".to_owned()),
        ),
        E::ErrorPropertyNotFound(name, _) => (
            format!("the map has no `{}`", cut(name)),
            Some(format!("ask first: if \"{0}\" in map {{ map.{0} }}", cut(name))),
        ),
        E::ErrorModuleNotFound(name, _) => (
            format!("there is no module `{}`", cut(name)),
            Some(
                "import by a fixed name of a file below the scripts folder: import \"lib/sites\" as sites;".to_owned(),
            ),
        ),
        E::ErrorAssignmentToConstant(name, _) => {
            (format!("`{}` cannot be changed", cut(name)), Some("make a changeable copy: let copy = ...;".to_owned()))
        }
        E::ErrorDotExpr(message, _) if message.contains("setter") => {
            ("this cannot be changed".to_owned(), Some("keep the new value in a variable: let value = ...;".to_owned()))
        }
        E::ErrorDotExpr(message, _) => no_property(message),
        E::ErrorArrayBounds(0, _, _) => (
            "the array is empty".to_owned(),
            Some("ask first: if rows.len() > 0 { rows[0] }; what finds nothing gives an empty array".to_owned()),
        ),
        E::ErrorArrayBounds(len, index, _) => (
            format!("the array has no element {index}: it has {len}, numbered from 0"),
            Some("ask first: if rows.len() > 1 { rows[1] }".to_owned()),
        ),
        E::ErrorStringBounds(len, index, _) => (format!("the text has no character {index}: it has {len}"), None),
        E::ErrorArithmetic(message, _) => arithmetic(message),
        E::ErrorFor(_) => ("`for` goes through an array, a range or text".to_owned(), None),
        E::ErrorIndexingType(types, _) => (
            format!("{} cannot be used with [ ] here", api::plain_type(types.split(" [").next().unwrap_or_default())),
            None,
        ),
        E::ErrorMismatchDataType(expected, got, _) if !expected.is_empty() => {
            let (expected, got) = (api::plain_type(expected), api::plain_type(got));
            let hint = match (expected, got) {
                ("true or false", "text") => Some("compare it: if request.hostname != \"\" { ... }".to_owned()),
                ("true or false", "a number") => Some("compare it: if count > 0 { ... }".to_owned()),
                ("true or false", "nothing") => Some("compare it: if row != () { ... }".to_owned()),
                _ => None,
            };
            (format!("expected {expected}, not {got}"), hint)
        }
        other => (lower(other.to_string().split(" (line ").next().unwrap_or_default()), None),
    }
}

/// Rhai tells of a wrong field only in words: `Unknown property 'x' - a getter is not registered for type 'T'`.
fn no_property(message: &str) -> (String, Option<String>) {
    let mut quoted = message.split('\'').skip(1).step_by(2);
    match (quoted.next(), quoted.next()) {
        (Some(name), Some("()")) => {
            let hint = "a table that finds no row gives (): ask first: if row != () { ... }".to_owned();
            (format!("`()` (nothing) has no `{}`", cut(name)), Some(hint))
        }
        (Some(name), Some("array")) => {
            let hint = format!("take an element first: rows[0].{}; `query` and `find_all` give arrays", cut(name));
            (format!("an array has no `{}`", cut(name)), Some(hint))
        }
        (Some(name), Some(kind)) => (format!("{} has no `{}`", api::plain_type(kind), cut(name)), None),
        _ => (lower(message), None),
    }
}

/// Rhai says it in words, some of them of the language that it is written in.
fn arithmetic(message: &str) -> (String, Option<String>) {
    if let Some(text) = message.strip_prefix("Error parsing ") {
        let text = text.split_once('\'').and_then(|(_, rest)| rest.rsplit_once("\':")).map_or("this", |(text, _)| text);
        return match text {
            "" => {
                let hint = "ask first whether it is there: if request.memsize != \"\" { ... }".to_owned();
                ("the text is empty, and no number".to_owned(), Some(hint))
            }
            text => {
                let hint = "only digits are a number; ask first: if row.memory != \"\" { ... }".to_owned();
                (format!("`{}` is no number", cut(text)), Some(hint))
            }
        };
    }
    let hint = if message.contains("by zero") {
        Some("ask first: if count != 0 { ... }".to_owned())
    } else if message.contains("overflow") {
        Some("numbers go up to 9223372036854775807; divide first, or use a number with a fraction: 1.0".to_owned())
    } else {
        None
    };
    (lower(message), hint)
}

fn unknown_function(signature: &str, sources: &Sources) -> (String, Option<String>) {
    let (name, arguments) =
        signature.split_once(" (").map_or((signature, ""), |(name, rest)| (name, rest.trim_end_matches(')')));
    let arguments: Vec<_> =
        arguments.split(',').map(|part| api::plain_type(part.trim())).filter(|part| !part.is_empty()).collect();
    let arguments = arguments.join(", ");
    if let Some(function) = api::FUNCTIONS.iter().find(|function| function.name == name) {
        let got = if arguments.is_empty() { "nothing".to_owned() } else { arguments };
        return (format!("`{name}` cannot be used with {got}"), Some(format!("write it like {}", function.example)));
    }
    if !name.chars().any(char::is_alphanumeric) {
        let how = if arguments.contains(", ") { "between" } else { "with" };
        return (
            format!("`{name}` cannot be used {how} {}", arguments.replace(", ", " and ")),
            operator_hint(name, &arguments),
        );
    }
    if name.starts_with("anon$") {
        return (format!("the function without a name does not take {arguments}"), None);
    }
    // A function of the language must be all but the same: there are hundreds.
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let is_near =
        |known: &&str| strsim::damerau_levenshtein(&plain(known), &plain(name)) <= usize::from(name.len() > 4);
    let meant = nearest(name, api::FUNCTIONS.iter().map(|function| function.name));
    let hint = meant.or_else(|| sources.callable().find(is_near)).map(|meant| format!("did you mean `{meant}`?"));
    let with = if arguments.is_empty() { String::new() } else { format!(" for {arguments}") };
    (format!("there is no function `{}`{with}", cut(name)), hint)
}

fn operator_hint(name: &str, arguments: &str) -> Option<String> {
    let has_text = arguments.split(", ").any(|kind| kind == "text");
    let hint = match name {
        "!" if has_text => "ask whether it is empty: if request.serial == \"\" { ... }",
        "-" | "*" | "/" | "%" if has_text => "text is no number: parse_int(row.memory) - 1; texts are joined by +",
        "<" | ">" | "<=" | ">=" if has_text => "make a number of the text: parse_int(row.memory) > 4096",
        _ if arguments.contains("nothing") => "nothing was found: ask first: if row != () { ... }",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// A problem of a table.
pub(super) fn of_table(file: &Path, broken: &Broken, hint: Option<String>) -> ScriptError {
    let number = broken.line.and_then(|line| usize::try_from(line).ok());
    let column = broken.column.and_then(|column| usize::try_from(column).ok()).unwrap_or(1);
    // The text of a table is not kept: it is read again, to show the line.
    let line = |number: usize| {
        let text = std::fs::read(file).ok()?;
        let line = text.split(|byte| *byte == b'\n').nth(number.checked_sub(1)?)?;
        Some(String::from_utf8_lossy(line).trim_start_matches('\u{feff}').trim_end().chars().take(LINE_MAX).collect())
    };
    ScriptError {
        file: file.display().to_string(),
        place: number.map(|number| (number, column)),
        message: broken.message.clone(),
        hint,
        source_line: number.and_then(line),
    }
}

fn at(file: &str, position: Position, message: String, hint: Option<String>, sources: &Sources) -> ScriptError {
    let place = position.line().map(|line| (line, position.position().unwrap_or(1)));
    let source_line = place.and_then(|(line, _)| sources.line(file, line));
    ScriptError { file: file.to_owned(), place, message, hint, source_line }
}

/// A problem at a place that is known by numbers.
pub(super) fn at_place(
    file: &str,
    place: (usize, usize),
    message: String,
    hint: Option<String>,
    sources: &Sources,
) -> ScriptError {
    ScriptError { file: file.to_owned(), place: Some(place), message, hint, source_line: sources.line(file, place.0) }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
