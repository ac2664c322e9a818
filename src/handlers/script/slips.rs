//! Habits from other languages, and what is written here in their place.

use rhai::{LexError, ParseErrorType};

/// What is wrong in plain words, and the fix, where the language's own words do not help. `word` is what stands at the
/// place of the error.
pub(super) fn slip(error: &ParseErrorType, word: Option<&str>) -> Option<(String, String)> {
    let told = |message: &str, fix: &str| Some((message.to_owned(), fix.to_owned()));
    match error {
        ParseErrorType::Reserved(sign) | ParseErrorType::UnknownOperator(sign)
            if matches!(sign.as_str(), "#" | "--") =>
        {
            told(&format!("`{sign}` begins no comment"), "a comment begins with `//`")
        }
        ParseErrorType::Reserved(sign) if !sign.chars().any(char::is_alphanumeric) => {
            told(&format!("`{sign}` is no sign of the language"), "look for a slip of the pen")
        }
        ParseErrorType::BadInput(LexError::MalformedChar(text)) => Some((
            format!("`'{text}'` is not a single character"),
            format!("text stands between double quotes: \"{}\"", text.replace('"', "\\\"")),
        )),
        ParseErrorType::BadInput(LexError::UnexpectedInput(sign))
            if matches!(sign.as_str(), "“" | "”" | "„" | "«" | "»" | "‘" | "’" | "´") =>
        {
            told(
                &format!("`{sign}` is a quote of a word processor"),
                "text stands between straight double quotes: \"text\"",
            )
        }
        ParseErrorType::BadInput(LexError::UnexpectedInput(sign)) => told(
            &format!("`{sign}` is no sign of the language"),
            "look for a slip of the pen; text stands between double quotes",
        ),
        ParseErrorType::Reserved(sign) | ParseErrorType::UnknownOperator(sign)
            if matches!(sign.as_str(), "++" | "--") =>
        {
            let (name, operator) = (sign, sign.get(..1).unwrap_or_default());
            Some((format!("`{name}` is no sign of the language"), format!("write `n {operator}= 1`")))
        }
        ParseErrorType::BadInput(LexError::UnterminatedString) => told(
            "the text that begins here does not end",
            "close it in the same line; text of several lines stands between back quotes: `...`",
        ),
        ParseErrorType::BadInput(LexError::ImproperSymbol(sign, _)) if sign == "=" => {
            told("`=` sets a value, and this asks for one", "to compare, write `==`")
        }
        ParseErrorType::MismatchedType(wanted, got) if wanted == "a boolean expression" => {
            told(&format!("true or false is needed here, not {got}"), "compare it: if count > 0 { ... }")
        }
        ParseErrorType::MismatchedType(wanted, got) if wanted == "an iterable value" => told(
            &format!("`for` goes through an array, a range or text, not {got}"),
            "write it like: for n in 1..=3 { ... }",
        ),
        ParseErrorType::Reserved(name) | ParseErrorType::VariableUndefined(name) => foreign(name),
        _ => foreign(word?),
    }
}

/// A word of other languages.
fn foreign(word: &str) -> Option<(String, String)> {
    let (_, here) = FOREIGN.iter().find(|(words, _)| words.contains(&word))?;
    Some((format!("`{word}` is no word of the language"), format!("write {here}")))
}

const FOREIGN: &[(&[&str], &str)] = &[
    (&["elif", "elsif", "elseif"], "`else if`"),
    (&["and", "AND"], "`&&`: if a == 1 && b == 2 { ... }"),
    (&["or", "OR"], "`||`: if a == 1 || b == 2 { ... }"),
    (&["not", "NOT"], "`!`: if !ready { ... }"),
    (&["True", "TRUE"], "`true`"),
    (&["False", "FALSE"], "`false`"),
    (&["None", "nil", "null", "NULL", "undefined"], "`()` for nothing: if row == () { ... }"),
    (&["function", "func", "def", "sub"], "`fn`: fn name(request) { ... }"),
    (&["var"], "`let`: let name = ...;"),
    (&["then"], "`{`: if a == b { ... }"),
    (&["end", "endif", "fi"], "`}`, which closes the `{`"),
];
