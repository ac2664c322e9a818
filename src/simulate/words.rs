//! How iPXE takes the text of a script apart: lines, labels, options, and URLs relative to the script.

use std::collections::BTreeMap;

/// Lines with their continuations.
pub(super) fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(start) => open.push_str(start),
            None => lines.push(std::mem::take(&mut open) + line),
        }
    }
    lines.push(open);
    lines
}

pub(super) fn label_of(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix(':')?.split_whitespace().next()
}

/// The options of a command and what follows them. Options that take a value are known by name, as in iPXE.
pub(super) fn options(command: &str, arguments: &[String]) -> (BTreeMap<String, String>, Vec<String>) {
    let with_value = ["timeout", "t", "name", "n", "default", "d", "drive", "key", "k", "autofree-name"];
    let mut options = BTreeMap::new();
    let mut rest = arguments.iter();
    let mut operands = Vec::new();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            break;
        }
        let Some(option) = argument.strip_prefix('-').filter(|option| !option.is_empty()) else {
            operands.push(argument.clone());
            break;
        };
        let option = option.trim_start_matches('-');
        // `choose -d`, `item -d`: a default with a value only for the former.
        let takes = with_value.contains(&option) && !(command == "item" && matches!(option, "default" | "d"));
        match option.split_once('=') {
            Some((option, value)) => options.insert(option.to_owned(), value.to_owned()),
            None if takes => options.insert(option.to_owned(), rest.next().cloned().unwrap_or_default()),
            None => options.insert(option.to_owned(), String::new()),
        };
    }
    operands.extend(rest.cloned());
    (options, operands)
}

/// A target relative to the script that names it.
pub(super) fn absolute(base: &str, target: &str) -> String {
    if target.contains("://") {
        return target.to_owned();
    }
    let authority = base.find("://").map_or(0, |at| at + 3);
    let path = base.get(authority..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| authority + at);
    if target.starts_with('/') {
        return format!("{}{target}", base.get(..path).unwrap_or(base));
    }
    let folder = base.split(['?', '#']).next().and_then(|path| path.rfind('/')).map_or(base.len(), |at| at + 1);
    format!("{}{target}", base.get(..folder).unwrap_or(base))
}

/// The path as the report shows it: without the token, which opens the session.
pub(super) fn without_token(url: &str) -> String {
    let url = url.split('?').next().unwrap_or(url);
    match url.split_once("/b/").and_then(|(start, rest)| Some((start, rest.split_once('/')?.1))) {
        Some((start, rest)) => format!("{start}/b/…/{rest}"),
        None => url.to_owned(),
    }
}

/// Another path of the session that this URL belongs to.
pub(super) fn of_session(url: &str, rest: &str) -> Option<String> {
    let start = url.find("/b/")? + 3;
    let token = url.get(start..)?.find('/')?;
    Some(format!("{}{rest}", url.get(..=start + token)?))
}

/// A URL with this last part in a command line, as `done_url=http://...` or by itself.
pub(super) fn url_in(command_line: &str, last: &str) -> Option<String> {
    let urls = command_line.split([' ', '=', ',', ';', '"', '\'']).filter(|word| word.starts_with("http"));
    let is_it = |url: &&str| url.split('?').next().and_then(|path| path.rsplit('/').next()) == Some(last);
    urls.into_iter().find(is_it).map(str::to_owned)
}

pub(super) fn encode(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_relative_to_the_script() {
        assert_eq!(absolute("http://h:8/b/t/boot.ipxe?x=/y", "f/k"), "http://h:8/b/t/f/k");
        assert_eq!(absolute("http://h:8/b/t/boot.ipxe", "/x"), "http://h:8/x");
        assert_eq!(absolute("http://h/a", "https://g/b"), "https://g/b");
    }

    #[test]
    fn an_installer_finds_where_to_report() {
        let line = "quiet url=http://h/b/t/f/x done=http://h/b/t/done,x fail=http://h/b/t/failed?reason=";
        assert_eq!(url_in(line, "done").as_deref(), Some("http://h/b/t/done"));
        assert_eq!(url_in(line, "failed").as_deref(), Some("http://h/b/t/failed?reason"));
        assert_eq!(url_in("quiet done", "done"), None);
        assert_eq!(of_session("http://h:8/b/t/f/next.ipxe?x=/y", "done").as_deref(), Some("http://h:8/b/t/done"));
        assert_eq!(of_session("http://h/x", "done"), None);
    }

    #[test]
    fn options_end_where_operands_begin() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (options, operands) = options("kernel", &words("--name linux http://h/k --quiet a=b"));
        assert_eq!(options["name"], "linux");
        assert_eq!(operands, words("http://h/k --quiet a=b"));
    }
}
