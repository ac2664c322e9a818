//! What a run of the cases shows.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::json;

use crate::cli::output::{Mark, mark, paint, say};
use crate::handlers::script::cases::{CaseFailure, FileReport};
use crate::handlers::script::coverage::{Coverage, FileCoverage};

/// How the cases went.
#[derive(Default)]
pub(super) struct Report {
    /// Why scripts cannot be asked at all.
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
    files: Vec<FileReport>,
    pub(super) coverage: Option<Coverage>,
}

impl Report {
    /// The same, with a problem.
    pub(super) fn broken(mut self, problem: String) -> Report {
        self.problems.push(problem);
        self
    }

    /// Adds files; one that two handlers have is told once.
    pub(super) fn add(&mut self, files: Vec<FileReport>) {
        for file in files {
            self.problems.extend(file.errors.iter().map(ToString::to_string));
            if !self.files.contains(&file) {
                self.files.push(file);
            }
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.problems.is_empty() && self.failures().next().is_none()
    }

    pub(super) fn percent(&self) -> usize {
        self.coverage.as_ref().map_or(0, Coverage::percent)
    }

    pub(super) fn enough(&self, min: Option<u8>) -> bool {
        min.is_none_or(|min| self.percent() >= usize::from(min))
    }

    fn failures(&self) -> impl Iterator<Item = &CaseFailure> {
        self.files.iter().flat_map(|file| &file.failures)
    }

    /// Whether no case was run.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty() && self.passed() == 0 && self.failures().count() == 0
    }

    fn passed(&self) -> usize {
        self.files.iter().map(|file| file.passed).sum()
    }

    /// Everything.
    pub(super) fn show(&self, coverage: bool) {
        for problem in &self.problems {
            tell(Mark::Bad, problem);
        }
        for warning in &self.warnings {
            tell(Mark::Note, warning);
        }
        for file in self.files.iter().filter(|file| file.errors.is_empty()) {
            let failed = file.failures.len();
            let kind = if failed == 0 { Mark::Good } else { Mark::Bad };
            tell(kind, &format!("{}: {}", file.file, counts(file.passed, failed)));
            file.failures.iter().for_each(show_failure);
        }
        if self.files.is_empty() && self.problems.is_empty() {
            tell(Mark::Note, "no script has cases; write some beside it: x.rhai has x.cases.toml");
        }
        if let Some(coverage) = self.coverage.as_ref().filter(|_| coverage) {
            show_coverage(coverage);
        }
        self.close();
    }

    /// What is different from a run before.
    pub(super) fn show_changes(&self, before: &Report, coverage: bool) {
        for problem in self.problems.iter().filter(|problem| !before.problems.contains(problem)) {
            tell(Mark::Bad, problem);
        }
        if self.problems.is_empty() && !before.problems.is_empty() {
            tell(Mark::Good, "the scripts load again");
        }
        for warning in self.warnings.iter().filter(|warning| !before.warnings.contains(warning)) {
            tell(Mark::Note, warning);
        }
        let old: BTreeMap<_, _> = before.failures().map(|failure| (key(failure), &failure.differences)).collect();
        for failure in self.failures().filter(|failure| old.get(&key(failure)) != Some(&&failure.differences)) {
            tell(Mark::Bad, &format!("{}:{}: case \"{}\"", failure.file, failure.line, failure.name));
            show_differences(failure);
        }
        let now: Vec<_> = self.failures().map(key).collect();
        for failure in before.failures().filter(|failure| self.problems.is_empty() && !now.contains(&key(failure))) {
            tell(Mark::Good, &format!("{}: case \"{}\" passes now", failure.file, failure.name));
        }
        if let Some(coverage) = self.coverage.as_ref().filter(|_| coverage) {
            show_coverage(coverage);
        }
        self.close();
    }

    fn close(&self) {
        let total = counts(self.passed(), self.failures().count());
        let problems = match self.problems.len() {
            0 => String::new(),
            1 => ", 1 problem".to_owned(),
            count => format!(", {count} problems"),
        };
        let coverage =
            self.coverage.as_ref().map_or_else(String::new, |all| format!(", {} % of the lines", all.percent()));
        say(&format!("{total}{problems}{coverage}"));
    }
}

fn key(failure: &CaseFailure) -> (&str, &str) {
    (&failure.file, &failure.name)
}

fn counts(passed: usize, failed: usize) -> String {
    let cases = if passed == 1 { "case passes" } else { "cases pass" };
    match failed {
        0 => format!("{passed} {cases}"),
        failed => format!("{passed} {cases}, {failed} failed"),
    }
}

fn tell(kind: Mark, text: &str) {
    say(&format!("{}  {}", mark(kind), text.replace('\n', "\n         ")));
}

fn show_failure(failure: &CaseFailure) {
    say(&format!("         line {}: \"{}\"", failure.line, failure.name));
    show_differences(failure);
}

fn show_differences(failure: &CaseFailure) {
    for line in failure.differences.iter().flat_map(|difference| difference.lines()) {
        let color = match line.trim_start().get(..2) {
            Some("ex" | "- ") => Some(32),
            Some("bu" | "+ ") => Some(31),
            Some("! ") => Some(33),
            _ => None,
        };
        say(&format!("           {}", color.map_or_else(|| line.to_owned(), |color| paint(line, color))));
    }
    failure.log.iter().for_each(|line| say(&format!("           logged    {line}")));
}

fn show_coverage(coverage: &Coverage) {
    for file in coverage.files().iter().filter(|file| file.lines > 0) {
        let kind = if file.missed.is_empty() { Mark::Good } else { Mark::Note };
        tell(
            kind,
            &format!("{}: the cases reach {} of {} lines, {} %", file.file, file.ran, file.lines, file.percent()),
        );
        for missed in &file.missed {
            let range = if missed.from == missed.to { String::new() } else { format!("-{}", missed.to) };
            say(&format!("           not reached: {}{range}", missed.from));
            for (line, text) in missed.source.iter().take(MISSED_MAX) {
                say(&format!("           {line:>5} | {text}"));
            }
            if missed.source.len() > MISSED_MAX {
                say(&format!("           {:>5} | ...", ""));
            }
        }
    }
}

/// Lines of one range that are shown.
const MISSED_MAX: usize = 8;

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failure = |failure: &CaseFailure| json!({ "line": failure.line, "name": failure.name, "differences": failure.differences, "log": failure.log });
        let file = |file: &FileReport| {
            let failures: Vec<_> = file.failures.iter().map(failure).collect();
            json!({ "file": file.file, "passed": file.passed, "failures": failures })
        };
        let covered = |file: &FileCoverage| json!({ "file": file.file, "lines": file.lines, "ran": file.ran, "percent": file.percent(), "missed": file.missed });
        let mut shown = serializer.serialize_struct("Report", 6)?;
        shown.serialize_field("passed", &self.passed())?;
        shown.serialize_field("failed", &self.failures().count())?;
        shown.serialize_field("problems", &self.problems)?;
        shown.serialize_field("warnings", &self.warnings)?;
        shown.serialize_field("files", &self.files.iter().map(file).collect::<Vec<_>>())?;
        let coverage = self.coverage.as_ref().map(|all| all.files().iter().map(covered).collect::<Vec<_>>());
        shown.serialize_field("coverage", &coverage)?;
        shown.end()
    }
}
