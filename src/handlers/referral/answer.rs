//! What an upstream answers, as this site serves it.
//!
//! Files of the upstream become `@NAME/file`, in command lines too; assignments get the handler's and the upstream's name
//! in front, so that what happens to them finds its way back.
//!
//! **Invariant**: what leaves here passed the limits of the types again; text is passed on as it is only in an image of
//! the kind `ipxe`.

use crate::api::ImagesAnswer;
use crate::boot::{BootImage, BootImages, Line, Menu, Source, Verdict};
use crate::ipxe::SessionUrls;

/// Between the name of the handler, the name of the upstream, and the upstream's own name of an assignment.
const BETWEEN: char = '~';
/// What command lines call the place of the images' files.
const FILES_URL: &str = "{files_url}";

/// What an upstream says to *what do I boot?*.
pub(super) enum Said {
    /// Nobody there has an opinion.
    Nothing,
    /// The machine may not boot any more.
    Denied(Verdict),
    /// What it boots.
    Images(BootImages),
}

/// Reads an answer.
///
/// # Errors
/// What in it cannot be served.
pub(super) fn said(answer: ImagesAnswer, handler: &str, upstream: &str) -> Result<Said, String> {
    if let Some(verdict) = answer.answer
        && !verdict.allows()
    {
        return Ok(Said::Denied(verdict));
    }
    let Some(images) = answer.images else { return Ok(Said::Nothing) };
    let served = |image: &BootImage| served(image.clone(), handler, upstream);
    let list = images.images().iter().map(served).collect::<Result<_, _>>()?;
    let menu = images.menu().cloned().map(|menu| dressed(menu, upstream)).transpose()?;
    let list = BootImages::new(list, menu).map_err(|error| error.to_string())?;
    Ok(Said::Images(list.with_notice(images.notice().iter().cloned())))
}

/// The menu with its picture from there.
fn dressed(mut menu: Menu, upstream: &str) -> Result<Menu, String> {
    if let Some(look) = menu.look.as_mut()
        && let Some(Source::File(name)) = &look.picture
    {
        let theirs = format!("@{upstream}/{name}").parse();
        look.picture = Some(theirs.map_err(|error| {
            format!("the answer of upstream `{upstream}` cannot be served: the picture of its menu: {error}")
        })?);
    }
    Ok(menu)
}

fn served(image: BootImage, handler: &str, upstream: &str) -> Result<BootImage, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!("the answer of upstream `{upstream}` cannot be served: image `{}`: {error}", image.id)
    };
    let source = |source: Source| match source {
        Source::File(name) => format!("@{upstream}/{name}").parse().map(Source::File).map_err(|error| wrong(&error)),
        Source::Url(url) => Ok(Source::Url(url)),
    };
    let command_line = |line: Line| match line.as_str().contains(FILES_URL) {
        true => {
            let text = line.as_str().replace(FILES_URL, &format!("{FILES_URL}/@{upstream}"));
            Line::new(text).map_err(|error| wrong(&error))
        }
        false => Ok(line),
    };
    let kind = image.kind.clone().map_sources(source, command_line)?;
    let assignment = image.assignment.as_ref().map(|theirs| format!("{handler}{BETWEEN}{upstream}{BETWEEN}{theirs}"));
    if let Some(id) = assignment.as_ref().filter(|id| id.len() > SessionUrls::ASSIGNMENT_LEN_MAX) {
        let max = SessionUrls::ASSIGNMENT_LEN_MAX;
        return Err(wrong(&format!("the id of its assignment has {} octets here; at most {max} fit", id.len())));
    }
    Ok(BootImage { assignment, kind, ..image })
}

/// The upstream of an assignment of this handler, and what the upstream calls it.
pub(super) fn assignment<'a>(id: &'a str, handler: &str) -> Option<(&'a str, &'a str)> {
    id.strip_prefix(handler)?.strip_prefix(BETWEEN)?.split_once(BETWEEN)
}

/// What an upstream calls a file that is named as this site names it.
pub(super) fn file<'a>(name: &'a str, upstream: &str) -> Option<&'a str> {
    name.strip_prefix('@')?.strip_prefix(upstream)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boot::ImageKind;

    fn read(json: &str) -> Result<Said, String> {
        let answer = serde_json::from_str(json).map_err(|error| error.to_string())?;
        said(answer, "referral", "main")
    }

    #[test]
    fn files_and_assignments_get_the_upstream_s_name() {
        let json = r#"{"answer": {"verdict": "allow"}, "images": {"notice": ["hello"], "images": [
            {"id": "d", "title": "D", "assignment": "a1", "kind": "linux", "kernel": {"file": "d/linux"},
             "initrd": [{"url": "http://h/i"}, {"file": "@s3/i"}],
             "cmdline": "a={files_url}/a b={done_url} c={files_url}/@s3/c"}]}}"#;
        let Ok(Said::Images(images)) = read(json) else { panic!("no images") };
        let image = &images.images()[0];
        let sources: Vec<_> = image.kind.sources().into_iter().map(ToString::to_string).collect();
        assert_eq!(sources, ["@main/d/linux", "http://h/i", "@main/@s3/i"]);
        let ImageKind::Linux { cmdline, .. } = &image.kind else { panic!("{image:?}") };
        assert_eq!(cmdline.as_str(), "a={files_url}/@main/a b={done_url} c={files_url}/@main/@s3/c");
        let id = image.assignment.as_deref().unwrap();
        assert_eq!((id, assignment(id, "referral")), ("referral~main~a1", Some(("main", "a1"))));
        assert_eq!(images.notice().len(), 1);
        assert_eq!(assignment("referral~main~sql~a1", "referral"), Some(("main", "sql~a1")));
        assert_eq!((assignment("a1", "referral"), assignment("referral2~main~a1", "referral")), (None, None));
        assert_eq!(
            (file("@main/d/linux", "main"), file("@main2/d", "main"), file("d", "main")),
            (Some("d/linux"), None, None)
        );
    }

    #[test]
    fn a_denial_and_no_opinion_are_told_apart() {
        let denied = r#"{"answer": {"verdict": "deny", "reason": "gone"}, "images": {"images": []}}"#;
        assert!(matches!(read(denied), Ok(Said::Denied(verdict)) if verdict.reason() == "gone"));
        assert!(matches!(read("{}"), Ok(Said::Nothing)));
        assert!(
            matches!(read(r#"{"images": {"images": []}}"#), Ok(Said::Images(images)) if images.images().is_empty())
        );
    }

    #[test]
    fn what_does_not_fit_any_more_is_an_error() {
        let image = |more: &str| format!(r#"{{"images": {{"images": [{{"id": "d", "title": "D", {more}}}]}}}}"#);
        let long = "a/".repeat(509);
        for (json, expect) in [
            (image(&format!(r#""kind": "chain", "source": {{"file": "{long}bcdef"}}"#)), "too long"),
            (image(&format!(r#""kind": "local", "assignment": "{}""#, "a".repeat(120))), "134 octets"),
            (image(r#""kind": "chain", "source": {"file": "../x"}"#), "'..'"),
            (image(r#""kind": "chain", "source": {"url": "gopher://x/"}"#), "no URL"),
            (image(r#""kind": "efi", "source": {"file": "x"}, "cmdline": "${x}""#), "iPXE would expand"),
            (image(r#""kind": "iso""#), "unknown variant"),
        ] {
            match read(&json) {
                Err(error) => assert!(error.contains(expect), "{error}"),
                Ok(_) => panic!("{json}"),
            }
        }
    }

    /// JSON with the names that answers have, and any values.
    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "(\\PC|\\$\\{|~|\\.\\./|@){0,12}".prop_map(Into::into),
            prop::sample::select(vec![
                "allow",
                "deny",
                "refer",
                "linux",
                "wim",
                "chain",
                "ipxe",
                "local",
                "retry",
                "{files_url}"
            ])
            .prop_map(Into::into),
        ];
        let name = prop::sample::select(vec![
            "answer",
            "verdict",
            "reason",
            "images",
            "menu",
            "notice",
            "id",
            "title",
            "kind",
            "kernel",
            "initrd",
            "cmdline",
            "source",
            "file",
            "url",
            "assignment",
            "text",
            "default",
            "timeout_s",
            "handler",
            "wait",
        ]);
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_an_answer_or_an_error(json in any_json()) {
            if let Ok(Said::Images(images)) = read(&json.to_string()) {
                for source in images.images().iter().flat_map(|image| image.kind.sources()) {
                    if let Source::File(name) = source {
                        prop_assert!(name.as_str().starts_with("@main/"), "{}", name);
                    }
                }
                for id in images.assignments() {
                    prop_assert!(id.starts_with("referral~main~"), "{}", id);
                }
            }
        }
    }
}
