//! The reference of the contract as Markdown, made from the tables that the getters are made from.

use std::fmt::Write;

use super::api::{FIELDS, FUNCTIONS, IDENTITY_PARTS, PARTS};
use crate::boot::FACTS;

/// The fields of `request`.
pub fn fields() -> String {
    let mut text =
        "| field | type | what it is | there | whose word | example |\n|---|---|---|---|---|---|\n".to_owned();
    for field in FIELDS {
        let name = format!("`request.{}`", field.name);
        let example = format!("`{}`", field.example);
        row(&mut text, &[&name, field.kind, field.about, field.when.name(), field.source, &example]);
    }
    text
}

/// The facts of the machine.
pub fn facts() -> String {
    let mut text = "| fact | what it is | example |\n|---|---|---|\n".to_owned();
    for fact in FACTS {
        row(&mut text, &[&format!("`{}`", fact.name), fact.about, &format!("`\"{}\"`", fact.example)]);
    }
    text
}

/// The parts of `request.now`.
pub fn time() -> String {
    let mut text = "| part | type | what it is | example |\n|---|---|---|---|\n".to_owned();
    for (name, kind, about, example) in PARTS {
        row(&mut text, &[&format!("`request.now.{name}`"), kind, about, &format!("`{example}`")]);
    }
    text
}

/// The parts of `request.identity`.
pub fn identity() -> String {
    let mut text = "| part | type | what it is | example |\n|---|---|---|---|\n".to_owned();
    for part in IDENTITY_PARTS {
        let (name, example) = (format!("`request.identity.{}`", part.name), format!("`{}`", part.example));
        row(&mut text, &[&name, part.kind, part.about, &example]);
    }
    text
}

/// The keys of the builders' options.
pub fn options() -> String {
    let mut text = "| function | option | type | what it is |\n|---|---|---|---|\n".to_owned();
    for function in FUNCTIONS {
        for option in function.options {
            let about =
                if option.is_needed { format!("{}; must be there", option.about) } else { option.about.to_owned() };
            row(&mut text, &[&format!("`{}`", function.name), &format!("`{}`", option.name), option.kind, &about]);
        }
    }
    text
}

/// The functions.
pub fn functions() -> String {
    let mut text = "| function | gives | what it does | example |\n|---|---|---|---|\n".to_owned();
    for function in FUNCTIONS {
        let (name, example) = (format!("`{}`", function.name), format!("`{}`", function.example));
        row(&mut text, &[&name, function.gives(), function.about, &example]);
    }
    text
}

fn row(text: &mut String, cells: &[&str]) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
