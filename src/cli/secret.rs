//! A secret that somebody types, or that another program gives: never an argument, which others on the host can read.

use std::io::{BufRead, IsTerminal, Read, stdin};
use std::os::fd::AsFd;

use anyhow::{Context, bail};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use super::output::ask;
use crate::people::Answer;

/// Reads a secret: twice from a terminal, which shows nothing of it, else the first line of standard input.
///
/// # Errors
/// When it is empty or too long, or was not the same twice.
pub(super) fn new_secret(what: &str) -> anyhow::Result<String> {
    let secret = read_secret(what)?;
    if stdin().is_terminal() && read_secret("The same again")? != secret {
        bail!("that was not the same; nothing was made");
    }
    Ok(secret)
}

/// Reads a secret once.
///
/// # Errors
/// As [`new_secret`].
pub(super) fn read_secret(what: &str) -> anyhow::Result<String> {
    let line = if stdin().is_terminal() { read_unseen(what) } else { read_line() };
    let line = line.context("cannot read from standard input")?;
    let secret = line.strip_suffix('\n').unwrap_or(&line);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    match secret.len() {
        0 => bail!("nothing was typed"),
        len if len > Answer::SECRET_LEN_MAX => bail!("that is too long; at most {} octets fit", Answer::SECRET_LEN_MAX),
        _ if secret.contains(|c: char| c.is_control()) => bail!("that has a control character, which nobody can type"),
        _ => Ok(secret.to_owned()),
    }
}

fn read_line() -> std::io::Result<String> {
    let mut line = String::new();
    stdin().lock().take(64 * 1024).read_line(&mut line)?;
    Ok(line)
}

fn read_unseen(what: &str) -> std::io::Result<String> {
    let input = stdin();
    ask(&format!("{what}: "));
    let before = tcgetattr(input.as_fd())?;
    let mut unseen = before.clone();
    unseen.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(input.as_fd(), SetArg::TCSAFLUSH, &unseen)?;
    let line = read_line();
    tcsetattr(input.as_fd(), SetArg::TCSANOW, &before)?;
    ask("\n");
    line
}
