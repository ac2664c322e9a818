//! What every handler must do: give, pass, fail with a reason, and take care of itself.

use std::time::Duration;

use super::*;
use crate::boot::{FactsForm, ImageKind, Record};
use crate::decision::HandlerError;

#[test]
fn gives_verdicts() {
    assert_eq!(allow("allow()"), Ok(Answer::Given(Verdict::allow())));
    assert_eq!(allow("true"), Ok(Answer::Given(Verdict::allow())));
    assert_eq!(allow("deny(`no ${request.mac}`)"), Ok(Answer::Given(Verdict::deny("no 52:54:00:12:34:56"))));
    assert_eq!(allow("ignore(\"not ours\")"), Ok(Answer::Given(Verdict::ignore("not ours"))));
    assert!(matches!(allow("false"), Ok(Answer::Given(Verdict::Deny { .. }))));
}

#[test]
fn passes() {
    assert_eq!(allow("pass()"), Ok(Answer::Pass));
    assert_eq!(allow("()"), Ok(Answer::Pass));
    assert_eq!(allow(""), Ok(Answer::Pass));
    assert_eq!(allow("if request.mac == \"x\" { return allow(); }"), Ok(Answer::Pass));
    assert_eq!(images("pass()"), Ok(Answer::Pass));
    assert_eq!(images(""), Ok(Answer::Pass));
    let neither = load("fn help(x) { x }");
    assert_eq!(block_on(neither.allow_boot(&request())), Ok(Answer::Pass));
    assert_eq!(block_on(neither.boot_images(&request())), Ok(Answer::Pass));
    assert_eq!((neither.name(), neither.answers(Question::AllowBoot)), ("script", None));
}

#[test]
fn refers_by_a_note_beside_what_is_known() {
    let handler = load(
        "fn allow_boot(request) { refer(\"main\") }\nfn boot_images(request) { refer(\"b-1\", #{ style: \"redirect\" }) }",
    );
    let note = |answer: Result<Answer<Verdict>, HandlerError>| match answer {
        Ok(Answer::Noted(record)) => record,
        other => panic!("{other:?}"),
    };
    let alone = note(block_on(handler.allow_boot(&request())));
    assert_eq!((alone.text("upstream").as_deref(), alone.text("upstream_style")), (Some("main"), None));
    let row: Record = [("hostname", "lab-07"), ("upstream_style", "ask")].into_iter().collect();
    let known = BootRequest { record: Some(Arc::new(row)), ..request() };
    let beside = note(block_on(handler.allow_boot(&known)));
    assert_eq!(beside.text("hostname").as_deref(), Some("lab-07"));
    assert_eq!((beside.text("upstream").as_deref(), beside.text("upstream_style")), (Some("main"), None));
    let Ok(Answer::Noted(styled)) = block_on(handler.boot_images(&known)) else { panic!() };
    assert_eq!(
        (styled.text("upstream").as_deref(), styled.text("upstream_style").as_deref()),
        (Some("b-1"), Some("redirect"))
    );
    let wide: Record = (0..Record::COLUMNS_MAX).map(|column| (column.to_string(), 1_i64)).collect();
    let error = block_on(handler.allow_boot(&BootRequest { record: Some(Arc::new(wide)), ..request() })).unwrap_err();
    assert!(error.message.contains("too wide"), "{error}");
    let says = |body: &str, expect: &str| {
        let error = allow(body).unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    says("refer(\"../main\")", "`../main` is no name of an upstream");
    says("refer()", "needs the name of an upstream");
    says("refer(\"main\", #{ style: \"push\" })", "`style` is \"push\"; use \"ask\" or \"redirect\"");
    says("refer(\"main\", #{ stile: \"ask\" })", "has no option `stile`; did you mean `style`?");
}

#[test]
fn gives_images_that_hand_over_and_ask_again() {
    let kind = |body: &str| match images(body) {
        Ok(Answer::Given(images)) => images.images()[0].kind.clone(),
        other => panic!("{body}: {other:?}"),
    };
    let url = "http://h/boot.ipxe".parse().unwrap();
    let expect = |facts| ImageKind::Referral { url: crate::boot::Url::clone(&url), facts };
    assert_eq!(kind("referral(\"http://h/boot.ipxe\")"), expect(FactsForm::Form));
    assert_eq!(kind("referral(#{ url: \"http://h/boot.ipxe\", facts: \"query\" })"), expect(FactsForm::Query));
    assert_eq!(kind("retry(15)"), ImageKind::Retry { wait: Duration::from_secs(15) });
    let says = |body: &str, expect: &str| {
        let error = images(body).unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    says("referral(\"boot.ipxe\")", "`url` is \"boot.ipxe\": `boot.ipxe` is no URL");
    says("referral(#{ url: \"http://h/\", facts: \"post\" })", "use form, query or none");
    says("referral(#{})", "referral needs `url`");
    says("retry(0)", "from 1 to 86400");
}

#[test]
fn gives_images() {
    let given = |body: &str| match images(body) {
        Ok(Answer::Given(images)) => images,
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(given("[]"), BootImages::none());
    let one =
        given("linux(#{ kernel: \"d/linux\", initrd: [\"d/a\", \"http://h/b\"], cmdline: [\"quiet\", \"x=1\"] })");
    let ImageKind::Linux { kernel, initrd, cmdline } = &one.images()[0].kind else { panic!("{one:?}") };
    assert_eq!((kernel.to_string().as_str(), initrd.len(), cmdline.as_str()), ("d/linux", 2, "quiet x=1"));
    let several = given("[chain(\"a\"), chain(\"b\"), local_disk(\"Disk\")]");
    let ids: Vec<_> = several.images().iter().map(|image| (image.id.as_str(), image.title.as_str())).collect();
    assert_eq!(ids, [("chain", "a"), ("chain-2", "b"), ("local", "Disk")]);
    let menu =
        given("menu(#{ title: \"Lab\", timeout: 5, default_image: \"shell\", images: [local_disk(), shell()] })");
    let shown = menu.menu().unwrap();
    assert_eq!(
        (shown.title.as_str(), shown.default.as_deref(), shown.timeout.unwrap().as_secs()),
        ("Lab", Some("shell"), 5)
    );
    assert_eq!(given("menu(#{ images: [shell()], timeout: 0 })").menu().unwrap().timeout, None);
}

#[test]
fn an_error_names_file_line_and_machine() {
    let handler = load("fn allow_boot(request) {\n  let x = 1;\n  throw \"no luck\";\n}");
    let error = block_on(handler.allow_boot(&request())).unwrap_err().message;
    assert!(error.contains("site.rhai:3:3: no luck"), "{error}");
    assert!(error.ends_with("(machine 52:54:00:12:34:56)"), "{error}");
}

#[test]
fn an_error_in_an_imported_function_names_its_own_file() {
    let (_folder, config) = site(&[
        ("site.rhai", "import \"lib/help\" as help;\nfn allow_boot(request) {\n  help::inner(request)\n}"),
        ("lib/help.rhai", "// help\nfn deeper(x) {\n  throw \"deep\"\n}\nfn inner(x) { deeper(x) }"),
    ]);
    let handler = ScriptHandler::load(&config).unwrap();
    let error = block_on(handler.allow_boot(&request())).unwrap_err().message;
    assert!(error.contains("lib/help.rhai:3:3: deep"), "{error}");
}

#[test]
fn a_panic_inside_is_an_error_and_the_handler_lives_on() {
    let (_folder, config) =
        site(&[("site.rhai", "fn allow_boot(request) { if request.serial == \"\" { allow() } else { explode() } }")]);
    let handler = ScriptHandler::load_with(&config, |engine| {
        engine.register_fn("explode", || -> bool { panic!("a bug of ours") });
    });
    let handler = handler.unwrap();
    let error = block_on(handler.allow_boot(&request())).unwrap_err().message;
    assert!(error.contains("a bug of ours") && error.contains("please report"), "{error}");
    let other = BootRequest { machine: Machine::default(), ..request() };
    assert_eq!(block_on(handler.allow_boot(&other)), Ok(Answer::Given(Verdict::allow())));
}

#[test]
fn a_run_that_is_begun_anew_logs_once() {
    let handler =
        load("fn allow_boot(request) { log(\"begin\"); let n = 0; while n < 40000 { n += 1; } log(\"end\"); true }");
    let program = &handler.program;
    let inline = program.run(Question::AllowBoot, &request(), program.inline(), answer::verdict);
    assert!(inline.overrun);
    let full = program.run(Question::AllowBoot, &request(), program.full(Question::AllowBoot), answer::verdict);
    assert_eq!((full.overrun, full.log), (false, vec!["begin".to_owned(), "end".to_owned()]));
    assert_eq!(block_on(handler.allow_boot(&request())), Ok(Answer::Given(Verdict::allow())));
}

#[test]
fn two_files_with_imports_of_their_own() {
    let (folder, _) = site(&[
        (
            "allow_boot.rhai",
            "import \"lib/a\" as a; import \"lib/common\" as common;\nfn allow_boot(request) { a::yes() && common::yes() }",
        ),
        (
            "boot_images.rhai",
            "import \"lib/b\" as b; import \"lib/common\" as common;\nfn boot_images(request) { if common::yes() { b::disk() } }",
        ),
        ("lib/a.rhai", "fn yes() { true }"),
        ("lib/b.rhai", "fn disk() { local_disk() }"),
        ("lib/common.rhai", "import \"lib/a\" as a;\nfn yes() { a::yes() }"),
    ]);
    let handler = ScriptHandler::load(&config(folder.path(), "allow_boot.rhai", "boot_images.rhai"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    // Nothing is read after loading.
    drop(folder);
    assert_eq!(block_on(handler.allow_boot(&request())), Ok(Answer::Given(Verdict::allow())));
    assert!(matches!(block_on(handler.boot_images(&request())), Ok(Answer::Given(_))));
}
