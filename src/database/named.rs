//! Queries that have names, `DATABASE.QUERY`: what scripts ask the databases of the site.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Rows;
use crate::boot::Record;
use crate::nearest::{cut, remedy};

/// Answers one query; what fails says why.
#[async_trait]
pub trait Source: Send + Sync {
    /// As `Database::rows`.
    async fn rows(&self, parameters: &Record, limit: Duration) -> Result<Rows, String>;
    /// As `Database::fresh_rows`.
    async fn fresh_rows(&self, parameters: &Record, limit: Duration) -> Result<Vec<Record>, String>;
}

/// The named queries of all databases.
#[derive(Clone, Default)]
pub struct NamedQueries {
    databases: Vec<String>,
    queries: BTreeMap<String, NamedQuery>,
}

/// A query with its name.
#[derive(Clone)]
pub struct NamedQuery {
    /// `DATABASE.QUERY`.
    pub name: String,
    /// The parameters of its text, without the colon.
    pub parameters: Vec<String>,
    /// Who answers.
    pub source: Arc<dyn Source>,
}

impl NamedQueries {
    /// Adds a database, which need not have a query.
    pub fn add(&mut self, database: &str, queries: impl IntoIterator<Item = NamedQuery>) {
        self.databases.push(database.to_owned());
        self.queries.extend(queries.into_iter().map(|query| (query.name.clone(), query)));
    }

    /// The query of this name.
    ///
    /// # Errors
    /// When there is none, with the name that was probably meant.
    pub fn find(&self, name: &str) -> Result<&NamedQuery, String> {
        if let Some(query) = self.queries.get(name) {
            return Ok(query);
        }
        if self.databases.is_empty() {
            return Err(format!("there is no query `{}`, and no [database.NAME] at all", cut(name)));
        }
        let databases = self.databases.iter().map(String::as_str);
        match name.split_once('.') {
            None => {
                Err(format!("`{}` names no query; write \"DATABASE.QUERY\", as in \"{}\"", cut(name), self.example()))
            }
            Some((database, _)) if !self.databases.iter().any(|known| known == database) => {
                Err(format!("there is no database `{}`; {}", cut(database), remedy(database, databases)))
            }
            Some((database, query)) => {
                let prefix = format!("{database}.");
                let names: Vec<_> = self.queries.keys().filter_map(|name| name.strip_prefix(&prefix)).collect();
                if names.is_empty() {
                    return Err(format!("the database `{database}` has no [database.{database}.queries]"));
                }
                Err(format!("the database `{database}` has no query `{}`; {}", cut(query), remedy(query, names)))
            }
        }
    }

    fn example(&self) -> String {
        let first = self.queries.keys().next().cloned();
        first.unwrap_or_else(|| format!("{}.QUERY", self.databases.first().map_or("DATABASE", String::as_str)))
    }
}

impl fmt::Debug for NamedQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.queries.keys()).finish()
    }
}
