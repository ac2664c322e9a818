//! The page for the script writer is true: every block in it runs, and its tables are those of the code.

use super::super::reference;
use super::*;
use crate::config::Config;
use crate::database::NamedQueries;

/// The database of the page.
const CMDB: &[&str] = &[
    "create table machines (mac text, owner text, room text)",
    "insert into machines values ('52:54:00:12:34:56', 'lab', 'B12')",
    "create table jobs (serial text, os text, created_at text, done_at text)",
    "insert into jobs values ('7XK3N22', 'debian', '2026-01-01', null)",
    "create table closures (room text, first_day text, last_day text)",
];

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/write-a-decision-script.md");

/// A fenced block: the words after the fence, its text without the indentation, and its line.
struct Block {
    language: String,
    name: String,
    text: String,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let Some(words) = line.trim_start().strip_prefix("```") else { continue };
        let (language, name) = words.split_once(' ').unwrap_or((words, ""));
        let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
        let text: Vec<_> = inside.map(|line| line.get(indent..).unwrap_or_default()).collect();
        blocks.push(Block {
            language: language.into(),
            name: name.into(),
            text: text.join("\n") + "\n",
            line: number + 1,
        });
    }
    blocks
}

/// Loads the script of a block, asks it both questions, and runs its cases.
fn run(folder: &TempDir, script: &str, queries: &Arc<NamedQueries>, line: usize) -> usize {
    let config = ScriptConfig { queries: Arc::clone(queries), ..config(folder.path(), script, script) };
    let handler = ScriptHandler::load(&config).unwrap_or_else(|errors| panic!("line {line}: {errors}"));
    let report = handler.check_cases();
    assert!(report.is_good(), "line {line}: {report}");
    // No web service is there to be asked: the cases say what one answers.
    if std::fs::read_to_string(folder.path().join(script)).unwrap().contains("http_") {
        return report.passed;
    }
    block_on(handler.allow_boot(&request())).unwrap_or_else(|error| panic!("line {line}: {error}"));
    block_on(handler.boot_images(&request())).unwrap_or_else(|error| panic!("line {line}: {error}"));
    report.passed
}

#[test]
fn every_block_of_the_page_runs() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (folder, _) = site(&[]);
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let mut queries = Arc::default();
    let (mut scripts, mut bodies, mut cases, mut wrong) = (0, 0, 0, String::new());
    for block in blocks(&page) {
        match (block.language.as_str(), block.name.as_str()) {
            ("csv" | "json" | "yaml", name) => write(&format!("data/{name}"), &block.text),
            ("rhai", "") => {
                write("body.rhai", &format!("fn allow_boot(request) {{\n{}\npass() }}\n", block.text));
                run(&folder, "body.rhai", &queries, block.line);
                bodies += 1;
            }
            ("rhai", "wrong") => {
                write("site.rhai", &block.text);
                let errors = ScriptHandler::load(&config(folder.path(), "site.rhai", "site.rhai")).err().unwrap();
                wrong = errors.to_string().replace(&format!("{}/", folder.path().display()), "");
            }
            ("rhai", name) => {
                let _ = std::fs::remove_file(folder.path().join(name.replace(".rhai", ".cases.toml")));
                write(name, &block.text);
                run(&folder, name, &queries, block.line);
                scripts += 1;
            }
            ("toml", "pointsman.toml") => {
                let text = format!("[[handler]]\nkind = \"script\"\n{}", block.text);
                let shown = Config::parse(&folder.path().join("pointsman.toml"), &text).unwrap();
                if !shown.databases.is_empty() {
                    queries = queries::named(&shown, folder.path());
                    queries::prepare(folder.path(), "cmdb", CMDB);
                }
            }
            ("toml", name) => {
                write(name, &block.text);
                let passed = run(&folder, &name.replace(".cases.toml", ".rhai"), &queries, block.line);
                assert!(passed > 0, "line {}: no case", block.line);
                cases += passed;
            }
            ("text", _) => assert_eq!(block.text.trim_end(), wrong, "line {}", block.line),
            // The commands are run by the tests from outside.
            ("sh" | "console", _) => {}
            (other, _) => panic!("line {}: a block of {other}", block.line),
        }
    }
    assert!(scripts >= 7 && bodies >= 6 && cases >= 11 && !wrong.is_empty(), "{scripts} {bodies} {cases}");
}

/// To write the tables anew: `POINTSMAN_WRITE_DOCS=1 cargo test documents`.
#[test]
fn the_reference_is_that_of_the_code() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut expect = page.clone();
    let parts = [
        ("fields", reference::fields()),
        ("facts", reference::facts()),
        ("time", reference::time()),
        ("identity", reference::identity()),
        ("functions", reference::functions()),
        ("options", reference::options()),
    ];
    for (name, table) in parts {
        let (before, rest) = expect.split_once(&format!("<!-- {name} -->\n")).unwrap();
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        expect = format!("{before}<!-- {name} -->\n{table}<!-- end -->{after}");
    }
    if std::env::var_os("POINTSMAN_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &expect).unwrap();
    }
    assert!(
        page == expect,
        "the tables of {PAGE} are old; write them with POINTSMAN_WRITE_DOCS=1 cargo test documents"
    );
}
