//! Looking after the cache: what is in it, whether it is sound, and what can go.

use std::io::{self, Read};
use std::sync::{Arc, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;

use super::counts::add;
use super::disk::Shelf;
use super::record::IndexRecord;
use super::room::{Shelves, read_partials, read_records, to_timestamp};
use super::{Collected, Damage, Entry, Inner, OnProgress, Sha256, blocking, key};

/// A part of a file that nobody went on with for so long is a leftover, in seconds.
const PARTIAL_KEEP_S: i64 = 7 * 24 * 3600;
/// Octets that are read at once.
const READ_LEN: usize = 1024 * 1024;

/// What is kept and what is arriving.
pub(super) fn entries(inner: &Inner) -> io::Result<Vec<Entry>> {
    let (index, partial) = match (inner.disk.shelf(Shelf::Index), inner.disk.shelf(Shelf::Partial)) {
        (Ok(index), Ok(partial)) => (index, partial),
        (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let whole = read_records(&index)?.into_iter().map(|record| {
        let used = inner.last_use(&key::of_file(&record.origin, &record.name)).unwrap_or(record.used).max(record.used);
        Entry {
            digest: record.verified.then_some(record.object),
            origin: record.origin,
            name: record.name,
            length: record.length,
            present: record.length,
            fetched: record.fetched,
            used,
            complete: true,
        }
    });
    let arriving = read_partials(&partial)?.into_iter().filter_map(|(file, record)| {
        let (record, facts) = (record?, partial.facts(&file)?);
        let modified = to_timestamp(facts.modified);
        Some(Entry {
            origin: record.origin,
            name: record.name,
            length: record.length,
            present: facts.length.min(record.length),
            digest: None,
            fetched: modified,
            used: modified,
            complete: false,
        })
    });
    let mut all: Vec<Entry> = whole.chain(arriving).collect();
    all.sort_by(|one, other| (&one.origin, &one.name, other.complete).cmp(&(&other.origin, &other.name, one.complete)));
    Ok(all)
}

/// Reads each object, and removes those whose digest is another than their name.
pub(super) async fn verify(inner: &Arc<Inner>, progress: OnProgress<'_>) -> io::Result<Vec<Damage>> {
    let disk = Arc::clone(&inner.disk);
    let read = move || match disk.shelf(Shelf::Index) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        index => read_records(&index?),
    };
    let records = blocking(read).await?;
    let all = records.iter().map(|record| record.length).fold(0, u64::saturating_add);
    // What is too short was removed when the cache was opened.
    let mut damages = std::mem::take(&mut *inner.shortened.lock().unwrap_or_else(PoisonError::into_inner));
    let mut done = 0;
    progress(done, all);
    for record in records {
        let (disk, looked_at) = (Arc::clone(&inner.disk), record.clone());
        let what = blocking(move || {
            let damage = damage_of(&disk.shelf(Shelf::Objects)?, &looked_at);
            if damage.is_some() {
                remove(&Shelves::lock(&disk)?, &looked_at)?;
            }
            Ok(damage)
        });
        if let Some(what) = what.await? {
            let slot = inner.slot(&record.origin, &record.name);
            slot.state.lock().await.entry = None;
            tracing::error!(origin = record.origin, file = %record.name, what, "a damaged file was removed");
            damages.push(Damage { origin: record.origin, name: record.name, what });
        }
        done += record.length;
        progress(done, all);
    }
    Ok(damages)
}

/// What is wrong with the object of a record. One that is not there any more was evicted meanwhile, or never was.
fn damage_of(objects: &super::disk::Folder, record: &IndexRecord) -> Option<String> {
    let mut file = match objects.open(&record.object.to_string()) {
        Ok(file) => file,
        Err(error) => return Some(format!("it cannot be opened: {error}")),
    };
    // Keeps it from being evicted meanwhile.
    let _ = file.try_lock_shared();
    let (mut digest, mut length, mut octets) = (Context::new(&SHA256), 0, vec![0; READ_LEN]);
    loop {
        match file.read(&mut octets) {
            Ok(0) => break,
            Ok(count) => {
                digest.update(octets.get(..count).unwrap_or_default());
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(format!("it cannot be read: {error}")),
        }
    }
    let found = Sha256::from_digest(&digest.finish());
    if length != record.length {
        return Some(format!("it has {length} octets, not {}", record.length));
    }
    (found != record.object).then(|| format!("its digest is {found}, not {}", record.object))
}

fn remove(shelves: &Shelves<'_>, record: &IndexRecord) -> io::Result<()> {
    shelves.index.remove(&record.file())?;
    shelves.index.sync()?;
    shelves.objects.remove(&record.object.to_string())
}

/// Removes what is of no use any more. Blocks.
pub(super) fn collect(inner: &Inner, origins: &[String]) -> io::Result<Collected> {
    let mut collected = Collected::default();
    if let Err(error) = inner.disk.shelf(Shelf::Index)
        && error.kind() == io::ErrorKind::NotFound
    {
        return Ok(collected);
    }
    let shelves = Shelves::lock(&inner.disk)?;
    let now = Timestamp::now();
    for record in shelves.records()? {
        let is_too_old = now.duration_since(record.confirmed).unsigned_abs() > inner.section.keep;
        if origins.contains(&record.origin) && !is_too_old {
            continue;
        }
        shelves.index.remove(&record.file())?;
        shelves.index.sync()?;
        shelves.remove_unnamed(&record.object)?;
        collected.expired += 1;
        collected.octets += record.length;
    }
    for (file, record) in read_partials(&shelves.partial)? {
        let Some(facts) = shelves.partial.facts(&file) else { continue };
        let is_old = now.as_second() - to_timestamp(facts.modified).as_second() > PARTIAL_KEEP_S;
        let is_wanted = record.is_some_and(|record| origins.contains(&record.origin)) && !is_old;
        if !is_wanted && let Some(_claim) = shelves.partial.claim(&file) {
            shelves.remove_partial(&file)?;
            collected.leftovers += 1;
            collected.octets += facts.length;
        }
    }
    let (files, octets, _) = shelves.sweep()?;
    collected.leftovers += files;
    collected.octets += octets;
    let before = shelves.taken()?;
    collected.evicted = shelves.make_room(0, inner.section.size_max, &|key| inner.last_use(key))?.unwrap_or(0);
    add(&inner.counters.evicted, collected.evicted);
    collected.octets += before.saturating_sub(shelves.taken()?);
    Ok(collected)
}
