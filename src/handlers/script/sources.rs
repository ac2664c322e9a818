//! The texts of the scripts, kept to show lines in errors, and the checks that need no run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use super::api;
use super::diagnose::{ScriptError, at_place};
use super::dropped::dropped_answers;
use super::lexer::{Kind, Token, tokens};
use super::searches::searches;
use super::{patterns, warnings, web};
use crate::database::NamedQueries;
use crate::nearest::{nearest, remedy};

/// The scripts by the name that errors give them.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: BTreeMap<String, Source>,
    /// The names of all functions that are not of a script.
    callable: BTreeSet<String>,
    queries: Arc<NamedQueries>,
}

#[derive(Debug)]
struct Source {
    text: String,
    tokens: Vec<Token>,
    /// The lines on which something begins that can run.
    code_lines: BTreeSet<usize>,
}

impl Sources {
    /// No script yet; `callable` are the names of the functions that scripts can call, `queries` what they can ask.
    pub(super) fn new(callable: BTreeSet<String>, queries: Arc<NamedQueries>) -> Sources {
        Sources { files: BTreeMap::new(), callable, queries }
    }

    /// Keeps a script's text.
    pub(super) fn insert(&mut self, file: &str, text: String) {
        let tokens = tokens(&text);
        self.files.insert(file.to_owned(), Source { text, tokens, code_lines: BTreeSet::new() });
    }

    /// Keeps the lines of a script on which something begins that can run.
    pub(super) fn set_code_lines(&mut self, file: &str, lines: BTreeSet<usize>) {
        if let Some(source) = self.files.get_mut(file) {
            source.code_lines = lines;
        }
    }

    /// The lines of each script on which something begins that can run.
    pub(super) fn code_lines(&self) -> BTreeMap<String, BTreeSet<usize>> {
        self.files.iter().map(|(file, source)| (file.clone(), source.code_lines.clone())).collect()
    }

    /// All scripts, by the name that errors give them.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The beginning of the digest of all scripts: another text, or another name, makes another revision.
    pub(super) fn revision(&self) -> String {
        let mut hash = Context::new(&SHA256);
        for (file, source) in &self.files {
            let name = Path::new(file).file_name().unwrap_or_default();
            for part in [name.as_encoded_bytes(), source.text.as_bytes()] {
                hash.update(&(part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        let digest = hash.finish();
        crate::hex::digits(digest.as_ref().get(..6).unwrap_or_default())
    }

    /// The names of all functions that are not of a script and can be called by a name.
    pub(super) fn callable(&self) -> impl Iterator<Item = &str> {
        self.callable
            .iter()
            .map(String::as_str)
            .filter(|name| name.starts_with(char::is_alphabetic) && !name.contains('$'))
    }

    /// A line of a script, numbered from 1; long ones are cut.
    pub(super) fn line(&self, file: &str, line: usize) -> Option<String> {
        let text = self.files.get(file)?.text.lines().nth(line.checked_sub(1)?)?;
        Some(text.chars().take(LINE_MAX).collect())
    }

    /// The words and signs of a script.
    pub(super) fn tokens(&self, file: &str) -> &[Token] {
        self.files.get(file).map_or(&[], |source| &source.tokens)
    }

    /// The names of the constants at the top level of a script.
    pub(super) fn constants(&self, file: &str) -> Vec<String> {
        pairs(self.tokens(file))
            .filter(|(first, _)| first.is_word("const") && first.depth == 0)
            .filter_map(|(_, name)| word(name).map(str::to_owned))
            .collect()
    }

    /// The imports of a script that name their module as plain text, with their places.
    pub(super) fn imports(&self, file: &str) -> Vec<(String, (usize, usize))> {
        let name = |(first, second): (&Token, &Token)| match &second.kind {
            Kind::Text(text) if first.is_word("import") => Some((text.clone(), (second.line, second.column))),
            _ => None,
        };
        pairs(self.tokens(file)).filter_map(name).collect()
    }

    /// The place of a function's definition.
    pub(super) fn function(&self, file: &str, name: &str) -> Option<(usize, usize)> {
        let mut found = pairs(self.tokens(file)).filter(|(first, second)| first.is_word("fn") && second.is_word(name));
        found.next().map(|(first, _)| (first.line, first.column))
    }

    /// The word that begins at a place.
    pub(super) fn word_at(&self, file: &str, (line, column): (usize, usize)) -> Option<&str> {
        self.tokens(file).iter().find(|token| (token.line, token.column) == (line, column)).and_then(word)
    }

    /// The fields of `request` that a line reads, each once.
    pub(super) fn request_fields(&self, file: &str, line: usize) -> Vec<String> {
        let mut fields: Vec<String> = Vec::new();
        for three in self.tokens(file).windows(3) {
            let [request, dot, field] = three else { continue };
            let Some(name) = word(field).filter(|_| field.line == line) else { continue };
            if request.is_word("request") && dot.is_sign('.') && !fields.iter().any(|known| known == name) {
                fields.push(name.to_owned());
            }
        }
        fields
    }

    /// Whether the text stands between double quotes somewhere in a script.
    pub(super) fn mention(&self, text: &str) -> bool {
        self.files
            .values()
            .flat_map(|source| &source.tokens)
            .any(|token| matches!(&token.kind, Kind::Text(t) if t == text))
    }

    /// The columns that scripts look into by `find`, and nowhere by `find_all`: table and column, by their plain names.
    pub(super) fn searched(&self) -> BTreeSet<(String, String)> {
        let mut first = BTreeSet::new();
        let mut all = BTreeSet::new();
        for source in self.files.values() {
            for (table, function, column) in searches(&source.tokens) {
                match function {
                    "find" => first.insert((table.to_owned(), column.to_owned())),
                    "find_all" => all.insert((table.to_owned(), column.to_owned())),
                    _ => false,
                };
            }
        }
        first.difference(&all).cloned().collect()
    }

    /// The columns that scripts look for networks in: table and column, by their plain names.
    pub(super) fn searched_networks(&self) -> BTreeSet<(String, String)> {
        let all = self.files.values().flat_map(|source| searches(&source.tokens));
        let networks = all.filter(|(_, function, _)| *function == "find_network");
        networks.map(|(table, _, column)| (table.to_owned(), column.to_owned())).collect()
    }

    /// What Rhai would accept and a run would fail on, or do every time: statements at the top level, calls of
    /// functions that do not exist, fields that `request` does not have, queries that no database has.
    pub(super) fn problems(&self, file: &str) -> Vec<ScriptError> {
        let tokens = self.tokens(file);
        let mut problems = Vec::new();
        self.top_level(file, tokens, &mut problems);
        self.unknown_calls(file, tokens, &mut problems);
        self.unknown_fields(file, tokens, &mut problems);
        self.unknown_queries(file, tokens, &mut problems);
        for (token, message) in patterns::wrong_patterns(tokens) {
            problems.push(at_place(file, (token.line, token.column), message, None, self));
        }
        for (token, message) in web::wrong_paths(tokens) {
            let hint = "give the parts of the path as an array: [\"mab\", request.mac]".to_owned();
            problems.push(at_place(file, (token.line, token.column), message, Some(hint), self));
        }
        self.wrong_comparisons(file, tokens, &mut problems);
        for (token, name) in dropped_answers(tokens) {
            let message = format!("the answer of {name}() is thrown away, and the function goes on");
            let hint = Some(format!("write `return {name}(...);`, or make it the last line of the function"));
            problems.push(at_place(file, (token.line, token.column), message, hint, self));
        }
        problems.sort_by_key(|problem| problem.place);
        problems
    }

    /// The top level runs again for every question, so nothing but definitions may stand there.
    fn top_level(&self, file: &str, tokens: &[Token], problems: &mut Vec<ScriptError>) {
        let mut first = true;
        let mut in_function = false;
        for token in tokens {
            if first && !token.is_sign(';') {
                in_function = token.is_word("fn") || token.is_word("private");
                if !["const", "fn", "import", "private", "export"].iter().any(|word| token.is_word(word)) {
                    let message = "only `const`, `import` and `fn` may stand outside functions".to_owned();
                    let hint = Some("move the line into allow_boot(request) or boot_images(request); a fixed value is `const NAME = ...;`".to_owned());
                    problems.push(at_place(file, (token.line, token.column), message, hint, self));
                    return;
                }
            }
            let ends = token.depth == 0 && (token.is_sign(';') || in_function && token.is_sign('}'));
            first = ends;
        }
    }

    fn unknown_calls(&self, file: &str, tokens: &[Token], problems: &mut Vec<ScriptError>) {
        let mut before: Option<&Token> = None;
        for (token, next) in pairs(tokens) {
            let previous = before.replace(token);
            let Some(name) = word(token) else { continue };
            let free =
                previous.is_none_or(|p| !(p.is_sign('.') || p.is_sign(':') || p.is_word("fn") || p.is_sign('?')));
            if !next.is_sign('(') || !free || self.callable.contains(name) || KEYWORDS.contains(&name) {
                continue;
            }
            if !used_otherwise(tokens, name) {
                let names = api::FUNCTIONS.iter().map(|function| function.name).chain(functions(tokens));
                let hint = nearest(name, names).map(|meant| format!("did you mean `{meant}`?"));
                problems.push(at_place(
                    file,
                    (token.line, token.column),
                    format!("there is no function `{name}`"),
                    hint,
                    self,
                ));
            }
        }
    }

    /// Calls of functions that an imported file does not have. Only once all files are there can they be found.
    pub(super) fn unknown_module_calls(&self, file: &str) -> Vec<ScriptError> {
        let tokens = self.tokens(file);
        let mut problems = Vec::new();
        for four in tokens.windows(4) {
            let [import, name, as_word, alias] = four else { continue };
            let (Kind::Text(name), Some(alias)) = (&name.kind, word(alias)) else { continue };
            if !import.is_word("import") || !as_word.is_word("as") {
                continue;
            }
            let path = format!("/{}.rhai", name.trim_end_matches(".rhai"));
            let Some((_, module)) = self.files.iter().find(|(other, _)| other.ends_with(&path)) else { continue };
            let known: BTreeSet<&str> = functions(&module.tokens).collect();
            for call in tokens.windows(5) {
                let [module, colon, other, function, open] = call else { continue };
                let is_call = module.is_word(alias) && colon.is_sign(':') && other.is_sign(':') && open.is_sign('(');
                let Some(name) = word(function).filter(|name| is_call && !known.contains(name)) else { continue };
                let message = format!("there is no function `{name}` in {}", path.trim_start_matches('/'));
                let hint = Some(remedy(name, known.iter().copied()));
                problems.push(at_place(file, (function.line, function.column), message, hint, self));
            }
        }
        problems
    }

    fn unknown_queries(&self, file: &str, tokens: &[Token], problems: &mut Vec<ScriptError>) {
        for four in tokens.windows(4) {
            let [function, open, name, end] = four else { continue };
            let asks = function.is_word("query") || function.is_word("fresh_query");
            let Kind::Text(text) = &name.kind else { continue };
            if !asks || !open.is_sign('(') || !(end.is_sign(',') || end.is_sign(')')) {
                continue;
            }
            if let Err(error) = self.queries.find(text) {
                problems.push(at_place(file, (name.line, name.column), error.to_string(), None, self));
            }
        }
    }

    /// A text is never a number, whatever they are.
    fn wrong_comparisons(&self, file: &str, tokens: &[Token], problems: &mut Vec<ScriptError>) {
        for read in warnings::reads(tokens) {
            let Some((signs, value)) = warnings::comparison(tokens, read.after) else { continue };
            let Some(value) = tokens.get(value) else { continue };
            let name = &read.name;
            let (message, hint) = match (read.kind, &value.kind) {
                ("text", Kind::Sign(digit)) if digit.is_ascii_digit() => (
                    format!("`{name}` is text, and does not compare with a number"),
                    format!("make it a number: parse_int({name}) {signs} {}", self.number(file, value)),
                ),
                ("number", Kind::Text(text)) => (
                    format!("`{name}` is a number, and does not compare with text"),
                    match text.parse::<i64>() {
                        Ok(number) => format!("leave the quotes away: {name} {signs} {number}"),
                        Err(_) => "compare it with a number".to_owned(),
                    },
                ),
                ("true or false", Kind::Text(text)) => (
                    format!("`{name}` is true or false, and no text"),
                    match (text.as_str(), signs.as_str()) {
                        ("true", "==") | ("false", "!=") => format!("write it alone: if {name} {{ ... }}"),
                        _ => format!("write it alone: if !{name} {{ ... }}"),
                    },
                ),
                _ => continue,
            };
            problems.push(at_place(file, (read.at.line, read.at.column), message, Some(hint), self));
        }
    }

    /// The number that begins at a token.
    fn number(&self, file: &str, token: &Token) -> String {
        let line = self.line(file, token.line).unwrap_or_default();
        line.chars().skip(token.column - 1).take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect()
    }

    fn unknown_fields(&self, file: &str, tokens: &[Token], problems: &mut Vec<ScriptError>) {
        if pairs(tokens).any(|(first, second)| first.is_word("let") && second.is_word("request")) {
            return;
        }
        for four in tokens.windows(4) {
            let [request, dot, field, next] = four else { continue };
            let Some(name) = word(field) else { continue };
            if !request.is_word("request") || !dot.is_sign('.') || next.is_sign('(') || api::is_request_field(name) {
                continue;
            }
            let message = format!("`request` has no field `{name}`");
            let hint = Some(api::request_remedy(name));
            problems.push(at_place(file, (field.line, field.column), message, hint, self));
        }
    }
}

/// Whether a name is defined as a function, or used as anything but a call (a variable may hold a function).
fn used_otherwise(tokens: &[Token], name: &str) -> bool {
    pairs(tokens).any(|(first, second)| {
        first.is_word("fn") && second.is_word(name) || first.is_word(name) && !second.is_sign('(')
    })
}

fn functions(tokens: &[Token]) -> impl Iterator<Item = &str> {
    pairs(tokens).filter(|(first, _)| first.is_word("fn")).filter_map(|(_, name)| word(name))
}

fn pairs(tokens: &[Token]) -> impl Iterator<Item = (&Token, &Token)> {
    tokens.iter().zip(tokens.iter().skip(1))
}

/// The word that a token is.
pub(super) fn word(token: &Token) -> Option<&str> {
    match &token.kind {
        Kind::Word(word) => Some(word),
        _ => None,
    }
}

/// What may stand before an opening parenthesis without being a function.
const KEYWORDS: &[&str] = &[
    "if",
    "while",
    "until",
    "switch",
    "for",
    "in",
    "return",
    "throw",
    "else",
    "do",
    "loop",
    "catch",
    "this",
    "fn",
    "Fn",
    "call",
    "curry",
    "is_shared",
    "is_def_var",
    "is_def_fn",
    "type_of",
    "print",
    "debug",
    "let",
    "const",
    "super",
    "global",
];

/// The longest part of a line that is shown, in characters.
pub(super) const LINE_MAX: usize = 200;
