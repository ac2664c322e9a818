//! Sites' certificates, and clients that trust one CA.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SanType,
};
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig};
use tokio::io::AsyncReadExt;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

struct Ca {
    _folder: tempfile::TempDir,
    authority: Authority,
    server: Identity,
}

/// A CA with a server's certificate for the name `boot.example`.
fn ca() -> Ca {
    let folder = tempfile::tempdir().unwrap();
    let authority = ensure_ca(folder.path()).unwrap();
    let server = authority.identity(&["boot.example".into()], &[], jiff::Timestamp::now()).unwrap();
    Ca { _folder: folder, authority, server }
}

impl Ca {
    fn site(&self, name: &str) -> (IssuedSite, Identity) {
        let request = site_request().unwrap();
        let issued = self.authority.issue_site(name, &request.request_pem).unwrap();
        let site = identity(&issued.chain_pem, &request.key_pem);
        (issued, site)
    }

    fn client_verifier(&self) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.der().to_vec())).unwrap();
        let provider = Arc::new(provider::default_provider());
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap()
    }
}

fn identity(chain_pem: &str, key_pem: &str) -> Identity {
    Identity {
        chain: CertificateDer::pem_slice_iter(chain_pem.as_bytes()).map(Result::unwrap).collect(),
        key: PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap(),
    }
}

/// A handshake between this client and a server with this identity that wants a certificate of `clients`; the
/// fingerprint that the server saw.
async fn meet(client: ClientConfig, name: &str, server: &Identity, clients: Option<&Ca>) -> io::Result<Option<String>> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .unwrap();
    let builder = match clients {
        Some(ca) => builder.with_client_cert_verifier(ca.client_verifier()),
        None => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(server.chain.clone(), server.key.clone_key()).unwrap();
    let (here, there) = tokio::io::duplex(64 << 10);
    let serve = async move {
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(there).await?;
        tokio::io::AsyncWriteExt::shutdown(&mut stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|der| fingerprint(der));
        io::Result::Ok(shown)
    };
    let ask = async move {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, here).await?;
        // In TLS 1.3 a server that refuses the client says so after the client's handshake is over.
        stream.read_to_end(&mut Vec::new()).await
    };
    let (served, asked) = tokio::join!(serve, ask);
    asked.and(served)
}

fn failure(error: io::Result<Option<String>>) -> Option<ServerFailure> {
    let error = error.unwrap_err();
    let failure = server_failure(&error);
    assert!(failure.is_some(), "{error:?}");
    failure
}

#[tokio::test]
async fn a_site_and_its_upstream_know_each_other() {
    let ca = ca();
    let (issued, site) = ca.site("lyon");
    let trust = Trust::Ca(ca.authority.pem().into());
    let client = client_config(trust.clone(), Some(site)).unwrap();
    assert_eq!(meet(client, "boot.example", &ca.server, Some(&ca)).await.unwrap(), Some(issued.fingerprint.clone()));
    assert_eq!(issued.fingerprint, fingerprint(&certificates(&issued.chain_pem).unwrap()[0]));
    // Without a certificate, or with one of another CA, the upstream does not take it.
    let other = self::ca();
    for shown in [None, Some(other.site("lyon").1)] {
        let client = client_config(trust.clone(), shown).unwrap();
        assert_eq!(failure(meet(client, "boot.example", &ca.server, Some(&ca)).await), Some(ServerFailure::Refused));
    }
    assert!(client_config(Trust::Ca("no certificate".into()), None).is_err());
    let mixed = Identity { chain: ca.site("a").1.chain, key: ca.site("b").1.key };
    assert!(client_config(trust, Some(mixed)).is_err());
}

#[tokio::test]
async fn only_the_ca_that_was_named_is_trusted() {
    let (ca, other) = (ca(), ca());
    for trust in [Trust::Ca(ca.authority.pem().into()), Trust::Fingerprint(ca.authority.digest())] {
        let with = || client_config(trust.clone(), None).unwrap();
        assert!(meet(with(), "boot.example", &ca.server, None).await.is_ok(), "{trust:?}");
        let wrong_name = meet(with(), "other.example", &ca.server, None).await;
        assert_eq!(failure(wrong_name), Some(ServerFailure::WrongName));
        let untrusted = meet(with(), "boot.example", &other.server, None).await;
        assert_eq!(failure(untrusted), Some(ServerFailure::Untrusted));
        // Somebody in between who sends the right CA behind a certificate of his own.
        let mut between = Identity { chain: other.server.chain.clone(), key: other.server.key.clone_key() };
        between.chain[1] = ca.server.chain[1].clone();
        let forged = meet(with(), "boot.example", &between, None).await;
        assert_eq!(failure(forged), Some(ServerFailure::Untrusted), "{trust:?}");
        // A site is no server, and no CA.
        let (_, site) = ca.site("boot.example");
        assert_eq!(failure(meet(with(), "boot.example", &site, None).await), Some(ServerFailure::Untrusted));
        let below = signed_by_site(&ca, "boot.example");
        assert_eq!(failure(meet(with(), "boot.example", &below, None).await), Some(ServerFailure::Untrusted));
    }
    // The fingerprint of the server's own certificate is not that of a CA.
    let own = digest_of(&ca.server.chain[0]);
    let client = client_config(Trust::Fingerprint(own), None).unwrap();
    assert_eq!(failure(meet(client, "boot.example", &ca.server, None).await), Some(ServerFailure::Untrusted));
}

/// A server's certificate that a site made with its own.
fn signed_by_site(ca: &Ca, name: &str) -> Identity {
    let request = site_request().unwrap();
    let issued = ca.authority.issue_site("evil", &request.request_pem).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&issued.chain_pem, KeyPair::from_pem(&request.key_pem).unwrap()).unwrap();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    identity(&format!("{}{}", leaf.pem(), issued.chain_pem), &key.serialize_pem())
}

#[tokio::test]
async fn a_port_without_tls_is_told_as_such() {
    let (here, mut there) = tokio::io::duplex(64 << 10);
    let serve = async move {
        let mut octets = [0; 64];
        there.read_exact(&mut octets).await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut there, answer).await.unwrap();
    };
    let client = client_config(Trust::Fingerprint([0; 32]), None).unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (_, asked) = tokio::join!(serve, connector.connect(ServerName::try_from("x").unwrap(), here));
    assert_eq!(server_failure(&asked.unwrap_err()), Some(ServerFailure::NotTls));
    assert_eq!(server_failure(&io::Error::other("x")), None);
}

#[test]
fn a_site_certificate_is_good_for_ten_years() {
    let ca = ca();
    let (issued, site) = ca.site("lyon");
    let at = |days: i64| {
        let now = UnixTime::now().as_secs().saturating_add_signed(days * 24 * 3600);
        let (first, rest) = site.chain.split_first().unwrap();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        ca.client_verifier().verify_client_cert(first, rest, time).map(|_| ())
    };
    for days in [0, -365, 3650] {
        assert_eq!(at(days), Ok(()), "{days}");
    }
    let late = at(3655).unwrap_err();
    assert!(matches!(late, rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. })), "{late}");
    assert!(issued.chain_pem.ends_with(ca.authority.pem()));
    // Two certificates for one key are two.
    let request = site_request().unwrap().request_pem;
    let prints = [(); 2].map(|()| ca.authority.issue_site("lyon", &request).unwrap().fingerprint);
    assert_ne!(prints[0], prints[1]);
}

fn request_of(key: &KeyPair, change: impl Fn(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    change(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

#[test]
fn what_a_request_says_of_itself_is_not_taken() {
    let ca = ca();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let request = request_of(&key, |params| {
        params.distinguished_name.push(DnType::CommonName, "headquarters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::DnsName("boot.example".try_into().unwrap())];
    });
    let issued = ca.authority.issue_site("lyon", &request).unwrap();
    let der = &certificates(&issued.chain_pem).unwrap()[0];
    let holds = |text: &str| der.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("lyon") && !holds("headquarters") && !holds("boot.example"));
    // Extended key usage: client authentication, and nothing else.
    let oid = |last: u8| [&[0x2b, 6, 1, 5, 5, 7, 3][..], &[last]].concat();
    let has = |last| der.windows(8).any(|window| window == oid(last));
    assert!(has(2) && !has(1));
    // No basic constraints that say CA.
    assert!(!der.windows(5).any(|window| window == [0x30, 3, 1, 1, 0xff]));
}

/// RSA with 1024 bits, properly signed.
const SMALL: &str = "-----BEGIN CERTIFICATE REQUEST-----
MIIBTzCBuQIBADAQMQ4wDAYDVQQDDAVzbWFsbDCBnzANBgkqhkiG9w0BAQEFAAOB
jQAwgYkCgYEAs01LHaZPdUIoYadzxY+iOOFeqKIWfKXDiJjrNrJ49KXYYcOooGoZ
0ci0iQDrqDxliYznY9mU1WR/lafHUgN+6YT03QmN8DGzeCWOz8JLLH83pu86Hn1R
dIgUFWcZuDcWKFlLG41SyAV1gVH146G+vAZuTSBkmSDRsh4ah1nu6OkCAwEAAaAA
MA0GCSqGSIb3DQEBCwUAA4GBAEEB5ouqdIlKOzqR0JZgh2vVGM83pUqVU5khrn7r
3XgqKrnRdxG4N280acGgEwSrYeNVFt7ZxNSRyZA0Q0p737f5fzL0bOxR0RfH7YVB
8RBOZjj+z96ZpKFE2Kzg7ZSuJwsywzrthe3l0twuzKQura8mtg1kV+Ic1d0Z4+r4
CJfV
-----END CERTIFICATE REQUEST-----
";

#[test]
fn keys_that_are_weak_or_of_another_kind_are_refused() {
    let ca = ca();
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    assert!(ca.authority.issue_site("lyon", &request_of(&rsa, |_| {})).is_ok());
    let others = [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519].map(|kind| KeyPair::generate_for(kind).unwrap());
    let others = others.iter().map(|key| request_of(key, |_| {}));
    let certificate = ca.authority.pem().to_owned();
    let long = format!("{}{}", "\n".repeat(20_000), site_request().unwrap().request_pem);
    for request in others.chain([SMALL.into(), certificate, long, String::new(), "x".into()]) {
        let error = ca.authority.issue_site("lyon", &request).unwrap_err();
        assert!(matches!(error, TlsError::Request(_)), "{request}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is changed in a request, it is no more signed by its key, or it says the same; and nothing panics.
    #[test]
    fn a_changed_request_is_refused(at in 0usize..10_000, bit in 0u8..8) {
        static CA: std::sync::LazyLock<(Ca, KeyPair, Vec<u8>)> = std::sync::LazyLock::new(|| {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let params = CertificateParams::new(vec!["boot.example".to_owned()]).unwrap();
            let der = params.serialize_request(&key).unwrap().der().to_vec();
            (ca(), key, der)
        });
        let (ca, key, der) = &*CA;
        let mut der = der.clone();
        let at = at % der.len();
        der[at] ^= 1 << bit;
        if let Ok(issued) = ca.authority.issue_site("lyon", &pem_of(&der)) {
            let point = key.public_key_raw();
            let issued = &certificates(&issued.chain_pem).unwrap()[0];
            prop_assert!(issued.windows(point.len()).any(|window| window == point), "octet {at}, bit {bit}");
        }
    }
}

fn pem_of(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
}
