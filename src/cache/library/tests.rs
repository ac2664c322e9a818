//! Where names lead, and what is told of a file that cannot be had.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::*;
use crate::cache::{Octets, RemoteFile, Sha256};

/// An origin with one file, `linux`, or one that fails with this.
struct One(Option<OriginError>);

#[async_trait]
impl Origin for One {
    fn name(&self) -> &str {
        "one"
    }

    async fn describe(&self, file: &FileName) -> Result<RemoteFile, OriginError> {
        match &self.0 {
            Some(error) => Err(error.clone()),
            None if file.as_str() == "linux" => Ok(RemoteFile { length: 6, tag: "t".into() }),
            None => Err(OriginError::NotFound),
        }
    }

    async fn read(&self, _: &FileName, _: &str, from: u64) -> Result<Octets, OriginError> {
        let octets = Bytes::from_static(b"kernel").slice(usize::try_from(from).unwrap()..);
        Ok(stream::iter([Ok(octets)]).boxed())
    }

    async fn digest(&self, _: &FileName, _: &str) -> Result<Option<Sha256>, OriginError> {
        Ok(None)
    }
}

fn config(folder: &Path, keys: &str) -> Config {
    std::fs::create_dir_all(folder.join("images/@one")).unwrap();
    std::fs::write(folder.join("images/linux"), "local").unwrap();
    std::fs::write(folder.join("images/@one/linux"), "trap").unwrap();
    let text = format!("[[handler]]\nkind = \"script\"\n{keys}[storage.one]\nurl = \"s3://images\"\n");
    Config::parse(&folder.join("pointsman.toml"), &text).unwrap()
}

fn build(config: &Config, failing: Option<OriginError>, before: Option<&Library>) -> Library {
    Library::build(config, vec![Arc::new(One(failing))], before).unwrap()
}

async fn read(library: &Library, name: &str) -> Result<String, OpenError> {
    let content = library.open(&name.parse().unwrap()).await?;
    let octets = content.read_at(0, usize::MAX).await.map_err(OpenError::Io)?;
    Ok(String::from_utf8(octets.to_vec()).unwrap())
}

#[tokio::test]
async fn names_lead_to_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let library = build(&config(folder.path(), ""), None, None);
    assert_eq!(read(&library, "linux").await.unwrap(), "local");
    assert_eq!(read(&library, "/@one//linux").await.unwrap(), "kernel");
    for name in ["@one/other", "@one", "@", "@two/linux", "@@one/linux", "@ONE/linux", "other"] {
        let error = read(&library, name).await.unwrap_err();
        assert!(matches!(error, OpenError::NotFound), "{name}: {error:?}");
    }
    let plain = Library::from(FileRoot::new(folder.path().join("images")).unwrap());
    assert_eq!(read(&plain, "linux").await.unwrap(), "local");
    assert!(matches!(read(&plain, "@one/linux").await, Err(OpenError::NotFound)));
    let numbers = library.numbers();
    assert_eq!(numbers.fetched, [("one".to_owned(), 6)]);
    assert_eq!(numbers.requests.iter().map(|(_, count)| count).sum::<u64>(), 1, "{numbers:?}");
}

#[tokio::test]
async fn files_are_looked_for_without_being_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    let look = async |failing: Option<OriginError>, name: &str| {
        build(&config, failing, None).look_for(&name.parse().unwrap()).await
    };
    assert_eq!((look(None, "linux").await, look(None, "@one/linux").await), (Ok(()), Ok(())));
    let gone = OriginError::Unreachable("gone".into());
    for (name, expect) in [
        ("none", "no such file"),
        ("@one/none", "the origin has no such file"),
        ("@on/linux", "there is no [upstream.on] that has files, and no [storage.on]; did you mean `one`?"),
        ("@one", "no file of `one` is named; write @one/FILE"),
    ] {
        assert_eq!(look(None, name).await, Err(NotFound::Missing(expect.into())), "{name}");
    }
    let refused = Some(OriginError::Refused("no key".into()));
    assert_eq!(look(refused, "@one/linux").await, Err(NotFound::Refused("the origin refuses: no key".into())));
    assert!(matches!(look(Some(gone), "@one/linux").await, Err(NotFound::Unsure(why)) if why.contains("gone")));
    assert!(!folder.path().join("cache").exists());
    let small = super::tests::config(folder.path(), "[cache]\nsize_max = \"5B\"\n");
    let found = build(&small, None, None).look_for(&"@one/linux".parse().unwrap()).await;
    assert!(matches!(found, Err(NotFound::Missing(why)) if why.contains("raise cache.size_max")));
}

#[tokio::test]
async fn clients_are_told_to_ask_again_for_a_minute_only() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    let library = build(&config, Some(OriginError::Unreachable("gone".into())), None);
    let name: FileName = "@one/linux".parse().unwrap();
    for _ in 0..2 {
        let error = read(&library, "@one/linux").await.unwrap_err();
        assert!(matches!(&error, OpenError::NotNow(why) if why.contains("gone")), "{error:?}");
        assert!(!error.in_public().contains("gone"));
    }
    library.0.kept.failing.insert(name.clone(), Instant::now().checked_sub(AGAIN_FOR).unwrap());
    let error = read(&library, "@one/linux").await.unwrap_err();
    assert!(matches!(&error, OpenError::NotGiven(why) if why.contains("gone")), "{error:?}");
    assert!(!error.in_public().contains("gone"));
    assert_eq!(library.numbers().requests.last(), Some(&("failed", 3)));
    // After a reload it goes on as it was; once the file is there, it begins anew.
    let there = build(&super::tests::config(folder.path(), "[cache]\nfresh_for = \"1ms\"\n"), None, Some(&library));
    assert_eq!(read(&there, "@one/linux").await.unwrap(), "kernel");
    assert!(!library.0.kept.failing.contains_key(&name));
    let refuses = build(&config, Some(OriginError::Refused("no key".into())), None);
    let error = read(&refuses, "@one/other").await.unwrap_err();
    assert!(matches!(error, OpenError::NotGiven(_)), "{error:?}");
}

#[tokio::test]
async fn a_reload_keeps_the_cache_its_numbers_and_what_was_taken_of_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let one = config(folder.path(), "");
    let before = build(&one, None, None);
    assert_eq!(read(&before, "@one/linux").await.unwrap(), "kernel");
    let after = build(&one, None, Some(&before));
    assert_eq!(read(&after, "@one/linux").await.unwrap(), "kernel");
    assert_eq!((after.numbers().requests[0], after.numbers().requests[1]), (("hit", 1), ("miss", 1)));
    assert_eq!(after.numbers().fetched, [("one".to_owned(), 6)]);
    let pace = |library: &Library| Arc::clone(&library.0.places["one"].pace);
    assert!(Arc::ptr_eq(&pace(&before), &pace(&after)));
    let mut other = one.clone();
    other.storages.get_mut("one").unwrap().rate = Some(1_000);
    let slower = build(&other, None, Some(&after));
    assert_eq!((pace(&after).rate(), pace(&slower).rate()), (None, Some(1_000)));
    other.cache.folder = folder.path().join("images/linux");
    let problems = Library::build(&other, vec![Arc::new(One(None))], Some(&slower)).map(drop).unwrap_err().to_string();
    assert!(problems.contains("cache.folder: ") && problems.contains("help: run this as root"), "{problems}");
}
