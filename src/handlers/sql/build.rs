//! From a `[[handler]]` with `kind = "sql"` to a handler, and what a check of it finds where its database answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::config::SqlSection;
use crate::database::Databases;
use crate::nearest::nearest;
use crate::pace::Pace;
use crate::store::{LoopGuard, Store};

use super::menu::Style;
use super::own::Own;
use super::parameters;
use super::queries::{MACHINE_COLUMN, OF_MACHINE, Queries};
use super::source::Source;
use super::{Rules, SqlHandler};
use crate::boot::keys::SharedMacs;

/// What a check of a handler's queries finds.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What must be put right.
    pub problems: Vec<String>,
    /// What should be known.
    pub notes: Vec<String>,
    /// How many queries the database understands.
    pub fitting: usize,
}

impl SqlHandler {
    /// The handler of a section. Nothing is connected.
    ///
    /// # Errors
    /// Every problem: what is wrong, and what to do.
    pub fn build(name: &str, section: &SqlSection, databases: &Databases) -> Result<SqlHandler, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let shared = SharedMacs::read(section.shared_macs.iter().map(String::as_str));
        let shared_macs = shared.unwrap_or_else(|problem| {
            problems.push((format!("shared_macs: {problem}"), String::new()));
            SharedMacs::default()
        });
        let source = source(name, section, databases).map_err(|found| problems.extend(found)).ok();
        match source {
            Some(source) if problems.is_empty() => {
                let rules = Rules {
                    unknown: section.unknown,
                    no_image: section.no_image,
                    ambiguous: section.ambiguous,
                    shared_macs,
                    style: Style { title: section.menu_title.clone(), timeout: section.menu_timeout },
                    allow_boot_limit: section.allow_boot_limit,
                    boot_images_limit: section.boot_images_limit,
                };
                Ok(SqlHandler { name: name.to_owned(), source, rules, pace: Pace::default() })
            }
            _ => Err(problems),
        }
    }

    /// Asks the database what it takes the queries for. Nothing is read and nothing changed.
    pub async fn check(&self, limit: Duration) -> Checked {
        self.source.check(limit).await
    }
}

type Made = Result<Arc<dyn Source>, Vec<(String, String)>>;

fn source(name: &str, section: &SqlSection, databases: &Databases) -> Made {
    let store = Store::on(databases.store().clone()).map_err(|error| vec![(error.to_string(), String::new())])?;
    // That a database is there was checked with the file.
    match section.database.as_deref().and_then(|name| databases.get(name)) {
        Some(database) => Ok(Arc::new(Queries::read(name, section, database.clone(), store)?)),
        None => {
            let guard = LoopGuard { boots_max: section.boots_max, window: section.boots_window };
            Ok(Arc::new(Own { store, guard }))
        }
    }
}

/// Holds the queries against the database.
pub(super) async fn check(queries: &Queries, limit: Duration) -> Checked {
    let mut checked = Checked::default();
    let mut columns = Vec::new();
    for (key, query) in queries.all() {
        match queries.database.describe(query, limit).await {
            Ok(found) => {
                checked.fitting += 1;
                columns.push((key, found));
            }
            Err(error) if error.is_outage() => {
                checked.notes.push(format!("the queries were not tried: {error}"));
                return checked;
            }
            Err(error) => checked.problems.push(format!("{key}: {error}")),
        }
    }
    let of = |key: &str| columns.iter().find(|(known, _)| *known == key).map(|(_, columns)| columns.as_slice());
    if let Some(machine) = of("machine") {
        check_machine(queries, machine, &mut checked);
    }
    for key in ["images", "unknown_images"] {
        if let Some(columns) = of(key) {
            check_images(queries, key, columns, &mut checked);
        }
    }
    checked
}

fn check_machine(queries: &Queries, columns: &[String], checked: &mut Checked) {
    let has = |name: &str| columns.iter().any(|column| column == name);
    if !has("machine_id") {
        let columns = columns.join(", ");
        checked
            .problems
            .push(format!("machine: there is no column `machine_id` among {columns}; write `... AS machine_id`"));
    }
    if !["uuid", "serial", "mac"].into_iter().any(has) {
        checked.notes.push(
            "machine: it returns none of uuid, serial and mac, so that the query alone says who a machine is; \
             two rows are two machines"
                .into(),
        );
    }
    let mut told = BTreeSet::new();
    for name in queries.images.iter().flat_map(|query| query.parameters()) {
        let column = name.strip_prefix(MACHINE_COLUMN).unwrap_or(name);
        let is_known = parameters::is_known(name) || name == OF_MACHINE || has(name) || has(column);
        if !is_known && told.insert(name) {
            let more: Vec<&str> = columns.iter().map(String::as_str).chain([OF_MACHINE]).collect();
            let help = parameters::help(name, &more);
            checked.problems.push(format!(
                "images: there is no fact and no column of the machine query for the parameter `:{name}`; {help}"
            ));
        }
    }
}

/// The columns of an image that are read.
const IMAGE_COLUMNS: &[&str] = &[
    "image",
    "kind",
    "title",
    "kernel",
    "initrd",
    "cmdline",
    "wim",
    "wimboot",
    "bcd",
    "boot_sdi",
    "files",
    "args",
    "source",
    "text",
    "mandatory",
    "countdown",
    "available_from",
    "expires",
    "sort_order",
    "once",
    "assignment",
];

fn check_images(queries: &Queries, key: &str, columns: &[String], checked: &mut Checked) {
    let has = |name: &str| columns.iter().any(|column| column == name);
    if !has("image") {
        let columns = columns.join(", ");
        checked.problems.push(format!("{key}: there is no column `image` among {columns}; write `... AS image`"));
    }
    for column in columns.iter().filter(|column| !IMAGE_COLUMNS.contains(&column.as_str())) {
        let remedy = nearest(column, IMAGE_COLUMNS.iter().copied()).filter(|meant| !has(meant));
        let remedy = remedy.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        checked.notes.push(format!("{key}: the column `{column}` means nothing{remedy}"));
    }
    if !has("kind") {
        checked.notes.push(format!("{key}: it returns no `kind`, so the images are those of the store, by their id"));
    }
    if (has("once") || has("assignment")) && queries.started.is_none() {
        checked.problems.push(format!(
            "{key}: it returns what is done once, and nothing would note that it began; give the handler a query `started`"
        ));
    }
}
