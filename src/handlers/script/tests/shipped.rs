//! The scripts that ship: each is loaded and answers its cases.

use std::path::PathBuf;

use super::*;
use crate::config::Config;

fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

fn config_of(folder: &Path) -> ScriptConfig {
    let (allow_boot, boot_images) = match folder.join("site.rhai").exists() {
        true => ("site.rhai", "site.rhai"),
        false => ("allow_boot.rhai", "boot_images.rhai"),
    };
    let queries = match Config::read(&folder.join("pointsman.toml")) {
        Ok(shown) => queries::named(&shown, Path::new("/nonexistent")),
        Err(_) => Arc::default(),
    };
    ScriptConfig { data_dir: folder.to_owned(), queries, ..config(folder, allow_boot, boot_images) }
}

#[test]
fn every_script_answers_its_cases() {
    assert!(folders().len() >= 6);
    for folder in folders() {
        let handler = ScriptHandler::load(&config_of(&folder)).unwrap_or_else(|errors| panic!("{errors}"));
        let report = handler.check_cases();
        assert!(report.is_good(), "{report}");
        assert!(report.passed >= 5, "{} has {} cases", folder.display(), report.passed);
        for question in [Question::AllowBoot, Question::BootImages] {
            assert!(handler.answers(question).is_some(), "{}", folder.display());
        }
    }
}

#[test]
fn every_script_tells_what_it_is_for() {
    for file in folders().iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rhai") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.lines().take_while(|line| line.starts_with("//")).count() >= 5, "{}", path.display());
        }
    }
}

/// The cases would be worth nothing if a wrong answer passed.
#[test]
fn a_case_that_is_not_met_shows_what_differs() {
    let (folder, config) = site(&[
        (
            "site.rhai",
            "fn allow_boot(request) { log(\"hi\"); deny(\"no\") }\nfn boot_images(request) { request.nothing() }",
        ),
        (
            "site.cases.toml",
            "# cases\n[[case]]\nname = \"one\"\nexpect = \"allow\"\n\n[[case]]\nname = \"two\"\nexpect = \"deny\"\nreason = \"yes\"\n\n\
             [[case]]\nname = \"three\"\nimages = [\"a\"]\n\n[[case]]\nname = \"four\"\nerror = \"no function\"\nquestion = \"boot_images\"\n\n\
             [[case]]\nname = \"five\"\nexpect = \"deny\"\n\n[[case]]\nname = \"six\"\nerror = \"x\"\n",
        ),
    ]);
    let report = ScriptHandler::load(&config).unwrap().check_cases();
    let text = report.to_string().replace(&format!("{}/", folder.path().display()), "");
    let expect = "\
site.cases.toml:2: case \"one\"
  expected  expect = allow
  but got   expect = deny
  logged    hi
site.cases.toml:6: case \"two\"
  expected  reason = \"yes\"
  but got   reason = \"no\"
  logged    hi
site.cases.toml:11: case \"three\"
  expected  images = [\"a\"]
  but got   images = []
  site.rhai:2:35: there is no function `nothing` for the request
      2 | fn boot_images(request) { request.nothing() }
        |                                   ^
site.cases.toml:24: case \"six\"
  expected  expect = error
  but got   expect = deny
  logged    hi
2 cases passed, 4 failed";
    assert_eq!(text, expect);
}

#[test]
fn case_files_with_mistakes_say_where() {
    let check = |text: &str, expect: &str| {
        let errors = cases::CaseFile::parse("x.cases.toml", text, Question::AllowBoot, &NamedQueries::default())
            .expect_err(text);
        let text = ScriptErrors(errors).to_string();
        assert!(text.contains(expect), "{text}");
    };
    check("[[case]]\nname = \"a\"\nexpct = \"allow\"\n", "x.cases.toml:3:1: unknown field `expct`");
    check("[[case]]\nname = \"a\"\nexpect = \"alow\"\n", "x.cases.toml:3:10: unknown variant `alow`");
    check("[[case]]\nname = \"a\"\nexpect = \"allow it\"\n", "`it` in `allow it` means nothing; write `allow`");
    check("\n[[case]]\nname = \"a\"\n", "x.cases.toml:2:1: case \"a\" expects nothing");
    check("[[case]]\nname = \"a\"\nexpect = \"allow\"\nmac = \"zz\"\n", "`zz`");
    check(
        "[[case]]\nname = \"a\"\nexpect = \"allow\"\nfacts = { serail = \"x\" }\n",
        "there is no fact `serail`; did you mean `serial`?",
    );
    check("[[case]]\nname = \"a\"\nexpect = \"allow\"\narchitecture = \"x64\"\n", "is no architecture");
    check("[[case]]\nname = \"a\"\nexpect = \"allow\"\nnow = \"yesterday\"\n", "x.cases.toml:4:7:");
    check("[[case]]\nname = \"a\"\nexpect = \"allow\"\nipxe_features = [\"htp\"]\n", "did you mean `http`?");
    check("[[case]\n", "x.cases.toml:1:");
}
