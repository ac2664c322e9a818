//! What is likely wrong in scripts that load: told by `check` and `test`, and no reason not to serve.
//!
//! **Invariant**: a warning never keeps a script from answering; what can only be wrong is an error of [`Sources`].

use std::collections::{BTreeMap, BTreeSet};

use super::api::{self, FIELDS, PARTS, When};
use super::diagnose::{ScriptError, at_place};
use super::lexer::{Kind, Token};
use super::made::{End, Gives};
use super::question::Question;
use super::sources::{Sources, word};
use crate::boot::FACTS;

/// The warnings of the script that answers a question.
pub(super) fn of_script(sources: &Sources, file: &str, question: Question, ends: &[End]) -> Vec<ScriptError> {
    let tokens = sources.tokens(file);
    let mut found = silent_ends(sources, file, question, ends);
    if question == Question::AllowBoot {
        found.extend(too_early(sources, file, tokens));
    }
    found
}

/// The warnings of any file.
pub(super) fn of_file(sources: &Sources, file: &str) -> Vec<ScriptError> {
    let tokens = sources.tokens(file);
    let mut found = Vec::new();
    for token in unreachable(tokens) {
        let message = "this never runs: the line above it returns".to_owned();
        let hint = "take it away, or move it before the `return`".to_owned();
        found.push(at_place(file, (token.line, token.column), message, Some(hint), sources));
    }
    for (name, at, number) in by_letters(tokens) {
        let message = format!("`{name}` is text, which compares letter by letter: \"9\" comes after \"10\"");
        let hint = format!("compare numbers: parse_int({name}) > {number}");
        found.push(at_place(file, (at.line, at.column), message, Some(hint), sources));
    }
    for token in tokens.iter().filter(|token| matches!(&token.kind, Kind::Text(text) if text.contains("${"))) {
        let message = "between double quotes, `${...}` stands for itself".to_owned();
        let hint = "text with values stands between back quotes: `${request.mac} is not ours`".to_owned();
        found.push(at_place(file, (token.line, token.column), message, Some(hint), sources));
    }
    for (first, second) in tokens.iter().zip(tokens.iter().skip(1)) {
        if first.is_word("let") && second.is_word("request") {
            let message = "from here on, `request` is not the machine's request any more".to_owned();
            let hint = "give the variable another name".to_owned();
            found.push(at_place(file, (second.line, second.column), message, Some(hint), sources));
        }
    }
    found
}

/// Where a function ends without an answer because an `else` is missing.
fn silent_ends(sources: &Sources, file: &str, question: Question, ends: &[End]) -> Vec<ScriptError> {
    let omitted: BTreeSet<(usize, &str)> = ends
        .iter()
        .filter_map(|end| match end.gives {
            Gives::Omitted(what) => Some((end.line, what)),
            _ => None,
        })
        .collect();
    let tell = |(line, what): (usize, &str)| {
        let indent = sources.line(file, line).map_or(0, |text| text.chars().take_while(|c| c.is_whitespace()).count());
        let function = question.function();
        let message = format!("{function} ends here without an answer when {what}, and the next handler decides");
        let hint = "end the function with the answer for every other machine; pass() says that the next one decides";
        at_place(file, (line, indent + 1), message, Some(hint.to_owned()), sources)
    };
    omitted.into_iter().map(tell).collect()
}

/// Fields that hold nothing yet when `allow_boot` is asked. A script that looks at the stage, or whether the field is
/// there, knows what it does.
fn too_early(sources: &Sources, file: &str, tokens: &[Token]) -> Vec<ScriptError> {
    let functions = functions(tokens);
    let of_allow = reachable(&functions, "allow_boot");
    let of_images = reachable(&functions, "boot_images");
    let bodies: Vec<&[Token]> =
        functions.iter().filter(|(name, _)| of_allow.contains(**name)).map(|(_, body)| *body).collect();
    let knows_stage = |body: &&[Token]| {
        body.windows(2).any(|two| matches!(two, [dot, name] if dot.is_sign('.') && name.is_word("stage")))
    };
    if bodies.iter().any(knows_stage) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (_, body) in functions.iter().filter(|(name, _)| of_allow.contains(**name) && !of_images.contains(**name)) {
        let guarded: BTreeSet<String> = reads(body)
            .into_iter()
            .filter(|read| is_compared_with_nothing(body, read.after))
            .map(|read| read.name)
            .collect();
        for read in reads(body).into_iter().filter(|read| read.is_late && !guarded.contains(&read.name)) {
            let message = format!(
                "at allow_boot the machine has not reported its facts: `{}` is empty while its firmware asks",
                read.name
            );
            let hint =
                "decide later: allow() here, and look at it in boot_images; or ask first: if request.stage == \"http\"";
            found.push(at_place(file, (read.at.line, read.at.column), message, Some(hint.to_owned()), sources));
        }
    }
    found
}

/// The functions of a file, with their tokens.
fn functions(tokens: &[Token]) -> BTreeMap<&str, &[Token]> {
    let mut functions = BTreeMap::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.is_word("fn") && token.depth == 0) {
        let Some(name) = tokens.get(at + 1).and_then(word) else { continue };
        let rest = tokens.get(at..).unwrap_or_default();
        let end = rest.iter().position(|other| other.depth == token.depth && other.is_sign('}')).unwrap_or(rest.len());
        functions.insert(name, rest.get(..end).unwrap_or_default());
    }
    functions
}

/// A function and all that it calls in this file.
fn reachable(functions: &BTreeMap<&str, &[Token]>, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        let Some(body) = functions.get(name.as_str()) else { continue };
        if found.insert(name) {
            open.extend(body.iter().filter_map(word).filter(|word| functions.contains_key(word)).map(str::to_owned));
        }
    }
    found
}

/// A field that is read: `request.serial`, `request.facts.serial`, `request.now.hour`.
pub(super) struct Read<'a> {
    pub(super) name: String,
    /// In plain words.
    pub(super) kind: &'static str,
    pub(super) at: &'a Token,
    /// The place of the token behind it.
    pub(super) after: usize,
    is_late: bool,
}

/// The fields that are read, but for those of which more is read: a part, an element, or by a method.
pub(super) fn reads(tokens: &[Token]) -> Vec<Read<'_>> {
    let mut found = Vec::new();
    for (at, four) in tokens.windows(3).enumerate() {
        let [request, dot, field] = four else { continue };
        let Some(name) = word(field).filter(|_| request.is_word("request") && dot.is_sign('.')) else { continue };
        let part = match name {
            "now" | "facts" => match tokens.get(at + 3..at + 5) {
                Some([dot, part]) if dot.is_sign('.') => word(part),
                _ => continue,
            },
            _ => None,
        };
        let after = at + if part.is_some() { 5 } else { 3 };
        let (kind, when) = match (name, part) {
            ("now", Some(part)) => match PARTS.iter().find(|known| known.0 == part) {
                Some(known) => (known.1, When::Always),
                None => continue,
            },
            ("facts", Some(part)) if FACTS.iter().any(|fact| fact.name == part) => ("text", When::Http),
            (name, None) => match FIELDS.iter().find(|known| known.name == name) {
                Some(known) => (known.kind, known.when),
                None if api::is_request_field(name) => ("text", When::Http),
                None => continue,
            },
            _ => continue,
        };
        let name = [Some("request"), Some(name), part].into_iter().flatten().collect::<Vec<_>>().join(".");
        found.push(Read { name, kind, at: field, after, is_late: when == When::Http });
    }
    found
}

/// The signs that compare, as they stand at a place; and the place behind them.
pub(super) fn comparison(tokens: &[Token], at: usize) -> Option<(String, usize)> {
    let signs: String = tokens
        .iter()
        .skip(at)
        .take(2)
        .map_while(|token| match token.kind {
            Kind::Sign(sign @ ('=' | '!' | '<' | '>')) => Some(sign),
            _ => None,
        })
        .collect();
    matches!(signs.as_str(), "==" | "!=" | "<" | ">" | "<=" | ">=").then(|| (signs.clone(), at + signs.len()))
}

fn is_compared_with_nothing(tokens: &[Token], at: usize) -> bool {
    comparison(tokens, at).and_then(|(_, value)| tokens.get(value)).is_some_and(|value| match &value.kind {
        Kind::Text(text) => text.is_empty(),
        _ => false,
    })
}

/// Texts that are compared by size with digits.
fn by_letters(tokens: &[Token]) -> Vec<(String, &Token, String)> {
    let mut found = Vec::new();
    for read in reads(tokens).into_iter().filter(|read| read.kind == "text") {
        let Some((signs, value)) = comparison(tokens, read.after) else { continue };
        let Some(Token { kind: Kind::Text(text), .. }) = tokens.get(value) else { continue };
        if signs.contains(['<', '>']) && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            found.push((read.name, read.at, text.clone()));
        }
    }
    found
}

/// What stands behind a `return` or `throw` in the same block.
fn unreachable(tokens: &[Token]) -> Vec<&Token> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.is_word("return") || token.is_word("throw"))
    {
        let begins = at.checked_sub(1).and_then(|before| tokens.get(before));
        if begins.is_some_and(|before| !(before.is_sign(';') || before.is_sign('{') || before.is_sign('}'))) {
            continue;
        }
        let mut rest = tokens.iter().skip(at + 1);
        let end = rest.find(|next| next.depth < token.depth || next.depth == token.depth && next.is_sign(';'));
        if end.is_some_and(|end| end.is_sign(';'))
            && let Some(next) = rest.next()
            && next.depth == token.depth
            && !next.is_sign(';')
        {
            found.push(next);
        }
    }
    found
}
