//! The cache of a process that is killed at any moment: what it leaves is served whole, or not at all.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use pointsman::boot::FileName;
use pointsman::cache::{Cache, Origin, OriginError, Pacer, RemoteFile, Sha256};
use pointsman::config::CacheSection;

/// Tells a process of this test that it is the one that is killed, and where its cache is.
const ROLE: &str = "POINTSMAN_TEST_CACHE_FOLDER";
const ROUNDS: u64 = 15;
const FILES: usize = 8;

/// Has files without end, each told by its name; and digests of every other one only.
struct Mill {
    is_down: AtomicBool,
}

fn length_of(index: usize) -> usize {
    30_000 + index * 300_007
}

fn whole(index: usize) -> Vec<u8> {
    (0..length_of(index)).map(|at| (at / 257 + at % 251) as u8 ^ index as u8).collect()
}

fn name_of(index: usize) -> FileName {
    format!("dir/{index}").parse().unwrap()
}

impl Mill {
    fn index(&self, file: &FileName) -> Result<usize, OriginError> {
        match self.is_down.load(Ordering::SeqCst) {
            true => Err(OriginError::Unreachable("the power is out".into())),
            false => file.last().parse().map_err(|_| OriginError::NotFound),
        }
    }
}

#[async_trait]
impl Origin for Mill {
    fn name(&self) -> &str {
        "mill"
    }

    async fn describe(&self, file: &FileName) -> Result<RemoteFile, OriginError> {
        Ok(RemoteFile { length: length_of(self.index(file)?) as u64, tag: file.to_string() })
    }

    async fn read(
        &self,
        file: &FileName,
        _tag: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, OriginError>>, OriginError> {
        let octets = Bytes::from(whole(self.index(file)?)).slice(from as usize..);
        let pieces: Vec<Bytes> = octets.chunks(50_000).map(Bytes::copy_from_slice).collect();
        let slowly = stream::iter(pieces).then(|piece| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(piece)
        });
        Ok(slowly.boxed())
    }

    async fn digest(&self, file: &FileName, _tag: &str) -> Result<Option<Sha256>, OriginError> {
        let index = self.index(file)?;
        Ok((index % 2 == 0).then(|| Sha256::of(&whole(index))))
    }
}

struct Site {
    cache: Cache,
    mill: Arc<Mill>,
    pace: Arc<Pacer>,
}

impl Site {
    fn open(folder: &std::path::Path) -> Site {
        // Room for some of the files only, so that others go all the time.
        let size_max = 6_000_000;
        let section = CacheSection { folder: folder.to_owned(), size_max, ..CacheSection::default() };
        Site {
            cache: Cache::open(&section).unwrap(),
            mill: Arc::new(Mill { is_down: AtomicBool::new(false) }),
            pace: Arc::new(Pacer::new(None, Vec::new())),
        }
    }

    /// Reads a whole file and compares it; false where there is none.
    async fn read(&self, index: usize) -> bool {
        let origin = Arc::clone(&self.mill) as Arc<dyn Origin>;
        let Ok(content) = self.cache.open_file(&origin, &self.pace, &name_of(index)).await else { return false };
        let octets = content.read_at(0, usize::MAX).await.unwrap();
        assert!(octets == whole(index), "{index}: {} octets of {}", octets.len(), content.len());
        true
    }
}

#[tokio::test]
async fn a_killed_process_leaves_whole_files_or_none() {
    if let Some(folder) = std::env::var_os(ROLE) {
        let site = Site::open(std::path::Path::new(&folder));
        for round in 0.. {
            let read = |step: usize| site.read((round * 3 + step * 5) % FILES);
            tokio::join!(read(0), read(1), read(2));
        }
    }
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("cache");
    let (mut found, mut resumed) = (0, 0);
    for round in 0..ROUNDS {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "cache_crash::a_killed_process_leaves_whole_files_or_none"]).env(ROLE, &folder);
        let mut process = process.stdout(Stdio::null()).spawn().unwrap();
        // Any moment will do.
        tokio::time::sleep(Duration::from_millis(60 + round * 67 % 400)).await;
        assert!(process.try_wait().unwrap().is_none(), "the process found a file that is not whole");
        process.kill().unwrap();
        process.wait().unwrap();

        let site = Site::open(&folder);
        site.mill.is_down.store(true, Ordering::SeqCst);
        let entries = site.cache.entries();
        resumed += entries.iter().filter(|entry| !entry.complete && entry.present > 0).count();
        for index in 0..FILES {
            let is_here = entries.iter().any(|entry| entry.complete && entry.name == name_of(index));
            assert_eq!(site.read(index).await, is_here, "{index}");
            found += usize::from(is_here);
        }
        assert!(site.cache.verify(&|_, _| {}).await.is_empty());
    }
    assert!(found > 0 && resumed > 0, "{found} files, {resumed} parts");
}
