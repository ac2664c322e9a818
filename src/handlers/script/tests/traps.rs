//! The ways out of the sandbox that Rhai leaves open, each closed.

use super::super::limits::EXPRESSION_DEPTH_MAX;
use super::*;

/// The error of a script that may fail when it is loaded or when it runs.
fn refused(source: &str) -> String {
    let (_folder, mut config) = site(&[("site.rhai", source)]);
    config.limits.allow_boot = std::time::Duration::from_secs(2);
    config.limits.boot_images = std::time::Duration::from_secs(2);
    config.limits.operations = 200_000;
    match ScriptHandler::load(&config) {
        Err(errors) => errors.to_string(),
        Ok(handler) => block_on(handler.allow_boot(&request())).expect_err(source).message,
    }
}

fn check(body: &str, expect: &str) {
    let error = refused(&format!("fn allow_boot(request) {{ {body} }}"));
    assert!(error.contains(expect), "{body}: {error}");
}

#[test]
fn sleep_does_not_sleep() {
    let begin = std::time::Instant::now();
    check("sleep(2)", "cannot wait");
    check("sleep(2.0)", "cannot wait");
    assert!(begin.elapsed().as_secs() < 2);
}

#[test]
fn text_is_no_script_and_there_is_no_clock() {
    check("eval(\"1\")", "eval");
    check("timestamp()", "request.now");
}

#[test]
fn imports_stay_in_the_scripts_folder() {
    let outside = TempDir::new().unwrap();
    std::fs::write(outside.path().join("secret.rhai"), "fn leak() { 1 }").unwrap();
    let (folder, config) = site(&[]);
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    let absolute = outside.path().join("secret").display().to_string();
    let up = format!("../{}/secret", outside.path().file_name().unwrap().to_str().unwrap());
    for name in [absolute.as_str(), up.as_str(), "lib/../../x", "./site", "link/secret", "", "a\\\\b", "C:/x"] {
        let source = format!("import \"{name}\" as x;\nfn allow_boot(request) {{ x::leak() }}");
        std::fs::write(folder.path().join("site.rhai"), source).unwrap();
        let errors = ScriptHandler::load(&config).err().unwrap_or_else(|| panic!("{name} was loaded")).to_string();
        assert!(errors.contains("site.rhai:1:8:") && errors.contains("leaves the scripts folder"), "{name}: {errors}");
    }
    // A name that is made at run time finds only what is loaded.
    check("let name = \"/etc/passwd\"; import name as x; true", "there is no module `/etc/passwd`");
}

#[test]
fn imports_in_a_circle_are_told() {
    let errors = problems(&[
        ("site.rhai", "import \"a\" as a;\nfn allow_boot(request) { true }"),
        ("a.rhai", "import \"b\" as b;\nfn f() { 1 }"),
        ("b.rhai", "import \"a\" as a;\nfn g() { 1 }"),
    ]);
    assert!(errors.contains("b.rhai:1:8: the imports go in a circle") && errors.contains("a -> b -> a"), "{errors}");
}

#[test]
fn what_a_script_returns_is_measured_though_maps_are_not() {
    check("let m = #{}; for i in 0..5000 { m[`k${i}`] = i; } m", "returned a map");
    check("let m = #{}; for i in 0..5000 { m[`k${i}`] = i; } linux(m)", "linux has no option `k0`");
}

#[test]
fn memory_is_bounded_though_copies_are_not_counted() {
    let (_folder, mut config) = site(&[(
        "site.rhai",
        "fn allow_boot(request) {
           let text = \"\"; text.pad(200000, 'x');
           let m = #{};
           let i = 0;
           loop { m[text + i] = i; i += 1; }
         }",
    )]);
    config.limits.memory = 128 << 20;
    config.limits.allow_boot = std::time::Duration::from_secs(60);
    let handler = ScriptHandler::load(&config).unwrap();
    let error = block_on(handler.allow_boot(&request())).unwrap_err().message;
    assert!(error.contains("too much memory"), "{error}");
}

#[test]
fn text_and_elements_are_bounded() {
    check("let s = \"x\"; loop { s += s; }", "too large");
    check("let a = []; loop { a.push(1); }", "too large");
    check("let s = \"\"; s.pad(100000000, 'x'); s", "too large");
    check("let b = blob(100000000); b", "too large");
    check("let a = [0]; loop { a += a; }", "too large");
    // The text in one value is added up.
    check("let a = []; for i in 0..3 { let s = \"\"; s.pad(100000, 'x'); a.push(s); } a", "too large");
}

#[test]
fn steps_depth_and_time_are_bounded() {
    check("loop {}", "endless loop");
    check("while true { try { throw 1 } catch { } }", "endless loop");
    let error = refused("fn f(x) { f(x + 1) }\nfn allow_boot(request) { f(0) }");
    assert!(error.contains("call each other too deeply") && error.contains("site.rhai:2:1:"), "{error}");
    let error = refused("fn a(x) { try { b(x) } catch { b(x) } }\nfn b(x) { a(x) }\nfn allow_boot(request) { a(0) }");
    assert!(error.contains("too deeply"), "{error}");
}

#[test]
fn bombs_for_the_parser_are_errors() {
    for bomb in [
        "(".repeat(100_000),
        "[".repeat(100_000),
        "-".repeat(100_000),
        format!("let x = {}1", "!".repeat(50_000)),
        "{".repeat(100_000),
        "if true {".repeat(10_000),
        "1+".repeat(100_000),
        "`${".repeat(10_000),
        "/*".repeat(100_000),
    ] {
        refused(&format!("fn allow_boot(request) {{ {bomb}"));
    }
}

#[test]
fn only_definitions_stand_at_the_top() {
    for (line, source) in [
        (1, "let x = 1;\nfn allow_boot(request) { true }"),
        (2, "const A = 1;\nlog(\"x\");\nfn allow_boot(request) { true }"),
        (2, "fn allow_boot(request) { if true { 1 } else { 2 } }\n\"text\""),
    ] {
        let error = refused(source);
        assert!(error.contains(&format!("site.rhai:{line}:1: only `const`, `import` and `fn`")), "{error}");
    }
    // An endless constant does not hold up the start.
    let error = refused("const A = { loop {} };\nfn allow_boot(request) { true }");
    assert!(error.contains("endless loop"), "{error}");
}

#[test]
fn constants_are_there_by_their_global_name() {
    let handler = load("const ROLE = \"lab\";\nfn allow_boot(request) { deny(global::ROLE) }");
    assert_eq!(block_on(handler.allow_boot(&request())), Ok(Answer::Given(Verdict::deny("lab"))));
    let error = refused("const ROLE = \"lab\";\nfn allow_boot(request) { deny(ROLE) }");
    assert!(
        error.contains("site.rhai:2:31: there is no variable `ROLE`") && error.contains("`global::ROLE`"),
        "{error}"
    );
}

#[test]
fn slips_are_found_before_a_machine_asks() {
    for (source, expect) in [
        ("fn allow_boot(request) { alow() }", "did you mean `allow`?"),
        ("fn allow_boot(request) { request.prodct == \"\" }", "did you mean `product`?"),
        ("fn alow_boot(request) { true }", "fn allow_boot(request)"),
        ("fn allow_boot() { true }", "fn allow_boot(request)"),
        ("fn boot_image(request) { [] }", "fn boot_images(request)"),
        ("fn allow_boot(request) { table(\"machines.csv\") ; true", "missing"),
        ("fn allow_boot(request) { lib::f() }", "import it at the top"),
    ] {
        let errors = problems(&[("site.rhai", source)]);
        assert!(errors.contains(expect), "{source}: {errors}");
    }
}

#[test]
fn no_state_is_kept_between_questions() {
    let handler =
        load("const LIST = [1];\nfn allow_boot(request) { let l = global::LIST; l.push(2); deny(`${l.len()}`) }");
    for _ in 0..3 {
        assert_eq!(block_on(handler.allow_boot(&request())), Ok(Answer::Given(Verdict::deny("2"))));
    }
}

/// The deepest run that the limits allow must fit into the stack of a thread of Tokio's (2 MiB), of which others use a
/// part: an overflow would end the daemon.
#[test]
fn the_deepest_run_fits_into_the_stack() {
    const STACK: usize = 3 << 19;
    let shapes = [
        ("[", "]"),
        ("max(1, ", ")"),
        ("{ ", " }"),
        ("if true { ", " } else { 0 }"),
        ("(1 + ", ")"),
        ("`${", "}`"),
        ("#{a: ", "}"),
        ("[0][", "]"),
        ("-", ""),
        ("f(", ")"),
        ("switch 1 { 1 => ", " }"),
        ("for i in 0..1 { ", " }"),
        ("try { ", " } catch { 1 }"),
        ("{ let x = ", "; x }"),
    ];
    let engine = sandbox::engine();
    for (open, close) in shapes {
        let source = |depth| {
            let nested = format!("{}f(x + 1){}", open.repeat(depth), close.repeat(depth));
            format!("fn f(x) {{ {nested} }}\nfn allow_boot(request) {{ f(0) }}")
        };
        let deepest = (1..=EXPRESSION_DEPTH_MAX).rev().map(source).find(|source| engine.compile(source).is_ok());
        let handler = load(&deepest.unwrap_or_else(|| panic!("`{open}` nests nowhere")));
        let run = move || block_on(handler.allow_boot(&request())).unwrap_err().message;
        let error = std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
        assert!(
            error.contains("too deep") || error.contains("too large") || error.contains("steps"),
            "{open}: {error}"
        );
    }
}
