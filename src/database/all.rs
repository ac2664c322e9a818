//! The databases of a configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::{Config, DatabaseSection, Problem, Problems};

use super::Database;

/// The file of the store where the configuration names no database for it.
const STORE_FILE: &str = "pointsman.db";
/// The name of that database in logs, metrics and on the readiness page.
const STORE_NAME: &str = "store";

/// Every database that a configuration names, and the one that holds the store.
#[derive(Clone, Debug)]
pub struct Databases {
    by_name: BTreeMap<String, (Origin, Database)>,
    store: Database,
    /// The store's own file, where it is in none of the databases.
    store_file: Option<PathBuf>,
}

/// What a database was opened by.
#[derive(Clone, Debug, PartialEq)]
struct Origin {
    section: DatabaseSection,
    /// When the file of its password last changed.
    password: Option<SystemTime>,
}

impl Origin {
    fn of(section: &DatabaseSection) -> Origin {
        let file = section.password_file.as_ref();
        let password = file.and_then(|file| std::fs::metadata(file).ok()?.modified().ok());
        // Another query is asked of the same database.
        Origin { section: DatabaseSection { queries: BTreeMap::new(), ..section.clone() }, password }
    }
}

impl Databases {
    /// Opens what the configuration names; nothing is connected yet. A database that is named as it was `before` is
    /// taken over with its connections and what it remembers: a reload must not forget the answers that stand in for a
    /// database that is gone.
    ///
    /// # Errors
    /// Every database that cannot be: an unreadable password, a URL that makes no sense, a store that is not there.
    pub fn open(config: &Config, before: Option<&Databases>) -> Result<Databases, Problems> {
        let mut problems = Problems::default();
        let mut by_name = BTreeMap::new();
        for (name, section) in &config.databases {
            let origin = Origin::of(section);
            let database = match before.and_then(|before| before.by_name.get(name)) {
                Some((known, database)) if *known == origin => Ok(database.clone()),
                Some((known, database)) if known.section == origin.section => {
                    database.reopened(section, config.folder())
                }
                _ => Database::open(name, section, config.folder()),
            };
            match database {
                Ok(database) => drop(by_name.insert(name.clone(), (origin, database))),
                Err(error) => problems.push(Problem::of_file(&config.file, error.to_string(), "")),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let Some(name) = &config.store.database else {
            let file = config.server.state.join(STORE_FILE);
            let known = before.filter(|before| before.store_file.as_ref() == Some(&file));
            let store = known.map_or_else(|| Database::sqlite(STORE_NAME, &file), |before| before.store.clone());
            return Ok(Databases { by_name, store, store_file: Some(file) });
        };
        match by_name.get(name) {
            Some((_, store)) => {
                let store = store.clone();
                Ok(Databases { by_name, store, store_file: None })
            }
            None => {
                let what = format!("store.database: there is no [database.{name}]");
                Err(Problems::one(Problem::of_file(&config.file, what, "add it, or leave the key out")))
            }
        }
    }

    /// The database of this name.
    pub fn get(&self, name: &str) -> Option<&Database> {
        self.by_name.get(name).map(|(_, database)| database)
    }

    /// Those that the configuration names, by name.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Database)> {
        self.by_name.iter().map(|(name, (_, database))| (name.as_str(), database))
    }

    /// The database that holds the store.
    pub fn store(&self) -> &Database {
        &self.store
    }

    /// Each of them once; the store's own file first, where it has one.
    pub fn iter(&self) -> impl Iterator<Item = &Database> {
        let own = self.store_file.is_some().then_some(&self.store);
        own.into_iter().chain(self.named().map(|(_, database)| database))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        let text = format!("[[handler]]\nkind = \"script\"\n{text}");
        Config::parse(Path::new("/site/pointsman.toml"), &text).unwrap()
    }

    fn names(databases: &Databases) -> Vec<&str> {
        databases.iter().map(Database::name).collect()
    }

    #[test]
    fn the_store_has_a_file_of_its_own_or_is_one_of_the_databases() {
        let databases = Databases::open(&config("[database.cmdb]\nurl = \"sqlite:cmdb.db\"\n"), None).unwrap();
        assert_eq!((names(&databases), databases.store().name()), (vec!["store", "cmdb"], "store"));
        let text = "[store]\ndatabase = \"main\"\n[database.main]\nurl = \"postgres://u@db/x\"\n";
        let databases = Databases::open(&config(text), None).unwrap();
        assert_eq!((names(&databases), databases.store().name()), (vec!["main"], "main"));
    }

    #[test]
    fn a_database_that_is_named_as_before_is_the_same_one() {
        let text = |max| format!("[database.cmdb]\nurl = \"sqlite:cmdb.db\"\nconnections_max = {max}\n");
        let before = Databases::open(&config(&text(3)), None).unwrap();
        let is_kept = |max| {
            let now = Databases::open(&config(&text(max)), Some(&before)).unwrap();
            let same = |name| match name {
                "store" => now.store().is_same(before.store()),
                name => now.get(name).unwrap().is_same(before.get(name).unwrap()),
            };
            (same("store"), same("cmdb"))
        };
        assert_eq!((is_kept(3), is_kept(4)), ((true, true), (true, false)));
        let more = format!("{}[database.cmdb.queries]\nowner_of = \"select 1 as owner\"\n", text(3));
        let now = Databases::open(&config(&more), Some(&before)).unwrap();
        assert!(now.get("cmdb").unwrap().is_same(before.get("cmdb").unwrap()), "only a query is new");
    }

    #[tokio::test]
    async fn another_password_costs_no_remembered_answer() {
        let (folder, limit) = (tempfile::tempdir().unwrap(), std::time::Duration::from_secs(10));
        let (file, password) = (folder.path().join("cmdb.db"), folder.path().join("password"));
        Database::sqlite("cmdb", &file).ping(limit).await.unwrap();
        std::fs::write(&password, "old").unwrap();
        let text = format!(
            "[database.cmdb]\nurl = \"sqlite:{}\"\npassword_file = \"{}\"\n",
            file.display(),
            password.display()
        );
        let (query, nothing) =
            (crate::database::Query::parse("select 1 as n").unwrap(), crate::boot::Record::default());
        let before = Databases::open(&config(&text), None).unwrap();
        let old = before.get("cmdb").unwrap();
        assert_eq!(old.rows(&query, &nothing, limit).await.unwrap().age, None);
        std::fs::remove_file(&file).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        std::fs::write(&password, "new").unwrap();
        std::fs::File::options().write(true).open(&password).unwrap().set_modified(later).unwrap();
        let now = Databases::open(&config(&text), Some(&before)).unwrap();
        let new = now.get("cmdb").unwrap();
        assert!(!new.is_same(old));
        assert!(new.rows(&query, &nothing, limit).await.unwrap().age.is_some(), "the last answer stands in");
    }
}
