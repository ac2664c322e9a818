//! The cache's folder: three folders of files whose names are digests, and a lock.
//!
//! **Invariant**: a file is opened beneath its folder and never through a link; what is written whole is on the disk
//! before it has its name.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, renameat, statat, unlinkat};

/// How long one process waits for another that changes the folder.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(15);
const LOCK_POLL: Duration = Duration::from_millis(5);
/// The largest file that describes another.
const RECORD_MAX: u64 = 16 * 1024;

/// What lies in a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Whole files, by their digest.
    Objects,
    /// Which file of which origin is which object.
    Index,
    /// Files that are arriving, and what they are to become.
    Partial,
}

impl Shelf {
    pub(super) const ALL: [Shelf; 3] = [Shelf::Objects, Shelf::Index, Shelf::Partial];

    fn name(self) -> &'static str {
        match self {
            Shelf::Objects => "objects",
            Shelf::Index => "index",
            Shelf::Partial => "partial",
        }
    }
}

/// The folder of a cache.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    /// Before the lock among processes comes the one among threads.
    own: Mutex<()>,
}

/// Nobody else changes what lies on the shelves while this is kept.
pub(super) struct DiskLock<'a> {
    _file: File,
    _own: MutexGuard<'a, ()>,
}

impl Disk {
    pub(super) fn new(root: &Path) -> Disk {
        Disk { root: root.to_owned(), own: Mutex::new(()) }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder where it is missing, and locks it. Blocks.
    pub(super) fn lock(&self) -> io::Result<DiskLock<'_>> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        for shelf in Shelf::ALL {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(self.root.join(shelf.name()))?;
        }
        let root = Folder(open_folder(&self.root)?);
        for shelf in Shelf::ALL {
            give(&root.0, &self.shelf(shelf)?.0);
        }
        let file = match root.create("lock") {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => root.open_to_write("lock")?,
            made => made?,
        };
        let until = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(DiskLock { _file: file, _own: own }),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOCK_POLL),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One of its folders; an error of kind `NotFound` where nothing was kept yet.
    pub(super) fn shelf(&self, shelf: Shelf) -> io::Result<Folder> {
        let root = open_folder(&self.root)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Folder(openat(&root, shelf.name(), flags, Mode::empty())?))
    }
}

/// The root may be a link that the site made.
fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Gives what root made to the owner of the folder that it is in: what `pointsman cache warm` fetches is for the account
/// of the server. Nobody else can, and for nobody else is there a need.
fn give(folder: &OwnedFd, made: impl AsFd) {
    if let (Ok(folder), Ok(own)) = (rustix::fs::fstat(folder), rustix::fs::fstat(&made))
        && own.st_uid != folder.st_uid
    {
        let _ = fchown(made, Some(folder.st_uid), Some(folder.st_gid));
    }
}

/// An open folder without folders in it.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// What a file is like without opening it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileFacts {
    pub(super) length: u64,
    pub(super) inode: u64,
    pub(super) modified: SystemTime,
}

impl Folder {
    /// Opens a regular file for reading.
    pub(super) fn open(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDONLY)
    }

    /// Opens a regular file for reading and writing.
    pub(super) fn open_to_write(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDWR)
    }

    fn open_with(&self, name: &str, access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::LOOP) => return Err(io::Error::new(io::ErrorKind::InvalidData, "a link")),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
        }
        Ok(file)
    }

    /// Makes a file that is not there.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = File::from(openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?);
        give(&self.0, &made);
        Ok(made)
    }

    /// Writes a small file whole: under its name there is the old one or the new one, also after a power cut.
    pub(super) fn write(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        let hidden = format!("{name}.new");
        self.remove(&hidden)?;
        let mut file = self.create(&hidden)?;
        file.write_all(octets)?;
        file.sync_all()?;
        self.rename(&hidden, self, name)?;
        self.sync()
    }

    /// The content of a small file.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        self.open(name)?.take(RECORD_MAX + 1).read_to_end(&mut octets)?;
        match octets.len() as u64 > RECORD_MAX {
            true => Err(io::Error::new(io::ErrorKind::InvalidData, "too large to describe a file")),
            false => Ok(octets),
        }
    }

    pub(super) fn rename(&self, name: &str, to: &Folder, new_name: &str) -> io::Result<()> {
        Ok(renameat(&self.0, name, &to.0, new_name)?)
    }

    /// Removes a file; it is no error when there is none.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What a regular file is like; none where there is no such.
    pub(super) fn facts(&self, name: &str) -> Option<FileFacts> {
        let stat = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return None;
        }
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        Some(FileFacts {
            length: u64::try_from(stat.st_size).unwrap_or(0),
            inode: stat.st_ino,
            modified: SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?,
        })
    }

    /// The names in it; such as are no text are left out.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Has the disk keep the names.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Whether nobody reads or writes this file. Nobody begins while the answer is kept.
    pub(super) fn claim(&self, name: &str) -> Option<File> {
        let file = self.open(name).ok()?;
        file.try_lock().ok()?;
        Some(file)
    }
}
