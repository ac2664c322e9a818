//! What becomes of a configuration's handlers.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::boot::{Architecture, Client, Machine, Network, Record, Stage};
use crate::database::{Database, Query};
use crate::decision::{DecisionEngine, Policy, Sessions, TokenKey, World};
use crate::upstream::Upstreams;

const PASSES: &str = "fn allow_boot(request) { pass() }";
const CASES: &str = "[[case]]\nname = \"a\"\nexpect = \"pass\"\n";

fn site(config: &str, files: &[(&str, &str)]) -> (TempDir, Result<Vec<Built>, Problems>) {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let config = Config::parse(&folder.path().join("pointsman.toml"), config).unwrap();
    let databases = Databases::open(&config, None).unwrap();
    let built = build(&config, &databases, &Upstreams::open(&config, None).unwrap(), Purpose::Check);
    (folder, built)
}

fn without(folder: &Path, text: &str) -> String {
    text.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn case_files_that_nobody_runs_are_named() {
    let config = "[[handler]]\nkind = \"script\"\n[[handler]]\nkind = \"script\"\nname = \"second\"\n\
                  allow_boot = \"scripts/second.rhai\"\nboot_images = \"scripts/second.rhai\"\n";
    let (folder, built) = site(
        config,
        &[
            ("scripts/allow_boot.rhai", "import \"lib/sites\" as sites;\nfn allow_boot(request) { sites::any() }"),
            ("scripts/allow_boot.cases.toml", CASES),
            ("scripts/alow_boot.cases.toml", CASES),
            ("scripts/boot_images.rhai", PASSES),
            ("scripts/second.rhai", PASSES),
            ("scripts/second.cases.toml", CASES),
            ("scripts/lib/sites.rhai", "fn any() { pass() }"),
            ("scripts/lib/sites.cases.toml", CASES),
            ("scripts/lib/notes.toml", "x = 1"),
        ],
    );
    let built = built.unwrap();
    let unused: Vec<_> = built.iter().map(|built| without(folder.path(), &built.cases.unused.join("\n"))).collect();
    let expect = "scripts/alow_boot.cases.toml: its cases are never run: no handler of the configuration asks alow_boot.rhai\n  \
                  fix: rename it to allow_boot.cases.toml, or take it away\n\
                  scripts/lib/sites.cases.toml: its cases are never run: no handler of the configuration asks sites.rhai\n  \
                  fix: move its cases to those of allow_boot, boot_images, second, or take it away";
    assert_eq!(unused, [expect, ""]);
    assert_eq!(built.iter().map(|built| built.cases.passed).collect::<Vec<_>>(), [1, 1]);
    assert!(built.iter().any(|built| built.folders.contains(&folder.path().join("scripts/lib"))), "lib is not watched");
}

#[test]
fn scripts_know_the_queries_of_the_configuration() {
    let config = "[[handler]]\nkind = \"script\"\n[database.cmdb]\nurl = \"sqlite:cmdb.db\"\n[database.cmdb.queries]\n";
    let files = [
        ("scripts/allow_boot.rhai", "fn allow_boot(r) { query(\"cmdb.owner\", r).len() > 0 }"),
        ("scripts/boot_images.rhai", PASSES),
    ];
    let problems = |queries: &str| {
        let (folder, built) = site(&format!("{config}{queries}"), &files);
        without(folder.path(), &built.err().unwrap_or_default().to_string())
    };
    assert_eq!(problems("owner = \"select owner from machines where mac = :mac\""), "");
    let told = problems("owners = \"select owner from machines where mac = :mac\"");
    assert!(
        told.starts_with(
            "scripts/allow_boot.rhai:1:26: the database `cmdb` has no query `owner`; did you mean `owners`?"
        ),
        "{told}"
    );
    let told = problems("owner = \"select 1; select 2\"");
    assert!(told.starts_with("pointsman.toml: database.cmdb.queries.owner: a second statement begins"), "{told}");
}

#[test]
fn a_problem_of_a_table_shows_its_line() {
    let (folder, built) = site(
        "[[handler]]\nkind = \"script\"\n",
        &[
            ("scripts/allow_boot.rhai", "fn allow_boot(r) { table(\"m.csv\").find(\"mac\", r.mac) != () }"),
            ("scripts/boot_images.rhai", PASSES),
            ("data/m.csv", "mac,name\n52:54:00:00:00:01,\"a\n"),
        ],
    );
    let told = without(folder.path(), &built.err().unwrap().to_string());
    assert_eq!(
        told,
        "data/m.csv:2:1: a double quote opens a cell and is not closed; close it, or take it away\n  \
         2 | 52:54:00:00:00:01,\"a\n    | ^"
    );
}

/// Runs statements in the SQLite file of the scenario.
async fn change(folder: &Path, statements: &[&str]) {
    let database = Database::sqlite("inventory", &folder.join("inventory.db"));
    for statement in statements {
        let statement = Query::parse(statement).unwrap();
        database.execute(&statement, &Record::default(), Duration::from_secs(20)).await.unwrap();
    }
}

/// `scripts/record-and-script` as it is, but for the URL of its database.
#[tokio::test]
async fn a_database_says_who_it_is_and_a_script_what_follows() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/record-and-script");
    let folder = TempDir::new().unwrap();
    std::fs::copy(scenario.join("site.rhai"), folder.path().join("site.rhai")).unwrap();
    let text = std::fs::read_to_string(scenario.join("pointsman.toml")).unwrap();
    let text = text.replace("postgres://pointsman@db.example.com/inventory", "sqlite:inventory.db");
    let text = text.replace("password_file = \"inventory.password\"", "");
    change(
        folder.path(),
        &[
            "create table machines (id integer, uuid text, manufacturer text, serial text, mac text, hostname text, role text, disk text, team text)",
            "insert into machines values (7, null, 'Dell Inc.', '7XK3N22', '52:54:00:00:00:01', 'web-01', 'server', null, 'web')",
            "insert into machines values (8, null, null, null, '52:54:00:00:00:02', 'old-3', 'retired', null, null)",
            "create table jobs (machine_id integer, os text, created_at text, done_at text)",
            "insert into jobs values (7, 'debian', '2026-01-01', null)",
        ],
    )
    .await;
    let config = Config::parse(&folder.path().join("pointsman.toml"), &text).unwrap();
    let databases = Databases::open(&config, None).unwrap();
    let built = build(&config, &databases, &Upstreams::open(&config, None).unwrap(), Purpose::DryRun)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let handlers = built.into_iter().map(|built| built.handler).collect();
    let sessions = Sessions::new(TokenKey::new(&[1; TokenKey::LEN]), 100);
    let engine = DecisionEngine::new(
        World {
            handlers,
            policy: Policy::default(),
            site: "".into(),
            keys: Default::default(),
            quirks: Default::default(),
        },
        sessions,
    );
    let decide = async |mac: [u8; 6]| {
        let now = Timestamp::UNIX_EPOCH;
        let session = Arc::new(engine.sessions().begin(Client::new(mac.into(), Architecture::X64_UEFI), 0, now));
        let allowed = engine.allow_boot(&session, Stage::Discover, Network::default(), now).await;
        if !allowed.verdict.allows() {
            return (allowed.handler.clone(), allowed.verdict.reason().to_owned());
        }
        let decision = engine.boot_images(&session, Network::default(), Machine::default(), now).await;
        let images = decision.images.as_ref().unwrap_or_else(|| panic!("{decision:?}")).images();
        (decision.handler.clone(), images.iter().map(|image| image.id.as_str()).collect::<Vec<_>>().join(" "))
    };
    let script = |said: &str| ("script".to_owned(), said.to_owned());
    assert_eq!(decide([0x52, 0x54, 0, 0, 0, 1]).await, script("debian"));
    assert_eq!(decide([0x52, 0x54, 0, 0, 0, 2]).await, script("old-3 is retired"));
    assert_eq!(decide([0x52, 0x54, 0, 0, 0, 3]).await, script("local poweroff"));
    change(folder.path(), &["update jobs set done_at = '2026-01-02'"]).await;
    assert_eq!(decide([0x52, 0x54, 0, 0, 0, 1]).await, script("local"));
    // What was ordered, and asked for before, is not done again from memory.
    change(folder.path(), &["update jobs set done_at = null"]).await;
    assert_eq!(decide([0x52, 0x54, 0, 0, 0, 1]).await, script("debian"));
    change(folder.path(), &["drop table jobs"]).await;
    assert_eq!(decide([0x52, 0x54, 0, 0, 0, 1]).await, script("local"));
}
