//! Object storage as an origin of files, against a real S3 server.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use pointsman::boot::FileName;
use pointsman::cache::{Origin, OriginError};
use pointsman::config::Config;
use pointsman::upstream::{Storage, Storages};

use crate::s3::S3;

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

/// The storage of a section.
fn storage(folder: &Path, section: &str) -> Result<Arc<Storage>, String> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let text = format!("[[handler]]\nkind = \"script\"\n{section}");
    let config = Config::parse(&folder.join("pointsman.toml"), &text).map_err(|problems| problems.to_string())?;
    let storages = Storages::open(&config).map_err(|problems| problems.to_string())?;
    Ok(Arc::clone(storages.iter().next().unwrap()))
}

fn open(section: &str) -> Arc<Storage> {
    storage(Path::new("/nowhere"), section).unwrap()
}

async fn read(origin: &Storage, file: &str, tag: &str, from: u64) -> Result<Vec<u8>, OriginError> {
    let mut stream = origin.read(&name(file), tag, from).await?;
    let mut octets = Vec::new();
    while let Some(part) = stream.next().await {
        octets.extend_from_slice(&part?);
    }
    Ok(octets)
}

/// Runs what the tests ask on a runtime beside the server's.
fn wait<T>(asked: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(asked)
}

#[test]
fn objects_are_described_and_read_from_any_octet() {
    let server = S3::open();
    let octets: Vec<u8> = (0..300_000_u32).map(|index| (index / 3) as u8).collect();
    for file in ["debian/12/linux", "a b~c+%41é#?.img"] {
        server.put(file, &octets);
    }
    server.put("empty", b"");
    let origin = open(&server.section());
    assert_eq!(origin.name(), "s3");
    for file in ["debian/12/linux", "a b~c+%41é#?.img"] {
        let found = wait(origin.describe(&name(file))).unwrap();
        assert_eq!(found.length, 300_000, "{file}");
        for from in [0, 1, 299_999] {
            let read = wait(read(&origin, file, &found.tag, from)).unwrap();
            assert_eq!(read, octets[usize::try_from(from).unwrap()..], "{file} from {from}");
        }
    }
    let empty = wait(origin.describe(&name("empty"))).unwrap();
    assert_eq!((empty.length, wait(read(&origin, "empty", &empty.tag, 0))), (0, Ok(Vec::new())));
    for file in ["debian/13/linux", "linux"] {
        assert_eq!(wait(origin.describe(&name(file))), Err(OriginError::NotFound), "{file}");
    }
}

#[test]
fn a_folder_of_the_bucket_is_all_that_is_seen() {
    let server = S3::open();
    server.put("site/linux", b"inside");
    server.put("secret", b"outside");
    let origin = open(&server.section().replace("s3://images", "s3://images/site/"));
    let found = wait(origin.describe(&name("linux"))).unwrap();
    assert_eq!(wait(read(&origin, "linux", &found.tag, 0)).unwrap(), b"inside");
    assert_eq!(wait(origin.describe(&name("secret"))), Err(OriginError::NotFound));
}

#[test]
fn a_changed_object_is_not_mixed_with_what_was_read_before() {
    let server = S3::open();
    server.put("linux", b"old and long");
    let origin = open(&server.section());
    let old = wait(origin.describe(&name("linux"))).unwrap();
    server.put("linux", b"new and long");
    // This server does not look at If-Match: it is the origin that sees the other tag.
    assert_eq!(wait(read(&origin, "linux", &old.tag, 4)), Err(OriginError::Changed));
    assert_eq!(wait(origin.digest(&name("linux"), &old.tag)), Err(OriginError::Changed));
    let new = wait(origin.describe(&name("linux"))).unwrap();
    assert_ne!(new.tag, old.tag);
    assert_eq!(wait(read(&origin, "linux", &new.tag, 4)).unwrap(), b"and long");
}

#[test]
fn digests_come_from_metadata_or_from_the_object_beside() {
    let server = S3::open();
    let origin = open(&server.section());
    let digest = |file: &str| {
        let tag = wait(origin.describe(&name(file))).unwrap().tag;
        wait(origin.digest(&name(file), &tag)).map(|digest| digest.map(|digest| digest.to_string()))
    };
    for file in ["none", "beside", "wrong", "huge"] {
        server.put(file, b"octets");
    }
    assert_eq!(digest("none"), Ok(None));
    server.put("beside.sha256", format!("{}  beside\n", "ab".repeat(32)).as_bytes());
    assert_eq!(digest("beside"), Ok(Some("ab".repeat(32))));
    for (file, text) in [("wrong", format!("{}  other\n", "ab".repeat(32))), ("huge", "x".repeat(100_000))] {
        server.put(&format!("{file}.sha256"), text.as_bytes());
        let Err(OriginError::Refused(why)) = digest(file) else { panic!("{file}: {:?}", digest(file)) };
        assert!(why.contains(&format!("{file}.sha256 has no SHA-256")) && why.contains("sha256sum"), "{why}");
    }
    server.put_with("meta", b"octets", &format!("x-amz-meta-sha256: {}", "cd".repeat(32)));
    server.put("meta.sha256", format!("{}  meta\n", "ab".repeat(32)).as_bytes());
    assert_eq!(digest("meta"), Ok(Some("cd".repeat(32))));
    server.put_with("odd", b"octets", "x-amz-meta-sha256: twelve");
    assert!(
        matches!(digest("odd"), Err(OriginError::Refused(why)) if why.contains("x-amz-meta-sha256 of odd is wrong"))
    );
}

#[test]
fn keys_open_and_errors_name_them_but_not_their_secrets() {
    let server = S3::with_key("AKIAREADER", "s3cr3t-0f-the-key");
    server.put("linux", b"octets");
    let folder = tempfile::tempdir().unwrap();
    let with_key = |id: &str, secret: &str| {
        std::fs::write(folder.path().join("secret"), secret).unwrap();
        let keys = format!("access_key = \"{id}\"\nsecret_key_file = \"secret\"\n");
        storage(folder.path(), &(server.section() + keys.as_str()))
    };
    let origin = with_key("AKIAREADER", " s3cr3t-0f-the-key \nnotes").unwrap();
    let found = wait(origin.describe(&name("linux"))).unwrap();
    assert_eq!(wait(read(&origin, "linux", &found.tag, 2)).unwrap(), b"tets");
    assert!(!format!("{origin:?}").contains("s3cr3t"), "{origin:?}");
    for (id, secret) in [("AKIAOTHER", "s3cr3t-0f-the-key"), ("AKIAREADER", "an-0ther-s3cr3t")] {
        let origin = with_key(id, secret).unwrap();
        let Err(OriginError::Refused(why)) = wait(origin.describe(&name("linux"))) else { panic!("{id} was let in") };
        assert!(why.contains(&format!("storage.s3.access_key = \"{id}\"")) && why.contains("secret_key_file"), "{why}");
        assert!(!why.contains(secret), "{why}");
    }
    let Err(OriginError::Refused(why)) = wait(open(&server.section()).describe(&name("linux"))) else { panic!() };
    assert!(why.contains("add access_key and secret_key_file to [storage.s3]"), "{why}");
    for text in ["", "\nsecond", "two words"] {
        let error = with_key("AKIAREADER", text).unwrap_err();
        assert!(error.contains("storage.s3.secret_key_file") && error.contains("help: write the secret"), "{error}");
        assert!(text.is_empty() || !error.contains(text), "{error}");
    }
}

#[test]
fn a_service_that_is_gone_is_told_soon_and_then_at_once() {
    let mut server = S3::open();
    server.put("linux", b"octets");
    let origin = open(&server.section());
    let tag = wait(origin.describe(&name("linux"))).unwrap().tag;
    server.kill();
    let is_gone = |error: Option<OriginError>| matches!(error, Some(OriginError::Unreachable(_)));
    let begin = std::time::Instant::now();
    assert!(is_gone(wait(origin.describe(&name("linux"))).err()));
    assert!(begin.elapsed() < std::time::Duration::from_secs(10));
    // It rests now: nobody waits for a connection.
    let listener = std::net::TcpListener::bind(server.endpoint().trim_start_matches("http://")).unwrap();
    assert!(is_gone(wait(read(&origin, "linux", &tag, 0)).err()));
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().map(|_| ()).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(listener);
    server.start();
    assert_eq!(wait(open(&server.section()).describe(&name("linux"))).unwrap().tag, tag);
}

/// A server that answers each request with this; where it is, and what it was asked.
fn rogue(answer: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&asked);
    // It waits for requests until the test's process ends.
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let line = String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned();
            told.lock().unwrap().push(line);
            let _ = stream.write_all(&answer);
        }
    });
    (endpoint, asked)
}

#[test]
fn what_a_service_sends_is_bounded_and_goes_nowhere_else() {
    let describe = |answer: &str, body: &[u8]| {
        let (endpoint, asked) =
            rogue([format!("HTTP/1.1 {answer}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat());
        let origin = open(&format!("[storage.s3]\nurl = \"s3://images\"\nendpoint = \"{endpoint}\"\n"));
        let found = wait(origin.describe(&name("linux")));
        let read = wait(read(&origin, "linux", "\"tag\"", 0));
        let asked = asked.lock().unwrap().join("\n");
        (found, read, asked)
    };
    let (error, _, asked) = describe("307 x\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0", b"");
    assert!(matches!(error, Err(OriginError::Unreachable(_))), "{error:?}");
    assert_eq!(asked, "HEAD /images/linux HTTP/1.1\nGET /images/linux HTTP/1.1");
    let long = format!("200 OK\r\nContent-Length: 9\r\nETag: \"{}\"", "x".repeat(300));
    for answer in ["200 OK\r\nContent-Length: 9", "200 OK\r\nContent-Length: 9\r\nETag: W/\"1\"", &long] {
        let (error, ..) = describe(answer, b"");
        let Err(OriginError::Refused(why)) = error else { panic!("{error:?}") };
        assert!(why.contains("neither an ETag nor a version"), "{why}");
    }
    let (found, ..) = describe("200 OK\r\nContent-Length: 9\r\nx-amz-version-id: v1", b"");
    assert_eq!(found.unwrap().tag, "version v1");
    let (found, read, _) = describe("200 OK\r\nContent-Length: 9\r\nETag: \"tag\"", b"cut off");
    assert_eq!(found.unwrap().tag, "\"tag\"");
    assert!(matches!(read, Err(OriginError::Unreachable(_))), "{read:?}");
    // What it says where it says no is neither kept whole nor believed to be as long as it says.
    let page = "\u{1b}[2J<html>".repeat(10_000);
    for length in [page.len().to_string(), "9999999999999999".into()] {
        let (_, error, _) = describe(&format!("400 no\r\nContent-Length: {length}"), page.as_bytes());
        let Err(OriginError::Unreachable(why)) = error else { panic!("{error:?}") };
        assert!(why.chars().count() <= 300 && why.contains("<html>") && !why.contains('\u{1b}'), "{why}");
    }
    let (error, ..) = describe("200 OK\r\nContent-Length: -1\r\nETag: \"tag\"", b"");
    assert!(matches!(error, Err(OriginError::Unreachable(_))), "{error:?}");
}

#[test]
fn one_object_that_fails_says_nothing_of_the_others() {
    let server = S3::open();
    server.put("debian/linux", b"octets");
    let origin = open(&server.section());
    // This server fails where a folder is asked for.
    assert!(matches!(wait(origin.describe(&name("debian"))), Err(OriginError::Unreachable(_))));
    assert_eq!(wait(origin.describe(&name("debian/linux"))).unwrap().length, 6);
}

#[test]
fn encryption_is_checked_against_the_ca_of_the_section() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = S3::open();
    server.put("linux", b"octets");
    server.speak_tls(folder.path());
    let origin = storage(folder.path(), &(server.section() + "ca = \"ca.pem\"\n")).unwrap();
    let found = wait(origin.describe(&name("linux"))).unwrap();
    assert_eq!(wait(read(&origin, "linux", &found.tag, 0)).unwrap(), b"octets");
    pointsman::tls::ensure_ca(other.path()).unwrap();
    for (base, ca) in [(other.path(), "ca = \"ca.pem\"\n"), (folder.path(), "")] {
        let origin = storage(base, &(server.section() + ca)).unwrap();
        let Err(OriginError::Unreachable(why)) = wait(origin.describe(&name("linux"))) else { panic!("{ca}") };
        assert!(why.contains("certificate"), "{why}");
    }
}

#[test]
fn a_ca_that_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let section = "[storage.s3]\nurl = \"s3://images\"\nendpoint = \"https://127.0.0.1:1\"\nca = \"ca.pem\"\n";
    let error = storage(folder.path(), section).unwrap_err();
    assert!(error.contains("storage.s3.ca: ") && error.contains("ca.pem: No such file"), "{error}");
    std::fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    let error = storage(folder.path(), section).unwrap_err();
    assert!(error.contains("ca.pem: there is no certificate in it"), "{error}");
}
