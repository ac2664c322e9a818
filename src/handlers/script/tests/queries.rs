//! `request.record` and named queries, asked of SQLite files.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;
use crate::boot::{Record, Value};
use crate::config::Config;
use crate::database::{Database, NamedQueries, Query};

/// The named queries of a configuration, whose databases are SQLite files in a folder.
pub(super) fn named(config: &Config, folder: &Path) -> Arc<NamedQueries> {
    let mut queries = NamedQueries::default();
    for (name, section) in &config.databases {
        let database = Database::sqlite(name, &folder.join(format!("{name}.db")));
        assert_eq!(queries.add(&database, &section.queries), []);
    }
    Arc::new(queries)
}

/// Runs statements in the SQLite file of a database.
pub(super) fn prepare(folder: &Path, name: &str, statements: &[&str]) {
    let database = Database::sqlite(name, &folder.join(format!("{name}.db")));
    block_on(async {
        for text in statements {
            let statement = Query::parse(text).unwrap();
            database.execute(&statement, &Record::default(), Duration::from_secs(20)).await.unwrap();
        }
    });
}

const MACHINES: &[&str] = &[
    "create table machines (mac text, serial text, owner text, room text, cores integer, load real)",
    "insert into machines values ('52:54:00:12:34:56', '7XK3N22', 'lab', null, 8, 0.5)",
    "insert into machines values ('52:54:00:00:00:02', 'X', 'lab', 'B12', 4, 1.0)",
];

const QUERIES: &[(&str, &str)] = &[
    ("owner_of", "select Owner, room, cores, load from machines where mac = :mac"),
    ("by_serial", "select owner from machines where serial = :serial and :asset is null"),
    ("of_owner", "select mac from machines where owner = :owner order by mac"),
    (
        "by_form",
        "select owner from machines where replace(upper(mac), ':', '-') = :mac_dash_upper and :arch = 'x64-uefi'",
    ),
    ("all", "select mac from machines order by mac"),
    ("numbers", "with recursive n(i) as (select 1 union all select i + 1 from n where i < :count) select i from n"),
    ("endless", "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i < 0"),
];

/// A site with a database `cmdb`.
pub(super) struct Cmdb {
    pub(super) folder: TempDir,
    pub(super) config: ScriptConfig,
}

impl Cmdb {
    pub(super) fn new(source: &str) -> Cmdb {
        let (folder, mut config) = site(&[("site.rhai", source)]);
        prepare(folder.path(), "cmdb", MACHINES);
        let texts: BTreeMap<String, String> =
            QUERIES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let mut queries = NamedQueries::default();
        assert_eq!(queries.add(&Database::sqlite("cmdb", &folder.path().join("cmdb.db")), &texts), []);
        config.queries = Arc::new(queries);
        Cmdb { folder, config }
    }

    pub(super) fn load(&self) -> ScriptHandler {
        ScriptHandler::load(&self.config).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The problems of the script and its cases, without the folder.
    fn told(&self) -> String {
        let text = match ScriptHandler::load(&self.config) {
            Err(errors) => errors.to_string(),
            Ok(handler) => handler.check_cases().to_string(),
        };
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

/// What `allow_boot` says with this body at a site with a database.
fn asked(body: &str) -> Result<Answer<Verdict>, String> {
    let site = Cmdb::new(&format!("fn allow_boot(request) {{ {body} }}"));
    block_on(site.load().allow_boot(&request())).map_err(|error| error.message)
}

/// The value of an expression.
fn found(expression: &str) -> String {
    match asked(&format!("deny(`=${{{expression}}}`)")) {
        Ok(Answer::Given(verdict)) => verdict.reason().trim_start_matches('=').to_owned(),
        other => panic!("{expression}: {other:?}"),
    }
}

fn known() -> BootRequest {
    let columns: [(&str, Value); 5] = [
        ("HostName", "lab-07".into()),
        ("owner", Value::Null),
        ("cores", 8.into()),
        ("load", Value::Float(0.5)),
        ("spare", true.into()),
    ];
    BootRequest { record: Some(Arc::new(columns.into_iter().collect())), ..request() }
}

fn of_record(expression: &str) -> Result<String, String> {
    let handler = load(&format!("fn allow_boot(request) {{ deny(`=${{{expression}}}`) }}"));
    match block_on(handler.allow_boot(&known())) {
        Ok(Answer::Given(verdict)) => Ok(verdict.reason().trim_start_matches('=').to_owned()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn the_record_reads_by_its_columns() {
    let check =
        |expression: &str, expect: &str| assert_eq!(of_record(expression).as_deref(), Ok(expect), "{expression}");
    check("request.record.hostname", "lab-07");
    check("request.record[\"hostname\"]", "lab-07");
    check("request.record.owner == ()", "true");
    check("request.record.cores + 1", "9");
    check("request.record.load * 2", "1.0");
    check("request.record.spare && true", "true");
    check("\"owner\" in request.record && !(\"room\" in request.record)", "true");
    check("request.record.keys()", "[\"cores\", \"hostname\", \"load\", \"owner\", \"spare\"]");
    check("request.record != ()", "true");
    check("type_of(request.record)", "Record");
    assert!(of_record("request.record").unwrap().contains("\"hostname\": \"lab-07\""));
    assert_eq!(value("request.record == ()"), "true");
}

#[test]
fn a_column_that_is_not_there_is_told_with_the_nearest() {
    let check = |expression: &str, expect: &str| {
        let error = of_record(expression).unwrap_err();
        assert!(error.contains(expect), "{expression}: {error}");
    };
    check("request.record.hostnam", "the record has no column `hostnam`; did you mean `hostname`?");
    check("request.record[\"Owner\"]", "did you mean `owner`?");
    check("request.record + 1", "`+` cannot be used between a row of a database and a number");
    let error = allow("request.record.hostname").unwrap_err();
    assert!(error.contains("`()` (nothing) has no `hostname`"), "{error}");
}

#[test]
fn a_query_finds_rows() {
    assert_eq!(found("query(\"cmdb.owner_of\", request)[0].owner"), "lab");
    assert_eq!(found("query(\"cmdb.owner_of\", request)[0].room == ()"), "true");
    assert_eq!(found("query(\"cmdb.owner_of\", #{ mac: \"52:54:00:00:00:02\" })[0].cores * 2"), "8");
    assert_eq!(found("query(\"cmdb.owner_of\", #{ mac: \"none\" }).len()"), "0");
    assert_eq!(found("query(\"cmdb.by_serial\", request).len()"), "1");
    assert_eq!(found("query(\"cmdb.by_form\", request).len()"), "1");
    assert_eq!(found("query(\"cmdb.of_owner\", query(\"cmdb.owner_of\", request)[0]).len()"), "2");
    assert_eq!(found("query(\"cmdb.all\").len()"), "2");
    assert_eq!(found("fresh_query(\"cmdb.all\")[1].mac"), "52:54:00:12:34:56");
    assert_eq!(found("query(\"cmdb.numbers\", #{ count: 1000 })[999].i"), "1000");
    let error = asked("query(\"cmdb.numbers\", #{ count: 1001 })").unwrap_err();
    assert!(error.contains("more than 1000 rows"), "{error}");
}

#[test]
fn parameters_come_from_the_record_as_well() {
    let site = Cmdb::new("fn allow_boot(request) { deny(`${query(\"cmdb.of_owner\", request).len()} machines`) }");
    let owned = BootRequest { record: Some(Arc::new([("owner", "lab")].into_iter().collect())), ..request() };
    assert_eq!(block_on(site.load().allow_boot(&owned)), Ok(Answer::Given(Verdict::deny("2 machines"))));
}

#[test]
fn a_name_is_found_at_load_where_it_is_written_out_else_when_it_runs() {
    let check = |call: &str, expect: &str| {
        let site = Cmdb::new(&format!("fn allow_boot(request) {{\n  {call}\n}}"));
        let told = site.told();
        assert!(told.contains(expect), "{call}: {told}");
    };
    check(
        "query(\"cmdb.owner\", request)",
        "site.rhai:2:9: the database `cmdb` has no query `owner`; did you mean `owner_of`?",
    );
    check("fresh_query(\"cmbd.all\")", "site.rhai:2:15: there is no database `cmbd`; did you mean `cmdb`?");
    let error = asked("query(\"cmdb.\" + \"owner\", request)").unwrap_err();
    assert!(error.contains("site.rhai:1:26: the database `cmdb` has no query `owner`"), "{error}");
}

#[test]
fn parameters_that_fit_nothing_are_mistakes() {
    let check = |call: &str, expect: &str| {
        let error = asked(call).unwrap_err();
        assert!(error.contains(expect), "{call}: {error}");
    };
    check(
        "query(\"cmdb.owner_of\", #{ mca: request.mac })",
        "query cmdb.owner_of: it needs `mac`, and the map has no `mac`",
    );
    check("query(\"cmdb.owner_of\", #{ mac: request.mac, rom: 1 })", "it has no parameter `rom`; it has mac");
    check("query(\"cmdb.owner_of\")", "it needs `mac`, and is given nothing; write it like #{ mac: request.mac }");
    check("query(\"cmdb.all\", #{ mac: 1 })", "it has no parameter `mac`; it has none");
    check("query(\"cmdb.owner_of\", #{ mac: [1] })", "was given an array; text, numbers, true and false");
    check(
        "query(\"cmdb.of_owner\", request)",
        "it needs `owner`, and that is no fact of the request, and no handler found a record",
    );
    check("query(\"cmdb.owner_of\", query(\"cmdb.by_serial\", request)[0])", "no column of that name");
    check("query(\"cmdb.owner_of\", 5)", "`query` cannot be used with text, a number; write it like query(");
}

#[test]
fn a_query_is_never_waited_for_on_the_callers_thread() {
    let site = Cmdb::new(
        "fn allow_boot(request) { try { query(\"cmdb.all\").len() == 2 } catch { false } }\nfn boot_images(request) { [] }",
    );
    let handler = site.load();
    let inline = handler.program.run(Question::AllowBoot, &request(), handler.program.inline(), answer::verdict);
    assert!(inline.overrun && !inline.waited);
    let runs = |question| handler.shy(question).load(Ordering::Relaxed);
    for _ in 0..40 {
        assert_eq!(block_on(handler.allow_boot(&request())), Ok(Answer::Given(Verdict::allow())));
        // It begins in the background from now on, as long as it asks; the other question does not.
        assert_eq!(runs(Question::AllowBoot), SHY_RUNS);
    }
    assert_eq!(block_on(handler.boot_images(&request())), Ok(Answer::Given(BootImages::none())));
    assert_eq!(runs(Question::BootImages), 0);
}

#[test]
fn a_slow_database_ends_with_the_limit_and_delays_nobody_else() {
    let mut site =
        Cmdb::new("fn allow_boot(request) { if request.serial == \"slow\" { query(\"cmdb.endless\"); } true }");
    site.config.limits.allow_boot = Duration::from_millis(1200);
    let handler = Arc::new(site.load());
    block_on(async {
        let mut machine = Machine::default();
        machine.insert("serial", "slow");
        let asked = BootRequest { machine, ..request() };
        let waiting = Arc::clone(&handler);
        let slow = tokio::spawn(async move { waiting.allow_boot(&asked).await });
        tokio::task::yield_now().await;
        for _ in 0..50 {
            assert_eq!(handler.allow_boot(&request()).await, Ok(Answer::Given(Verdict::allow())));
        }
        assert!(!slow.is_finished(), "the slow one ended before the fast ones");
        let begin = Instant::now();
        let error = slow.await.unwrap().unwrap_err().message;
        assert!(error.contains("site.rhai:1:56: query cmdb.endless: database `cmdb` did not answer within"), "{error}");
        assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
    });
}

#[test]
fn a_query_that_fails_is_an_error_with_its_place_unless_it_is_caught() {
    let gone = |body: &str| {
        let site = Cmdb::new(&format!("fn allow_boot(request) {{ {body} }}"));
        prepare(site.folder.path(), "cmdb", &["drop table machines"]);
        block_on(site.load().allow_boot(&request())).map_err(|error| error.message)
    };
    let error = gone("query(\"cmdb.owner_of\", request)").unwrap_err();
    assert!(error.contains("site.rhai:1:26: query cmdb.owner_of: database `cmdb` refused the query:"), "{error}");
    assert!(error.contains("no such table: machines") && error.ends_with("(machine 52:54:00:12:34:56)"), "{error}");
    let caught =
        gone("let rows = []; try { rows = fresh_query(\"cmdb.all\"); } catch (why) { return deny(why); } true");
    let Ok(Answer::Given(verdict)) = caught else { panic!("{caught:?}") };
    assert!(verdict.reason().contains("no such table"), "{verdict:?}");
}

#[test]
fn the_last_answer_stands_in_but_for_a_fresh_query() {
    let site = Cmdb::new(
        "fn allow_boot(request) { deny(query(\"cmdb.owner_of\", request)[0].owner) }\n\
         fn boot_images(request) { fresh_query(\"cmdb.owner_of\", request); [] }",
    );
    let handler = site.load();
    let lab = Ok(Answer::Given(Verdict::deny("lab")));
    block_on(async {
        assert_eq!(handler.allow_boot(&request()).await, lab);
        assert!(handler.boot_images(&request()).await.is_ok());
    });
    prepare(site.folder.path(), "cmdb", &["drop table machines"]);
    block_on(async {
        assert_eq!(handler.allow_boot(&request()).await, lab);
        let program = Arc::clone(&handler.program);
        let run = move || {
            program.run(Question::AllowBoot, &request(), program.full(Question::AllowBoot), answer::verdict).log
        };
        let log = tokio::task::spawn_blocking(run).await.unwrap();
        assert_eq!(log, ["query cmdb.owner_of: the database failed; its answer of 0 s ago stands in"]);
        let error = handler.boot_images(&request()).await.unwrap_err().message;
        assert!(error.contains("no such table"), "{error}");
    });
}

#[test]
fn the_top_of_a_file_cannot_wait() {
    let told = Cmdb::new("const ROWS = query(\"cmdb.all\");\nfn allow_boot(request) { true }").told();
    assert!(told.starts_with("site.rhai:1:14: nothing can be waited for here"), "{told}");
    let site = Cmdb::new("import \"lib\" as lib;\nfn allow_boot(request) { lib::count() == 2 }");
    std::fs::write(site.folder.path().join("lib.rhai"), "fn count() { query(\"cmdb.all\").len() }").unwrap();
    assert_eq!(block_on(site.load().allow_boot(&request())), Ok(Answer::Given(Verdict::allow())));
}

#[test]
fn cases_answer_queries_without_a_database() {
    let site = Cmdb::new(
        "fn allow_boot(request) { let rows = query(\"cmdb.owner_of\", request); deny(`${rows} ${request.record}`) }",
    );
    let cases = r#"
[[case]]
name = "rows of every type, and none"
record = { HostName = "lab-07", owner = {} }
queries."cmdb.owner_of" = [{ owner = "x", cores = 4, load = 0.5, spare = true, since = 2026-01-01, room = {} }, {}]
reason = '[#{"cores": 4, "load": 0.5, "owner": "x", "room": (), "since": "2026-01-01", "spare": true}, #{}] #{"hostname": "lab-07", "owner": ()}'

[[case]]
name = "as a table"
reason = '[#{"owner": "y"}] '
[case.queries]
"cmdb.owner_of" = [{ owner = "y" }]

[[case]]
name = "a database that is gone"
queries."cmdb.owner_of" = "connection refused"
error = "query cmdb.owner_of: connection refused"
"#;
    std::fs::write(site.folder.path().join("site.cases.toml"), cases).unwrap();
    std::fs::remove_file(site.folder.path().join("cmdb.db")).unwrap();
    assert_eq!(site.told(), "3 cases passed, 0 failed");
}

#[test]
fn a_case_that_does_not_answer_a_query_says_how() {
    let site = Cmdb::new(
        "fn allow_boot(request) { try { query(\"cmdb.owner_of\", request).len() > 0 } catch { true } }\n\
         fn boot_images(request) { query(\"cmdb.owner_of\", #{ mca: 1 }) }",
    );
    let cases = "[[case]]\nname = \"a\"\nexpect = \"allow\"\n[[case]]\nname = \"b\"\nexpect = \"error\"\n\
                 [[case]]\nname = \"c\"\nexpect = \"local\"\n";
    std::fs::write(site.folder.path().join("site.cases.toml"), cases).unwrap();
    let told = site.told();
    let how = "  the script asks cmdb.owner_of, which this case does not answer; add the rows that it finds:\n    \
               queries.\"cmdb.owner_of\" = [{ column = \"value\" }]\n";
    assert!(told.contains(&format!("site.cases.toml:1: case \"a\"\n{how}")), "{told}");
    assert!(told.contains(&format!("site.cases.toml:4: case \"b\"\n{how}")), "{told}");
    // Mistakes in the parameters are found before.
    assert!(
        told.contains("it needs `mac`, and the map has no `mac`") && told.ends_with("0 cases passed, 3 failed"),
        "{told}"
    );
}

#[test]
fn answers_with_mistakes_say_where() {
    let check = |line: &str, expect: &str| {
        let site = Cmdb::new("fn allow_boot(request) { true }");
        let cases = format!("[[case]]\nname = \"a\"\nexpect = \"allow\"\n{line}\n");
        std::fs::write(site.folder.path().join("site.cases.toml"), cases).unwrap();
        let told = site.told();
        assert!(told.contains(expect), "{line}: {told}");
    };
    check(
        "queries.\"cmdb.owner\" = []",
        "site.cases.toml:4:9: case \"a\": the database `cmdb` has no query `owner`; did you mean",
    );
    check(
        "queries.\"cmdb.all\" = 5",
        "site.cases.toml:4:22: expected what the query finds, as in [{ column = \"value\" }]",
    );
    check(
        "queries.\"cmdb.all\" = [{ mac = [1] }]",
        "site.cases.toml:4:9: case \"a\": the column `mac` has no value of a database",
    );
    check(
        "record = { mac = { a = 1 } }",
        "site.cases.toml:4:12: case \"a\": the column `mac` has no value of a database",
    );
    check("record = 5", "site.cases.toml:4:10: expected a table, not the number 5");
}

#[test]
fn answers_of_a_case_end_with_it() {
    let broken = || outside::with_answers(&Arc::default(), || panic!("a bug of ours"));
    assert!(std::panic::catch_unwind(broken).is_err());
    // The same thread: the next run asks the database.
    assert_eq!(found("query(\"cmdb.all\").len()"), "2");
    assert!(!outside::is_answered());
}
