//! Configuration files for boot loaders that are not iPXE: from a decision to what GRUB and PXELINUX read.
//!
//! Both look for a file of their own for each machine (`grub.cfg-01-52-54-00-..`, `pxelinux.cfg/01-52-54-00-..`). There is
//! no such file on the disk: it is made of the decision when it is asked for, and every path in it is one of the boot
//! session. What a loader cannot do is left out, with a comment line that says why.
//!
//! | module | is |
//! |---|---|
//! | `name` | the names that they look for |
//! | `grub`, `pxelinux` | the text for each |
//!
//! # What is done once
//!
//! An image that does an assignment needs the server's consent before it runs. These loaders run no script of ours that
//! could fail, so the consent is a file below `s/` of the session ([`Beginning`]): the server gives it out only after it
//! has noted the start.
//!
//! * GRUB loads kernel and RAM disks first, then reads that file as a script; it sets a variable to the image's id.
//!   Only with that value it boots. What could not be loaded is so not spent.
//! * PXELINUX has no conditions: there the last file that it loads is the consent, and the one that `ONERROR` leads to is
//!   the own disk.
//!
//! A file that is refused, late or lost ends at the own disk, never at the image.
//!
//! **Invariant**: no socket, no clock, no decision; a value from outside never becomes a command of the loader's language;
//! an image with an assignment runs by no way that does not go through its consent, and what asks a person is not in the
//! text.

mod grub;
mod name;
mod pxelinux;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use crate::boot::{BootImage, BootImages, FileName, ImageKind, Line, LocalBoot, Menu, Platform, Source};
use crate::ipxe::SessionUrls;
use crate::paths::{self, Beginning};

pub use name::{ConfigFile, Syntax};

/// What a configuration file is made for.
#[derive(Clone, Debug)]
pub struct Target {
    /// What runs the machine.
    pub platform: Platform,
    /// How it gets to its own disk, where that is said.
    pub local_boot: Option<LocalBoot>,
    /// The server's address as the client reaches it; the port is that of HTTP.
    pub server: SocketAddr,
    /// The token of the session.
    pub token: String,
    /// Whether the client came by HTTP, and goes on so.
    pub by_http: bool,
    /// The addresses of the session for command lines.
    pub urls: SessionUrls,
    /// Whether PXELINUX finds its program for menus.
    pub has_menu_program: bool,
}

/// What a configuration file tells.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// What to boot.
    Images(&'a BootImages),
    /// Nothing, for this reason.
    Denied(&'a Line),
}

/// Why an image is not in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LeftOut(&'static str);

/// How long a message stays on the screen, in seconds.
const READING_TIME_S: u64 = 10;
/// Shown to a machine that may not boot, as by iPXE.
const DENIED: &str = "This machine may not boot from the network.";
/// Shown before the own disk.
const LOCAL: &str = "Starting from the local disk.";
/// Why an assignment is left out.
const CANNOT: &str = "Left out, because this boot loader cannot boot it; give the machine iPXE:";
/// Why what asks a person is left out.
const ASKS: &str = "Left out, because only iPXE can ask who is there:";

/// What of these images is to be offered: without assignments that this loader cannot boot, and without questions. The
/// screen tells what was left out.
pub fn offered(syntax: Syntax, images: &BootImages, target: &Target) -> BootImages {
    let can = |image: &BootImage| match syntax {
        Syntax::Grub => grub::can(image, target),
        Syntax::Pxelinux => pxelinux::can(image, target),
    };
    let images = images.clone().without_questions(|_| true, &Line::clean(ASKS));
    let is_lost = |image: &&BootImage| image.assignment.is_some() && !can(image);
    let lost: Vec<_> = images.images().iter().filter(is_lost).map(|image| image.title.as_str()).collect();
    if lost.is_empty() {
        return images;
    }
    let notice = Line::clean(&format!("{CANNOT} {}", lost.join(", ")));
    images.without_assignments_of(|image| !can(image)).with_notice([notice])
}

/// What tells GRUB that the server has noted the start of this image.
pub fn agreed(image: &str) -> String {
    grub::agreed(image)
}

/// What tells GRUB, which asked for it by HTTP, that its files can come so.
pub fn by_http() -> &'static str {
    grub::by_http()
}

/// The text of a configuration file.
pub fn render(syntax: Syntax, said: Said<'_>, target: &Target) -> String {
    match said {
        Said::Denied(reason) => match syntax {
            Syntax::Grub => grub::denied(reason, target),
            Syntax::Pxelinux => pxelinux::denied(reason, target),
        },
        Said::Images(images) => {
            let images = offered(syntax, images, target);
            match syntax {
                Syntax::Grub => grub::images(&images, target),
                Syntax::Pxelinux => pxelinux::images(&images, target),
            }
        }
    }
}

/// Which image starts when nobody chooses, and when.
enum Start<'a> {
    /// This one, at once.
    AtOnce(&'a BootImage),
    /// The own disk, at once.
    Disk,
    /// A menu: the image under the cursor (the own disk when absent), and the seconds until it starts.
    Menu(Option<&'a BootImage>, Option<u64>),
}

/// How the images are offered, of which only `kept` can be. What would have started by itself and cannot is replaced by
/// nothing but the own disk.
fn start<'a>(images: &BootImages, kept: &[&'a BootImage]) -> Start<'a> {
    let is_kept = |id: &str| kept.iter().copied().find(|image| image.id == id);
    match (images.images(), images.menu()) {
        ([], _) => Start::Disk,
        // Neither waits for a key: the menu is shown as long, with the own disk to start when nobody chooses.
        _ if let Some(prompt) = images.prompt().filter(|_| !kept.is_empty()) => {
            Start::Menu(None, Some(prompt.timeout().as_secs()))
        }
        ([one], None) => is_kept(&one.id).map_or(Start::Disk, Start::AtOnce),
        (all, menu) => {
            let named = menu.and_then(|menu| menu.default.as_deref()).or(all.first().map(|first| first.id.as_str()));
            let timeout = menu.and_then(|menu: &Menu| menu.timeout).map(|timeout| timeout.as_secs().max(1));
            let default = named.and_then(is_kept).or(kept.first().copied().filter(|_| timeout.is_none()));
            Start::Menu(default, timeout)
        }
    }
}

impl Target {
    /// The path of a file of ours below the server, without a leading slash.
    fn path(&self, rest: &str) -> String {
        paths::session_path(&self.token, rest)
    }

    fn image(&self, name: &FileName) -> String {
        self.path(&format!("{}/{name}", paths::FILES))
    }

    /// The path of the consent to begin this image, with or without a file; none where the image needs none.
    fn consent(&self, image: &BootImage, file: Option<&FileName>) -> Option<Result<String, LeftOut>> {
        let assignment = image.assignment.clone()?;
        let beginning = Beginning { image: image.id.clone(), assignment, file: file.cloned() };
        Some(beginning.path().map(|path| self.path(&path)).ok_or(LeftOut("the name of its assignment is too long")))
    }

    fn address(&self) -> IpAddr {
        self.server.ip().to_canonical()
    }
}

/// Whether a file is a script of iPXE by its name.
fn is_ipxe_script(source: &Source) -> bool {
    source.to_string().to_ascii_lowercase().ends_with(".ipxe")
}

/// Why an image of this kind is nothing for a loader but iPXE; none when it may be something.
fn only_ipxe(image: &BootImage) -> Option<LeftOut> {
    match &image.kind {
        _ if image.verify.is_some() => Some(LeftOut("only iPXE verifies its signatures")),
        ImageKind::Wim { .. } => Some(LeftOut("Windows images need iPXE and wimboot")),
        ImageKind::Sanboot { .. } => Some(LeftOut("network disks need iPXE")),
        ImageKind::Ipxe { .. } | ImageKind::Shell => Some(LeftOut("commands of iPXE")),
        ImageKind::Referral { .. } => Some(LeftOut("only iPXE tells another server what the machine is")),
        ImageKind::Chain { source } if is_ipxe_script(source) => Some(LeftOut("a script of iPXE")),
        _ => None,
    }
}
