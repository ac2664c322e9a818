//! From the text of the file to a [`Config`], with every problem on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::web::IdentitySection;
use super::{Config, HandlerSection, Problem, Problems, defaults, plain_words, rules};
use crate::boot::FileName;
use crate::decision::KeyRules;
use crate::nearest::remedy;

/// The tables there are.
const TABLES: [&str; 24] = [
    "server", "dhcp", "dhcp6", "tftp", "http", "https", "loaders", "images", "decision", "store", "database",
    "upstream", "storage", "web", "identity", "quirk", "cache", "api", "compat", "people", "menu", "events", "handler",
    "log",
];

pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    problems: Problems,
}

pub(super) fn parse(file: &Path, text: &str) -> Result<Config, Problems> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { file, text, problems: Problems::default() };
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        reader.problem(offset, error.message().to_owned(), "");
    }
    let mut table = table.into_inner();
    reader.unknown_tables(&table);
    let identity: IdentitySection = reader.section(&mut table, "identity");
    let mut config = Config {
        file: file.to_owned(),
        server: reader.section(&mut table, "server"),
        dhcp: reader.section(&mut table, "dhcp"),
        dhcp6: reader.section(&mut table, "dhcp6"),
        tftp: reader.section(&mut table, "tftp"),
        http: reader.section(&mut table, "http"),
        https: reader.section(&mut table, "https"),
        loaders: reader.section(&mut table, "loaders"),
        images: reader.section(&mut table, "images"),
        decision: reader.section(&mut table, "decision"),
        store: reader.section(&mut table, "store"),
        databases: reader.named(&mut table, "database"),
        upstreams: reader.named(&mut table, "upstream"),
        storages: reader.named(&mut table, "storage"),
        identity: Arc::default(),
        quirks: reader.quirks(&mut table),
        webs: reader.named(&mut table, "web"),
        cache: reader.section(&mut table, "cache"),
        api: reader.section(&mut table, "api"),
        compat: reader.section(&mut table, "compat"),
        people: reader.section(&mut table, "people"),
        menu: reader.section(&mut table, "menu"),
        events: reader.section(&mut table, "events"),
        handlers: reader.handlers(&mut table),
        log: reader.section(&mut table, "log"),
    };
    config.identity = Arc::new(identity.rules().unwrap_or_else(|what| {
        reader.problems.push(Problem::of_file(file, format!("identity: {what}"), ""));
        KeyRules::default()
    }));
    reader.check(&config);
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    complete(&mut config);
    Ok(config)
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, offset: usize, what: impl Into<String>, remedy: impl Into<String>) {
        let problem = Problem::at(self.file, self.text, offset, what, remedy);
        self.problems.push(problem);
    }

    fn unknown_tables(&mut self, table: &DeTable<'_>) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !TABLES.contains(&name) {
                self.problem(key.span().start, format!("unknown table `{name}`"), remedy(name, TABLES));
            }
        }
    }

    /// Reads one table. Where a key is wrong it is noted and left out, and the rest is read again, so that all wrong
    /// keys are found at once.
    fn section<T: DeserializeOwned + Default>(&mut self, table: &mut DeTable<'_>, name: &str) -> T {
        match table.remove(name) {
            Some(value) => self.value(value, name),
            None => T::default(),
        }
    }

    fn value<T: DeserializeOwned + Default>(&mut self, mut value: Spanned<DeValue<'_>>, name: &str) -> T {
        loop {
            let deserializer: ValueDeserializer<'_> = value.clone().into_deserializer();
            let error = match T::deserialize(deserializer) {
                Ok(section) => return section,
                Err(error) => error,
            };
            let span = error.span().unwrap_or_else(|| value.span());
            let (what, remedy) = explain(error.message(), name);
            self.problem(span.start, what, remedy);
            let DeValue::Table(keys) = value.get_mut() else { return T::default() };
            let wrong = keys.iter().find(|(key, value)| {
                key.span().start <= span.start && span.end <= value.span().end.max(key.span().end)
            });
            let Some(wrong) = wrong.map(|(key, _)| key.clone()) else { return T::default() };
            keys.remove(wrong.get_ref().as_ref());
        }
    }

    /// Tables with names of the site's choice.
    fn named<T: DeserializeOwned + Default>(&mut self, table: &mut DeTable<'_>, key: &str) -> BTreeMap<String, T> {
        let Some(value) = table.remove(key) else { return BTreeMap::new() };
        let start = value.span().start;
        let DeValue::Table(entries) = value.into_inner() else {
            self.problem(start, format!("`{key}` must be tables with names"), format!("write `[{key}.main]`"));
            return BTreeMap::new();
        };
        let mut sections = BTreeMap::new();
        for (name, entry) in entries {
            let name = name.into_inner().into_owned();
            let section = self.value(entry, &format!("{key}.{name}"));
            sections.insert(name, section);
        }
        sections
    }

    fn handlers(&mut self, table: &mut DeTable<'_>) -> Vec<HandlerSection> {
        let Some(value) = table.remove("handler") else { return Vec::new() };
        let span = value.span();
        let DeValue::Array(entries) = value.into_inner() else {
            self.problem(span.start, "`handler` must be a list of tables", "write `[[handler]]` with two brackets");
            return Vec::new();
        };
        let mut handlers = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let start = entry.span().start;
            let name = format!("handler[{index}]");
            let kind = match entry.get_ref() {
                DeValue::Table(keys) => keys.get("kind").and_then(|kind| kind.get_ref().as_str()).unwrap_or_default(),
                _ => "",
            };
            match kind {
                "script" => handlers.push(HandlerSection::Script(self.value(entry, &name))),
                "sql" => handlers.push(HandlerSection::Sql(self.value(entry, &name))),
                "referral" => handlers.push(HandlerSection::Referral(self.value(entry, &name))),
                kind => {
                    let what = format!("{name}.kind: `{kind}` is no kind of handler");
                    self.problem(start, what, "write kind = \"script\", \"sql\" or \"referral\"");
                }
            }
        }
        handlers
    }

    /// What no single key can tell.
    fn check(&mut self, config: &Config) {
        let rules: [(bool, &str, &str); 10] = [
            (
                config.server.advertise.iter().any(|rule| rule.address.is_unspecified() || rule.address.is_multicast()),
                "server.advertise: the address is none that a machine could reach",
                "name the one address by which machines reach this server",
            ),
            (
                config.dhcp.secs_min > 60,
                "dhcp.secs_min is above 60: firmware gives up before",
                "use 4 to answer what tries a second time, 0 to answer at once",
            ),
            (
                !config.server.interfaces.is_empty() && config.server.address.is_some(),
                "server.interfaces and server.address are both given",
                "keep one of them",
            ),
            (
                config.dhcp.enabled && config.server.address.is_some_and(|address| address.is_ipv6()),
                "server.address is an IPv6 address, and DHCP needs an IPv4 one",
                "name the IPv4 address, or set dhcp.enabled = false",
            ),
            (
                config.https.certificate.is_some() != config.https.key.is_some(),
                "https.certificate and https.key belong together",
                "give both, or neither to use the private CA",
            ),
            (
                !config.https.enabled && config.https.ipxe == super::IpxeScheme::Https,
                "https.ipxe = \"https\" needs HTTPS",
                "set https.enabled = true",
            ),
            (
                !(8..=65_464).contains(&config.tftp.blksize_max),
                "tftp.blksize_max is out of range",
                "use 8 to 65464 (RFC 2348)",
            ),
            (config.tftp.windowsize_max == 0, "tftp.windowsize_max is out of range", "use 1 to 65535 (RFC 7440)"),
            (
                config.tftp.transfers_max == 0 || config.http.connections_max < 16 || config.server.sessions_max == 0,
                "transfers_max and sessions_max must be at least 1, connections_max at least 16",
                "leave the key out to use the default",
            ),
            (
                config.handlers.is_empty(),
                "no [[handler]]: nobody would decide what boots",
                "add [[handler]] with kind = \"script\"; `pointsman init DIR` writes an example",
            ),
        ];
        for (broken, what, remedy) in rules {
            if broken {
                self.problems.push(Problem::of_file(self.file, what, remedy));
            }
        }
        for (what, remedy) in rules::broken(config) {
            self.problems.push(Problem::of_file(self.file, what, remedy));
        }
        self.problems.extend(super::web::check(config));
        self.check_ports(config);
        self.check_names(config);
    }

    /// Two services on one port: the second would find the first in its way.
    fn check_ports(&mut self, config: &Config) {
        let (dhcp, tftp) = (config.dhcp.enabled, config.tftp.enabled);
        let boot_server = dhcp && config.dhcp.boot_server;
        let altiris = &config.compat.altiris;
        let pairs = [
            (boot_server, "dhcp.port", config.dhcp.port, "dhcp.boot_server_port", config.dhcp.boot_server_port),
            (
                config.dhcp6.enabled,
                "dhcp6.port",
                config.dhcp6.port,
                "dhcp6.boot_server_port",
                config.dhcp6.boot_server_port,
            ),
            (dhcp && tftp, "dhcp.port", config.dhcp.port, "tftp.port", config.tftp.port),
            (boot_server && tftp, "dhcp.boot_server_port", config.dhcp.boot_server_port, "tftp.port", config.tftp.port),
            (config.api.enabled, "http.port", config.http.port, "api.port", config.api.port),
            (config.api.enabled && config.https.enabled, "https.port", config.https.port, "api.port", config.api.port),
            (altiris.enabled, "http.port", config.http.port, "compat.altiris.port", altiris.port),
            (
                altiris.enabled && config.https.enabled,
                "https.port",
                config.https.port,
                "compat.altiris.port",
                altiris.port,
            ),
            (altiris.enabled && config.api.enabled, "api.port", config.api.port, "compat.altiris.port", altiris.port),
            (config.https.enabled, "http.port", config.http.port, "https.port", config.https.port),
        ];
        for (both, one, port, other, other_port) in pairs {
            if both && port == other_port && port != 0 {
                let what = format!("{one} and {other} are both {port}");
                self.problems.push(Problem::of_file(self.file, what, "give each its own port"));
            }
        }
    }

    fn check_names(&mut self, config: &Config) {
        for (index, handler) in config.handlers.iter().enumerate() {
            let name = handler.display_name();
            if config.handlers.iter().take(index).any(|other| other.display_name() == name) {
                let what = format!("two handlers are called `{name}`");
                self.problems.push(Problem::of_file(self.file, what, "give each its own name = \"...\""));
            }
            if let HandlerSection::Script(script) = handler
                && let Some(zone) = &script.time_zone
                && jiff::tz::TimeZone::get(zone).is_err()
            {
                let what = format!("handler `{name}`: `{zone}` is no time zone");
                self.problems.push(Problem::of_file(self.file, what, "use a name such as Europe/Berlin"));
            }
        }
        if !is_log_filter(&config.log.level) {
            let what = format!("log.level: `{}` is no log level", config.log.level);
            self.problems.push(Problem::of_file(
                self.file,
                what,
                "use error, warn, info, debug, trace or off, or a filter such as info,pointsman::dhcp=debug",
            ));
        }
    }
}

/// A level, or levels by target; a word that is no level would be a target, and silence everything else.
fn is_log_filter(text: &str) -> bool {
    let is_level = |word: &str| word.trim().parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    text.split(',').all(|part| match part.split_once('=') {
        Some((target, level)) => !target.trim().is_empty() && is_level(level),
        None => is_level(part),
    })
}

/// serde's words, with the table in front and the nearest key behind.
fn explain(message: &str, table: &str) -> (String, String) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            (format!("unknown key `{table}.{unknown}`"), remedy(unknown, known.iter().copied()))
        }
        _ => (format!("{table}: {}", plain_words(message)), String::new()),
    }
}

/// Paths from the configuration's folder, and the loaders that the file does not name.
fn complete(config: &mut Config) {
    let folder = config.folder().to_owned();
    let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
    resolve(&mut config.server.state);
    resolve(&mut config.images.folder);
    config.loaders.folders.iter_mut().for_each(resolve);
    config.https.certificate.iter_mut().for_each(resolve);
    config.https.key.iter_mut().for_each(resolve);
    config.databases.values_mut().filter_map(|database| database.password_file.as_mut()).for_each(resolve);
    resolve(&mut config.cache.folder);
    for upstream in config.upstreams.values_mut() {
        let files = [&mut upstream.ca, &mut upstream.certificate, &mut upstream.key, &mut upstream.token_file];
        files.into_iter().flatten().for_each(resolve);
    }
    for storage in config.storages.values_mut() {
        [&mut storage.ca, &mut storage.secret_key_file].into_iter().flatten().for_each(resolve);
    }
    if let Some(ldap) = &mut config.people.ldap {
        [&mut ldap.ca, &mut ldap.password_file].into_iter().flatten().for_each(resolve);
    }
    for web in config.webs.values_mut() {
        [&mut web.ca, &mut web.bearer_file, &mut web.headers_file].into_iter().flatten().for_each(resolve);
    }
    for webhook in &mut config.events.webhook {
        [&mut webhook.ca, &mut webhook.secret_file].into_iter().flatten().for_each(resolve);
    }
    for handler in &mut config.handlers {
        let HandlerSection::Script(script) = handler else { continue };
        if script.candidate.as_os_str().is_empty() {
            script.candidate = script.usual_candidate();
        }
        let files = [&mut script.allow_boot, &mut script.boot_images];
        let folders = [&mut script.scripts, &mut script.data, &mut script.candidate];
        files.into_iter().chain(folders).for_each(resolve);
    }
    for (architecture, name) in defaults::loader_files() {
        config.loaders.files.entry(architecture).or_insert(name);
    }
    config.loaders.names.values_mut().for_each(resolve);
    config.loaders.own_names = config.loaders.names.keys().cloned().collect();
    for (name, path) in defaults::loader_names() {
        let Ok(name) = name.parse::<FileName>() else { continue };
        config.loaders.names.entry(name).or_insert_with(|| path.into());
    }
}
