//! Boot loaders: which file starts which architecture, and every other file of the loaders folders by its name.
//!
//! The table by architecture comes from the configuration, the files from the folders where distributions install iPXE,
//! PXELINUX and GRUB. A name that clients are told may stand for a file elsewhere (`[loaders.names]`): shim loads its second
//! stage by a name of its own. The loaders of the table are in memory at once, the others when the first client asks: a
//! site uses a handful, and a thousand machines ask for them at once.
//!
//! **Invariant**: only what lay in the folders when they were read, or is named in the configuration, is ever served; in
//! number and size it is limited.

mod abort;
mod build;
mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::boot::{Architecture, FileName};
use crate::files::Content;

pub use abort::{ABORT, abort_program};
pub use build::{TooOld, numbers_of, release_speaks_tls, speaks_tls};

use index::Index;

/// A boot loader that is there.
#[derive(Clone, Debug)]
pub struct Loader {
    /// The name that clients load it by.
    pub name: FileName,
    /// Where it was found.
    pub path: PathBuf,
    /// The build, where the file tells: `1.21.1+git...`.
    pub version: Option<String>,
    /// Whether the build has HTTPS, where the file tells.
    pub https: Option<bool>,
    content: Content,
}

/// A loader that the configuration names and that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Whose loader it is; none for one of `[loaders.names]`.
    pub architecture: Option<Architecture>,
    /// The name in the table.
    pub name: String,
    /// Why.
    pub why: String,
}

/// The loaders of a site: by architecture, and all by name.
#[derive(Clone, Debug, Default)]
pub struct Loaders {
    by_architecture: BTreeMap<Architecture, Loader>,
    by_name: Arc<Index>,
    missing: Vec<Missing>,
}

/// A boot loader larger than this is none: iPXE with every driver has about 1 MiB, a signed GRUB 4 MiB.
const SIZE_MAX: u64 = 16 * 1024 * 1024;

impl Loader {
    /// Whether it is iPXE, as far as its file or its name tells: builds for BIOS are compressed.
    pub fn is_ipxe(&self) -> bool {
        let name = self.name.as_str().to_ascii_lowercase();
        self.version.is_some() || [".kpxe", ".kkpxe", ".kkkpxe", "ipxe.pxe"].iter().any(|end| name.ends_with(end))
    }
}

impl Loaders {
    /// Reads the loaders of a table from the first folder that has each, and what else is in the folders. `names` are
    /// files that clients know by another name; those of them that the site `needs` are told when they are not there.
    /// Blocks on the disk.
    pub fn read(
        folders: &[PathBuf],
        files: &BTreeMap<Architecture, String>,
        names: &BTreeMap<FileName, PathBuf>,
        needs: &BTreeSet<FileName>,
    ) -> Loaders {
        let mut loaders = Loaders::default();
        for (architecture, name) in files {
            match read_one(folders, names, name) {
                Ok(loader) => {
                    loaders.by_architecture.insert(*architecture, loader);
                }
                Err(why) => {
                    let architecture = Some(*architecture);
                    loaders.missing.push(Missing { architecture, name: name.clone(), why });
                }
            }
        }
        let (index, problems) = Index::read(folders, names);
        loaders.by_name = Arc::new(index);
        let needed = problems.into_iter().filter(|(name, _)| needs.contains(name));
        let needed = needed.map(|(name, why)| Missing { architecture: None, name: name.to_string(), why });
        loaders.missing.extend(needed);
        loaders
    }

    /// The loader of an architecture. HTTP Boot variants, and x64 firmware that calls itself EBC, run the same code as
    /// their plain sibling.
    pub fn of(&self, architecture: Architecture) -> Option<&Loader> {
        self.by_architecture.get(&architecture).or_else(|| self.by_architecture.get(&architecture.machine()))
    }

    /// Any file of the loaders folders by its name, in upper or lower case. The first who asks for a file waits for the
    /// disk.
    pub fn named(&self, name: &FileName) -> Option<&Loader> {
        let is_meant = |loader: &&Loader| loader.name.as_str().eq_ignore_ascii_case(name.as_str());
        self.by_architecture.values().find(is_meant).or_else(|| self.by_name.get(name))
    }

    /// The content of the file of this name. A loader looks for its other files in folders of its own choice, and finds
    /// them beside itself: `boot/isolinux/ldlinux.c32` is `ldlinux.c32`.
    pub fn open(&self, name: &FileName) -> Option<Content> {
        let beside = || FileName::parse(name.last().as_bytes()).ok().and_then(|last| self.named(&last));
        self.named(name).or_else(beside).map(|loader| loader.content.clone())
    }

    /// The loader of every architecture that has one.
    pub fn iter(&self) -> impl Iterator<Item = (Architecture, &Loader)> {
        self.by_architecture.iter().map(|(architecture, loader)| (*architecture, loader))
    }

    /// What the configuration names and the folders lack.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

fn read_one(folders: &[PathBuf], names: &BTreeMap<FileName, PathBuf>, file: &str) -> Result<Loader, String> {
    let name = FileName::parse(file.as_bytes()).map_err(|error| error.to_string())?;
    let elsewhere = names.get(&name).filter(|path| path.is_file()).cloned();
    // Distributions install some loaders as links into /boot, so links are followed: the folder is the administrator's.
    let inside = || folders.iter().map(|folder| folder.join(name.as_str())).find(|path| path.is_file());
    let path = elsewhere.or_else(inside).ok_or_else(|| format!("not in {}", folder_list(folders)))?;
    // Clients see the last part only: the folder inside the loaders folder is nobody else's business.
    let name = FileName::parse(name.last().as_bytes()).map_err(|error| error.to_string())?;
    load(name, path)
}

fn load(name: FileName, path: PathBuf) -> Result<Loader, String> {
    let size = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    if size == 0 || size > SIZE_MAX {
        return Err(format!("{} has {size} octets; a boot loader has 1 to {SIZE_MAX}", path.display()));
    }
    let octets = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (version, https) = build::identify(&octets);
    Ok(Loader { name, path, version, https, content: Content::from_bytes(octets) })
}

fn folder_list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| Path::display(folder).to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
