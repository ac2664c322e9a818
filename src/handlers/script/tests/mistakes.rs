//! Mistakes that administrators make, each with all that they are told: a table of texts, so that a change of a text is
//! seen. `POINTSMAN_WRITE_MISTAKES=1` writes it anew; read what it says before it is committed.

use super::*;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/handlers/script/tests/mistakes.txt");

/// What a script of one mistake leads to: problems of loading, the answer or error of a run, and warnings.
fn told(source: &str) -> String {
    let (folder, config) = site(&[
        ("site.rhai", source),
        ("lib/sites.rhai", "fn is_depot(request) {\n  in_network(request.subnet_address, \"10.1.0.0/16\")\n}\n"),
        ("data/machines.csv", "mac,role,memory\n52:54:00:12:34:56,lab,\n"),
    ]);
    let plain = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
    let handler = match ScriptHandler::load(&config) {
        Ok(handler) => handler,
        Err(errors) => return plain(errors.to_string()),
    };
    let mut lines: Vec<String> = handler.warnings().iter().map(|warning| format!("warning: {warning}")).collect();
    if handler.answers(Question::AllowBoot).is_some() {
        lines.push(match block_on(handler.allow_boot(&request())) {
            Ok(answer) => format!("allow_boot gives {answer:?}"),
            Err(error) => error.message,
        });
    }
    if handler.answers(Question::BootImages).is_some() {
        lines.push(match block_on(handler.boot_images(&request())) {
            Ok(answer) => format!("boot_images gives {answer:?}"),
            Err(error) => error.message,
        });
    }
    plain(lines.join("\n"))
}

#[test]
fn every_mistake_is_told_with_its_fix() {
    let table = std::fs::read_to_string(TABLE).unwrap();
    let mut written = String::new();
    let (mut mistakes, mut wrong) = (0, Vec::new());
    for block in table.split("=== ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let (source, expect) = rest.split_once("---\n").unwrap();
        let got = told(source);
        written.push_str(&format!("=== {name}\n{source}---\n{got}\n\n"));
        mistakes += 1;
        if got != expect.trim_end() {
            wrong.push(format!("{name}\n--- wanted\n{}\n--- got\n{got}\n", expect.trim_end()));
        }
    }
    if std::env::var_os("POINTSMAN_WRITE_MISTAKES").is_some() {
        std::fs::write(TABLE, written.trim_end().to_owned() + "\n").unwrap();
    }
    assert!(mistakes >= 40, "{mistakes}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
