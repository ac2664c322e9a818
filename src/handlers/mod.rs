//! What knows things: one folder per kind of handler, each the only user of its crates.
//!
//! A new kind implements [`RequestHandler`] in a folder of its own, and gets an arm in
//! [`build`], the one place where the configuration's handlers become running ones.

pub mod referral;
pub mod script;
pub mod sql;

#[cfg(test)]
mod build_tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::boot::BootImages;
use crate::config::{Config, HandlerSection, Problem, Problems, ScriptSection, SqlSection};
use crate::database::{Databases, NamedQueries};
use crate::decision::RequestHandler;
use crate::upstream::Upstreams;

use referral::ReferralHandler;
use script::{Limits, ScriptConfig, ScriptError, ScriptHandler};
use sql::SqlHandler;

/// A handler that is ready, and what a check of the site wants to know of it.
pub struct Built {
    /// The handler.
    pub handler: Arc<dyn RequestHandler>,
    /// How its cases went.
    pub cases: Cases,
    /// Folders whose files it was made from: when one changes, it is made anew.
    pub folders: Vec<PathBuf>,
    /// The script files that it was made from.
    pub scripts: Vec<PathBuf>,
    /// The same handler, when it asks a database: a check asks the database what it takes the queries for.
    pub sql: Option<Arc<SqlHandler>>,
}

/// What a site is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve machines: the cases must hold, and what scripts note is kept.
    Serve,
    /// To find its problems: the cases are run, and nothing is kept.
    Check,
    /// To ask it as it is: nothing is kept.
    DryRun,
}

impl Purpose {
    fn runs_cases(self) -> bool {
        self != Purpose::DryRun
    }
}

/// How the cases of a handler went.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    /// How many were as expected.
    pub passed: usize,
    /// What was not, ready to be shown.
    pub failures: Vec<String>,
    /// Files of cases that are never run, ready to be shown.
    pub unused: Vec<String>,
    /// What is likely wrong in scripts that work, ready to be shown.
    pub warnings: Vec<String>,
    /// What the cases boot, so that a check can look for its files.
    pub images: Vec<BootImages>,
}

/// Makes the handlers of a configuration, in its order.
///
/// # Errors
/// Every problem of every handler.
pub fn build(
    config: &Config,
    databases: &Databases,
    upstreams: &Upstreams,
    purpose: Purpose,
) -> Result<Vec<Built>, Problems> {
    let mut built = Vec::new();
    let mut problems = Problems::default();
    let queries = Arc::new(NamedQueries::read(config, databases)?);
    for section in &config.handlers {
        let name = section.display_name();
        let mut wrong = |found: Vec<(String, String)>| {
            for (what, remedy) in found {
                problems.push(Problem::of_file(&config.file, format!("handler `{name}`: {what}"), remedy));
            }
        };
        match section {
            HandlerSection::Script(section) => match script(section, name, &queries, purpose) {
                Ok(handler) => built.push(handler),
                Err(errors) => errors.iter().for_each(|error| problems.push(problem(error))),
            },
            HandlerSection::Sql(section) => match sql(section, name, databases) {
                Ok(handler) => built.push(handler),
                Err(found) => wrong(found),
            },
            HandlerSection::Referral(section) => {
                match ReferralHandler::build(section, name, config, databases, upstreams) {
                    Ok(handler) => built.push(plain(Arc::new(handler))),
                    Err(found) => wrong(found),
                }
            }
        }
    }
    if purpose.runs_cases() {
        unused_cases(config, &mut built);
        unused_scripts(config, &mut built);
    }
    if problems.is_empty() { Ok(built) } else { Err(problems) }
}

/// Looks for files of cases that belong to no handler; the first handler with a script tells of them all.
fn unused_cases(config: &Config, built: &mut [Built]) {
    let files = |section: &HandlerSection| match section {
        HandlerSection::Script(section) => Some([section.allow_boot.clone(), section.boot_images.clone()]),
        HandlerSection::Sql(_) | HandlerSection::Referral(_) => None,
    };
    let scripts: Vec<PathBuf> = config.handlers.iter().filter_map(files).flatten().collect();
    let folders: Vec<PathBuf> = built.iter().flat_map(|built| built.folders.clone()).collect();
    let first = config.handlers.iter().position(|section| files(section).is_some());
    if let Some(first) = first.and_then(|first| built.get_mut(first)) {
        first.cases.unused = script::cases::unused(&folders, &scripts).iter().map(ToString::to_string).collect();
    }
}

/// Looks for scripts that nobody asks or imports; the first handler with a script tells of them all. Where a handler
/// does not load, nothing is known of what it imports.
fn unused_scripts(config: &Config, built: &mut [Built]) {
    if built.len() != config.handlers.len() {
        return;
    }
    let used: BTreeSet<PathBuf> = built.iter().flat_map(|built| built.scripts.iter()).map(|file| real(file)).collect();
    let folders: BTreeSet<PathBuf> =
        built.iter().flat_map(|built| &built.scripts).filter_map(|file| file.parent()).map(real).collect();
    let unused = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let mut unused: Vec<PathBuf> = unused
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "rhai") && !used.contains(&real(path)))
        // Definitions for editors are never run.
        .filter(|path| !path.to_string_lossy().ends_with(".d.rhai"))
        .collect();
    unused.sort();
    if let Some(first) = built.iter_mut().find(|built| !built.scripts.is_empty()) {
        let tell =
            |path: &PathBuf| format!("{}: no handler asks this script, and no script imports it", path.display());
        first.cases.warnings.extend(unused.iter().map(tell));
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn script(
    section: &ScriptSection,
    name: &str,
    queries: &Arc<NamedQueries>,
    purpose: Purpose,
) -> Result<Built, Vec<ScriptError>> {
    let handler = load_script(section, name, queries)?;
    let mut cases =
        Cases { warnings: handler.warnings().iter().map(ToString::to_string).collect(), ..Cases::default() };
    if purpose.runs_cases() {
        let report = handler.check_cases();
        if !report.errors.is_empty() {
            return Err(report.errors);
        }
        cases.passed = report.passed;
        cases.failures = report.failures.iter().map(ToString::to_string).collect();
        cases.images = report.images;
    }
    let mut folders: Vec<PathBuf> = handler.folders().into_iter().collect();
    folders.extend([section.scripts.clone(), section.data.clone()]);
    folders.sort();
    folders.dedup();
    let scripts = handler.files().map(PathBuf::from).collect();
    Ok(Built { handler: Arc::new(handler), cases, folders, scripts, sql: None })
}

/// The script handlers of a configuration, each by its name, for commands that are about scripts alone. No database is
/// asked.
///
/// # Errors
/// When the configuration's databases or queries cannot be read.
pub fn scripts(config: &Config) -> Result<Vec<(String, Result<ScriptHandler, Vec<ScriptError>>)>, Problems> {
    let databases = Databases::open(config, None)?;
    let queries = Arc::new(NamedQueries::read(config, &databases)?);
    let load = |section: &HandlerSection| match section {
        HandlerSection::Script(script) => {
            let name = section.display_name();
            Some((name.to_owned(), load_script(script, name, &queries)))
        }
        HandlerSection::Sql(_) | HandlerSection::Referral(_) => None,
    };
    Ok(config.handlers.iter().filter_map(load).collect())
}

fn load_script(
    section: &ScriptSection,
    name: &str,
    queries: &Arc<NamedQueries>,
) -> Result<ScriptHandler, Vec<ScriptError>> {
    let time_zone = section.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
    let config = ScriptConfig {
        name: name.to_owned(),
        allow_boot: section.allow_boot.clone(),
        boot_images: section.boot_images.clone(),
        scripts_dir: section.scripts.clone(),
        data_dir: section.data.clone(),
        time_zone: time_zone.unwrap_or_else(TimeZone::system),
        queries: Arc::clone(queries),
        limits: Limits {
            allow_boot: section.allow_boot_limit,
            boot_images: section.boot_images_limit,
            ..Limits::default()
        },
    };
    ScriptHandler::load(&config).map_err(|errors| errors.0)
}

fn sql(section: &SqlSection, name: &str, databases: &Databases) -> Result<Built, Vec<(String, String)>> {
    let handler = Arc::new(SqlHandler::build(name, section, databases)?);
    let sql = Some(Arc::clone(&handler));
    Ok(Built { sql, ..plain(handler) })
}

/// A handler that is made of nothing but its section.
fn plain(handler: Arc<dyn RequestHandler>) -> Built {
    Built { handler, cases: Cases::default(), folders: Vec::new(), scripts: Vec::new(), sql: None }
}

fn problem(error: &ScriptError) -> Problem {
    let mut problem = Problem::of_file(Path::new(&error.file), &error.message, error.hint.clone().unwrap_or_default());
    if let (Some((line, column)), Some(source)) = (error.place, &error.source_line) {
        problem = problem.in_line(line, column, source);
    }
    problem
}
