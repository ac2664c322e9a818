//! The file that a download writes: begun, resumed, or followed where another process writes it; and published at the end.
//!
//! **Invariant**: one writes it at a time, who holds its lock. It becomes an object after it lies on the disk, and is named
//! in the index after that.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};

use super::disk::{Disk, Shelf};
use super::record::{IndexRecord, PartialRecord, index_file, to_text};
use super::room::{LastUse, Shelves, cost, failed};
use super::{CacheError, RemoteFile, Sha256, key};
use crate::boot::FileName;

/// An open file that a version arrives in.
pub(super) struct Partial {
    pub(super) file: Arc<File>,
    pub(super) record: PartialRecord,
    /// So many octets are good.
    pub(super) good: u64,
    /// Whether it is ours to write; else another process does.
    pub(super) is_ours: bool,
    /// How many files had to go for it.
    pub(super) evicted: u64,
}

/// The limits that a new file must keep to.
pub(super) struct Limits<'a> {
    pub(super) size_max: u64,
    pub(super) last_use: LastUse<'a>,
}

/// Opens the file of a version, or makes room for it and begins it. Blocks.
pub(super) fn begin(
    disk: &Disk,
    origin: &str,
    name: &FileName,
    version: &RemoteFile,
    limits: &Limits<'_>,
) -> Result<Partial, CacheError> {
    if cost(version.length) > limits.size_max {
        return Err(CacheError::TooLarge { length: version.length, size_max: limits.size_max });
    }
    let failed = |error| failed(disk, error);
    let shelves = Shelves::lock(disk).map_err(failed)?;
    let record = PartialRecord::new(origin, name, version);
    if let Some(found) = resume(&shelves, &record).map_err(failed)? {
        return Ok(found);
    }
    let evicted = shelves.make_room(version.length, limits.size_max, limits.last_use).map_err(failed)?;
    let mut evicted = evicted.ok_or(CacheError::Busy { length: version.length })?;
    let file = create(&shelves, &record).map_err(failed)?;
    if let Err(error) = reserve(&file, 0, version.length) {
        let freed = shelves.free(cost(version.length), limits.last_use).map_err(failed)?;
        evicted += freed.unwrap_or(0);
        if freed.is_none() || reserve(&file, 0, version.length).is_err() {
            shelves.remove_partial(&record.data_file()).map_err(failed)?;
            return Err(failed(error));
        }
    }
    Ok(Partial { file: Arc::new(file), record, good: 0, is_ours: true, evicted })
}

fn create(shelves: &Shelves<'_>, record: &PartialRecord) -> io::Result<File> {
    let file = shelves.partial.create(&record.data_file())?;
    file.try_lock()?;
    shelves.partial.write(&record.file(), &to_text(record)?)?;
    Ok(file)
}

/// The file that is there already; one without a sound record is removed.
fn resume(shelves: &Shelves<'_>, wanted: &PartialRecord) -> io::Result<Option<Partial>> {
    let data_file = wanted.data_file();
    let file = match shelves.partial.open_to_write(&data_file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let (record, good) = (wanted.clone(), file.metadata()?.len().min(wanted.length));
            return Ok(Some(Partial { file: Arc::new(file), record, good, is_ours: false, evicted: 0 }));
        }
        Err(error) => return Err(error.into()),
    }
    let text = shelves.partial.read(&wanted.file()).unwrap_or_default();
    let Some(mut record) = PartialRecord::read(&wanted.file(), &text) else {
        shelves.remove_partial(&data_file)?;
        return Ok(None);
    };
    let good = record.good(file.metadata()?.len());
    file.set_len(good)?;
    reserve(&file, good, record.length)?;
    record.keep(record.durable.min(good));
    shelves.partial.write(&record.file(), &to_text(&record)?)?;
    Ok(Some(Partial { file: Arc::new(file), record, good, is_ours: true, evicted: 0 }))
}

/// Takes the room on the disk now, so that it cannot be missing later. Not all file systems can.
fn reserve(file: &File, from: u64, length: u64) -> io::Result<()> {
    if from >= length {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, from, length - from) {
        Err(error @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Notes that all octets before `durable` are on the disk, after having seen to it. Blocks.
pub(super) fn keep(disk: &Disk, file: &File, record: &mut PartialRecord, durable: u64) -> io::Result<()> {
    file.sync_data()?;
    record.keep(durable);
    disk.shelf(Shelf::Partial)?.write(&record.file(), &to_text(record)?)
}

/// Removes a file that is not what it should be, and lets go of it. Blocks.
pub(super) fn discard(disk: &Disk, file: &File, record: &PartialRecord) -> io::Result<()> {
    Shelves::lock(disk)?.remove_partial(&record.data_file())?;
    file.unlock()
}

/// Makes the whole file an object that the index names. Blocks.
pub(super) fn publish(
    disk: &Disk,
    file: &File,
    record: &PartialRecord,
    object: Sha256,
    verified: bool,
) -> io::Result<IndexRecord> {
    file.sync_all()?;
    let shelves = Shelves::lock(disk)?;
    shelves.partial.rename(&record.data_file(), &shelves.objects, &object.to_string())?;
    shelves.objects.sync()?;
    let entry = IndexRecord::new(&record.origin, &record.name, &record.version(), object, verified);
    let before = shelves.index.read(&entry.file()).ok().and_then(|text| IndexRecord::read(&entry.file(), &text));
    shelves.index.write(&entry.file(), &to_text(&entry)?)?;
    shelves.partial.remove(&record.file())?;
    if let Some(before) = before.filter(|before| before.object != object) {
        shelves.remove_unnamed(&before.object)?;
    }
    // From now on it is read only: who reads it keeps it from being evicted.
    file.lock_shared()?;
    Ok(entry)
}

/// What became of a file that another process writes.
pub(super) enum Followed {
    /// So many octets are there.
    Arriving(u64),
    /// It is an object by now.
    Complete(IndexRecord),
    /// It was dropped.
    Gone,
    /// The other process let go of it: it is ours from now on, with so many good octets.
    Ours(PartialRecord, u64),
}

/// Looks how far another process is. Blocks.
pub(super) fn look(disk: &Disk, file: &File, record: &PartialRecord) -> io::Result<Followed> {
    let metadata = file.metadata()?;
    let shelf = disk.shelf(Shelf::Partial)?;
    let is_there = || shelf.facts(&record.data_file()).is_some_and(|facts| facts.inode == metadata.ino());
    if is_there() {
        if file.try_lock().is_err() {
            return Ok(Followed::Arriving(metadata.len().min(record.length)));
        }
        let found = shelf.read(&record.file()).ok().and_then(|text| PartialRecord::read(&record.file(), &text));
        if let Some(found) = found.filter(|_| is_there()) {
            // The system did not start anew meanwhile, so all that was written is there.
            let good = file.metadata()?.len().min(found.length);
            return Ok(Followed::Ours(found, good));
        }
        file.unlock()?;
    }
    // Whoever publishes it holds this lock until it is in the index.
    let shelves = Shelves::lock(disk)?;
    let name = index_file(&key::of_file(&record.origin, &record.name));
    let entry = shelves.index.read(&name).ok().and_then(|text| IndexRecord::read(&name, &text));
    let is_whole = |entry: &IndexRecord| {
        let facts = shelves.objects.facts(&entry.object.to_string());
        entry.version() == record.version() && facts.is_some_and(|facts| facts.inode == metadata.ino())
    };
    match entry.filter(is_whole) {
        Some(entry) => {
            file.lock_shared()?;
            Ok(Followed::Complete(entry))
        }
        None => Ok(Followed::Gone),
    }
}
