//! The cache before an origin that does all that origins do.

mod faults;
mod flow;
mod keeping;
mod origin;
mod pace;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use origin::{Fault, Memory, octets};

/// A cache in a folder of its own, and an origin.
struct Setup {
    folder: TempDir,
    section: CacheSection,
    cache: Cache,
    memory: Arc<Memory>,
    origin: Arc<dyn Origin>,
    pace: Arc<Pacer>,
}

impl Setup {
    fn new(memory: Memory) -> Setup {
        Setup::with(memory, |_| {})
    }

    fn with(memory: Memory, change: impl FnOnce(&mut CacheSection)) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let mut section = CacheSection { folder: folder.path().join("cache"), ..CacheSection::default() };
        change(&mut section);
        let memory = Arc::new(memory);
        let (origin, pace) = (Arc::clone(&memory) as Arc<dyn Origin>, Arc::new(Pacer::new(None, Vec::new())));
        Setup { cache: Cache::open(&section).unwrap(), folder, section, memory, origin, pace }
    }

    /// The same folder, as a server finds it that starts again.
    fn restart(&mut self) {
        self.cache = Cache::open(&self.section).unwrap();
    }

    async fn open(&self, name: &str) -> Result<Content, CacheError> {
        self.cache.open_file(&self.origin, &self.pace, &name.parse().unwrap()).await
    }

    /// What a client gets that reads from the begin to the end.
    async fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        read(&self.open(name).await.map_err(|error| error.to_string())?).await
    }

    async fn warm(&self, name: &str) -> Result<Warmed, CacheError> {
        self.cache.warm(&self.origin, &self.pace, &name.parse().unwrap(), &|_, _| {}).await
    }

    fn files(&self, shelf: &str) -> Vec<String> {
        let Ok(folder) = std::fs::read_dir(self.section.folder.join(shelf)) else { return Vec::new() };
        let mut names: Vec<_> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Reads as an HTTP body does: what is there, piece by piece.
async fn read(content: &Content) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    while (octets.len() as u64) < content.len() {
        let from = octets.len() as u64;
        let left = usize::try_from(content.len() - from).unwrap().min(100_000);
        let ready = content.ready(from, left).await.map_err(|error| error.to_string())?;
        assert!(ready > 0 && ready <= left, "{ready} of {left}");
        octets.extend(content.read_exact_at(from, ready).await.map_err(|error| error.to_string())?);
    }
    Ok(octets)
}
