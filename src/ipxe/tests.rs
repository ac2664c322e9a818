mod ask;
mod assignments;
mod look;
mod referral;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::reader::{Read, operands, read};
use super::*;
use crate::boot::{
    BootImage, BootImages, FACTS, FileName, ImageKind, InjectedFile, Line, LocalBoot, Menu, Platform, Source,
};

fn urls() -> SessionUrls {
    "http://10.0.0.2/b/TOKEN/".parse().unwrap()
}

fn run(commands: &[Command]) -> Vec<Read> {
    read(&render(commands), &BTreeMap::new()).expect("a script")
}

/// Every command that the script has, in its order, without what stands between them.
fn commands(script: &[Command]) -> Vec<Vec<String>> {
    let only_run = |read| if let Read::Run(arguments) = read { Some(arguments) } else { None };
    run(script).into_iter().filter_map(only_run).collect()
}

/// What a command that joins its arguments makes of them.
fn joined(command: &[String], before: usize) -> String {
    operands(command)[before..].join(" ")
}

fn image(id: &str, title: &str, kind: ImageKind) -> BootImage {
    BootImage {
        id: id.into(),
        title: Line::clean(title),
        assignment: None,
        verify: None,
        choice: Default::default(),
        kind,
    }
}

fn source(name: &str) -> Source {
    name.parse().unwrap()
}

fn linux(cmdline: &str) -> ImageKind {
    let initrd = vec![source("debian/initrd.gz"), source("extra cpio")];
    ImageKind::Linux { kernel: source("debian/linux"), initrd, cmdline: Line::new(cmdline).unwrap() }
}

fn one(kind: ImageKind) -> BootImages {
    BootImages::new(vec![image("one", "One", kind)], None).unwrap()
}

#[test]
fn an_efi_kernel_is_told_its_ram_disks_by_name() {
    let script = render(&images(&one(linux("quiet ro")), Platform::Efi, &urls()));
    let expected = "#!ipxe\nset chosen one\necho One\nimgfree\n\
        kernel --name=linux http://10.0.0.2/b/TOKEN/f/debian/linux initrd=initrd0 initrd=initrd1 quiet ro || goto failed\n\
        initrd --name=initrd0 http://10.0.0.2/b/TOKEN/f/debian/initrd.gz || goto failed\n\
        initrd --name=initrd1 http://10.0.0.2/b/TOKEN/f/extra%20cpio || goto failed\n\
        boot || goto failed\ngoto local\n:failed\nset failure ${errno:hexraw}\nimgfree\n\
        chain http://10.0.0.2/b/TOKEN/failed.ipxe?image=${chosen}&error=${failure} ||\n\
        :local\necho Starting from the local disk.\nexit 1\n";
    assert_eq!(script, expected);
}

#[test]
fn a_bios_kernel_is_not() {
    let script = render(&images(&one(linux("quiet")), Platform::Bios, &urls()));
    assert!(script.contains("f/debian/linux quiet ||"), "{script}");
    assert!(script.ends_with("sanboot --no-describe --drive=0x80 ||\nexit 0\n"), "{script}");
}

#[test]
fn wimboot_finds_its_files_on_either_platform() {
    let kind = ImageKind::Wim {
        wimboot: source("wimboot"),
        bcd: Some(source("pe/BCD")),
        boot_sdi: None,
        wim: source("pe/boot.wim"),
        files: vec![InjectedFile { source: source("start.cmd"), name: Line::clean("my startnet.cmd") }],
        args: Line::clean("gui"),
    };
    let script = render(&images(&one(kind), Platform::Bios, &urls()));
    let base = "http://10.0.0.2/b/TOKEN/f";
    let expected = format!(
        "imgfree\nkernel --name=wimboot {base}/wimboot gui || goto failed\n\
         initrd --name=BCD {base}/pe/BCD BCD || goto failed\n\
         initrd --name=my_startnet.cmd {base}/start.cmd my_startnet.cmd || goto failed\n\
         initrd --name=boot.wim {base}/pe/boot.wim boot.wim || goto failed\nboot || goto failed\n"
    );
    assert!(script.contains(&expected), "{script}");
}

#[test]
fn a_menu_offers_every_image_and_comes_back_after_a_failure() {
    let kinds = [
        ImageKind::Efi { source: source("https://h/x.efi"), cmdline: Line::clean("-nointerrupt # ;") },
        ImageKind::Chain { source: source("next.ipxe") },
        ImageKind::Sanboot { source: source("iscsi:10.0.0.9::::iqn.x:y") },
        ImageKind::Ipxe { text: "#!ipxe\necho hello \\".into() },
        ImageKind::LOCAL,
        ImageKind::Reboot,
        ImageKind::Poweroff,
        ImageKind::Shell,
    ];
    let list = kinds.into_iter().enumerate().map(|(i, kind)| image(&format!("-k{i}"), "T", kind)).collect();
    let menu = Menu {
        title: Line::clean("Boot"),
        default: Some("-k1".into()),
        timeout: Some(Duration::from_secs(9)),
        ..Menu::default()
    };
    let list = BootImages::new(list, Some(menu)).unwrap();
    let script = render(&images(&list, Platform::Efi, &urls()));
    for expected in [
        ":menu\nmenu Boot\nitem -- -k0 T\n",
        "choose --default=-k1 --timeout=9000 chosen || goto local\ngoto image-${chosen}\n",
        ":image--k0\nimgfree\nchain https://h/x.efi -nointerrupt ${}# ${}; || goto failed\ngoto local\n",
        "chain --replace http://10.0.0.2/b/TOKEN/f/next.ipxe || goto failed\n",
        "sanboot iscsi:10.0.0.9::::iqn.x:y || goto failed\n",
        "echo hello \\\n\ngoto local\n",
        "reboot || goto failed\n",
        "poweroff || goto failed\n",
        ":image--k7\nshell ||\ngoto menu\n",
        "error=${failure} ||\ngoto menu\n:local\n",
    ] {
        assert!(script.contains(expected), "{expected:?} is not in\n{script}");
    }
}

#[test]
fn every_fact_is_reported_as_a_form_and_as_a_query() {
    let script = bootstrap(&urls(), Platform::Efi);
    let text = render(&script);
    assert!(text.contains("params || goto query\n"), "{text}");
    assert!(text.contains("chain --replace http://10.0.0.2/b/TOKEN/script.ipxe##params || goto retry\n"), "{text}");
    for fact in FACTS {
        assert!(text.contains(&format!("param {} ${{{}}}\n", fact.name, fact.setting)), "{}", fact.name);
        assert!(text.contains(&format!("{}=${{{}", fact.name, fact.setting)), "{}", fact.name);
    }
    // Bytes such as a MAC address must not be encoded as if they were text.
    assert!(text.contains("mac=${netX/mac}&") && text.contains("serial=${serial:uristring}&"), "{text}");
    assert!(text.contains("iseq ${attempt:int32} 10 && goto give-up ||\n"), "{text}");
}

#[test]
fn a_value_of_the_client_stays_one_argument_whatever_it_is() {
    let settings = BTreeMap::from([("serial", "-x || shell ; #"), ("serial:uristring", "%2Dx%20")]);
    let script = read(&render(&bootstrap(&urls(), Platform::Bios)), &settings).unwrap();
    let expected = ["param", "serial", "-x || shell ; #"].map(str::to_owned).to_vec();
    assert!(script.contains(&Read::Run(expected)));
}

#[test]
fn https_is_tried_before_http() {
    let both = ["https://h:8443/b/T/".parse().unwrap(), "http://h/b/T/".parse().unwrap()];
    let text = render(&autoexec(&both, Platform::Efi));
    let expected = "dhcp || goto retry\nchain --replace https://h:8443/b/T/boot.ipxe ||\n\
        chain --replace http://h/b/T/boot.ipxe ||\n:retry\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn nothing_to_boot_is_the_disk() {
    let text = render(&images(&BootImages::none(), Platform::Efi, &urls()));
    assert!(text.ends_with("echo Starting from the local disk.\nexit 1\n"), "{text}");
}

#[test]
fn the_own_disk_is_reached_as_it_is_said() {
    let told = |platform, method| {
        let text = render(&denied(&Line::clean("no"), Leaving { platform, method }));
        text.lines().skip(4).map(str::to_owned).collect::<Vec<_>>().join("; ")
    };
    let (bios, efi) = (Platform::Bios, Platform::Efi);
    let disk = "sanboot --no-describe --drive=0x80 ||";
    assert_eq!(told(bios, None), format!("{disk}; exit 0"));
    assert_eq!(told(bios, Some(LocalBoot::Sanboot)), format!("{disk}; exit 0"));
    assert_eq!(told(bios, Some(LocalBoot::Exit)), "exit 0");
    assert_eq!((told(efi, None).as_str(), told(efi, Some(LocalBoot::ExitFailed)).as_str()), ("exit 1", "exit 1"));
    assert_eq!(told(efi, Some(LocalBoot::Exit)), "exit 0");
    assert_eq!(told(efi, Some(LocalBoot::Sanboot)), format!("{disk}; exit 1"));
    assert_eq!(told(efi, Some(LocalBoot::Reboot)), "reboot ||; exit 1");
    // What an image says is for that image only.
    let disk = image("x", "Disk", ImageKind::Local { method: Some(LocalBoot::Reboot) });
    let list = BootImages::new(vec![disk], None).unwrap();
    let text = render(&images(&list, Leaving { platform: efi, method: Some(LocalBoot::Exit) }, &urls()));
    assert!(text.contains("reboot ||\nexit 1\n") && text.ends_with("exit 0\n"), "{text}");
}

#[test]
fn an_error_is_shown_as_ipxe_documents_it() {
    let text = render(&failed(&Line::clean("Debian"), Some(0x2d0c_613b)));
    assert!(text.contains("https://ipxe.org/2d0c613b"), "{text}");
}

#[test]
fn a_base_url_must_take_a_path() {
    for base in ["http://h/b/T", "ftp://h/", "http://h/?x/", "http://h/#/", "http://h /", "http://h/$/"] {
        assert!(base.parse::<SessionUrls>().is_err(), "{base}");
    }
    let name = FileName::parse("a b/ü#${x}?%".as_bytes()).unwrap();
    let script = render(&[Command::Sanboot(urls().file(&name))]);
    assert_eq!(script, "#!ipxe\nsanboot http://10.0.0.2/b/TOKEN/f/a%20b/%C3%BC%23%24%7Bx%7D%3F%25\n");
}

/// Text with everything in it that iPXE's reader takes for something else.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(" "),
        Just("  "),
        Just("||"),
        Just("&&"),
        Just(";"),
        Just("#"),
        Just("#!ipxe"),
        Just(":label"),
        Just("\\"),
        Just("--"),
        Just("-n"),
        Just("--name=x"),
        Just("$"),
        Just("{"),
        Just("}"),
        Just("${"),
        Just("${}"),
        Just("\n"),
        Just("\r"),
        Just("\t"),
        Just("\0"),
        Just("shell"),
        Just("exit"),
        Just("ü"),
        Just("\u{85}"),
        Just("\u{a0}"),
        Just("a"),
    ];
    prop_oneof![
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        "\\PC{0,30}".prop_map(|text| text),
    ]
}

fn platform() -> impl Strategy<Value = Platform> {
    prop_oneof![Just(Platform::Bios), Just(Platform::Efi)]
}

proptest! {
    #[test]
    fn a_reason_stays_a_reason(text in hostile(), platform in platform()) {
        let reason = Line::clean(&text);
        let script = commands(&denied(&reason, platform));
        let plain = commands(&denied(&Line::clean("x"), platform));
        prop_assert_eq!(script.len(), plain.len());
        prop_assert_eq!(joined(&script[1], 0), reason.as_str());
        for (command, expected) in script.iter().zip(&plain).filter(|(_, expected)| *expected != &["echo", "x"]) {
            prop_assert_eq!(command, expected);
        }
    }

    #[test]
    fn a_command_line_and_titles_stay_what_they_are(cmdline in hostile(), title in hostile(), platform in platform()) {
        let (cmdline, title) = (Line::clean(&cmdline), Line::clean(&title));
        let list = vec![
            image("a", title.as_str(), linux(cmdline.as_str())),
            image("b", "B", ImageKind::Efi { source: source("x.efi"), cmdline: cmdline.clone() }),
        ];
        let menu = Some(Menu { title: title.clone(), ..Menu::default() });
        let script = commands(&images(&BootImages::new(list, menu).unwrap(), platform, &urls()));
        let named = |name: &str| script.iter().filter(|command| command[0] == name).collect::<Vec<_>>();
        prop_assert_eq!(joined(named("menu")[0], 0), title.as_str());
        prop_assert_eq!(operands(named("item")[0])[0].as_str(), "a");
        prop_assert_eq!(joined(named("item")[0], 1), title.as_str());
        prop_assert_eq!(named("item").len(), 2);
        let kernel = joined(named("kernel")[0], 1);
        let kernel = kernel.strip_prefix("initrd=initrd0 initrd=initrd1 ").unwrap_or(&kernel);
        prop_assert_eq!(kernel, cmdline.as_str());
        prop_assert_eq!(joined(named("chain")[0], 1), cmdline.as_str());
        prop_assert_eq!((named("shell").len(), named("initrd").len()), (0, 2));
    }

    #[test]
    fn a_word_stays_one_word(text in hostile(), more in hostile()) {
        let word = Word::new(&text).and(&more);
        let script = commands(&[Command::Sanboot(word.clone()), Command::Param { name: word, value: Text::new("v") }]);
        prop_assert_eq!(script.len(), 2);
        prop_assert_eq!(operands(&script[0]).len(), 1);
        prop_assert_eq!(&script[1][2], "v");
        let seen = &operands(&script[0])[0];
        let kept = |c: char| c.is_alphanumeric() || matches!(c, '|' | '&' | ';' | '#' | '\\' | ':' | '-' | '=');
        let left = |text: &str| text.chars().filter(|c| kept(*c)).collect::<String>();
        prop_assert_eq!(left(seen), left(&format!("{text}{more}")));
    }

    #[test]
    fn text_in_pieces_cannot_make_a_setting(pieces in proptest::collection::vec(hostile(), 0..6)) {
        let text = pieces.iter().fold(Text::default(), |text, piece| text.and(piece));
        let script = commands(&[Command::Echo(text), Command::Boot]);
        prop_assert_eq!(script.len(), 2);
        prop_assert_eq!(joined(&script[0], 0).find("${"), None);
    }
}
