//! Cases: what a script is asked and what it must answer, in a plain file beside it.
//!
//! `allow_boot.rhai` has its cases in `allow_boot.cases.toml`. A case fixes the time, so it means the same tomorrow.

mod difference;
mod expect;
mod file;
mod recorded;
mod world;
mod written;
mod wrong;

use std::fmt;
use std::path::{Path, PathBuf};

use rhai::Dynamic;

use super::diagnose::ScriptError;
use super::{Question, ScriptHandler, Trace, answer, outside};
use crate::boot::BootImages;
use crate::decision::Answer;
use crate::nearest::nearest;

pub use file::{Case, CaseFile};
pub use recorded::{RecordError, RecordedCase};

use expect::Actual;

/// A case whose answer is not the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFailure {
    /// The file of the case.
    pub file: String,
    /// The line where the case begins.
    pub line: usize,
    /// The name of the case.
    pub name: String,
    /// What differs, one line each.
    pub differences: Vec<String>,
    /// What the script logged.
    pub log: Vec<String>,
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: case \"{}\"", self.file, self.line, self.name)?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n  {}", difference.replace('\n', "\n    ")))?;
        self.log.iter().try_for_each(|line| write!(f, "\n  logged    {line}"))
    }
}

/// How the cases of a site's scripts went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaseReport {
    /// How many were as expected.
    pub passed: usize,
    /// Those that were not.
    pub failures: Vec<CaseFailure>,
    /// Case files that cannot be read.
    pub errors: Vec<ScriptError>,
    /// What the cases boot.
    pub images: Vec<BootImages>,
}

impl CaseReport {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.errors.is_empty()
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.errors.iter().try_for_each(|error| writeln!(f, "{error}"))?;
        self.failures.iter().try_for_each(|failure| writeln!(f, "{failure}"))?;
        write!(f, "{} cases passed, {} failed", self.passed, self.failures.len())
    }
}

/// How the cases of one file went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileReport {
    /// The file of the cases.
    pub file: String,
    /// How many were as expected.
    pub passed: usize,
    /// Those that were not.
    pub failures: Vec<CaseFailure>,
    /// Why the file cannot be read.
    pub errors: Vec<ScriptError>,
    /// What the cases boot.
    pub images: Vec<BootImages>,
}

/// The case file of a script: `x.rhai` has `x.cases.toml`.
pub fn beside(script: &Path) -> PathBuf {
    script.with_extension("cases.toml")
}

/// The case files in these folders that nobody runs, because none of the scripts that answer a question stands beside
/// them.
pub fn unused(folders: &[PathBuf], scripts: &[PathBuf]) -> Vec<ScriptError> {
    let run: Vec<PathBuf> = scripts.iter().map(|script| beside(script)).collect();
    let mut found: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.to_string_lossy().ends_with(SUFFIX) && !run.contains(path))
        .collect();
    found.sort();
    found.dedup();
    let mut stems: Vec<&str> = scripts.iter().filter_map(|script| script.file_stem()?.to_str()).collect();
    stems.dedup();
    let tell = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.trim_end_matches(SUFFIX);
        let message = format!("its cases are never run: no handler of the configuration asks {stem}.rhai");
        let mut error = ScriptError::of_file(path.display().to_string(), message);
        error.hint = Some(match nearest(stem, stems.iter().copied()) {
            Some(meant) => format!("rename it to {meant}{SUFFIX}, or take it away"),
            None => format!("move its cases to those of {}, or take it away", stems.join(", ")),
        });
        error
    };
    found.into_iter().map(tell).collect()
}

/// Runs cases with the full limits, on this thread.
pub fn run_cases(handler: &ScriptHandler, cases: &CaseFile) -> Vec<CaseFailure> {
    run_and_keep(handler, cases, &mut Vec::new(), None)
}

/// As [`run_cases`]; keeps what the cases boot, and the lines that they go through.
fn run_and_keep(
    handler: &ScriptHandler,
    cases: &CaseFile,
    images: &mut Vec<BootImages>,
    mut trace: Option<&mut Trace>,
) -> Vec<CaseFailure> {
    let mut failures = Vec::new();
    for case in &cases.cases {
        let (actual, log, unanswered) = ask(handler, case, trace.as_deref_mut());
        if let Actual::Images(answer) = &actual {
            images.push(answer.clone());
        }
        let differences = match unanswered {
            Some(source) if source.starts_with("http ") => vec![
                format!("the script asks {source}, which this case does not answer; add what the service answers:"),
                format!(
                    "  http.\"{}\" = {{ status = 200, json = {{ name = \"value\" }} }}",
                    source.trim_start_matches("http ")
                ),
            ],
            Some(source) => {
                let query = source.trim_start_matches("query ");
                vec![
                    format!("the script asks {query}, which this case does not answer; add the rows that it finds:"),
                    format!("  queries.\"{query}\" = [{{ column = \"value\" }}]"),
                ]
            }
            None => {
                let mut differences = actual.differences(&case.expected);
                if let (Actual::Error(error), false) = (&actual, differences.is_empty()) {
                    let seen = handler.program.seen(error, &case.request);
                    differences.extend(seen.into_iter().map(|seen| format!("there     {seen}")));
                }
                differences
            }
        };
        if !differences.is_empty() {
            let (file, name) = (cases.file.clone(), case.name.clone());
            failures.push(CaseFailure { file, line: case.line, name, differences, log });
        }
    }
    failures
}

impl ScriptHandler {
    /// Runs the cases beside the handler's scripts. A script without a case file has none.
    pub fn check_cases(&self) -> CaseReport {
        let mut report = CaseReport::default();
        for file in self.test("", None) {
            report.passed += file.passed;
            report.failures.extend(file.failures);
            report.errors.extend(file.errors);
            report.images.extend(file.images);
        }
        report
    }

    /// Runs the cases beside the handler's scripts whose name, or whose file, has `filter` in it. With a trace, the lines
    /// that they go through are added to it.
    pub fn test(&self, filter: &str, mut trace: Option<&mut Trace>) -> Vec<FileReport> {
        let mut reports = Vec::new();
        let mut done = Vec::new();
        for question in [Question::AllowBoot, Question::BootImages] {
            let path = beside(Path::new(self.program.file(question)));
            if done.contains(&path) || !path.exists() {
                continue;
            }
            let mut report = FileReport { file: path.display().to_string(), ..FileReport::default() };
            match CaseFile::read(&path, question, self.program.queries()) {
                Ok(mut cases) => {
                    if !report.file.contains(filter) {
                        cases.cases.retain(|case| case.name.contains(filter));
                    }
                    report.failures = run_and_keep(self, &cases, &mut report.images, trace.as_deref_mut());
                    report.passed = cases.cases.len() - report.failures.len();
                }
                Err(errors) => report.errors = errors,
            }
            reports.push(report);
            done.push(path);
        }
        reports
    }
}

/// What the script answers to a case, what it logged, and the query that the case does not answer.
fn ask(handler: &ScriptHandler, case: &Case, trace: Option<&mut Trace>) -> (Actual, Vec<String>, Option<String>) {
    let ((actual, log), unanswered) = outside::with_answers(&case.answers, || match case.question {
        Question::AllowBoot => run(handler, case, trace, answer::verdict, Actual::Verdict),
        Question::BootImages => run(handler, case, trace, answer::images, Actual::Images),
    });
    (actual, log, unanswered)
}

fn run<T>(
    handler: &ScriptHandler,
    case: &Case,
    trace: Option<&mut Trace>,
    convert: fn(Dynamic) -> Result<Answer<T>, String>,
    given: fn(T) -> Actual,
) -> (Actual, Vec<String>) {
    let program = &handler.program;
    let (question, budget) = (case.question, program.full(case.question));
    let ended = match trace {
        None => program.run(question, &case.request, budget, convert),
        Some(trace) => {
            let (ended, ran) = program.run_traced(question, &case.request, budget, convert);
            trace.join(&ran);
            ended
        }
    };
    let actual = match ended.value {
        Ok(Answer::Given(value)) => given(value),
        Ok(Answer::Noted(note)) => {
            Actual::Refer(answer::REFER_NOTE.iter().filter_map(|column| note.text(column)).collect())
        }
        Ok(Answer::Pass | Answer::Identified { .. } | Answer::Explained { .. }) => Actual::Pass,
        Err(error) => Actual::Error(error),
    };
    (actual, ended.log)
}

/// The end of the names of case files.
const SUFFIX: &str = ".cases.toml";
