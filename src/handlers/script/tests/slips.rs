//! Habits from other languages are told in the words of this one.

use super::*;

fn check(line: &str, place: &str, message: &str, fix: &str) {
    let errors = problems(&[("site.rhai", &format!("fn allow_boot(request) {{\n{line}\n}}"))]);
    assert!(errors.starts_with(&format!("site.rhai:{place}: {message}\n")), "{line}: {errors}");
    assert!(errors.ends_with(&format!("\n  fix: {fix}")), "{line}: {errors}");
}

#[test]
fn single_quotes_comments_and_elif() {
    check(
        "deny('not ours')",
        "2:6",
        "`'not ours'` is not a single character",
        "text stands between double quotes: \"not ours\"",
    );
    check("# a comment", "2:1", "`#` begins no comment", "a comment begins with `//`");
    check("true # a comment", "2:6", "`#` begins no comment", "a comment begins with `//`");
    check("-- a comment", "2:1", "`--` begins no comment", "a comment begins with `//`");
    for word in ["elif", "elsif", "elseif"] {
        let line = format!("if request.is_ipxe {{ true }} {word} request.mac == \"\" {{ false }}");
        check(&line, "2:29", &format!("`{word}` is no word of the language"), "write `else if`");
    }
}

#[test]
fn words_and_signs_of_other_languages() {
    let foreign = |word: &str| format!("`{word}` is no word of the language");
    check("if request.is_ipxe and true { true }", "2:20", &foreign("and"), "write `&&`: if a == 1 && b == 2 { ... }");
    check("if not request.is_ipxe { true }", "2:4", &foreign("not"), "write `!`: if !ready { ... }");
    check("if request.mac == null { true }", "2:19", &foreign("null"), "write `()` for nothing: if row == () { ... }");
    check("return True;", "2:8", &foreign("True"), "write `true`");
    check("var x = 1;", "2:1", &foreign("var"), "write `let`: let name = ...;");
    check(
        "if request.mac = \"x\" { true }",
        "2:16",
        "`=` sets a value, and this asks for one",
        "to compare, write `==`",
    );
    check(
        "deny(\"no)",
        "2:6",
        "the text that begins here does not end",
        "close it in the same line; text of several lines stands between back quotes: `...`",
    );
    check("if 5 { true }", "2:4", "true or false is needed here, not a number", "compare it: if count > 0 { ... }");
    check(
        "for x in 5 { }",
        "2:10",
        "`for` goes through an array, a range or text, not a number",
        "write it like: for n in 1..=3 { ... }",
    );
    let errors = problems(&[("site.rhai", "def allow_boot(request) {\n  true\n}")]);
    assert!(errors.contains("site.rhai:1:1: `def` is no word") && errors.contains("fn name(request)"), "{errors}");
}

#[test]
fn a_name_of_one_s_own_is_no_slip() {
    let errors = problems(&[("site.rhai", "const TRUE = 1;\nfn allow_boot(request) { TRUE == 1 }")]);
    assert!(errors.contains("inside a function a constant is written `global::TRUE`"), "{errors}");
    assert_eq!(allow("let sub = 1; sub == 1"), Ok(Answer::Given(Verdict::allow())));
}

#[test]
fn a_script_without_a_function_is_a_problem() {
    for text in ["", "\n  \n", "// later\n", "const A = 1;\n"] {
        let errors = problems(&[("site.rhai", text)]);
        assert!(errors.starts_with("site.rhai: there is no function in it"), "{text:?}: {errors}");
        assert!(errors.contains("fn allow_boot(request)") && errors.lines().count() == 2, "{text:?}: {errors}");
    }
}

#[test]
fn errors_of_a_run_name_no_type_of_the_programmer() {
    let check = |body: &str, expect: &str| {
        let error = allow(body).expect_err(body);
        assert!(error.contains(expect), "{body}: {error}");
    };
    check("let rows = []; rows[0]", "the array is empty; ask first: if rows.len() > 0 { rows[0] }");
    check("let rows = [1]; rows[3]", "the array has no element 3: it has 1, numbered from 0");
    check("let rows = [1]; rows.owner", "an array has no `owner`; take an element first: rows[0].owner");
    check("request.mac[99]", "the text has no character 99: it has 17");
    check("parse_int(request.product)", "`OptiPlex 7010` is no number");
    check("parse_int(\"it's\")", "`it's` is no number");
    check("!request.mac", "`!` cannot be used with text");
    check("1..3", "allow_boot returned a range");
    check("let f = |x| x; f.call(1, 2)", "the function without a name does not take a number, a number");
}
