//! Images and lists of them.

use super::*;
use crate::boot::{InjectedFile, Source, SourceError};

fn local(id: &str) -> BootImage {
    BootImage {
        id: id.into(),
        title: Line::clean(id),
        assignment: None,
        verify: None,
        choice: Default::default(),
        kind: ImageKind::LOCAL,
    }
}

fn menu(default: Option<&str>) -> Option<Menu> {
    Some(Menu { title: Line::clean("Boot"), default: default.map(Into::into), timeout: None, ..Menu::default() })
}

#[test]
fn nonsense_lists_are_refused() {
    let check = |images, menu, expect: &str| {
        let error = BootImages::new(images, menu).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(vec![local("a"), local("a")], None, "two images");
    check(vec![local("a b")], None, "no image id");
    check(vec![local("")], None, "no image id");
    check(vec![local("a"), local("b")], menu(Some("c")), "none of the images: a, b");
    check(vec![], menu(None), "no image");
    check((0..101).map(|i| local(&i.to_string())).collect(), None, "at most 100");
}

#[test]
fn without_its_assignments_an_answer_boots_nothing_else_by_itself() {
    let done = |id: &str| BootImage { assignment: Some("a1".into()), ..local(id) };
    let timed =
        |default: Option<&str>| menu(default).map(|menu| Menu { timeout: Some(Duration::from_secs(9)), ..menu });
    // What is left, by id; whether there is a menu, and what it boots when nobody chooses.
    let check = |images: &[BootImage], menu, left: &[&str], default: Option<Option<&str>>| {
        let before = BootImages::new(images.to_vec(), menu).unwrap().with_notice([Line::clean("hello")]);
        let after = before.without_assignments();
        let ids: Vec<_> = after.images().iter().map(|image| image.id.as_str()).collect();
        assert_eq!(ids, left);
        assert_eq!(after.menu().map(|menu| menu.default.as_deref()), default);
        assert_eq!((after.notice().len(), after.assignments().count()), (1, 0));
    };
    check(&[done("install")], None, &[], None);
    check(&[local("a")], None, &["a"], None);
    // One of several that a person had to choose does not boot at once because it is the only one left.
    check(&[done("install"), local("wipe")], None, &["wipe"], Some(None));
    check(&[done("install"), local("wipe")], timed(Some("install")), &[], None);
    check(&[done("install"), local("wipe")], timed(None), &[], None);
    check(&[local("wipe"), done("install")], timed(None), &["wipe"], Some(Some("wipe")));
    check(&[done("install"), local("disk")], timed(Some("disk")), &["disk"], Some(Some("disk")));
    check(&[done("install"), local("disk")], menu(Some("install")), &["disk"], Some(None));
}

#[test]
fn every_source_and_command_line_is_turned() {
    let source = |name: &str| name.parse::<Source>().unwrap();
    let line = Line::clean("x={files_url}/y");
    let file = InjectedFile { source: source("e"), name: Line::clean("n") };
    let kinds = [
        ImageKind::Linux { kernel: source("a"), initrd: vec![source("b"), source("c")], cmdline: line.clone() },
        ImageKind::Wim {
            wimboot: source("a"),
            bcd: Some(source("b")),
            boot_sdi: Some(source("c")),
            wim: source("d"),
            files: vec![file],
            args: line.clone(),
        },
        ImageKind::Chain { source: source("a") },
        ImageKind::Efi { source: source("a"), cmdline: line },
        ImageKind::Sanboot { source: source("a") },
    ];
    for kind in kinds {
        let turn = |from: Source| format!("@up/{from}").parse();
        let turned = kind.clone().map_sources::<SourceError>(turn, |_| Ok(Line::clean("turned"))).unwrap();
        let names: Vec<_> = turned.sources().into_iter().map(ToString::to_string).collect();
        let expect: Vec<_> = kind.sources().into_iter().map(|source| format!("@up/{source}")).collect();
        assert_eq!(names, expect);
        assert!(!format!("{turned:?}").contains("files_url"), "{turned:?}");
        assert_eq!(turned.name(), kind.name());
    }
    assert_eq!(ImageKind::LOCAL.map_sources::<()>(|_| Err(()), |_| Err(())), Ok(ImageKind::LOCAL));
}

#[test]
fn a_source_is_a_url_or_a_confined_name() {
    assert!(matches!("http://h/x".parse(), Ok(Source::Url(_))));
    assert!(matches!("debian/linux".parse(), Ok(Source::File(_))));
    assert!("../etc/passwd".parse::<Source>().is_err());
    assert!("gopher://h/x".parse::<Source>().is_err());
}

#[test]
fn keys_are_unique_and_hidden_images_can_be_chosen() {
    let with = |id: &str, key: Option<char>, hidden| BootImage {
        choice: Choice { key, hidden, ..Choice::default() },
        ..local(id)
    };
    let check = |images, menu, expect: &str| {
        let error = BootImages::new(images, menu).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(vec![with("a", Some('x'), false), with("b", Some('x'), false)], None, "`a` and `b` have the same key `x`");
    check(vec![with("a", Some(' '), false)], None, "one letter or digit");
    check(vec![with("a", None, true), local("b")], None, "has no key");
    check(vec![with("a", Some('x'), true)], None, "nor the only image");
    check(vec![with("a", Some('x'), true), local("b")], menu(Some("a")), "cannot be the default");
    assert!(BootImages::new(vec![with("a", Some('x'), true), with("b", Some('X'), false)], None).is_ok());
}

#[test]
fn what_older_servers_wrote_is_read_and_a_question_boots_nothing_there() {
    let old = r#"{"images": [{"id": "a", "title": "A", "kind": "local"}], "menu": null}"#;
    let read: BootImages = serde_json::from_str(old).unwrap();
    assert_eq!(read.images()[0].choice, Choice::default());
    assert_eq!(serde_json::to_string(&read).unwrap(), old.replace(": ", ":").replace(", ", ","));
    let asking = BootImages::asking(Ask::new(crate::boot::Method::Pin, Line::clean("PIN"), Vec::new()).unwrap());
    let json = serde_json::to_value(&asking).unwrap();
    assert_eq!(json["images"], serde_json::json!([]));
    assert_eq!(serde_json::from_value::<BootImages>(json).unwrap(), asking);
    let guarded = BootImage {
        choice: Choice { needs: asking.ask().cloned().map(Box::new), key: Some('g'), ..Choice::default() },
        ..local("g")
    };
    let images = BootImages::new(vec![local("a"), guarded], None).unwrap();
    let read: BootImages = serde_json::from_str(&serde_json::to_string(&images).unwrap()).unwrap();
    assert_eq!(read, images);
    let left = images.clone().without_questions(|_| true, &Line::clean("Not here:"));
    assert_eq!((left.images().len(), left.notice()[0].as_str()), (1, "Not here: g"));
    assert!(images.only("g").unwrap().images()[0].choice.needs.is_none());
}
