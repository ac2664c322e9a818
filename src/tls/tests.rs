use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::http::Limits;
use crate::http::tests::{Running, Wire, big_file};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

struct Made {
    folder: tempfile::TempDir,
    authority: Authority,
    acceptor: Acceptor,
}

fn made(names: &[&str]) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let authority = ensure_ca(folder.path()).unwrap();
    let acceptor = Acceptor::new(&identity(&authority, names)).unwrap();
    Made { folder, authority, acceptor }
}

fn identity(authority: &Authority, names: &[&str]) -> Identity {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    authority.identity(&names, &[ADDRESS], jiff::Timestamp::now()).unwrap()
}

async fn connect(
    address: std::net::SocketAddr,
    authority: &Authority,
    name: ServerName<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der().to_vec())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

/// What is logged on this thread, from `info` on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn watch(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn files_come_whole_over_tls_1_2_and_1_3() {
    let made = made(&[]);
    let server = Running::start(Limits::default(), Some(made.acceptor.clone())).await;
    for (version, expect) in [(&version::TLS12, ProtocolVersion::TLSv1_2), (&version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let stream = connect(server.address, &made.authority, ADDRESS.into(), &[version]).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expect));
        let mut wire = Wire::new(stream);
        assert!(wire.ask("GET", &server.path("f/big"), "").await.body == big_file());
        let reply = wire.ask("GET", &server.path("boot.ipxe"), "").await;
        assert!(String::from_utf8(reply.body).unwrap().contains("https://127.0.0.1:"));
    }
}

#[tokio::test]
async fn a_client_without_ecdhe_is_logged_as_too_old_with_its_address() {
    let made = made(&[]);
    let server = Running::start(Limits::default(), Some(made.acceptor)).await;
    let log = Log::default();
    let _watch = log.watch();
    // TLS 1.2, TLS_RSA_WITH_AES_128_CBC_SHA256 only, signature algorithm RSA PKCS#1 SHA-256: iPXE of 2020.
    let hello = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0, 0x3c], &[1, 0], &[0, 8, 0, 13, 0, 4, 0, 2, 4, 1]].concat();
    let handshake = [&[1, 0, 0, hello.len() as u8][..], &hello].concat();
    let record = [&[22, 3, 1, 0, handshake.len() as u8][..], &handshake].concat();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer.first(), Some(&21), "a fatal alert");
    let text = log.text();
    let peer = stream.local_addr().unwrap().to_string();
    assert!(text.contains("client too old for TLS (no ECDHE)") && text.contains(&peer), "{text}");
}

#[tokio::test]
async fn a_client_that_closes_without_close_notify_is_no_error() {
    let made = made(&[]);
    let server = Running::start(Limits::default(), Some(made.acceptor)).await;
    let log = Log::default();
    let _watch = log.watch();
    let mut stream = connect(server.address, &made.authority, ADDRESS.into(), &[&version::TLS12]).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut octets = [0; 15];
    stream.read_exact(&mut octets).await.unwrap();
    drop(stream.into_inner().0);
    let mut other =
        Wire::new(connect(server.address, &made.authority, ADDRESS.into(), &[&version::TLS12]).await.unwrap());
    assert_eq!(other.ask("GET", "/healthz", "").await.body, b"ok\n");
    assert_eq!(log.text(), "");
}

#[tokio::test]
async fn without_a_name_or_with_any_the_default_certificate_is_served() {
    let made = made(&["boot.example"]);
    let server = Running::start(Limits::default(), Some(made.acceptor)).await;
    let versions = &[&version::TLS12];
    for name in [ADDRESS.into(), ServerName::try_from("boot.example").unwrap()] {
        assert!(connect(server.address, &made.authority, name, versions).await.is_ok());
    }
    let other = ServerName::try_from("other.example").unwrap();
    let error = connect(server.address, &made.authority, other, versions).await.unwrap_err().to_string();
    assert!(error.contains("other.example") && error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_certificate_is_swapped_while_the_server_runs() {
    let (one, other) = (made(&[]), made(&[]));
    let server = Running::start(Limits::default(), Some(one.acceptor.clone())).await;
    let trusts =
        async |made: &Made| connect(server.address, &made.authority, ADDRESS.into(), &[&version::TLS12]).await.is_ok();
    assert!(trusts(&one).await && !trusts(&other).await);
    one.acceptor.replace(&identity(&other.authority, &[])).unwrap();
    assert!(trusts(&other).await && !trusts(&one).await);
}

#[test]
fn the_chain_is_leaf_and_root_and_has_nothing_that_ipxe_refuses() {
    let made = made(&["boot.example"]);
    let identity = identity(&made.authority, &["boot.example"]);
    let chain: Vec<_> = identity.chain().collect();
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1], made.authority.der());
    let leaf = chain[0];
    let has = |octets: &[u8]| leaf.windows(octets.len()).any(|window| window == octets);
    assert!(has(b"boot.example") && has(&[0x87, 4, 127, 0, 0, 1]), "names and addresses");
    assert!(has(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]) && has(&[2, 0x82, 1, 1, 0]), "an RSA key of 2048 bits");
    assert!(has(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]), "sha256WithRSAEncryption");
    assert!(has(b"900101000000Z") && has(b"491231000000Z"), "validity");
    assert!(has(&[0x2b, 6, 1, 5, 5, 7, 3, 1]), "serverAuth");
    assert!(!has(&[0x2b, 6, 1, 5, 5, 7, 1, 1]), "no AIA");
    assert!(!has(&[0x55, 0x1d, 0x1e]), "no name constraints");
}

#[test]
fn a_ca_is_made_once_and_its_key_is_private() {
    let made = made(&[]);
    let folder = made.folder.path();
    let pem = fs::read(folder.join("ca.pem")).unwrap();
    let again = ensure_ca(folder).unwrap();
    assert_eq!((again.der(), fs::read(folder.join("ca.pem")).unwrap()), (made.authority.der(), pem));
    for key in ["ca.key", "server.key"] {
        assert_eq!(fs::metadata(folder.join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    assert_eq!(made.authority.fingerprint().len(), 32 * 3 - 1);
    assert_eq!(fs::read(folder.join("ca.der")).unwrap(), made.authority.der());
    fs::remove_file(folder.join("ca.key")).unwrap();
    assert!(matches!(ensure_ca(folder), Err(TlsError::KeyMissing { .. })));
    assert!(folder.join("ca.pem").exists());
}

#[test]
fn a_leaf_is_kept_until_its_names_or_its_ca_change_or_it_is_gone() {
    let made = made(&["a.example"]);
    let leaf = |authority: &Authority, names: &[&str]| identity(authority, names).chain().next().unwrap().to_vec();
    let first = leaf(&made.authority, &["a.example"]);
    assert_eq!(leaf(&made.authority, &["a.example"]), first);
    let second = leaf(&made.authority, &["a.example", "b.example"]);
    assert_ne!(second, first);
    fs::write(made.folder.path().join("server.key"), "damaged").unwrap();
    let third = leaf(&made.authority, &["a.example", "b.example"]);
    assert_ne!(third, second);
    let late: jiff::Timestamp = "2049-12-15T00:00:00Z".parse().unwrap();
    let names = ["a.example".to_owned(), "b.example".to_owned()];
    let renewed = made.authority.identity(&names, &[ADDRESS], late).unwrap();
    assert_ne!(renewed.chain().next().unwrap(), third);
}

#[test]
fn a_site_s_own_files_are_read_and_what_does_not_fit_is_told() {
    let (one, other) = (made(&["one.example"]), made(&[]));
    let read = |certificate: &Made, key: &Made| {
        Identity::from_files(&certificate.folder.path().join("server.pem"), &key.folder.path().join("server.key"))
    };
    assert!(Acceptor::new(&read(&one, &one).unwrap()).is_ok());
    assert!(matches!(Acceptor::new(&read(&one, &other).unwrap()), Err(TlsError::Unfit(_))));
    assert!(one.acceptor.replace(&read(&one, &other).unwrap()).is_err());
    let file = |name: &str| one.folder.path().join(name);
    let error = Identity::from_files(&file("server.key"), &file("server.key")).unwrap_err();
    assert!(error.to_string().contains("has no certificate in PEM"), "{error}");
    let error = Identity::from_files(&file("nosuch"), &file("server.key")).unwrap_err();
    assert!(error.to_string().contains("cannot read"), "{error}");
}

#[test]
fn the_signature_list_has_the_lengths_of_the_uefi_specification() {
    let made = made(&[]);
    let (list, der) = (made.authority.esl(), made.authority.der());
    let number = |at: usize| u32::from_le_bytes(list[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(number(16), list.len());
    assert_eq!((number(20), number(24)), (0, 16 + der.len()));
    assert_eq!(&list[28 + 16..], der);
}
