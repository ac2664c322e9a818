//! Signs that are missing: the place where they are missing, which is seldom the place where the language notices.

use rhai::ParseErrorType;

use super::lexer::{Kind, Token};
use super::sources::Sources;

/// A missing sign: where it is missing, what is wrong, and the fix.
pub(super) struct Missing {
    pub(super) place: (usize, usize),
    pub(super) message: String,
    pub(super) hint: String,
}

/// What is missing, where the language's own words do not help. `place` is where it noticed.
pub(super) fn missing(error: &ParseErrorType, file: &str, place: (usize, usize), sources: &Sources) -> Option<Missing> {
    let tokens = sources.tokens(file);
    let at = tokens.iter().position(|token| (token.line, token.column) >= place).unwrap_or(tokens.len());
    let here = tokens.get(at);
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    match error {
        ParseErrorType::MissingToken(sign, _) if sign == ";" => {
            if here.is_some_and(|token| token.is_word("else")) {
                return Some(brace(tokens, at, place, "a `}` is missing before `else`"));
            }
            let before = before.filter(|before| before.line < place.0)?;
            let column = sources.line(file, before.line)?.split("//").next()?.trim_end().chars().count() + 1;
            Some(Missing {
                place: (before.line, column),
                message: "a `;` is missing at the end of this line".to_owned(),
                hint: "end each statement with `;` but the last one of a block, which is its value".to_owned(),
            })
        }
        ParseErrorType::MissingToken(sign, _) if sign == "}" => {
            let what = if here.is_none() { "the file ends, and a `}` is missing" } else { "a `}` is missing here" };
            Some(brace(tokens, at, place, what))
        }
        ParseErrorType::MissingToken(sign, what) if sign == "," => {
            let (message, hint) = if what.contains("function call") {
                let name = what.split('\'').nth(1).unwrap_or("the function");
                (
                    format!("a `,` or `)` is missing in the call of `{name}`"),
                    "write `,` between two arguments, and `)` behind the last one",
                )
            } else if what.contains("object map") {
                (
                    "a `,` or `}` is missing in this map".to_owned(),
                    "write `,` between two options, and `}` behind the last one",
                )
            } else {
                (
                    "a `,` or `]` is missing in this array".to_owned(),
                    "write `,` between two elements, and `]` behind the last one",
                )
            };
            Some(Missing { place, message, hint: hint.to_owned() })
        }
        ParseErrorType::MissingToken(sign, _) if sign == ":" => {
            let message = "a `:` is missing between the option and its value".to_owned();
            Some(Missing { place, message, hint: "write it like #{ kernel: \"debian/linux\" }".to_owned() })
        }
        ParseErrorType::VariableUndefined(name) => {
            let colon = tokens.get(at + 1).is_some_and(|next| next.is_sign(':'));
            let is_option = colon && before.is_some_and(|before| before.is_sign('{') || before.is_sign(','));
            let hint = format!("write the `#` of a map: #{{ {name}: ... }}");
            is_option.then(|| Missing { place, message: "options stand in `#{ ... }`".to_owned(), hint })
        }
        _ => None,
    }
}

/// A missing brace, with the one that is not closed.
fn brace(tokens: &[Token], at: usize, place: (usize, usize), message: &str) -> Missing {
    let mut open: Vec<&Token> = Vec::new();
    for token in tokens.iter().take(at) {
        match token.kind {
            Kind::Sign('{') => open.push(token),
            Kind::Sign('}') => drop(open.pop()),
            _ => {}
        }
    }
    let hint = match open.last() {
        Some(open) => format!("the `{{` of line {} is not closed", open.line),
        None => "look for a `{` that is not closed".to_owned(),
    };
    Missing { place, message: message.to_owned(), hint }
}
