//! What lies on the shelves: what it takes, what may go, and what nobody knows any more.
//!
//! **Invariant**: what is being read or written stays. A file's record goes before the file does.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::time::SystemTime;

use jiff::Timestamp;

use super::disk::{Disk, DiskLock, Folder, Shelf};
use super::record::{IndexRecord, PartialRecord, partial_file};
use super::{CacheError, Damage, Sha256, key};

/// A file takes whole blocks, so that a million small ones count too.
const BLOCK: u64 = 4096;

/// The folders of a cache, open and locked.
pub(super) struct Shelves<'a> {
    pub(super) objects: Folder,
    pub(super) index: Folder,
    pub(super) partial: Folder,
    _lock: DiskLock<'a>,
}

/// Tells when a file was last used, by its key, where somebody here used it.
pub(super) type LastUse<'a> = &'a dyn Fn(&Sha256) -> Option<Timestamp>;

/// What the disk gives for a file of this length.
pub(super) fn cost(length: u64) -> u64 {
    length.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// Something that can be removed.
struct Candidate {
    shelf: Shelf,
    file: String,
    records: Vec<String>,
    cost: u64,
    used: Timestamp,
}

impl<'a> Shelves<'a> {
    /// Locks the folder. Blocks.
    pub(super) fn lock(disk: &'a Disk) -> io::Result<Shelves<'a>> {
        let lock = disk.lock()?;
        let shelf = |shelf| disk.shelf(shelf);
        let (objects, index, partial) = (shelf(Shelf::Objects)?, shelf(Shelf::Index)?, shelf(Shelf::Partial)?);
        Ok(Shelves { objects, index, partial, _lock: lock })
    }

    /// Makes room for a file of this length. Gives how many files had to go.
    pub(super) fn make_room(&self, length: u64, size_max: u64, last_use: LastUse<'_>) -> io::Result<Option<u64>> {
        let candidates = self.candidates(last_use)?;
        let taken: u64 = candidates.iter().map(|candidate| candidate.cost).fold(0, u64::saturating_add);
        let excess = taken.saturating_add(cost(length)).saturating_sub(size_max);
        self.evict(candidates, excess)
    }

    /// What everything takes, in octets.
    pub(super) fn taken(&self) -> io::Result<u64> {
        Ok(self.candidates(&|_| None)?.iter().map(|candidate| candidate.cost).fold(0, u64::saturating_add))
    }

    /// Frees so many octets of the disk, whatever the cache may have.
    pub(super) fn free(&self, octets: u64, last_use: LastUse<'_>) -> io::Result<Option<u64>> {
        self.evict(self.candidates(last_use)?, octets)
    }

    /// Removes what was not used for longest; nothing at all where that is not enough.
    fn evict(&self, mut candidates: Vec<Candidate>, mut excess: u64) -> io::Result<Option<u64>> {
        candidates.sort_by_key(|candidate| candidate.used);
        let mut victims: Vec<(Candidate, File)> = Vec::new();
        for candidate in candidates {
            if excess == 0 {
                break;
            }
            let folder = if candidate.shelf == Shelf::Objects { &self.objects } else { &self.partial };
            if let Some(claim) = folder.claim(&candidate.file) {
                excess = excess.saturating_sub(candidate.cost);
                victims.push((candidate, claim));
            }
        }
        if excess > 0 {
            return Ok(None);
        }
        for (victim, _claim) in &victims {
            self.remove(victim)?;
        }
        Ok(Some(victims.len() as u64))
    }

    fn remove(&self, victim: &Candidate) -> io::Result<()> {
        match victim.shelf {
            Shelf::Partial => self.remove_partial(&victim.file),
            Shelf::Objects | Shelf::Index => {
                for record in &victim.records {
                    self.index.remove(record)?;
                }
                self.index.sync()?;
                self.objects.remove(&victim.file)
            }
        }
    }

    /// Removes a file that is arriving, with its record.
    pub(super) fn remove_partial(&self, file: &str) -> io::Result<()> {
        self.partial.remove(&partial_file(file))?;
        self.partial.remove(file)
    }

    /// Removes an object that no record names, unless somebody reads it.
    pub(super) fn remove_unnamed(&self, object: &Sha256) -> io::Result<()> {
        if self.records()?.iter().any(|record| record.object == *object) {
            return Ok(());
        }
        let file = object.to_string();
        match self.objects.claim(&file) {
            Some(_claim) => self.objects.remove(&file),
            None => Ok(()),
        }
    }

    /// All sound records of files that are here.
    pub(super) fn records(&self) -> io::Result<Vec<IndexRecord>> {
        read_records(&self.index)
    }

    /// All that takes room.
    fn candidates(&self, last_use: LastUse<'_>) -> io::Result<Vec<Candidate>> {
        let mut uses: HashMap<String, (Timestamp, Vec<String>)> = HashMap::new();
        for record in self.records()? {
            let used = last_use(&key::of_file(&record.origin, &record.name)).unwrap_or(record.used).max(record.used);
            let (last, records) = uses.entry(record.object.to_string()).or_insert((Timestamp::UNIX_EPOCH, Vec::new()));
            *last = used.max(*last);
            records.push(record.file());
        }
        let mut found = Vec::new();
        for file in self.objects.names()? {
            let Some(facts) = self.objects.facts(&file) else { continue };
            let (used, records) = uses.remove(&file).unwrap_or((Timestamp::UNIX_EPOCH, Vec::new()));
            found.push(Candidate { shelf: Shelf::Objects, file, records, cost: cost(facts.length), used });
        }
        for (file, record) in read_partials(&self.partial)? {
            let Some(facts) = self.partial.facts(&file) else { continue };
            // All of it counts from the begin: room was made for it.
            let length = record.map_or(0, |record| record.length).max(facts.length);
            let used = to_timestamp(facts.modified);
            found.push(Candidate { shelf: Shelf::Partial, file, records: Vec::new(), cost: cost(length), used });
        }
        Ok(found)
    }

    /// Removes what nobody knows: records without their file, files without a record, and what cannot be read. Gives
    /// how many files and octets, and the records whose file is not as long as it was.
    pub(super) fn sweep(&self) -> io::Result<(u64, u64, Vec<Damage>)> {
        let (mut files, mut octets, mut damages) = (0, 0, Vec::new());
        let mut named: Vec<String> = Vec::new();
        for file in self.index.names()? {
            let record = self.index.read(&file).ok().and_then(|text| IndexRecord::read(&file, &text));
            let facts = record.as_ref().and_then(|record| self.objects.facts(&record.object.to_string()));
            match (record, facts) {
                (Some(record), Some(facts)) if facts.length == record.length => named.push(record.object.to_string()),
                (record, facts) => {
                    self.index.remove(&file)?;
                    files += 1;
                    damages.extend(record.zip(facts).map(|(record, facts)| shortened(record, facts.length)));
                }
            }
        }
        self.index.sync()?;
        for file in self.objects.names()? {
            if !named.contains(&file) {
                let removed = remove_idle(&self.objects, &file)?;
                files += u64::from(removed.is_some());
                octets += removed.unwrap_or(0);
            }
        }
        let partials = read_partials(&self.partial)?;
        for (file, record) in &partials {
            if record.is_none() {
                let removed = remove_idle(&self.partial, file)?;
                files += u64::from(removed.is_some());
                octets += removed.unwrap_or(0);
            }
        }
        for file in self.partial.names()? {
            let stem = file.split('.').next().unwrap_or_default();
            if stem != file && !partials.iter().any(|(known, _)| known == stem) {
                self.partial.remove(&file)?;
                files += 1;
            }
        }
        Ok((files, octets, damages))
    }
}

fn shortened(record: IndexRecord, length: u64) -> Damage {
    let what = format!("it has {length} octets, not {}", record.length);
    tracing::warn!(origin = record.origin, file = %record.name, what, "a damaged file was removed");
    Damage { origin: record.origin, name: record.name, what }
}

/// Removes a file that nobody reads or writes; gives its length.
fn remove_idle(folder: &Folder, file: &str) -> io::Result<Option<u64>> {
    let Some(claim) = folder.claim(file) else { return Ok(None) };
    let length = claim.metadata()?.len();
    folder.remove(file)?;
    Ok(Some(length))
}

/// All sound records of files that are here.
pub(super) fn read_records(index: &Folder) -> io::Result<Vec<IndexRecord>> {
    let read = |file: String| IndexRecord::read(&file, &index.read(&file).ok()?);
    Ok(index.names()?.into_iter().filter_map(read).collect())
}

/// All files that are arriving, each with its record, if that is sound.
pub(super) fn read_partials(partial: &Folder) -> io::Result<Vec<(String, Option<PartialRecord>)>> {
    let data = partial.names()?.into_iter().filter(|file| !file.contains('.'));
    let with_record = |file: String| {
        let name = partial_file(&file);
        let record = partial.read(&name).ok().and_then(|text| PartialRecord::read(&name, &text));
        (file, record)
    };
    Ok(data.map(with_record).collect())
}

pub(super) fn to_timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What a system's error means for the one who asks.
pub(super) fn failed(disk: &Disk, error: io::Error) -> CacheError {
    if error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded {
        return CacheError::DiskFull;
    }
    CacheError::Folder { folder: disk.root().display().to_string(), error: error.into() }
}
