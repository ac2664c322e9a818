//! Folders of scripts, file by file, with limits.
//!
//! **Invariant**: links are neither followed nor changed, but for the folder itself.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::revisions::{Outcome, RolloutError, at};

/// The most files in a folder of scripts.
pub(super) const FILES_MAX: usize = 10_000;
/// The most that they have together, in octets.
pub(super) const LEN_MAX: u64 = 256 << 20;
/// How deep folders may be.
pub(super) const DEPTH_MAX: usize = 32;

/// Gives a file of the candidate the mode and owner of the live file with its name; of the folder, where it is new. The
/// server must be able to read what its administrator copied.
pub(super) fn like(path: &Path, found: &Metadata, live: &Path, name: &Path) {
    if found.is_symlink() {
        return;
    }
    let known = fs::symlink_metadata(live.join(name)).ok().filter(|known| known.is_dir() == found.is_dir());
    let owner = known.as_ref().map_or_else(|| fs::symlink_metadata(live), |known| Ok(known.clone()));
    if let Ok(owner) = owner {
        let _ = std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()));
    }
    if let Some(known) = known.filter(|known| known.mode() != found.mode()) {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(known.mode() & 0o7777));
    }
}

pub(super) fn copy_one(path: &Path, found: &Metadata, to: &Path) -> Outcome<()> {
    if found.is_symlink() {
        let target = at(path, fs::read_link(path))?;
        return at(to, std::os::unix::fs::symlink(target, to));
    }
    if found.is_dir() {
        at(to, fs::create_dir(to))?;
        at(to, fs::set_permissions(to, found.permissions()))?;
    } else if found.is_file() {
        at(path, fs::copy(path, to))?;
    } else {
        // A socket or a pipe is no script.
        return Ok(());
    }
    let _ = std::os::unix::fs::chown(to, Some(found.uid()), Some(found.gid()));
    Ok(())
}

/// A walk through a folder, with limits.
pub(super) struct Walk<'a> {
    root: &'a Path,
    files: usize,
    len: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(root: &'a Path) -> Walk<'a> {
        Walk { root, files: 0, len: 0 }
    }

    /// Each folder before what is in it; links are not followed, but at the beginning.
    pub(super) fn visit(&mut self, path: &Path, each: &mut impl FnMut(&Path, &Metadata) -> Outcome<()>) -> Outcome<()> {
        let found = at(path, if path == self.root { fs::metadata(path) } else { fs::symlink_metadata(path) })?;
        self.files += 1;
        self.len = self.len.saturating_add(if found.is_file() { found.len() } else { 0 });
        let depth = path.strip_prefix(self.root).map_or(0, |name| name.components().count());
        if self.files > FILES_MAX || self.len > LEN_MAX || depth > DEPTH_MAX {
            return Err(RolloutError::TooMuch(self.root.to_owned()));
        }
        if path == self.root && !found.is_dir() {
            return Err(RolloutError::NoFolder(path.to_owned()));
        }
        each(path, &found)?;
        if found.is_dir() {
            for entry in at(path, fs::read_dir(path))? {
                self.visit(&at(path, entry)?.path(), each)?;
            }
        }
        Ok(())
    }
}
