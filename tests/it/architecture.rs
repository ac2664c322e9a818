//! The rules of the source tree, held against the source itself: which module may name which, which crate is named
//! where, and how long a file may be. `src/lib.rs` says why.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The layers, from the bottom. A module may name those of lower rows, its own parts, and nothing else.
const LAYERS: &[&[&str]] = &[
    &["boot"],
    &["hex"],
    &["nearest", "pace", "paths", "net", "files", "simulate", "quirks"],
    &["decision", "ipxe"],
    &["chainload"],
    &["tftp", "dhcp", "api"],
    &["dhcp_config"],
    &["config", "tls", "loaders"],
    &["cache"],
    &["database", "upstream"],
    &["store"],
    &["people"],
    &["handlers", "observe"],
    &["http", "events"],
    &["site"],
    &["review"],
    &["daemon"],
    &["doctor"],
    &["cli"],
];

/// Crates that only these places may name.
const CRATES: &[(&str, &[&str])] = &[
    ("rhai", &["handlers/script"]),
    ("sqlx", &["database"]),
    ("tiberius", &["database"]),
    ("dhcproto", &["dhcp/packet"]),
    ("axum", &["http"]),
    ("hyper", &["http"]),
    ("rustls", &["tls", "http", "main.rs", "simulate"]),
    ("rcgen", &["tls"]),
    ("x509_parser", &["tls"]),
    ("reqwest", &["simulate", "upstream"]),
    ("object_store", &["upstream"]),
    ("clap", &["cli", "main.rs"]),
    ("anyhow", &["cli", "daemon"]),
    ("prometheus_client", &["observe"]),
    ("nix", &["net", "files", "http", "tftp", "daemon", "cli"]),
    ("socket2", &["net", "http"]),
    ("notify", &["daemon"]),
    ("argon2", &["people"]),
    ("ldap3", &["people"]),
    ("toml", &["config", "handlers/script", "quirks"]),
];

/// Protocol logic: no clock, no socket, no runtime.
const PURE: &[&str] = &[
    "boot/",
    "ipxe/",
    "chainload/",
    "paths.rs",
    "dhcp_config/",
    "dhcp/packet.rs",
    "dhcp/pxe.rs",
    "dhcp/client.rs",
    "dhcp/reply.rs",
    "dhcp/v6/packet.rs",
    "dhcp/v6/client.rs",
    "dhcp/v6/question.rs",
    "dhcp/v6/reply.rs",
    "dhcp/offer.rs",
    "dhcp/selection.rs",
    "dhcp/faults.rs",
    "tftp/multicast/option.rs",
    "tftp/multicast/session.rs",
    "tftp/packet.rs",
    "tftp/options.rs",
    "tftp/transfer.rs",
];

const LINES_MAX: usize = 500;

struct Source {
    /// Path below `src`.
    path: String,
    text: String,
}

impl Source {
    /// The lines without comments and without the tests at the end.
    fn code(&self) -> impl Iterator<Item = &str> {
        let code = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        code.lines().map(|line| line.split("//").next().unwrap_or_default())
    }

    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }

    fn is_test(&self) -> bool {
        self.path.contains("test") || self.path.ends_with("reader.rs")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    assert!(sources.len() > 50, "the source was not found");
    sources
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// Names behind `crate::` in a line, `crate::{a, b::c}` included.
fn named_modules(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![rest],
        };
        for name in list {
            let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push(name);
        }
    }
    names
}

fn fail_on(problems: BTreeSet<String>) {
    assert!(problems.is_empty(), "\n{}", problems.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn arrows_go_down_only() {
    let mut problems = BTreeSet::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let module = source.module();
        if matches!(module, "main" | "lib") {
            continue;
        }
        let Some(own) = layer(module) else {
            problems.insert(format!("{}: `{module}` has no layer; give it one in this test", source.path));
            continue;
        };
        for name in source.code().flat_map(named_modules).filter(|name| name != module) {
            if layer(&name).is_some_and(|other| other >= own) {
                problems.insert(format!("{}: names `{name}`, which is not below it", source.path));
            }
        }
    }
    fail_on(problems);
}

#[test]
fn each_foreign_crate_has_its_place() {
    let mut problems = BTreeSet::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (name, places) in CRATES {
            let is_at_home = places.iter().any(|place| source.path.starts_with(place));
            let path = format!("{name}::");
            let names_it = |line: &str| {
                line.match_indices(&path)
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
            };
            if !is_at_home && source.code().any(names_it) {
                problems.insert(format!("{}: names the crate `{name}`, whose place is {places:?}", source.path));
            }
        }
    }
    fail_on(problems);
}

#[test]
fn protocol_logic_has_no_clock_and_no_socket() {
    let mut problems = BTreeSet::new();
    for source in sources().iter().filter(|source| PURE.iter().any(|pure| source.path.starts_with(pure))) {
        for word in ["tokio::", "std::fs", "Instant::now", "SystemTime::now", "Timestamp::now", "UdpSocket", "std::env"]
        {
            if !source.is_test() && source.code().any(|line| line.contains(word)) {
                problems.insert(format!("{}: names {word}", source.path));
            }
        }
    }
    fail_on(problems);
}

#[test]
fn files_stay_small_and_say_what_they_are() {
    let mut problems = BTreeSet::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            problems.insert(format!("{}: {lines} lines; at most {LINES_MAX}", source.path));
        }
        if !source.text.starts_with("//!") && !source.is_test() {
            problems.insert(format!("{}: does not begin with what it is", source.path));
        }
    }
    fail_on(problems);
}

#[test]
fn the_environment_is_read_by_the_command_line_only() {
    let mut problems = BTreeSet::new();
    // A password may be in a variable that the site names.
    let may = |source: &Source| source.is_test() || source.module() == "cli" || source.path == "database/password.rs";
    for source in sources().iter().filter(|source| !may(source)) {
        if source.code().any(|line| line.contains("env::var") || line.contains("env::args")) {
            problems.insert(format!("{}: reads the environment", source.path));
        }
    }
    fail_on(problems);
}

#[test]
fn the_rules_themselves_can_fail() {
    assert_eq!(named_modules("use crate::{boot, http::files}; crate::tls::x"), ["boot", "http", "tls"]);
    let wrong = Source { path: "boot/x.rs".into(), text: "use crate::http::Files; // crate::tls".into() };
    assert_eq!(wrong.code().flat_map(named_modules).collect::<Vec<_>>(), ["http"]);
    assert!(layer("http") > layer("boot"));
}

/// No test run builds the fuzz targets with libFuzzer: what is in no list would rot unseen.
#[test]
fn every_fuzz_target_is_built_and_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let files: BTreeSet<String> = std::fs::read_dir(folder.join("targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let built: BTreeSet<String> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bin| {
            let name = bin["name"].as_str().unwrap();
            assert_eq!(bin["path"].as_str(), Some(format!("targets/{name}.rs").as_str()));
            name.to_owned()
        })
        .collect();
    let page = read("README.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let named: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert!(files.len() > 10);
    assert_eq!(built, files, "tests/fuzz/Cargo.toml and tests/fuzz/targets");
    assert_eq!(named, files, "tests/fuzz/README.md and tests/fuzz/targets");
}
