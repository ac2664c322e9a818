//! The name that somebody probably meant, for errors that help.

/// The candidate most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = cut(name).to_ascii_lowercase();
    let score = |candidate: &'a str| {
        let lower = candidate.to_ascii_lowercase();
        let part = name.len() >= 3 && (lower.contains(&name) || name.contains(&lower)) && lower.len() >= 3;
        let likeness = strsim::normalized_damerau_levenshtein(&name, &lower);
        (if part { likeness.max(0.6) } else { likeness }, candidate)
    };
    candidates
        .into_iter()
        .map(score)
        .filter(|(likeness, _)| *likeness >= 0.55)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The end of an error message: the name that was probably meant, else the names that there are.
pub(crate) fn remedy<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, candidates.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let names: Vec<_> = candidates.into_iter().take(LISTED_MAX).collect();
            format!("there are {}", names.join(", "))
        }
    }
}

/// The start of a text from a script, short enough for a message.
pub(crate) fn cut(text: &str) -> &str {
    text.char_indices().nth(SHOWN_MAX).and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

const SHOWN_MAX: usize = 80;
const LISTED_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["kernel", "initrd", "cmdline", "title", "id"];
        assert_eq!(nearest("kernal", names), Some("kernel"));
        assert_eq!(nearest("Kernel", names), Some("kernel"));
        assert_eq!(nearest("initrds", names), Some("initrd"));
        assert_eq!(nearest("wim", names), None);
        assert_eq!(nearest("", names), None);
        assert!(remedy("zzzz", names).starts_with("there are kernel, initrd"));
    }
}
