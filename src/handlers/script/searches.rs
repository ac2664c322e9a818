//! Which columns of which tables a script looks into, as far as its text tells.

use std::collections::BTreeMap;

use super::lexer::{Kind, Token};

/// The uses of `find`, `find_all` and `find_network` on tables that are named by plain text: table, function, column. A table may be
/// named in the call itself, or be given to a variable or constant that never holds another.
pub(super) fn searches(tokens: &[Token]) -> Vec<(&str, &str, &str)> {
    let named = variables(tokens);
    let mut found = Vec::new();
    for (at, five) in tokens.windows(5).enumerate() {
        let [dot, function, open, column, close] = five else { continue };
        let (Some(name), Some(column)) = (word(function), text(column)) else { continue };
        let is_search = dot.is_sign('.') && open.is_sign('(') && matches!(name, "find" | "find_all" | "find_network");
        if !is_search || !close.is_sign(',') {
            continue;
        }
        let before = tokens.get(..at).unwrap_or_default();
        let table = match before {
            [.., last] if last.is_sign(')') => {
                table_call(before.get(before.len().wrapping_sub(4)..).unwrap_or_default())
            }
            [.., last] => word(last).and_then(|variable| *named.get(variable)?),
            [] => None,
        };
        found.extend(table.map(|table| (table, name, column)));
    }
    found
}

/// What the variables hold that are given a table by name; nothing where that differs.
fn variables(tokens: &[Token]) -> BTreeMap<&str, Option<&str>> {
    let mut named: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for seven in tokens.windows(7) {
        let [keyword, name, equals, call @ ..] = seven else { continue };
        let Some(variable) = word(name) else { continue };
        let is_given = (keyword.is_word("let") || keyword.is_word("const")) && equals.is_sign('=');
        if is_given {
            let table = table_call(call);
            named
                .entry(variable)
                .and_modify(|known| *known = known.filter(|known| Some(*known) == table))
                .or_insert(table);
        }
    }
    named
}

/// The name in `table("name")`.
fn table_call(tokens: &[Token]) -> Option<&str> {
    match tokens {
        [function, open, name, close] if function.is_word("table") && open.is_sign('(') && close.is_sign(')') => {
            text(name)
        }
        _ => None,
    }
}

fn word(token: &Token) -> Option<&str> {
    match &token.kind {
        Kind::Word(word) => Some(word),
        _ => None,
    }
}

fn text(token: &Token) -> Option<&str> {
    match &token.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    #[test]
    fn tables_are_known_by_name_and_by_variable() {
        let check =
            |source: &str, expect: &[(&str, &str, &str)]| assert_eq!(searches(&tokens(source)), expect, "{source}");
        check("table(\"m.csv\").find(\"mac\", request.mac)", &[("m.csv", "find", "mac")]);
        check(
            "let m = table(\"m.csv\"); m.find(\"mac\", x); m.find_all(\"role\", y)",
            &[("m.csv", "find", "mac"), ("m.csv", "find_all", "role")],
        );
        check("const M = table(\"m.csv\"); fn f(r) { global::M.find(\"mac\", r.mac) }", &[("m.csv", "find", "mac")]);
        check("let m = table(\"a\"); let m = table(\"b\"); m.find(\"mac\", x)", &[]);
        check("let m = table(name); m.find(\"mac\", x); n.find(\"mac\", x)", &[]);
        check("table(\"m.csv\").find(column, x); \"text\".find(\"t\"); find(\"mac\", x)", &[]);
    }
}
