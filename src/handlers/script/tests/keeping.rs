//! Notes, counters and web services, as a script has them.

use super::*;
use crate::boot::{Found, IdentityStatus};
use crate::config::Config;
use crate::store::Store;
use crate::upstream::{Upstreams, tests as upstream};
use upstream::{Reply, Server};

/// A handler whose notes are kept in a folder.
fn keeping(folder: &TempDir, source: &str, keeps: bool) -> ScriptHandler {
    std::fs::write(folder.path().join("site.rhai"), source).unwrap();
    let database = crate::database::Database::sqlite("store", &folder.path().join("store.db"));
    let reach = Reach { store: Some(Store::on(database).unwrap()), keeps, ..Reach::default() };
    let config = ScriptConfig { reach, ..config(folder.path(), "site.rhai", "site.rhai") };
    ScriptHandler::load(&config).unwrap_or_else(|errors| panic!("{errors}"))
}

async fn said(handler: &ScriptHandler, request: &BootRequest) -> String {
    match handler.allow_boot(request).await {
        Ok(Answer::Given(verdict)) => verdict.reason().to_owned(),
        Err(error) => error.message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn notes_are_kept_once_and_seen_by_later_reads() {
    let folder = TempDir::new().unwrap();
    let script = "fn allow_boot(request) {
        let before = state.get(\"tries\", 0);
        state.add(\"tries\", 1);
        state.set(\"last\", request.hostname + \"x\");
        state.set(\"gone\", true);
        state.clear(\"gone\");
        deny(`${before} ${state.get(\"tries\")} ${state.get(\"last\")} ${state.get(\"gone\") == ()}`)
    }";
    let handler = keeping(&folder, script, true);
    assert_eq!(said(&handler, &request()).await, "0 1 x true");
    assert_eq!(said(&handler, &request()).await, "1 2 x true");
    let mut other = request();
    other.client.hardware = "52:54:00:12:34:57".parse().unwrap();
    assert_eq!(said(&handler, &other).await, "0 1 x true");
    assert_eq!(said(&keeping(&folder, script, true), &request()).await, "2 3 x true");
    let known = crate::boot::Identity { status: IdentityStatus::Known, machine: "lab-07".into(), ..Default::default() };
    let known = BootRequest { identity: Arc::new(known), ..request() };
    assert_eq!(said(&handler, &known).await, "0 1 x true");
}

#[tokio::test]
async fn what_only_tries_or_fails_keeps_nothing() {
    let folder = TempDir::new().unwrap();
    let counts = "state.add(\"tries\", 1); count(\"keeping_test\"); let n = state.get(\"tries\");";
    let tries = keeping(&folder, &format!("fn allow_boot(r) {{ {counts} deny(`${{n}}`) }}"), false);
    let fails = keeping(&folder, &format!("fn allow_boot(r) {{ {counts} deny(r.hostname.nothing) }}"), true);
    for _ in 0..2 {
        assert_eq!(said(&tries, &request()).await, "1");
        assert!(said(&fails, &request()).await.contains("nothing"));
    }
    assert_eq!(counts_of("keeping_test"), 0);
    let serves =
        keeping(&folder, &format!("fn allow_boot(r) {{ {counts} count(\"keeping_test\"); deny(`${{n}}`) }}"), true);
    assert_eq!(said(&serves, &request()).await, "1");
    assert_eq!(counts_of("keeping_test"), 2);
}

fn counts_of(name: &str) -> u64 {
    counts().get(name).copied().unwrap_or(0)
}

#[tokio::test]
async fn a_store_that_is_gone_costs_a_note_and_no_boot() {
    let folder = TempDir::new().unwrap();
    let handler =
        keeping(&folder, "fn allow_boot(r) { state.set(\"a\", 1); state.add(\"b\", 1); deny(\"done\") }", true);
    std::fs::create_dir(folder.path().join("store.db")).unwrap();
    let lost = counts_of("_notes_lost");
    assert_eq!(said(&handler, &request()).await, "done");
    assert!(counts_of("_notes_lost") > lost);
}

#[test]
fn slips_with_notes_are_told() {
    let told = |body: &str| allow(body).unwrap_err();
    assert!(told("state.set(\"a b\", 1)").contains("no name for a note"));
    assert!(told("state.set(\"a\", [1])").contains("text, a whole number, true or false, not an array"));
    assert!(told("let text = \"x\"; text.pad(1001, \"x\"); state.set(\"a\", text)").contains("at most 1000"));
    assert!(told("for n in 0..101 { state.add(\"a\", 1) }").contains("100 times"));
    assert!(told("count(\"a b\")").contains("is no name"));
    assert_eq!(value("{ let state = 7; state + 1 }"), "8", "a variable of the script's own");
    let top = problems(&[("site.rhai", "const A = state.get(\"a\");\nfn allow_boot(r) { true }")]);
    assert!(top.contains("before any machine asks"), "{top}");
    assert!(problems(&[("site.rhai", "fn allow_boot(r) { states.get(\"a\") }")]).contains("states"));
}

/// The web service of a server, at `[web.nac]`.
fn reaching(server: &Server, source: &str, keeps: bool) -> (TempDir, ScriptHandler) {
    let (folder, config) = site(&[("site.rhai", source)]);
    let text = format!("[[handler]]\nkind = \"script\"\n[web.nac]\nurl = \"http://127.0.0.1:{}\"\n", server.port);
    let shown = Config::parse(&folder.path().join("pointsman.toml"), &text).unwrap();
    let web = Upstreams::open(&shown, None).unwrap().web().clone();
    let config = ScriptConfig { reach: Reach { web, store: None, keeps }, ..config };
    let handler = ScriptHandler::load(&config).unwrap_or_else(|errors| panic!("{errors}"));
    (folder, handler)
}

#[tokio::test]
async fn a_web_service_answers_and_the_answer_is_kept_in_the_account() {
    let server = Server::start(|line, _| match line {
        line if line.contains("/none") => Reply::Say(404, "who?".into()),
        line if line.starts_with("POST") => Reply::Say(201, String::new()),
        _ => Reply::Say(200, "{\"role\": \"lab\", \"vlans\": [12, 13]}".into()),
    })
    .await;
    let script = "fn allow_boot(request) {
        let known = http_get(\"nac\", [\"mab\", request.mac], #{ query: #{ site: \"a b\" } });
        let none = http_get(\"nac\", \"/none\");
        let posted = http_post(\"nac\", \"/mab\", #{ mac: request.mac, tags: [1, true] });
        deny(`${known.json.role} ${known.json.vlans[1]} ${known.ok} ${none.status} ${none.ok} ${none.body} ${posted.status}`)
    }";
    let (_folder, handler) = reaching(&server, script, true);
    let answer = RequestHandler::allow_boot(&handler, &request()).await.unwrap();
    let Answer::Explained { given: Some(verdict), account: Some(account), .. } = answer else { panic!() };
    assert_eq!(verdict.reason(), "lab 13 true 404 false who? 201");
    let sources: Vec<&str> = account.readings.iter().map(|reading| reading.source.as_str()).collect();
    assert_eq!(sources, ["http GET nac /mab/52:54:00:12:34:56", "http GET nac /none", "http POST nac /mab"]);
    assert!(matches!(&account.readings[1].found, Found::Answer(answer) if answer["status"] == 404));
    let requests = server.requests();
    assert!(requests[0].starts_with("GET /mab/52:54:00:12:34:56?site=a+b "), "{requests:?}");
    assert!(requests[2].ends_with("{\"mac\":\"52:54:00:12:34:56\",\"tags\":[1,true]}"), "{requests:?}");

    let (_folder, tries) = reaching(&server, script, false);
    assert!(said(&tries, &request()).await.contains("nothing is posted where scripts are only tried"));
    assert_eq!(server.requests().len(), 5);
    let no_json = "fn allow_boot(r) { deny(http_get(\"nac\", \"/none\").json.x) }";
    let told = said(&reaching(&server, no_json, true).1, &request()).await;
    assert!(told.contains("http GET nac /none: the answer (status 404) is no JSON"), "{told}");
    let unknown = "fn allow_boot(r) { deny(http_get(\"nca\", \"/none\").body) }";
    let told = said(&reaching(&server, unknown, true).1, &request()).await;
    assert!(told.contains("there is no web service `nca`; did you mean `nac`?"), "{told}");
    let slips = problems(&[("site.rhai", "fn allow_boot(r) { http_get(\"nac\", \"/mab/\" + r.mac).ok }")]);
    assert!(slips.contains("could lead it elsewhere") && slips.contains("as an array"), "{slips}");
}

#[test]
fn cases_say_what_services_answer_and_what_was_noted() {
    let script = "fn allow_boot(request) {
        if state.get(\"tries\", 0) > 2 { return deny(\"too many\"); }
        state.add(\"tries\", 1);
        if request.identity.status == \"ambiguous\" { return deny(request.identity.candidates[0]); }
        if http_get(\"nac\", [\"mab\", request.mac]).json.open { allow() } else { deny(\"closed\") }
    }";
    let cases = "
        [[case]]
        name = \"open\"
        http.\"GET nac /mab/52:54:00:00:00:01\" = { json = { open = true } }
        expect = \"allow\"
        [[case]]
        name = \"closed\"
        notes = { tries = 2 }
        http.\"GET nac /mab/52:54:00:00:00:01\" = { status = 200, json = { open = false } }
        reason = \"closed\"
        [[case]]
        name = \"too many\"
        notes = { tries = 3 }
        reason = \"too many\"
        [[case]]
        name = \"which\"
        identity = { status = \"ambiguous\", candidates = [\"a\", \"b\"] }
        reason = \"a\"
        [[case]]
        name = \"gone\"
        http.\"GET nac /mab/52:54:00:00:00:01\" = \"connection refused\"
        error = \"connection refused\"
        [[case]]
        name = \"not said\"
        expect = \"allow\"
    ";
    let (_folder, config) = site(&[("site.rhai", script), ("site.cases.toml", cases)]);
    let report = ScriptHandler::load(&config).unwrap().check_cases();
    assert_eq!((report.passed, report.failures.len(), report.errors.len()), (5, 1, 0), "{report}");
    assert!(report.to_string().contains("http.\"GET nac /mab/52:54:00:00:00:01\" = { status = 200"), "{report}");
}
