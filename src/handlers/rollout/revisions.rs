//! Folders of scripts that change places: a candidate becomes live, what was live is kept, and comes back.
//!
//! ```text
//! scripts/         the live ones
//! scripts.next/    the candidate
//! scripts.old/     0007-20260301T080000Z-<revision>/: what was live before, numbered
//! ```
//!
//! **Invariant**: `scripts/` is a whole set at every moment, also when the machine dies: two folders change their names in
//! one step, and what was begun is finished by the next command.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use crate::config::ScriptSection;

use super::walk::{FILES_MAX, LEN_MAX, Walk, copy_one, like};

/// How a moment is written in the name of a folder.
const MOMENT: &str = "%Y%m%dT%H%M%SZ";

/// Why folders could not change places.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// There is no candidate.
    #[error("there is no candidate: {} is not there; `pointsman scripts stage` makes it", .0.display())]
    NoCandidate(PathBuf),
    /// There is one already.
    #[error("{} is there already; promote it, or remove it first", .0.display())]
    AlreadyThere(PathBuf),
    /// Not a folder of its own.
    #[error("{} is no folder, or a link to one; links are not exchanged: change where it leads to yourself", .0.display())]
    NoFolder(PathBuf),
    /// No such revision.
    #[error("there is no revision `{0}`; `pointsman scripts list` shows them")]
    Unknown(String),
    /// Nothing was live before.
    #[error("nothing was live before these scripts: {} has no revision", .0.display())]
    Nothing(PathBuf),
    /// Another command is at it.
    #[error("another `pointsman scripts` is at work in {}; wait for it", .0.display())]
    Busy(PathBuf),
    /// More than scripts have.
    #[error("{} has more than {FILES_MAX} files, more than {} MiB, or deep folders: is it the folder of scripts?", .0.display(), LEN_MAX >> 20)]
    TooMuch(PathBuf),
    /// The folders are not on one file system, or it cannot exchange them.
    #[error("{} and {} cannot change places ({error}); both must be plain folders on one file system that can exchange names", .one.display(), .other.display())]
    NoExchange {
        /// One folder.
        one: PathBuf,
        /// The other one.
        other: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The disk.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What.
        error: io::Error,
    },
}

/// Scripts that were live before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revision {
    /// Its number; the largest was live last.
    pub number: u32,
    /// Until when it was live.
    pub until: Timestamp,
    /// Its digest: what trails and `explain` call these scripts.
    pub revision: String,
    /// Where it is.
    pub folder: PathBuf,
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Staged {
    /// How many files.
    pub files: usize,
    /// How long they are together, in octets.
    len: u64,
}

/// Where the scripts of a handler are, and those that come and go.
#[derive(Clone, Debug)]
pub struct Desk {
    live: PathBuf,
    candidate: PathBuf,
    old: PathBuf,
    keep: usize,
}

/// What was begun, as it is noted before.
#[derive(Serialize, Deserialize)]
struct Journal {
    /// The folder that becomes the live one, by device and number: it keeps them under another name.
    new: (u64, u64),
    /// Its name before; afterwards what was live is there.
    from: PathBuf,
    /// Where that goes.
    to: PathBuf,
}

pub(super) type Outcome<T> = Result<T, RolloutError>;

pub(super) fn at<T>(path: &Path, result: io::Result<T>) -> Outcome<T> {
    result.map_err(|error| RolloutError::Io { path: path.to_owned(), error })
}

impl Desk {
    /// The folders of a section.
    pub fn of(section: &ScriptSection) -> Desk {
        Desk {
            live: section.scripts.clone(),
            candidate: section.candidate.clone(),
            old: section.revisions_folder(),
            keep: section.revisions_max,
        }
    }

    /// The folder of the candidate.
    pub fn candidate(&self) -> &Path {
        &self.candidate
    }

    /// Whether there is a candidate.
    pub fn has_candidate(&self) -> bool {
        self.candidate.is_dir()
    }

    /// Copies a folder, or the live scripts, to where the candidate is.
    ///
    /// # Errors
    /// When there is a candidate, or the disk says no; then there is none.
    pub fn stage(&self, from: Option<&Path>) -> Outcome<Staged> {
        let _lock = self.begin()?;
        if self.candidate.symlink_metadata().is_ok() {
            return Err(RolloutError::AlreadyThere(self.candidate.clone()));
        }
        // It appears whole: the server looks at it as soon as it is there.
        let new = self.old.join(".staging");
        let staged = self.copy(from.unwrap_or(&self.live), &new)?;
        at(&self.candidate, fs::rename(&new, &self.candidate))?;
        Ok(staged)
    }

    /// Makes the candidate the live scripts; `live` is the digest of those that go. Returns what was live.
    ///
    /// # Errors
    /// When there is none, or the folders cannot change places; then all is as it was.
    pub fn promote(&self, live: &str) -> Outcome<Revision> {
        let _lock = self.begin()?;
        if self.candidate.symlink_metadata().is_err() {
            return Err(RolloutError::NoCandidate(self.candidate.clone()));
        }
        self.make_live(&self.candidate, live)
    }

    /// Makes scripts live again that were before; they are kept as well. Returns what was live.
    ///
    /// # Errors
    /// As [`Desk::promote`].
    pub fn roll_back(&self, to: &Revision, live: &str) -> Outcome<Revision> {
        let _lock = self.begin()?;
        let new = self.old.join(".rollback");
        self.copy(&to.folder, &new)?;
        self.make_live(&new, live)
    }

    /// What was live before, from the last one.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn revisions(&self) -> Outcome<Vec<Revision>> {
        let entries = match fs::read_dir(&self.old) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => at(&self.old, entries)?,
        };
        let mut found: Vec<Revision> = entries.flatten().filter_map(|entry| Revision::at(entry.path())).collect();
        found.sort_by_key(|revision| std::cmp::Reverse(revision.number));
        Ok(found)
    }

    /// A revision by its number, or the beginning of its digest; the last one without.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: Option<&str>) -> Outcome<Revision> {
        let mut all = self.revisions()?.into_iter();
        match name {
            None => all.next().ok_or_else(|| RolloutError::Nothing(self.old.clone())),
            Some(name) => {
                let number: Option<u32> = name.parse().ok();
                let is_it =
                    |of: &Revision| Some(of.number) == number || (name.len() >= 4 && of.revision.starts_with(name));
                all.find(is_it).ok_or_else(|| RolloutError::Unknown(name.chars().take(40).collect()))
            }
        }
    }

    /// Finishes what an earlier command began; whether there was something. Nothing is written where nothing was begun.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn recover(&self) -> Outcome<bool> {
        if !self.journal().exists() {
            return Ok(false);
        }
        self.begin().map(|_| true)
    }

    fn journal(&self) -> PathBuf {
        self.old.join(".journal.json")
    }

    /// Takes the lock, and finishes what an earlier command began.
    fn begin(&self) -> Outcome<File> {
        at(&self.old, fs::create_dir_all(&self.old))?;
        let path = self.old.join(".lock");
        let lock = at(&path, File::create(&path))?;
        lock.try_lock().map_err(|_| RolloutError::Busy(self.old.clone()))?;
        let journal = self.journal();
        if let Ok(text) = fs::read(&journal)
            && let Ok(begun) = serde_json::from_slice::<Journal>(&text)
        {
            let is_done = fs::symlink_metadata(&self.live).is_ok_and(|live| identity(&live) == begun.new);
            if is_done && begun.from.is_dir() {
                at(&begun.to, fs::rename(&begun.from, &begun.to))?;
            }
        }
        for rest in [self.old.join(".staging"), self.old.join(".rollback")] {
            if rest.is_dir() {
                at(&rest, fs::remove_dir_all(&rest))?;
            }
        }
        if journal.exists() {
            at(&journal, fs::remove_file(&journal))?;
        }
        Ok(lock)
    }

    fn make_live(&self, new: &Path, live: &str) -> Outcome<Revision> {
        let folder = |path: &Path| {
            let found = at(path, fs::symlink_metadata(path))?;
            if found.is_dir() { Ok(found) } else { Err(RolloutError::NoFolder(path.to_owned())) }
        };
        let (found, _) = (folder(new)?, folder(&self.live)?);
        Walk::new(new).visit(new, &mut |path, found| {
            let name = path.strip_prefix(new).unwrap_or(Path::new(""));
            like(path, found, &self.live, name);
            Ok(())
        })?;
        let number = self.revisions()?.first().map_or(1, |last| last.number.saturating_add(1));
        let until = Timestamp::now();
        let name = format!("{number:04}-{}-{}", until.strftime(MOMENT), plain(live));
        let to = self.old.join(name);
        self.note(&Journal { new: identity(&found), from: new.to_owned(), to: to.clone() })?;
        if let Err(error) = renameat_with(CWD, new, CWD, &self.live, RenameFlags::EXCHANGE) {
            let _ = fs::remove_file(self.journal());
            let (one, other) = (new.to_owned(), self.live.clone());
            return Err(RolloutError::NoExchange { one, other, error: error.into() });
        }
        sync(self.live.parent());
        at(&to, fs::rename(new, &to))?;
        sync(Some(&self.old));
        at(&self.old, fs::remove_file(self.journal()))?;
        for revision in self.revisions()?.into_iter().skip(self.keep) {
            at(&revision.folder, fs::remove_dir_all(&revision.folder))?;
        }
        Revision::at(to.clone()).ok_or(RolloutError::Io { path: to, error: io::ErrorKind::InvalidData.into() })
    }

    fn note(&self, journal: &Journal) -> Outcome<()> {
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.old)?;
            file.write_all(&serde_json::to_vec(journal)?)?;
            file.as_file().sync_all()?;
            file.persist(self.journal())?;
            Ok(())
        };
        at(&self.journal(), write())
    }

    /// Copies a folder with modes and owners.
    fn copy(&self, from: &Path, to: &Path) -> Outcome<Staged> {
        let mut staged = Staged::default();
        let copied = Walk::new(from).visit(from, &mut |path, found| {
            let there = match path.strip_prefix(from) {
                Ok(name) if name != Path::new("") => to.join(name),
                _ => to.to_owned(),
            };
            copy_one(path, found, &there)?;
            staged.files += usize::from(!found.is_dir());
            staged.len += found.len();
            Ok(())
        });
        if let Err(error) = copied {
            let _ = fs::remove_dir_all(to);
            return Err(error);
        }
        Ok(staged)
    }
}

impl Revision {
    /// The revision in a folder, by its name.
    fn at(folder: PathBuf) -> Option<Revision> {
        let mut parts = folder.file_name()?.to_str()?.splitn(3, '-');
        let number = parts.next()?.parse().ok()?;
        let until = jiff::civil::DateTime::strptime(MOMENT, parts.next()?).ok()?;
        let until = until.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        let revision = parts.next()?.to_owned();
        folder.is_dir().then_some(Revision { number, until, revision, folder })
    }
}

/// The letters and digits of a digest.
fn plain(digest: &str) -> String {
    let plain: String = digest.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    if plain.is_empty() { "broken".to_owned() } else { plain }
}

fn identity(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// Lets the names of a folder outlive a loss of power, as far as the system can.
fn sync(folder: Option<&Path>) {
    let _ = folder.map(File::open).map(|folder| folder.and_then(|folder| folder.sync_all()));
}

#[cfg(test)]
#[path = "revisions_tests.rs"]
mod tests;
