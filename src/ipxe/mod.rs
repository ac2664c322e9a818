//! Scripts for iPXE: from a decision to the text that a client runs.
//!
//! A script is a list of [`Command`]s with typed arguments; [`render()`] is the one function that turns them into
//! text, and the only place that knows how iPXE reads a line. So a title, a reason or a kernel command line stays what it
//! is, whatever characters it has: no value ever becomes a command.
//!
//! | script | is |
//! |---|---|
//! | [`autoexec`], [`autoexec_without_session`] | what iPXE finds beside its own file: get an address, then load the bootstrap script |
//! | [`bootstrap`] | tells the server every fact of [`crate::boot::FACTS`] and runs the answer |
//! | [`newer`] | starts our iPXE from one that cannot do what the site needs |
//! | [`images`] | boots the one image, offers a menu, or leaves to the disk |
//! | [`waiting`] | waits for somebody to approve, and asks again |
//! | [`denied`] | shows why not, and leaves to the disk |
//! | [`failed`] | shows why an image did not boot |
//! | [`started`], [`not_started`] | let an assignment begin, or not |
//!
//! **Invariant**: no socket, no clock, no decision; a value from outside enters only as [`Word`] or [`Text`].

mod ask;
mod command;
mod facts;
mod images;
mod look;
mod menu;
mod render;
mod scripts;
mod text;
mod urls;
mod verify;

#[cfg(test)]
mod reader;
#[cfg(test)]
mod tests;

pub use ask::{forget_secrets, waiting};
pub use command::{Command, Label, Stored, Trusted};
pub use images::images;
pub use render::render;
pub use scripts::{
    Leaving, autoexec, autoexec_without_session, bootstrap, bootstrap_by_either, denied, failed, introduction, newer,
    not_started, started,
};
pub use text::{Text, Word};
pub use urls::{SessionUrls, SessionUrlsError};
