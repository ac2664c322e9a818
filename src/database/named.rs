//! Queries that have names, `DATABASE.QUERY`: what scripts ask the databases of the site.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Database, DatabaseError, Databases, Query, QueryError, Rows};
use crate::boot::Record;
use crate::config::{Config, Problem, Problems};
use crate::nearest::{cut, remedy};

/// The named queries of all databases.
#[derive(Clone, Debug, Default)]
pub struct NamedQueries {
    /// By the name of the database, which need not have any.
    databases: BTreeMap<String, BTreeMap<String, NamedQuery>>,
}

/// A query with its name, and the database that it is asked of.
#[derive(Clone, Debug)]
pub struct NamedQuery {
    name: String,
    database: Database,
    query: Query,
}

impl NamedQueries {
    /// The queries that a configuration names. No database is asked.
    ///
    /// # Errors
    /// Every query that cannot be read.
    pub fn read(config: &Config, databases: &Databases) -> Result<NamedQueries, Problems> {
        let mut queries = NamedQueries::default();
        let mut problems = Problems::default();
        for (name, section) in &config.databases {
            let Some(database) = databases.get(name) else { continue };
            for (query, error) in queries.add(database, &section.queries) {
                let what = format!("database.{name}.queries.{query}: {error}");
                problems.push(Problem::of_file(&config.file, what, ""));
            }
        }
        if problems.is_empty() { Ok(queries) } else { Err(problems) }
    }

    /// Adds a database with its queries; returns those that cannot be read.
    pub fn add(&mut self, database: &Database, texts: &BTreeMap<String, String>) -> Vec<(String, QueryError)> {
        let mut wrong = Vec::new();
        let queries = self.databases.entry(database.name().to_owned()).or_default();
        for (query, text) in texts {
            let name = format!("{}.{query}", database.name());
            match Query::parse(text) {
                Ok(read) => {
                    drop(queries.insert(query.clone(), NamedQuery { name, database: database.clone(), query: read }))
                }
                Err(error) => wrong.push((query.clone(), error)),
            }
        }
        wrong
    }

    /// The query of this name, `DATABASE.QUERY`.
    ///
    /// # Errors
    /// When there is none, with the name that was probably meant.
    pub fn find(&self, name: &str) -> Result<&NamedQuery, UnknownQuery> {
        let unknown = |what: String| Err(UnknownQuery(what));
        let Some((database, query)) = name.split_once('.') else {
            let first = self.databases.values().flat_map(BTreeMap::values).next();
            let example = first.map_or("cmdb.owner_of", |query| &query.name);
            return unknown(format!("`{}` names no query; write it like \"{example}\"", cut(name)));
        };
        let Some(queries) = self.databases.get(database) else {
            let what = format!("there is no database `{}`", cut(database));
            return unknown(match self.databases.is_empty() {
                true => format!("{what}; name one in the configuration: [database.{}]", cut(database)),
                false => format!("{what}; {}", remedy(database, self.databases.keys().map(String::as_str))),
            });
        };
        match queries.get(query) {
            Some(query) => Ok(query),
            None if queries.is_empty() => {
                unknown(format!("the database `{database}` has no queries; name them in [database.{database}.queries]"))
            }
            None => {
                let remedy = remedy(query, queries.keys().map(String::as_str));
                unknown(format!("the database `{database}` has no query `{}`; {remedy}", cut(query)))
            }
        }
    }
}

impl NamedQueries {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &NamedQuery> {
        self.databases.values().flat_map(BTreeMap::values)
    }
}

/// A name that is no query's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownQuery(String);

impl NamedQuery {
    /// `DATABASE.QUERY`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of its parameters in lower case; one may come several times.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.query.parameters()
    }

    /// Has the database read it without running it; see [`Database::describe`].
    ///
    /// # Errors
    /// As [`Database::describe`].
    pub async fn describe(&self, limit: Duration) -> Result<Vec<String>, DatabaseError> {
        self.database.describe(&self.query, limit).await
    }

    /// What it finds; see [`Database::rows`].
    ///
    /// # Errors
    /// As [`Database::rows`].
    pub async fn rows(&self, parameters: &Record, limit: Duration) -> Result<Rows, DatabaseError> {
        self.database.rows(&self.query, parameters, limit).await
    }

    /// What it finds now; see [`Database::fresh_rows`].
    ///
    /// # Errors
    /// As [`Database::fresh_rows`].
    pub async fn fresh_rows(&self, parameters: &Record, limit: Duration) -> Result<Vec<Record>, DatabaseError> {
        self.database.fresh_rows(&self.query, parameters, limit).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const DATABASES: &str = "[[handler]]\nkind = \"script\"\n[database.cmdb]\nurl = \"sqlite:cmdb.db\"\n[database.cmdb.queries]\n\
                             owner_of = \"select owner from machines where mac = :mac\"\n[database.glpi]\nurl = \"sqlite:glpi.db\"\n";

    fn read(text: &str) -> Result<NamedQueries, Problems> {
        let config = Config::parse(Path::new("/site/pointsman.toml"), text).unwrap();
        NamedQueries::read(&config, &Databases::open(&config, None).unwrap())
    }

    #[test]
    fn a_query_is_found_by_its_name_else_the_nearest_is_told() {
        let queries = read(DATABASES).unwrap();
        let query = queries.find("cmdb.owner_of").unwrap();
        assert_eq!((query.name(), query.parameters().collect::<Vec<_>>()), ("cmdb.owner_of", vec!["mac"]));
        let check = |name: &str, expect: &str| assert_eq!(queries.find(name).unwrap_err().to_string(), expect);
        check("cmdb.owner", "the database `cmdb` has no query `owner`; did you mean `owner_of`?");
        check("cmbd.owner_of", "there is no database `cmbd`; did you mean `cmdb`?");
        check("glpi.owner_of", "the database `glpi` has no queries; name them in [database.glpi.queries]");
        check("owner_of", "`owner_of` names no query; write it like \"cmdb.owner_of\"");
        check("", "`` names no query; write it like \"cmdb.owner_of\"");
        let none = NamedQueries::default().find("cmdb.owner_of").unwrap_err().to_string();
        assert_eq!(none, "there is no database `cmdb`; name one in the configuration: [database.cmdb]");
    }

    #[test]
    fn queries_that_cannot_be_read_are_told_with_their_keys() {
        let problems =
            read(&format!("{DATABASES}[database.glpi.queries]\nempty = \" \"\nopen = \"select 'x\"\n")).unwrap_err();
        let text = problems.to_string();
        assert!(text.contains("pointsman.toml: database.glpi.queries.empty: the query is empty"), "{text}");
        assert!(text.contains("database.glpi.queries.open: a string that begins at octet 7 has no end"), "{text}");
    }
}
