//! What the documents show is run: every `sh` line of the program, every configuration, every rule; and every example
//! starts.

use std::path::{Path, PathBuf};

use pointsman::boot::Record;
use pointsman::config::{Config, DatabaseSection};
use pointsman::database::{Database, Query};
use pointsman::tls::{ensure_ca, site_request};

use crate::harness::{Site, pointsman, printed};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// README and every page, with its name.
fn pages() -> Vec<(String, String)> {
    let mut paths = vec![root().join("README.md")];
    paths.extend(std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let read = |path: PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// The fenced blocks of a language.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_shell_line_of_the_program_does_what_it_says() {
    let mut count = 0;
    for (name, page) in pages() {
        for block in blocks(&page, "sh") {
            // The lines of a block go on from each other.
            let site = Site::new();
            for line in block.replace("\\\n", " ").lines() {
                match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                    // The README's two commands: the demo is run by `commands`, the test command runs this.
                    ["cargo", "run", "--release", "--", "demo"] => {}
                    ["tests/run"] => assert!(root().join("tests/run").exists()),
                    ["pointsman", ..] => {
                        run_on_a_site(&name, &site, line);
                        count += 1;
                    }
                    _ => panic!("{name}: `{line}` is run by no test; show it as `console`, or teach this test"),
                }
            }
        }
    }
    assert!(count >= 6, "only {count} lines");
}

/// Runs a line as a shell does, with a site of its own in the place of `/etc/pointsman`.
fn run_on_a_site(page: &str, site: &Site, line: &str) {
    if line.split_whitespace().any(|word| word == "serve") {
        assert_eq!(site.serve().stop(), Some(0), "{page}: {line}");
        return;
    }
    let folder = site.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let program = Path::new(env!("CARGO_BIN_EXE_pointsman")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output = std::process::Command::new("sh")
        .args(["-ec", &line.replace("/etc/pointsman", &folder)])
        .current_dir(&folder)
        .env("PATH", path)
        .env("POINTSMAN_CONFIG", site.config())
        .output()
        .unwrap();
    assert!(output.status.success(), "{page}: {line}\n{}", printed(&output));
}

#[test]
fn every_configuration_shown_is_good() {
    let mut count = 0;
    for (name, page) in pages() {
        for block in blocks(&page, "toml").iter().filter(|block| !block.contains("[[case]]")) {
            let site = Site::new();
            site.write("shown.toml", block);
            let output = pointsman(&["--config", site.path("shown.toml").to_str().unwrap(), "check"]);
            let text = printed(&output);
            assert!(text.contains("ok  configuration"), "{name}:\n{block}\n{text}");
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} configurations");
}

#[test]
fn the_rule_of_the_readme_decides() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let rules = blocks(&readme, "rhai");
    let site = Site::with_rules(&rules[0]);
    let decide = |arguments: &[&str]| printed(&site.run(&[&["decide"][..], arguments].concat()));
    assert!(decide(&["--mac", "00:11:22:33:44:55"]).contains("deny: not one of our virtual machines"));
    assert!(
        decide(&["--fact", "product=OptiPlex 7010"]).contains("image    linux")
            || decide(&["--fact", "product=OptiPlex 7010"]).contains("Debian installer")
    );
    assert!(decide(&["--fact", "product=Standard PC"]).contains("menu Standard PC") || decide(&[]).contains("choose"));
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    for (name, page) in pages() {
        let folder = if name == "README.md" { root() } else { root().join("docs") };
        for target in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let path = target.split('#').next().unwrap();
            assert!(path.is_empty() || path.starts_with("http") || folder.join(path).exists(), "{name}: {target}");
        }
    }
}

#[test]
fn every_example_is_good_and_starts() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let example = entry.unwrap().path();
        let site = Site::new();
        copy(&example, &site.path("example"));
        let config = site.path("example/pointsman.toml");
        on_loopback(&config);
        enroll(&config);
        // A site starts whether or not its database is there.
        assert_eq!(site.serve_config(&config).stop(), Some(0));
        make_database(&site.path("example"));
        let output = pointsman(&["--config", config.to_str().unwrap(), "check"]);
        let text = printed(&output);
        // Images and upstreams of examples are nowhere.
        let is_expected = |line: &str| line.contains("image file") || line.contains("  upstream `");
        let others: Vec<_> = text.lines().filter(|line| line.contains("PROBLEM") && !is_expected(line)).collect();
        assert!(others.is_empty(), "{}:\n{text}", example.display());
        assert_eq!(text.contains("cases pass"), example.join("scripts").exists(), "{}: no cases", example.display());
        assert_eq!(site.serve_config(&config).stop(), Some(0));
        count += 1;
    }
    assert!(count >= 6, "only {count} examples");
}

/// Gives an example that asks an upstream the certificate that `pointsman site enroll` would.
fn enroll(config: &Path) {
    let folder = config.parent().unwrap();
    for (name, _) in Config::read(config).unwrap().upstreams.iter().filter(|(_, upstream)| upstream.url.is_some()) {
        let authority = ensure_ca(&folder.join("ca of").join(name)).unwrap();
        let request = site_request().unwrap();
        let issued = authority.issue_site("example", &request.request_pem).unwrap();
        let state = folder.join("state/upstream").join(name);
        std::fs::create_dir_all(&state).unwrap();
        for (file, text) in
            [("ca.pem", authority.pem()), ("site.pem", &issued.chain_pem), ("site.key", &request.key_pem)]
        {
            std::fs::write(state.join(file), text).unwrap();
        }
    }
}

/// The SQLite file that an example's `schema.sql` describes.
pub(crate) fn make_database(example: &Path) {
    make_database_named("cmdb", example);
}

/// The same, as a file of this name.
pub(crate) fn make_database_named(name: &str, example: &Path) {
    let Ok(schema) = std::fs::read_to_string(example.join("schema.sql")) else { return };
    let section = DatabaseSection { url: format!("sqlite:{name}.db?mode=rwc"), ..DatabaseSection::default() };
    let database = Database::open(name, &section, example).unwrap();
    let make = async {
        for statement in schema.split(";\n").filter(|statement| !statement.trim().is_empty()) {
            let query = Query::parse(statement).unwrap();
            database.execute(&query, &Record::default(), std::time::Duration::from_secs(10)).await.unwrap();
        }
    };
    tokio::runtime::Runtime::new().unwrap().block_on(make);
}

/// The example as it is, but on loopback ports that the kernel chooses, with a log that the test reads.
pub(crate) fn on_loopback(config: &Path) {
    let text = std::fs::read_to_string(config).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    let mut set = |name: &str, key: &str, value: toml::Value| {
        let section = table.entry(name).or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().unwrap().insert(key.to_owned(), value);
    };
    for (name, key) in
        [("dhcp", "port"), ("dhcp", "boot_server_port"), ("tftp", "port"), ("http", "port"), ("https", "port")]
    {
        set(name, key, 0.into());
    }
    set("log", "format", "json".into());
    if text.contains("interfaces") {
        set("server", "interfaces", vec![toml::Value::from("lo")].into());
    } else {
        set("server", "address", "127.0.0.1".into());
    }
    std::fs::write(config, toml::to_string(&table).unwrap()).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { std::fs::copy(&path, &target).map(drop).unwrap() }
    }
}
