//! How menus look, prompts, and signatures.

use super::*;
use crate::boot::{Color, Colors, Look, Prompt, UnlessAble, Verify};

fn text(list: &BootImages) -> String {
    render(&images(list, Platform::Efi, &urls()))
}

fn prompt(key: Option<char>) -> Option<Prompt> {
    Prompt::new(Some(Line::clean("Press || # key")), key, 7).ok()
}

#[test]
fn a_prompt_comes_first_and_nobody_is_the_disk() {
    let mut one = image("one", "One", linux(""));
    one.choice.prompt = prompt(Some('i'));
    let script = text(&BootImages::new(vec![one.clone()], None).unwrap());
    let line = "#!ipxe\nprompt --key=i --timeout=7000 Press ${}|| ${}# key || goto local\nset chosen one\n";
    assert!(script.starts_with(line), "{script}");
    // Who chose it in a menu, or in that of the firmware, was there.
    let list = BootImages::new(vec![one, image("two", "Two", ImageKind::LOCAL)], None).unwrap();
    assert!(!text(&list).contains("prompt --key"), "{}", text(&list));
    assert!(!text(&list.only("one").unwrap()).contains("prompt --key"));
    let menu = Menu { title: Line::clean("Lab"), prompt: prompt(None), ..Menu::default() };
    let list = BootImages::new(list.images().to_vec(), Some(menu)).unwrap();
    assert!(text(&list).starts_with("#!ipxe\nprompt --timeout=7000 Press"), "{}", text(&list));
}

#[test]
fn a_look_is_tried_before_the_menu_and_once() {
    let list = BootImages::new(vec![image("a", "A", ImageKind::LOCAL), image("b", "B", ImageKind::Shell)], None);
    let list = list.unwrap();
    let color = |red, green, blue| Some(Color([red, green, blue]));
    let colors = Colors {
        text: color(0xff, 0xff, 0xff),
        background: color(0, 0, 0x20),
        selected_text: color(0, 0, 0),
        selected_background: color(0xff, 0xcc, 0),
        heading: color(0, 0x90, 0x90),
    };
    let picture = "menu/back ground.png".parse().ok();
    let look = Look { picture, size: [1024, 768].try_into().ok(), colors };
    let expected = "#!ipxe\n\
        console --x=1024 --y=768 --picture=http://10.0.0.2/b/TOKEN/f/menu/back%20ground.png ||\n\
        colour --basic=7 --rgb=0xffffff 2 || goto plain\ncolour --basic=0 --rgb=0x000020 4 ||\n\
        colour --basic=0 --rgb=0x000000 3 ||\ncolour --basic=3 --rgb=0xffcc00 1 ||\n\
        colour --basic=6 --rgb=0x009090 6 ||\n\
        cpair --foreground=2 --background=4 1 ||\ncpair --foreground=3 --background=1 2 ||\n:plain\n:menu\nmenu Boot\n";
    let script = text(&list.clone().with_look(&look));
    assert!(script.starts_with(expected), "{script}");
    let own = Look { colors: Colors { heading: color(1, 2, 3), ..Colors::default() }, ..Look::default() };
    let menu = Menu { title: Line::clean("Own"), look: Some(Box::new(own.clone())), ..Menu::default() };
    let dressed = BootImages::new(list.images().to_vec(), Some(menu)).unwrap().with_look(&look);
    assert_eq!(dressed.menu().and_then(|menu| menu.look.as_deref()), Some(&own), "a rule's own look stays");
    assert!(!text(&list.with_look(&Look::default())).contains("colour"));
    // One image that boots at once has no menu, and gets none by its look.
    assert_eq!(one(linux("")).with_look(&look).menu(), None);
}

#[test]
fn every_file_is_verified_before_anything_runs() {
    let strict = Verify::new(".sig", UnlessAble::Refuse).ok();
    let mut signed = image("one", "One", linux("quiet"));
    signed.verify = strict.clone();
    let base = "http://10.0.0.2/b/TOKEN/f";
    let script = text(&BootImages::new(vec![signed], None).unwrap());
    let expected = format!(
        "imgtrust --allow || goto unable-one\n\
         kernel --name=linux {base}/debian/linux initrd=initrd0 initrd=initrd1 quiet || goto failed\n\
         initrd --name=initrd0 {base}/debian/initrd.gz || goto failed\n\
         initrd --name=initrd1 {base}/extra%20cpio || goto failed\n\
         imgverify linux {base}/debian/linux.sig || goto failed\n\
         imgverify initrd0 {base}/debian/initrd.gz.sig || goto failed\n\
         imgverify initrd1 {base}/extra%20cpio.sig || goto failed\n\
         imgtrust || goto failed\nboot || goto failed\ngoto done-one\n:unable-one\n\
         echo This build of iPXE cannot verify signatures.\necho One must be verified.\ngoto failed\n:done-one\n"
    );
    assert!(script.contains(&expected), "{expected}\nis not in\n{script}");
    // The report of a failure is signed by nobody.
    assert!(script.contains("imgfree\nimgtrust --allow ||\nchain http://10.0.0.2/b/TOKEN/failed.ipxe"), "{script}");
    assert_eq!(script.matches("\nboot ").count(), 1, "there is no way around it\n{script}");
    assert!(!text(&one(linux("quiet"))).contains("imgtrust"));
}

#[test]
fn programs_and_scripts_run_as_they_were_verified() {
    let kinds = [
        ImageKind::Chain { source: source("next.ipxe") },
        ImageKind::Efi { source: source("x.efi"), cmdline: Line::clean("-a") },
    ];
    for kind in kinds {
        let mut signed = image("one", "One", kind);
        signed.verify = Verify::new(".p7", UnlessAble::Boot).ok();
        let script = text(&BootImages::new(vec![signed], None).unwrap());
        let (verified, rest) = script.split_once(":unable-one\n").unwrap();
        assert!(
            verified.contains("kernel --name=program http") && verified.contains(".p7 || goto failed\n"),
            "{script}"
        );
        assert!(verified.ends_with("imgtrust || goto failed\nboot || goto failed\ngoto done-one\n"), "{script}");
        // The site lets builds that cannot verify boot it as it is, and they say so.
        assert!(rest.contains("echo One starts without.\n") && rest.contains("chain "), "{script}");
        assert!(rest.contains("prompt --timeout=10000"), "{script}");
    }
}

#[test]
fn an_answered_question_takes_no_signature_away() {
    let mut signed = image("one", "One", linux(""));
    signed.verify = Verify::new(".sig", UnlessAble::Refuse).ok();
    let list = BootImages::new(vec![signed, image("two", "Two", ImageKind::LOCAL)], None).unwrap();
    assert!(text(&list.only("one").unwrap()).contains("imgverify linux "));
}
