//! The file of cases: TOML, with the place of every mistake.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::super::Question;
use super::super::diagnose::ScriptError;
use super::super::outside::Answers;
use super::expect::Expected;
use super::written::WrittenCase;
use super::wrong::Wrong;
use crate::boot::BootRequest;
use crate::config::plain_words;
use crate::database::NamedQueries;

/// The cases of one file.
#[derive(Debug, Clone)]
pub struct CaseFile {
    /// The file, as errors name it.
    pub file: String,
    /// Its cases, in order.
    pub cases: Vec<Case>,
}

/// One question and the answer that is expected.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The line where it begins.
    pub line: usize,
    /// Which question is asked.
    pub question: Question,
    /// The request.
    pub request: BootRequest,
    /// What the queries find that the script asks.
    pub(super) answers: Arc<Answers>,
    pub(super) expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    case: Vec<Spanned<WrittenCase>>,
}

impl CaseFile {
    /// Reads a file of cases. `question` is asked where a case does not say, and its expectation does not tell; `queries`
    /// are those that a case may answer.
    ///
    /// # Errors
    /// All problems, with their lines.
    pub fn read(path: &Path, question: Question, queries: &NamedQueries) -> Result<CaseFile, Vec<ScriptError>> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => CaseFile::parse(&file, &text, question, queries),
            Err(error) => Err(vec![ScriptError::of_file(file, format!("cannot be read: {error}"))]),
        }
    }

    /// Reads the text of a file of cases, which errors call `file`.
    ///
    /// # Errors
    /// All problems, with their lines.
    pub fn parse(
        file: &str,
        text: &str,
        question: Question,
        queries: &NamedQueries,
    ) -> Result<CaseFile, Vec<ScriptError>> {
        let at = |offset: usize, message: String| {
            let place = place(text, offset);
            let source_line = text.lines().nth(place.0 - 1).map(str::to_owned);
            ScriptError { file: file.to_owned(), place: Some(place), message, hint: None, source_line }
        };
        let written: Written = toml::from_str(text).map_err(|error| {
            let message = plain_words(error.message()).replace('\n', "; ");
            vec![at(error.span().map_or(0, |span| span.start), message)]
        })?;
        let mut errors = Vec::new();
        let mut cases = Vec::new();
        for case in written.case {
            let start = case.span().start;
            match case.into_inner().read((start, place(text, start).0), question, queries) {
                Ok(case) => cases.push(case),
                Err(Wrong { offset, message }) => errors.push(at(offset, message)),
            }
        }
        if errors.is_empty() { Ok(CaseFile { file: file.to_owned(), cases }) } else { Err(errors) }
    }
}

/// Line and column of an offset, from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}
