//! Errors of serde in the words of somebody who is no programmer.

/// What serde says of a value of the wrong type, in plain words; any other message as it is.
pub(crate) fn plain_words(message: &str) -> String {
    if message == "invalid IP address syntax" {
        return "this is no IP address; write it like \"10.0.0.2\" or \"fd00::2\"".to_owned();
    }
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match rest.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((got, expected)) => format!("expected {}, not {}", wanted(expected), given(got)),
        None => message.to_owned(),
    }
}

fn wanted(kind: &str) -> &str {
    match kind {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" | "path string" | "a borrowed string" => "text between quotes",
        "a sequence" => "a list: [ ... ]",
        "a map" => "a table",
        kind if kind.starts_with("struct ") => "a table",
        kind if kind.starts_with("enum ") || kind.starts_with("variant") => "one of the words for it",
        kind => kind,
    }
}

fn given(value: &str) -> String {
    let quoted = |value: &str| value.trim_matches('`').to_owned();
    match value.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "float" | "floating", number)) => {
            format!("the number {}", quoted(number.trim_start_matches("point ")))
        }
        Some(("boolean", truth)) => quoted(truth),
        _ => match value {
            "map" => "a table".to_owned(),
            "sequence" => "a list".to_owned(),
            "unit value" | "null" => "nothing".to_owned(),
            other => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::plain_words;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only their types matter")]
    struct Wire {
        port: Option<u16>,
        text: Option<String>,
        list: Option<Vec<String>>,
        truth: Option<bool>,
        path: Option<std::path::PathBuf>,
        table: Option<Box<Wire>>,
        address: Option<std::net::IpAddr>,
    }

    #[test]
    fn no_word_of_the_programmer_is_left() {
        let check = |line: &str, expect: &str| {
            let error = toml::from_str::<Wire>(line).unwrap_err();
            assert_eq!(plain_words(error.message()), expect, "{line}: {}", error.message());
        };
        check("port = \"x\"", "expected a whole number from 0 to 65535, not the text \"x\"");
        check("port = 70000", "expected a whole number from 0 to 65535, not the number 70000");
        check("port = 1.5", "expected a whole number from 0 to 65535, not the number 1.5");
        check("port = -1", "expected a whole number from 0 to 65535, not the number -1");
        check("address = \"10.0.0.999\"", "this is no IP address; write it like \"10.0.0.2\" or \"fd00::2\"");
        check("text = 5", "expected text between quotes, not the number 5");
        check("text = true", "expected text between quotes, not true");
        check("text = [1]", "expected text between quotes, not a list");
        check("text = { a = 1 }", "expected text between quotes, not a table");
        check("list = \"a\"", "expected a list: [ ... ], not the text \"a\"");
        check("truth = \"yes\"", "expected true or false, not the text \"yes\"");
        check("path = 1", "expected text between quotes, not the number 1");
        check("table = 1", "expected a table, not the number 1");
    }

    #[test]
    fn what_is_plain_stays() {
        for message in ["unknown field `x`", "missing field `name`", "a, expected b", ""] {
            assert_eq!(plain_words(message), message);
        }
    }
}
