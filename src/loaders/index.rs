//! Every file of the loaders folders by its name, read when the first client asks.
//!
//! **Invariant**: at most [`FILES_MAX`] files of together [`OCTETS_MAX`]; a file that is no loader by its size is not in it.

use std::collections::{BTreeMap, btree_map};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tracing::warn;

use super::{Loader, SIZE_MAX, load};
use crate::boot::FileName;

/// Files in all folders together.
const FILES_MAX: usize = 4096;
/// Octets of all files together: what the memory holds once all were asked for.
const OCTETS_MAX: u64 = 256 * 1024 * 1024;
/// Folders inside each other: GRUB's `grub/x86_64-efi` is the deepest that is known.
const DEPTH_MAX: usize = 3;

/// The files by their names in small letters.
#[derive(Debug, Default)]
pub(super) struct Index {
    files: BTreeMap<String, Entry>,
    octets: u64,
}

#[derive(Debug)]
struct Entry {
    name: FileName,
    path: PathBuf,
    loader: OnceLock<Option<Loader>>,
}

impl Index {
    /// What is in the folders; the first folder that has a name wins, and before all of them what `names` says. With the
    /// names whose file cannot be served, and why.
    pub(super) fn read(folders: &[PathBuf], names: &BTreeMap<FileName, PathBuf>) -> (Index, Vec<(FileName, String)>) {
        let mut index = Index::default();
        let mut problems = Vec::new();
        for (name, path) in names {
            if let Err(why) = index.add(name.clone(), path.clone()) {
                problems.push((name.clone(), why));
            }
        }
        for folder in folders {
            index.add_folder(folder, folder, DEPTH_MAX);
        }
        (index, problems)
    }

    /// The file of this name, in upper or lower case.
    pub(super) fn get(&self, name: &FileName) -> Option<&Loader> {
        let entry = self.files.get(&name.as_str().to_ascii_lowercase())?;
        let loader = entry.loader.get_or_init(|| {
            let loaded = load(entry.name.clone(), entry.path.clone());
            loaded.inspect_err(|why| warn!(file = %entry.name, %why, "a boot loader cannot be read")).ok()
        });
        loader.as_ref()
    }

    fn add_folder(&mut self, top: &Path, folder: &Path, depth: usize) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        // In the order of their names, so that what the limits leave out does not change.
        let mut paths: Vec<_> = entries.take(FILES_MAX).filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                if depth > 1 && !path.is_symlink() {
                    self.add_folder(top, &path, depth - 1);
                }
                continue;
            }
            let name =
                path.strip_prefix(top).ok().and_then(|name| FileName::parse(name.as_os_str().as_encoded_bytes()).ok());
            // What is no loader by its size may lie there; only clients that ask for it miss it.
            let _not_a_loader = name.map(|name| self.add(name, path));
        }
    }

    fn add(&mut self, name: FileName, path: PathBuf) -> Result<(), String> {
        let metadata = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        if !metadata.is_file() || metadata.len() == 0 || metadata.len() > SIZE_MAX {
            return Err(format!("{} is no file of 1 to {SIZE_MAX} octets", path.display()));
        }
        if self.files.len() >= FILES_MAX || self.octets + metadata.len() > OCTETS_MAX {
            return Err(format!("the loaders folders hold more than {FILES_MAX} files or {OCTETS_MAX} octets"));
        }
        if let btree_map::Entry::Vacant(place) = self.files.entry(name.as_str().to_ascii_lowercase()) {
            self.octets += metadata.len();
            place.insert(Entry { name, path, loader: OnceLock::new() });
        }
        Ok(())
    }
}
