//! From a [`FileName`] to an open file beneath a directory, by the kernel's confined resolution.
//!
//! **Invariant**: every open goes through [`Directory::open_beneath`].

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::OpenError;
use crate::boot::FileName;

/// Entries of one directory looked at for a name in another case.
const ENTRIES_MAX: usize = 50_000;

/// An open directory that names are resolved beneath.
#[derive(Debug)]
pub(super) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let directory = fs::OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(path)?;
        Ok(Self { descriptor: directory.into(), path: path.to_owned() })
    }

    /// Opens the regular file of this name, or of the one that differs in case only.
    pub(super) fn find(&self, name: &FileName) -> Result<File, OpenError> {
        let file = match self.open_beneath(name.as_str(), OFlag::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let spelling = self.other_spelling(name).ok_or(OpenError::NotFound)?;
                self.open_beneath(&spelling, OFlag::empty())?
            }
            other => other?,
        };
        if file.metadata()?.is_file() { Ok(file) } else { Err(OpenError::Denied) }
    }

    /// O_NONBLOCK: a pipe in the directory must not hold us up before we see that it is none of ours.
    fn open_beneath(&self, name: &str, extra: OFlag) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | extra;
        let how =
            OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        match openat2(&self.descriptor, name, how) {
            Ok(descriptor) => Ok(File::from(descriptor)),
            // Kernels before 5.6, and sandboxes that do not know the call.
            Err(Errno::ENOSYS | Errno::EPERM) => self.open_and_check(name, flags),
            Err(Errno::EAGAIN) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The fall-back: opens, then asks the kernel where the opened file is. What was opened cannot move
    /// under the check, so a link that is swapped meanwhile gains nothing.
    fn open_and_check(&self, name: &str, flags: OFlag) -> io::Result<File> {
        let file = fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(self.path.join(name))?;
        let place = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        if place.starts_with(&self.path) { Ok(file) } else { Err(Errno::EXDEV.into()) }
    }

    /// The name as it is spelt on disk, where it differs in case only; the first in order if several do.
    fn other_spelling(&self, name: &FileName) -> Option<String> {
        let mut found = String::new();
        for component in name.components() {
            let parent = if found.is_empty() { "." } else { &found };
            let directory = self.open_beneath(parent, OFlag::O_DIRECTORY).ok()?;
            let spelling = spelling_in(&directory, component)?;
            if !found.is_empty() {
                found.push('/');
            }
            found.push_str(&spelling);
        }
        Some(found)
    }
}

fn spelling_in(directory: &File, component: &str) -> Option<String> {
    let wanted = component.to_lowercase();
    let entries = fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()?;
    let mut best: Option<String> = None;
    for entry in entries.take(ENTRIES_MAX).flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name == component {
            return Some(name);
        }
        if name.to_lowercase() == wanted && best.as_ref().is_none_or(|b| name < *b) {
            best = Some(name);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_openat2_a_link_that_leads_out_is_refused_too() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        fs::write(root.path().join("plain"), "p").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), root.path().join("link")).unwrap();
        let directory = Directory::open(&root.path().canonicalize().unwrap()).unwrap();
        let open = |name| directory.open_and_check(name, OFlag::O_CLOEXEC);
        assert!(open("plain").is_ok());
        assert_eq!(open("link").unwrap_err().raw_os_error(), Some(Errno::EXDEV as i32));
    }
}
