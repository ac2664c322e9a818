//! Any title, command line, notice and assignment in a menu: the script keeps its shape, line for line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::boot::{BootImage, BootImages, ImageKind, Line, Menu, Platform, Source};
use pointsman::ipxe::{SessionUrls, images, render};

/// The first word of every line.
fn shape(title: &str, cmdline: &str, assignment: &str) -> Vec<String> {
    let source = |name: &str| name.parse::<Source>().expect("a name");
    // Addresses are put in before, between and after the text.
    let cmdline = Line::clean(&format!("{{files_url}}{cmdline}{{done_url}} {cmdline}{{failed_url}}"));
    let kind = ImageKind::Linux { kernel: source("k"), initrd: vec![source("i")], cmdline };
    let image =
        BootImage { id: "one".into(), title: Line::clean(title), assignment: Some(assignment.to_owned()), verify: None, choice: Default::default(), kind };
    let menu = Menu { title: Line::clean(title), ..Menu::default() };
    let list = BootImages::new(vec![image], Some(menu)).expect("a list").with_notice([Line::clean(title)]);
    let urls = "http://10.0.0.2/b/token/".parse::<SessionUrls>().expect("a base");
    let script = render(&images(&list, Platform::Efi, &urls));
    script.lines().map(|line| line.split_whitespace().next().unwrap_or_default().to_owned()).collect()
}

fuzz_target!(|texts: (&str, &str, &str)| {
    let (title, cmdline, assignment) = texts;
    let may_be_told = (1..=SessionUrls::ASSIGNMENT_LEN_MAX).contains(&assignment.len());
    let plain = if may_be_told { "17" } else { "" };
    assert_eq!(shape(title, cmdline, assignment), shape("title", "cmdline", plain));
});
