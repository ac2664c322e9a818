//! What is wrong with a site, where, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One thing that an administrator has to put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file it is in.
    pub file: PathBuf,
    /// Line and column, counted from 1, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
    /// What to do; empty when the message says it already.
    pub remedy: String,
    /// The line with a caret below the place; empty when not known.
    #[serde(skip)]
    pub excerpt: String,
}

impl Problem {
    /// A problem of a whole file.
    pub fn of_file(file: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem { file: file.to_owned(), place: None, what: what.into(), remedy: remedy.into(), excerpt: String::new() }
    }

    /// A problem at an octet offset of a text.
    pub fn at(file: &Path, text: &str, offset: usize, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let source = text.lines().nth(line - 1).unwrap_or_default();
        Problem::of_file(file, what, remedy).in_line(line, column, source)
    }

    /// The same problem with its place and the line of the file, which is shown with a caret below.
    pub fn in_line(self, line: usize, column: usize, source: &str) -> Problem {
        let source: String = source.chars().take(200).collect();
        let number = line.to_string();
        // Tabs stay tabs, so that the caret stands where they put it.
        let before = source.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { c } else { ' ' });
        let before: String = before.collect();
        let excerpt = format!("  {number} | {source}\n  {:pad$} | {before}^", "", pad = number.len());
        Problem { place: Some((line, column)), excerpt, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.what)?;
        if !self.excerpt.is_empty() {
            write!(f, "\n{}", self.excerpt)?;
        }
        if !self.remedy.is_empty() {
            write!(f, "\n  help: {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Every problem that was found, in the order found; never empty as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// A single problem.
    pub fn one(problem: Problem) -> Problems {
        Problems { list: vec![problem] }
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Problems) {
        self.list.extend(other.list);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
