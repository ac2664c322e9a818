//! What knows things: one folder per kind of handler, each the only user of its crates.
//!
//! A new kind implements [`RequestHandler`] in a folder of its own, and gets an arm in
//! [`build`], the one place where the configuration's handlers become running ones.

pub mod script;
pub mod sql;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::boot::BootImages;
use crate::config::{Config, HandlerSection, Problem, Problems, ScriptSection};
use crate::decision::RequestHandler;

use script::{Limits, ScriptConfig, ScriptError, ScriptHandler};

/// A handler that is ready, and what a check of the site wants to know of it.
pub struct Built {
    /// The handler.
    pub handler: Arc<dyn RequestHandler>,
    /// How its cases went.
    pub cases: Cases,
    /// Folders whose files it was made from: when one changes, it is made anew.
    pub folders: Vec<PathBuf>,
}

/// How the cases of a handler went.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    /// How many were as expected.
    pub passed: usize,
    /// What was not, ready to be shown.
    pub failures: Vec<String>,
    /// What the cases boot, so that a check can look for its files.
    pub images: Vec<BootImages>,
}

/// Makes the handlers of a configuration, in its order.
///
/// # Errors
/// Every problem of every handler.
pub fn build(config: &Config, run_cases: bool) -> Result<Vec<Built>, Problems> {
    let mut built = Vec::new();
    let mut problems = Problems::default();
    for section in &config.handlers {
        let name = section.display_name();
        match section {
            HandlerSection::Script(section) => match script(section, name, run_cases) {
                Ok(handler) => built.push(handler),
                Err(errors) => errors.iter().for_each(|error| problems.push(problem(error))),
            },
            HandlerSection::Sql(_) => {
                problems.push(Problem::of_file(&config.file, "sql handlers are not there yet", "use a script"))
            }
        }
    }
    if problems.is_empty() { Ok(built) } else { Err(problems) }
}

fn script(section: &ScriptSection, name: &str, run_cases: bool) -> Result<Built, Vec<ScriptError>> {
    let time_zone = section.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
    let config = ScriptConfig {
        name: name.to_owned(),
        allow_boot: section.allow_boot.clone(),
        boot_images: section.boot_images.clone(),
        scripts_dir: section.scripts.clone(),
        data_dir: section.data.clone(),
        time_zone: time_zone.unwrap_or_else(TimeZone::system),
        limits: Limits {
            allow_boot: section.allow_boot_limit,
            boot_images: section.boot_images_limit,
            ..Limits::default()
        },
    };
    let handler = ScriptHandler::load(&config).map_err(|errors| errors.0)?;
    let mut cases = Cases::default();
    if run_cases {
        let report = handler.check_cases();
        if !report.errors.is_empty() {
            return Err(report.errors);
        }
        let failures = report.failures.iter().map(ToString::to_string).collect();
        cases = Cases { passed: report.passed, failures, images: report.images };
    }
    let parents = [&section.allow_boot, &section.boot_images].into_iter().filter_map(|file| file.parent());
    let mut folders: Vec<PathBuf> = parents.map(Path::to_owned).collect();
    folders.extend([section.scripts.clone(), section.data.clone()]);
    folders.sort();
    folders.dedup();
    Ok(Built { handler: Arc::new(handler), cases, folders })
}

fn problem(error: &ScriptError) -> Problem {
    let mut problem = Problem::of_file(Path::new(&error.file), &error.message, error.hint.clone().unwrap_or_default());
    if let (Some((line, column)), Some(source)) = (error.place, &error.source_line) {
        problem = problem.in_line(line, column, source);
    }
    problem
}
