//! Menus with groups, keys and hidden images, and questions: as iPXE reads them.

use super::*;
use crate::boot::{Ask, Choice, Method};

fn ask(method: Method) -> Ask {
    Ask::new(method, Line::clean("Who; is ${it}?"), Vec::new()).unwrap()
}

fn chosen(id: &str, choice: Choice) -> BootImage {
    BootImage { choice, ..image(id, id, linux("quiet")) }
}

#[test]
fn groups_have_headings_and_hidden_images_an_empty_line() {
    let group = |id: &str, group: Option<&str>, key| {
        chosen(id, Choice { group: group.map(Line::clean), key, ..Choice::default() })
    };
    let hidden = chosen("h", Choice { key: Some('h'), hidden: true, ..Choice::default() });
    let list = vec![
        hidden,
        group("a", None, None),
        group("b", Some("-Install ; #now"), Some('b')),
        group("c", Some("Tools"), Some('7')),
        group("d", Some("-Install ; #now"), None),
    ];
    let script = render(&images(&BootImages::new(list, None).unwrap(), Platform::Efi, &urls()));
    let expected = "menu Boot\nitem a a\nitem --gap\nitem --gap -- -Install ${}; ${}#now\nitem --key=b -- [b] b\n";
    let expected = expected.replace("item --key=b -- [b] b", "item --key=b b [b] b")
        + "item d d\nitem --gap\nitem --gap Tools\nitem --key=7 c [7] c\nitem --key=h h\nchoose chosen || goto local\n";
    assert!(script.contains(&expected), "{expected}\nis not in\n{script}");
    let sure = ":image-h\nprompt --key=h --timeout=10000 Press the key again. || goto menu\nimgfree\n";
    assert!(script.contains(sure), "{script}");
}

#[test]
fn a_guarded_image_is_in_no_script_before_the_answer() {
    let guarded = |method| Choice { needs: Some(Box::new(ask(method))), ..Choice::default() };
    for (method, is_typed) in [(Method::Pin, true), (Method::Login, true), (Method::Approval, false)] {
        let list =
            BootImages::new(vec![chosen("x", guarded(method)), image("y", "Y", ImageKind::LOCAL)], None).unwrap();
        let script = render(&images(&list, Platform::Bios, &urls()));
        assert!(!script.contains("debian"), "{script}");
        assert_eq!(script.contains("login || goto menu"), is_typed, "{script}");
        assert_eq!(script.contains("present || goto menu"), is_typed, "{script}");
        assert!(
            script.contains("param image x\n") && script.contains("person.ipxe##params || goto again-x"),
            "{script}"
        );
        // Nothing secret is kept longer than until it is sent, and none is in the URL without being coded.
        assert_eq!(
            script.contains("param secret_hex ${password:hexraw}\nclear username ||\nclear password ||\nchain"),
            is_typed
        );
        assert_eq!(script.contains("&image=x&user_hex=${username:hexraw}&secret_hex=${password:hexraw} ||"), is_typed);
        assert!(!script.contains("${password}"), "{script}");
    }
    let only = BootImages::new(vec![chosen("x", guarded(Method::Pin))], None).unwrap();
    let script = render(&images(&only, Platform::Efi, &urls()));
    assert!(script.contains("present || goto local") && !script.contains("goto menu"), "{script}");
    run(&images(&only, Platform::Efi, &urls()));
}

#[test]
fn a_question_is_asked_before_anything_else_and_its_text_is_only_shown() {
    let script = render(&images(&BootImages::asking(ask(Method::Login)), Platform::Efi, &urls()));
    assert!(
        script.starts_with("#!ipxe\nset attempt:int32 0\n:ask\nclear username ||\nclear password ||\n"),
        "{script}"
    );
    assert!(
        script
            .contains("form Who; is $ {it}? || goto login\nitem username User name\nitem --secret password Password\n")
    );
    assert!(
        script.contains(":login\necho Who; is $ {it}?\nprompt --timeout=15000 Press a key. ||\nlogin || goto local\n")
    );
    assert!(script.ends_with(":local\necho Starting from the local disk.\nexit 1\n"), "{script}");
    let told = "param image\n";
    assert!(script.contains(told), "{script}");
}

#[test]
fn our_word_goes_with_what_is_asked_later_and_to_nobody_else() {
    let with = || urls().with_grant(Some("gr4nt".into()));
    let retry = image("r", "R", ImageKind::Retry { wait: Duration::from_secs(5) });
    let script = render(&images(&BootImages::new(vec![retry], None).unwrap(), Platform::Efi, &with()));
    assert!(script.contains("param grant gr4nt\n") && script.contains("&grant=gr4nt ||"), "{script}");
    let url = "http://up.example.com/x".parse().unwrap();
    let away = image("a", "A", ImageKind::Referral { url, facts: crate::boot::FactsForm::Form });
    let script = render(&images(&BootImages::new(vec![away], None).unwrap(), Platform::Efi, &with()));
    assert!(!script.contains("gr4nt") && script.contains("clear password ||"), "{script}");
}

#[test]
fn a_machine_that_waits_comes_again_and_gives_up_when_nobody_answers() {
    let script = render(&waiting(&Line::clean("Wipe it"), "4k7m2x", "wipe", Platform::Bios, &urls()));
    for expected in [
        "echo Wipe it\necho Waiting for approval. Number: 4k7m2x\nset attempt:int32 0\n:again\n",
        "iseq ${attempt:int32} 20 && goto local ||\nsleep 3 ||\n",
        "param image wipe\nchain --replace http://10.0.0.2/b/TOKEN/person.ipxe##params || goto again\n",
    ] {
        assert!(script.contains(expected), "{expected}\nis not in\n{script}");
    }
}

#[test]
fn what_was_typed_is_moved_off_the_screen() {
    assert_eq!(render(&forget_secrets(false)), "#!ipxe\nclear password ||\nclear username ||\n");
    assert_eq!(render(&forget_secrets(true)).matches("echo\n").count(), 30);
}
