//! `docs/connect-a-database.md` is true: its tables and queries run, its commands say what it shows, its grants suffice and
//! are not more than they say, and its list of parameters is that of the code.

use std::path::{Path, PathBuf};
use std::process::Command;

use pointsman::boot::Record;
use pointsman::config::{Config, DatabaseSection, HandlerSection};
use pointsman::database::{Database, Databases, Query};
use pointsman::decision::{BootEvent, RequestHandler};
use pointsman::handlers::sql::SqlHandler;

use crate::documents::{copy, make_database};
use crate::harness::{Site, pointsman, printed};
use crate::servers::{MariaDb, Postgres};
use crate::sql_rows::{Cmdb, LIMIT, machine};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/connect-a-database.md")
}

fn page() -> String {
    std::fs::read_to_string(file()).unwrap()
}

/// The first block with these words behind the fence, of which `with` is a part.
fn block(words: &str, with: &str) -> String {
    let page = page();
    let fence = format!("```{words}\n");
    let blocks = page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks
        .into_iter()
        .find(|block| block.contains(with))
        .unwrap_or_else(|| panic!("no block {words}: {with}"))
        .to_owned()
}

/// The configuration of the worked example.
fn example() -> String {
    block("toml", "started = ")
}

/// Makes the example's tables in a database.
async fn make_tables(database: &Database) {
    for statement in block("sql tables", "").split(";\n").filter(|statement| !statement.trim().is_empty()) {
        database.execute(&Query::parse(statement).unwrap(), &Record::default(), LIMIT).await.unwrap();
    }
}

fn open(url: &str, folder: &Path) -> Database {
    Database::open("inventory", &DatabaseSection { url: url.into(), ..DatabaseSection::default() }, folder).unwrap()
}

#[tokio::test]
async fn the_commands_of_the_example_say_what_the_page_shows() {
    let site = Site::new();
    make_tables(&open("sqlite:inventory.db?mode=rwc", &site.path(""))).await;
    site.write("inventory.toml", &example());
    let shown = block("console", "pointsman decide");
    let mut said = String::new();
    for line in shown.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("$ pointsman ") {
            None => assert!(said.contains(line), "{line} is not in:\n{said}"),
            Some(arguments) => {
                let config = site.path("inventory.toml");
                let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
                said = printed(&command.arg("--config").arg(config).args(arguments.split(' ')).output().unwrap());
            }
        }
    }
    assert!(shown.lines().count() > 10 && said.contains("lab-08"), "{said}");
}

/// The example's life on a server: what its account may do is enough, and not more.
async fn life(url: &str, change: impl Fn(String) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let text = change(example()).replace("sqlite:inventory.db?mode=rw", url);
    let config = Config::parse(&folder.path().join("pointsman.toml"), &text).unwrap();
    let HandlerSection::Sql(section) = &config.handlers[0] else { panic!() };
    let databases = Databases::open(&config, None).unwrap();
    let handler =
        SqlHandler::build("inventory", section, &databases).map_err(|problems| format!("{problems:?}")).unwrap();
    let checked = handler.check(LIMIT).await;
    assert!(checked.problems.is_empty() && checked.notes.is_empty() && checked.fitting == 5, "{checked:?}");
    let cmdb = Cmdb { handler, database: databases.get("inventory").unwrap().clone() };
    let mut request = machine("32", "56", &[("serial", "7XK3N22"), ("manufacturer", "Dell Inc.")], 1);
    request.client.hardware = "52:54:00:12:34:56".parse().unwrap();
    assert_eq!(cmdb.verdict(&request).await, "allow: lab-07 (7) by uuid, serial, mac");
    assert_eq!(cmdb.ids(&request).await, "local debian");
    let assignment = "inventory~1".to_owned();
    for event in [
        BootEvent::Offered { images: vec!["debian".into()], assignments: vec![assignment.clone()] },
        BootEvent::Started { image: "debian".into(), assignment: assignment.clone() },
        BootEvent::LoadFailed { image: "debian".into(), error: None },
        BootEvent::Started { image: "debian".into(), assignment },
        BootEvent::Done,
    ] {
        cmdb.handler.boot_event(&request, &event).await.unwrap();
    }
    assert_eq!(cmdb.ids(&request).await, "");
    for statement in [
        "INSERT INTO job VALUES (2, 8, 'debian', 'ordered', NULL)",
        "UPDATE job SET computer = 8 WHERE id = 1",
        "DELETE FROM job",
        "CREATE TABLE more (id INTEGER)",
    ] {
        let query = Query::parse(statement).unwrap();
        assert!(cmdb.database.execute(&query, &Record::default(), LIMIT).await.is_err(), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_servers_the_grants_of_postgresql_suffice() {
    let server = Postgres::start();
    make_tables(&open(&server.url(), Path::new("/"))).await;
    server.run(&block("sql postgres", ""));
    life(&server.url().replace("postgres@", "pointsman@"), |text| text).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_servers_the_grants_of_mariadb_suffice() {
    let server = MariaDb::start();
    make_tables(&open(&server.url(), Path::new("/"))).await;
    server.run(&block("sql mariadb", ""));
    life(&server.url().replace("pointsman:secret@", "boot:change%20me@"), |text| text).await;
}

/// The example asks a CMDB, and leaves to its script what is not in it.
#[test]
fn the_example_decides_as_it_says() {
    let site = Site::new();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cmdb"), &site.path("cmdb"));
    let decide = |arguments: &[&str]| {
        let config = site.path("cmdb/pointsman.toml");
        printed(&pointsman(&[&["--config", config.to_str().unwrap(), "decide"], arguments].concat()))
    };
    let gone = decide(&["--mac", "52:54:00:30:00:01"]);
    assert!(gone.contains("cmdb FAILED") && gone.contains("is not in the CMDB"), "{gone}");
    make_database(&site.path("cmdb"));
    let ordered = decide(&["--mac", "52:54:00:30:00:01"]);
    assert!(ordered.contains("cmdb answered: local, debian (office-01 (1) by mac)"), "{ordered}");
    assert!(ordered.contains("--default=debian --timeout=10000"), "{ordered}");
    let adapter = decide(&["--mac", "00:e0:4c:68:01:7a", "--uuid", "4c4c4544-0057-5810-804a-c3c04f463732"]);
    assert!(adapter.contains("knows the machine: office-02") && adapter.contains("image    local"), "{adapter}");
    let retired = decide(&["--mac", "52:54:00:30:00:03"]);
    assert!(retired.contains("deny: office-03 is retired"), "{retired}");
    assert!(decide(&["--mac", "52:54:00:30:00:99"]).contains("is not in the CMDB"));
}

/// They were not run against the systems, but they are read, and ask with what there is.
#[test]
fn the_queries_for_known_systems_can_be_asked() {
    let images = block("sql netbox-images", "");
    for name in ["sql netbox", "sql glpi", "sql configmgr"] {
        let config = format!(
            "[database.x]\nurl = \"postgres://u@h/x\"\n[[handler]]\nkind = \"sql\"\ndatabase = \"x\"\nmachine = \"\"\"\n{}\"\"\"\n\
             images = \"\"\"\n{images}\"\"\"\n",
            block(name, "")
        );
        let config = Config::parse(Path::new("pointsman.toml"), &config).unwrap();
        let HandlerSection::Sql(section) = &config.handlers[0] else { panic!() };
        let databases = Databases::open(&config, None).unwrap();
        let built = SqlHandler::build("x", section, &databases).map(drop);
        assert_eq!(built, Ok(()), "{name}");
        assert!(block(name, "").contains("AS machine_id"));
    }
}

/// To write the table anew: `POINTSMAN_WRITE_DOCS=1 cargo test --test it database_page`.
#[test]
fn the_parameters_are_those_of_the_code() {
    let page = page();
    let (before, rest) = page.split_once("<!-- parameters -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let expect = format!("{before}<!-- parameters -->\n{}<!-- end -->{after}", pointsman::handlers::sql::reference());
    if std::env::var_os("POINTSMAN_WRITE_DOCS").is_some() {
        std::fs::write(file(), &expect).unwrap();
    }
    assert!(page == expect, "the table of {} is old; write it with POINTSMAN_WRITE_DOCS=1", file().display());
}

/// Every column that means something is in the page, and the page names no other.
#[tokio::test]
async fn the_columns_are_those_of_the_page() {
    let page = page();
    let table = |heading: &str| -> Vec<String> {
        let part = page.split(heading).nth(1).unwrap().split("\n## ").next().unwrap().split("\n### ").next().unwrap();
        let rows = part.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
        rows.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let mut images = table("### Columns of an image");
    images.sort();
    images.dedup();
    let mut expect: Vec<&str> = ["linux", "wim", "chain", "efi", "sanboot", "ipxe", "local"]
        .into_iter()
        .flat_map(|kind| pointsman::boot::ImageKind::attributes(kind).unwrap())
        .copied()
        .chain(["image", "kind", "title", "mandatory", "countdown", "available_from", "expires", "sort_order"])
        .chain(["once", "assignment"])
        .collect();
    expect.sort();
    expect.dedup();
    assert_eq!(images, expect);
    let machine = ["machine_id", "hostname", "uuid", "serial", "manufacturer", "mac", "allow", "reason"];
    assert_eq!(table("### Columns of a machine"), machine);
}

/// The example from outside: the daemon, its queries, and a simulated machine that is installed once.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_installs_a_machine_once() {
    let site = Site::new();
    let inventory = open("sqlite:inventory.db?mode=rwc", &site.path(""));
    make_tables(&inventory).await;
    let handler = example();
    site.edit("pointsman.toml", |text| text.replacen("[[handler]]\nkind = \"script\"", &handler, 1));
    let daemon = site.serve();
    let machine = ["--mac", "52:54:00:12:34:56", "--uuid", "4c4c4544-0057-5810-804a-c3c04f463732"];
    let state = async || {
        let query = Query::parse("SELECT state FROM job WHERE id = 1").unwrap();
        let rows = inventory.fresh_rows(&query, &Record::default(), LIMIT).await.unwrap();
        rows[0].text("state").unwrap()
    };
    let report = daemon.boot(&[&machine[..], &["--done"]].concat());
    assert_eq!(report["ending"], "booted", "{report:#}");
    assert_eq!(state().await, "done");
    let report = daemon.boot(&machine);
    assert_ne!(report["ending"], "booted", "{report:#}");
    let query = Query::parse("UPDATE job SET state = 'ordered', session = NULL WHERE id = 1").unwrap();
    inventory.execute(&query, &Record::default(), LIMIT).await.unwrap();
    let report = daemon.boot(&machine);
    assert_eq!(report["ending"], "booted", "ordered again: {report:#}");
    assert_eq!(state().await, "started");
    assert_eq!(daemon.stop(), Some(0));
}
