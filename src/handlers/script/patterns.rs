//! `matches` and `captures`: regular expressions on text.
//!
//! **Invariant**: a pattern is compiled once and kept, within limits on its size and number; matching takes time in
//! proportion to the text, whatever the pattern, and the text has a limit.

use moka::sync::Cache;
use regex::{Regex, RegexBuilder};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString};

use super::lexer::{Kind, Token};
use super::sandbox::{fail, need_time};
use crate::nearest::cut;

/// Compiled patterns by their text.
#[derive(Clone)]
struct Patterns(Cache<ImmutableString, Regex>);

type Found<T> = Result<T, Box<EvalAltResult>>;

/// Registers the functions.
pub(super) fn register(engine: &mut Engine) {
    let patterns = Patterns(Cache::new(KEPT_MAX));
    let all = patterns.clone();
    engine.register_fn("matches", move |text: ImmutableString, pattern: ImmutableString| -> Found<bool> {
        Ok(all.get("matches", &text, &pattern)?.is_match(&text))
    });
    engine.register_fn("captures", move |text: ImmutableString, pattern: ImmutableString| -> Found<Array> {
        let pattern = patterns.get("captures", &text, &pattern)?;
        let Some(found) = pattern.captures(&text) else { return Ok(Array::new()) };
        let group =
            |group: Option<regex::Match<'_>>| Dynamic::from(group.map_or("", |group| group.as_str()).to_owned());
        Ok(found.iter().map(group).collect())
    });
}

impl Patterns {
    fn get(&self, function: &str, text: &str, pattern: &ImmutableString) -> Found<Regex> {
        if text.len() > TEXT_LEN_MAX {
            return fail(format!(
                "{function}: the text has {} octets; at most {TEXT_LEN_MAX} are searched",
                text.len()
            ));
        }
        if let Some(pattern) = self.0.get(pattern) {
            return Ok(pattern);
        }
        // One takes about as long as a whole decision.
        need_time()?;
        let compiled = compile(pattern).or_else(|why| fail(format!("{function}: {why}")))?;
        self.0.insert(pattern.clone(), compiled.clone());
        Ok(compiled)
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_LEN_MAX {
        return Err(format!("the pattern has {} octets; at most {PATTERN_LEN_MAX} are read", pattern.len()));
    }
    let built = RegexBuilder::new(pattern).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).nest_limit(32).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("the pattern `{}` is too large; repeat less in it", cut(pattern)),
        // The last line of its message says what is wrong; those before show where.
        error => {
            let words = error.to_string();
            let why = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("`{}` is no pattern: {why}", cut(pattern))
        }
    })
}

/// The patterns in a script that are plain text and cannot be compiled, with what is wrong.
pub(super) fn wrong_patterns(tokens: &[Token]) -> Vec<(&Token, String)> {
    let mut wrong = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [function, open] = pair else { continue };
        if !(function.is_word("matches") || function.is_word("captures")) || !open.is_sign('(') {
            continue;
        }
        let inside = tokens.get(at + 2..).unwrap_or_default();
        let end = inside.iter().position(|token| token.is_sign(')') && token.depth == open.depth);
        let inside = inside.get(..end.unwrap_or(0)).unwrap_or_default();
        let Some((pattern, before)) = inside.split_last() else { continue };
        let is_whole = before.last().is_none_or(|token| token.is_sign(',') && token.depth == open.depth + 1);
        let text = match &pattern.kind {
            Kind::Text(text) if is_whole => plain(text),
            Kind::Raw(text) if is_whole => text.clone(),
            _ => continue,
        };
        if let Err(why) = compile(&text) {
            wrong.push((pattern, why));
        }
    }
    wrong
}

/// What a text between double quotes says.
fn plain(written: &str) -> String {
    let mut text = String::new();
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let digits = match rest.next() {
            Some('n') => {
                text.push('\n');
                continue;
            }
            Some('t') => {
                text.push('\t');
                continue;
            }
            Some('r') => {
                text.push('\r');
                continue;
            }
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            other => {
                text.extend(other);
                continue;
            }
        };
        let digits: String = rest.by_ref().take(digits).collect();
        text.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
    }
    text
}

/// How many compiled patterns are kept; about 20 kB each.
const KEPT_MAX: u64 = 1000;
/// The longest pattern, in octets.
const PATTERN_LEN_MAX: usize = 1000;
/// The largest compiled pattern, in octets.
const SIZE_MAX: usize = 256 << 10;
/// The longest text that is searched, in octets: more than any fact has.
const TEXT_LEN_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lexer::tokens;
    use super::*;

    #[test]
    fn wrong_patterns_are_found_where_they_stand() {
        let check = |source: &str, expect: Option<usize>| {
            let all = tokens(source);
            let found = wrong_patterns(&all);
            assert_eq!(found.first().map(|(token, _)| token.column), expect, "{source}: {found:?}");
        };
        check("matches(request.product, \"^Opti\")", None);
        check("matches(request.product, \"^Opti(\")", Some(26));
        check("request.product.matches(\"[a\")", Some(25));
        check("request.product.matches(\"\\\\d+\")", None);
        check("request.product.captures(`\\d+(`)", Some(26));
        check("request.product.captures(#\"\\d+(\"#)", Some(26));
        check("matches(f(a, \"(\"), \"b\")", None);
        check("matches(a, b + \"(\")", None);
        check("matches(a, pattern)", None);
        check("matches(", None);
    }

    #[test]
    fn patterns_have_limits() {
        assert!(compile(&"a".repeat(1001)).is_err());
        assert!(compile("(a{1000}){1000}").unwrap_err().contains("too large"));
        assert_eq!(compile("a(").unwrap_err(), "`a(` is no pattern: unclosed group");
        assert_eq!(plain("a\\\\d\\\"\\x41\\u00e9"), "a\\d\"A\u{e9}");
    }

    proptest! {
        #[test]
        fn any_pattern_is_compiled_or_told(pattern in "[-a-z0-9()\\[\\]{}*+?.|^$\\\\]{0,40}") {
            let _ = (compile(&pattern), wrong_patterns(&tokens(&format!("matches(a, `{pattern}`)"))), plain(&pattern));
        }
    }
}
