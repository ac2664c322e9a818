//! Nonsense of every kind ends in an error with words.

use proptest::prelude::*;
use rhai::{Array, Blob, Dynamic, Map};

use super::*;

#[test]
fn results_of_every_wrong_type_are_told() {
    for (body, got) in [
        ("1", "a number"),
        ("1.5", "a number with a fraction"),
        ("\"allow\"", "text"),
        ("'a'", "a character"),
        ("#{}", "a map"),
        ("[]", "an array"),
        ("blob(3)", "octets"),
        ("local_disk()", "an image"),
        ("menu(#{ images: [shell()] })", "a menu"),
        ("request", "the request"),
        ("request.facts", "the facts"),
        ("request.now", "a time"),
        ("|x| x", "a function"),
        ("1..3", "a range"),
        ("1..=3", "a range"),
    ] {
        let error = allow(body).expect_err(body);
        assert!(
            error.contains(&format!("allow_boot returned {got}; ")) && error.contains("return allow()"),
            "{body}: {error}"
        );
        assert!(error.contains("site.rhai:1:1: "), "{error}");
        if !["[]", "local_disk()", "menu(#{ images: [shell()] })"].contains(&body) {
            let error = images(body).expect_err(body);
            assert!(error.contains(&format!("boot_images returned {got}; return an image")), "{body}: {error}");
        }
    }
    for body in ["allow()", "true", "deny(\"x\")"] {
        let error = images(body).expect_err(body);
        assert!(error.contains("allow or deny in allow_boot"), "{error}");
    }
    assert!(images("[local_disk(), 5]").unwrap_err().contains("element 2 of the images is a number"));
    assert!(images("[[local_disk()]]").unwrap_err().contains("element 1 of the images is an array"));
    assert!(images("[shell(#{id: \"a\"}), shell(#{id: \"a\"})]").unwrap_err().contains("two images have the id `a`"));
    assert!(images("let l = []; for i in 0..200 { l.push(shell()); } l").unwrap_err().contains("at most 100"));
}

fn value() -> impl Strategy<Value = Dynamic> {
    let leaf = prop_oneof![
        Just(Dynamic::UNIT),
        any::<bool>().prop_map(Dynamic::from),
        any::<i64>().prop_map(Dynamic::from),
        any::<f64>().prop_map(Dynamic::from),
        any::<char>().prop_map(Dynamic::from),
        ".{0,20}".prop_map(Dynamic::from),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|octets: Blob| Dynamic::from_blob(octets)),
    ];
    leaf.prop_recursive(3, 40, 6, |inner| {
        let key = prop_oneof!["kernel|title|id|images|timeout|default|files|source|text|cmdline|initrd|wim", ".{0,8}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items: Array| Dynamic::from_array(items)),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|pairs| Dynamic::from_map(pairs.into_iter().map(|(k, v)| (k.into(), v)).collect::<Map>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_converters_take_any_value(value in value()) {
        let _ = answer::verdict(value.clone());
        let _ = answer::images(value);
    }

    #[test]
    fn the_builders_take_any_options(value in value(), index in 0usize..14) {
        let names = ["linux", "wim", "efi", "chain", "sanboot", "ipxe", "menu", "local_disk", "reboot", "poweroff", "shell", "table", "deny", "log"];
        let engine = api::engine(Arc::new(super::super::tables::Tables::default()), &Arc::default(), &Reach::default());
        let mut scope = rhai::Scope::new();
        scope.push_dynamic("value", value);
        let _ = engine.eval_with_scope::<Dynamic>(&mut scope, &format!("{}(value)", names[index]));
    }

    #[test]
    fn the_loader_takes_any_text(source in "\\PC{0,80}") {
        let (_folder, config) = site(&[("site.rhai", &source)]);
        let _ = ScriptHandler::load(&config);
    }

    #[test]
    fn the_loader_takes_any_words(words in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        let (_folder, mut config) = site(&[("site.rhai", &words.join(" "))]);
        config.limits.boot_images = std::time::Duration::from_millis(20);
        config.limits.allow_boot = std::time::Duration::from_millis(20);
        if let Ok(handler) = ScriptHandler::load(&config) {
            let _ = block_on(handler.allow_boot(&request()));
        }
    }

    #[test]
    fn case_files_take_any_text(text in "(\\[\\[case\\]\\]\n)?(name|mac|now|facts|expect|images) = .{0,20}\n\\PC{0,40}") {
        let _ = cases::CaseFile::parse("x", &text, Question::AllowBoot, &NamedQueries::default());
    }
}

const WORDS: &[&str] = &[
    "fn",
    "allow_boot",
    "(",
    ")",
    "request",
    "{",
    "}",
    ";",
    "const",
    "X",
    "=",
    "1",
    "\"text\"",
    "import",
    "as",
    "if",
    "else",
    "return",
    "allow()",
    "[",
    "]",
    "#{",
    ":",
    "a",
    ".",
    ",",
    "loop",
    "while",
    "true",
    "switch",
    "=>",
    "|",
    "||",
    "`${",
    "`",
    "//",
    "/*",
    "*/",
    "linux",
    "table(\"x\")",
    "global",
    "::",
    "let",
    "try",
    "catch",
    "throw",
    "for",
    "in",
    "0..9",
    "\n",
    "fn allow_boot(request) {",
];
