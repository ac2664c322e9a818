//! Answers that a script makes and throws away: `deny("no");` in place of `return deny("no");`.
//!
//! Rhai takes such a line for a statement like any other, and the function goes on to its last line, which may allow
//! what was to be denied. So it is an error when the script is loaded.

use super::api::ANSWERS;
use super::lexer::{Kind, Token};

/// The calls whose answer is thrown away, with the function's name.
pub(super) fn dropped_answers(tokens: &[Token]) -> Vec<(&Token, &str)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Kind::Word(name) = &token.kind else { continue };
        let begins = at
            .checked_sub(1)
            .and_then(|before| tokens.get(before))
            .is_some_and(|before| before.is_sign(';') || before.is_sign('{') || before.is_sign('}'));
        if !begins || !ANSWERS.contains(&name.as_str()) || !tokens.get(at + 1).is_some_and(|next| next.is_sign('(')) {
            continue;
        }
        let Some(end) = closing(tokens, at + 1, ')') else { continue };
        let is_dropped = match tokens.get(end + 1) {
            Some(next) if next.is_sign(';') => true,
            Some(next) if next.is_sign('}') => a_statement_follows(tokens, end + 1),
            _ => false,
        };
        if is_dropped {
            found.push((token, name.as_str()));
        }
    }
    found
}

/// Where the bracket that opens at `open` is closed.
fn closing(tokens: &[Token], open: usize, sign: char) -> Option<usize> {
    let depth = tokens.get(open)?.depth;
    let rest = tokens.iter().enumerate().skip(open + 1);
    rest.into_iter().find(|(_, token)| token.depth == depth && token.is_sign(sign)).map(|(at, _)| at)
}

/// Whether the block that ends here begins behind `=>`.
fn is_arm(tokens: &[Token], end: usize) -> bool {
    let before = tokens.get(..end).unwrap_or_default();
    let depth = tokens.get(end).map_or(0, |token| token.depth);
    let open = before.iter().rposition(|token| token.depth == depth && token.is_sign('{'));
    open.and_then(|open| tokens.get(open.checked_sub(1)?)).is_some_and(|token| token.is_sign('>'))
}

/// Whether the block that ends here, with every `else` of it, stands before another statement: then its value is nobody's.
fn a_statement_follows(tokens: &[Token], mut end: usize) -> bool {
    let Some(depth) = tokens.get(end).map(|token| token.depth) else { return false };
    // The end of a function, or of an arm of `switch`, whose value is that of the whole.
    if depth == 0 || is_arm(tokens, end) {
        return false;
    }
    while tokens.get(end + 1).is_some_and(|next| next.is_word("else")) {
        let block = tokens.iter().enumerate().skip(end + 2).find(|(_, t)| t.depth == depth && t.is_sign('{'));
        let Some(after) = block.and_then(|(open, _)| closing(tokens, open, '}')) else { return false };
        end = after;
    }
    tokens.get(end + 1).is_some_and(|next| match &next.kind {
        Kind::Word(_) | Kind::Text(_) | Kind::Raw(_) => true,
        Kind::Sign(sign) => matches!(sign, '(' | '[' | '#' | '!'),
    })
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    fn check(body: &str, expect: &[&str]) {
        let source = format!("fn allow_boot(request) {{ {body} }}\nfn other() {{ 1 }}");
        let tokens = tokens(&source);
        let names: Vec<_> = dropped_answers(&tokens).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, expect, "{body}");
    }

    #[test]
    fn an_answer_that_goes_nowhere_is_found() {
        check("if a { deny(\"no\"); } allow()", &["deny"]);
        check("if a { deny(\"no\") } allow()", &["deny"]);
        check("if a { deny(\"no\") } else if b { ignore(\"x\") } else { pass() } allow()", &["deny", "ignore", "pass"]);
        check("deny(f(\"no\")); allow()", &["deny"]);
        check("linux(#{ kernel: \"k\" }); local_disk()", &["linux"]);
    }

    #[test]
    fn an_answer_that_is_given_is_not() {
        check("if a { return deny(\"no\"); } allow()", &[]);
        check("if a { deny(\"no\") } else { allow() }", &[]);
        check("if a { deny(\"no\") } else if b { pass() } else { allow() }", &[]);
        check("let v = if a { deny(\"no\") } else { allow() }; v", &[]);
        check("switch a { 1 => { deny(\"no\") } _ => allow() }", &[]);
        check("switch a { 1 => deny(\"no\"), _ => allow() }", &[]);
        check("let list = []; list.push(local_disk()); list", &[]);
        check("allow()", &[]);
        check("menu(#{ images: [local_disk(), reboot()] })", &[]);
    }
}
