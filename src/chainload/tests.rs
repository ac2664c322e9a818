use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::boot::{Ask, Choice, HardwareAddress, Method};

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn asked(text: &str) -> Option<(Syntax, Option<HardwareAddress>)> {
    ConfigFile::parse(&name(text)).map(|file| (file.syntax, file.hardware))
}

fn target(platform: Platform) -> Target {
    Target {
        platform,
        local_boot: None,
        server: "10.0.0.2:80".parse().unwrap(),
        token: "T0K".into(),
        by_http: false,
        urls: "http://10.0.0.2/b/T0K/".parse().unwrap(),
        has_menu_program: true,
    }
}

fn image(id: &str, kind: ImageKind) -> BootImage {
    BootImage {
        id: id.into(),
        title: Line::clean("A title"),
        assignment: None,
        verify: None,
        choice: Choice::default(),
        kind,
    }
}

fn linux(cmdline: &str) -> ImageKind {
    ImageKind::Linux {
        kernel: "debian/linux".parse().unwrap(),
        initrd: vec!["debian/initrd.gz".parse().unwrap(), "more.gz".parse().unwrap()],
        cmdline: Line::clean(cmdline),
    }
}

fn one(kind: ImageKind) -> BootImages {
    BootImages::new(vec![image("one", kind)], None).unwrap()
}

fn menu(images: Vec<BootImage>, default: Option<&str>, timeout: Option<u64>) -> BootImages {
    let timeout = timeout.map(Duration::from_secs);
    let menu = Menu { title: Line::clean("Pick one"), default: default.map(Into::into), timeout, ..Menu::default() };
    BootImages::new(images, Some(menu)).unwrap()
}

fn grub(images: &BootImages, target: &Target) -> String {
    render(Syntax::Grub, Said::Images(images), target)
}

fn pxelinux(images: &BootImages) -> String {
    render(Syntax::Pxelinux, Said::Images(images), &target(Platform::Bios))
}

#[test]
fn every_name_that_the_loaders_look_for_is_known() {
    let mac = Some(HardwareAddress::from([0x52, 0x54, 0, 0xaa, 0, 1]));
    for prefix in ["", "b/T0K/", "debian-installer/amd64/grub/", "b/T0K/x86_64-efi/"] {
        assert_eq!(asked(&format!("{prefix}grub.cfg-01-52-54-00-aa-00-01")), Some((Syntax::Grub, mac)));
        for plain in ["grub.cfg", "GRUB.CFG", "grub.cfg-0A4D0032", "grub.cfg-0"] {
            assert_eq!(asked(&format!("{prefix}{plain}")), Some((Syntax::Grub, None)), "{plain}");
        }
        assert_eq!(asked(&format!("{prefix}pxelinux.cfg/01-52-54-00-aa-00-01")), Some((Syntax::Pxelinux, mac)));
        for plain in ["default", "aa000000-0000-4000-8000-000000000001", "0A4D0032", "0A4D"] {
            assert_eq!(asked(&format!("{prefix}pxelinux.cfg/{plain}")), Some((Syntax::Pxelinux, None)), "{plain}");
        }
    }
    for other in
        ["grub.cfgx", "grub.cfg-", "grub.cfg-xyz", "grub.cfg/x", "pxelinux.cfg", "pxelinux.cfg/x", "default", "grub"]
    {
        assert_eq!(asked(other), None, "{other}");
    }
}

#[test]
fn grub_boots_one_image_at_once_and_falls_back_to_the_disk() {
    let text = grub(&one(linux("root=/dev/vda \"dyndbg=file a.c\" url={files_url}/x")), &target(Platform::Efi));
    let expected = "menuentry 'A title' --id 'one' {\n\
        linux \"$files\"'/b/T0K/f/debian/linux' 'root=/dev/vda' 'dyndbg=file a.c' 'url=http://10.0.0.2/b/T0K/f/x'\n\
        initrd \"$files\"'/b/T0K/f/debian/initrd.gz' \"$files\"'/b/T0K/f/more.gz'\nboot\n}\n";
    assert!(text.contains(expected), "{text}");
    // By HTTP where this build can, and gets through.
    let source = "set files='(tftp,10.0.0.2)'\nset http='(http,10.0.0.2)'\nif insmod http; then\n\
        source \"$http\"'/b/T0K/by-http.cfg'\nfi\n";
    assert!(text.contains(source) && by_http() == "set files=\"$http\"\n", "{text}");
    assert!(text.contains("set default='one'\nset fallback='own disk'\nset timeout=0\n"), "{text}");
    assert!(text.ends_with("exit 1\n}\n"), "{text}");
    let by_http = Target { by_http: true, server: "10.0.0.2:8080".parse().unwrap(), ..target(Platform::Efi) };
    let text = grub(&one(ImageKind::Chain { source: Source::File(name("a b.efi")) }), &by_http);
    assert!(text.contains("chainloader '(http,10.0.0.2:8080)/b/T0K/f/a%20b.efi'\n"), "{text}");
    // What TFTP and HTTP write differently has one place.
    let text = grub(&one(ImageKind::Chain { source: Source::File(name("a b.efi")) }), &target(Platform::Efi));
    assert!(text.contains("chainloader '(tftp,10.0.0.2)/b/T0K/f/a b.efi'\n") && !text.contains("insmod"), "{text}");
}

#[test]
fn pxelinux_boots_one_image_at_once() {
    let text = pxelinux(&one(linux("quiet  root=/dev/sda")));
    let expected = "DEFAULT one\nONERROR ~disk\nPROMPT 0\nLABEL one\nMENU LABEL A title\n\
        LINUX 10.0.0.2::b/T0K/f/debian/linux\n\
        INITRD 10.0.0.2::b/T0K/f/debian/initrd.gz,10.0.0.2::b/T0K/f/more.gz\nAPPEND quiet  root=/dev/sda\n\
        LABEL ~disk\nMENU LABEL Local disk\nLOCALBOOT 0\n";
    assert!(text.ends_with(expected), "{text}");
    let odd = ImageKind::Chain { source: Source::File(name("a b.0")) };
    assert!(pxelinux(&one(odd)).contains("# left out: one (chain): a file name with a space or comma\n"));
}

#[test]
fn a_menu_has_its_default_and_timeout() {
    let list = || vec![image("a", linux("x")), image("b", ImageKind::LOCAL)];
    let text = grub(&menu(list(), Some("b"), Some(7)), &target(Platform::Efi));
    assert!(text.contains("set default='b'\n") && text.contains("set timeout=7\n"), "{text}");
    let text = pxelinux(&menu(list(), Some("b"), Some(7)));
    assert!(text.contains("DEFAULT b\n") && text.contains("UI menu.c32\nMENU TITLE Pick one\nTIMEOUT 70\n"), "{text}");
    let text = grub(&menu(list(), None, None), &target(Platform::Efi));
    assert!(text.contains("set default='a'\n") && text.contains("set timeout=-1\n"), "{text}");
}

#[test]
fn what_would_start_by_itself_and_cannot_is_replaced_by_the_disk_only() {
    let list = || vec![image("w", ImageKind::Shell), image("a", linux("x"))];
    let text = grub(&menu(list(), Some("w"), Some(3)), &target(Platform::Efi));
    assert!(text.contains("# left out: w (shell): commands of iPXE\n"), "{text}");
    assert!(text.contains("set default='own disk'\n"), "{text}");
    assert!(pxelinux(&menu(list(), Some("w"), Some(3))).contains("DEFAULT ~disk\n"));
    // Where somebody chooses, the cursor may be anywhere.
    assert!(grub(&menu(list(), Some("w"), None), &target(Platform::Efi)).contains("set default='a'\n"));
    let text = grub(&one(ImageKind::Shell), &target(Platform::Efi));
    assert!(text.ends_with("\nboot\nfi\nfi\ndone\nexit 1\n") && !text.contains("menuentry"), "{text}");
}

fn assigned(id: &str, kind: ImageKind) -> BootImage {
    BootImage { assignment: Some("7".into()), ..image(id, kind) }
}

#[test]
fn what_asks_a_person_is_not_told() {
    let needs = Some(Box::new(Ask::new(Method::Pin, Line::clean("PIN"), Vec::new()).unwrap()));
    let choice = Choice { needs, ..Choice::default() };
    let guarded = BootImage { choice, ..assigned("g", linux("secret=1")) };
    let images = menu(vec![guarded, image("b", ImageKind::LOCAL)], None, None);
    let text = pxelinux(&images);
    assert!(!text.contains("secret") && text.contains("SAY Left out"), "{text}");
    assert_eq!(offered(Syntax::Grub, &images, &target(Platform::Efi)).assignments().count(), 0);
}

#[test]
fn grub_runs_an_assignment_only_by_the_consent_to_it() {
    let images = BootImages::new(vec![assigned("one", linux("x"))], None).unwrap();
    let text = grub(&images, &target(Platform::Efi));
    let expected = "menuentry 'A title' --id 'one' {\nset agreed=\n\
        if linux \"$files\"'/b/T0K/f/debian/linux' 'x'; then\n\
        if initrd \"$files\"'/b/T0K/f/debian/initrd.gz' \"$files\"'/b/T0K/f/more.gz'; then\n\
        source '(tftp,10.0.0.2)/b/T0K/s/one/37'\nfi\nfi\n\
        if [ \"$agreed\" = 'one' ]; then\nboot\nfi\n\
        echo 'Not started: the boot server did not agree to one.'\necho 'Starting from the local disk.'\nfor ";
    assert!(text.contains(expected), "{text}");
    assert_eq!(agreed("one"), "set agreed='one'\n");
    // GRUB starts by itself what is loaded at the end of an entry: nothing gets there.
    let bios = target(Platform::Bios);
    for local_boot in [None, Some(LocalBoot::Exit), Some(LocalBoot::ExitFailed), Some(LocalBoot::Reboot)] {
        for target in [&bios, &target(Platform::Efi)] {
            let text = grub(&images, &Target { local_boot, ..target.clone() });
            let entry = text.split("menuentry ").nth(1).unwrap().trim_end().trim_end_matches('}').trim_end();
            let last = entry.lines().last().unwrap();
            assert!(matches!(last, "exit" | "exit 1" | "reboot"), "{text}");
            let boots: Vec<_> =
                entry.match_indices("\nboot\n").map(|(at, _)| entry[..at].lines().last().unwrap()).collect();
            assert!(boots.iter().all(|before| before.starts_with("if ")), "{text}");
        }
    }
    let text = grub(&one_assigned(ImageKind::Reboot), &target(Platform::Efi));
    assert!(text.contains("source '(tftp,10.0.0.2)/b/T0K/s/one/37'\nif ["), "{text}");
}

fn one_assigned(kind: ImageKind) -> BootImages {
    BootImages::new(vec![assigned("one", kind)], None).unwrap()
}

#[test]
fn pxelinux_loads_the_consent_to_an_assignment_last() {
    let text = pxelinux(&one_assigned(linux("x")));
    let expected = "LINUX 10.0.0.2::b/T0K/f/debian/linux\n\
        INITRD 10.0.0.2::b/T0K/f/debian/initrd.gz,10.0.0.2::b/T0K/s/one/37/more.gz\nAPPEND x\n";
    assert!(text.contains(expected) && text.contains("ONERROR ~disk\n"), "{text}");
    let kernel = |initrd| ImageKind::Linux { kernel: "k".parse().unwrap(), initrd, cmdline: Line::default() };
    assert!(pxelinux(&one_assigned(kernel(Vec::new()))).contains("LINUX 10.0.0.2::b/T0K/s/one/37/k\n"));
    let text = pxelinux(&one_assigned(ImageKind::Chain { source: Source::File(name("x.0")) }));
    assert!(text.contains("PXE 10.0.0.2::b/T0K/s/one/37/x.0\n"), "{text}");
}

#[test]
fn an_assignment_that_the_loader_cannot_begin_is_neither_told_nor_offered() {
    let long = Source::File(name(&"x".repeat(240)));
    let kernel = ImageKind::Linux { kernel: long, initrd: Vec::new(), cmdline: Line::default() };
    for (syntax, kind) in [
        (Syntax::Grub, ImageKind::Shell),
        (Syntax::Grub, ImageKind::Retry { wait: Duration::from_secs(5) }),
        (Syntax::Pxelinux, ImageKind::Shell),
        (Syntax::Pxelinux, ImageKind::Reboot),
        (Syntax::Pxelinux, ImageKind::LOCAL),
        (Syntax::Pxelinux, kernel),
    ] {
        let images = one_assigned(kind);
        let target = target(Platform::Efi);
        let left = offered(syntax, &images, &target);
        assert_eq!((left.images().len(), left.assignments().count()), (0, 0), "{images:?}");
        let text = render(syntax, Said::Images(&images), &target);
        assert!(
            text.contains("Left out, because this boot loader cannot boot it; give the machine iPXE: A title"),
            "{text}"
        );
        assert_eq!(render(syntax, Said::Images(&left), &target), text);
    }
}

#[test]
fn the_own_disk_is_reached_as_it_is_said() {
    let told = |syntax, platform, local_boot| {
        let target = Target { local_boot, ..target(platform) };
        render(syntax, Said::Denied(&Line::clean("stolen")), &target)
    };
    let (grub, bios, efi) = (Syntax::Grub, Platform::Bios, Platform::Efi);
    let shown = "echo 'stolen'\nsleep --interruptible 10\necho 'Starting from the local disk.'\n";
    let usual = told(grub, efi, None);
    assert!(usual.contains(shown) && usual.contains(" '/EFI/BOOT/BOOTX64.EFI' "), "{usual}");
    assert!(told(grub, efi, Some(LocalBoot::ExitFailed)).ends_with(&format!("{shown}exit 1\n")));
    assert!(told(grub, efi, Some(LocalBoot::Exit)).ends_with("\nexit\n"));
    assert!(told(grub, efi, Some(LocalBoot::Reboot)).ends_with("\nreboot\n"));
    assert!(told(grub, bios, None).contains("if chainloader +1; then\nboot\n"));
    let pxelinux = |local_boot| told(Syntax::Pxelinux, bios, local_boot);
    assert!(pxelinux(None).contains("SAY stolen\n") && pxelinux(None).ends_with("LOCALBOOT 0\n"));
    assert!(pxelinux(Some(LocalBoot::ExitFailed)).ends_with("LOCALBOOT -1\n"));
    assert!(pxelinux(Some(LocalBoot::Sanboot)).ends_with("COM32 chain.c32\nAPPEND hd0\n"));
}

/// The words of a script as GRUB's lexer takes them apart, for what our texts consist of: lines, blanks, single quotes.
fn words(script: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut word, mut is_quoted) = (Vec::new(), Vec::new(), None::<String>, false);
    let mut characters = script.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            c if is_quoted => word.get_or_insert_default().push(c),
            '\\' => word.get_or_insert_default().extend(characters.next()),
            ' ' => line.extend(word.take()),
            '\n' => {
                line.extend(word.take());
                lines.push(std::mem::take(&mut line));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!is_quoted && word.is_none(), "the script ends within a line: {script}");
    lines
}

fn hostile() -> impl Strategy<Value = String> {
    let pieces =
        ["'", "\"", "\\", "$", "${x}", ";", "{", "}", "#", "\n", "\r", " ", "|", "&", "a", "=", "^", "exit", "-", "é"];
    let piece = proptest::sample::select(pieces.to_vec());
    prop_oneof![proptest::collection::vec(piece, 0..14).prop_map(|all| all.concat()), "\\PC{0,30}"]
}

proptest! {
    #[test]
    fn no_text_becomes_a_command_of_grub(title in hostile(), cmdline in hostile(), reason in hostile()) {
        let image = BootImage { title: Line::clean(&title), ..image("one", linux(&cmdline)) };
        let images = BootImages::new(vec![image], None).unwrap().with_notice([Line::clean(&reason)]);
        let text = grub(&images, &target(Platform::Efi));
        let head = text.find("set default=").unwrap();
        let notice = text.find("set files=").unwrap();
        let lines = words(&[&text[..notice], &text[head..]].concat());
        let first: Vec<&str> = lines.iter().filter_map(|line| line.first()).map(String::as_str).collect();
        let expected = [
            "#", "echo", "sleep", "set", "set", "set", "menuentry", "linux", "initrd", "boot", "}", "menuentry", "echo",
            "for", "if", "if", "boot", "fi", "fi", "done", "exit", "}",
        ];
        prop_assert_eq!(first, expected);
        prop_assert_eq!(&lines[1], &["echo".to_owned(), Line::clean(&reason).as_str().to_owned()]);
        let title = Line::clean(&title);
        prop_assert_eq!(&lines[6][1], title.as_str());
        let kept = |text: &str| text.replace(['"', ' '], "");
        prop_assert_eq!(kept(&lines[7][2..].concat()), kept(Line::clean(&cmdline).as_str()));
    }

    #[test]
    fn no_text_becomes_a_keyword_of_pxelinux(title in hostile(), cmdline in hostile(), reason in hostile()) {
        let image = BootImage { title: Line::clean(&title), ..image("one", linux(&cmdline)) };
        let images = BootImages::new(vec![image], None).unwrap().with_notice([Line::clean(&reason)]);
        let text = pxelinux(&images);
        let first: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).filter(|word| *word != "APPEND").collect();
        let expected = ["#", "DEFAULT", "ONERROR", "SAY", "PROMPT", "LABEL", "MENU", "LINUX", "INITRD", "LABEL", "MENU", "LOCALBOOT"];
        prop_assert_eq!(first, expected);
    }

    #[test]
    fn any_name_is_taken_without_panic(name in "\\PC{0,40}") {
        for name in [name.clone(), format!("grub.cfg{name}"), format!("pxelinux.cfg/{name}")] {
            if let Ok(name) = FileName::parse(name.as_bytes()) {
                let _ = ConfigFile::parse(&name);
            }
        }
    }
}

#[test]
fn a_key_that_is_waited_for_is_a_menu_with_the_disk_to_start() {
    let mut one = image("one", linux("quiet"));
    one.choice.prompt = crate::boot::Prompt::new(None, Some('i'), 7).ok();
    let images = BootImages::new(vec![one], None).unwrap();
    let grub = render(Syntax::Grub, Said::Images(&images), &target(Platform::Efi));
    assert!(grub.contains("set default='own disk'\n") && grub.contains("set timeout=7\n"), "{grub}");
    let pxelinux = render(Syntax::Pxelinux, Said::Images(&images), &target(Platform::Bios));
    assert!(pxelinux.contains("TIMEOUT 70\n") || pxelinux.contains("TIMEOUT 70"), "{pxelinux}");
}

#[test]
fn what_must_be_signed_is_left_to_those_who_can_verify_it() {
    let mut one = image("one", linux("secret=1"));
    one.verify = crate::boot::Verify::new(".sig", crate::boot::UnlessAble::Boot).ok();
    let images = BootImages::new(vec![one], None).unwrap();
    for (syntax, platform) in [(Syntax::Grub, Platform::Efi), (Syntax::Pxelinux, Platform::Bios)] {
        let text = render(syntax, Said::Images(&images), &target(platform));
        assert!(!text.contains("secret=1") && text.contains("signatures"), "{text}");
    }
}
