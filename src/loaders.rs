//! Boot loaders: which file starts which architecture, and what build it is.
//!
//! The table comes from the configuration; the files from the folders where distributions install iPXE. They are held
//! in memory: a site has a handful, and a thousand machines ask for them at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::boot::{Architecture, FileName};
use crate::files::Content;

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

/// A loader of the table that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Whose loader it is.
    pub architecture: Architecture,
    /// The name in the table.
    pub name: String,
    /// Why.
    pub why: String,
}

/// The loaders of a site, by architecture.
#[derive(Clone, Debug, Default)]
pub struct Loaders {
    by_architecture: BTreeMap<Architecture, Loader>,
    missing: Vec<Missing>,
}

/// A boot loader larger than this is none: iPXE with every driver has about 1 MiB, a signed GRUB 4 MiB.
const SIZE_MAX: u64 = 16 * 1024 * 1024;

impl Loaders {
    /// Reads the loaders of a table from the first folder that has each. Blocks on the disk.
    pub fn read(folders: &[PathBuf], files: &BTreeMap<Architecture, String>) -> Loaders {
        let mut loaders = Loaders::default();
        for (architecture, name) in files {
            match read_one(folders, name) {
                Ok(loader) => {
                    loaders.by_architecture.insert(*architecture, loader);
                }
                Err(why) => {
                    loaders.missing.push(Missing { architecture: *architecture, name: name.clone(), why });
                }
            }
        }
        loaders
    }

    /// The loader of an architecture. HTTP Boot variants, and x64 firmware that calls itself EBC, run the same code as
    /// their plain sibling.
    pub fn of(&self, architecture: Architecture) -> Option<&Loader> {
        self.by_architecture.get(&architecture).or_else(|| self.by_architecture.get(&architecture.machine()))
    }

    /// The content of the loader of this name.
    pub fn open(&self, name: &FileName) -> Option<Content> {
        let named = |loader: &&Loader| loader.name.as_str().eq_ignore_ascii_case(name.as_str());
        self.by_architecture.values().find(named).map(|loader| loader.content.clone())
    }

    /// Every loader that is there.
    pub fn iter(&self) -> impl Iterator<Item = (Architecture, &Loader)> {
        self.by_architecture.iter().map(|(architecture, loader)| (*architecture, loader))
    }

    /// What the table names and the folders lack.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

fn read_one(folders: &[PathBuf], file: &str) -> Result<Loader, String> {
    let name = FileName::parse(file.as_bytes()).map_err(|error| error.to_string())?;
    // Distributions install some loaders as links into /boot, so links are followed: the folder is the administrator's.
    let path = folders.iter().map(|folder| folder.join(name.as_str())).find(|path| path.is_file());
    let path = path.ok_or_else(|| format!("not in {}", folder_list(folders)))?;
    let size = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    if size == 0 || size > SIZE_MAX {
        return Err(format!("{} has {size} octets; a boot loader has 1 to {SIZE_MAX}", path.display()));
    }
    let octets = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (version, https) = identify(&octets);
    // Clients see the last part only: the folder inside the loaders folder is nobody else's business.
    let name = FileName::parse(name.last().as_bytes()).map_err(|error| error.to_string())?;
    Ok(Loader { name, path, version, https, content: Content::from_bytes(octets) })
}

fn folder_list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| Path::display(folder).to_string()).collect::<Vec<_>>().join(", ")
}

/// Version and HTTPS of an iPXE build, from the strings in the file. Compressed builds (BIOS) do not tell.
fn identify(octets: &[u8]) -> (Option<String>, Option<bool>) {
    let strings = || octets.split(|octet| *octet == 0);
    if !strings().any(|string| string == b"iPXE/%s") {
        return (None, None);
    }
    let version = strings().find(|string| is_version(string)).map(|string| String::from_utf8_lossy(string).into());
    (version, Some(strings().any(|string| string == b"https")))
}

/// `1.21.1`, `1.0.0+git-20190125.36a4c85-5.1`, `2.0.0 (ab12c)`.
fn is_version(string: &[u8]) -> bool {
    if string.len() < 5 || string.len() > 64 || !string.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ') {
        return false;
    }
    let end = string.iter().position(|octet| !octet.is_ascii_digit() && *octet != b'.').unwrap_or(string.len());
    let (number, rest) = string.split_at(end);
    let parts: Vec<_> = number.split(|octet| *octet == b'.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty()) && matches!(rest.first(), None | Some(b'+' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, octets) in files {
            std::fs::write(folder.path().join(name), octets).unwrap();
        }
        folder
    }

    #[test]
    fn finds_each_loader_in_the_first_folder_that_has_it() {
        let build = b"MZ\0iPXE/%s\0https\x001.21.1+git-2025\0";
        let (one, two) = (folder(&[("a.efi", build)]), folder(&[("a.efi", b"MZ"), ("b.kpxe", b"x")]));
        let files = [
            (Architecture::X64_UEFI, "a.efi".to_owned()),
            (Architecture::X86_BIOS, "b.kpxe".to_owned()),
            (Architecture::ARM64_UEFI, "c.efi".to_owned()),
        ];
        let loaders = Loaders::read(&[one.path().into(), two.path().into()], &files.into());
        let loader = loaders.of(Architecture::EBC).unwrap();
        assert_eq!((loader.version.as_deref(), loader.https), (Some("1.21.1+git-2025"), Some(true)));
        assert_eq!(loaders.of(Architecture::X64_UEFI_HTTP).unwrap().path, one.path().join("a.efi"));
        assert_eq!(loaders.of(Architecture::X86_BIOS).unwrap().version, None);
        assert!(loaders.of(Architecture::ARM64_UEFI).is_none());
        assert_eq!(loaders.missing()[0].name, "c.efi");
        assert!(loaders.open(&FileName::parse(b"A.EFI").unwrap()).is_some());
        assert!(loaders.open(&FileName::parse(b"c.efi").unwrap()).is_none());
    }

    #[test]
    fn what_is_no_loader_is_told() {
        let empty = folder(&[("a.efi", b"")]);
        let files = [(Architecture::X64_UEFI, "a.efi".into()), (Architecture::X86_BIOS, "../x".into())];
        let loaders = Loaders::read(&[empty.path().into()], &files.into());
        assert!(loaders.missing()[0].why.contains("..") && loaders.missing()[1].why.contains("0 octets"));
    }
}
