//! The configuration file of GRUB 2.
//!
//! Every value is written in single quotes, where GRUB's language knows no other character than the closing quote. A command
//! line becomes one word for each of the kernel's parameters: GRUB itself puts the double quotes of the kernel around those
//! with spaces. A double quote or backslash within one GRUB would hand over with a backslash; the kernel knows none.
//!
//! GRUB starts what is loaded at the end of an entry, and by any `boot`, even where a later command failed. So an entry that
//! needs a consent ends in commands that never come back, and a loader on the disk is booted only where it was loaded.
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
    let by_http = if entries.contains(FILES) { by_http_if_it_can(target) } else { String::new() };
    // What fails to start leaves to the disk.
    let head = format!("set default={default}\nset fallback={}\nset timeout={timeout}\n", quoted(DISK));
    [text, by_http, head, entries, disk(target)].concat()
}

/// Where files come from, as the words of a path begin.
const FILES: &str = "\"$files\"";

/// GRUB's own TFTP waits for every block; its HTTP is many times faster. Whether this build has it, and gets through, shows
/// a script that comes so.
fn by_http_if_it_can(target: &Target) -> String {
    let (tftp, http) = (device(target, false), device(target, true));
    let script = quoted(&format!("/{}", target.path(paths::BY_HTTP)));
    format!(
        "set files={}\nset http={}\nif insmod http; then\nsource \"$http\"{script}\nfi\n",
        quoted(&tftp),
        quoted(&http)
    )
}

/// The script of [`by_http_if_it_can`].
pub(super) fn by_http() -> &'static str {
    "set files=\"$http\"\n"
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
        (None | Some(LocalBoot::Sanboot), Platform::Bios) => {
            "set root=(hd0)\nif chainloader +1; then\nboot\nfi\nexit\n".to_owned()
        }
        (None | Some(LocalBoot::Sanboot), Platform::Efi | Platform::Other) => {
            let files = ON_DISK.map(quoted).join(" ");
            format!(
                "for file in {files}; do\nif search --no-floppy --file --set=root $file; then\n\
                 if chainloader $file; then\nboot\nfi\nfi\ndone\nexit 1\n"
            )
        }
    };
    format!("echo {}\n{commands}", quoted(LOCAL))
}

/// Whether this image can be in the file.
pub(super) fn can(image: &BootImage, target: &Target) -> bool {
    entry(image, target).is_ok()
}

fn entry(image: &BootImage, target: &Target) -> Result<String, LeftOut> {
    if image.choice.hidden {
        return Err(LeftOut("GRUB hides no entry"));
    }
    let steps = steps(image, target)?;
    let commands = match target.consent(image, None).transpose()? {
        None => [steps.load.concat(), steps.run].concat(),
        Some(_) if matches!(image.kind, ImageKind::Retry { .. }) => {
            return Err(LeftOut("nothing begins by asking again"));
        }
        Some(path) => with_consent(image, &steps, &path, target),
    };
    let key = image.choice.key.map_or_else(String::new, |key| format!(" --hotkey={key}"));
    let (title, id) = (quoted(image.title.as_str()), quoted(&image.id));
    Ok(format!("menuentry {title} --id {id}{key} {{\n{commands}}}\n"))
}

/// Loads everything, asks for the consent, and runs only by that; all else ends at the disk.
fn with_consent(image: &BootImage, steps: &Steps, path: &str, target: &Target) -> String {
    let ask = format!("source {}\n", place(path, target));
    let loaded = steps.load.iter().rev().fold(ask, |inner, load| format!("if {}; then\n{inner}fi\n", load.trim_end()));
    let refused = quoted(&format!("Not started: the boot server did not agree to {}.", image.id));
    let id = quoted(&image.id);
    format!("set agreed=\n{loaded}if [ \"$agreed\" = {id} ]; then\n{}fi\necho {refused}\n{}", steps.run, local(target))
}

/// The script that is the consent.
pub(super) fn agreed(image: &str) -> String {
    format!("set agreed={}\n", quoted(image))
}

/// What an entry does: the commands that load, each a line, and those that start what was loaded.
struct Steps {
    load: Vec<String>,
    run: String,
}

fn steps(image: &BootImage, target: &Target) -> Result<Steps, LeftOut> {
    if let Some(left_out) = only_ipxe(image) {
        return Err(left_out);
    }
    let (load, run) = match &image.kind {
        ImageKind::Linux { kernel, initrd, cmdline } => (linux(kernel, initrd, cmdline, target)?, "boot\n".to_owned()),
        ImageKind::Chain { .. } | ImageKind::Efi { .. } if target.platform != Platform::Efi => {
            return Err(LeftOut("GRUB runs programs on UEFI only"));
        }
        ImageKind::Chain { source } => (vec![format!("chainloader {}\n", file(source, target)?)], "boot\n".to_owned()),
        ImageKind::Efi { source, cmdline } => {
            let arguments = words(target.urls.command_line(cmdline).as_str());
            (vec![format!("chainloader {}{arguments}\n", file(source, target)?)], "boot\n".to_owned())
        }
        ImageKind::Retry { wait } => {
            let again = place(&target.path("grub.cfg"), target);
            let seconds = wait.as_secs().max(1);
            let shown = quoted(&format!("Asking again in {seconds} seconds; press ESC to ask at once."));
            (Vec::new(), format!("echo {shown}\nsleep --interruptible {seconds}\nconfigfile {again}\n"))
        }
        ImageKind::Local { method } => {
            (Vec::new(), local(&Target { local_boot: method.or(target.local_boot), ..target.clone() }))
        }
        ImageKind::Reboot => (Vec::new(), "reboot\n".to_owned()),
        ImageKind::Poweroff => (Vec::new(), "halt\n".to_owned()),
        _ => return Err(LeftOut("only iPXE can do this")),
    };
    Ok(Steps { load, run })
}

fn linux(kernel: &Source, initrd: &[Source], cmdline: &Line, target: &Target) -> Result<Vec<String>, LeftOut> {
    let cmdline = words(target.urls.command_line(cmdline).as_str());
    let mut load = vec![format!("linux {}{cmdline}\n", file(kernel, target)?)];
    if !initrd.is_empty() {
        let files = initrd.iter().map(|source| file(source, target)).collect::<Result<Vec<_>, _>>()?;
        load.push(format!("initrd {}\n", files.join(" ")));
    }
    Ok(load)
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
        Source::File(name) => Ok(image_file(name, target)),
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

/// By HTTP, GRUB sends the path as it is; by TFTP it is no URL. Only a name that both write alike can come by either.
fn image_file(name: &FileName, target: &Target) -> String {
    let encoded = paths::percent_encoded(name.as_str());
    match target.by_http {
        true => place(&target.path(&format!("{}/{encoded}", paths::FILES)), target),
        false if encoded == name.as_str() => format!("{FILES}{}", quoted(&format!("/{}", target.image(name)))),
        false => place(&target.image(name), target),
    }
}

/// A path of ours, as the configuration itself came.
fn place(path: &str, target: &Target) -> String {
    quoted(&format!("{}/{path}", device(target, target.by_http)))
}

fn device(target: &Target, by_http: bool) -> String {
    let address = target.address();
    match (by_http, target.server.port()) {
        (false, _) => format!("(tftp,{address})"),
        (true, 80) => format!("(http,{address})"),
        (true, port) => format!("(http,{address}:{port})"),
    }
}

/// **The escaping**: the whole text in single quotes, which end only for a quote of its own.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace(char::is_control, " ").replace('\'', "'\\''"))
}
