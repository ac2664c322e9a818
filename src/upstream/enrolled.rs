//! The files of an enrollment.
//!
//! **Invariant**: each file is there whole or not at all, and the key is for its owner only. An enrollment that does not
//! come to its end leaves what was there before.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use super::EnrollError;
use crate::hex;
use crate::tls::{Fingerprint, certificates, fingerprint};

/// The certificates of an answer.
pub(super) struct Received {
    /// The site's certificate, and those that lead to the CA.
    pub(super) chain_pem: String,
    /// The CA's certificate.
    pub(super) authority_pem: String,
}

const END: &str = "-----END CERTIFICATE-----";

impl Received {
    /// Reads a chain; the CA in it must have this fingerprint.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(chain_pem: &str, authority: &Fingerprint) -> Result<Received, &'static str> {
        let wanted = hex::digits(authority);
        let mut blocks = Vec::new();
        for block in chain_pem.split_inclusive(END).filter(|block| block.contains(END)) {
            match certificates(block).ok().as_deref() {
                Some([der]) => blocks.push((format!("{}\n", block.trim()), fingerprint(der))),
                _ => return Err("it has something else than certificates in it"),
            }
        }
        let authority_pem = blocks.iter().skip(1).find(|(_, found)| *found == wanted).map(|(block, _)| block.clone());
        let authority_pem = authority_pem.ok_or("it does not have the certificate of its CA")?;
        Ok(Received { chain_pem: blocks.into_iter().map(|(block, _)| block).collect(), authority_pem })
    }
}

/// Where the files of one upstream go; what is not finished is removed when this is dropped.
pub(super) struct Folder {
    path: PathBuf,
    /// Owner and group of the state folder: the server must be able to read what root stored.
    owner: (u32, u32),
}

const NAMES: [&str; 3] = ["site.key", "site.pem", "ca.pem"];

impl Folder {
    /// Makes the folder, and sees that it can be written to.
    ///
    /// # Errors
    /// When there are files that may not be replaced, or it cannot be made.
    pub(super) fn prepare(state: &Path, upstream: &str, force: bool) -> Result<Folder, EnrollError> {
        let path = state.join("upstream").join(upstream);
        if let Some(path) = NAMES.map(|name| path.join(name)).into_iter().find(|file| file.exists() && !force) {
            return Err(EnrollError::Exists { path });
        }
        let made = fs::create_dir_all(&path).and_then(|()| fs::metadata(state));
        let owner = made.map_err(|error| EnrollError::File { doing: "make the folder", path: path.clone(), error })?;
        let folder = Folder { path, owner: (owner.uid(), owner.gid()) };
        for made in [folder.path.parent(), Some(&folder.path)].into_iter().flatten() {
            folder.give(made)?;
        }
        Ok(folder)
    }

    /// Stores the key beside the place where it will be.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put_key(&self, pem: &str) -> Result<(), EnrollError> {
        self.put(NAMES[0], pem, 0o600)
    }

    /// Stores the rest, and puts all of it into its place; the folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn finish(self, received: &Received) -> Result<PathBuf, EnrollError> {
        self.put(NAMES[1], &received.chain_pem, 0o644)?;
        self.put(NAMES[2], &received.authority_pem, 0o644)?;
        for name in NAMES {
            let path = self.path.join(name);
            fs::rename(new(&path), &path).map_err(|error| EnrollError::File { doing: "write", path, error })?;
        }
        // The names are as durable as the files; where a folder cannot be synced, nothing better can be done.
        let _ = fs::File::open(&self.path).and_then(|folder| folder.sync_all());
        Ok(self.path.clone())
    }

    fn put(&self, name: &str, pem: &str, mode: u32) -> Result<(), EnrollError> {
        let path = new(&self.path.join(name));
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let written = removed.and_then(|()| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| EnrollError::File { doing: "write", path: path.clone(), error })?;
        self.give(&path)
    }

    /// Gives a file to the owner of the state folder, where it is not theirs.
    fn give(&self, path: &Path) -> Result<(), EnrollError> {
        let (uid, gid) = self.owner;
        let given = fs::metadata(path).and_then(|found| match (found.uid(), found.gid()) == (uid, gid) {
            true => Ok(()),
            false => chown(path, Some(uid), Some(gid)),
        });
        let doing = "give to the owner of the state folder";
        given.map_err(|error| EnrollError::File { doing, path: path.to_owned(), error })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for name in NAMES {
            let _ = fs::remove_file(new(&self.path.join(name)));
        }
        // Only where nothing is in it.
        let _ = fs::remove_dir(&self.path);
    }
}

fn new(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}
