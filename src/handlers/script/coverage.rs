//! Which lines of the scripts their cases reach.

use std::collections::{BTreeMap, BTreeSet};

use super::ScriptHandler;
use super::trace::Trace;

/// The lines of files that can run, and those that ran.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    files: BTreeMap<String, Lines>,
}

#[derive(Clone, Debug, Default)]
struct Lines {
    /// The lines on which something begins that can run, with their text.
    code: BTreeMap<usize, String>,
    ran: BTreeSet<usize>,
}

/// How much of a file ran.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FileCoverage {
    /// The file, as errors name it.
    pub file: String,
    /// How many lines can run.
    pub lines: usize,
    /// How many of them ran.
    pub ran: usize,
    /// Those that did not, in runs of neighbors.
    pub missed: Vec<Missed>,
}

/// Neighboring lines that can run, and did not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Missed {
    /// The first line, from 1.
    pub from: usize,
    /// The last line.
    pub to: usize,
    /// The text of each that can run.
    pub source: Vec<(usize, String)>,
}

impl FileCoverage {
    /// The share of the lines that ran, in whole percent; all of them when none can run.
    pub fn percent(&self) -> usize {
        (self.ran * 100).checked_div(self.lines).unwrap_or(100)
    }
}

impl Coverage {
    /// Adds the files of a handler, and what ran of them.
    pub fn add(&mut self, handler: &ScriptHandler, trace: &Trace) {
        for (file, code) in handler.program.code_lines() {
            let lines = self.files.entry(file.clone()).or_default();
            for line in code {
                lines.code.entry(line).or_insert_with(|| handler.source_line(&file, line).unwrap_or_default());
            }
            lines.ran.extend(trace.lines.get(&file).into_iter().flatten());
        }
    }

    /// Each file, in the order of the names.
    pub fn files(&self) -> Vec<FileCoverage> {
        self.files.iter().map(|(file, lines)| lines.show(file)).collect()
    }

    /// The share of all lines that ran, in whole percent.
    pub fn percent(&self) -> usize {
        let files = self.files();
        let sum = |count: fn(&FileCoverage) -> usize| files.iter().map(count).sum::<usize>();
        (sum(|file| file.ran) * 100).checked_div(sum(|file| file.lines)).unwrap_or(100)
    }
}

impl Lines {
    fn show(&self, file: &str) -> FileCoverage {
        let mut missed: Vec<Missed> = Vec::new();
        let mut is_open = false;
        for (line, text) in &self.code {
            if self.ran.contains(line) {
                is_open = false;
                continue;
            }
            match missed.last_mut().filter(|_| is_open) {
                Some(last) => {
                    last.to = *line;
                    last.source.push((*line, text.clone()));
                }
                None => missed.push(Missed { from: *line, to: *line, source: vec![(*line, text.clone())] }),
            }
            is_open = true;
        }
        let ran = self.code.keys().filter(|line| self.ran.contains(line)).count();
        FileCoverage { file: file.to_owned(), lines: self.code.len(), ran, missed }
    }
}
