//! What differs between two answers to one question, in words: for candidates that run beside the live scripts, and for
//! old boots that are asked again of new scripts.
//!
//! **Invariant**: answers without a difference do the same with the machine; what only explains them is not compared.

use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use super::{Answer, HandlerError};
use crate::boot::{BootDecision, BootImages, Record, Verdict};

/// The longest value that is shown, in characters.
const VALUE_LEN_MAX: usize = 120;
/// The most lines that are told.
const LINES_MAX: usize = 40;

/// What was said to a question, as far as two of them are compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Compared {
    /// Whether the machine may boot.
    Verdict(Verdict),
    /// What it boots.
    Images(BootImages),
    /// No opinion.
    Passed,
    /// No opinion, but this is known of the machine.
    Noted(Record),
    /// A failure, in words.
    Failed(String),
}

impl Compared {
    /// What a handler said to *may I boot?*.
    pub fn of_verdict(said: &Result<Answer<Verdict>, HandlerError>) -> Compared {
        Compared::of(said, Compared::Verdict)
    }

    /// What a handler said to *what do I boot?*.
    pub fn of_images(said: &Result<Answer<BootImages>, HandlerError>) -> Compared {
        Compared::of(said, Compared::Images)
    }

    /// A whole decision: its images where it has some, else its verdict.
    pub fn of_decision(decision: &BootDecision) -> Compared {
        match &decision.images {
            Some(images) => Compared::Images(images.clone()),
            None => Compared::Verdict(decision.verdict.clone()),
        }
    }

    fn of<T: Clone>(said: &Result<Answer<T>, HandlerError>, given: fn(T) -> Compared) -> Compared {
        match said {
            Ok(Answer::Given(answer)) => given(answer.clone()),
            Ok(Answer::Explained { given: Some(answer), .. }) => given(answer.clone()),
            Ok(Answer::Noted(record)) => Compared::Noted(record.clone()),
            Ok(Answer::Explained { known: Some(record), .. }) => Compared::Noted(record.clone()),
            Ok(Answer::Pass | Answer::Identified { .. } | Answer::Explained { .. }) => Compared::Passed,
            Err(error) => Compared::Failed(error.message.clone()),
        }
    }

    /// The answer in a few words: `deny: not ours`, `boots debian`, `menu debian, tools`.
    pub fn summary(&self) -> String {
        match self {
            Compared::Verdict(Verdict::Allow(_)) => "allow".into(),
            Compared::Verdict(verdict) => format!("{}: {}", verdict.name(), verdict.reason()),
            Compared::Images(images) => {
                let ids: Vec<&str> = images.images().iter().map(|image| image.id.as_str()).collect();
                match (ids.as_slice(), images.menu()) {
                    _ if let Some(ask) = images.ask() => format!("asks {}", ask.method().name()),
                    ([], _) => "local disk".into(),
                    ([id], None) => format!("boots {id}"),
                    _ => shown(&format!("menu {}", ids.join(", "))),
                }
            }
            Compared::Passed => "no opinion".into(),
            Compared::Noted(record) => match record.text("upstream") {
                Some(upstream) => format!("no opinion; refers to {}", shown(&upstream)),
                None => "no opinion; notes of the machine".into(),
            },
            Compared::Failed(_) => "fails".into(),
        }
    }

    /// The kind of answer in one word, to group by: `allow`, `deny`, `images`, `disk`, `pass`, `fail`, ...
    pub fn kind(&self) -> &'static str {
        match self {
            Compared::Verdict(verdict) => verdict.name(),
            Compared::Images(images) if images.ask().is_some() => "ask",
            Compared::Images(images) if images.images().is_empty() => "disk",
            Compared::Images(images) if images.menu().is_some() => "menu",
            Compared::Images(_) => "image",
            Compared::Passed | Compared::Noted(_) => "pass",
            Compared::Failed(_) => "fail",
        }
    }
}

/// One thing in which two answers differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// What, by its path: `image debian: cmdline`.
    pub what: String,
    /// What it was.
    pub old: String,
    /// What it is.
    pub new: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.what, self.old, self.new)
    }
}

/// What differs, one line each, as in `verdict: "deny" -> "allow"`; empty where both do the same.
pub fn differences(old: &Compared, new: &Compared) -> Vec<String> {
    differing(old, new).iter().map(ToString::to_string).collect()
}

/// What differs, thing by thing; empty where both do the same.
pub fn differing(old: &Compared, new: &Compared) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut answer = |old: String, new: String| found.push(Difference { what: "answer".into(), old, new });
    match (old, new) {
        (_, Compared::Failed(why)) if !matches!(old, Compared::Failed(_)) => {
            answer(old.summary(), format!("fails: {}", shown(why)));
        }
        (Compared::Failed(why), _) if !matches!(new, Compared::Failed(_)) => {
            answer(format!("failed: {}", shown(why)), new.summary());
        }
        (Compared::Verdict(old), Compared::Verdict(new)) => object("", &json(old), &json(new), &mut found),
        (Compared::Images(old), Compared::Images(new)) => images(old, new, &mut found),
        (Compared::Noted(old), Compared::Noted(new)) => object("note", &json(old), &json(new), &mut found),
        // The words of an error have places in them, which a new script moves.
        (Compared::Failed(_), Compared::Failed(_)) | (Compared::Passed, Compared::Passed) => {}
        _ => answer(old.summary(), new.summary()),
    }
    found.truncate(LINES_MAX);
    found
}

fn images(old: &BootImages, new: &BootImages, found: &mut Vec<Difference>) {
    let ids = |of: &BootImages| of.images().iter().map(|image| image.id.clone()).collect::<Vec<_>>();
    let (before, after) = (ids(old), ids(new));
    if before != after {
        let list = |ids: &[String]| if ids.is_empty() { "local disk".to_owned() } else { shown(&ids.join(", ")) };
        found.push(Difference { what: "images".into(), old: list(&before), new: list(&after) });
    }
    for image in old.images() {
        if let Some(other) = new.images().iter().find(|other| other.id == image.id) {
            object(&format!("image {}", image.id), &json(image), &json(other), found);
        }
    }
    object("question", &json(&old.ask()), &json(&new.ask()), found);
    object("menu", &json(&old.menu()), &json(&new.menu()), found);
    let notice = |of: &BootImages| Json::from_iter(of.notice().iter().map(ToString::to_string));
    object("notice", &notice(old), &notice(new), found);
}

/// The fields that differ, each by its path. Whatever an answer will have is compared without being named here.
fn object(path: &str, old: &Json, new: &Json, found: &mut Vec<Difference>) {
    if old == new || found.len() >= LINES_MAX {
        return;
    }
    if let (Json::Object(before), Json::Object(after)) = (old, new) {
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let of = |object: &serde_json::Map<String, Json>| object.get(name).cloned().unwrap_or_default();
            let path = if path.is_empty() { name.clone() } else { format!("{path}: {name}") };
            object(&path, &of(before), &of(after), found);
        }
        return;
    }
    found.push(Difference { what: path.to_owned(), old: value(old), new: value(new) });
}

fn json(of: &impl Serialize) -> Json {
    serde_json::to_value(of).unwrap_or_default()
}

fn value(json: &Json) -> String {
    match json {
        Json::Null => "none".into(),
        Json::Object(fields) if fields.contains_key("title") => fields.get("title").map(value).unwrap_or_default(),
        // A source is {"file": "debian/linux"}; its kind is clear from what it is.
        Json::Object(fields) if fields.len() == 1 => fields.values().map(value).collect(),
        Json::Array(items) if items.is_empty() => "none".into(),
        Json::Array(items) => shown(&items.iter().map(value).collect::<Vec<_>>().join(", ")),
        other => shown(&other.to_string()),
    }
}

/// Text that fits a line.
fn shown(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    match text.chars().count() > VALUE_LEN_MAX {
        true => clean.take(VALUE_LEN_MAX - 1).chain(['…']).collect(),
        false => clean.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::{BootImage, ImageKind, Line, Menu};

    fn linux(id: &str, cmdline: &str) -> BootImage {
        let kind = ImageKind::Linux {
            kernel: "debian/linux".parse().unwrap(),
            initrd: vec!["debian/initrd.gz".parse().unwrap()],
            cmdline: Line::clean(cmdline),
        };
        BootImage { kind, ..local(id) }
    }

    fn local(id: &str) -> BootImage {
        let kind = ImageKind::LOCAL;
        BootImage {
            id: id.into(),
            title: Line::clean(id),
            assignment: None,
            verify: None,
            choice: Default::default(),
            kind,
        }
    }

    fn of(images: Vec<BootImage>, menu: Option<&str>) -> Compared {
        let menu = menu.map(|title| Menu { title: Line::clean(title), ..Menu::default() });
        Compared::Images(BootImages::new(images, menu).unwrap())
    }

    #[test]
    fn each_difference_is_a_line_with_its_place() {
        let check = |old: &Compared, new: &Compared, expect: &[&str]| {
            assert_eq!(differences(old, new), expect);
            assert_eq!(differences(old, old), [""; 0]);
            assert_eq!(differences(new, new), [""; 0]);
        };
        let deny = Compared::Verdict(Verdict::deny("not ours"));
        let allow = Compared::Verdict(Verdict::allow());
        check(&deny, &allow, &["reason: \"not ours\" -> none", "verdict: \"deny\" -> \"allow\""]);
        check(&deny, &Compared::Passed, &["answer: deny: not ours -> no opinion"]);
        check(&allow, &Compared::Failed("a.rhai:3: no".into()), &["answer: allow -> fails: a.rhai:3: no"]);
        let cmdline = ["image debian: cmdline: \"quiet\" -> \"auto\""];
        check(&of(vec![linux("debian", "quiet")], None), &of(vec![linux("debian", "auto")], None), &cmdline);
        let menu = of(vec![linux("debian", "quiet"), local("disk")], Some("Lab"));
        check(&of(vec![], None), &menu, &["images: local disk -> debian, disk", "menu: none -> \"Lab\""]);
        let kinds = of(vec![local("debian")], None);
        let found = differences(&of(vec![linux("debian", "")], None), &kinds);
        assert!(found.contains(&"image debian: kind: \"linux\" -> \"local\"".to_owned()), "{found:?}");
        assert!(found.contains(&"image debian: kernel: \"debian/linux\" -> none".to_owned()), "{found:?}");
    }

    #[test]
    fn words_of_an_error_and_their_places_make_no_difference() {
        let failed = |why: &str| Compared::Failed(why.into());
        assert_eq!(differences(&failed("a.rhai:1: x"), &failed("a.rhai:2: x")), [""; 0]);
    }

    #[test]
    fn a_summary_is_one_short_line() {
        let images: Vec<_> = (0..100).map(|number| local(&format!("{number}-{}", "x".repeat(50)))).collect();
        let summary = of(images, None).summary();
        assert!(summary.starts_with("menu 0-x") && summary.chars().count() <= VALUE_LEN_MAX, "{summary}");
        assert_eq!(of(vec![local("disk")], None).summary(), "boots disk");
        let noted = Compared::Noted([("upstream", "main\u{1b}[2J")].into_iter().collect());
        assert_eq!(noted.summary(), "no opinion; refers to main [2J");
    }
}
