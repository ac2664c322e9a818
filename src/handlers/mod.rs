//! What knows things: one folder per kind of handler, each the only user of its crates.
//!
//! A new kind implements [`RequestHandler`] in a folder of its own, and gets an arm in
//! [`build`], the one place where the configuration's handlers become running ones.

mod identity;
pub mod referral;
pub mod rollout;
pub mod script;
pub mod sql;

mod unused;

#[cfg(test)]
mod build_tests;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::boot::BootImages;
use crate::config::{Config, HandlerSection, Problem, Problems, ScriptSection, SqlSection};
use crate::database::{Databases, NamedQueries};
use crate::decision::RequestHandler;
use crate::store::Store;
use crate::upstream::Upstreams;

use referral::ReferralHandler;
use rollout::{Candidate, RolloutHandler};
use script::{Limits, Reach, ScriptConfig, ScriptError, ScriptHandler};
use sql::SqlHandler;

/// A handler that is ready, and what a check of the site wants to know of it.
pub struct Built {
    /// The handler.
    pub handler: Arc<dyn RequestHandler>,
    /// How its cases went.
    pub cases: Cases,
    /// Folders whose files it was made from: when one changes, it is made anew.
    pub folders: Vec<PathBuf>,
    /// The same handler, when it asks a database: a check asks the database what it takes the queries for.
    pub sql: Option<Arc<SqlHandler>>,
    /// The same handler, when it asks scripts: old questions are asked of it again.
    pub script: Option<Arc<ScriptHandler>>,
    /// The scripts that are to become its own, where there are some.
    pub candidate: Option<Candidate>,
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
    // A store that cannot hold one is told where the store is used.
    let store = Store::on(databases.store().clone()).ok();
    let reach = Reach { web: upstreams.web().clone(), store, keeps: purpose == Purpose::Serve };
    for section in &config.handlers {
        let name = section.display_name();
        let mut wrong = |found: Vec<(String, String)>| {
            for (what, remedy) in found {
                problems.push(Problem::of_file(&config.file, format!("handler `{name}`: {what}"), remedy));
            }
        };
        match section {
            HandlerSection::Script(section) => match script(config, section, &queries, &reach, purpose) {
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
        unused::cases(config, &mut built);
        unused::scripts(config, &mut built);
    }
    if problems.is_empty() { Ok(built) } else { Err(problems) }
}

fn script(
    config: &Config,
    section: &ScriptSection,
    queries: &Arc<NamedQueries>,
    reach: &Reach,
    purpose: Purpose,
) -> Result<Built, Vec<ScriptError>> {
    let (handler, cases) = load(section, queries, reach, purpose.runs_cases())?;
    let mut folders: Vec<PathBuf> = handler.folders().into_iter().collect();
    folders.extend([section.scripts.clone(), section.data.clone()]);
    folders.sort();
    folders.dedup();
    let live = Arc::new(handler);
    let script = Some(Arc::clone(&live));
    if !section.candidate.is_dir() {
        return Ok(Built { handler: live, cases, folders, sql: None, script, candidate: None });
    }
    // As a canary it answers machines: then its cases count for every purpose.
    let (handler, candidate) = match candidate(section, queries, reach, purpose.runs_cases() || section.has_canary()) {
        Ok((candidate, cases)) => {
            let is_good = cases.failures.is_empty();
            let both = Arc::new(RolloutHandler::new(config, section, live, candidate, is_good));
            let candidate = Candidate::loaded(section, &both, (cases.passed, cases.failures));
            (both as Arc<dyn RequestHandler>, candidate)
        }
        Err(errors) => {
            let errors = errors.iter().map(ToString::to_string).collect();
            (live as Arc<dyn RequestHandler>, Candidate::broken(section, errors))
        }
    };
    Ok(Built { handler, cases, folders, sql: None, script, candidate: Some(candidate) })
}

/// Loads the candidate of a section and runs its cases.
///
/// # Errors
/// Everything that keeps it from loading.
fn candidate(
    section: &ScriptSection,
    queries: &Arc<NamedQueries>,
    reach: &Reach,
    runs_cases: bool,
) -> Result<(ScriptHandler, Cases), Vec<ScriptError>> {
    match section.in_folder(&section.candidate) {
        Some(section) => load(&section, queries, reach, runs_cases),
        None => {
            let message = format!("a script of the handler is not in {}", section.scripts.display());
            Err(vec![ScriptError::of_file(section.candidate.display().to_string(), message)])
        }
    }
}

/// Loads the scripts of a section, and runs their cases.
///
/// # Errors
/// Everything that keeps them from loading.
fn load(
    section: &ScriptSection,
    queries: &Arc<NamedQueries>,
    reach: &Reach,
    runs_cases: bool,
) -> Result<(ScriptHandler, Cases), Vec<ScriptError>> {
    let time_zone = section.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
    let config = ScriptConfig {
        name: section.name.as_ref().map_or(&*section.kind, |name| name.as_str()).to_owned(),
        allow_boot: section.allow_boot.clone(),
        boot_images: section.boot_images.clone(),
        scripts_dir: section.scripts.clone(),
        data_dir: section.data.clone(),
        time_zone: time_zone.unwrap_or_else(TimeZone::system),
        queries: Arc::clone(queries),
        reach: reach.clone(),
        limits: Limits {
            allow_boot: section.allow_boot_limit,
            boot_images: section.boot_images_limit,
            ..Limits::default()
        },
    };
    let mut tries = 0..EXCHANGED_MAX;
    loop {
        let before = stamps(&section.scripts);
        let loaded = load_once(&config, runs_cases);
        // Between two files another set may have come in their place: half of each would be neither.
        if stamps(&section.scripts) == before || tries.next().is_none() {
            return loaded;
        }
    }
}

fn load_once(config: &ScriptConfig, runs_cases: bool) -> Result<(ScriptHandler, Cases), Vec<ScriptError>> {
    let handler = ScriptHandler::load(config).map_err(|errors| errors.0)?;
    let mut cases =
        Cases { warnings: handler.warnings().iter().map(ToString::to_string).collect(), ..Cases::default() };
    if runs_cases {
        let report = handler.check_cases();
        if !report.errors.is_empty() {
            return Err(report.errors);
        }
        cases.passed = report.passed;
        cases.failures = report.failures.iter().map(ToString::to_string).collect();
        cases.images = report.images;
    }
    Ok((handler, cases))
}

/// Scripts that were loaded, or why they were not.
pub type Loaded = Result<ScriptHandler, Vec<ScriptError>>;

/// The script handlers of a configuration, each by its name, for commands that are about scripts alone. No database is
/// asked.
///
/// # Errors
/// When the configuration's databases or queries cannot be read.
pub fn scripts(config: &Config) -> Result<Vec<(String, Loaded)>, Problems> {
    let databases = Databases::open(config, None)?;
    let queries = Arc::new(NamedQueries::read(config, &databases)?);
    let reach = dry_reach(config, &databases)?;
    let load = |section: &HandlerSection| match section {
        HandlerSection::Script(script) => {
            let name = section.display_name();
            Some((name.to_owned(), load(script, &queries, &reach, false).map(|(handler, _)| handler)))
        }
        HandlerSection::Sql(_) | HandlerSection::Referral(_) => None,
    };
    Ok(config.handlers.iter().filter_map(load).collect())
}

/// What scripts reach that are only tried.
fn dry_reach(config: &Config, databases: &Databases) -> Result<Reach, Problems> {
    let upstreams = Upstreams::open(config, None).map_err(|found| {
        let mut problems = Problems::default();
        found.into_iter().for_each(|(what, remedy)| problems.push(Problem::of_file(&config.file, what, remedy)));
        problems
    })?;
    let store = Store::on(databases.store().clone()).ok();
    Ok(Reach { web: upstreams.web().clone(), store, keeps: false })
}

/// What tells that a file, or the folder as a whole, is not what it was: place on the disk, length and time.
fn stamps(folder: &Path) -> Vec<[i64; 5]> {
    let stamp = |found: &Metadata| {
        let number = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
        [number(found.dev()), number(found.ino()), number(found.len()), found.mtime(), found.mtime_nsec()]
    };
    let mut all: Vec<_> = std::fs::metadata(folder).iter().map(stamp).collect();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if all.len() >= STAMPS_MAX {
                return all;
            }
            all.extend(std::fs::metadata(entry.path()).iter().map(stamp));
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    all
}

/// Files whose changes are seen while scripts are read.
const STAMPS_MAX: usize = 2_000;
/// How often a folder may change while it is read, before it is taken as it is.
const EXCHANGED_MAX: u32 = 5;

/// The scripts of a section in another folder: whether they load, their revision, and how their cases go.
///
/// # Errors
/// Everything that keeps them from loading, ready to be shown.
pub fn try_scripts(
    config: &Config,
    section: &ScriptSection,
    folder: &Path,
    databases: &Databases,
) -> Result<(String, Cases), Vec<String>> {
    let shown = |problems: Problems| vec![problems.to_string()];
    let queries = NamedQueries::read(config, databases).map_err(shown)?;
    let reach = dry_reach(config, databases).map_err(shown)?;
    let section = ScriptSection { candidate: folder.to_owned(), ..section.clone() };
    let tried = candidate(&section, &Arc::new(queries), &reach, true);
    let (handler, cases) = tried.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok((handler.revision().to_owned(), cases))
}

fn sql(section: &SqlSection, name: &str, databases: &Databases) -> Result<Built, Vec<(String, String)>> {
    let handler = Arc::new(SqlHandler::build(name, section, databases)?);
    let sql = Some(Arc::clone(&handler));
    Ok(Built { sql, ..plain(handler) })
}

/// A handler that is made of nothing but its section.
fn plain(handler: Arc<dyn RequestHandler>) -> Built {
    Built { handler, cases: Cases::default(), folders: Vec::new(), sql: None, script: None, candidate: None }
}

fn problem(error: &ScriptError) -> Problem {
    let mut problem = Problem::of_file(Path::new(&error.file), &error.message, error.hint.clone().unwrap_or_default());
    if let (Some((line, column)), Some(source)) = (error.place, &error.source_line) {
        problem = problem.in_line(line, column, source);
    }
    problem
}
