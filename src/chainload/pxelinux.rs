//! The configuration file of PXELINUX.
//!
//! A line is a keyword and a value up to its end, and there are no quotes: a value is whatever stands there. So only what has
//! no line break is safe, which [`Line`] and [`FileName`] hold, and a file name must have no space and no comma.
//!
//! **Invariant**: see [`super`].

use super::{DENIED, LOCAL, LeftOut, Start, Target, only_ipxe, start};
use crate::boot::{BootImage, BootImages, FileName, ImageKind, Line, LocalBoot, Source};

/// The label of the own disk; no image has a space in its id, and no label may.
const DISK: &str = "~disk";
/// The longest time that a menu waits, in tenths of a second.
const TIMEOUT_MAX: u64 = 35_996;

/// The file that boots one of these images.
pub(super) fn images(images: &BootImages, target: &Target) -> String {
    let mut text = String::from("# Made by Pointsman for this machine when it was asked for.\n");
    let mut labels = String::new();
    let mut kept = Vec::new();
    for image in images.images() {
        match label(image, target) {
            Ok(label) => {
                labels.push_str(&label);
                kept.push(image);
            }
            Err(LeftOut(why)) => text.push_str(&format!("# left out: {} ({}): {why}\n", image.id, image.kind.name())),
        }
    }
    let start = start(images, &kept);
    let default = match start {
        Start::AtOnce(image) | Start::Menu(Some(image), _) => image.id.as_str(),
        Start::Disk | Start::Menu(None, _) => DISK,
    };
    text.push_str(&format!("DEFAULT {default}\nONERROR {DISK}\n"));
    say(&mut text, images.notice().iter());
    match &start {
        Start::Menu(_, timeout) => text.push_str(&menu(images, &kept, *timeout, target)),
        Start::AtOnce(image) if let ImageKind::Retry { wait } = &image.kind => {
            let tenths = wait.as_secs().clamp(1, TIMEOUT_MAX / 10) * 10;
            text.push_str(&format!("SAY Asking again in {} seconds.\nPROMPT 1\nTIMEOUT {tenths}\n", tenths / 10));
        }
        Start::AtOnce(_) => text.push_str("PROMPT 0\n"),
        Start::Disk => text.push_str(&format!("SAY {LOCAL}\nPROMPT 0\n")),
    }
    [text, labels, disk(target)].concat()
}

/// The file for a machine that may not boot.
pub(super) fn denied(reason: &Line, target: &Target) -> String {
    let mut text = format!("DEFAULT {DISK}\nPROMPT 0\n");
    say(&mut text, [&Line::clean(DENIED), reason].into_iter());
    [text, disk(target)].concat()
}

fn say<'a>(text: &mut String, lines: impl Iterator<Item = &'a Line>) {
    lines.for_each(|line| text.push_str(&format!("SAY {}\n", plain(line))));
}

/// A menu of PXELINUX's own program; where that is not there, the titles and a prompt for a label.
fn menu(images: &BootImages, kept: &[&BootImage], timeout: Option<u64>, target: &Target) -> String {
    let title = images.menu().map_or_else(|| "Boot".to_owned(), |menu| plain(&menu.title));
    let tenths = timeout.map_or(0, |seconds| seconds.saturating_mul(10).min(TIMEOUT_MAX));
    if target.has_menu_program {
        return format!("UI menu.c32\nMENU TITLE {title}\nTIMEOUT {tenths}\n");
    }
    let lines: String = kept.iter().map(|image| format!("SAY {}: {}\n", image.id, plain(&image.title))).collect();
    format!("SAY {title}\n{lines}PROMPT 1\nTIMEOUT {tenths}\n")
}

fn disk(target: &Target) -> String {
    format!("LABEL {DISK}\nMENU LABEL Local disk\n{}", local(target))
}

/// The own disk: 0 gives the machine back to the ROM that started PXELINUX, -1 tells the BIOS to try its next device.
fn local(target: &Target) -> String {
    match target.local_boot {
        None | Some(LocalBoot::Exit) => "LOCALBOOT 0\n".to_owned(),
        Some(LocalBoot::ExitFailed) => "LOCALBOOT -1\n".to_owned(),
        Some(LocalBoot::Sanboot) => "COM32 chain.c32\nAPPEND hd0\n".to_owned(),
        Some(LocalBoot::Reboot) => "COM32 reboot.c32\n".to_owned(),
    }
}

/// Whether this image can be in the file.
pub(super) fn can(image: &BootImage, target: &Target) -> bool {
    label(image, target).is_ok()
}

fn label(image: &BootImage, target: &Target) -> Result<String, LeftOut> {
    let commands = commands(image, target)?;
    let title = plain(&image.title);
    let title = image.choice.key.map_or(title.clone(), |key| format!("[^{key}] {title}"));
    let hidden = if image.choice.hidden { "MENU HIDE\n" } else { "" };
    Ok(format!("LABEL {}\nMENU LABEL {title}\n{hidden}{commands}", image.id))
}

fn commands(image: &BootImage, target: &Target) -> Result<String, LeftOut> {
    if let Some(left_out) = only_ipxe(image) {
        return Err(left_out);
    }
    match &image.kind {
        ImageKind::Linux { kernel, initrd, cmdline } => {
            let (kernel, initrd) = linux(image, kernel, initrd, target)?;
            let mut text = format!("LINUX {kernel}\n");
            if !initrd.is_empty() {
                text.push_str(&format!("INITRD {}\n", initrd.join(",")));
            }
            let cmdline = target.urls.command_line(cmdline);
            // A single `-` stands for no command line at all.
            if !matches!(cmdline.as_str().trim(), "" | "-") {
                text.push_str(&format!("APPEND {}\n", cmdline.as_str().trim()));
            }
            Ok(text)
        }
        ImageKind::Chain { source } => Ok(format!("PXE {}\n", last_file(image, source, target)?)),
        ImageKind::Efi { .. } => Err(LeftOut("PXELINUX runs on a BIOS")),
        // It loads nothing of ours, so that nobody could tell the server that the work begins.
        _ if image.assignment.is_some() => Err(LeftOut("PXELINUX cannot tell that it begins")),
        ImageKind::Retry { .. } => {
            Ok(format!("CONFIG {}::{}\n", target.address(), target.path("pxelinux.cfg/default")))
        }
        ImageKind::Local { method } => {
            Ok(local(&Target { local_boot: method.or(target.local_boot), ..target.clone() }))
        }
        ImageKind::Reboot => Ok("COM32 reboot.c32\n".to_owned()),
        ImageKind::Poweroff => Ok("COM32 poweroff.c32\n".to_owned()),
        _ => Err(LeftOut("only iPXE can do this")),
    }
}

/// A kernel and its RAM disks. They are loaded in this order, and the last of them is the consent.
fn linux(
    image: &BootImage,
    kernel: &Source,
    initrd: &[Source],
    target: &Target,
) -> Result<(String, Vec<String>), LeftOut> {
    let Some((last, others)) = initrd.split_last() else {
        return Ok((last_file(image, kernel, target)?, Vec::new()));
    };
    let others = others.iter().map(|source| file(source, target));
    let initrd = others.chain([last_file(image, last, target)]).collect::<Result<_, _>>()?;
    Ok((file(kernel, target)?, initrd))
}

/// The file that is loaded last.
fn last_file(image: &BootImage, source: &Source, target: &Target) -> Result<String, LeftOut> {
    let Source::File(name) = source else { return file(source, target) };
    match target.consent(image, Some(name)) {
        None => file(source, target),
        Some(path) => writable(name).and(path).and_then(|path| place(&path, target)),
    }
}

/// A file as PXELINUX names it: by TFTP, wherever it was loaded from itself.
fn file(source: &Source, target: &Target) -> Result<String, LeftOut> {
    match source {
        Source::File(name) => writable(name).and_then(|()| place(&target.image(name), target)),
        Source::Url(_) => Err(LeftOut("PXELINUX loads files of this server only")),
    }
}

/// The longest name of a file that PXELINUX takes, in octets: it would cut a longer one.
const PLACE_LEN_MAX: usize = 255;

fn place(path: &str, target: &Target) -> Result<String, LeftOut> {
    let place = format!("{}::{path}", target.address());
    if place.len() > PLACE_LEN_MAX { Err(LeftOut("its path is too long for PXELINUX")) } else { Ok(place) }
}

fn writable(name: &FileName) -> Result<(), LeftOut> {
    let is_bad = |c: char| c.is_whitespace() || c == ',' || !c.is_ascii();
    if name.as_str().contains(is_bad) { Err(LeftOut("a file name with a space or comma")) } else { Ok(()) }
}

/// A text for the screen; `^` would mark a key.
fn plain(line: &Line) -> String {
    line.as_str().replace('^', " ").trim().to_owned()
}
