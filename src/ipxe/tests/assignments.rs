//! Images that do an assignment, notices, and addresses in command lines.

use super::*;

fn assigned(id: &str, assignment: &str, kind: ImageKind) -> BootImage {
    BootImage { assignment: Some(assignment.into()), ..image(id, id, kind) }
}

#[test]
fn an_assignment_is_told_before_anything_is_loaded_and_a_no_leads_to_the_disk() {
    let kind = ImageKind::Linux { kernel: source("k"), initrd: Vec::new(), cmdline: Line::clean("quiet") };
    let list = BootImages::new(vec![assigned("one", "a7Xk-3", kind)], None).unwrap();
    let script = render(&images(&list, Platform::Bios, &urls()));
    let expected = "#!ipxe\nset chosen one\necho one\n\
        chain http://10.0.0.2/b/TOKEN/start.ipxe?image=one&assignment=a7Xk-3 || goto not-started\nimgfree\n\
        kernel --name=linux http://10.0.0.2/b/TOKEN/f/k quiet || goto failed\nboot || goto failed\ngoto local\n\
        :failed\nset failure ${errno:hexraw}\nimgfree\n\
        chain http://10.0.0.2/b/TOKEN/failed.ipxe?image=${chosen}&error=${failure} ||\ngoto local\n\
        :not-started\necho Not started: the boot server did not agree to ${chosen}\n\
        :local\necho Starting from the local disk.\nsanboot --no-describe --drive=0x80 ||\nexit 0\n";
    assert_eq!(script, expected);
}

#[test]
fn in_a_menu_only_the_image_that_does_the_assignment_is_told() {
    let list = vec![assigned("install", "17", linux("")), image("rescue", "Rescue", linux(""))];
    let script = render(&images(&BootImages::new(list, None).unwrap(), Platform::Efi, &urls()));
    let start = ":image-install\nchain http://10.0.0.2/b/TOKEN/start.ipxe?image=install&assignment=17 || goto not-started\n\
        imgfree\nkernel ";
    assert!(script.contains(start) && script.contains(":image-rescue\nimgfree\nkernel "), "{script}");
    assert_eq!(script.matches("start.ipxe").count(), 1);
    assert!(script.contains("goto menu\ngoto local\n:not-started\n"), "a no never leads to the menu again: {script}");
}

#[test]
fn every_kind_of_image_tells_its_assignment_first() {
    let kinds = [
        ImageKind::Ipxe { text: "echo hello".into() },
        ImageKind::Chain { source: source("x.ipxe") },
        ImageKind::Sanboot { source: source("iscsi:10.0.0.9::::iqn.x:y") },
        ImageKind::LOCAL,
        ImageKind::Reboot,
        ImageKind::Shell,
    ];
    for kind in kinds {
        let list = BootImages::new(vec![assigned("one", "1", kind.clone())], None).unwrap();
        let script = commands(&images(&list, Platform::Efi, &urls()));
        let names: Vec<_> = script.iter().map(|command| command[0].as_str()).collect();
        assert_eq!(names[..5], ["set", "echo", "chain", "goto", "imgfree"], "{kind:?}");
    }
}

#[test]
fn an_assignment_that_cannot_be_told_is_never_started() {
    for id in ["", &"a".repeat(SessionUrls::ASSIGNMENT_LEN_MAX + 1)] {
        let list = BootImages::new(vec![assigned("one", id, linux(""))], None).unwrap();
        let script = render(&images(&list, Platform::Efi, &urls()));
        assert!(script.contains("echo one\ngoto not-started\nimgfree\nkernel"), "{script}");
    }
}

#[test]
fn a_yes_is_a_script_that_succeeds_and_a_no_one_that_fails_on_every_platform() {
    // iPXE takes a file of at least seven octets for a script.
    assert_eq!(render(&started()), "#!ipxe\n");
    let script = render(&not_started(&Line::clean("the order was withdrawn; shell")));
    assert!(script.contains("echo the order was withdrawn; shell\nprompt --timeout=10000 "), "{script}");
    assert!(script.ends_with("||\nexit 1\n") && !script.contains("sanboot"), "{script}");
}

#[test]
fn a_notice_is_shown_before_anything_else_and_waits_for_a_reader() {
    let lines = ["The database is gone.", "x || shell"].map(Line::clean);
    let list = one(ImageKind::LOCAL).with_notice(lines);
    let script = render(&images(&list, Platform::Efi, &urls()));
    let expected = "#!ipxe\necho The database is gone.\necho x ${}|| shell\n\
        prompt --timeout=20000 Press a key to go on at once. ||\nset chosen one\n";
    assert!(script.starts_with(expected), "{script}");
    let nothing = BootImages::none().with_notice([Line::clean("later")]);
    let script = render(&images(&nothing, Platform::Efi, &urls()));
    assert!(script.starts_with("#!ipxe\necho later\nprompt "), "{script}");
}

#[test]
fn a_command_line_may_ask_for_the_addresses_of_its_session() {
    let cmdline =
        "url={files_url}/preseed.cfg done={done_url} failed={failed_url}?reason=x {done_url {other} {DONE_URL}";
    let base = "http://10.0.0.2/b/TOKEN";
    let expected = format!(
        "url={base}/f/preseed.cfg done={base}/done failed={base}/failed?reason=x {{done_url {{other}} {{DONE_URL}}"
    );
    let wim = ImageKind::Wim {
        wimboot: source("wimboot"),
        bcd: None,
        boot_sdi: None,
        wim: source("boot.wim"),
        files: Vec::new(),
        args: Line::clean(cmdline),
    };
    let efi = ImageKind::Efi { source: source("x.efi"), cmdline: Line::clean(cmdline) };
    for kind in [linux(cmdline), wim, efi] {
        let script = commands(&images(&one(kind), Platform::Efi, &urls()));
        let loads = script.iter().find(|command| ["kernel", "chain"].contains(&command[0].as_str())).unwrap();
        assert!(joined(loads, 1).ends_with(&expected), "{loads:?}");
    }
    // Text that the site's own script gives is its own.
    let raw = ImageKind::Ipxe { text: "echo {done_url}".into() };
    assert!(render(&images(&one(raw), Platform::Efi, &urls())).contains("\necho {done_url}\n"));
}

#[test]
fn what_was_put_in_is_not_looked_at_again_and_has_an_end() {
    let line = |text: &str| urls().command_line(&Line::clean(text)).as_str().to_owned();
    assert_eq!(line("{files{done_url}_url}"), "{fileshttp://10.0.0.2/b/TOKEN/done_url}");
    // iPXE never sees a setting: a line has no `${` to begin with.
    assert_eq!(line("${done_url}"), "$ http://10.0.0.2/b/TOKEN/done");
    assert!(line(&"{failed_url}".repeat(170)).len() <= Line::LEN_MAX);
}

/// What the server reads of a report's address.
fn told(url: &str) -> Option<String> {
    let (_, id) = url.split_once("&assignment")?;
    match id.split_once('=')? {
        ("", id) => Some(id.to_owned()),
        ("_hex", digits) => {
            let octets: Option<Vec<u8>> =
                (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
            String::from_utf8(octets?).ok()
        }
        _ => None,
    }
}

proptest! {
    #[test]
    fn any_id_of_an_assignment_arrives_as_it_is(id in hostile(), platform in platform()) {
        let list = BootImages::new(vec![assigned("one", &id, linux("quiet"))], None).unwrap();
        let script = commands(&images(&list, platform, &urls()));
        let plain = BootImages::new(vec![assigned("one", "a", linux("quiet"))], None).unwrap();
        let plain = commands(&images(&plain, platform, &urls()));
        if id.is_empty() || id.len() > SessionUrls::ASSIGNMENT_LEN_MAX {
            prop_assert!(!render(&images(&list, platform, &urls())).contains("start.ipxe"));
            return Ok(());
        }
        prop_assert_eq!(script.len(), plain.len());
        prop_assert_eq!(told(&script[2][1]), Some(id));
        let safe = script[2][1].bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/?=&._-~".contains(&byte));
        prop_assert!(safe && script[2].len() == 2, "{:?}", script[2]);
    }

    #[test]
    fn a_command_line_with_addresses_stays_what_it_is(pieces in proptest::collection::vec(prop_oneof![
        hostile(),
        Just("{done_url}".to_owned()),
        Just("{failed_url}".to_owned()),
        Just("{files_url}".to_owned()),
    ], 0..8), platform in platform()) {
        let cmdline = Line::clean(&pieces.concat());
        let kind = ImageKind::Linux { kernel: source("k"), initrd: Vec::new(), cmdline: cmdline.clone() };
        let script = commands(&images(&one(kind), platform, &urls()));
        let base = "http://10.0.0.2/b/TOKEN/";
        let expected = cmdline
            .as_str()
            .replace("{done_url}", &format!("{base}done"))
            .replace("{failed_url}", &format!("{base}failed"))
            .replace("{files_url}", &format!("{base}f"));
        let kernel = script.iter().find(|command| command[0] == "kernel").unwrap();
        prop_assert_eq!(joined(kernel, 1), expected);
    }
}
