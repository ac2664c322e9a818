//! Definition files of the contract for editors: what the Rhai language server completes and explains.
//!
//! The files of the language itself are Rhai's own; ours is written from the tables, because what Rhai knows of
//! functions that are written in Rust has neither names of parameters nor words.

use std::fmt::Write;

use rhai::Engine;

use super::api::{FIELDS, FUNCTIONS, Field, Function, PARTS};
use super::contract::OptionKey;
use super::request;
use crate::boot::{FACTS, Fact};

/// The files: name and text.
pub fn files() -> Vec<(String, String)> {
    let engine = Engine::new();
    let mut files: Vec<(String, String)> =
        engine.definitions().iter_files().map(|(name, text)| (name.replace("__", ""), text)).collect();
    files.push(("pointsman.d.rhai".to_owned(), ours()));
    files.sort();
    files
}

fn ours() -> String {
    let mut text = "module static;\n".to_owned();
    FUNCTIONS.iter().for_each(|function| self::function(&mut text, function));
    for name in request::names() {
        let field = FIELDS.iter().find(|field| field.name == name);
        let fact = Fact::named(name);
        match (field, fact) {
            (Some(field), _) => self::field(&mut text, field),
            (None, Some(known)) => fact_of(&mut text, known, "request: Request"),
            (None, None) => {}
        }
    }
    FACTS.iter().for_each(|known| fact_of(&mut text, known, "facts: Facts"));
    for (name, kind, about, example) in PARTS {
        getter(&mut text, name, "time: Time", kind, &[about, "", &format!("Example: `{example}`")]);
    }
    text
}

fn function(text: &mut String, function: &Function) {
    for call in function.calls {
        let Some((head, gives)) = call.split_once(" -> ") else { continue };
        let Some((name, parameters)) = head.trim_end_matches(')').split_once('(') else { continue };
        // `time.between(...)` is a function whose first parameter is the time.
        let (receiver, name) = name.split_once('.').map_or((None, name), |(receiver, name)| (Some(receiver), name));
        let receiver = receiver.map(|receiver| format!("{receiver}: {}", rhai_type(receiver)));
        let others = parameters.split(", ").filter(|parameter| !parameter.is_empty()).map(|parameter| {
            parameter
                .split_once(": ")
                .map_or(parameter.to_owned(), |(name, kind)| format!("{name}: {}", rhai_type(kind)))
        });
        let parameters: Vec<String> = receiver.into_iter().chain(others).collect();
        text.push('\n');
        comment(text, &[function.about]);
        options(text, function.options.iter().filter(|_| head.contains("options: map")));
        comment(text, &["", "# Example", "", "```rhai", function.example, "```"]);
        let gives = if gives == "nothing" { String::new() } else { format!(" -> {}", rhai_type(gives)) };
        let _ = writeln!(text, "fn {name}({}){gives};", parameters.join(", "));
    }
}

fn options<'a>(text: &mut String, options: impl Iterator<Item = &'a OptionKey>) {
    for (index, option) in options.enumerate() {
        if index == 0 {
            comment(text, &["", "# Options", ""]);
        }
        let needed = if option.is_needed { "; must be there" } else { "" };
        comment(text, &[&format!("* `{}` ({}): {}{needed}", option.name, option.kind, option.about)]);
    }
}

fn field(text: &mut String, field: &Field) {
    let when = format!("There: {}. Whose word: {}.", field.when.name(), field.source);
    getter(
        text,
        field.name,
        "request: Request",
        field.kind,
        &[field.about, "", &when, &format!("Example: `{}`", field.example)],
    );
}

fn fact_of(text: &mut String, fact: &Fact, receiver: &str) {
    let when = "There: at the stage `http`. Whose word: client.";
    getter(text, fact.name, receiver, "text", &[fact.about, "", when, &format!("Example: `\"{}\"`", fact.example)]);
}

fn getter(text: &mut String, name: &str, receiver: &str, kind: &str, about: &[&str]) {
    text.push('\n');
    comment(text, about);
    let _ = writeln!(text, "fn get {name}({receiver}) -> {};", rhai_type(kind));
}

fn comment(text: &mut String, lines: &[&str]) {
    for line in lines.iter().flat_map(|line| line.split('\n')) {
        let _ = writeln!(text, "{}", format!("/// {line}").trim_end());
    }
}

/// The name of a type in definition files.
fn rhai_type(kind: &str) -> &str {
    match kind {
        "text" => "String",
        "number" => "int",
        "bool" | "true or false" => "bool",
        "map" => "Map",
        "array" | "array of text" => "Array",
        "image" => "Image",
        "menu" => "Menu",
        "question" => "Question",
        "verdict" => "Verdict",
        "pxe_menu" => "PxeMenu",
        "pass" => "Pass",
        "refer" => "Refer",
        "row" => "Row",
        "record" => "Record",
        "table" => "Table",
        "time" => "Time",
        "request" => "Request",
        "facts" => "Facts",
        "identity" => "Identity",
        "person" => "Person",
        "state" => "State",
        "web answer" => "WebAnswer",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a definition file into its items: comment and declaration.
    fn items(text: &str) -> Vec<(String, String)> {
        let mut items = Vec::new();
        let mut about = String::new();
        for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
            match line.strip_prefix("///") {
                Some(words) => about = format!("{about}{}\n", words.trim_start()),
                None => items.push((std::mem::take(&mut about), line.to_owned())),
            }
        }
        items
    }

    #[test]
    fn every_function_and_field_is_declared_with_words() {
        let text = ours();
        assert!(text.starts_with("module static;\n"));
        let items = items(&text);
        for (about, line) in &items {
            assert!(!about.is_empty() && line.starts_with("fn ") && line.ends_with(';'), "{line}");
        }
        let count = |head: &str| items.iter().filter(|(_, line)| line.starts_with(head)).count();
        for function in FUNCTIONS {
            let head = match function.name.split_once('.') {
                Some((receiver, name)) => format!("fn {name}({receiver}: "),
                None => format!("fn {}(", function.name),
            };
            assert_eq!(count(&head), function.calls.len(), "{}", function.name);
            assert!(!function.calls.is_empty(), "{} says no way to call it", function.name);
        }
        for name in request::names() {
            assert_eq!(count(&format!("fn get {name}(request: Request)")), 1, "{name}");
        }
        assert!(text.contains("fn between(time: Time, from: String, to: String) -> bool;"));
        assert!(
            text.contains("/// * `kernel` (text): the kernel: a file of the images folder, or a URL; must be there\n")
        );
    }

    #[test]
    fn the_declarations_are_rhai_but_for_their_types() {
        let engine = Engine::new();
        for (_, line) in items(&ours()) {
            // What is declared here is a function there, without types and with a body.
            let head = line.trim_end_matches(';').split(" -> ").next().unwrap_or_default().replace("fn get ", "fn ");
            let untyped: Vec<_> = head.split(", ").map(|part| part.split(": ").next().unwrap_or_default()).collect();
            let closed = untyped.join(", ");
            let closed = if closed.ends_with(')') { closed } else { closed + ")" };
            let source = format!("{closed} {{ }}");
            engine.compile(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
        }
    }

    #[test]
    fn the_language_has_files_of_its_own() {
        let files = files();
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"pointsman.d.rhai") && names.len() >= 3, "{names:?}");
        assert!(files.iter().any(|(_, text)| text.contains("fn to_upper")), "text functions of the language");
    }
}
