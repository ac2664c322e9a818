//! Files that are here: opened, noted, and forgotten.
//!
//! **Invariant**: what is opened has the length that its record tells, and is locked against being evicted while it is open.

use std::io;

use super::disk::{Disk, Shelf};
use super::record::{IndexRecord, to_text};
use super::room::Shelves;
use crate::files::{Content, FileCache};

/// The record with this file name; none where there is no sound one.
pub(super) fn entry(disk: &Disk, file: &str) -> io::Result<Option<IndexRecord>> {
    match disk.shelf(Shelf::Index).and_then(|shelf| shelf.read(file)) {
        Ok(text) => Ok(IndexRecord::read(file, &text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Not a record, whatever it is.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

/// The content of an entry; none where its object is not there, not whole, or being removed.
pub(super) fn open(disk: &Disk, small: &FileCache, entry: &IndexRecord) -> io::Result<Option<Content>> {
    let file = match disk.shelf(Shelf::Objects).and_then(|shelf| shelf.open(&entry.object.to_string())) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.try_lock_shared().is_err() || file.metadata()?.len() != entry.length {
        return Ok(None);
    }
    let content = small.content_of(file)?;
    Ok((content.len() == entry.length).then_some(content))
}

/// Writes a record again that has newer times; not where the file is another by now.
pub(super) fn note(disk: &Disk, noted: &IndexRecord) -> io::Result<()> {
    let shelves = Shelves::lock(disk)?;
    let file = noted.file();
    let present = shelves.index.read(&file).ok().and_then(|text| IndexRecord::read(&file, &text));
    match present {
        Some(present) if present.object == noted.object && present.tag == noted.tag => {
            shelves.index.write(&file, &to_text(noted)?)
        }
        _ => Ok(()),
    }
}

/// Removes a record, and its object where no other has it.
pub(super) fn forget(disk: &Disk, file: &str) -> io::Result<()> {
    let shelves = Shelves::lock(disk)?;
    let record = shelves.index.read(file).ok().and_then(|text| IndexRecord::read(file, &text));
    shelves.index.remove(file)?;
    shelves.index.sync()?;
    record.map_or(Ok(()), |record| shelves.remove_unnamed(&record.object))
}

/// Removes an entry whose object is not there or not whole.
pub(super) fn drop_unsound(disk: &Disk, entry: &IndexRecord) -> io::Result<()> {
    let shelves = Shelves::lock(disk)?;
    let object = entry.object.to_string();
    let length = shelves.objects.facts(&object).map(|facts| facts.length);
    if length == Some(entry.length) {
        return Ok(());
    }
    tracing::warn!(origin = entry.origin, file = %entry.name, ?length, "the cache's file is not whole; it is removed");
    shelves.index.remove(&entry.file())?;
    shelves.index.sync()?;
    shelves.objects.remove(&object)
}
