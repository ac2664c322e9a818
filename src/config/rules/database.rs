//! What no single key can tell of databases and of the handlers that ask them.
//!
//! **Invariant**: no query is read here.

use super::super::{Config, DatabaseSection, HandlerSection, NoImage, SqlSection, UnknownMachine};
use super::{Broken, is_name};
use crate::nearest::{cut, remedy};

/// The kinds of databases, as their URLs begin.
const SCHEMES: [&str; 7] = ["sqlite", "postgres", "postgresql", "mariadb", "mysql", "mssql", "sqlserver"];

/// Every rule of databases that a configuration breaks.
pub(super) fn check(config: &Config, broken: &mut Vec<Broken>) {
    for (name, section) in &config.databases {
        database(name, section, broken);
    }
    if let Some(name) = &config.store.database {
        names_database(config, "store", name, broken);
    }
    for handler in &config.handlers {
        if let HandlerSection::Sql(section) = handler {
            sql(config, handler.display_name(), section, broken);
        }
    }
}

fn database(name: &str, section: &DatabaseSection, broken: &mut Vec<Broken>) {
    let key = format!("database.{name}");
    let mut rule = |is_broken: bool, what: String, help: &str| {
        if is_broken {
            broken.push((what, help.to_owned()));
        }
    };
    let examples = "write url = \"sqlite:FILE\", \"postgres://USER@HOST/NAME\" or \"mariadb://USER@HOST/NAME\"";
    let scheme = section.url.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_url = section.url.contains(':') && SCHEMES.contains(&scheme.as_str());
    rule(section.url.is_empty(), format!("{key}: there is no url"), examples);
    let what = format!("{key}.url: `{}` is no kind of database", cut(&scheme));
    rule(!section.url.is_empty() && !is_url, what, examples);
    rule(
        section.password_file.is_some() && section.password_env.is_some(),
        format!("{key}: password_file and password_env are both given"),
        "keep one of them",
    );
    rule(section.connections_max == 0, format!("{key}.connections_max is 0"), "use 1 or more");
    for query in section.queries.keys().map(String::as_str).chain([name]) {
        let what = format!("{key}: `{}` is no name for a database or a query", cut(query));
        rule(!is_name(query), what, "use letters, digits, `_` and `-`: scripts call query(\"DATABASE.QUERY\", ...)");
    }
}

fn names_database(config: &Config, key: &str, name: &str, broken: &mut Vec<Broken>) {
    if config.databases.contains_key(name) {
        return;
    }
    let known: Vec<&str> = config.databases.keys().map(String::as_str).collect();
    let help = match known.is_empty() {
        true => format!("add [database.{}] with its url, or leave the key out to use the store's own file", cut(name)),
        false => remedy(name, known),
    };
    broken.push((format!("{key}.database: there is no [database.{}]", cut(name)), help));
}

fn sql(config: &Config, name: &str, section: &SqlSection, broken: &mut Vec<Broken>) {
    let key = format!("handler `{name}`");
    if let Some(database) = &section.database {
        names_database(config, &key, database, broken);
    }
    let mut rule = |is_broken: bool, what: String, help: &str| {
        if is_broken {
            broken.push((what, help.to_owned()));
        }
    };
    let queries = [
        ("machine", &section.machine),
        ("images", &section.images),
        ("unknown_images", &section.unknown_images),
        ("offered", &section.offered),
        ("started", &section.started),
        ("done", &section.done),
        ("failed", &section.failed),
    ];
    let has_database = section.database.is_some();
    for (query, text) in queries {
        rule(
            has_database && query == "machine" && text.is_none(),
            format!("{key}: it has a database, but no query `machine`"),
            "write the query, or leave `database` out to ask the store",
        );
        rule(
            has_database && query == "images" && text.is_none() && section.no_image != NoImage::Pass,
            format!("{key}: it has a database, but no query `images`"),
            "write the query, or no_image = \"pass\" where the next handler names the images",
        );
        rule(
            !has_database && text.is_some(),
            format!("{key}: `{query}` is a query for a database of the site, and no `database` is named"),
            "add database = \"NAME\" of a [database.NAME], or leave the query out: the store has its own",
        );
    }
    rule(
        has_database && section.unknown_images.is_some() && section.unknown != UnknownMachine::Allow,
        format!("{key}: `unknown_images` is never asked"),
        "set unknown = \"allow\": machines that are not known may not boot otherwise",
    );
    rule(
        name.contains('~'),
        format!("{key}: its name has a `~`"),
        "leave it out: it stands between the name of a handler and its assignments",
    );
    rule(section.boots_max == 0, format!("{key}: boots_max is 0"), "use 1 or more");
}
