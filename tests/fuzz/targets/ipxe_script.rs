//! Any title and command line in a menu: the script keeps its shape, line for line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::boot::{BootImage, BootImages, ImageKind, Line, Menu, Platform, Source};
use pointsman::ipxe::{images, render};

fuzz_target!(|texts: (&str, &str)| {
    let shape = |title: &str, cmdline: &str| {
        let source = |name: &str| name.parse::<Source>().expect("a name");
        let kind = ImageKind::Linux { kernel: source("k"), initrd: vec![source("i")], cmdline: Line::clean(cmdline) };
        let image = BootImage { id: "one".into(), title: Line::clean(title), assignment: None, kind };
        let menu = Menu { title: Line::clean(title), default: None, timeout: None };
        let list = BootImages::new(vec![image], Some(menu)).expect("a list");
        let urls = "http://10.0.0.2/b/token/".parse().expect("a base");
        let script = render(&images(&list, Platform::Efi, &urls));
        let commands = script.lines().map(|line| line.split_whitespace().next().unwrap_or_default().to_owned());
        commands.collect::<Vec<_>>()
    };
    assert_eq!(shape(texts.0, texts.1), shape("title", "cmdline"));
});
