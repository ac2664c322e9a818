//! The contract on a terminal: what `pointsman script help` prints.

use std::fmt::Write;

use super::api::{FIELDS, FUNCTIONS, Field, Function, PARTS, topic, topics};
use super::request;
use crate::boot::{FACTS, Fact};
use crate::nearest::nearest;

/// Everything that a script can read and call, by what it is for.
pub fn overview() -> String {
    let mut text = "A script has two functions. Each gets the request of a machine, and gives an answer:\n\n  \
         fn allow_boot(request) { allow() }            may this machine boot?\n  \
         fn boot_images(request) { local_disk() }      what does it boot?\n\n\
         Beside boot_images there may be a third, for boot loaders other than iPXE that look for files of their own:\n\n  \
         fn boot_file(request, name) { pass() }        text, () for \"no such file\", or pass()\n"
        .to_owned();
    heading(&mut text, "What is known of the machine: request.NAME");
    FIELDS.iter().for_each(|field| line(&mut text, field.name, field.about));
    heading(&mut text, "What the machine reports, at the stage http: request.NAME");
    own_facts().for_each(|fact| line(&mut text, fact.name, fact.about));
    heading(&mut text, "The time: request.now.NAME");
    PARTS.iter().for_each(|(name, _, about, _)| line(&mut text, name, about));
    for topic_name in topics() {
        let of_topic: Vec<_> = FUNCTIONS.iter().filter(|function| topic(function.name) == topic_name).collect();
        if !of_topic.is_empty() {
            heading(&mut text, topic_name);
            of_topic.iter().for_each(|function| line(&mut text, &format!("{}()", function.name), function.about));
        }
    }
    text.push_str("\nOne of them with its options and an example: pointsman script help NAME\n");
    text
}

/// One field, fact, part of the time or function in detail.
///
/// # Errors
/// When there is none of this name; says which one was meant.
pub fn detail(name: &str) -> Result<String, String> {
    let plain = name.trim().trim_end_matches("()");
    let of_time = plain.strip_prefix("request.now.").or_else(|| plain.strip_prefix("now."));
    let of_facts = plain.strip_prefix("request.facts.").or_else(|| plain.strip_prefix("facts."));
    let of_request = plain.strip_prefix("request.");
    let bare = of_request.unwrap_or(plain);
    let mut found = Vec::new();
    if let Some(part) = of_time {
        found.extend(PARTS.iter().find(|known| known.0 == part).map(time));
    } else if let Some(fact) = of_facts {
        found.extend(Fact::named(fact).map(|known| fact_text(known, "request.facts.")));
    } else {
        found.extend(FIELDS.iter().find(|field| field.name == bare).map(field_text));
        found.extend(own_facts().find(|fact| fact.name == bare).map(|known| fact_text(known, "request.")));
        if of_request.is_none() {
            found.extend(FUNCTIONS.iter().find(|function| function.name == bare).map(function_text));
            found.extend(PARTS.iter().find(|part| part.0 == bare).map(time));
        }
    }
    if !found.is_empty() {
        return Ok(found.join("\n"));
    }
    let names = request::names().chain(FUNCTIONS.iter().map(|function| function.name)).chain(PARTS.iter().map(|p| p.0));
    let last = bare.rsplit('.').next().unwrap_or(bare);
    Err(match nearest(last, names) {
        Some(meant) => format!("there is nothing with the name `{name}`; did you mean `{meant}`?"),
        None => format!("there is nothing with the name `{name}`; `pointsman script help` names everything"),
    })
}

/// The facts that no field has the name of.
fn own_facts() -> impl Iterator<Item = &'static Fact> {
    FACTS.iter().filter(|fact| !FIELDS.iter().any(|field| field.name == fact.name))
}

fn heading(text: &mut String, title: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\n{title}\n\n");
}

fn line(text: &mut String, name: &str, about: &str) {
    let _ = writeln!(text, "  {name:<18} {about}");
}

fn field_text(field: &Field) -> String {
    let mut text = format!("request.{}: {}\n\n  {}\n\n", field.name, field.kind, field.about);
    let claim = if field.source == super::api::CLAIM { " (a claim: anybody can send anything)" } else { "" };
    let _ = writeln!(text, "  there       {}", field.when.name().replace('`', ""));
    let _ = writeln!(text, "  whose word  {}{claim}", field.source);
    let _ = writeln!(text, "  example     {}", field.example);
    text
}

fn fact_text(fact: &Fact, before: &str) -> String {
    format!(
        "{before}{}: text\n\n  {}\n\n  there       at the stage http, so in boot_images; before it is \"\"\n  \
         whose word  client (a claim: anybody can send anything)\n  example     \"{}\"\n",
        fact.name, fact.about, fact.example
    )
}

fn time((name, kind, about, example): &(&str, &str, &str, &str)) -> String {
    format!("request.now.{name}: {kind}\n\n  {about}\n\n  example     {example}\n")
}

fn function_text(function: &Function) -> String {
    let mut text = format!("{}\n\n  {}\n", function.calls.join("\n"), function.about);
    if !function.options.is_empty() {
        text.push_str("\nOptions:\n\n");
        for option in function.options {
            let needed = if option.is_needed { " (must be there)" } else { "" };
            let _ = writeln!(text, "  {:<14} {}{needed}\n  {:<14} {}", option.name, option.kind, "", option.about);
        }
    }
    let _ = write!(text, "\nExample:\n\n  {}\n", function.example);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_page_of_its_own() {
        let overview = overview();
        for name in request::names().chain(FUNCTIONS.iter().map(|function| function.name)) {
            assert!(detail(name).is_ok() && overview.contains(&format!("  {name}")), "{name}");
        }
        for (name, ..) in PARTS {
            assert!(detail(&format!("request.now.{name}")).is_ok(), "{name}");
        }
        for fact in FACTS {
            assert!(detail(&format!("request.facts.{}", fact.name)).is_ok_and(|text| text.contains(fact.about)));
        }
    }

    #[test]
    fn names_are_found_as_people_write_them() {
        assert_eq!(detail("mac"), detail("request.mac"));
        assert_eq!(detail("deny()"), detail("deny"));
        let linux = detail("linux").unwrap();
        assert!(
            linux.starts_with("linux(options: map) -> image\n")
                && linux.contains("kernel         text (must be there)")
        );
        assert_eq!(detail("serail").unwrap_err(), "there is nothing with the name `serail`; did you mean `serial`?");
        assert!(detail("request.now.hours").unwrap_err().contains("did you mean `hour`?"));
        assert!(detail("zzzz").unwrap_err().contains("script help"));
        assert!(detail("request.deny").is_err(), "a function is no field");
    }
}
