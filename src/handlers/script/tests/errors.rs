//! Errors that help: where, what, and the likely fix.

use super::*;

fn allow_error(body: &str, expect: &str) {
    let error = allow(body).expect_err(body);
    assert!(error.contains(expect), "{body}: {error}");
}

fn images_error(body: &str, expect: &str) {
    let error = images(body).expect_err(body);
    assert!(error.contains(expect), "{body}: {error}");
}

#[test]
fn option_maps_name_the_key_the_nearest_and_the_type() {
    images_error("linux(#{ kernal: \"x\" })", "linux has no option `kernal`; did you mean `kernel`?");
    images_error("linux(#{ kernel: 5 })", "linux: `kernel` must be text, not a number");
    images_error(
        "linux(#{ kernel: \"x\", initrd: [1] })",
        "linux: `initrd` must be text, or an array of texts, not a number",
    );
    images_error("linux(#{ title: \"x\" })", "linux needs `kernel`: linux(#{ kernel:");
    images_error("linux(#{ kernel: \"../x\" })", "linux: `kernel` is \"../x\":");
    images_error("linux(#{ kernel: \"x\", cmdline: \"a\\nb\" })", "linux: `cmdline`: the text has a control character");
    images_error("linux(#{ kernel: \"x\", id: \"a b\" })", "`a b` is no image id");
    images_error(
        "menu(#{ images: [local_disk()], default_image: \"x\" })",
        "menu: the default `x` is none of the images: local",
    );
    images_error("menu(#{ images: local_disk() })", "menu: `images` must be an array, not an image");
    images_error("menu(#{ images: [] })", "has no image");
    images_error(
        "menu(#{ images: [local_disk()], timeout: \"5\" })",
        "menu: `timeout` must be a whole number, not text",
    );
    images_error("menu(#{ images: [local_disk()], timeout: -1 })", "number of seconds");
    images_error("wim(#{ wim: \"w\", files: #{ \"a b\": \"x\" } })", "no space and no slash");
    images_error("wim(#{ wim: \"w\", files: 1 })", "`files` must be a map");
    images_error("local_disk(#{ titel: \"x\" })", "did you mean `title`?");
    images_error("chain(\"gopher://x\")", "is no URL");
}

#[test]
fn wrong_uses_show_the_right_one() {
    images_error("linux(\"x\")", "`linux` cannot be used with text; write it like linux(#{");
    allow_error("deny()", "deny needs a reason");
    allow_error("deny(\"  \")", "deny needs a reason");
    allow_error("deny(5)", "`deny` cannot be used with a number; write it like deny(\"");
    allow_error("\"a\" - 1", "`-` cannot be used between text and a number");
    allow_error("request.facts.serail", "did you mean `serial`?");
    allow_error("request[\"serail\"]", "did you mean `serial`?");
    allow_error("request.now.hours", "did you mean `hour`?");
    allow_error("request.mac = \"x\"; true", "cannot be changed");
    allow_error("let row = (); row.role", "`()` (nothing) has no `role`; a table that finds no row gives ()");
    allow_error("let n = 5; n.role", "a number has no `role`");
    allow_error("request.now + 1", "`+` cannot be used between a time and a number");
    allow_error("request.mac.foo()", "there is no function `foo` for text");
    allow_error("let m = #{a: 1}; m.b", "the map has no `b`");
    allow_error("request.now.between(\"8\", \"9\")", "`8` is no time of day");
    allow_error("in_network(request.client_ip, \"10.0.0\")", "`10.0.0` is no network");
    allow_error("table(\"x.csv\")", "there is no table `x.csv`; the data folder has no .csv");
}

#[test]
fn tables_name_the_nearest_file_and_column() {
    let files = |body: &str| {
        let (_folder, config) = site(&[
            ("site.rhai", &format!("fn allow_boot(request) {{ {body} }}")),
            ("data/machines.csv", "mac,role\n52:54:00:12:34:56,lab\n"),
            ("data/broken.csv", "a,b\n1\n"),
        ]);
        let handler = ScriptHandler::load(&config).map_err(|errors| errors.to_string())?;
        block_on(handler.allow_boot(&request())).map_err(|error| error.message)
    };
    assert!(files("table(\"machine.csv\")").unwrap_err().contains("did you mean `machines.csv`?"));
    assert!(files("table(\"machines.csv\").find(\"mack\", \"x\")").unwrap_err().contains("did you mean `mac`?"));
    assert!(
        files("table(\"machines.csv\").find(\"mac\", request.mac).rolle").unwrap_err().contains("did you mean `role`?")
    );
    assert!(files("table(\"machines.csv\").find(\"mac\", 1.5)").unwrap_err().contains("find looks for text"));
    assert!(files("let r = table(\"machines.csv\").find(\"mac\", \"none\"); r.role").unwrap_err().contains("role"));
    // A broken table that is named is found at once, another one only by who asks for it.
    assert!(files("table(\"broken.csv\"); true").unwrap_err().contains("data/broken.csv:2:1: it has 1 cell,"));
    assert!(files("table(\"broken\" + \".csv\"); true").unwrap_err().contains("line 2: it has 1 cell,"));
    assert_eq!(
        files("let r = table(\"machines.csv\").find(\"mac\", request.mac); r.role == \"lab\" && \"role\" in r"),
        Ok(Answer::Given(Verdict::allow()))
    );
}

#[test]
fn all_problems_come_at_once_with_the_line_and_a_caret() {
    let errors = problems(&[
        (
            "site.rhai",
            "import \"lib/a\" as a;\nimport \"lib/none\" as none;\nlet x = 1;\nfn allow_boot(request) {\n\tlinx(#{});\n\trequest.hostnam\n}",
        ),
        ("lib/a.rhai", "fn f() {\n  let y = ;\n}"),
    ]);
    for expect in [
        "site.rhai:2:8: there is no file lib/none.rhai",
        "site.rhai:3:1: only `const`, `import` and `fn` may stand outside functions",
        "site.rhai:5:2: there is no function `linx`",
        "  5 | \tlinx(#{});\n    | \t^\n  fix: did you mean `linux`?",
        "site.rhai:6:10: `request` has no field `hostnam`",
        "did you mean `hostname`?",
        "lib/a.rhai:2:",
    ] {
        assert!(errors.contains(expect), "{expect}\n--\n{errors}");
    }
}

#[test]
fn files_that_are_not_there_are_told() {
    let errors = problems(&[]);
    assert!(errors.contains("site.rhai: cannot be read"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}
