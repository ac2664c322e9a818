//! Where an answer was made, and which lines a run goes through.

use std::collections::BTreeSet;

use super::*;
use crate::boot::{Found, Reading};

/// `FILE:LINE` of the answer to both questions, with the folder left out.
fn lines(files: &[(&str, &str)]) -> (String, String) {
    let (folder, config) = site(files);
    let handler = ScriptHandler::load(&config).unwrap_or_else(|errors| panic!("{errors}"));
    let allow = account(block_on(RequestHandler::allow_boot(&handler, &request())));
    let images = account(block_on(RequestHandler::boot_images(&handler, &request())));
    let plain = |account: Account| account.line.replace(&format!("{}/", folder.path().display()), "");
    (plain(allow), plain(images))
}

fn account<T: std::fmt::Debug>(answer: Result<Answer<T>, HandlerError>) -> Account {
    match answer {
        Ok(Answer::Explained { account: Some(account), .. }) => *account,
        Err(HandlerError { account: Some(account), .. }) => *account,
        Ok(Answer::Pass) => Account::default(),
        other => panic!("{other:?}"),
    }
}

fn check(body: &str, expect: &str) {
    let (line, _) = lines(&[("site.rhai", &format!("fn allow_boot(request) {{\n{body}\n}}"))]);
    assert_eq!(line, expect, "{body}");
}

#[test]
fn an_answer_tells_the_line_of_its_builder() {
    check("if request.is_ipxe { return deny(\"no\"); }\nallow()", "site.rhai:3");
    check("let a = 1;\n\nif a == 1 {\n  return deny(\"no\");\n}\nallow()", "site.rhai:5");
    check("pass()", "site.rhai:2");
    check("refer(\"main\")", "site.rhai:2");
    check("let ruling =\n  ignore(\"x\");\nruling", "site.rhai:3");
    let (_, images) = lines(&[(
        "site.rhai",
        "fn boot_images(request) {\n  let a = linux(#{\n kernel: \"k\" });\n  let m = menu(#{ images: [a, shell()] });\n  m\n}",
    )]);
    assert_eq!(images, "site.rhai:4");
    let (_, images) = lines(&[("site.rhai", "fn boot_images(request) {\n  let a =\n    shell();\n  [a, reboot()]\n}")]);
    assert_eq!(images, "site.rhai:3", "the first image of an array speaks for it");
}

#[test]
fn an_answer_of_a_module_tells_the_line_of_the_module() {
    let (line, _) = lines(&[
        ("site.rhai", "import \"lib/rules\" as rules;\nfn allow_boot(request) {\n  rules::decide(request)\n}"),
        ("lib/rules.rhai", "// rules\n\nfn decide(request) {\n  deny(\"by the module\")\n}"),
    ]);
    assert_eq!(line, "lib/rules.rhai:4");
}

#[test]
fn bare_values_tell_their_line_too() {
    check("true", "site.rhai:2");
    check("if request.is_ipxe { return true; }\nfalse", "site.rhai:3");
    check("request.mac == \"x\"", "site.rhai:2");
    check("if request.mac == \"x\" { return true; }\nif request.uuid == \"\" { return false; }\nfalse", "site.rhai:3");
    check("if request.mac != \"x\" { request.uuid == \"\" }\nelse { request.is_ipxe }", "site.rhai:2");
    check("switch request.platform {\n\"bios\" => true,\n\"efi\" => true,\n_ => false }", "site.rhai:4");
    check("let x = 1;\nif request.mac == \"x\" { return allow(); }", "site.rhai:3");
    check("", "");
    let (_, images) =
        lines(&[("site.rhai", "fn boot_images(request) {\n  if request.is_ipxe { return [reboot()]; }\n  []\n}")]);
    assert_eq!(images, "site.rhai:3");
}

#[test]
fn an_error_tells_its_line() {
    check("let row = ();\nrow.role", "site.rhai:3");
}

#[test]
fn a_trace_has_the_lines_that_ran_in_order_and_once_each() {
    let (folder, config) = site(&[
        (
            "site.rhai",
            "import \"lib/a\" as a;\n\nfn allow_boot(request) {\n  for n in 1..3 {\n    a::twice(n);\n  }\n  if request.mac == \"x\" {\n    return deny(\"x\");\n  }\n  allow()\n}",
        ),
        ("lib/a.rhai", "fn twice(n) {\n  if n > 99 {\n    throw \"no\";\n  }\n  n * 2\n}"),
    ]);
    let handler = ScriptHandler::load(&config).unwrap();
    let traced = handler.trace(Question::AllowBoot, &request(), &[]);
    let short = |file: &str| file.replace(&format!("{}/", folder.path().display()), "");
    let path: Vec<_> = traced.trace.path.iter().map(|(file, line)| format!("{}:{line}", short(file))).collect();
    assert_eq!(
        path,
        ["site.rhai:1", "site.rhai:4", "site.rhai:5", "lib/a.rhai:2", "lib/a.rhai:5", "site.rhai:7", "site.rhai:10"]
    );
    assert_eq!(short(&traced.line), "site.rhai:10");
    assert!(traced.error.is_none() && traced.unanswered.is_none());
    let code = handler.program.code_lines();
    let code: Vec<_> = code.iter().map(|(file, lines)| (short(file), lines.clone())).collect();
    assert_eq!(
        code,
        [
            ("lib/a.rhai".to_owned(), BTreeSet::from([2, 3, 5])),
            ("site.rhai".to_owned(), BTreeSet::from([4, 5, 7, 8, 10]))
        ]
    );
    assert_eq!(handler.source_line(&traced.trace.path[1].0, 10).unwrap(), "  allow()");
}

#[test]
fn a_trace_goes_by_what_was_told_and_asks_nobody() {
    let site = queries::Cmdb::new("fn allow_boot(request) {\n  query(\"cmdb.owner_of\", request).len() == 3\n}");
    let handler = site.load();
    let rows = serde_json::json!([{ "owner": "a" }, { "owner": "b" }, { "owner": "c" }]);
    let traced = handler.trace(Question::AllowBoot, &request(), &[]);
    assert_eq!(traced.unanswered.as_deref(), Some("query cmdb.owner_of"));
    let asked = account(block_on(RequestHandler::allow_boot(&handler, &request()))).readings;
    let told: Vec<_> =
        asked.into_iter().map(|reading| Reading { found: Found::Answer(rows.clone()), ..reading }).collect();
    let traced = handler.trace(Question::AllowBoot, &request(), &told);
    assert!(traced.error.is_none() && traced.line.ends_with("site.rhai:2"), "{traced:?}");
}
