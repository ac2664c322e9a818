//! The configuration file of GRUB 2.
//!
//! Every value is written in single quotes, where GRUB's language knows no other character than the closing quote. A command
//! line becomes one word for each of the kernel's parameters: GRUB itself puts the double quotes of the kernel around those
//! with spaces. A double quote or backslash within one GRUB would hand over with a backslash; the kernel knows none.
//!
//! **Invariant**: see [`super`]; comment lines hold ids only, whose characters mean nothing.

use std::fmt::Write as _;

use super::{DENIED, LOCAL, LeftOut, READING_TIME_S, Start, Target, only_ipxe, start};
use crate::boot::{BootImage, BootImages, FileName, ImageKind, Line, LocalBoot, Platform, Source};
use crate::paths;

/// The id of the entry for the own disk; no image has a space in its id.
const DISK: &str = "own disk";

/// The file that boots one of these images.
pub(super) fn images(images: &BootImages, target: &Target) -> String {
    let mut text = String::from("# Made by Pointsman for this machine when it was asked for.\n");
    let mut entries = String::new();
    let mut kept = Vec::new();
    for image in images.images() {
        match entry(image, target) {
            Ok(entry) => {
                entries.push_str(&entry);
                kept.push(image);
            }
            Err(LeftOut(why)) => {
                let written = writeln!(text, "# left out: {} ({}): {why}", image.id, image.kind.name());
                debug_assert!(written.is_ok(), "a string takes everything");
            }
        }
    }
    notice(&mut text, images.notice());
    let started = match start(images, &kept) {
        Start::Disk => return [text, local(target)].concat(),
        Start::AtOnce(image) => (image.id.as_str(), "0".to_owned()),
        Start::Menu(default, timeout) => (
            default.map_or(DISK, |image| image.id.as_str()),
            timeout.map_or_else(|| "-1".to_owned(), |seconds| seconds.to_string()),
        ),
    };
    let (default, timeout) = (quoted(started.0), started.1);
    // What fails to start leaves to the disk.
    let head = format!("set default={default}\nset fallback={}\nset timeout={timeout}\n", quoted(DISK));
    [text, head, entries, disk(target)].concat()
}

/// The file for a machine that may not boot.
pub(super) fn denied(reason: &Line, target: &Target) -> String {
    let mut text = String::new();
    notice(&mut text, &[Line::clean(DENIED), reason.clone()]);
    [text, local(target)].concat()
}

fn notice(text: &mut String, lines: &[Line]) {
    for line in lines {
        text.push_str(&format!("echo {}\n", quoted(line.as_str())));
    }
    if !lines.is_empty() {
        text.push_str(&format!("sleep --interruptible {READING_TIME_S}\n"));
    }
}

fn disk(target: &Target) -> String {
    format!("menuentry 'Local disk' --id {} {{\n{}}}\n", quoted(DISK), local(target))
}

/// Where systems put their loaders on a disk, the most particular first. The last are where firmware looks by itself.
const ON_DISK: [&str; 10] = [
    "/EFI/Microsoft/Boot/bootmgfw.efi",
    "/EFI/debian/shimx64.efi",
    "/EFI/ubuntu/shimx64.efi",
    "/EFI/fedora/shimx64.efi",
    "/EFI/redhat/shimx64.efi",
    "/EFI/rocky/shimx64.efi",
    "/EFI/opensuse/shim.efi",
    "/EFI/BOOT/BOOTX64.EFI",
    "/EFI/BOOT/BOOTAA64.EFI",
    "/EFI/BOOT/BOOTIA32.EFI",
];

/// The own disk. A BIOS has nothing to go back to, so that the first disk's boot sector is run. UEFI would have, but GRUB
/// before 2.14 ends with status 0 whatever it is told, and then EDK2 opens its setup menu: so the loader on the disk is run,
/// and the end is for a disk without one.
fn local(target: &Target) -> String {
    let commands = match (target.local_boot, target.platform) {
        (Some(LocalBoot::Reboot), _) => "reboot\n".to_owned(),
        (Some(LocalBoot::Exit), _) => "exit\n".to_owned(),
        (Some(LocalBoot::ExitFailed), _) => "exit 1\n".to_owned(),
        (None | Some(LocalBoot::Sanboot), Platform::Bios) => "set root=(hd0)\nchainloader +1\nboot\nexit\n".to_owned(),
        (None | Some(LocalBoot::Sanboot), Platform::Efi | Platform::Other) => {
            let files = ON_DISK.map(quoted).join(" ");
            format!(
                "for file in {files}; do\nif search --no-floppy --file --set=root $file; then\n\
                 chainloader $file\nboot\nfi\ndone\nexit 1\n"
            )
        }
    };
    format!("echo {}\n{commands}", quoted(LOCAL))
}

fn entry(image: &BootImage, target: &Target) -> Result<String, LeftOut> {
    if image.choice.hidden {
        return Err(LeftOut("GRUB hides no entry"));
    }
    let commands = commands(image, target)?;
    let key = image.choice.key.map_or_else(String::new, |key| format!(" --hotkey={key}"));
    let (title, id) = (quoted(image.title.as_str()), quoted(&image.id));
    Ok(format!("menuentry {title} --id {id}{key} {{\n{commands}}}\n"))
}

fn commands(image: &BootImage, target: &Target) -> Result<String, LeftOut> {
    if let Some(left_out) = only_ipxe(image) {
        return Err(left_out);
    }
    match &image.kind {
        ImageKind::Linux { kernel, initrd, cmdline } => linux(kernel, initrd, cmdline, target),
        ImageKind::Chain { .. } | ImageKind::Efi { .. } if target.platform != Platform::Efi => {
            Err(LeftOut("GRUB runs programs on UEFI only"))
        }
        ImageKind::Chain { source } => Ok(format!("chainloader {}\n", file(source, target)?)),
        ImageKind::Efi { source, cmdline } => {
            Ok(format!("chainloader {}{}\n", file(source, target)?, words(target.urls.command_line(cmdline).as_str())))
        }
        ImageKind::Retry { wait } => {
            let again = place(&target.path("grub.cfg"), target);
            let seconds = wait.as_secs().max(1);
            let shown = quoted(&format!("Asking again in {seconds} seconds; press ESC to ask at once."));
            Ok(format!("echo {shown}\nsleep --interruptible {seconds}\nconfigfile {again}\n"))
        }
        ImageKind::Local { method } => {
            Ok(local(&Target { local_boot: method.or(target.local_boot), ..target.clone() }))
        }
        ImageKind::Reboot => Ok("reboot\n".to_owned()),
        ImageKind::Poweroff => Ok("halt\n".to_owned()),
        _ => Err(LeftOut("only iPXE can do this")),
    }
}

fn linux(kernel: &Source, initrd: &[Source], cmdline: &Line, target: &Target) -> Result<String, LeftOut> {
    let cmdline = words(target.urls.command_line(cmdline).as_str());
    let mut text = format!("linux {}{cmdline}\n", file(kernel, target)?);
    if !initrd.is_empty() {
        let files = initrd.iter().map(|source| file(source, target)).collect::<Result<Vec<_>, _>>()?;
        text.push_str(&format!("initrd {}\n", files.join(" ")));
    }
    text.push_str("boot\n");
    Ok(text)
}

/// A command line as words, each behind a space.
fn words(cmdline: &str) -> String {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for c in cmdline.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.iter().filter(|word| !word.is_empty()).map(|word| format!(" {}", quoted(word))).collect()
}

/// A file as GRUB names it, in quotes.
fn file(source: &Source, target: &Target) -> Result<String, LeftOut> {
    match source {
        Source::File(name) => Ok(place(&image_path(name, target), target)),
        Source::Url(url) => {
            let (host, path) = url
                .as_str()
                .strip_prefix("http://")
                .and_then(|rest| rest.split_once('/'))
                .filter(|(host, _)| !host.contains(['@', ',', '(', ')']))
                .ok_or(LeftOut("GRUB loads URLs of plain http only"))?;
            Ok(quoted(&format!("(http,{host})/{path}")))
        }
    }
}

/// By HTTP, GRUB sends the path as it is; by TFTP it is no URL.
fn image_path(name: &FileName, target: &Target) -> String {
    match target.by_http {
        true => target.path(&format!("{}/{}", paths::FILES, paths::percent_encoded(name.as_str()))),
        false => target.image(name),
    }
}

fn place(path: &str, target: &Target) -> String {
    let address = target.address();
    let device = match (target.by_http, target.server.port()) {
        (false, _) => format!("tftp,{address}"),
        (true, 80) => format!("http,{address}"),
        (true, port) => format!("http,{address}:{port}"),
    };
    quoted(&format!("({device})/{path}"))
}

/// **The escaping**: the whole text in single quotes, which end only for a quote of its own.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace(char::is_control, " ").replace('\'', "'\\''"))
}
